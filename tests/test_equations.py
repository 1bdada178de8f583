"""The curve of a cluster and the prior of its floor, by consequences of their theory."""

import numpy as np
import pytest
from scipy import stats
from seeds import seed

from cod_bayes.model.equations import (
    accuracy,
    accuracy_slope,
    arcsine,
    floor_prior,
    radians,
    rate_of,
    softplus,
)


def curves(n=50):
    """eta, beta, gamma, g and nu of n random curves."""
    rng = np.random.default_rng(seed(0))
    for _ in range(n):
        beta, nu = np.exp(rng.normal(-1, 0.5, 2))
        yield rng.normal(0.4, 1), beta, rng.exponential(0.3), rng.beta(2, 8), nu


def test_accuracy_rises_with_compute_from_the_floor_to_below_one():
    ahead = np.linspace(-8, 12, 201)
    for curve in curves():
        _, _, gamma, g, _ = curve
        y = accuracy(ahead, *curve)
        assert (np.diff(y) >= 0).all() and y[-1] > y[0]
        assert (y >= g).all() and y.max() <= g + (1 - g) * np.exp(-gamma) + 1e-12


def test_accuracy_is_the_mean_over_items_whose_losses_are_gamma_distributed():
    quantiles = (np.arange(20_000) + 0.5) / 20_000
    for eta, beta, gamma, g, nu in curves():
        losses = stats.gamma.ppf(quantiles, 1 / nu, scale=nu * np.exp(eta - beta))
        mean = g + (1 - g) * np.exp(-losses - gamma).mean()
        assert accuracy(1.0, eta, beta, gamma, g, nu) == pytest.approx(mean, abs=1e-3)
        alike = g + (1 - g) * np.exp(-np.exp(eta) - gamma)
        assert accuracy(0.0, eta, beta, gamma, g, 1e-9) == pytest.approx(alike, rel=1e-6)


def test_the_slope_is_the_curve_s_derivative():
    ahead = np.linspace(-4, 6, 41)
    for curve in curves():
        rise = accuracy(ahead + 1e-5, *curve) - accuracy(ahead - 1e-5, *curve)
        np.testing.assert_allclose(accuracy_slope(ahead, *curve), rise / 2e-5, atol=1e-8)


def test_a_curve_far_from_the_ladder_does_not_overflow():
    ahead = np.array([-1e4, 1e4])
    np.testing.assert_allclose(accuracy(ahead, 0.4, 0.5, 0.1, 0.2, 0.5)[0], 0.2)
    assert np.isfinite(accuracy_slope(ahead, 0.4, 0.5, 0.1, 0.2, 0.5)).all()
    np.testing.assert_allclose(softplus(np.array([-800.0, 0, 800])), [0, np.log(2), 800])


def test_radians_and_rates_are_inverse_and_few_trials_stay_off_the_edge():
    rate = np.linspace(0, 1, 11)
    np.testing.assert_allclose(rate_of(radians(rate)), rate, atol=1e-15)
    np.testing.assert_array_equal(rate_of(np.array([-0.1, 2.0])), [0, 1])
    np.testing.assert_allclose(arcsine(rate, np.full(11, 1e12)), radians(rate), atol=1e-5)
    np.testing.assert_allclose(arcsine(rate, np.full(11, np.inf)), radians(rate))
    # The variance of z is 1 / (4 n), whatever the rate.
    rng = np.random.default_rng(seed(0))
    for p in (0.1, 0.5, 0.8):
        z = arcsine(rng.binomial(200, p, 20_000) / 200, np.full(20_000, 200.0))
        assert z.var() == pytest.approx(1 / 800, rel=0.06)


@pytest.mark.parametrize("chance", [np.nan, 0.0, 0.25])
def test_floor_prior_sits_at_the_chance_level(chance):
    a, b = floor_prior(np.array([chance]), 20.0)
    mean = (a / (a + b)).item()
    if np.isnan(chance):
        assert mean == pytest.approx(0.2)
    else:
        assert abs(mean - chance) < 0.05
        # More pseudo-items hold the floor more tightly.
        tight = floor_prior(np.array([chance]), 200.0)
        assert stats.beta.std(*tight).item() < stats.beta.std(a, b).item()
