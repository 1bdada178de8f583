"""A run's checkpoints: bands, update, flag; on a small fit, with runs of known deviation."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from seeds import seed
from small_fit import run_fit, with_checks

from cod_bayes.cli import main
from cod_bayes.decide.checkpoints import read_checkpoints
from cod_bayes.decide.monitor import condition, estimate_lag, monitor
from cod_bayes.decide.watch import gathered, growing
from cod_bayes.forecast.groups import score_trials
from cod_bayes.forecast.posterior import Fit
from cod_bayes.show.plots import monitor_figure

TARGET = 1e24
LOOKS = TARGET * np.array([0.02, 0.1, 0.3, 0.6])


@pytest.fixture(scope="module")
def fitted():
    return run_fit(slice(2, 7))


@pytest.fixture(scope="module")
def saved(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("posterior") / "posterior.nc"
    fitted.save(path, fitted.forecast(TARGET))
    return path


def unconverged(fitted):
    return with_checks(fitted, ["r_hat 1.234"])


def table(fitted, score, compute=LOOKS):
    """Checkpoints of score (benchmark, moment), no trials."""
    rows = [
        (name, c, score[b, t])
        for b, name in enumerate(fitted.benchmarks)
        for t, c in enumerate(compute)
    ]
    return pd.DataFrame(rows, columns=["benchmark", "compute", "score"])


def median_run(fitted, behind=0.0, compute=LOOKS):
    """The model's median run, `behind` decades of compute late."""
    score = fitted.draws(compute * 10**-behind, one_run=True, measured=False)["score"]
    return table(fitted, score.median(("chain", "draw")).values, compute)


STILL = {"beta": 1e-9, "eta": np.log(np.log(2)), "gamma": 0.0, "g": 0.0, "sigma_omega": 0.02}
STILL |= {"sigma_delta": 0.0, "sigma_model": 0.0, "tau": 0.0, "delta": 0.0, "nu": 1e-9}
STILL |= {"lead": 0.0}


def walked(fitted, away, omega):
    """One run's omega (draw, moment) on the first benchmark, `away` decades from its largest model:
    flat curves and no shocks but omega. omega: of the ladder's models, or None to leave it out."""
    tree = fitted.idata.copy()
    tree.attrs = fitted.idata.attrs
    p = tree["posterior"].to_dataset()
    p = p.assign({name: xr.full_like(p[name], value) for name, value in STILL.items()})
    p = p.drop_vars("omega") if omega is None else p.assign(omega=omega)
    tree["posterior"] = xr.DataTree(p)
    x_ref = tree["constant_data"].to_dataset()["x_ref"].values[0]
    drawn = Fit(tree).draws(10 ** (x_ref + away), one_run=True, measured=False)["score"]
    return np.arcsin(np.sqrt(drawn.isel(benchmark=0).values.reshape(-1, len(away)))) - np.pi / 4


def test_one_run_walks_with_independent_steps_of_the_stated_variance(fitted):
    z = walked(fitted, np.array([-1.5, -0.5, 0.5, 1.0, 2.0]), None)
    down, up = z[:, [1, 0]], z[:, 2:]
    steps = np.concatenate([np.diff(down, prepend=0.0), np.diff(up, prepend=0.0)], axis=1)
    lengths = np.array([0.5, 1.0, 0.5, 0.5, 1.0])
    np.testing.assert_allclose(steps.std(axis=0), 0.02 * np.sqrt(lengths), rtol=0.07)
    assert np.abs(np.corrcoef(steps.T) - np.eye(5)).max() < 0.09
    assert np.abs(steps.mean(axis=0)).max() < 0.002


def test_one_run_goes_through_what_the_ladder_knows_of_omega(fitted):
    constant, p = (fitted.idata[name].to_dataset() for name in ("constant_data", "posterior"))
    x = np.log10(constant["compute"].values) - constant["x_ref"].values[0]
    known = np.array([0.1, -0.08, 0.05, 0.02, 0.0])
    omega = xr.zeros_like(p["omega"]) + xr.DataArray(known, dims="model")
    middle = (x[1] + x[2]) / 2
    away = np.array([x[0] - 1, x[0], middle, x[2], 1.0])
    z = walked(fitted, away, omega)
    np.testing.assert_allclose(z[:, [1, 3]], known[[0, 2]] + 0 * z[:, :2], atol=1e-6)
    # Between two models a Brownian bridge, below the smallest a walk of its own.
    np.testing.assert_allclose(z.mean(axis=0)[[0, 2]], [0.1, (known[1] + known[2]) / 2], atol=0.003)
    sd = 0.02 * np.sqrt([1, (x[2] - x[1]) / 4, 1])
    np.testing.assert_allclose(z.std(axis=0)[[0, 2, 4]], sd, rtol=0.07)


