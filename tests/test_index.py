"""Weighted means of benchmarks, joined forecasts, and what makes both of them honest."""

import json
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from fake_fit import FakeFit
from seeds import seed

from cod_bayes import Index, join, load
from cod_bayes.cli import main
from cod_bayes.decide.compare import compare, mean_score, reaches
from cod_bayes.decide.plan import plan
from cod_bayes.decide.register import joint_score, register, settle, settlement
from cod_bayes.evaluate.backtest import backtest, index_scores, scores
from cod_bayes.evaluate.scoring import crps, energy_score
from cod_bayes.evidence.record import read_table
from cod_bayes.forecast.groups import score_trials
from cod_bayes.forecast.index import add_indexes, members
from cod_bayes.forecast.outlook import Forecast
from cod_bayes.forecast.posterior import Fit
from cod_bayes.forecast.storage import load as load_fit
from cod_bayes.model.equations import radians

NAMES = ["GSM8K", "mmlu_bio", "mmlu_law"]
TARGETS = [1e24, 3.8e24]


@pytest.fixture(scope="module")
def fit(posterior_file):
    """Of "GSM8K" and "My bench"."""
    return load(posterior_file)


@pytest.fixture(scope="module")
def apart():
    """A fit of each of three benchmarks, with one seed; the last has fewer draws."""
    from dataclasses import replace

    from cod_bayes.evaluate.simulate import PAPER_BENCHMARKS, simulate
    from cod_bayes.forecast.fitting import fit

    several = [replace(b, n_items=40) for b in PAPER_BENCHMARKS[:3]]
    world = simulate(seed(4), benchmarks=several, trials=1, anchors=0, include_target=False)
    fits = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, draws in zip(world.evidence.benchmarks, (150, 150, 100), strict=True):
            one = world.evidence.select(benchmarks=[name])
            fits.append(fit(one, random_seed=seed(4), draws=draws, progressbar=False, preview=True))
    return fits


def outlook(p=(0.9, 0.9, 0.1), items=(100, 10, 30)):
    """A forecast of NAMES from independent normals."""
    rng = np.random.default_rng(seed(0))
    score = 0.5 + 0.03 * rng.standard_normal((4, 500, 3, 2))
    dims = ("chain", "draw", "benchmark", "compute")
    draws = xr.Dataset(
        {
            "score": (dims, score),
            "subset_score": (dims, score / 2),
            "predictable_share": ("benchmark", np.array(p) / 2),
            "p_predictable": ("benchmark", list(p)),
            "items": ("benchmark", np.array(items, float)),
            "ladder_models": ("benchmark", [6, 6, 6]),
            "target": (("chain", "draw"), np.arange(2000).reshape(4, 500)),
        },
        {"benchmark": NAMES, "compute": TARGETS},
        {"random_seed": 0},
    )
    return Forecast(draws, ())


def changed(fit, **scales):
    """The same fit with these scales of the shocks, in both posteriors."""
    tree = fit.idata.copy()
    for group in ("posterior", "whole/posterior"):
        if group == "posterior" or "whole" in tree.children:
            p = tree[group].to_dataset()
            tree[group] = xr.DataTree(p.assign({n: p[n] * 0 + v for n, v in scales.items()}))
    return Fit(tree)


def correlation(forecast, first, second):
    score = forecast.draws["score"].isel(compute=0)
    return np.corrcoef(*(score.sel(benchmark=n).values.ravel() for n in (first, second)))[0, 1]


# --- the mean ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "benchmarks", "expected"),
    [
        ("equal", "*", [1 / 3, 1 / 3, 1 / 3]),
        ("equal", ["mmlu_*"], [0, 1 / 2, 1 / 2]),
        ("items", "mmlu_*", [0, 1 / 4, 3 / 4]),
        ("items", ["mmlu_law", "GSM8K"], [100 / 130, 0, 30 / 130]),
        ({"GSM8K": 3, "mmlu_bio": 1}, "*", [3 / 4, 1 / 4, 0]),
    ],
)
def test_an_index_is_the_weighted_mean_of_every_draw(weights, benchmarks, expected):
    found = outlook().index("mean", weights, benchmarks)
    score = found.draws["score"]
    mean = (outlook().draws["score"].values * np.array(expected)[:, None]).sum(axis=2)
    np.testing.assert_allclose(score.sel(benchmark="mean").values, mean)
    assert score.dims == outlook().draws["score"].dims
    assert members(found.draws)["mean"] == pytest.approx(
        {n: w for n, w in zip(NAMES, expected, strict=True) if w}
    )
    kept = found.draws.sel(benchmark=NAMES)
    np.testing.assert_array_equal(kept["score"], outlook().draws["score"])


