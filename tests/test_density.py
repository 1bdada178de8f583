"""The fast density, without PyMC: finite differences check its gradient, and normals with their
whole covariance, SciPy's priors and a numeric Jacobian its value.
"""

from itertools import pairwise

import numpy as np
import pytest
from ladders import EVIDENCE, SPEC, points
from scipy import stats
from seeds import seed

from cod_bayes.model.equations import accuracy, floor_prior, radians
from cod_bayes.model.ladder import LadderData
from cod_bayes.model.variables import CURVE, GLOBAL, SHARED
from cod_bayes.sampling.coordinates import (
    PROBIT,
    curves_of,
    log_jacobian,
    second_model,
    share,
    trend_weights,
)
from cod_bayes.sampling.density import Density
from cod_bayes.sampling.kernels import N_GLOBAL, PER_BENCHMARK

EACH = pytest.mark.parametrize("data", EVIDENCE.values(), ids=EVIDENCE)


@EACH
def test_the_evidence_of_these_tests_has_what_they_claim_to_cover(data):
    assert not data.measured.all() and np.isnan(data.chance).any()


@EACH
def test_gradient_is_that_of_central_differences(data):
    density = Density.of(SPEC, data)
    for theta in points(data, 4):
        step = 1e-3 * np.eye(density.size)
        two, one = (
            np.array([density(theta + h * e)[0] - density(theta - h * e)[0] for e in step])
            for h in (2, 1)
        )
        numeric = (8 * one - two) / (12 * 1e-3)
        scale = abs(numeric).max()
        np.testing.assert_allclose(density(theta)[1], numeric, rtol=1e-6, atol=1e-6 * scale)


def test_a_flat_cluster_s_share_above_the_floor_may_be_smaller_than_any_number():
    data = EVIDENCE["one"]
    density, K = Density.of(SPEC, data), len(data.cluster)
    theta = points(data, 1)[0]
    places = density.size - K * np.array([4, 2])  # probits kept and s of the first cluster
    # A share is 0 in floating point from -21 on, and what is lost from a kept of 21 on.
    for probits in ((0.3, -15), (0.3, -21), (0.3, -25), (9, -4), (24, -25), (25, -24), (-25, -25)):
        theta[places] = probits
        value, gradient = density(theta)
        assert np.isfinite(value)
        for place in places:
            step = 1e-4 * np.eye(density.size)[place]
            slope = (density(theta + step)[0] - density(theta - step)[0]) / 2e-4
            assert gradient[place] == pytest.approx(slope, rel=1e-4, abs=1e-4 * abs(value))
        assert all(np.isfinite(value).all() for value in density.constrain(theta).values())


def test_one_benchmark_has_no_shock_that_benchmarks_share():
    data = EVIDENCE["one"]
    density, theta = Density.of(SPEC, data), points(data, 1)[0]
    assert (density.constrain(theta)["delta"] == 0).all()
    raw = slice(N_GLOBAL, N_GLOBAL + len(data.model))
    np.testing.assert_allclose(density(theta)[1][raw], -theta[raw])


def test_clusters_out_of_order_are_refused():
    data = EVIDENCE["several"]
    scrambled = LadderData(**{**vars(data), "of_cluster": data.of_cluster[::-1]})
    with pytest.raises(ValueError, match="grouped by benchmark"):
        Density.of(SPEC, scrambled)


def log_likelihood(data, p):
    """Of multivariate normals with their whole covariance, one a benchmark: the equations of
    `cod_bayes.model.statement` with delta_bm, omega and eps integrated out."""
    total = 0.0
    for b, top in enumerate(data.top):
        ks, ms = np.nonzero((data.of_cluster == b)[:, None] & data.measured)
        smaller = ms != top
        nu = data.nu_ratio[ks] * p["nu"][b]
        curve = [*(p[name][ks] for name in CURVE), nu]
        at = data.x[ms] - data.x[top] + p["delta"][ms] - p["delta"][top] - smaller * p["lead"][b]
        low, mean, high = (radians(accuracy(at + h, *curve)) for h in (-1e-4, 0, 1e-4))
        slope = smaller * (high - low) / 2e-4
        below = data.x_ref[b] - data.x[ms]
        covariance = np.diag(data.noise[ks, ms] + p["tau"][b] ** 2)
        covariance += p["sigma_delta"][b] ** 2 * np.outer(slope, slope) * np.equal.outer(ms, ms)
        covariance += p["sigma_omega"][b] ** 2 * np.minimum.outer(below, below)
        total += stats.multivariate_normal.logpdf(data.z[ks, ms], mean, covariance)
    return total


def log_prior(data, p):
    """Of all that the density's coordinates stand for, shocks in units of their scales."""
    named = p | {"spread_omega": p["sigma_omega"] / np.exp(p["mu_omega"])}
    of = data.of_cluster
    total = stats.norm.logpdf(p["suite"]).sum() if data.sharing.any() else 0.0
    root = np.sqrt(SPEC.constants["shared_priors"]) * data.sharing
    for name, prior in SPEC.priors.items():
        value, positive = named[name], prior.family == "lognormal"
        d = ((np.log(value) if positive else value) - prior.mu) / prior.sigma
        shared = root * p["suite"][SHARED.index(name)] if name in SHARED else 0.0
        sd = np.sqrt(1 - root**2) if name in SHARED else 1.0
        scale = prior.sigma * (value if positive else 1.0)
        total += np.sum(stats.norm.logpdf(d, shared, sd) - np.log(scale))
    total += stats.norm.logpdf(p["eta"], p["mu_eta"][of], p["sigma_eta"][of]).sum()
    mu_beta = p["mu_beta"][of] + SPEC.constants["free_answer_slope"] * (data.chance == 0)
    total += stats.norm.logpdf(np.log(p["beta"]), mu_beta, p["sigma_beta"][of]).sum()
    share, loss = (SPEC.constants[name] for name in ("capped_share", "capped_loss"))
    scaling, capped = (stats.expon.pdf(p["gamma"], scale=s) for s in (p["sigma_gamma"][of], loss))
    total += np.log((1 - share) * scaling + share * capped).sum()
    floor = floor_prior(data.chance, SPEC.constants["chance_items"])
    return total + stats.beta.logpdf(p["g"], *floor).sum()


