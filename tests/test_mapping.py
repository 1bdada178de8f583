"""The latent function from the predictable subset to the benchmark, and what anchors may move."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from seeds import seed

from cod_bayes.evaluate.simulate import PAPER_BENCHMARKS, simulate
from cod_bayes.evidence.record import EvidenceWarning, read_table
from cod_bayes.forecast.anchors import anchor_doubts, anchor_table
from cod_bayes.forecast.fitting import fit
from cod_bayes.forecast.groups import anchors_of
from cod_bayes.forecast.mapping import MIN_EFFECTIVE, Mapping, interpolate
from cod_bayes.forecast.posterior import Fit

DRAWS = 800
SCATTER = 0.04
NONE = np.empty((0, 3))


def paths(draws=DRAWS, seed=seed(0)):
    """Subset and rest along growing compute; the rest lags by a doubt of its own."""
    rng = np.random.default_rng(seed)
    x = np.linspace(-5, 7, 60) + np.zeros((draws, 1))
    lag = rng.normal(1.0, 0.8, (draws, 1))
    slope = np.exp(rng.normal(-0.7, 0.2, (draws, 1)))
    return np.exp(-np.exp(-slope * x)), 0.9 * np.exp(-np.exp(-slope * (x - lag)))


def mapping(anchors=NONE, share=0.7, draws=DRAWS, scatter=SCATTER, seed=seed(1)):
    return Mapping.of(
        share, *paths(draws), np.asarray(anchors), scatter, np.random.default_rng(seed)
    )


def grid(n=201):
    return np.tile(np.linspace(0, 1, n), (DRAWS, 1))


def at(m, s):
    """r(s) of every draw."""
    return m.rest(np.full((DRAWS, 1), s))[:, 0]


@pytest.mark.parametrize("anchors", [NONE, [[0.5, 0.3, 500.0]]], ids=["none", "one"])
def test_every_function_rises_from_nought_to_one(anchors):
    r = mapping(anchors).rest(grid())
    assert (np.diff(r, axis=1) >= 0).all()
    np.testing.assert_array_equal(r[:, 0], 0)
    np.testing.assert_array_equal(r[:, -1], 1)


def test_the_function_goes_through_the_points_of_its_path():
    subset, rest = paths()
    np.testing.assert_allclose(mapping().rest(subset), rest, rtol=1e-12)


def test_interpolation_along_paths_with_ties_ends_in_nought_and_one():
    s = np.array([[0, 0, 0.5, 1, 1], [0, 1e-300, 0.5, 1 - 1e-16, 1]])
    r = np.array([[0, 0.3, 0.6, 0.7, 1], [0, 0.3, 0.6, 0.7, 1]])
    at_ = np.array([[0, 0.25, 0.5, 0.75, 1, 2, -1]] * 2)
    expected = [0, 0.45, 0.6, 0.65, 1, 1, 0]
    np.testing.assert_allclose(interpolate(at_, s, r), [expected] * 2, atol=1e-9)


def test_interpolation_is_row_by_row_and_keeps_the_shape():
    s, r = np.array([[0, 0.5, 1.0]] * 2), np.array([[0, 0.2, 1.0], [0, 0.8, 1.0]])
    at_ = np.array([[[0.25], [0.5]], [[0.25], [0.75]]])
    np.testing.assert_allclose(interpolate(at_, s, r)[..., 0], [[0.1, 0.2], [0.4, 0.9]])


@pytest.mark.parametrize("share", [0.94, 0.5, 0.06])
@pytest.mark.parametrize("anchors", [NONE, [[0.4, 0.95, 1e6]]], ids=["none", "absurd"])
def test_the_share_bounds_what_the_rest_can_do(share, anchors):
    # 94 % of the items leave at most 6 points, whatever the curves or an anchor say.
    s = grid()
    full = mapping(anchors, share=share).full(s)
    assert (full >= share * s).all() and (full <= share * s + (1 - share) + 1e-12).all()
    assert np.ptp(full, axis=0).max() <= 1 - share + 1e-12
    assert np.ptp(full, axis=0).max() > 0.02 * (1 - share)


def test_full_is_the_items_mean():
    m, s = mapping(), grid()
    np.testing.assert_allclose(m.full(s), 0.7 * s + 0.3 * m.rest(s))


@pytest.mark.parametrize("seed", [seed(n) for n in range(5)])
def test_without_anchors_every_draw_keeps_its_own_function(seed):
    m = mapping(seed=seed)
    np.testing.assert_array_equal(m.chosen, np.arange(DRAWS))
    assert m.effective == pytest.approx(DRAWS)


@pytest.mark.parametrize("quantile", [0.15, 0.85])
def test_an_anchor_pulls_the_function_to_its_point_and_narrows_it(quantile):
    before = at(mapping(), 0.6)
    goal = np.quantile(before, quantile)
    m = mapping([[0.6, goal, 1e4]])
    after = at(m, 0.6)
    assert abs(np.median(after) - goal) < 0.4 * abs(np.median(before) - goal)
    assert after.std() < 0.6 * before.std()
    assert MIN_EFFECTIVE <= m.effective < DRAWS
    # The doubt elsewhere narrows too: it is one function.
    assert at(m, 0.8).std() < at(mapping(), 0.8).std()


def test_an_anchor_on_many_trials_or_with_less_scatter_says_more():
    goal = np.quantile(at(mapping(), 0.6), 0.5)

    def spread(trials, scatter=SCATTER):
        return at(mapping([[0.6, goal, trials]], scatter=scatter), 0.6).std()

    assert spread(1e5) < 0.9 * spread(30.0)
    assert spread(1e5) < 0.9 * spread(1e5, scatter=0.2)


def test_two_anchors_that_agree_say_more_than_one():
    goal = np.quantile(at(mapping(), 0.6), 0.5)
    one, two = (at(mapping([[0.6, goal, 200.0]] * n), 0.6).std() for n in (1, 2))
    assert two < one


def test_weights_are_those_of_a_student_t():
    # The mean of r(0.6) under the weights, written out, against the resampled draws.
    anchor = (0.6, 0.35, 400.0)
    before = at(mapping(), 0.6)
    away = np.arcsin(np.sqrt(anchor[1])) - np.arcsin(np.sqrt(before))
    unit = away / np.sqrt(SCATTER**2 + 1 / (4 * anchor[2]))
    weight = (1 + unit**2 / 4) ** -2.5
    m = mapping([anchor])
    assert at(m, 0.6).mean() == pytest.approx(np.average(before, weights=weight), abs=2e-3)
    assert m.effective == pytest.approx(weight.sum() ** 2 / (weight**2).sum())


def test_contradictory_anchors_leave_draws_in_effect():
    wild = [[s, r, 1e7] for s in (0.2, 0.5, 0.8) for r in (0.001, 0.999)] * 5
    m = mapping(wild, scatter=0.001)
    assert MIN_EFFECTIVE <= m.effective < DRAWS
    assert len(np.unique(m.chosen)) >= MIN_EFFECTIVE / 2
    r = m.rest(grid())
    assert np.isfinite(r).all() and (np.diff(r, axis=1) >= 0).all()


@pytest.mark.parametrize("draws", [20, 40, 49])
@pytest.mark.parametrize("anchors", [NONE, np.array([[0.5, 0.99, 1e6]] * 9)], ids=["none", "nine"])
def test_fewer_draws_than_the_least_effective_are_all_kept_at_most(draws, anchors):
    m = Mapping.of(0.7, *paths(draws), anchors, 0.01, np.random.default_rng(seed(0)))
    assert m.effective == pytest.approx(draws, rel=1e-6)


def shown(rates, trials, weight):
    """What an anchor of these rates (item,) shows, of items that count so in the subset."""
    rows = [
        {"benchmark": "b", "item": f"i{i}", "model": model, "compute": compute, "role": role}
        | {"n_correct": rate * n, "n_trials": n}
        for i, (rate, n) in enumerate(zip(rates, trials, strict=True))
        if np.isfinite(rate)
        for model, compute, role in (("a", 1e20, "ladder"), ("b", 1e21, "ladder"),
                                     ("other", 1e22, "anchor"))
    ]  # fmt: skip
    rows += [
        {"benchmark": "b", "item": f"i{i}", "model": model, "compute": compute, "role": "ladder"}
        | {"n_correct": 1, "n_trials": 4}
        for i, rate in enumerate(rates)
        if not np.isfinite(rate)
        for model, compute in (("a", 1e20), ("b", 1e21))
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evidence = read_table(pd.DataFrame(rows))
    items = evidence.benchmarks["b"]["item"].values
    order = [f"i{i}" for i in range(len(rates))]
    weight = np.asarray(weight)[[order.index(item) for item in items]]
    table = anchors_of(evidence, {"b": weight}, 1000.0).squeeze()
    return [table[name].item() for name in ("subset", "rest", "n_rest")]


def test_an_anchors_items_count_inside_and_outside_as_they_are_likely_predictable():
    rates, trials = np.array([0.5, 1.0, 0.25, 0.0]), np.array([4, 8, 4, 100])
    weight = np.array([1.0, 0.75, 0.5, 0.25])
    subset, rest, n_rest = shown(rates, trials, weight)
    assert subset == pytest.approx((0.5 + 0.75 + 0.125) / 2.5)
    assert 2.5 * subset + 1.5 * rest == pytest.approx(rates.sum())
    assert n_rest == pytest.approx(1.5**2 / (0.25**2 / 8 + 0.5**2 / 4 + 0.75**2 / 100))


def test_an_item_that_the_anchor_did_not_answer_counts_as_hard_as_the_ladder_finds_it():
    """The ladder solves a quarter of the missing item, and all of its rates are those here."""
    rates, weight = np.array([0.5, 1.0, 0.25, np.nan]), np.array([1.0, 0.5, 0.25, 0.5])
    subset, rest, trials = shown(rates, [4, 8, 4, 4], weight)
    own = (0.5 + 0.5 + 0.0625) / 1.75, (0.5 + 0.1875) / 1.25
    assert (0.5 + 0.5 + 0.0625 + 0.5 * 0.2) / 2.25 < subset < own[0]
    assert (0.5 + 0.1875 + 0.5 * 0.2) / 1.75 < rest < own[1]
    full = shown(np.array([0.5, 1.0, 0.25, 0.25]), [4, 8, 4, 4], weight)
    assert trials < full[2]


@pytest.mark.parametrize("weight", [[0.001] * 9, [0.999] * 9, [1.0] * 9, [0.0] * 9])
def test_less_than_an_item_inside_or_outside_shows_nothing(weight):
    assert np.isnan(shown(np.full(9, 0.5), np.full(9, 4), weight)).all()


def test_an_anchor_that_solves_everything_shows_no_more_than_that():
    rng = np.random.default_rng(seed(0))
    for _ in range(20):
        weight = rng.choice(rng.uniform(0, 1, 4), 40)
        subset, rest, trials = shown(np.ones(40), np.full(40, 4), weight)
        assert subset == pytest.approx(1) and rest == pytest.approx(1) and max(subset, rest) <= 1
        m = mapping([[min(subset, 0.9), rest, trials]])
        assert np.isfinite(m.effective) and len(np.unique(m.chosen)) > 10


# On a fit: anchors weigh the mapping, and nothing but the mapping.


@pytest.fixture(scope="module")
def fits():
    """With and without the anchors' rows; the answers of all other models are the same."""
    benchmarks = [replace(PAPER_BENCHMARKS[b], unsolved=0.25) for b in (2, 5)]
    table = simulate(seed(3), benchmarks=benchmarks, anchors=2, items_scale=0.03).table
    made = {}
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        # One attempt: a few draws serve here, however far from converged.
        patch.setattr("cod_bayes.sampling.checks.convergence", lambda idata: [])
        for name, rows in {"with": table, "without": table[table["role"] != "anchor"]}.items():
            made[name] = fit(
                read_table(rows),
                random_seed=seed(2),
                draws=100,
                tune=200,
                chains=2,
                progressbar=False,
            )
    return made


