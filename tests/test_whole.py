"""Two posteriors of one evidence: of its clusters, and of every benchmark as one curve."""

import dataclasses
import json
import warnings

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from seeds import seed

import cod_bayes.forecast.curves
import cod_bayes.sampling.nuts
from cod_bayes.decide.monitor import monitor
from cod_bayes.decide.next_run import next_run
from cod_bayes.evaluate.simulate import PAPER_BENCHMARKS, simulate
from cod_bayes.forecast.curves import Curves
from cod_bayes.forecast.fitting import ConvergenceWarning, Interrupted, fit
from cod_bayes.forecast.groups import score_trials
from cod_bayes.forecast.mapping import Mapping
from cod_bayes.forecast.outlook import Forecast
from cod_bayes.forecast.posterior import Fit
from cod_bayes.forecast.storage import load
from cod_bayes.forecast.target import Target, effective_share, mean_of
from cod_bayes.model.equations import accuracy, radians

ASKED = [1e24, 4e24]
MBPP = dataclasses.replace(PAPER_BENCHMARKS[4], n_items=1000)  # 50 items: several clusters
OPTIONS = {"random_seed": seed(2), "draws": 200, "tune": 200, "progressbar": False}


def evidence(benchmarks=(MBPP, PAPER_BENCHMARKS[5]), trials=100):
    return simulate(
        seed(4),
        benchmarks=benchmarks,
        items_scale=0.05,
        trials=trials,
        anchors=0,
        include_target=False,
    ).evidence


@pytest.fixture(scope="module")
def fitted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # few draws
        return fit(evidence(), **OPTIONS)


def changed(fitted, **groups):
    """The fit with other groups; None leaves one out."""
    tree = fitted.idata.copy()
    for name, group in groups.items():
        if name in tree.children:
            del tree[name]
        if group is not None:
            tree[name] = group
    return Fit(tree)


def cut(tree, draws):
    """The tree with these draws of every group that has any."""
    return tree.map_over_datasets(
        lambda group: group.isel(draw=draws) if "draw" in group.dims else group
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"one_run": True},
        {"one_run": True, "continues": True},
        {"model_seed": 3},
        {"benchmarks": ["MBPP"]},
    ],
    ids=str,
)
def test_a_score_is_the_mean_of_the_clusters_and_of_the_whole(fitted, options):
    assert (fitted.whole.summary()["weight"] == 1).all()
    equal = Fit(cut(fitted.idata, slice(0, 200)))
    both, clusters, whole = (
        f.draws(ASKED, measured=False, **options)["score"]
        for f in (equal, equal.alone, equal.whole)
    )
    shares = equal.summary().groupby("benchmark")["weight"]
    for name in both["benchmark"].values:
        three = (d.sel(benchmark=name).values.reshape(-1, 2) for d in (both, clusters, whole))
        got, c, w = three
        rho = max(2 * shares.get_group(name).max() - 1, 0)
        np.testing.assert_allclose(got, mean_of(c, w, rho), atol=1e-9)


def two(means, sds, n=20_000):
    """Draws of two scores, normal in radians."""
    z = np.array(means) + np.array(sds) * np.random.default_rng(seed(0)).standard_normal((n, 2))
    return np.sin(z.T[:, :, None]) ** 2


def spread(score):
    return np.arcsin(np.sqrt(score)).std()


def test_the_more_precise_of_two_counts_for_more():
    got = np.arcsin(np.sqrt(mean_of(*two([0.7, 0.73], [0.02, 0.04]), 0.0)))
    assert got.mean() == pytest.approx(0.8 * 0.7 + 0.2 * 0.73, abs=1e-3)
    assert got.std() == pytest.approx((1 / (1 / 0.02**2 + 1 / 0.04**2)) ** 0.5, rel=0.02)


def test_two_that_cannot_differ_are_as_wide_together_as_alone():
    assert spread(mean_of(*two([0.7, 0.7], [0.03, 0.03]), 1.0)) == pytest.approx(0.03, rel=0.02)


