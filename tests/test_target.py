"""What a target is: NumPy's target is the statement's `score`, and its parts do what they say."""

import json

import numpy as np
import pymc as pm
import pytest
import xarray as xr
from ladders import EVIDENCE, SPEC
from seeds import seed

from cod_bayes.forecast.posterior import Fit
from cod_bayes.forecast.target import stream
from cod_bayes.model.equations import accuracy, radians
from cod_bayes.model.ladder import LadderData
from cod_bayes.model.statement import build
from cod_bayes.model.variables import DIMS, PARAMETERS, SHARED

FAST = {"mode": "FAST_COMPILE"}
DRAWS = 4000


def fit_of(data, posterior, random_seed=0):
    """A fit whose posterior has these draws."""
    constant = {
        "compute": ("model", 10**data.x),
        "x_ref": ("benchmark", data.x_ref),
        "top": ("benchmark", data.top),
        "trials": ("benchmark", np.full(len(data.benchmark), np.inf)),
        "noise_share": ("benchmark", np.ones(len(data.benchmark))),
        "score": (("benchmark", "model"), np.zeros((len(data.benchmark), len(data.model)))),
        "benchmark_of_cluster": ("cluster", np.array(data.benchmark)[data.of_cluster]),
        "weight": ("cluster", data.weight),
        "nu_ratio": ("cluster", data.nu_ratio),
    }
    groups = {"posterior": posterior, "constant_data": xr.Dataset(constant, data.coords)}
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {"spec": SPEC.to_json(), "failed_checks": json.dumps([])}
    tree.attrs |= {"random_seed": random_seed}
    return Fit(tree)


@pytest.mark.filterwarnings("ignore")  # PyTensor's own, about BLAS and compilers
@pytest.mark.parametrize("key", EVIDENCE)
def test_a_target_is_the_statement_s(key):
    """The same posterior draws and the same standard normals give the same score."""
    data, number, count = EVIDENCE[key], seed(11), 7
    compute = 10 ** (data.x[-1] + np.array([-0.5, 0.0, 0.3, 2.0]))
    model = build(data, SPEC, compute=compute)
    with model:
        drawn = pm.sample_prior_predictive(count, random_seed=number, compile_kwargs=FAST)
    prior = drawn["prior"].to_dataset()
    drawn_by_fit = fit_of(data, prior, number).draws(compute, measured=False)

    # The streams of `Fit.draws`: what is common to all benchmarks, then each one's own.
    B, K = len(data.benchmark), len(data.cluster)
    common = np.random.default_rng([number, 1]).standard_normal(count)
    own = {"delta_target": common[drawn_by_fit["target"].values[0]]}
    common = np.random.default_rng([number, 6]).standard_normal(count)
    own["omega_target"] = common[drawn_by_fit["target"].values[0]]
    of_benchmark = ("delta_benchmark_target", "omega_benchmark_target")
    own |= {name: np.empty((count, B)) for name in of_benchmark}
    own["eps_target"] = np.empty((count, K))
    for b, name in enumerate(data.benchmark):
        rng, inside = np.random.default_rng([number, 2, stream(name)]), data.of_cluster == b
        own["delta_benchmark_target"][:, b] = rng.standard_normal(count)
        own["omega_benchmark_target"][:, b] = rng.standard_normal(count)
        own["eps_target"][:, inside] = rng.standard_normal((count, inside.sum()))
    if B == 1:  # where the two shocks of compute are not told apart
        own_b, shared = own["delta_benchmark_target"], prior["sigma_model"].values[0, :, None]
        sigma = prior["sigma_delta"].values[0]
        both = sigma * own_b + shared * own["delta_target"][:, None]
        own["delta_benchmark_target"] = both / np.hypot(sigma, shared)
    given = {name: (prior[name].dims, value[None]) for name, value in own.items()}
    stated = pm.compute_deterministics(
        prior.assign(given).drop_vars("score"),
        model=model,
        var_names=["score"],
        progressbar=False,
        compile_kwargs=FAST,
    )["score"]
    np.testing.assert_allclose(drawn_by_fit["score"], stated, atol=1e-9)
    assert float(stated.std()) > 0.05


# Its parts, on one point of the posterior.


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