@pytest.fixture(scope="module")
def forecasts(fits):
    return {name: f.forecast([1e24, 4e24]).draws for name, f in fits.items()}


def test_the_fits_are_what_these_tests_are_about(fits):
    for name in fits["with"].benchmarks:
        m = fits["with"].mapping(name)
        assert m is not None and 0 < m.share < 1
        assert fits["without"].mapping(name).effective == pytest.approx(len(m.chosen))
        assert m.effective < len(m.chosen)
    assert np.isfinite(fits["with"].idata["anchors"]["rest"]).all()


def test_the_posterior_never_sees_an_anchor(fits):
    a, b = (fits[name].idata["posterior"].to_dataset() for name in ("with", "without"))
    assert a.identical(b)


def test_the_subset_forecast_is_bit_for_bit_the_same_withoutanchors_of(forecasts):
    a, b = (forecasts[name]["subset_score"].values for name in ("with", "without"))
    assert np.isfinite(a).all()
    np.testing.assert_array_equal(a, b)


def test_the_full_forecast_hears_theanchors_of(forecasts):
    a, b = (forecasts[name]["score"].values for name in ("with", "without"))
    assert (a != b).any()


def test_the_full_forecast_stays_within_the_share_of_the_subset(forecasts, fits):
    # On the same draws, up to the noise of measuring either on its trials.
    for draws in forecasts.values():
        share = draws["predictable_share"]
        low = share * draws["subset_score"]
        outside = np.maximum(low - draws["score"], draws["score"] - low - (1 - share))
        trials = fits["with"].idata["constant_data"]["trials"]
        assert float((outside * np.sqrt(trials)).max()) < 5 * 0.5 * np.sqrt(2)


