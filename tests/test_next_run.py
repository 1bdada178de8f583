"""What further data is worth: known answers of the regression, then on a small fit."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from seeds import seed
from small_fit import run_fit, with_checks

from cod_bayes.cli import main
from cod_bayes.decide.candidates import ladder_scores
from cod_bayes.decide.compare import reaches
from cod_bayes.decide.next_run import _BLOCKS, _as_good, next_run, predicted
from cod_bayes.forecast.mapping import Mapping
from cod_bayes.forecast.posterior import Fit
from cod_bayes.show.plots import next_figure

TARGET = 1e24


@pytest.fixture(scope="module")
def fitted():
    return run_fit(slice(2, 6))


def unconverged(fitted):
    return with_checks(fitted, ["r_hat 1.234"])


def left(target, y):
    """Variance of each quantity that a regression on y leaves, relative to its own."""
    blocks = np.array_split(np.arange(len(y)), 8)
    return ((target - predicted(target, y, blocks)) ** 2).mean(axis=0) / target.var(axis=0)


def test_a_linear_and_a_quadratic_share_of_the_variance_are_found():
    rng = np.random.default_rng(seed(0))
    y = rng.standard_normal((20_000, 2))
    noise = rng.standard_normal((20_000, 3))
    target = noise + np.column_stack([2 * y[:, 0], y[:, 1] ** 2, 0 * y[:, 0]])
    np.testing.assert_allclose(target.var(axis=0), [5, 3, 1], rtol=0.05)
    np.testing.assert_allclose(left(target, y), [1 / 5, 1 / 3, 1], rtol=0.05)


def test_data_that_say_nothing_reduce_nothing_however_many():
    rng = np.random.default_rng(seed(0))
    target = rng.standard_normal((400, 1))
    shares = [left(target, rng.standard_normal((400, 40)))[0] for _ in range(20)]
    assert np.mean(shares) > 1  # the regression's own draws alone would leave 0.8
    assert left(target, np.ones((400, 1)))[0] == pytest.approx(1, rel=0.02)


def test_a_run_near_the_target_is_worth_more_than_a_tiny_one(fitted):
    result = next_run(fitted, TARGET, candidates=[1e19, 1e22, 5e23], seeds=[1])
    runs = result.table[result.table["kind"] == "run"]
    reduction = runs["reduction"].to_numpy()
    assert reduction[0] < 0.15 and reduction[2] > 0.3
    assert reduction[0] < reduction[1] < reduction[2]
    assert result.best["compute"] == 5e23
    after = runs["sd_before"] * np.sqrt(1 - reduction)
    np.testing.assert_allclose(runs["sd_after"], after, rtol=1e-9)


def test_more_models_of_one_compute_say_more_than_one_and_cost_as_much_more(fitted):
    table = next_run(fitted, TARGET, candidates=[1e22, 5e23], seeds=[1, 4], evaluation_cost=1e21)
    runs = table.table.query("kind == 'run' and compute == 5e23").set_index("seeds")
    assert runs.loc[4, "reduction"] > runs.loc[1, "reduction"] + 0.01
    np.testing.assert_allclose(runs["cost"], [5.01e23, 4 * 5.01e23])


def test_noise_is_told_from_a_difference(fitted):
    """Two runs of models that can do nothing beside one near the target."""
    result = next_run(fitted, TARGET, candidates=[1e15, 1e16, 5e23], cost=[1e-9, 1e-9, 1.0])
    small = result.table[result.table["compute"] < 1e18]
    assert not small["counts"].any() and small["reduction"].max() < 0.05
    assert result.best_per_cost["compute"] == 5e23  # however little the small ones cost
    alone = next_run(fitted, TARGET, candidates=[1e15], factor=1.0001)
    assert alone.best is None and alone.best_per_cost is None
    printed = json.loads(alone.to_json())
    assert printed["best"] is None and printed["best_per_cost"] is None


def test_a_candidate_is_as_good_where_noise_does_not_tell_it_from_the_best():
    noise = 0.05 * np.cos(np.arange(_BLOCKS))
    reductions = np.array([0.30 + noise, 0.29 - noise, 0.10 + noise, 0.31 - noise])
    counts = np.array([True, True, True, False])
    np.testing.assert_array_equal(_as_good(reductions, counts), [True, True, False, False])
    assert not _as_good(reductions, ~counts & False).any()


def test_of_candidates_that_are_as_good_the_cheapest_is_best(fitted):
    runs = [4.99e23, 5e23, 5.01e23]
    result = next_run(fitted, TARGET, candidates=runs, cost=[3.0, 1.0, 2.0], seeds=[1])
    as_good = result.table.assign(as_good=result.table["kind"] == "run")
    assert replace(result, table=as_good).best["compute"] == 5e23


def test_a_decision_is_worth_at_most_its_loss_and_little_far_from_the_edge(fitted):
    median = float(fitted.forecast(TARGET).draws["score"].mean("benchmark").median())
    options = {"candidates": [1e15, 9.9e23], "seeds": [1]}
    edge = next_run(fitted, TARGET, baseline=median, **options)
    small, large = edge.table["loss_less"][:2]
    assert 0 <= small < 0.1 * edge.loss < 0.3 * edge.loss < large <= edge.loss
    assert edge.best_for_decision["compute"] == 9.9e23
    far = next_run(fitted, TARGET, baseline=0.01, **options)
    assert far.loss == 0 and far.best_for_decision is None
    goal = reaches([f"{fitted.benchmarks[0]}>=0.5"])
    assert 0 < next_run(fitted, TARGET, utility=goal, baseline=0.5, **options).loss <= 0.5
    assert np.isnan(next_run(fitted, TARGET, **options).loss)


def test_what_costs_more_than_it_spares_does_not_count(fitted):
    median = float(fitted.forecast(TARGET).draws["score"].mean("benchmark").median())
    options = {"candidates": [9.9e23], "cost": [1.0], "seeds": [1], "baseline": median}
    less = next_run(fitted, TARGET, **options).table["loss_less"][0]
    for value, counts in ((0.9 / less, False), (1.1 / less, True)):
        result = next_run(fitted, TARGET, value=value, **options)
        assert result.table["counts"][0] == counts and (result.best is not None) == counts


def test_more_answers_are_worth_what_noise_the_ladder_has(fitted):
    """With a hundredth of the trials, noise is most of what is not known."""
    tree = fitted.idata.copy()
    tree.attrs = fitted.idata.attrs
    constant = tree["constant_data"].to_dataset()
    few = constant.assign(trials=constant["trials"] / 100)
    tree["constant_data"] = xr.DataTree(few)
    for fit, least in ((fitted, 0.0), (Fit(tree), 0.02)):
        table = next_run(fit, TARGET, candidates=[1e17], evaluation_cost=2.0, factor=3.0).table
        trials, items = (table[table["kind"] == kind].iloc[0] for kind in ("trials", "items"))
        assert items["reduction"] > least
        assert items["reduction"] >= trials["reduction"]
        assert trials["cost"] == 2 * 4 * 2.0  # twice the trials more, on four models


def test_scores_of_the_ladder_are_those_that_were_measured(fitted):
    measured = fitted.idata["constant_data"].to_dataset()["score"].values
    rng = np.random.default_rng(seed(0))
    for b in range(len(fitted.benchmarks)):
        drawn = ladder_scores(fitted, b, rng)
        np.testing.assert_allclose(drawn.mean(axis=0), measured[b], atol=0.02)
        assert (drawn.std(axis=0) < 0.03).all()


def test_the_sd_now_is_the_forecasts(fitted):
    result = next_run(fitted, TARGET)
    variance = float(fitted.forecast(TARGET).draws["score"].var(("chain", "draw")).mean())
    assert result.table["sd_before"].iloc[0] == pytest.approx(np.sqrt(variance), rel=0.1)
    name = fitted.benchmarks[1]
    alone = next_run(fitted, TARGET, benchmarks=[name])
    sd = fitted.forecast(TARGET).summary().set_index("benchmark").loc[name, "sd"]
    assert alone.table["sd_before"].iloc[0] == pytest.approx(sd, rel=0.1)


def test_candidates_by_default_span_the_ladder(fitted):
    compute = next_run(fitted, TARGET, seeds=[1]).table["compute"].dropna().to_numpy()
    ladder = fitted.idata["constant_data"].to_dataset()["compute"].values
    assert len(compute) == 5
    np.testing.assert_allclose(compute[[0, -1]], [0.3 * ladder.min(), 2 * ladder.max()])


def test_cost_decides_what_is_best_for_its_cost(fitted):
    runs = [1e22, 5e23]
    dear = next_run(fitted, TARGET, candidates=runs, seeds=[1])
    cheap = next_run(fitted, TARGET, candidates=runs, cost=[10.0, 1.0], seeds=[1])
    np.testing.assert_allclose(dear.table["cost"][:2], runs)
    np.testing.assert_allclose(
        cheap.table["per_cost"][:2], cheap.table["reduction"][:2] / np.array([10.0, 1.0])
    )
    assert dear.best_per_cost["compute"] == 1e22 and cheap.best_per_cost["compute"] == 5e23
    assert dear.best["compute"] == cheap.best["compute"] == 5e23


def test_an_anchor_is_offered_where_there_is_a_mapping(fitted, monkeypatch):
    assert "anchor" not in set(next_run(fitted, TARGET).table["kind"])
    name = fitted.benchmarks[0]
    target = fitted.draws([1e22, TARGET], one_run=True)["score"].sel(benchmark=name).values
    target = target[..., -1].reshape(-1, 1)
    ends = np.full((len(target), 2), [0.0, 0.999])
    # The rest's rate is the target's score itself: the anchor would tell nearly all.
    rng = np.random.default_rng(seed(0))
    informative = Mapping.of(0.5, ends, np.repeat(target, 2, axis=1), np.empty((0, 3)), 0.04, rng)
    monkeypatch.setattr(Fit, "mapping", lambda self, b: informative if b == name else None)
    for share, kinds in ((1.0, []), (0.5, ["anchor"])):
        predictable = xr.full_like(fitted.predictable, share)
        monkeypatch.setitem(vars(fitted), "predictable", predictable)
        result = next_run(fitted, TARGET, candidates=[1e22], benchmarks=[name], seeds=[1])
        # Where all is predictable, there is no rest.
        assert list(result.table["kind"]) == ["run", "trials", "items", *kinds]
    anchor = result.table.iloc[-1]
    assert anchor["benchmark"] == name
    assert anchor["reduction"] > 0.3 > result.table["reduction"].iloc[0]
    assert np.isnan(anchor["cost"]) and result.best_per_cost["kind"] == "run"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"candidates": []}, "expected candidates"),
        ({"candidates": [-1.0]}, "compute above 0"),
        ({"candidates": [np.nan]}, "compute above 0"),
        ({"candidates": [2 * TARGET]}, "below the target's 1e\\+24"),
        ({"candidates": [1e22], "cost": [1.0, 2.0]}, "one cost > 0 for each of 1 candidates"),
        ({"candidates": [1e22], "cost": [0.0]}, "one cost > 0"),
        ({"benchmarks": ["other"]}, r"expected benchmarks of this posterior, .*\['other'\]"),
        ({"benchmarks": []}, "at least one benchmark"),
        ({"seeds": []}, "numbers of seeds from 1 to 10"),
        ({"seeds": [0]}, "numbers of seeds from 1 to 10"),
        ({"factor": 1.0}, "a factor of trials and items above 1"),
        ({"evaluation_cost": 0.0}, "evaluation cost > 0"),
        ({"utility": reaches("b>=0.5")}, "a baseline beside a goal"),
        ({"value": 1.0}, "a baseline beside a goal"),
        ({"baseline": np.inf}, "finite baseline"),
        ({"baseline": 0.5, "value": -1.0}, "value > 0"),
    ],
)
def test_bad_settings_are_refused(fitted, arguments, message):
    with pytest.raises(ValueError, match=message):
        next_run(fitted, TARGET, **arguments)
    with pytest.raises(ValueError, match="target compute > 0"):
        next_run(fitted, -1.0)


def test_command_answers_and_says_what_is_unconverged(fitted, tmp_path, capsys):
    fitted.save(tmp_path / "p.nc", fitted.forecast(TARGET))
    arguments = ["next", str(tmp_path / "p.nc"), "--candidates", "1e22", "5e23"]
    assert main([*arguments, "--json", "--cost", "1", "8", "--out", str(tmp_path / "out")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["target_compute"] == TARGET and printed["best"]["compute"] == 5e23
    assert [row["cost"] for row in printed["candidates"][:4]] == [1, 2, 8, 16]
    assert (tmp_path / "out" / "next.png").stat().st_size > 10_000
    assert len(pd.read_csv(tmp_path / "out" / "candidates.csv")) == 6
    assert main([*arguments, "--seeds", "1"]) == 0
    assert "narrows most: run of 5e+23 FLOPs" in capsys.readouterr().out
    decision = ["--goal", f"{fitted.benchmarks[0]}>=0.8", "--baseline", "0.5", "--seeds", "1"]
    assert main([*arguments, *decision]) == 0
    assert "expected loss of deciding now" in capsys.readouterr().out
    assert main([*arguments, "--baseline", "0.5", "--value", "1e-9"]) == 0
    assert "no candidate is worth its cost" in capsys.readouterr().out

    doubtful = unconverged(fitted)
    doubtful.save(tmp_path / "p.nc", doubtful.forecast(TARGET))
    assert main(arguments) == 0
    assert "unconverged: r_hat 1.234" in " ".join(capsys.readouterr().out.split())
    result = next_run(doubtful, TARGET)
    assert json.loads(result.to_json())["failed_checks"] == ["r_hat 1.234"]
    assert "unconverged: r_hat 1.234" in next_figure(result)._suptitle.get_text()
    assert main([*arguments, "--benchmark", "other"]) == 2
    assert "expected benchmarks of this posterior" in capsys.readouterr().err