def test_an_index_answers_like_a_benchmark():
    found = outlook().index("mmlu", benchmarks="mmlu_*")
    row = found.summary().set_index(["benchmark", "compute"]).loc[("mmlu", 1e24)]
    draws = found.draws["score"].sel(benchmark="mmlu", compute=1e24)
    assert row["q95"] == pytest.approx(np.quantile(draws, 0.95))
    assert row["sd"] == pytest.approx(0.03 / np.sqrt(2), rel=0.1)
    share = float((draws >= 0.52).mean())
    assert found.probability("mmlu", 0.52).sel(compute=1e24) == pytest.approx(share)


@pytest.mark.parametrize(
    ("p", "verdict"), [((0.9, 0.9, 0.2), "forecastable"), ((0.9, 0.5, 0.4), "not forecastable")]
)
def test_the_verdict_is_by_the_width_and_the_weighted_probability(p, verdict):
    found = outlook(p).index("mmlu", benchmarks="mmlu_*").summary()
    assert set(found.loc[found["benchmark"] == "mmlu", "verdict"]) == {verdict}
    of_one = outlook(p).index("same", benchmarks="GSM8K").summary().set_index("benchmark")
    same, of = (of_one.loc[name].reset_index(drop=True) for name in ("same", "GSM8K"))
    pd.testing.assert_frame_equal(same, of)


def test_an_index_may_stand_in_a_later_one_by_its_full_name():
    found = outlook().with_indexes(
        [Index("mmlu", "mmlu_*", "items"), Index("all", ["mmlu", "GSM8K"]), Index("every", "*")]
    )
    of = members(found.draws)
    assert of["all"] == pytest.approx({"GSM8K": 0.5, "mmlu_bio": 0.125, "mmlu_law": 0.375})
    assert of["every"] == pytest.approx(dict.fromkeys(NAMES, 1 / 3))  # patterns match no index
    assert found.draws["items"].sel(benchmark="all") == 140
    assert list(found.of_benchmarks().draws["benchmark"].values) == NAMES
    assert found.of_benchmarks().indexes == ()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("GSM8K",), "new name, got 'GSM8K', which a benchmark has"),
        (("old",), "new name, got 'old', which another index has"),
        (("m", "equal", "mlu_*"), "index 'm': no benchmark matches 'mlu_*'; close names: mmlu_"),
        (("m", "equal", []), "name and benchmarks"),
        (("", "equal"), "name and benchmarks"),
        (("m", "trials"), "'equal', 'items' or numbers by name, got 'trials'"),
        (("m", {"GSM8": 1}), "no benchmark matches 'GSM8'; close names: GSM8K"),
        (("m", {"GSM8K": -1}), "weights >= 0 with a sum > 0"),
        (("m", {"GSM8K": 0}), "weights >= 0 with a sum > 0"),
        (("m", {"GSM8K": np.nan}), "weights >= 0 with a sum > 0"),
        (("m", {"GSM8K": 1}, "mmlu_*"), "weights with a sum > 0"),
    ],
)
def test_what_is_no_index_is_refused(arguments, match):
    with pytest.raises(ValueError) as error:
        outlook().index("old").index(*arguments)
    assert match in str(error.value) and "\n" not in str(error.value)


def test_weights_by_items_need_numbers_of_items():
    with pytest.raises(ValueError, match="numbers of items"):
        add_indexes(
            FakeFit({"a": (0, 0.1, 1), "b": (0, 0.1, 1)}).draws(1e24), [Index("m", "*", "items")]
        )