def with_rest(fitted, shift):
    """The fit, as if its anchors scored so many radians above where the ladder leads."""
    table, tree = anchor_table(fitted), fitted.idata.copy()
    anchors = tree["anchors"].to_dataset().copy(deep=True)
    for row in table.itertuples():
        z = np.arcsin(np.sqrt(row.expected)) + shift
        at = {"benchmark": row.benchmark, "anchor": row.anchor}
        anchors["rest"].loc[at] = np.sin(np.clip(z, 0, np.pi / 2)) ** 2
    tree["anchors"] = xr.DataTree(anchors)
    return Fit(tree, {})


def test_an_anchor_that_disagrees_with_the_ladder_is_named(fits):
    fitted = fits["with"]
    table = anchor_table(fitted)
    assert len(table) == 4 and (table["q05"] <= table["q95"]).all()
    assert anchor_doubts(fits["without"]) == []
    assert anchor_doubts(with_rest(fitted, 0.0)) == []
    off = anchor_table(with_rest(fitted, 0.0))["off"]
    assert (off.abs() < 0.5).all()
    (sentence,) = anchor_doubts(with_rest(fitted, 1.2))
    assert "disagree with the ladder" in sentence and "(4 in all)" in sentence


def test_a_fit_says_that_an_anchor_disagrees(fits, monkeypatch):
    monkeypatch.setattr(
        "cod_bayes.forecast.fitting.anchor_doubts", lambda fit: ["An anchor is odd"]
    )
    rows = simulate(seed(3), benchmarks=[PAPER_BENCHMARKS[4]], anchors=1, items_scale=0.1).table
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evidence = read_table(rows)
    with pytest.warns(EvidenceWarning, match="An anchor is odd"):
        fit(evidence, draws=400, tune=100, preview=True, progressbar=False)
