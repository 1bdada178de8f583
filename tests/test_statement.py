"""The stated model: the fast density is it with its shocks integrated out, in value and in
gradient; run forwards, it does what its equations say; PyMC's tools take it as it is.
"""

import arviz as az
import numpy as np
import pymc as pm
import pytest
from ladders import EVIDENCE, SPEC, points
from scipy import stats
from seeds import seed
from stated import stated

from cod_bayes.model.equations import accuracy, floor_prior, radians
from cod_bayes.model.ladder import LadderData
from cod_bayes.model.spec import Prior
from cod_bayes.model.statement import Priors, build
from cod_bayes.model.variables import DIMS, GLOBAL, PARAMETERS
from cod_bayes.sampling.density import Density

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTensor's own, about BLAS and compilers
FAST = {"mode": "FAST_COMPILE"}


@pytest.mark.parametrize("key, count", [("one", 3), ("several", 3), ("large", 1)])
def test_the_fast_density_is_the_stated_model_with_its_shocks_integrated_out(key, count):
    density = Density.of(SPEC, EVIDENCE[key])
    for theta in points(EVIDENCE[key], count):
        value, gradient = density(theta)
        expected, slope = stated(key).integrated(theta)
        assert value == pytest.approx(float(expected), rel=1e-8)
        np.testing.assert_allclose(gradient, slope, rtol=1e-5, atol=1e-7 * abs(slope).max())


# Run forwards, on parameters that are held still: every benchmark is one draw of its shocks.

BENCHMARKS = 3000
X = np.array([19.0, 20.0, 22.0, 23.0])
CURVE = {"eta": 0.2, "log_beta": np.log(0.3), "gamma": 0.1, "g": 0.05}


def many_benchmarks():
    """Benchmarks of two clusters on one ladder without sampling noise."""
    K = 2 * BENCHMARKS
    return LadderData(
        [f"b{b}" for b in range(BENCHMARKS)],
        [f"k{k}" for k in range(K)],
        list("mnop"),
        np.repeat(np.arange(BENCHMARKS), 2),
        X,
        np.full(BENCHMARKS, X[-1]),
        np.full((K, 4), 0.8),
        np.full((K, 4), 1e-16),
        np.zeros(K),
        np.full(K, 0.5),
        np.full(K, 0.5),
    )


def drawn(number=seed(0), **changed):
    """z (benchmark, cluster of two, model) without any shock but those given."""
    data = many_benchmarks()
    still = {name: 1e-9 for name in GLOBAL} | {"mu_omega": 0.0, "nu": 0.5} | CURVE
    still |= {"spread_omega": 1e-9, "tau": 1e-9, "delta": 0.0, "sigma_delta": 1e-9} | changed
    model = build(data, SPEC)
    shape = {name: tuple(model[name].shape.eval()) for name in still}
    constants = {name: np.full(shape[name], value) for name, value in still.items()}
    z = pm.draw(pm.do(model, constants)["z"], random_seed=number, **FAST)
    return z.reshape(BENCHMARKS, 2, 4)


def curve(x):
    """f at log10 compute x."""
    values = (CURVE["eta"], np.exp(CURVE["log_beta"]), CURVE["gamma"], CURVE["g"], 0.25)
    return radians(accuracy(x - X[-1], *values))


def correlation(one, other):
    return np.corrcoef(one.ravel(), other.ravel())[0, 1]


def test_without_shocks_z_is_the_curve():
    z = drawn()
    np.testing.assert_allclose(z, np.broadcast_to(curve(X), z.shape), atol=1e-6)


def test_tau_is_each_cluster_s_own():
    z = drawn(tau=0.05)
    np.testing.assert_allclose(z.std(axis=0), 0.05, rtol=0.06)
    assert abs(correlation(z[:, 0, 1], z[:, 1, 1])) < 0.08
    assert abs(correlation(z[:, 0, 1], z[:, 0, 2])) < 0.08