@pytest.mark.parametrize("text", ["mmlu", "=a", "mmlu=", "mmlu=a,,b"])
def test_a_text_that_is_no_index_is_refused(text):
    with pytest.raises(ValueError, match="NAME=GLOB"):
        Index.parse(text)


def test_a_text_is_an_index():
    assert Index.parse(" mmlu = mmlu_*, other ", "items") == Index(
        "mmlu", ["mmlu_*", "other"], "items"
    )


def test_items_of_a_benchmark_are_those_of_the_evidence(fit):
    np.testing.assert_array_equal(fit.draws(1e24)["items"], [60, 60])


def test_a_file_keeps_the_indexes_of_its_forecast(fit, tmp_path):
    found = fit.forecast(TARGETS).index("mean", "items")
    fit.save(tmp_path / "p.nc", found)
    saved = load(tmp_path / "p.nc").idata["predictions"].to_dataset()
    again = Forecast(saved, ())
    assert again.indexes == found.indexes
    pd.testing.assert_frame_equal(again.summary(), Forecast(found.draws, ()).summary())


# --- draws of one target model -------------------------------------------------------------------


def test_a_draw_of_all_benchmarks_is_of_one_target_model(fit):
    """They share the shock of the target, of standard deviation sigma_model, and only that."""
    small = {"sigma_delta": 1e-6, "sigma_omega": 1e-6, "tau": 1e-6, "delta": 0.0, "lead": 0.0}
    shared = changed(fit, sigma_model=0.5, **small).forecast(1e24)
    assert correlation(shared, "GSM8K", "My bench") > 0.8
    own = changed(fit, sigma_model=1e-6, **small).forecast(1e24)
    assert abs(correlation(own, "GSM8K", "My bench")) < 0.3
    both = shared.index("mean").summary().set_index("benchmark")["sd"]
    assert both["mean"] > 0.9 * both[["GSM8K", "My bench"]].mean()


@pytest.mark.parametrize("measured", [True, False])
def test_a_draw_does_not_depend_on_what_else_is_asked_for(fit, measured):
    every = fit.draws([1e23, *TARGETS], measured=measured)
    for name in fit.benchmarks:
        alone = fit.draws(TARGETS[0], benchmarks=[name], measured=measured)
        of_all = every.sel(benchmark=[name], compute=[TARGETS[0]])
        for variable in ("score", "subset_score", "target"):
            np.testing.assert_allclose(alone[variable], of_all[variable], rtol=1e-12)


def test_the_noise_of_an_evaluation_is_one_normal_per_draw_and_benchmark(fit):
    """z + N(0, 1 / (4 n) + evaluation_noise^2), the same normal at all computes."""
    plain, noisy = (fit.draws(TARGETS, measured=m) for m in (False, True))
    e = {}
    trials = dict(zip(fit.benchmarks, score_trials(fit.idata), strict=True))
    for name in fit.benchmarks:
        of = [radians(d["score"].sel(benchmark=name).values) for d in (noisy, plain)]
        sd = np.sqrt(0.25 / trials[name] + 0.004**2)
        inside = (of[0] > 0) & (of[0] < np.pi / 2)
        e[name] = np.where(inside, (of[0] - of[1]) / sd, np.nan).reshape(-1, len(TARGETS))
        assert np.nanstd(e[name]) == pytest.approx(1, abs=0.1)
        both = np.isfinite(e[name]).all(axis=1)
        np.testing.assert_allclose(e[name][both, 0], e[name][both, 1], atol=1e-6)
    first, second = (of[:, 0] for of in e.values())
    both = np.isfinite(first) & np.isfinite(second)
    assert abs(np.corrcoef(first[both], second[both])[0, 1]) < 5 / np.sqrt(both.sum())


# --- ladders fitted apart ------------------------------------------------------------------------