def test_another_model_has_shocks_of_its_own_and_the_same_spread(fitted):
    first, same, other = (
        fitted.draws(TARGET, measured=False, model_seed=seed)["score"].values[..., 0]
        for seed in (0, 0, 3)
    )
    np.testing.assert_array_equal(first, same)
    assert not np.isclose(first, other).mean() > 0.01
    np.testing.assert_allclose(other.std((0, 1)), first.std((0, 1)), rtol=0.15)


def test_measuring_adds_the_noise_of_the_trials_and_of_the_evaluation(fitted):
    plain, measured = (fitted.draws(TARGET, measured=m)["score"].values for m in (False, True))
    trials = score_trials(fitted.idata)
    noise = (measured - plain).std((0, 1))[:, 0]
    evaluation = fitted.spec.constants["evaluation_noise"]
    expected = np.sqrt((plain * (1 - plain)).mean((0, 1))[:, 0] * (1 / trials + 4 * evaluation**2))
    np.testing.assert_allclose(noise, expected, rtol=0.1)


def test_the_median_run_lies_in_the_middle_and_is_not_flagged(fitted):
    result = monitor(fitted, median_run(fitted), TARGET)
    assert not result.flagged
    assert result.checkpoints["pit"].between(0.2, 0.8).all()
    assert np.abs(result.looks["behind"]).max() < 0.05
    assert list(result.looks["training"]) == pytest.approx(LOOKS / TARGET)
    assert (result.looks["p_run"] > 0.5).all()


@pytest.mark.parametrize("behind", [0.9, 1.2])
def test_a_run_far_behind_is_flagged_as_behind_by_its_decades(fitted, behind):
    result = monitor(fitted, median_run(fitted, behind), TARGET)
    last = result.looks.iloc[-1]
    assert last.flag == "behind" and result.flagged
    assert last.behind == pytest.approx(behind, rel=0.3)
    before, after = (result.forecast.groupby("benchmark")["mean"].nth(i) for i in (0, -1))
    assert (after.to_numpy() < before.to_numpy() - 0.05).all()


@pytest.mark.parametrize(("kept", "flagged"), [(1.0, False), (0.0, False), (-1.0, True)])
def test_a_recipe_that_breaks_beyond_the_ladder_is_flagged_after_its_break(fitted, kept, flagged):
    """Beyond 3 times the largest ladder model's compute each decade counts as `kept` decades."""
    broken, end = 1.5e23, 1e25
    compute = end * np.array([0.005, 0.01, 0.03, 0.1, 0.2, 0.4, 0.7, 0.95])
    worth = np.where(compute > broken, broken * (compute / broken) ** kept, compute)
    order = np.argsort(worth)
    score = np.empty((len(fitted.benchmarks), len(compute)))
    drawn = fitted.draws(worth[order], one_run=True, measured=False)["score"]
    score[:, order] = drawn.median(("chain", "draw")).values
    result = monitor(fitted, table(fitted, score, compute), end)
    assert result.flagged == flagged
    assert (result.looks["flag"][compute <= broken] == "").all()
    last = result.looks.iloc[-1]
    assert last.lost == pytest.approx(1 - kept, rel=0.4, abs=0.1)
    if kept < 1:  # five models and two benchmarks do not suffice to flag a run that stays as it is
        assert 0.5 < last.since / broken < 2.5 and last.p_slows < 0.1 < last.p_behind
    if flagged:
        assert last.flag == "slows"
        assert result.check_first.startswith(f"out since {last.since:.3g} FLOPs, ")
    before, after = (result.forecast.groupby("benchmark")["q50"].nth(i) for i in (0, -1))
    assert (after.to_numpy() < before.to_numpy() - 0.05).all() == (kept < 1)


