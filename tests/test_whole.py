"""Two posteriors of one evidence: of its clusters, and of every benchmark as one curve."""

import json
import warnings

import arviz as az
import numpy as np
import pytest
import xarray as xr

import cod_bayes.sampling
from cod_bayes.fitting import ConvergenceWarning, Fit, Interrupted, _mean_of, fit, load
from cod_bayes.simulate import PAPER_BENCHMARKS, simulate

ASKED = [1e24, 4e24]
OPTIONS = {"random_seed": 2, "draws": 200, "tune": 200, "progressbar": False}


def evidence(benchmarks=PAPER_BENCHMARKS[4:6], trials=100):
    return simulate(
        4, benchmarks=benchmarks, items_scale=0.05, trials=trials, anchors=0, include_target=False
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


def test_a_score_is_the_mean_of_the_clusters_and_of_the_whole_by_their_precision(fitted):
    assert (fitted.whole.summary()["weight"] == 1).all()
    equal = Fit(cut(fitted.idata, slice(0, 200)))
    both, clusters, whole = (
        f.draws(ASKED, measured=False)["score"]
        for f in (equal, changed(equal, whole=None), equal.whole)
    )
    v, v_whole = (score.var(("chain", "draw")) for score in (clusters, whole))
    w = v_whole / (v + v_whole)
    np.testing.assert_allclose(
        both, (w * clusters + (1 - w) * whole).transpose(*both.dims), atol=1e-9
    )
    assert (both.var(("chain", "draw")) < v).all()


def test_two_forecasts_that_do_not_vary_count_alike():
    both, w = _mean_of(np.zeros((5, 2)), np.full((5, 2), 0.4))
    assert (w == 0.5).all() and (both == 0.2).all()


def test_the_subset_moves_with_its_benchmark_and_stays_a_rate(fitted):
    both, one = (f.draws(ASKED, measured=False) for f in (fitted, changed(fitted, whole=None)))
    assert ((both["subset_score"] >= 0) & (both["subset_score"] <= 1)).all()
    # Where the benchmark's draw moved up, so did the subset's.
    moved = [(both[name] - one[name]).values.ravel() for name in ("score", "subset_score")]
    assert np.corrcoef(*moved)[0, 1] > 0.7
    share = both["predictable_share"]
    low = share * both["subset_score"]
    outside = np.maximum(low - both["score"], both["score"] - low - (1 - share))
    assert float((outside > 0.01).mean()) < 0.01


def test_another_number_of_draws_is_spread_over_those_of_the_clusters(fitted):
    every_other = cut(fitted.whole.idata, slice(None, None, 2))
    few = changed(fitted, whole=every_other).draws(ASKED)["score"]
    full = fitted.draws(ASKED)["score"]
    assert few.shape == full.shape
    sd = full.std(("chain", "draw"))
    assert (abs(few.mean(("chain", "draw")) - full.mean(("chain", "draw"))) < 0.2 * sd).all()


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
    lacking = whole.copy()
    lacking["posterior"] = xr.DataTree(lacking["posterior"].to_dataset().drop_vars("eta"))
    for tree, said in ((other, "of other benchmarks"), (lacking, "lacks \\['eta'\\]")):
        tree.attrs = whole.attrs
        changed(fitted, whole=tree).save(tmp_path / "p.nc")
        with pytest.raises(ValueError, match=said):
            load(tmp_path / "p.nc")


def test_without_clusters_there_is_one_posterior():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        few = fit(evidence(PAPER_BENCHMARKS[4:5], trials=1), **OPTIONS)
        look = fit(evidence(PAPER_BENCHMARKS[4:5]), preview=True, **OPTIONS)
    assert few.whole is None and look.whole is None


def stopped(monkeypatch, second):
    """`fit` whose second posterior is `second(result of sampling)`."""
    results = []

    def sample(*args, **options):
        result = plain(*args, **options)
        results.append(result)
        return result if len(results) == 1 else second(result)

    plain = cod_bayes.sampling.sample
    monkeypatch.setattr(cod_bayes.sampling, "sample", sample)
    return fit(evidence(PAPER_BENCHMARKS[4:5]), **OPTIONS)


@pytest.mark.filterwarnings("ignore::cod_bayes.fitting.ConvergenceWarning")
def test_the_second_posterior_s_failed_checks_are_the_fit_s(monkeypatch):
    got = stopped(monkeypatch, lambda result: (result[0], ["r_hat 1.500"], False))
    assert "whole benchmarks: r_hat 1.500" in got.failed_checks
    assert "whole benchmarks: r_hat 1.500" in got.forecast(1e24).summary()["verdict"].iloc[0]
    assert json.loads(got.whole.idata.attrs["failed_checks"]) == ["r_hat 1.500"]


@pytest.mark.filterwarnings("ignore::cod_bayes.fitting.ConvergenceWarning")
def test_an_interrupt_of_the_second_posterior_keeps_the_first(monkeypatch):
    def interrupt(result):
        raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="interrupted before whole benchmarks") as raised:
        stopped(monkeypatch, interrupt)
    kept = raised.value.fit
    assert kept.whole is None
    assert "unconverged" in kept.forecast(1e24).summary()["verdict"].iloc[0]


@pytest.mark.filterwarnings("ignore::cod_bayes.fitting.ConvergenceWarning")
def test_an_interrupt_within_the_second_posterior_keeps_both(monkeypatch):
    said = "interrupted at 9 draws by each of 4 chains"
    with pytest.raises(Interrupted, match=f"whole benchmarks: {said}") as raised:
        stopped(monkeypatch, lambda result: (result[0], [said], True))
    assert raised.value.fit.whole is not None