def test_joined_forecasts_keep_their_draws_and_get_one_order(apart):
    forecasts = [fit.forecast(TARGETS) for fit in apart]
    joined = join(forecasts)
    assert joined.draws["score"].dims == forecasts[0].draws["score"].dims
    fewest = min(forecasts, key=lambda f: f.draws["target"].size).draws["target"]
    assert joined.draws["target"].shape == fewest.shape
    where = joined.draws["target"].values.ravel()
    for one in forecasts:
        (name,) = one.draws["benchmark"].values
        of = dict(
            zip(
                one.draws["target"].values.ravel(),
                one.draws["score"].values.reshape(-1, len(TARGETS)),
                strict=True,
            )
        )
        score = joined.draws["score"].sel(benchmark=name).values.reshape(-1, len(TARGETS))
        np.testing.assert_array_equal(score, [of[target] for target in where])
    index = joined.index("mean").draws["score"].sel(benchmark="mean")
    np.testing.assert_allclose(index, joined.draws["score"].mean("benchmark"))


@pytest.mark.parametrize(("sigma_model", "low", "high"), [(50.0, 0.5, 1.0), (0.02, -0.2, 0.2)])
def test_joined_forecasts_share_the_shock_of_the_target(apart, sigma_model, low, high):
    """A benchmark fitted alone has one shock, of which a share is the target's on all benchmarks:
    the share depends on the two scales, the size of the shock on sigma_delta alone."""

    def forecast(fit, sigma_model):
        scales = {"sigma_delta": 2.0, "sigma_omega": 1e-6, "tau": 1e-6}
        return changed(fit, sigma_model=sigma_model, **scales).forecast(2e23)

    pair = [forecast(fit, sigma_model) for fit in apart[:2]]
    names = [str(f.draws["benchmark"].values[0]) for f in pair]
    assert low < correlation(join(pair), *names) < high
    sd = pair[0].summary()["sd"].item()
    assert sd == pytest.approx(forecast(apart[0], 2.0).summary()["sd"].item(), rel=0.1)


@pytest.mark.parametrize("one_run", [False, True])
def test_joined_forecasts_share_the_common_part_of_omega(apart, one_run):
    """omega of two benchmarks has the correlation shared_omega at one target."""
    rho = apart[0].spec.constants["shared_omega"]
    pair = [
        Forecast(
            changed(fit, sigma_model=1e-6, sigma_delta=1e-6, tau=1e-6, sigma_omega=0.3).draws(
                1e24, one_run=one_run, measured=False
            ),
            (),
        )
        for fit in apart[:2]
    ]
    names = [str(f.draws["benchmark"].values[0]) for f in pair]
    assert correlation(join(pair), *names) == pytest.approx(rho, abs=0.15)


def test_forecasts_that_cannot_be_joined_are_refused(apart):
    first, second = (fit.forecast(1e24) for fit in apart[:2])
    with pytest.raises(ValueError, match="same computes"):
        join([first, apart[1].forecast(2e24)])
    other = Forecast(second.draws.assign_attrs(random_seed=99), ())
    with pytest.raises(ValueError, match=r"same random_seed, got .* and 99"):
        join([first, other])
    with pytest.raises(ValueError, match="different benchmarks"):
        join([first, first])
    with pytest.raises(ValueError, match="at least one"):
        join([])


def test_indexes_and_failed_checks_of_joined_forecasts_stay(apart):
    first, second = (fit.forecast(1e24) for fit in apart[:2])
    joined = join(
        [
            Forecast(first.index("one").draws, ("r_hat", "ess")),
            Forecast(second.index("two").draws, ("r_hat",)),
        ]
    )
    assert joined.failed_checks == ("r_hat", "ess")
    assert [index.name for index in joined.indexes] == ["one", "two"]
    assert members(joined.draws)["one"] == {str(first.draws["benchmark"].values[0]): 1.0}


# --- decisions -----------------------------------------------------------------------------------

# Score 0.5 + 0.1 decades + sd e; the mean of two with independent e has sd / sqrt(2).
FAKE = {"a": (0.1, 0.04, 1.0), "b": (0.1, 0.04, 1.0)}
MEAN = Index("mean")