def split(data, theta):
    """The coordinates after the first two: shocks; what benchmarks share; one a benchmark
    of each of `PER_BENCHMARK`, and leads; the four probits."""
    B, M, K = len(data.benchmark), len(data.model), len(data.cluster)
    S = len(SHARED) * int(data.sharing.any())
    at = np.cumsum([N_GLOBAL, M, S, *[B] * (len(PER_BENCHMARK) + 1), *[K] * 4])
    return [theta[i:j] for i, j in pairwise(at)]


@EACH
def test_density_is_likelihood_and_prior_and_jacobian(data):
    density = Density.of(SPEC, data)
    for theta in points(data, 4, spread=0.4):
        p = density.constrain(theta)
        delta, _, *each, lead, kept, y, s, phi = split(data, theta)
        total = log_likelihood(data, p) + log_prior(data, p)
        total += stats.norm.logpdf(np.concatenate([lead, delta])).sum()
        named = dict(zip(GLOBAL, theta, strict=False)) | dict(zip(PER_BENCHMARK, each, strict=True))
        total += sum(np.sum(v) for name, v in named.items() if not name.startswith("mu"))
        nu = data.nu_ratio * p["nu"][data.of_cluster]
        distance = second_model(data)[1] * np.exp([trend(data, p, b) for b in data.of_cluster])
        total += np.sum(log_jacobian([kept, y, s, phi], [p[name] for name in CURVE], nu, distance))
        assert density(theta)[0] == pytest.approx(total, rel=1e-6)


def trend(data, p, b):
    """The slope of a benchmark's shocks over log compute, through 0 at its largest model."""
    top = data.top[b]
    away = data.x[:top] - data.x_ref[b]
    shift = p["delta"][:top] - p["delta"][top] - p["lead"][b]
    return (away @ shift / max(away @ away, 0.25)).item()


@EACH
def test_curves_follow_from_what_the_coordinates_mean(data):
    """y at x_b, the share kept at the small model, the share above the floor and the irreducible
    share of the loss, each read off the curve."""
    theta = points(data, 1)[0]
    p = Density.of(SPEC, data).constrain(theta)
    nu = data.nu_ratio * p["nu"][data.of_cluster]
    trends = np.array([trend(data, p, b) for b in range(len(data.benchmark))])
    delta = p["delta"] - p["delta"][data.top][:, None] - p["lead"][:, None]
    np.testing.assert_allclose((trend_weights(data) * delta).sum(axis=1), trends)
    distance = second_model(data)[1] * np.exp(trends[data.of_cluster])
    curve = [*(p[name] for name in CURVE), nu]
    y, small = accuracy(0.0, *curve), accuracy(-distance, *curve)
    loss = -np.log((y - p["g"]) / (1 - p["g"]))
    kept, at_top, above, phi = map(share, split(data, theta)[-4:])
    np.testing.assert_allclose(y, at_top)
    np.testing.assert_allclose(small / y, kept)
    np.testing.assert_allclose(1 - p["g"] / small, above, rtol=1e-5)
    np.testing.assert_allclose(p["gamma"] / loss, phi, rtol=1e-5)


def test_the_jacobian_is_that_of_finite_differences():
    rng = np.random.default_rng(seed(0))
    for probits, nu, distance in zip(
        rng.normal(0, 0.8, (20, 4)), rng.uniform(0.2, 1, 20), rng.uniform(0.5, 3, 20), strict=True
    ):

        def named(probits, nu=nu, distance=distance):
            eta, beta, gamma, g = curves_of(probits, nu, distance)
            return np.array([eta, gamma, np.log(beta), g])

        columns = [(named(probits + h) - named(probits - h)) / 2e-5 for h in 1e-5 * np.eye(4)]
        _, numeric = np.linalg.slogdet(np.column_stack(columns))
        curve = curves_of(probits, nu, distance)
        assert log_jacobian(probits, curve, nu, distance) == pytest.approx(numeric, rel=1e-5)


def test_share_is_the_normal_s_distribution_function_to_two_in_ten_thousand():
    v = np.linspace(-6, 6, 2001)
    assert abs(share(v) - stats.norm.cdf(v)).max() < 2e-4
    np.testing.assert_allclose(share(v) + share(-v), 1)
    assert PROBIT == (1.5976, 0.070566)


def test_benchmarks_share_a_part_of_the_prior_of_omega_s_size_that_one_alone_has_whole():
    """Of one benchmark only mu_omega + log spread_omega matters: a log sd of 0.7."""
    of = [SPEC.priors[name].sigma for name in ("mu_omega", "spread_omega")]
    assert sum(sigma**2 for sigma in of) == pytest.approx(0.7**2, rel=1e-3)
