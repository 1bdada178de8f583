"""Simulation-based calibration (Talts et al. 2018): parameters, data and a target's score from the
stated prior, and the rank of the truth among the posterior's draws is uniform, when the statement,
the fast engine, its sampler and the forecast agree.
"""

import warnings
from dataclasses import replace

import numpy as np
import pymc as pm
import pytest
import xarray as xr
from scipy import stats
from seeds import seed

from cod_bayes.forecast.posterior import Fit
from cod_bayes.model.ladder import LadderData
from cod_bayes.model.spec import load_spec
from cod_bayes.model.statement import build
from cod_bayes.sampling.engines import sample_fast

pytestmark = pytest.mark.slow
SPEC = load_spec("cod")
WORLDS = 40
RUN = {"draws": 150, "tune": 200, "chains": 2, "attempts": 1, "progressbar": False}
TARGET = 10**23.5  # FLOPs, a decade above the largest model
ALPHA = 1e-4  # of each of some forty tests; what is wrong below falls far short of it
# What is ranked, each of the first benchmark, cluster or model that it has, and of every score.
QUANTITIES = """mu_eta mu_beta mu_omega sigma_eta sigma_beta sigma_gamma sigma_model sigma_delta tau
nu sigma_omega lead delta delta_benchmark omega eta beta gamma g score[0] score[1]""".split()


def ladder(z):
    """Two benchmarks, of two clusters and of one, on six models; these rates in radians."""
    x = np.linspace(20.0, 22.5, 6)
    noise = np.full((3, 6), 1 / (4 * 4000.0))  # enough trials for the shocks to show
    names, of = [f"m{m}" for m in range(6)], np.array([0, 0, 1])
    row = of, x, x[[5, 5]], z, noise, np.zeros(3), np.ones(3), np.array([0.5, 0.5, 1.0])
    return LadderData(["b", "c"], ["b/0", "b/1", "c/0"], names, *row)


def worlds(count, shocks, seed):
    """Prior draws, a target's score among them, and z, of worlds whose shocks are `shocks` times
    the prior's."""
    wide = dict(SPEC.priors)
    for name in ("sigma_delta", "tau", "spread_omega"):
        wide[name] = replace(wide[name], mu=wide[name].mu + np.log(shocks))  # lognormal
    spec = replace(SPEC, priors=wide)
    model = build(ladder(np.zeros((3, 6))), spec, compute=np.array([TARGET]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTensor's own
        drawn = pm.sample_prior_predictive(
            count, model, random_seed=seed, compile_kwargs={"mode": "FAST_COMPILE"}
        )
    z = drawn["prior_predictive"]["z"].values[0].reshape(count, 3, 6)
    return drawn["prior"].to_dataset(), z


def quantities(draws, score):
    """Of draws, score (..., benchmark): what is ranked. (draw, quantity)"""
    named = {f"score[{b}]": score.reshape(-1, 2)[:, b] for b in range(2)}
    for name in set(QUANTITIES) - set(named):
        value = draws[name].transpose("chain", "draw", ...).values
        named[name] = value.reshape(value.shape[0] * value.shape[1], -1)[:, 0]
    return np.column_stack([named[name] for name in QUANTITIES])


def forecast(data, posterior, random_seed):
    """The score's draws as `Fit.draws` makes them, (draw, benchmark)."""
    constant = {
        "compute": ("model", 10**data.x),
        "x_ref": ("benchmark", data.x_ref),
        "top": ("benchmark", data.top),
        "trials": ("benchmark", np.full(2, np.inf)),
        "noise_share": ("benchmark", np.ones(2)),
        "score": (("benchmark", "model"), np.zeros((2, 6))),
        "benchmark_of_cluster": ("cluster", np.array(data.benchmark)[data.of_cluster]),
        "weight": ("cluster", data.weight),
        "nu_ratio": ("cluster", data.nu_ratio),
    }
    groups = {"posterior": posterior, "constant_data": xr.Dataset(constant, data.coords)}
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {"spec": SPEC.to_json(), "failed_checks": "[]", "random_seed": random_seed}
    return Fit(tree).draws(TARGET, measured=False)["score"].values.reshape(-1, 2)


def ranks(count, shocks, seed):
    """Quantity -> (world,) in [0, 1]."""
    rng = np.random.default_rng(seed)
    truths, z = worlds(count, shocks, seed)
    expected = quantities(truths, truths["score"].values)
    values = np.empty((count, len(QUANTITIES)))
    for world in range(count):
        data = ladder(z[world])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nutpie's and xarray's
            tree, *_ = sample_fast(SPEC, data, random_seed=world, **RUN)
        # Thinned: ranks of correlated draws are not uniform.
        posterior = tree["posterior"].to_dataset().isel(draw=slice(None, None, 5))
        drawn = quantities(posterior, forecast(data, posterior, world))
        below = (drawn < expected[world]).sum(axis=0)
        values[world] = (below + rng.random(len(QUANTITIES))) / (len(drawn) + 1)
    return dict(zip(QUANTITIES, values.T, strict=True))


def p_values(rank):
    return {name: stats.kstest(value, "uniform").pvalue for name, value in rank.items()}


@pytest.fixture(scope="module")
def calibrated():
    return ranks(WORLDS, 1.0, seed=seed(1))


def test_ranks_of_the_truth_are_uniform(calibrated):
    p = p_values(calibrated)
    assert min(p.values()) > ALPHA, p


def test_ranks_are_not_crowded_in_the_middle_or_at_the_ends(calibrated):
    # What a Kolmogorov-Smirnov test hardly sees: a posterior too wide or too narrow.
    for name, rank in calibrated.items():
        outer = int((abs(rank - 0.5) > 0.25).sum())
        assert stats.binomtest(outer, WORLDS, 0.5).pvalue > ALPHA, (name, outer)


def test_a_shifted_rank_is_rejected(calibrated):
    # The power of the test above: a posterior one and a half sd off would not pass.
    for name, rank in calibrated.items():
        off = stats.norm.cdf(stats.norm.ppf(rank) + 1.5)
        assert stats.kstest(off, "uniform").pvalue < ALPHA, name


def test_shocks_four_times_as_large_are_rejected():
    p = p_values(ranks(WORLDS // 2, 4.0, seed=seed(2)))
    assert p["sigma_delta"] < ALPHA, p