def test_a_goal_on_an_index_needs_less_compute_than_goals_on_all_its_benchmarks():
    from scipy import stats

    found = plan(FakeFit(FAKE), "mean>=0.6", indexes=[MEAN])
    z = stats.norm.ppf(0.9)
    expected = 24 + (0.1 + z * 0.04 / np.sqrt(2)) / 0.1
    assert np.log10(found.compute_at_probability) == pytest.approx(expected, abs=0.04)
    both = plan(FakeFit(FAKE), ["a>=0.6", "b>=0.6"])
    assert found.compute_at_probability < both.compute_at_probability
    shared = plan(FakeFit(FAKE, shared=True), "mean>=0.6", indexes=[MEAN])
    expected = 24 + (0.1 + z * 0.04) / 0.1
    assert np.log10(shared.compute_at_probability) == pytest.approx(expected, abs=0.04)
    with pytest.raises(ValueError, match=r"got .*'mean'"):
        plan(FakeFit(FAKE), "mean>=0.6")


def test_designs_are_compared_by_an_index():
    designs = {"A": (FakeFit(FAKE), 1e24), "B": (FakeFit(FAKE, seed=1), 1e25)}
    index = Index("of b", "b")
    table = compare(designs, indexes=[index]).table
    pd.testing.assert_frame_equal(table, compare(designs, mean_score({"b": 1})).table)
    met = compare(designs, reaches("mean>=0.55"), indexes=[MEAN]).table
    assert 0 <= met.loc["A", "score"] < met.loc["B", "score"] <= 1
    other = {"A": (FakeFit(FAKE), 1e24), "B": (FakeFit({"a": FAKE["a"]}), 1e24)}
    with pytest.raises(ValueError, match="same benchmarks in an index"):
        compare(other, indexes=[MEAN])


@pytest.fixture
def record(tmp_path):
    (tmp_path / "p.nc").write_bytes(b"posterior")
    return register(
        FakeFit(FAKE), 1e24, tmp_path / "p.nc", indexes=[Index("m", "*", {"a": 3, "b": 1})]
    )


def test_an_index_is_settled_by_the_results_of_its_benchmarks(record):
    assert record["indexes"] == {"m": {"a": 0.75, "b": 0.25}}
    table = settle(record, {"a": 0.4, "b": 0.6}).set_index("benchmark")
    assert table.loc["m", "actual"] == pytest.approx(0.45)
    draws = FakeFit(FAKE).draws(1e24)["score"].isel(compute=0)
    mean = (draws * [0.75, 0.25]).sum("benchmark").values.ravel()
    assert table.loc["m", "crps"] == pytest.approx(crps(mean, 0.45), rel=0.02)
    assert list(settle(record, {"a": 0.4})["benchmark"]) == ["a"]
    given = settle(record, {"a": 0.4, "b": 0.6, "m": 0.5}).set_index("benchmark")
    assert given.loc["m", "actual"] == 0.5


def test_means_of_a_settlement_are_over_benchmarks_and_joint(record):
    table = settle(record, {"a": 0.4, "b": 0.6})
    found = settlement(record, table)
    assert found["mean_crps"] == pytest.approx(table["crps"][:2].mean())
    draws = FakeFit(FAKE).draws(1e24)["score"].values.reshape(-1, 2)
    expected = energy_score(draws, [0.4, 0.6])
    assert found["energy_score"] == pytest.approx(expected, rel=0.1)
    json.dumps(found, allow_nan=False)
    assert joint_score(record, settle(record, {"a": 0.4})) is None


def test_a_registration_without_draws_and_indexes_is_settled_as_before(record):
    old = {name: value for name, value in record.items() if name != "indexes"}
    old["forecasts"] = [
        {name: value for name, value in row.items() if name != "draws"}
        for row in record["forecasts"]
        if row["benchmark"] != "m"
    ]
    table = settle(old, {"a": 0.4, "b": 0.6})
    assert settlement(old, table)["energy_score"] is None
    pd.testing.assert_frame_equal(table, settle(record, {"a": 0.4, "b": 0.6})[:2])


# --- scores --------------------------------------------------------------------------------------


def test_the_energy_score_of_one_benchmark_is_the_crps():
    x = np.random.default_rng(seed(0)).normal(0.5, 0.1, 900)
    assert energy_score(x[:, None], [0.6]) == pytest.approx(float(crps(x, 0.6)))
    twice = energy_score(np.column_stack([x, x]), [0.6, 0.6])
    assert twice == pytest.approx(float(crps(x, 0.6)))


