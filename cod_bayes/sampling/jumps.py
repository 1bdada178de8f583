"""Jumps of one cluster between its explanations, after a run of the sampler.

A cluster that compute hardly moves has several explanations: a high floor, a low ceiling, or it is
yet to emerge. They are separate modes of its four coordinates, and a sampler that follows gradients
seldom crosses from one to another. So draws of a slow cluster k make independence Metropolis steps.
Proposals come from a Gaussian mixture q_k, fitted to the draws of all chains:

    v' ~ q_k    is accepted with probability    min(1, p(v', rest) q_k(v) / (p(v, rest) q_k(v')))

(Tierney 1994, 2.3.3). v is the residual of the cluster's coordinates from their regression on the
coordinates that the clusters of a benchmark share (`cod_bayes.sampling.preconditioner`). Only the
density of the cluster's own benchmark is evaluated. q_k is fitted to the draws that it then moves;
a slow test holds the fast engine's posterior to that of another engine, which has no jumps.
"""

from __future__ import annotations

import os
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.special import logsumexp

from cod_bayes.model.ladder import LadderData
from cod_bayes.model.spec import Spec
from cod_bayes.sampling.checks import statistics
from cod_bayes.sampling.density import Density
from cod_bayes.sampling.kernels import N_BENCHMARK, PER_CLUSTER, sweep
from cod_bayes.sampling.preconditioner import Preconditioner

# A cluster is slow if it has fewer effective draws per draw, or a larger r_hat.
_SLOW_ESS, _SLOW_R_HAT = 0.3, 1.005
_PROPOSALS = 6  # for every draw
_COMPONENTS = 4  # of the mixture
_MANY, _EVERY = 300, 3  # of more draws than 300, the mixture is fitted to every third
_INFLATION = 1.3  # of the mixture's covariances: a draw in the tails of q would hardly ever move


def jump(
    spec: Spec,
    data: LadderData,
    density: Density,
    preconditioner: Preconditioner,
    theta: np.ndarray,
    seed: int,
) -> np.ndarray:
    """Draws theta (chain, draw, size) after jumps of the slow clusters."""
    B, blocks = len(data.benchmark), density.blocks
    theta = theta.copy()

    def steps(b: int) -> list[tuple[np.ndarray, ...]]:
        """The arguments of `sweep` for every chain; empty if the benchmark has no slow cluster."""
        size = density.first[b + 1] - density.first[b]
        predicted = preconditioner.predict_clusters(theta, b)
        predicted = predicted.reshape(*theta.shape[:2], PER_CLUSTER, size)
        residual = theta[..., blocks[b][N_BENCHMARK:]].reshape(predicted.shape) - predicted
        slow = np.array([k for k in range(size) if _is_slow(residual[..., k])], dtype=int)
        if not len(slow):
            return []
        rng = np.random.default_rng([seed, b])
        proposed = [_propose(residual[..., k], rng) for k in slow]
        new, log_q, log_q_new = (np.stack(each, axis=2) for each in zip(*proposed, strict=True))
        new += np.moveaxis(predicted[..., slow], 3, 2)[:, :, :, None]
        log_u = np.log(rng.random(log_q_new.shape))
        alone = Density.of(spec, data.only(b), several=B > 1)  # shares the priors with no other
        places = alone.shared + N_BENCHMARK + size * np.arange(PER_CLUSTER) + slow[:, None]
        theta_b = theta[..., np.concatenate([np.arange(alone.shared), blocks[b]])]
        chains = zip(theta_b, new, log_q, log_q_new, log_u, strict=True)
        return [(*chain, places, alone.packed) for chain in chains]

    # Benchmarks, given the shared coordinates, and chains are independent.
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the steps are valid with any mixture
        arguments = list(pool.map(steps, range(B)))
        list(pool.map(lambda chain: sweep(*chain), [c for chains in arguments for c in chains]))
    for b, chains in enumerate(arguments):
        for c, (theta_b, *_) in enumerate(chains):
            theta[c][:, blocks[b]] = theta_b[:, -len(blocks[b]) :]
    return theta


def _is_slow(draws: np.ndarray) -> bool:
    """draws: one cluster's coordinates (chain, draw, 4)."""
    columns = np.moveaxis(draws, -1, 0)
    fewest = _SLOW_ESS * draws.shape[0] * draws.shape[1]
    if not min(float(statistics().ess(column, method="mean")) for column in columns) > fewest:
        return True
    return (
        not max(float(statistics().rhat(column, method="split")) for column in columns)
        < _SLOW_R_HAT
    )


def _propose(
    draws: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of one cluster's draws (chain, draw, 4): proposals (chain, draw, proposal, 4), and log q of
    the draws and of the proposals."""
    # Most ladders of few clusters never need them, and they take a second to import.
    from scipy.stats import multivariate_normal
    from sklearn.mixture import GaussianMixture

    scale = draws.reshape(-1, PER_CLUSTER).std(axis=0) + 1e-12
    flat = draws.reshape(-1, PER_CLUSTER) / scale
    mixture = GaussianMixture(
        _COMPONENTS, reg_covar=1e-4, init_params="k-means++", random_state=int(rng.integers(2**31))
    )
    mixture.fit(flat[:: _EVERY if len(flat) > _MANY else 1])
    covariances = _INFLATION * mixture.covariances_
    count = len(flat) * _PROPOSALS
    component = rng.choice(_COMPONENTS, count, p=mixture.weights_)
    factor = np.linalg.cholesky(covariances)
    new = mixture.means_[component] + np.einsum(
        "nij,nj->ni", factor[component], rng.standard_normal((count, PER_CLUSTER))
    )

    def log_q(at: np.ndarray) -> np.ndarray:
        each = [
            np.log(weight) + multivariate_normal.logpdf(at, mean, covariance)
            for weight, mean, covariance in zip(
                mixture.weights_, mixture.means_, covariances, strict=True
            )
        ]
        return logsumexp(each, axis=0)

    shape = (*draws.shape[:2], _PROPOSALS)
    return (
        (scale * new).reshape(*shape, PER_CLUSTER),
        log_q(flat).reshape(draws.shape[:2]),
        log_q(new).reshape(shape),
    )