def test_a_compute_shock_widens_by_the_slope_and_moves_a_benchmark_s_clusters_together():
    z = drawn(sigma_delta=0.05)
    slope = (curve(X + 1e-4) - curve(X - 1e-4)) / 2e-4
    # The largest model's own shock is in the curve, which is what it shows. Smaller models lie
    # further from it by that shock, the lead, which they all have in common.
    assert z[..., 3].std() < 1e-6
    np.testing.assert_allclose(z[:, 0, :3].std(axis=0), 0.05 * slope[:3] * 2**0.5, rtol=0.08)
    assert correlation(z[:, 0, 1], z[:, 1, 1]) > 0.999
    assert correlation(z[:, 0, 1], z[:, 0, 2]) == pytest.approx(0.5, abs=0.06)
    assert abs(correlation(z[1:, 0, 1], z[:-1, 0, 1])) < 0.08


def test_a_shock_of_one_model_is_on_every_benchmark():
    delta = np.array([0.2, 0.0, -0.1, 0.1])
    z = drawn(delta=delta)
    expected = curve(X + delta - delta[3])  # in distance from the largest model
    np.testing.assert_allclose(z, np.broadcast_to(expected, z.shape), atol=1e-6)


def test_omega_is_a_random_walk_from_the_largest_model():
    z = drawn(spread_omega=0.04)
    np.testing.assert_allclose(z[:, 0, :3].std(axis=0), 0.04 * np.sqrt([4, 3, 1]), rtol=0.06)
    assert z[..., 3].std() < 1e-6  # the curves are trusted most at the largest ladder model
    assert correlation(z[:, 0, 0], z[:, 1, 0]) > 0.999
    assert abs(correlation(z[1:, 0, 0], z[:-1, 0, 0])) < 0.08
    # A smaller model has all steps of a larger one.
    assert correlation(z[:, 0, 0], z[:, 0, 2]) == pytest.approx(np.sqrt(1 / 4), abs=0.06)


# The prior.


@pytest.fixture(scope="module")
def prior():
    """Prior draws of the statement on the ladder of several benchmarks, (draw, dim)."""
    with build(EVIDENCE["several"], SPEC, compute=np.array([1e23])):
        drawn = pm.sample_prior_predictive(1000, random_seed=seed(4), compile_kwargs=FAST)
    return drawn["prior"].to_dataset().isel(chain=0)


def uniform(values):
    """Whether the numbers, of a continuous distribution's function, are uniform."""
    return stats.kstest(np.ravel(values), "uniform").pvalue > 1e-3


def test_prior_draws_have_the_marginals_that_the_specification_names(prior):
    for name, of in SPEC.priors.items():
        assert uniform(of.distribution.cdf(prior[name].values)), name


def test_prior_draws_of_clusters_and_shocks_have_the_stated_distributions(prior):
    p = {name: prior[name].values for name in prior}
    each = {name: p[name][:, None] for name in GLOBAL}
    of = EVIDENCE["several"].of_cluster
    free = SPEC.constants["free_answer_slope"] * (EVIDENCE["several"].chance == 0)
    for name, values in {"eta": p["eta"], "beta": np.log(p["beta"]) - free}.items():
        assert uniform(stats.norm.cdf(values, p[f"mu_{name}"][:, of], p[f"sigma_{name}"][:, of]))
    capped, loss = (SPEC.constants[name] for name in ("capped_share", "capped_loss"))
    scaling = stats.expon.cdf(p["gamma"], scale=p["sigma_gamma"][:, of])
    assert uniform((1 - capped) * scaling + capped * stats.expon.cdf(p["gamma"], scale=loss))
    floor = floor_prior(EVIDENCE["several"].chance, SPEC.constants["chance_items"])
    assert uniform(stats.beta.cdf(p["g"], *floor))
    assert uniform(stats.norm.cdf(p["delta"] / each["sigma_model"]))
    assert uniform(stats.norm.cdf(p["lead"] / p["sigma_delta"]))
    assert uniform(stats.norm.cdf(p["delta_benchmark"] / p["sigma_delta"][..., None]))
    omega = p["sigma_omega"] - np.exp(each["mu_omega"]) * p["spread_omega"]
    np.testing.assert_allclose(omega, 0, atol=1e-12)


def test_a_gamma_prior_is_given_by_its_mean_and_sd():
    gamma = Prior("gamma", 0.2, 0.1, "", "")
    spec = type(SPEC)("x", "", SPEC.priors | {"sigma_delta": gamma}, SPEC.described)
    with pm.Model():
        variable = Priors(spec, np.zeros(1), None)("sigma_delta")
        draws = pm.draw(variable, 2000, random_seed=seed(1), **FAST)
    assert uniform(gamma.distribution.cdf(draws))
    assert (gamma.distribution.mean(), gamma.distribution.std()) == pytest.approx((0.2, 0.1))