def test_the_energy_score_prefers_the_true_dependence():
    rng = np.random.default_rng(seed(1))
    x = np.tile(rng.normal(0, 1, (800, 1)), 8)
    apart = rng.permuted(x, axis=0)
    actual = np.tile(rng.normal(0, 1, (300, 1)), 8)
    true, independent = (np.mean([energy_score(d, y) for y in actual]) for d in (x, apart))
    assert true < independent


def ladder(benchmarks=("a", "b", "c"), items=(10, 20, 30)):
    rng = np.random.default_rng(seed(0))
    rows = []
    for name, n in zip(benchmarks, items, strict=True):
        for k, compute in enumerate(1e20 * 4.0 ** np.arange(6)):
            right = rng.binomial(20, 0.9 * np.exp(-1.5 * (compute / 1e21) ** -0.3), n)
            rows += [
                (name, f"i{i}", f"m{k}", compute, int(c), 20, 0.0) for i, c in enumerate(right)
            ]
    names = ["benchmark", "item", "model", "compute", "n_correct", "n_trials", "chance"]
    return pd.DataFrame(rows, columns=names)


def backtested(evidence, targets, *methods, indexes=(), out=None):
    """A backtest in this process."""
    with ThreadPoolExecutor(1) as pool:
        return backtest(evidence, targets, methods, pool, 0, False, out, indexes)


@pytest.mark.parametrize("weights", ["equal", "items"])
def test_a_backtest_scores_an_index_and_the_joint_forecast(weights, tmp_path):
    evidence, index = read_table(ladder()), Index("mean", "[ab]", weights)
    rows = backtested(evidence, 1, "persistence", "krajewski", out=tmp_path, indexes=[index])
    assert set(rows["benchmark"]) == {"a", "b", "c", "mean"}
    one = rows[rows["method"] == "persistence"].set_index("benchmark")
    share = [1 / 2, 1 / 2] if weights == "equal" else [1 / 3, 2 / 3]
    assert one.loc["mean", "actual"] == pytest.approx(one.loc[["a", "b"], "actual"] @ share)
    assert one.loc["mean", "mean"] == pytest.approx(one.loc[["a", "b"], "mean"] @ share)
    # Rivals' benchmarks are joined as independent.
    sd = (one["q95"] - one["q05"])[["a", "b"]] * share
    assert one.loc["mean", "q95"] - one.loc["mean", "q05"] == pytest.approx(np.hypot(*sd), rel=0.25)
    assert one["energy_score"].nunique() == 1 and one["energy_score"].iloc[0] > 0
    table = scores(rows)
    assert table["n"].tolist() == [3, 3, 3, 3]
    assert table["energy_score"].iloc[0] == pytest.approx(100 * one["energy_score"].iloc[0])
    assert index_scores(rows)[["index", "method", "n"]].values.tolist() == [
        ["mean", "persistence", 1],
        ["mean", "krajewski", 1],
    ]
    again = backtested(evidence, 1, "persistence", "krajewski", out=tmp_path, indexes=[index])
    pd.testing.assert_frame_equal(again, rows)  # seconds too: read, not run
    without = backtested(evidence, 1, "persistence", out=tmp_path)
    assert set(without["benchmark"]) == {"a", "b", "c"}