def test_a_shock_that_both_share_is_counted_once():
    rng = np.random.default_rng(seed(1))
    shock, *own = rng.standard_normal((3, 20_000, 1))
    for alike, correlation in ((0.0, 0.5), (0.3, 0.5), (0.5, 0.5), (0.8, 0.8), (1.0, 1.0)):
        each = [np.sin(0.7 + 0.03 * (shock + e) / 2**0.5) ** 2 for e in own]
        expected = 0.03 * ((1 + correlation) / 2) ** 0.5
        assert spread(mean_of(*each, alike)) == pytest.approx(expected, rel=0.02)


def test_two_that_disagree_are_wide_together():
    alone = spread(mean_of(*two([0.7, 0.7], [0.03, 0.03]), 0.2))
    apart = spread(mean_of(*two([0.6, 0.8], [0.03, 0.03]), 0.2))
    assert apart / alone == pytest.approx(0.2 / (2 * 0.03**2) ** 0.5, rel=0.05)


def test_two_that_do_not_vary_count_alike():
    zero, one = np.zeros((5, 1)), np.ones((5, 1))
    np.testing.assert_allclose(mean_of(zero, one, 0.3), 0.5)
    at = np.arcsin(np.sqrt([0.2, 0.77])).mean()  # their variances are rounding
    both = mean_of(np.full((3201, 1), 0.2), np.full((3201, 1), 0.77), 0.0)
    np.testing.assert_allclose(both, np.sin(at) ** 2)
    np.testing.assert_allclose(mean_of(zero, zero, 0.3), 0)


def test_a_benchmark_of_one_cluster_is_its_own_curve_s():
    few = dataclasses.replace(PAPER_BENCHMARKS[2], n_items=60)  # 3 items: one cluster
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixed = fit(evidence([MBPP, few]), **OPTIONS)
    both, alone = (f.draws(ASKED)["score"] for f in (mixed, mixed.alone))
    subset = mixed.draws(ASKED)["subset_score"].sel(benchmark="BBH")
    np.testing.assert_array_equal(subset, both.sel(benchmark="BBH"))
    np.testing.assert_array_equal(mixed.subset_weight("BBH"), 1)
    np.testing.assert_array_equal(both.sel(benchmark="BBH"), alone.sel(benchmark="BBH"))
    assert (both.sel(benchmark="MBPP") != alone.sel(benchmark="MBPP")).any()


def test_items_count_in_the_subset_as_their_cluster_is_likely_predictable():
    rng, draws = np.random.default_rng(seed(0)), 40
    weight, likely = np.array([0.5, 0.2, 0.3]), np.array([0.9, 0.4, 0.0])
    curve = {name: rng.uniform(0.2, 1, (draws, 3)) for name in ("eta", "beta", "gamma", "g", "nu")}
    away = rng.normal(1, 0.1, (draws, 1))

    def of(part):
        y = accuracy(away[:, None], **{name: v[:, :, None] for name, v in curve.items()})
        return (part[:, None] * y).sum(axis=1) / part.sum()

    grid = np.linspace(-5, 7, 2000)
    path = accuracy(grid, **{name: v[:, :, None] for name, v in curve.items()})
    share = weight @ likely
    inside, outside = weight * likely / share, weight * (1 - likely) / (1 - share)
    mapping = Mapping.of(
        share,
        np.einsum("k,dkx", inside, path),
        np.einsum("k,dkx", outside, path),
        np.empty((0, 3)),
        0.04,
        rng,
    )
    still = np.zeros((draws, 1)), np.zeros((draws, 3))
    target = Target(Curves(curve), away, *still, weight, likely, np.inf, 0.0, [1], mapping)
    score, subset = target.scores()
    assert target.share == pytest.approx(0.5 * 0.9 + 0.2 * 0.4)
    np.testing.assert_allclose(subset, of(weight * likely))
    np.testing.assert_allclose(score, of(weight), atol=1e-5)


