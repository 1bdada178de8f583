"""The density, the collapsed likelihood and the forward model are one model, and it is the stated
one: PyMC, the covariance written out, finite differences and plain Monte Carlo each check a part.
"""

import json

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from cod_bayes.forecast.fitting import Fit
from cod_bayes.model.generate import log_likelihood, log_prior, prior_draws, replicate
from cod_bayes.model.ladder import (
    CURVE,
    DIMS,
    GLOBAL,
    PARAMETERS,
    PROBIT,
    LadderData,
    accuracy,
    floor_prior,
    share,
)
from cod_bayes.model.spec import load_spec
from cod_bayes.model.statement import build
from cod_bayes.sampling.density import Density
from cod_bayes.sampling.kernels import N_GLOBAL, PER_BENCHMARK

SPEC = load_spec("cod")


def ladder(clusters, models, seed=0, missing=0.2):
    """Clusters per benchmark; the last benchmark lacks the largest model, if there are several."""
    rng = np.random.default_rng(seed)
    of_cluster = np.repeat(np.arange(len(clusters)), clusters)
    K, B = sum(clusters), len(clusters)
    x = 19 + np.cumsum(rng.uniform(0.3, 0.9, models))
    top = np.full(B, models - 1)
    noise = 1 / (4 * rng.uniform(50, 3000, (K, models)))
    noise[rng.random((K, models)) < missing] = np.inf
    noise[:, -2] = 1e-3
    if B > 1:
        top[-1] = models - 2
        noise[of_cluster == B - 1, -1] = np.inf
    z = np.where(np.isfinite(noise), rng.uniform(0.2, 1.4, (K, models)), 0.0)
    chance = rng.choice([np.nan, 0.0, 0.25], K)
    chance[0] = np.nan
    return LadderData(
        [f"b{b}" for b in range(B)],
        [f"k{k}" for k in range(K)],
        [f"m{m}" for m in range(models)],
        of_cluster,
        x,
        x[top],
        z,
        noise,
        chance,
        rng.uniform(0.3, 1.6, K),
    )


SINGLE, SEVERAL = ladder([3], 6, seed=1), ladder([2, 4, 1], 5, seed=2)
LARGE = ladder([3, 11, 1], 18, seed=3)  # more clusters than a block has, more models than a product
EVIDENCE = pytest.mark.parametrize(
    "data", [SINGLE, SEVERAL, LARGE], ids=["one", "several", "large"]
)


def points(data, n, spread=0.6, seed=5):
    density = Density.of(SPEC, data)
    rng = np.random.default_rng(seed)
    return density.start_values + rng.normal(0, spread, (n, density.size))


def as_values(data, theta):
    """The coordinates under the names of the PyMC model's value variables."""
    B, M, K = len(data.benchmark), len(data.model), len(data.cluster)
    names = ["mu_omega", "sigma_model_log__"]
    value = dict(zip(names, theta[:N_GLOBAL], strict=True))
    blocks = {"raw_delta": M, "mu_eta": B, "mu_beta": B}
    blocks |= {f"{name}_log__": B for name in PER_BENCHMARK[2:]} | {"raw_lead": B}
    blocks |= {f"probit_{name}": K for name in ("kept", "y", "s", "phi")}
    parts = np.split(theta[N_GLOBAL:], np.cumsum(list(blocks.values()))[:-1])
    return value | dict(zip(blocks, parts, strict=True))


@EVIDENCE
def test_the_evidence_of_these_tests_has_what_they_claim_to_cover(data):
    assert not data.measured.all() and np.isnan(data.chance).any()


@EVIDENCE
@pytest.mark.filterwarnings("ignore")  # PyTensor's own, about BLAS and compilers
def test_density_is_that_of_the_pymc_model(data):
    density = Density.of(SPEC, data)
    model = build(SPEC, data)
    assert {v.name for v in model.value_vars} == set(as_values(data, np.zeros(density.size)))
    log_p = model.compile_logp(mode="FAST_COMPILE")
    for theta in points(data, 8):
        expected = log_p(as_values(data, theta))
        assert np.isfinite(expected)
        assert density(theta)[0] == pytest.approx(float(expected), rel=1e-8)