def test_a_benchmark_that_jumps_alone_departs(fitted):
    run = median_run(fitted)
    z = np.arcsin(np.sqrt(run["score"]))
    up = np.where(run["benchmark"] == fitted.benchmarks[0], 0.35, 0.0)
    run["score"] = np.sin(z + up * (run["compute"] == LOOKS[2])) ** 2
    result = monitor(fitted, run, TARGET)
    assert list(result.looks["flag"]) == ["", "", "departs", "departs"]


def test_runs_of_the_model_are_flagged_at_the_stated_rate_over_the_whole_run(fitted):
    runs, alpha = 160, 0.2
    drawn = fitted.draws(LOOKS, one_run=True, measured=False, model_seed=7)["score"].values
    drawn = np.arcsin(np.sqrt(drawn.reshape(-1, *drawn.shape[2:])))
    tau = fitted.idata["posterior"]["tau"].values.reshape(len(drawn), -1)
    noise = np.hypot(tau, fitted.spec.constants["evaluation_noise"])[..., None]
    rng = np.random.default_rng(seed(5))
    flagged, slow, inside = 0, [], []
    for draw in rng.choice(len(drawn), runs, replace=False):
        z = drawn[draw] + noise[draw] * rng.standard_normal(drawn.shape[1:])
        rate = rng.binomial(2000, np.sin(z) ** 2) / 2000
        run = table(fitted, rate).assign(n_correct=lambda t: t["score"] * 2000, n_trials=2000)
        result = monitor(fitted, run, TARGET, alpha=alpha)
        flagged += result.flagged
        slow.append(result.looks["p_slows"].iloc[-1] <= 0.2)
        inside.append(result.checkpoints["pit"].between(0.05, 0.95).mean())
    # 0.2 within 3.3 standard errors; four looks at 0.2 each would flag far more.
    assert 0.095 < flagged / runs < 0.305
    assert 0.095 < np.mean(slow) < 0.305
    assert 0.85 < np.mean(inside) < 0.95


def test_planned_looks_are_paid_for_ahead(fitted):
    paid = []
    for behind in (0.0, 0.1, 0.2):
        run = median_run(fitted, behind)
        first = run[run["compute"] <= LOOKS[1]]
        alone, ahead = (monitor(fitted, first, TARGET, planned=p) for p in ((), LOOKS[2:]))
        assert (ahead.planned, alone.planned) == (4, 2)
        paid.append((ahead.looks["p_run"] - alone.looks["p_run"]).to_numpy())
    assert np.min(paid) > -0.02  # each is a share of some hundred draws
    assert np.mean(paid) > 0
    whole = monitor(fitted, run, TARGET)
    assert whole.planned == 4
    # What was said at a look stays said.
    np.testing.assert_allclose(ahead.looks["p_run"], whole.looks["p_run"][:2], atol=0.02)


def test_a_finished_run_leaves_only_its_evaluation_open(fitted):
    compute = np.array([TARGET])
    run = median_run(fitted, 0.1, compute).assign(n_trials=100_000)
    run["n_correct"] = run["score"] * run["n_trials"]
    result = monitor(fitted, run, TARGET, lag=0.5)
    after = result.forecast[result.forecast["compute"] == TARGET].set_index("benchmark")
    score = run.set_index("benchmark")["score"]
    np.testing.assert_allclose(after["q50"].loc[score.index], score, atol=0.01)
    assert (after["sd"] < 0.02).all()  # two scatters of tau


def test_matherons_rule_is_the_gaussian_conditional():
    rng = np.random.default_rng(seed(0))
    root = rng.standard_normal((4, 4))
    drawn = rng.standard_normal((200_000, 4)) @ root.T
    joint, observed = root @ root.T, np.array([0.7, -1.1])
    got = condition(drawn[:, :2], drawn[:, 2:], observed)
    gain = joint[:2, 2:] @ np.linalg.inv(joint[2:, 2:])
    np.testing.assert_allclose(got.mean(axis=0), gain @ observed, atol=0.03)
    covariance = joint[:2, :2] - gain @ joint[2:, :2]
    np.testing.assert_allclose(np.cov(got.T), covariance, rtol=0.05, atol=0.02)


def test_an_assumed_lag_explains_a_late_run(fitted):
    late = median_run(fitted, 0.9)
    assert monitor(fitted, late, TARGET).flagged
    explained = monitor(fitted, late, TARGET, lag=0.9)
    assert not explained.flagged and np.abs(explained.looks["behind"]).max() < 0.05
    doubtful = monitor(fitted, late, TARGET, lag=0.9, lag_sd=0.5)
    assert (doubtful.looks["behind_sd"] > explained.looks["behind_sd"]).all()