# PyMC's tools.


@pytest.mark.parametrize("key", EVIDENCE)
def test_variables_have_the_documented_dims(key):
    model = build(EVIDENCE[key], SPEC)
    dims = {name: tuple(dim or () for dim in of) for name, of in model.named_vars_to_dims.items()}
    assert {name: dims.get(name, ()) for name in DIMS} == DIMS
    assert {*PARAMETERS} <= set(model.named_vars)
    assert [v.name for v in model.observed_RVs] == ["z"]
    sizes = {dim: len(values) for dim, values in EVIDENCE[key].coords.items()}
    initial = model.initial_point()
    assert initial["omega_step"].shape == (sizes["benchmark"], sizes["model"])


def test_pymc_s_tools_take_the_model_as_it_is(prior):
    model = build(EVIDENCE["several"], SPEC)
    cells = int(EVIDENCE["several"].measured.sum())
    few = prior.isel(draw=slice(0, 5)).expand_dims("chain")
    tree = az.from_dict({"posterior": {name: few[name].values for name in few}})
    quiet = {"progressbar": False, "compile_kwargs": FAST}
    with model:
        seen = pm.sample_posterior_predictive(tree, random_seed=seed(1), **quiet)
    assert seen["posterior_predictive"]["z"].shape == (1, 5, cells)
    assert "sigma_delta --> delta_benchmark" in pm.model_to_mermaid(model)


# Golden numbers.


def golden_log_p():
    """Log density of the statement in its own variables, the data of sines and every variable a
    sine around 0.3: of no generator's stream, so that the number depends on the model alone.

    Made by this function; a released name keeps its meaning, and another number is another model's.
    """
    x = np.array([19.5, 20.1, 20.8, 21.6, 22.3])
    noise = 1e-3 * (1 + 0.5 * np.cos(np.arange(20.0))).reshape(4, 5)
    noise[1, 0] = noise[2, 4] = noise[3, 4] = np.inf
    z = 0.8 + 0.5 * np.sin(np.arange(20.0)).reshape(4, 5)
    data = LadderData(
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
    model = build(data, SPEC)
    names = sorted(variable.name for variable in model.free_RVs)
    point = {}
    for i, name in enumerate(names):
        shape = model.initial_point()[model.rvs_to_values[model[name]].name].shape
        value = 0.3 + 0.1 * np.sin(1.0 + i + np.arange(np.prod(shape, dtype=int))).reshape(shape)
        if name == "mu_omega":
            value = np.array(-3.8)
        of = model[name]
        change = model.rvs_to_transforms[of]
        if change is not None:
            value = change.forward(value, *of.owner.inputs).eval(**FAST)
        point[model.rvs_to_values[of].name] = value
    return names, float(model.compile_logp(jacobian=False, **FAST)(point))


def test_golden_number_of_the_model_named_cod():
    names, log_p = golden_log_p()
    assert names == GOLDEN_NAMES
    assert log_p == pytest.approx(GOLDEN_LOG_P, rel=1e-9)
    assert {name: SPEC.constants[name] for name in GOLDEN_CONSTANTS} == GOLDEN_CONSTANTS


GOLDEN_NAMES = (
    "delta delta_benchmark eta g gamma log_beta mu_beta mu_eta "
    "mu_omega nu omega_step sigma_beta sigma_delta sigma_eta sigma_gamma sigma_model spread_omega "
    "suite tau"
).split()
GOLDEN_LOG_P = -475.2551086690128
GOLDEN_CONSTANTS = {"capped_share": 0.25, "capped_loss": 4.0, "chance_items": 30.0}
GOLDEN_CONSTANTS |= {"free_answer_slope": 0.5}
GOLDEN_CONSTANTS |= {"nu_ratio_cluster": 0.7, "nu_ratio_zero": 0.2, "nu_ratio_outliers": 1.5}
GOLDEN_CONSTANTS |= {"mapping_scatter": 0.04, "evaluation_noise": 0.004, "assumed_trials": 1000.0}