@EVIDENCE
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


@pytest.mark.filterwarnings("ignore")  # PyTensor's own, about BLAS and compilers
def test_a_flat_cluster_s_share_above_the_floor_may_be_smaller_than_any_number():
    density = Density.of(SPEC, SINGLE)
    log_p = build(SPEC, SINGLE).compile_logp(mode="FAST_COMPILE")
    theta, K = points(SINGLE, 1)[0], len(SINGLE.cluster)
    places = density.size - K * np.array([4, 2])  # probits kept and s of the first cluster
    # A share is 0 in floating point from -21 on, and what is lost from a kept of 21 on.
    for probits in ((0.3, -15), (0.3, -21), (0.3, -25), (9, -4), (24, -25), (25, -24), (-25, -25)):
        theta[places] = probits
        value, gradient = density(theta)
        assert value == pytest.approx(float(log_p(as_values(SINGLE, theta))), rel=1e-8)
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
    raw = slice(N_GLOBAL, N_GLOBAL + len(SINGLE.model))
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


def written_out(data, p):
    """Log density per benchmark and model, given the larger models: of multivariate normals with
    their whole covariance."""
    value = np.zeros((len(data.benchmark), len(data.model)))
    for b in range(len(data.benchmark)):
        larger = 0.0
        for m in reversed(range(len(data.model))):
            own = (data.of_cluster == b)[:, None] & data.measured
            own[:, :m] = False
            here = log_density_of_cells(data, p, b, *np.nonzero(own)) if own.any() else 0.0
            value[b, m], larger = here - larger, here
    return value


def log_density_of_cells(data, p, b, ks, ms):
    largest = data.model.index(top_name(data, b))
    at = data.x + p["delta"] - p["delta"][largest]
    at = at - (np.arange(len(data.x)) != largest) * p["lead"][b]

    def curve(ahead):
        return np.array(
            [mean_curve(data, p, k, at[m] + ahead) for k, m in zip(ks, ms, strict=True)]
        )

    df = (ms != largest) * (curve(1e-4) - curve(-1e-4)) / 2e-4
    way = data.x_ref[b] - data.x[ms]
    covariance = np.diag(data.noise[ks, ms] + p["tau"][b] ** 2)
    covariance += p["sigma_delta"][b] ** 2 * np.outer(df, df) * np.equal.outer(ms, ms)
    covariance += p["sigma_omega"][b] ** 2 * np.minimum.outer(way, way)
    return stats.multivariate_normal.logpdf(data.z[ks, ms], curve(0), covariance)


def top_name(data, b):
    return data.model[int(np.flatnonzero(data.x == data.x_ref[b])[0])]


@EVIDENCE
def test_collapsed_likelihood_is_the_normal_with_the_stated_covariance(data):
    density = Density.of(SPEC, data)
    for theta in points(data, 4, spread=0.4):
        p = density.constrain(theta)
        np.testing.assert_allclose(log_likelihood(data, p), written_out(data, p), rtol=1e-6)


@EVIDENCE
def test_likelihood_takes_leading_draw_dimensions(data):
    density = Density.of(SPEC, data)
    draws = points(data, 6).reshape(2, 3, -1)
    together = log_likelihood(data, density.constrain(draws))
    np.testing.assert_allclose(together[1, 2], log_likelihood(data, density.constrain(draws[1, 2])))