def test_the_lag_is_found_in_an_earlier_run(fitted):
    compute = 1e23 * np.array([0.1, 0.2, 0.5, 0.8])
    finished = median_run(fitted, 0.0, np.array([1e23]))
    estimates = {}
    for lag in (0.1, 0.6):
        reference = pd.concat([median_run(fitted, lag, compute), finished])
        mean, sd = estimate_lag(fitted, reference)
        estimates[lag] = mean
        assert abs(mean - lag) < 2 * sd + 0.02 and 0 < sd < 0.3
    assert estimates[0.6] - estimates[0.1] > 0.25
    with pytest.raises(ValueError, match="its finished model, got one compute"):
        estimate_lag(fitted, finished)


def test_items_are_averaged(tmp_path):
    rows = [("b", 1e22, 3, 4), ("b", 1e22, 1, 4), ("b", 1e21, 0, 4), ("b", 1e21, 2, 4)]
    items = pd.DataFrame(rows, columns=["benchmark", "compute", "n_correct", "n_trials"])
    result = read_checkpoints(items)
    assert result["rate"].tolist() == [0.25, 0.5] and result["trials"].tolist() == [8, 8]
    for suffix, write in (("csv", items.to_csv), ("parquet", items.to_parquet)):
        write(tmp_path / f"c.{suffix}", index=False)
        pd.testing.assert_frame_equal(
            read_checkpoints(tmp_path / f"c.{suffix}"), result, check_dtype=False
        )


def checkpoint_of_items(fitted, share):
    """Every benchmark's first items, all solved, under one compute."""
    known = fitted.idata["items"].to_dataset()
    rows = pd.DataFrame(
        {"benchmark": known["benchmark_of_item"].values, "item": known["item"].values}
    )
    groups = rows.groupby("benchmark")["item"]
    place = groups.cumcount() / groups.transform("size")
    return rows[place < share].assign(compute=LOOKS[0], n_correct=1, n_trials=1)


def test_a_checkpoint_on_some_of_the_items_is_refused(fitted):
    assert len(read_checkpoints(checkpoint_of_items(fitted, 0.97), fitted)) == 2
    few = checkpoint_of_items(fitted, 0.6)
    with pytest.raises(ValueError, match=r"has results on [\d,]+ of the [\d,]+ items of"):
        monitor(fitted, few, TARGET)
    with pytest.raises(ValueError, match=r"has results on [\d,]+ of the [\d,]+ items of"):
        estimate_lag(fitted, few)


def test_items_that_the_forecast_is_not_of_do_not_count(fitted):
    items = checkpoint_of_items(fitted, 1.0)
    other = items.assign(item="other " + items["item"], n_correct=0)
    found = read_checkpoints(pd.concat([items, other]), fitted)
    assert (found["rate"] == 1).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="compute"), r"missing \['compute'\]"),
        (lambda t: t.drop(columns="score"), r"missing \['score'\]"),
        (lambda t: t.iloc[:0], "empty table"),
        (lambda t: t.assign(score=1.2), r"a rate in \[0, 1\], got .*8 such rows"),
        (lambda t: t.assign(score="x"), r"a rate in \[0, 1\]"),
        (lambda t: t.assign(compute=-1.0), "compute > 0 in FLOPs"),
        (lambda t: t.assign(n_correct=5, n_trials=4), r"a rate in \[0, 1\]"),
        (lambda t: t.assign(n_correct=0, n_trials=0), r"a rate in \[0, 1\]"),
        (
            lambda t: t.assign(benchmark="other"),
            r"expected benchmarks of this posterior, .*\['other'\]",
        ),
        (lambda t: t.assign(compute=2 * TARGET), "expected checkpoints up to the target's"),
    ],
)
def test_bad_checkpoints_are_refused(fitted, change, message):
    with pytest.raises(ValueError, match=message):
        monitor(fitted, change(median_run(fitted)), TARGET)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 0.0}, r"alpha in \(0, 1\)"),
        ({"lag_sd": -1.0}, "lag_sd >= 0"),
        ({"lag": np.nan}, "finite lag"),
        ({"planned": [LOOKS[0] / 2]}, "planned looks after the last checkpoint"),
        ({"planned": [2 * TARGET]}, "checkpoints up to the target's"),
    ],
)
def test_bad_settings_are_refused(fitted, arguments, message):
    with pytest.raises(ValueError, match=message):
        monitor(fitted, median_run(fitted), TARGET, **arguments)