def test_a_target_without_all_benchmarks_of_an_index_has_no_row_of_it():
    table = ladder()
    table = table[(table["benchmark"] != "b") | (table["model"] != "m5")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evidence = read_table(table)
    rows = backtested(evidence, 2, "persistence", indexes=[Index("mean", ["a", "b"])])
    assert set(rows.loc[rows["kind"] == "index", "target"]) == {"m4"}
    lonely = table[(table["benchmark"] != "a") | (table["model"] != "m4")]
    with pytest.raises(ValueError, match="a target with results on all its benchmarks"):
        backtested(read_table(lonely), 1, "persistence", indexes=[Index("mean", ["a", "b"])])


def test_an_index_lacks_a_forecast_where_a_benchmark_does():
    table = ladder(("a", "b"), (10, 10)).assign(loss=np.nan)
    methods = ("loss_intermediate", "persistence")
    rows = backtested(read_table(table), 1, *methods, indexes=[MEAN])
    failed = rows[(rows["kind"] == "index") & (rows["method"] == "loss_intermediate")].iloc[0]
    assert failed["error"] == "no forecast of a" and np.isnan(failed["crps"])
    assert rows.loc[rows["method"] == "loss_intermediate", "energy_score"].isna().all()
    assert set(index_scores(rows)["method"]) == {"persistence"}


def test_an_index_of_unknown_benchmarks_is_refused_before_the_work():
    with pytest.raises(ValueError, match="no benchmark matches 'mmlu"):
        backtested(read_table(ladder()), 1, "persistence", indexes=[Index("m", "mmlu_*")])


# --- command line --------------------------------------------------------------------------------


def test_commands_on_a_posterior_take_an_index(posterior_file, tmp_path, capsys):
    index = ["--index", "mean=GSM8K,My*"]
    assert main(["plan", str(posterior_file), "--goal", "mean>=0.5", *index, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["goals"][0]["benchmark"] == "mean"
    design = f"A={posterior_file}@1e24"
    assert main(["compare", design, *index, "--index-weights", "items", "--json"]) == 0
    score = json.loads(capsys.readouterr().out)["designs"]["A"]["score"]
    outlook = load_fit(posterior_file).forecast(1e24).index("mean", "items")
    row = outlook.summary().set_index("benchmark").loc["mean"]
    assert score == pytest.approx(row["mean"])

    record = tmp_path / "r.json"
    target = ["--target-compute", "1e24"]
    assert main(["register", str(posterior_file), *target, *index, "--out", str(record)]) == 0
    assert "registered: 3 forecasts" in capsys.readouterr().out
    results = ["--result", "GSM8K=0.8", "--result", "My bench=0.6"]
    assert main(["settle", str(record), *results]) == 0
    assert "70.0" in capsys.readouterr().out
    settled = json.loads((tmp_path / "r.settled.json").read_text())
    assert [row["benchmark"] for row in settled["scores"]] == ["GSM8K", "My bench", "mean"]
    assert settled["energy_score"] > 0


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("mmlu=mmlu_*", "index 'mmlu': no benchmark matches 'mmlu_*'; there are: "),
        ("GSM8K=*", "expected an index of a new name, got 'GSM8K', which a benchmark has"),
        ("mmlu", "expected an index NAME=GLOB[,GLOB...]"),
    ],
)
@pytest.mark.parametrize("command", ["forecast", "plan", "report", "register", "compare"])
def test_an_index_that_is_none_is_refused_in_a_sentence(
    posterior_file, tmp_path, capsys, command, index, message
):
    ladder(("GSM8K", "b"), (5, 5)).to_csv(tmp_path / "t.csv", index=False)
    target, out = ["--target-compute", "1e24"], ["--out", str(tmp_path / "out")]
    more = {
        "forecast": [str(tmp_path / "t.csv"), *target, *out],
        "plan": [str(posterior_file), "--goal", "GSM8K>=0.5"],
        "report": [str(posterior_file), *target, "--out", str(tmp_path / "r.html")],
        "register": [str(posterior_file), *target, "--out", str(tmp_path / "r.json")],
        "compare": [f"A={posterior_file}@1e24"],
    }[command]
    assert main([command, *more, "--index", index]) == 2
    said = capsys.readouterr().err.strip()
    assert message in said and len(said.splitlines()) == 1


def test_a_backtest_prints_the_scores_of_its_indexes(tmp_path, capsys):
    ladder().to_csv(tmp_path / "t.csv", index=False)
    out = ["--out", str(tmp_path / "b"), "--methods", "persistence", "--targets", "1", "-q"]
    call = ["backtest", str(tmp_path / "t.csv"), *out, "--index", "mean=a,b"]
    assert main(call) == 0
    said = capsys.readouterr().out
    assert "Scores of forecasts of indexes" in said and "energy score" in said
    assert main([*call, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["index_scores"][0]["index"] == "mean"
