"""The stated equations, run forwards: curves, shocks and a target's forecast have the spread that
they should; and the fast density has the gradient that finite differences have.
"""

import json

import numpy as np
import pymc as pm
import pytest
import xarray as xr
from ladders import EVIDENCE, SPEC, points
from scipy import stats
from seeds import seed

from cod_bayes.forecast.posterior import Fit
from cod_bayes.model.equations import accuracy, floor_prior
from cod_bayes.model.ladder import LadderData
from cod_bayes.model.statement import build
from cod_bayes.model.variables import DIMS, GLOBAL, PARAMETERS
from cod_bayes.sampling.coordinates import PROBIT, share
from cod_bayes.sampling.density import Density
from cod_bayes.sampling.kernels import N_GLOBAL

SINGLE, SEVERAL = EVIDENCE["one"], EVIDENCE["several"]
every_evidence = pytest.mark.parametrize("data", EVIDENCE.values(), ids=EVIDENCE)


@every_evidence
def test_the_evidence_of_these_tests_has_what_they_claim_to_cover(data):
    assert not data.measured.all() and np.isnan(data.chance).any()


@every_evidence
def test_gradient_is_that_of_central_differences(data):
    density = Density.of(SPEC, data)
    for theta in points(data, 4):
        gradient = density(theta)[1]
        step = 1e-3 * np.eye(density.size)

        def slope(i, theta=theta, step=step):
            far, near = (
                density(theta + h * step[i])[0] - density(theta - h * step[i])[0] for h in (2, 1)
            )
            return (8 * near - far) / (12 * 1e-3)

        numeric = np.array([slope(i) for i in range(density.size)])
        np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-6 * abs(numeric).max())


def test_a_flat_cluster_s_share_above_the_floor_may_be_smaller_than_any_number():
    density = Density.of(SPEC, SINGLE)
    theta, K = points(SINGLE, 1)[0], len(SINGLE.cluster)
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
    density = Density.of(SPEC, SINGLE)
    theta = points(SINGLE, 1)[0]
    p = density.constrain(theta)
    assert (p["delta"] == 0).all()
    raw = slice(N_GLOBAL + 4, N_GLOBAL + 4 + len(SINGLE.model))
    np.testing.assert_allclose(density(theta)[1][raw], -theta[raw])


def test_clusters_out_of_order_are_refused():
    scrambled = LadderData(**{**vars(SEVERAL), "of_cluster": SEVERAL.of_cluster[::-1]})
    with pytest.raises(ValueError, match="grouped by benchmark"):
        Density.of(SPEC, scrambled)


def mean_curve(data, p, k, x):
    """arcsin sqrt y_k(x), the docstring's equations in plain NumPy."""
    b = data.of_cluster[k]
    fall = np.exp(p["eta"][k] - p["beta"][k] * (x - data.x_ref[b]))
    nu = data.nu_ratio[k] * p["nu"][b]
    rise = np.exp(-p["gamma"][k]) * (1 + nu * fall) ** (-1 / nu)
    return np.arcsin(np.sqrt(p["g"][k] + (1 - p["g"][k]) * rise))


def test_share_is_the_normal_s_distribution_function_to_two_in_ten_thousand():
    v = np.linspace(-6, 6, 2001)
    assert abs(share(v) - stats.norm.cdf(v)).max() < 2e-4
    np.testing.assert_allclose(share(v) + share(-v), 1)
    assert PROBIT == (1.5976, 0.070566)


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


