"""Simulation-based calibration (Talts et al. 2018): parameters from the stated prior, data from
them, and the rank of the truth among the posterior's draws is uniform, when the statement, the fast
engine and its sampler agree.
"""

import warnings
from dataclasses import replace

import numpy as np
import pymc as pm
import pytest
from scipy import stats
from seeds import seed

from cod_bayes.model.equations import accuracy
from cod_bayes.model.ladder import LadderData
from cod_bayes.model.spec import load_spec
from cod_bayes.model.statement import build
from cod_bayes.sampling.nuts import sample

pytestmark = pytest.mark.slow
SPEC = load_spec("cod")
WORLDS = 40
RUN = {"draws": 150, "tune": 300, "chains": 2, "attempts": 1}
TARGET = 23.5  # log10 FLOPs, a decade above the largest model
QUANTITIES = ("mu_beta", "sigma_delta", "eta[0]", "beta[0]", "score")
ALPHA = 1e-3  # of each test; what is wrong below falls short of it by orders of magnitude


def ladder(z):
    """One benchmark of two clusters and six models, with these rates in radians."""
    x = np.linspace(20.0, 22.5, 6)
    noise = np.full((2, 6), 1 / (4 * 4000.0))  # enough trials for the shocks to show
    names, half = [f"m{m}" for m in range(6)], np.full(2, 0.5)
    row = np.zeros(2, int), x, x[5:], z, noise, np.zeros(2), np.ones(2), half
    return LadderData(["b"], ["b/0", "b/1"], names, *row)


def worlds(shocks, seed):
    """Parameters, a target's score and z of worlds whose shocks are `shocks` times the prior's."""
    wide = dict(SPEC.priors)
    for name in ("sigma_delta", "tau", "spread_omega"):
        wide[name] = replace(wide[name], mu=wide[name].mu + np.log(shocks))  # lognormal
    model = build(ladder(np.zeros((2, 6))), replace(SPEC, priors=wide), compute=[10**TARGET])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTensor's own
        drawn = pm.sample_prior_predictive(WORLDS, model, random_seed=seed)
    prior = drawn["prior"].to_dataset().isel(chain=0)
    z = drawn["prior_predictive"]["z"].values[0].reshape(WORLDS, 2, 6)
    return {name: prior[name].values for name in prior.data_vars}, z


def score(p, rng):
    """A fresh target's, of draws (draw, ...): the statement's equations for one benchmark."""
    normal = rng.standard_normal((4, len(p["mu_beta"]), 2))
    ahead = TARGET - 22.5 - p["lead"] + p["sigma_delta"][:, None] * normal[0, :, :1]
    y = accuracy(ahead, *(p[name] for name in ("eta", "beta", "gamma", "g", "nu")))
    z = np.arcsin(np.sqrt(y)) + p["sigma_omega"] * normal[1, :, :1] + p["tau"] * normal[2]
    return (np.sin(np.clip(z, 0, np.pi / 2)) ** 2).mean(axis=1)


def quantities(p, score):
    """Of draws (draw, ...): what is ranked. (draw, quantity)"""
    named = p["mu_beta"], p["sigma_delta"], p["eta"][:, 0], p["beta"][:, 0], score
    return np.column_stack(named)


def ranks(shocks, seed):
    """Quantity -> (world,) in [0, 1]."""
    rng = np.random.default_rng(seed)
    truths, z = worlds(shocks, seed)
    expected = quantities(truths, truths["score"].reshape(WORLDS))
    values = np.empty((WORLDS, len(QUANTITIES)))
    for world in range(WORLDS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nutpie's and xarray's
            tree, *_ = sample(SPEC, ladder(z[world]), random_seed=world, progressbar=False, **RUN)
        # Thinned: ranks of correlated draws are not uniform.
        thinned = tree["posterior"].to_dataset().isel(draw=slice(None, None, 5))
        p = {n: v.values.reshape(-1, *v.shape[2:]) for n, v in thinned.data_vars.items()}
        drawn = quantities(p, score(p, rng))
        below = (drawn < expected[world]).sum(axis=0)
        values[world] = (below + rng.random(len(QUANTITIES))) / (len(drawn) + 1)
    return dict(zip(QUANTITIES, values.T, strict=True))


def p_values(rank):
    return {name: stats.kstest(value, "uniform").pvalue for name, value in rank.items()}


@pytest.fixture(scope="module")
def calibrated():
    return ranks(1.0, seed=seed(1))


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


def test_shocks_three_times_as_large_are_rejected():
    p = p_values(ranks(3.0, seed=seed(2)))
    assert p["sigma_delta"] < ALPHA, p