def test_items_of_the_evidence_add_up_to_the_predictable_share(fitted):
    draws = fitted.draws(ASKED)
    for name in fitted.benchmarks:
        of = fitted.subset_weight(name)
        own = fitted.summary().query("benchmark == @name")["p_predictable"]
        assert set(of.round(9)) == set(own.round(9))
        assert of.mean() == pytest.approx(draws["predictable_share"].sel(benchmark=name).item())
        assert draws["p_predictable"].sel(benchmark=name).item() == own.max()


def test_a_weighted_mean_is_as_noisy_as_a_plain_one_of_fewer_trials():
    assert effective_share(np.array([0.3, 0.7]), np.array([1.0, 0.0])) == pytest.approx(0.3)
    assert effective_share(np.array([0.3, 0.7]), np.array([0.1, 0.1])) == pytest.approx(1)
    assert effective_share(np.array([0.3, 0.7]), np.zeros(2)) == 0
    rng, weight = np.random.default_rng(seed(3)), np.array([0.3, 0.7])
    for counted in (np.array([1.0, 0.2]), np.array([0.5, 0.8])):
        each = rng.binomial((1000 * weight).astype(int), 0.4, (40_000, 2)) / (1000 * weight)
        spread = (each @ (weight * counted) / (weight @ counted)).std()
        n = 1000 * effective_share(weight, counted)
        assert spread == pytest.approx(np.sqrt(0.24 / n), rel=0.02)


@pytest.mark.parametrize("most, share", [(np.inf, 1.0), (-np.inf, 0.0)])
def test_a_subset_of_everything_is_the_benchmark_and_one_of_nothing_is_none(
    fitted, monkeypatch, most, share
):
    for limit, at in {"MAX_LOSS": most, "MIN_SLOPE": -most, "MAX_CEILING_LOSS": most}.items():
        monkeypatch.setattr(cod_bayes.forecast.curves, limit, at)
    fresh = changed(fitted)
    outlook = fresh.forecast(ASKED)
    assert (outlook.summary()["verdict"].str.startswith("not")).eq(share == 0).all()
    draws = fresh.draws(ASKED, measured=False)
    np.testing.assert_allclose(draws["predictable_share"], share)
    np.testing.assert_array_equal(draws["p_predictable"], share)
    assert (draws["score"] != fresh.alone.draws(ASKED, measured=False)["score"]).any()
    expected = draws["score"] if share else np.full(draws["score"].shape, np.nan)
    np.testing.assert_allclose(draws["subset_score"], expected, rtol=1e-12)


def test_the_subset_moves_with_its_benchmark(fitted):
    both, one = (f.draws(ASKED, measured=False) for f in (fitted, fitted.alone))
    moved = [(both[name] - one[name]).values.ravel() for name in ("score", "subset_score")]
    assert np.corrcoef(*moved)[0, 1] > 0.9
    share = both["predictable_share"]
    low = share * both["subset_score"]
    outside = np.maximum(low - both["score"], both["score"] - low - (1 - share))
    assert float(outside.max()) < 1e-9
    assert ((both["subset_score"] >= 0) & (both["subset_score"] <= 1)).all()


def test_anchors_move_the_benchmark_and_leave_the_subset(fitted):
    none = fitted.idata["anchors"].to_dataset()
    shown = xr.Dataset(
        {name: (none[name].dims, np.full((2, 1), at)) for name, at in
         {"subset": 0.6, "rest": 0.5, "n_rest": 1e4}.items()},
        {"benchmark": none["benchmark"], "anchor": ["other"]},
    )  # fmt: skip
    anchored = changed(fitted, anchors=xr.DataTree(shown))
    with_it, without = (f.draws(ASKED, measured=False) for f in (anchored, fitted))
    np.testing.assert_array_equal(with_it["subset_score"], without["subset_score"])
    assert (with_it["score"] != without["score"]).any()