def test_accuracy_rises_with_compute_from_the_floor_to_below_one():
    rng = np.random.default_rng(seed(0))
    x = np.linspace(-8, 12, 201)
    for _ in range(50):
        eta, beta, nu = rng.normal(0.4, 1), *np.exp(rng.normal(-1, 0.5, 2))
        gamma, g = rng.exponential(0.3), rng.beta(2, 8)
        y = accuracy(x, eta, beta, gamma, g, nu)
        assert (np.diff(y) >= 0).all() and y[-1] > y[0]
        assert (y >= g).all() and (y <= 1).all()
        assert y.max() <= g + (1 - g) * np.exp(-gamma) + 1e-12
        # The mean over items whose losses are gamma-distributed around exp(eta).
        losses = stats.gamma.ppf((np.arange(20000) + 0.5) / 20000, 1 / nu, scale=nu * np.exp(eta))
        mean = g + (1 - g) * np.exp(-losses - gamma).mean()
        assert accuracy(0.0, eta, beta, gamma, g, nu) == pytest.approx(mean, abs=1e-3)
        single = g + (1 - g) * np.exp(-np.exp(eta) - gamma)
        assert accuracy(0.0, eta, beta, gamma, g, 1e-9) == pytest.approx(single, rel=1e-6)


def test_golden_numbers_of_the_model_named_cod():
    """A released name keeps its meaning: a change of these numbers is a new model's name. No
    generator's stream: sines, so that the numbers depend on the model alone."""
    x = np.array([19.5, 20.1, 20.8, 21.6, 22.3])
    noise = 1e-3 * (1 + 0.5 * np.cos(np.arange(20.0))).reshape(4, 5)
    noise[1, 0] = noise[2, 4] = noise[3, 4] = np.inf
    z = np.where(np.isfinite(noise), 0.8 + 0.5 * np.sin(np.arange(20.0)).reshape(4, 5), 0.0)
    chance, ratio = np.array([0.0, 0.25, np.nan, 0.1]), np.array([0.5, 1.5, 0.2, 1.0])
    row = np.array([0, 0, 1, 1]), x, x[[4, 3]], z, noise, chance, ratio, np.full(4, 0.5)
    density = Density.of(
        SPEC, LadderData(["a", "b"], ["a0", "a1", "b0", "b1"], list("mnopq"), *row)
    )
    theta = 0.5 * np.sin(1.0 + np.arange(density.size))
    theta[2] = -3.8  # mu_omega
    value, gradient = density(theta)
    assert value == pytest.approx(-230.80667373136131, rel=1e-9)
    assert np.linalg.norm(gradient) == pytest.approx(109.57679765222005, rel=1e-9)
    assert {name: SPEC.constants[name] for name in GOLDEN_CONSTANTS} == GOLDEN_CONSTANTS


GOLDEN_CONSTANTS = {"capped_share": 0.25, "capped_loss": 4.0, "chance_items": 30.0}
GOLDEN_CONSTANTS |= {"nu_ratio_cluster": 0.7, "nu_ratio_zero": 0.2, "nu_ratio_outliers": 1.5}
GOLDEN_CONSTANTS |= {"mapping_scatter": 0.04, "evaluation_noise": 0.004, "assumed_trials": 1000.0}


# The model run forwards, on parameters that are the same in every draw.

DRAWS = 4000


def two_benchmarks():
    x = np.array([19.0, 20.0, 22.0, 23.0])
    return LadderData(
        ["a", "b"],
        ["a0", "a1", "b0"],
        list("mnop"),
        np.array([0, 0, 1]),
        x,
        x[[3, 3]],
        np.full((3, 4), 0.8),
        np.full((3, 4), 1e-12),
        np.zeros(3),
        np.full(3, 0.5),
        np.array([0.5, 0.5, 1.0]),
    )


def still(**changed):
    """Parameters of two_benchmarks() without any shock but those given."""
    p = {name: np.full(DRAWS, 1e-9) for name in GLOBAL}
    p |= {name: np.full((DRAWS, 2), 1e-9) for name in ("tau", "sigma_omega")}
    p |= {"nu": np.full((DRAWS, 2), 0.5)}
    p |= {
        "delta": np.zeros((DRAWS, 4)),
        "lead": np.zeros((DRAWS, 2)),
        "eta": np.full((DRAWS, 3), 0.2),
    }
    p |= {"beta": np.full((DRAWS, 3), 0.3), "gamma": np.full((DRAWS, 3), 0.1)}
    p |= {"g": np.full((DRAWS, 3), 0.05)}
    return p | {name: np.full(p[name].shape, value) for name, value in changed.items()}


