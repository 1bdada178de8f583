"""The item-response rival: abilities, their line, and forecasts of answers from a Rasch world."""

import numpy as np
import pytest
import xarray as xr
from scipy.special import expit
from seeds import seed

from cod_bayes.evaluate.item_response import RHO, draw_line, fit_abilities, item_response
from cod_bayes.evaluate.series import NotApplicable

COMPUTE = 1e20 * 4.0 ** np.arange(7)
TARGET = np.array([COMPUTE[-1] * 8])


def ability(compute: np.ndarray) -> np.ndarray:
    return -1.5 + 1.2 * np.log10(compute / 1e21)


def answered(
    theta: np.ndarray,
    difficulty: np.ndarray,
    rng: np.random.Generator,
    trials: int = 1,
    anchors: int = 0,
) -> xr.Dataset:
    """Answers of ladder models, then anchors of unknown compute, with abilities theta (model,)."""
    models = len(theta)
    p = expit(theta - difficulty[:, None])
    return xr.Dataset(
        {
            "rate": (("item", "model"), rng.binomial(trials, p) / trials),
            "n_trials": (("item", "model"), np.full(p.shape, float(trials))),
        },
        coords={
            "item": [f"i{k}" for k in range(len(p))],
            "model": [f"m{k}" for k in range(models)],
            "compute": ("model", np.append(COMPUTE, np.full(anchors, np.nan))[:models]),
            "role": ("model", ["ladder"] * (models - anchors) + ["anchor"] * anchors),
            "chance": ("item", np.zeros(len(p))),
        },
    )


