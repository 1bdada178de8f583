"""Jumps of one cluster between its explanations, after a run of the sampler.

A cluster that compute hardly moves has several: a high floor, a low ceiling, or it is yet to
emerge. They are separate modes of its four coordinates, and a sampler that follows gradients seldom
crosses from one to another. So every draw of a slow cluster k is offered others, from a Gaussian
mixture q_k of what all chains found, and takes them by the independence Metropolis rule

    v' ~ q_k    is taken with probability    min(1, p(v', rest) q_k(v) / (p(v, rest) q_k(v')))

(Tierney 1994, 2.3.3). v is what remains of the cluster's coordinates after the preconditioner's
regression on those that all clusters of its benchmark share. The posterior stays what it is, and
only the density of the cluster's own benchmark is evaluated.
"""

from __future__ import annotations

import os
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from arviz_stats.base import array_stats
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

from cod_bayes.model.ladder import LadderData
from cod_bayes.model.spec import Spec
from cod_bayes.sampling.density import Density
from cod_bayes.sampling.kernels import N_OWN, PER_CLUSTER, sweep
from cod_bayes.sampling.preconditioner import Preconditioner

_SLOW = 0.3  # effective draws per draw, below which a cluster is offered jumps
_APART = 1.005  # r_hat, above which it is as well
_OFFERS = 6  # to every draw
_MODES = 4
_MANY, _EVERY = 300, 3  # so many draws, of which the mixture is fitted to every third
_WIDER = 1.3  # than the draws: a draw far out in q's tails would be left alone for long


def jump(
    spec: Spec,
    data: LadderData,
    density: Density,
    found: Preconditioner,
    theta: np.ndarray,
    seed: int,
) -> np.ndarray:
    """Draws theta (chain, draw, size) after jumps of the slow clusters."""
    B, G, blocks = len(data.benchmark), density.shared, density.blocks
    theta = theta.copy()

    def offers(b: int) -> list[tuple[np.ndarray, ...]]:
        """Of every chain what `sweep` takes; empty where no cluster of the benchmark is slow."""
        size = density.first[b + 1] - density.first[b]
        curves = blocks[b][N_OWN:]
        shift = found.shift(theta, b).reshape(*theta.shape[:2], PER_CLUSTER, size)
        left = theta[..., curves].reshape(shift.shape) - shift
        own = np.array([k for k in range(size) if _is_slow(left[..., k])], dtype=int)
        if not len(own):
            return []
        rng = np.random.default_rng([seed, b])
        offered = [_offers(left[..., k], rng) for k in own]
        new, log_q, log_q_new = (np.stack(each, axis=2) for each in zip(*offered, strict=True))
        new += np.moveaxis(shift[..., own], 3, 2)[:, :, :, None]
        log_u = np.log(rng.random(log_q_new.shape))
        places = G + N_OWN + size * np.arange(PER_CLUSTER) + own[:, None]
        part = Density.of(spec, data.only(b), several=B > 1).packed
        mine = theta[..., np.concatenate([np.arange(G), blocks[b]])]
        chains = zip(mine, new, log_q, log_q_new, log_u, strict=True)
        return [(*chain, places, part) for chain in chains]

    # One benchmark's clusters know no other's, one chain no other.
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # any mixture will do, as long as it is known
        offered = list(pool.map(offers, range(B)))
        list(pool.map(lambda chain: sweep(*chain), [c for chains in offered for c in chains]))
    for b, chains in enumerate(offered):
        for c, (mine, *_) in enumerate(chains):
            theta[c][:, blocks[b]] = mine[:, G:]
    return theta


def _is_slow(draws: np.ndarray) -> bool:
    """Of one cluster's coordinates (chain, draw, 4)."""
    columns = np.moveaxis(draws, -1, 0)
    enough = _SLOW * draws.shape[0] * draws.shape[1]
    if not min(float(array_stats.ess(column, method="mean")) for column in columns) > enough:
        return True
    return not max(float(array_stats.rhat(column, method="split")) for column in columns) < _APART


def _offers(
    draws: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of one cluster's draws (chain, draw, 4): offers (chain, draw, offer, 4), and log q of the
    draws and of the offers."""
    scale = draws.reshape(-1, PER_CLUSTER).std(axis=0) + 1e-12
    flat = draws.reshape(-1, PER_CLUSTER) / scale
    mixture = GaussianMixture(
        _MODES, reg_covar=1e-4, init_params="k-means++", random_state=int(rng.integers(2**31))
    )
    found = mixture.fit(flat[:: _EVERY if len(flat) > _MANY else 1])
    spread = _WIDER * found.covariances_
    count = len(flat) * _OFFERS
    mode = rng.choice(_MODES, count, p=found.weights_)
    factor = np.linalg.cholesky(spread)
    new = found.means_[mode] + np.einsum(
        "nij,nj->ni", factor[mode], rng.standard_normal((count, PER_CLUSTER))
    )

    def log_q(at: np.ndarray) -> np.ndarray:
        each = [
            np.log(weight) + multivariate_normal.logpdf(at, mean, covariance)
            for weight, mean, covariance in zip(found.weights_, found.means_, spread, strict=True)
        ]
        return logsumexp(each, axis=0)

    shape = (*draws.shape[:2], _OFFERS)
    return (
        (scale * new).reshape(*shape, PER_CLUSTER),
        log_q(flat).reshape(draws.shape[:2]),
        log_q(new).reshape(shape),
    )