def test_an_unconverged_posterior_is_said_in_object_and_picture(fitted):
    result = monitor(unconverged(fitted), median_run(fitted), TARGET)
    assert json.loads(result.to_json())["failed_checks"] == ["r_hat 1.234"]
    assert "unconverged: r_hat 1.234" in monitor_figure(result)._suptitle.get_text()
    sound = replace(result, failed_checks=())
    assert monitor_figure(sound)._suptitle is None


def test_a_score_without_a_count_is_as_noisy_as_the_largest_ladder_model_s(fitted):
    run = median_run(fitted)
    trials = fitted.idata["constant_data"].to_dataset()["trials"].values
    n = run["benchmark"].map(dict(zip(fitted.benchmarks, trials, strict=True)))
    counted = run.assign(n_correct=run["score"] * n, n_trials=n).drop(columns="score")
    plain, same = (monitor(fitted, rows, TARGET) for rows in (run, counted))
    pd.testing.assert_frame_equal(plain.checkpoints, same.checkpoints)
    pd.testing.assert_frame_equal(plain.forecast, same.forecast)


def test_command_answers_from_the_saved_posterior(fitted, saved, tmp_path, capsys):
    median_run(fitted, 0.9).to_csv(tmp_path / "run.csv", index=False)
    arguments = ["monitor", str(saved), str(tmp_path / "run.csv"), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--json", "--planned", "7e23", "1e24"]) == 3
    printed = json.loads(capsys.readouterr().out)
    assert printed["target_compute"] == TARGET and printed["planned"] == 6
    assert printed["flagged"] and printed["looks"][-1]["flag"] == "behind"
    assert printed["checkpoints"][0]["trials"] > 0  # assumed
    assert (tmp_path / "out" / "monitor.png").stat().st_size > 10_000
    assert len(pd.read_csv(tmp_path / "out" / "checkpoints.csv")) == 8
    assert main([*arguments, "--lag", "0.9", "0.1"]) == 0
    out = capsys.readouterr().out
    assert "0.90 ± 0.10 decades" in out and "position" in out and "updated" in out


def test_command_says_when_the_posterior_is_unconverged(fitted, tmp_path, capsys):
    unconverged(fitted).save(tmp_path / "p.nc", fitted.forecast(TARGET))
    median_run(fitted).to_csv(tmp_path / "run.csv", index=False)
    arguments = ["monitor", str(tmp_path / "p.nc"), str(tmp_path / "run.csv")]
    assert main([*arguments, "--target-compute", "1e24"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert out.count("unconverged: r_hat 1.234") == 3  # every table says so


def test_command_refuses_in_a_sentence(fitted, saved, tmp_path, capsys):
    run = str(tmp_path / "run.csv")
    median_run(fitted).to_csv(run, index=False)
    (tmp_path / "run.xlsx").write_bytes(b"PK")
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        ([run, "--lag", "1", "2", "3"], "expected --lag MEAN"),
        ([run, "--lag", "1", "--reference", run], "expected --lag or --reference"),
        ([str(tmp_path / "run.xlsx")], "expected a .parquet"),
        ([str(tmp_path / "none.csv")], "no such table"),
        ([run, "--watch", "1"], "expected --watch SECONDS above 0 with --planned"),
        ([str(tmp_path / "empty")], "expected tables of checkpoints"),
    ):
        assert main(["monitor", str(saved), *arguments]) == 2
        assert message in capsys.readouterr().err


SIX = TARGET * np.array([0.02, 0.1, 0.3, 0.5, 0.7, 0.9])


def shifted_run(fitted, where, by):
    """The median run at SIX looks, `by` radians off at these (benchmark, moment)."""
    score = fitted.draws(SIX, one_run=True, measured=False)["score"].median(("chain", "draw"))
    z = np.arcsin(np.sqrt(score.values))
    z[where] += by
    return table(fitted, np.sin(np.clip(z, 0, np.pi / 2)) ** 2, SIX)


@pytest.mark.parametrize(
    ("where", "by", "said"),
    [
        ((0, 3), 0.4, "one point out, GSM8K at 5e+23 FLOPs: check its evaluation first"),
        ((slice(None), 3), -0.4, "one checkpoint out, at 5e+23 FLOPs, on several benchmarks"),
        ((slice(None), slice(3, None)), -0.4, "out since 3e+23 FLOPs, "),
    ],
    ids=["point", "checkpoint", "window"],
)
def test_a_departure_says_what_to_check_first(fitted, where, by, said):
    result = monitor(fitted, shifted_run(fitted, where, by), TARGET)
    assert result.flagged and result.check_first.startswith(said)
    assert (result.looks["check_first"] == "").tolist() == (result.looks["flag"] == "").tolist()
    assert monitor(fitted, median_run(fitted), TARGET).check_first == ""


def test_a_folder_of_tables_is_one_run(fitted, tmp_path):
    run = median_run(fitted)
    for i, (_, part) in enumerate(run.groupby("compute")):
        part.to_csv(tmp_path / f"{i}.csv", index=False)
    pd.testing.assert_frame_equal(gathered(tmp_path), read_checkpoints(run))
    run.iloc[:1].to_csv(tmp_path / "again.csv", index=False)
    with pytest.raises(ValueError, match="each checkpoint in one table"):
        gathered(tmp_path)


def test_logs_are_a_run_with_the_compute_of_their_models(tmp_path):
    answers = [
        {"doc_id": i, "acc": float(i < right), "filter": "none"}
        | {
            "doc_hash": f"{i}",
            "metrics": ["acc"],
            "resps": [[""]],
            "filtered_resps": [""],
            "arguments": [["q", ""]],
        }
        for i, right in ((i, 3) for i in range(4))
    ]
    for step in ("step1", "step2"):
        folder = tmp_path / "logs" / step
        folder.mkdir(parents=True)
        (folder / "samples_task_2026-01-01T00-00-00.jsonl").write_text(
            "\n".join(map(json.dumps, answers))
        )
        (folder / "results_2026-01-01T00-00-00.json").write_text(
            json.dumps({"model_name": step, "results": {"task": {}}})
        )
    (tmp_path / "models.csv").write_text("model,compute\nstep1,1e22\nstep2,2e22\n")
    run = gathered(tmp_path / "logs", tmp_path / "models.csv", ["acc"])
    assert run["compute"].tolist() == [1e22, 2e22] and run["rate"].tolist() == [0.75, 0.75]


def test_a_growing_file_is_read_when_it_changes_and_halves_are_read_again(tmp_path, monkeypatch):
    path = tmp_path / "run.csv"
    head, rows = "benchmark,compute,score\n", ["b,1e21,0.1\n", "b,1e22,0.2\n"]
    states = iter([None, "", head + "b,1e21", head + rows[0], None, head + "".join(rows)])

    def sleep(_):
        state = next(states)
        if state is not None:
            path.write_text(state)

    monkeypatch.setattr("cod_bayes.decide.watch.time.sleep", sleep)
    following = growing(path, lambda: gathered(path), 1.0)
    assert next(following)["rate"].tolist() == [0.1]
    assert next(following)["rate"].tolist() == [0.1, 0.2]
    states = iter([head + "b,1e21,7\n", None])  # no rate, and it stays so
    with pytest.raises(ValueError, match=r"a rate in \[0, 1\]"):
        next(following)


@pytest.mark.parametrize(("behind", "code", "looks"), [(0.0, 0, 4), (1.2, 3, 1)])
def test_watching_ends_with_the_run_or_with_its_departure(
    fitted, saved, tmp_path, capsys, monkeypatch, behind, code, looks
):
    compute = np.append(LOOKS[1:], TARGET)
    run = median_run(fitted, behind, compute).sort_values("compute", kind="stable")
    path, size = tmp_path / "run.csv", len(fitted.benchmarks)
    parts = iter([run.iloc[: size * (i + 1)] for i in range(1, 4)])
    run.iloc[:size].to_csv(path, index=False)
    monkeypatch.setattr(
        "cod_bayes.decide.watch.time.sleep", lambda _: next(parts).to_csv(path, index=False)
    )
    planned = [f"{flops:.6g}" for flops in compute]
    arguments = ["monitor", str(saved), str(path), "--watch", "60", "--planned", *planned]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == code
    printed = capsys.readouterr().out
    assert printed.count("Run against model") == looks
    assert ("departs: out since" in printed) == (code == 3)
    assert len(pd.read_csv(tmp_path / "out" / "looks.csv")) == looks