def counts(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    right = (data["rate"] * data["n_trials"]).values
    return right, data["n_trials"].values - right


def test_abilities_and_the_spread_of_items_are_recovered():
    rng = np.random.default_rng(seed(0))
    b, theta = 2.0 * rng.standard_normal(2000), np.array([-3.0, -1.0, 0.0, 2.0])
    fit = fit_abilities(*counts(answered(theta, b, rng, trials=3)))
    shift = np.mean(b)  # the prior's mean is 0
    np.testing.assert_allclose(fit.theta, theta - shift, atol=4.5 * np.sqrt(fit.variance.max()))
    np.testing.assert_allclose(np.diff(fit.theta), np.diff(theta), atol=0.25)
    grid = np.arange(-12, 12.01, 0.2)
    assert np.sqrt(fit.items @ grid**2) == pytest.approx(2.0, rel=0.08)
    at = np.array([-2.0, 1.0, 4.0])
    np.testing.assert_allclose(
        fit.score(at - shift), expit(at[:, None] - b).mean(axis=1), atol=0.02
    )


def test_the_standard_error_is_the_scatter_of_abilities_over_evaluations():
    rng = np.random.default_rng(seed(1))
    b, theta = 1.5 * rng.standard_normal(300), ability(COMPUTE)
    fits = [fit_abilities(*counts(answered(theta, b, rng))) for _ in range(40)]
    # The level of the items moves all abilities of a fit together, and no residual of the line.
    centred = np.array([fit.theta - fit.theta.mean() for fit in fits])
    stated = np.mean([fit.variance for fit in fits], axis=0)
    ratio = centred.var(axis=0, ddof=1).mean() / (stated.mean() * 6 / 7)
    assert ratio == pytest.approx(1, abs=0.3)


def test_a_noiseless_line_is_found_and_its_slope_never_falls():
    x, rng = np.arange(5.0), np.random.default_rng(seed(0))
    exact = draw_line(x, 0.5 + 0.8 * x, np.full(5, 1e-8), np.array([7.0]), rng, 200)
    np.testing.assert_allclose(exact, 0.5 + 0.8 * 7, atol=0.01)
    falling = draw_line(x, -x, np.full(5, 1e-8), np.array([2.0, 30.0]), rng, 4000)
    assert np.median(falling[:, 1]) >= np.median(falling[:, 0]) - 0.1


def test_an_uncertain_ability_counts_little():
    x, rng = np.arange(4.0), np.random.default_rng(seed(0))
    theta = np.array([-9.0, 1.0, 2.0, 3.0])  # the first is at the floor
    draws = draw_line(x, theta, np.array([100.0, 1e-4, 1e-4, 1e-4]), np.array([5.0]), rng, 500)
    assert np.median(draws) == pytest.approx(5.0, abs=0.05)


def test_intervals_cover_a_rasch_world():
    rng, pit, scatter = np.random.default_rng(seed(2)), [], 0.3
    for _ in range(60):
        b = 2 * rng.standard_normal(150)
        shocks = scatter * rng.standard_normal(8)
        data = answered(ability(COMPUTE) + shocks[:7], b, rng)
        draws = item_response(data, TARGET, rng, 1000)[:, 0]
        actual = rng.binomial(1, expit(ability(TARGET) + shocks[7] - b)).mean()
        pit.append(np.mean(draws < actual))
    inside = np.abs(np.array(pit) - 0.5) < 0.45
    assert 0.8 <= inside.mean() <= 1.0
    assert np.mean(pit) == pytest.approx(0.5, abs=0.13)


def test_anchors_inform_the_items_and_not_the_line():
    spread = []
    b = np.where(np.arange(400) < 200, -1.0, 9.0)  # half of the items are out of reach
    theta = ability(COMPUTE)
    for k in range(4):
        rng = np.random.default_rng([seed(3), k])
        strong = np.append(theta, [4.0, 5.0])
        data = answered(strong, b, rng, trials=20, anchors=2)
        both = [
            item_response(part, TARGET * 100, np.random.default_rng(seed(0)), 400).mean()
            for part in (data, data.isel(model=slice(7)))
        ]
        spread.append(both)
        moved = data.assign_coords(compute=("model", np.append(COMPUTE, [1e18, 1e27])))
        same = item_response(moved, TARGET * 100, np.random.default_rng(seed(0)), 400).mean()
        assert same == pytest.approx(both[0], abs=1e-3)
    truth = expit(ability(TARGET * 100)[0] - b).mean()
    error = np.abs(np.array(spread) - truth).mean(axis=0)
    assert error[0] < error[1]


def test_trials_of_an_item_are_worth_at_most_twenty():
    rng = np.random.default_rng(seed(4))
    b = 2 * rng.standard_normal(50)
    data = answered(ability(COMPUTE), b, rng, trials=100_000)
    uncounted = data.assign(n_trials=xr.full_like(data["n_trials"], np.nan))
    counted, endless = (
        item_response(d, TARGET, np.random.default_rng(seed(0)), 500) for d in (data, uncounted)
    )
    np.testing.assert_allclose(counted, endless, atol=0.02)
    assert 1 / RHO == 20


def test_items_that_a_model_lacks_do_not_make_it_better():
    rng = np.random.default_rng(seed(5))
    b = np.sort(2 * rng.standard_normal(200))
    data = answered(ability(COMPUTE), b, rng, trials=20)
    rate = data["rate"].values.copy()
    rate[100:, 3] = np.nan  # the hard half
    lacking = data.assign(rate=(("item", "model"), rate))
    whole, part = (
        np.median(item_response(d, TARGET, np.random.default_rng(seed(0)), 2000))
        for d in (data, lacking)
    )
    assert part == pytest.approx(whole, abs=0.02)


def test_one_score_and_short_ladders_are_refused():
    rng = np.random.default_rng(seed(0))
    data = answered(ability(COMPUTE), np.zeros(5), rng)
    with pytest.raises(NotApplicable, match="results of single items, got one score"):
        item_response(data.isel(item=[0]), TARGET, rng, 10)
    with pytest.raises(NotApplicable, match="at least 3 ladder models"):
        item_response(data.isel(model=[0, 1]), TARGET, rng, 10)
    with pytest.raises(ValueError, match="FLOPs"):
        item_response(data, np.array([0.0]), rng, 10)