def spread_of(**changed):
    """Standard deviation (cluster, model) of z, and z (draw, cluster, model), forwards."""
    fixed = {name: value[0] for name, value in still(**changed).items()}
    fixed["log_beta"] = np.log(fixed.pop("beta"))
    model = pm.do(build(two_benchmarks(), SPEC), fixed)
    drawn = pm.sample_prior_predictive(DRAWS, model, var_names=["z"], random_seed=seed(0))
    z = drawn["prior_predictive"]["z"].values.reshape(DRAWS, 3, 4)
    return z.std(axis=0), z


def test_without_shocks_the_replicate_is_the_curve():
    data, (sd, z) = two_benchmarks(), spread_of()
    assert sd.max() < 1e-5
    p = {name: value[0] for name, value in still().items()}
    expected = [[mean_curve(data, p, k, x) for x in data.x] for k in range(3)]
    np.testing.assert_allclose(z.mean(axis=0), expected, atol=1e-5)


def test_sampling_noise_and_tau_are_each_cluster_s_own():
    sd, z = spread_of(tau=0.05)
    np.testing.assert_allclose(sd, 0.05, rtol=0.06)
    assert abs(np.corrcoef(z[:, 0, 1], z[:, 1, 1])[0, 1]) < 0.06


def test_a_compute_shock_widens_by_the_slope_and_moves_a_benchmark_s_clusters_together():
    data, (sd, z) = two_benchmarks(), spread_of(sigma_delta=0.1)
    p = {name: value[0] for name, value in still().items()}
    for m, x in enumerate(data.x):
        df = (mean_curve(data, p, 0, x + 1e-4) - mean_curve(data, p, 0, x - 1e-4)) / 2e-4
        # The largest model's shock is in the curve, which is what it shows.
        np.testing.assert_allclose(sd[:, m], 0.1 * df * (m < 3), rtol=0.06, atol=1e-5)
    together = np.corrcoef(z[:, :, 2].T)
    assert together[0, 1] > 0.999 and abs(together[0, 2]) < 0.06


def test_omega_is_a_random_walk_s_spread_from_the_largest_model():
    sd, z = spread_of(sigma_omega=0.04)
    np.testing.assert_allclose(sd[:, :3], np.tile(0.04 * np.sqrt([4, 3, 1]), (3, 1)), rtol=0.06)
    assert sd[:, 3].max() < 1e-5  # the curves are trusted most at the largest ladder model
    together = np.corrcoef(z[:, :, 0].T)
    assert together[0, 1] > 0.999 and abs(together[0, 2]) < 0.06
    # Of neighbours, the larger one's way is shared.
    assert abs(np.corrcoef(z[:, 0, 0], z[:, 0, 2])[0, 1] - np.sqrt(1 / 4)) < 0.06


def test_prior_draws_have_the_stated_marginals():
    names = [*GLOBAL, "tau", "nu", "spread_omega", "eta", "log_beta", "gamma", "g", "delta", "lead"]
    model = build(SEVERAL, SPEC)
    drawn = pm.sample_prior_predictive(DRAWS, model, var_names=names, random_seed=seed(4))
    p = {name: drawn["prior"][name].values[0] for name in names}
    for name, prior in SPEC.priors.items():
        value = np.log(p[name]) if prior.family == "lognormal" else p[name]
        assert stats.kstest((np.ravel(value) - prior.mu) / prior.sigma, "norm").pvalue > 1e-4, name
    # Given the shared parameters, the clusters' own: their probability integrals are uniform.
    each = {name: p[name][:, None] for name in GLOBAL}
    u = [stats.norm.cdf(p["eta"], each["mu_eta"], each["sigma_eta"])]
    u += [stats.norm.cdf(p["log_beta"], each["mu_beta"], each["sigma_beta"])]
    capped, loss = SPEC.constants["capped_share"], SPEC.constants["capped_loss"]
    few = (1 - capped) * stats.expon.cdf(p["gamma"], scale=each["sigma_gamma"])
    u += [few + capped * stats.expon.cdf(p["gamma"], scale=loss)]
    u += [stats.beta.cdf(p["g"], *floor_prior(SEVERAL.chance, SPEC.constants["chance_items"]))]
    u += [stats.norm.cdf(p["delta"] / each["sigma_model"])]
    u += [stats.norm.cdf(p["lead"] / each["sigma_delta"])]
    for values in u:
        for column in values.T:  # independent draws: those of one
            assert stats.kstest(column, "uniform").pvalue > 1e-4