def log_jacobian(data, theta):
    """Of the parameters that `log_prior` speaks of, by the coordinates; numeric where coupled."""
    v = as_values(data, theta)
    scales = [np.sum(v[name]) for name in v if name.endswith("_log__")]
    total = np.sum(scales)

    def curve(u, nu, reach):
        kept, y, s, phi = share(u)
        g = kept * y * (1 - s)
        loss, below = (-np.log((at - g) / (1 - g)) for at in (y, kept * y))
        gamma = phi * loss
        eta, high = (np.log(np.expm1(nu * (left - gamma)) / nu) for left in (loss, below))
        return np.array([eta, (high - eta) / reach, gamma, g])

    nu = data.nu_ratio * np.exp(v["nu_log__"])[data.of_cluster]
    probits = [v[f"probit_{name}"] for name in ("kept", "y", "s", "phi")]
    p = Density.of(SPEC, data).constrain(theta)
    for k, (*u, of) in enumerate(np.column_stack([*probits, nu])):
        reach = data.below[1][k] * np.exp(trend(data, p, data.of_cluster[k]))
        at = curve(np.array(u), of, reach)
        np.testing.assert_allclose([p[name][k] for name in CURVE], at, rtol=1e-9)
        h = 1e-5 * np.eye(4)
        d = [(curve(u + e, of, reach) - curve(u - e, of, reach)) / 2e-5 for e in h]
        total += np.log(abs(np.linalg.det(np.column_stack(d))))
    return total


def trend(data, p, b):
    """The slope of a benchmark's shocks over log compute, through 0 at its largest model."""
    below = np.arange(data.top[b])
    away = data.x[below] - data.x_ref[b]
    shift = p["delta"][below] - p["delta"][data.top[b]] - p["lead"][b]
    return (away @ shift / max(away @ away, 0.25)).item()


def test_share_is_the_normal_s_distribution_function_to_two_in_ten_thousand():
    v = np.linspace(-6, 6, 2001)
    assert abs(share(v) - stats.norm.cdf(v)).max() < 2e-4
    np.testing.assert_allclose(share(v) + share(-v), 1)
    assert PROBIT == (1.5976, 0.070566)


@EVIDENCE
def test_density_is_likelihood_and_prior_and_jacobian(data):
    density = Density.of(SPEC, data)
    for theta in points(data, 4):
        p = density.constrain(theta)
        prior = log_prior(SPEC, data, p)
        assert set(prior) == {*SPEC.priors, "eta", "beta", "gamma", "g"}
        total = log_likelihood(data, p).sum() + sum(np.sum(term) for term in prior.values())
        raw = as_values(data, theta)
        total += stats.norm.logpdf(np.r_[raw["raw_delta"], raw["raw_lead"]]).sum()
        assert density(theta)[0] == pytest.approx(total + log_jacobian(data, theta), rel=1e-7)


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
    rng = np.random.default_rng(0)
    x = np.linspace(-8, 12, 201)
    for _ in range(50):
        eta, beta, nu = rng.normal(0.4, 1), *np.exp(rng.normal(-1, 0.5, 2))
        gamma, g = rng.exponential(0.3), rng.beta(2, 8)
        y = accuracy(x, 0.0, eta, beta, gamma, g, nu)
        assert (np.diff(y) >= 0).all() and y[-1] > y[0]
        assert (y >= g).all() and (y <= 1).all()
        assert y.max() <= g + (1 - g) * np.exp(-gamma) + 1e-12
        # The mean over items whose losses are gamma-distributed around exp(eta).
        losses = stats.gamma.ppf((np.arange(20000) + 0.5) / 20000, 1 / nu, scale=nu * np.exp(eta))
        mean = g + (1 - g) * np.exp(-losses - gamma).mean()
        assert accuracy(7.0, 7.0, eta, beta, gamma, g, nu) == pytest.approx(mean, abs=1e-3)
        single = g + (1 - g) * np.exp(-np.exp(eta) - gamma)
        assert accuracy(7.0, 7.0, eta, beta, gamma, g, 1e-9) == pytest.approx(single, rel=1e-6)