def curve(ahead):
    """f of every cluster, at decades from the largest ladder model."""
    return radians(accuracy(np.asarray(ahead), 0.2, 0.3, 0.1, 0.05, 0.25))


def known_fit(**changed):
    """A posterior of one point, without any shock but those given: what is left of a forecast's
    spread is the target's own shocks."""
    data = two_benchmarks()
    p = dict.fromkeys(PARAMETERS, 1e-9) | {"delta": 0.0, "lead": 0.0}
    p |= {"nu": 0.5, "eta": 0.2, "beta": 0.3, "gamma": 0.1, "g": 0.05} | changed
    sizes = {dim: len(names) for dim, names in data.coords.items()}
    sizes["parameter"] = len(SHARED)
    posterior = {}
    for name in PARAMETERS:
        dims = DIMS.get(name, ())
        value = np.broadcast_to(p[name], (1, DRAWS, *(sizes[dim] for dim in dims)))
        posterior[name] = (("chain", "draw", *dims), value)
    coords = {"chain": [0], "draw": np.arange(DRAWS), **data.coords}
    return fit_of(data, xr.Dataset(posterior, coords), seed(0))


def target_z(fit, ahead, **options):
    """Arcsine root of the forecast, (draw, benchmark, compute)."""
    drawn = fit.draws(10 ** (23 + np.atleast_1d(ahead)), measured=False, **options)
    return radians(drawn["score"].values[0])


def test_forecast_without_shocks_is_the_curve():
    z = target_z(known_fit(), [0.0, 1.0])
    np.testing.assert_allclose(z.mean(axis=0), np.tile(curve([0.0, 1.0]), (2, 1)), atol=1e-6)
    assert z.std(axis=0).max() < 1e-6


def test_the_largest_model_s_lead_is_not_the_target_s():
    z = target_z(known_fit(lead=0.2), 1.0).mean(axis=0)[:, 0]
    np.testing.assert_allclose(z, curve(0.8), atol=1e-6)
    stays = target_z(known_fit(lead=0.2), 1.0, continues=True).mean(axis=0)[:, 0]
    np.testing.assert_allclose(stays, curve(1.0), atol=1e-6)


def test_the_target_s_spread_grows_with_the_root_of_the_distance():
    sd = target_z(known_fit(sigma_omega=0.03), [0.0, 0.25, 1.0, 4.0]).std(axis=0)
    expected = np.tile(0.03 * np.sqrt([0, 0.25, 1, 4]), (2, 1))
    np.testing.assert_allclose(sd, expected, rtol=0.06, atol=1e-6)


def test_benchmarks_share_a_part_of_a_target_s_walk():
    z = target_z(known_fit(sigma_omega=0.03), 1.0)[:, :, 0]
    shared = SPEC.constants["shared_omega"]
    assert np.corrcoef(z.T)[0, 1] == pytest.approx(shared, abs=0.06)


def test_moments_of_one_run_share_the_walk_between_them():
    fit = known_fit(sigma_omega=0.03)
    z = target_z(fit, [1.0, 4.0], one_run=True)[:, 0]
    assert np.corrcoef(z.T)[0, 1] == pytest.approx(np.sqrt(1 / 4), abs=0.06)
    apart = target_z(fit, [1.0, 4.0])[:, 0]
    assert np.corrcoef(apart.T)[0, 1] > 0.999  # targets of their own: one curve


@pytest.mark.parametrize(
    ("shock", "correlation"), [("sigma_model", 1.0), ("sigma_delta", 0.0)], ids=str
)
def test_a_target_s_own_shock_is_on_every_benchmark_and_the_other_on_one(shock, correlation):
    z = target_z(known_fit(**{shock: 0.1}), 1.0)[:, :, 0]
    slope = (curve(1 + 1e-4) - curve(1 - 1e-4)) / 2e-4
    np.testing.assert_allclose(z.std(axis=0), 0.1 * slope, rtol=0.06)
    assert np.corrcoef(z.T)[0, 1] == pytest.approx(correlation, abs=0.06)


def test_clusters_own_noise_averages_out_over_clusters():
    sd = target_z(known_fit(tau=0.04), 1.0).std(axis=0)[:, 0]
    np.testing.assert_allclose(sd, [0.04 / np.sqrt(2), 0.04], rtol=0.06)