# The target's forecast, on the same parameters.


def known_fit(**changed):
    """A posterior of one point: what is left of a forecast's spread is the target's shocks."""
    data, p = two_benchmarks(), still(**changed)
    posterior = xr.Dataset(
        {n: (("chain", "draw", *DIMS.get(n, ())), p[n][None]) for n in PARAMETERS},
        {"chain": [0], "draw": np.arange(DRAWS), **data.coords},
    )
    constant = xr.Dataset(
        {
            "x_ref": ("benchmark", data.x_ref),
            "top": ("benchmark", data.top),
            "trials": ("benchmark", np.full(2, np.inf)),
            "benchmark_of_cluster": ("cluster", np.array(["a", "a", "b"])),
            "weight": ("cluster", np.array([0.5, 0.5, 1.0])),
            "nu_ratio": ("cluster", data.nu_ratio),
        },
        data.coords,
    )
    tree = xr.DataTree.from_dict({"posterior": posterior, "constant_data": constant})
    tree.attrs = {"spec": SPEC.to_json(), "failed_checks": json.dumps([]), "random_seed": 0}
    return Fit(tree)


def target_z(fit, ahead):
    """Arcsine root of the forecast, (draw, benchmark, compute)."""
    score = fit.forecast(10 ** (23 + np.atleast_1d(ahead))).draws["score"].values[0]
    return np.arcsin(np.sqrt(score))


def test_forecast_without_shocks_is_the_curve():
    p = {name: value[0] for name, value in still().items()}
    z = target_z(known_fit(), [0.0, 1.0])
    expected = [mean_curve(two_benchmarks(), p, 0, x) for x in (23.0, 24.0)]
    np.testing.assert_allclose(z.mean(axis=0), np.tile(expected, (2, 1)), atol=1e-6)
    assert z.std(axis=0).max() < 1e-6


def test_the_target_owes_the_largest_model_s_lead():
    p = {name: value[0] for name, value in still().items()}
    z = target_z(known_fit(lead=0.2), 1.0).mean(axis=0)[:, 0]
    np.testing.assert_allclose(z, mean_curve(two_benchmarks(), p, 0, 23.8), atol=1e-6)


def test_the_target_s_spread_grows_with_the_root_of_the_distance():
    sd = target_z(known_fit(sigma_omega=0.03), [0.0, 0.25, 1.0, 4.0]).std(axis=0)
    np.testing.assert_allclose(
        sd, np.tile(0.03 * np.sqrt([0, 0.25, 1, 4]), (2, 1)), rtol=0.06, atol=1e-6
    )


@pytest.mark.parametrize(
    ("shock", "correlation"), [("sigma_model", 1.0), ("sigma_delta", 0.0)], ids=str
)
def test_a_target_s_own_shock_is_on_every_benchmark_and_the_other_on_one(shock, correlation):
    z = target_z(known_fit(**{shock: 0.1}), 1.0)[:, :, 0]
    p = {name: value[0] for name, value in still().items()}
    data, h = two_benchmarks(), 1e-4
    df = (mean_curve(data, p, 0, 24 + h) - mean_curve(data, p, 0, 24 - h)) / 2 / h
    np.testing.assert_allclose(z.std(axis=0), 0.1 * df, rtol=0.06)
    assert np.corrcoef(z.T)[0, 1] == pytest.approx(correlation, abs=0.06)


def test_clusters_own_noise_averages_out_over_clusters():
    sd = target_z(known_fit(tau=0.04), 1.0).std(axis=0)[:, 0]
    np.testing.assert_allclose(sd, [0.04 / np.sqrt(2), 0.04], rtol=0.06)