def fixed_data():
    """No generator's stream: sines, so that the golden numbers hang on the model alone."""
    x = np.array([19.5, 20.1, 20.8, 21.6, 22.3])
    noise = 1e-3 * (1 + 0.5 * np.cos(np.arange(20.0))).reshape(4, 5)
    noise[1, 0] = noise[2, 4] = noise[3, 4] = np.inf
    z = 0.8 + 0.5 * np.sin(np.arange(20.0)).reshape(4, 5)
    return LadderData(
        ["a", "b"],
        ["a0", "a1", "b0", "b1"],
        list("mnopq"),
        np.array([0, 0, 1, 1]),
        x,
        x[[4, 3]],
        np.where(np.isfinite(noise), z, 0.0),
        noise,
        np.array([0.0, 0.25, np.nan, 0.1]),
        np.array([0.5, 1.5, 0.2, 1.0]),
    )


def test_golden_numbers_of_the_model_named_cod():
    """A released name keeps its meaning: a change of these numbers is a new model's name."""
    data = fixed_data()
    size = {(): (), **{(dim,): (len(names),) for dim, names in data.coords.items()}}
    p = {}
    for i, name in enumerate(PARAMETERS):
        shape = size[DIMS.get(name, ())]
        p[name] = 0.3 + 0.1 * np.sin(1.0 + i + np.arange(np.prod(shape))).reshape(shape)
    p["mu_omega"] = np.array(-3.8)
    assert log_likelihood(data, p).sum() == pytest.approx(GOLDEN_LIKELIHOOD, rel=1e-9)
    prior = sum(np.sum(term) for term in log_prior(SPEC, data, p).values())
    assert prior == pytest.approx(GOLDEN_PRIOR, rel=1e-9)
    assert {name: SPEC.constants[name] for name in GOLDEN_CONSTANTS} == GOLDEN_CONSTANTS


GOLDEN_LIKELIHOOD = -6.377370770331819
GOLDEN_PRIOR = -307.6493270589589
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


def spread_of(seed=0, **changed):
    z = replicate(two_benchmarks(), still(**changed), np.random.default_rng(seed))
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


def test_unmeasured_cells_stay_unmeasured():
    rng = np.random.default_rng(0)
    z = replicate(SEVERAL, prior_draws(SPEC, SEVERAL, rng, 20), rng)
    np.testing.assert_array_equal(np.isfinite(z), np.tile(SEVERAL.measured, (20, 1, 1)))


def test_prior_draws_have_the_stated_marginals():
    p = prior_draws(SPEC, SEVERAL, np.random.default_rng(4), 4000)
    for name, prior in SPEC.priors.items():
        if name == "spread_omega":
            value = np.log(p["sigma_omega"] / np.exp(p["mu_omega"])[:, None])
        else:
            value = np.log(p[name]) if prior.family == "lognormal" else p[name]
        assert stats.kstest((np.ravel(value) - prior.mu) / prior.sigma, "norm").pvalue > 1e-3, name
    # Given the shared parameters, the clusters' own: their probability integrals are uniform.
    each = {name: p[name][:, None] for name in GLOBAL}
    u = [stats.norm.cdf(p["eta"], each["mu_eta"], each["sigma_eta"])]
    u += [stats.norm.cdf(np.log(p["beta"]), each["mu_beta"], each["sigma_beta"])]
    capped, loss = SPEC.constants["capped_share"], SPEC.constants["capped_loss"]
    few = (1 - capped) * stats.expon.cdf(p["gamma"], scale=each["sigma_gamma"])
    u += [few + capped * stats.expon.cdf(p["gamma"], scale=loss)]
    u += [stats.beta.cdf(p["g"], *floor_prior(SEVERAL.chance, SPEC.constants["chance_items"]))]
    u += [stats.norm.cdf(p["delta"] / each["sigma_model"])]
    u += [stats.norm.cdf(p["lead"] / each["sigma_delta"])]
    for values in u:
        assert stats.kstest(np.ravel(values), "uniform").pvalue > 1e-3


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