def test_a_run_and_the_next_run_are_judged_by_the_mean(fitted):
    target = ASKED[-1]
    moments = target * np.array([0.05, 0.3])
    score = fitted.draws(moments, one_run=True, measured=False)["score"].median(("chain", "draw"))
    rows = [
        (name, c, float(score.sel(benchmark=name, compute=c)))
        for name in fitted.benchmarks
        for c in moments
    ]
    found = monitor(fitted, pd.DataFrame(rows, columns=["benchmark", "compute", "score"]), target)
    assert not found.flagged
    before, *_, after = (part for _, part in found.forecast.groupby("compute"))
    expected = fitted.draws(target)["score"].std(("chain", "draw")).values[:, 0]
    np.testing.assert_allclose(before["sd"], expected, rtol=0.15)
    assert (after["sd"].values < before["sd"].values).all()
    assert next_run(fitted, target).table["reduction"].between(0, 1).all()


@pytest.mark.parametrize("kept", [100, 700])
def test_another_number_of_draws_is_left_out_or_repeated_evenly(fitted, kept):
    tree = fitted.whole.idata
    n = tree["posterior"].sizes["draw"]
    few = changed(fitted, whole=cut(tree, np.arange(kept) * n // kept))
    got, expected = (f.draws(ASKED, measured=False)["score"] for f in (few, fitted))
    assert got.shape == expected.shape and np.isfinite(got).all()
    # The same posteriors, so the same forecast within what resampling one of them changes.
    sd = expected.std(("chain", "draw"))
    away = abs(got.mean(("chain", "draw")) - expected.mean(("chain", "draw")))
    assert (away < 0.3 * sd).all()
    np.testing.assert_allclose(got.std(("chain", "draw")), sd, rtol=0.3)


def test_arviz_reads_the_groups_beside_the_second_posterior(fitted):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pareto k of few cells is high
        for tree in (fitted.with_predictive(20), fitted.whole.with_predictive(20)):
            assert np.isfinite(az.loo(tree, var_name="z").elpd)
            az.plot_ppc_pit(tree)


def test_a_file_keeps_both_and_arviz_reads_them(fitted, tmp_path):
    fitted.save(tmp_path / "p.nc")
    again = load(tmp_path / "p.nc")
    np.testing.assert_array_equal(fitted.draws(ASKED)["score"], again.draws(ASKED)["score"])
    whole = az.from_netcdf(tmp_path / "p.nc")["whole"]
    assert len(az.summary(whole, var_names=["eta"])) == len(fitted.benchmarks)


def test_a_file_whose_second_posterior_is_not_of_the_same_is_refused(fitted, tmp_path):
    whole = fitted.whole.idata
    other = whole.map_over_datasets(
        lambda group: (
            group.assign_coords(benchmark=["x", "y"]) if "benchmark" in group.dims else group
        )
    )
    several = fitted.alone.idata
    lacking = whole.copy()
    lacking["posterior"] = xr.DataTree(lacking["posterior"].to_dataset().drop_vars("eta"))
    for tree, said in (
        (other, "not of one curve for each benchmark"),
        (several, "not of one curve for each benchmark"),
        (lacking, "lacks \\['eta'\\]"),
    ):
        tree.attrs = whole.attrs
        changed(fitted, whole=tree).save(tmp_path / "p.nc")
        with pytest.raises(ValueError, match=said):
            load(tmp_path / "p.nc")
    strange = whole.copy()
    strange.attrs = whole.attrs | {"random_seed": OPTIONS["random_seed"] + 1}
    changed(fitted, whole=strange).save(tmp_path / "p.nc")
    with pytest.raises(ValueError, match="of another seed"):
        load(tmp_path / "p.nc")


def test_without_clusters_there_is_one_posterior():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        few = fit(evidence([MBPP], trials=1), **OPTIONS)
        look = fit(evidence([MBPP]), preview=True, **OPTIONS)
    assert few.whole is None and look.whole is None


def stopped(monkeypatch, second):
    """`fit` whose second posterior is `second(result of sampling)`."""
    results = []

    def sample(*args, **options):
        result = plain(*args, **options)
        results.append(result)
        return result if len(results) == 1 else second(result)

    plain = cod_bayes.sampling.nuts.sample
    monkeypatch.setattr(cod_bayes.sampling.nuts, "sample", sample)
    return fit(evidence([MBPP]), **OPTIONS)


@pytest.mark.filterwarnings("ignore::cod_bayes.forecast.fitting.ConvergenceWarning")
def test_the_second_posterior_s_failed_checks_are_the_fit_s(monkeypatch):
    got = stopped(monkeypatch, lambda result: (result[0], ["r_hat 1.500"], False))
    assert not any("whole" in check for check in got.alone.failed_checks)
    assert "whole benchmarks: r_hat 1.500" in got.failed_checks
    assert "whole benchmarks: r_hat 1.500" in got.forecast(1e24).summary()["verdict"].iloc[0]
    assert json.loads(got.whole.idata.attrs["failed_checks"]) == ["r_hat 1.500"]


@pytest.mark.filterwarnings("ignore::cod_bayes.forecast.fitting.ConvergenceWarning")
def test_an_interrupt_of_the_second_posterior_keeps_the_first(monkeypatch):
    def interrupt(result):
        raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="interrupted before whole benchmarks") as raised:
        stopped(monkeypatch, interrupt)
    kept = raised.value.fit
    assert kept.whole is None
    assert "unconverged" in kept.forecast(1e24).summary()["verdict"].iloc[0]


@pytest.mark.filterwarnings("ignore::cod_bayes.forecast.fitting.ConvergenceWarning")
def test_an_interrupt_within_the_second_posterior_keeps_both(monkeypatch):
    said = "interrupted at 9 draws by each of 4 chains"
    with pytest.raises(Interrupted, match=f"whole benchmarks: {said}") as raised:
        stopped(monkeypatch, lambda result: (result[0], [said], True))
    assert raised.value.fit.whole is not None


@pytest.mark.parametrize(
    "width, likely, models, verdict",
    [
        (0.09, 0.5, 5, "forecastable"),
        (0.09, 0.5, 4, "wide"),
        (0.09, 0.49, 5, "not forecastable"),
        (0.11, 0.5, 9, "wide"),
        (0.39, 1.0, 9, "wide"),
        (0.41, 1.0, 9, "not forecastable"),
    ],
)
def test_verdicts_are_by_the_width_the_likeliest_cluster_and_the_ladder(
    width, likely, models, verdict
):
    score = np.linspace(0.5 - width / 1.8, 0.5 + width / 1.8, 1001).reshape(1, -1, 1, 1)
    draws = xr.Dataset(
        {
            "score": (("chain", "draw", "benchmark", "compute"), score),
            "predictable_share": ("benchmark", [0.2]),
            "p_predictable": ("benchmark", [likely]),
            "ladder_models": ("benchmark", [models]),
        },
        {"benchmark": ["b"], "compute": [1e24]},
    )
    assert Forecast(draws, ()).summary()["verdict"].item() == verdict
    said = Forecast(draws, ("r_hat 1.2",)).summary()["verdict"].item()
    assert said == f"{verdict} (unconverged: r_hat 1.2)"


def test_the_subset_is_measured_with_the_noise_of_its_own_items(fitted):
    plain, noisy = (fitted.draws(ASKED, measured=m)["subset_score"] for m in (False, True))
    trials = dict(zip(fitted.benchmarks, score_trials(fitted.idata), strict=True))
    for name in fitted.benchmarks:
        own = fitted.summary().query("benchmark == @name")
        n = trials[name]
        n *= effective_share(own["weight"].to_numpy(), own["p_predictable"].to_numpy())
        y, z = (of.sel(benchmark=name).values for of in (plain, noisy))
        sd = np.sqrt(0.25 / n + fitted.spec.constants["evaluation_noise"] ** 2)
        assert ((radians(z) - radians(y)) / sd).std() == pytest.approx(1, abs=0.06)
