"""Simulation-based calibration (Talts et al. 2018): parameters from the prior, data from them, and
the rank of the truth among the posterior's draws is uniform, when the sampler, the density, the
forward model and the prior agree.
"""

import warnings

import numpy as np
import pytest
from cod_bayes.model.generate import prior_draws, replicate
from scipy import stats
from seeds import seed

from cod_bayes.model.ladder import LadderData
from cod_bayes.model.spec import load_spec
from cod_bayes.model.variables import PARAMETERS
from cod_bayes.sampling.nuts import sample

SPEC = load_spec("cod")
pytestmark = pytest.mark.slow
WORLDS = 40
RUN = {"draws": 150, "tune": 300, "chains": 2, "attempts": 1}
QUANTITIES = ("mu_beta", "sigma_delta", "eta[0]", "beta[0]", "score")
ALPHA = 1e-3  # of each test; what is wrong below falls short of it by orders of magnitude


def ladder(targets):
    """One benchmark of two clusters, six models, and targets a decade ahead."""
    x = np.append(np.linspace(20.0, 22.5, 6), [23.5] * targets)
    noise = np.full((2, len(x)), 1 / (4 * 4000.0))  # enough trials for the shocks to show
    names = [f"m{m}" for m in range(len(x))]
    of, z = np.zeros(2, int), 0 * noise
    return LadderData(
        ["b"], ["b/0", "b/1"], names, of, x, x[5:6], z, noise, np.zeros(2), np.ones(2)
    )


def quantities(p, rng):
    """Of draws (draw, ...): what is ranked; the score is a fresh target's, shocks and all."""
    draws = len(p["mu_beta"])
    z = replicate(ladder(1), p | {"delta": np.zeros((draws, 7))}, rng)
    named = {"mu_beta": p["mu_beta"], "sigma_delta": p["sigma_delta"]}
    named |= {"eta[0]": p["eta"][:, 0], "beta[0]": p["beta"][:, 0]}
    named["score"] = (np.sin(np.clip(z[:, :, -1], 0, np.pi / 2)) ** 2).mean(axis=1)
    return np.column_stack([named[name] for name in QUANTITIES])


def ranks(shocks, seed):
    """Quantity -> (world,) in [0, 1]; the worlds' shocks are `shocks` times the prior's."""
    rng = np.random.default_rng(seed)
    data = ladder(0)
    truths = prior_draws(SPEC, data, rng, WORLDS)
    for name in ("sigma_delta", "lead", "sigma_omega", "tau"):
        truths[name] = shocks * truths[name]
    values = np.empty((WORLDS, len(QUANTITIES)))
    for world in range(WORLDS):
        truth = {name: value[world : world + 1] for name, value in truths.items()}
        z = replicate(data, truth, rng)[0]
        expected = quantities(truth, rng)[0]
        seen = LadderData(**{**vars(data), "z": z})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nutpie's and xarray's
            idata, *_ = sample(SPEC, seen, random_seed=world, progressbar=False, **RUN)
            posterior = idata["posterior"]
        # Thinned: ranks of correlated draws are not uniform.
        p = {
            name: posterior[name].values[:, ::5].reshape(-1, *posterior[name].shape[2:])
            for name in PARAMETERS
        }
        drawn = quantities(p, rng)
        below = (drawn < expected).sum(axis=0)
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
