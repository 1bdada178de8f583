"""Clusters of all benchmarks in one row of arrays: what the model's density is evaluated on.

Depends on NumPy alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

GLOBAL = ("mu_omega", "sigma_model")  # of all benchmarks
CURVE = ("eta", "beta", "gamma", "g")
_OF_BENCHMARK = ("mu_eta", "sigma_eta", "mu_beta", "sigma_beta", "sigma_gamma")
_OF_BENCHMARK += ("tau", "nu", "sigma_omega", "sigma_delta", "lead")
DIMS = {name: ("benchmark",) for name in _OF_BENCHMARK}
DIMS |= {"delta": ("model",)} | {name: ("cluster",) for name in CURVE}
PROBIT = (1.5976, 0.070566)
LARGEST_LOG_LOSS = 300.0  # of the answer: an accuracy of 0, and still a number
_SOLVED = 0.25  # of a cluster's rate at the largest model: how far down its second accuracy is
_LEAST_WAY = 0.5  # decades
PARAMETERS = (*GLOBAL, *DIMS)  # of the posterior, each over `DIMS`


@dataclass(frozen=True)
class LadderData:
    """Clusters of all benchmarks in one row of arrays.

    Attributes:
        benchmark: (benchmark,) names; cluster: (cluster,) names; model: (model,) names.
        of_cluster: (cluster,) index of each cluster's benchmark.
        x: (model,) log10 FLOPs, ascending. x_ref: (benchmark,) of the largest ladder model.
        z: (cluster, model) arcsine-root pass rate; 0 where nothing was measured.
        noise: (cluster, model) sampling variance 1/(4 n); inf where nothing was measured.
        chance: (cluster,) chance level, NaN unknown.
        nu_ratio: (cluster,) nu of the cluster over its benchmark's.
    """

    benchmark: list[str]
    cluster: list[str]
    model: list[str]
    of_cluster: np.ndarray
    x: np.ndarray
    x_ref: np.ndarray
    z: np.ndarray
    noise: np.ndarray
    chance: np.ndarray
    nu_ratio: np.ndarray

    @property
    def top(self) -> np.ndarray:
        """Index of each benchmark's largest ladder model. (benchmark,)"""
        return np.searchsorted(self.x, self.x_ref, side="right") - 1

    @property
    def measured(self) -> np.ndarray:
        """(cluster, model)"""
        return np.isfinite(self.noise)

    @property
    def below(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each cluster the smallest model, two below the largest if there are three, that has a
        quarter of the largest one's rate, and its distance below x_b: (cluster,) index, decades.

        The coordinates of `cod_bayes.model.statement` have the accuracy there beside the one at
        x_b."""
        rate = np.where(self.measured, np.sin(self.z) ** 2, np.nan)
        index = np.zeros(len(self.cluster), dtype=int)
        for k, of in enumerate(self.of_cluster):
            seen = np.flatnonzero(self.measured[k, : self.top[of] + 1])
            if len(seen) > 1:
                enough = rate[k, seen] >= _SOLVED * rate[k, seen[-1]]
                index[k] = seen[min(int(np.argmax(enough)), max(len(seen) - 3, 0))]
        return index, np.maximum(self.x_ref[self.of_cluster] - self.x[index], _LEAST_WAY)

    @property
    def lean(self) -> np.ndarray:
        """Weights of the models' shocks in a benchmark's trend: the slope, through 0 at x_b, by
        which they rise with log compute; less of it where the models are all but one. (benchmark,
        model), per decade"""
        lean = np.zeros((len(self.benchmark), len(self.model)))
        for b, top in enumerate(self.top):
            away = self.x[:top] - self.x[top]
            lean[b, :top] = away / max(np.sum(away**2), _LEAST_WAY**2)
        return lean

    def only(self, b: int) -> LadderData:
        """Benchmark b alone, over the same models."""
        own = self.of_cluster == b
        return LadderData(
            [self.benchmark[b]],
            [name for name, ours in zip(self.cluster, own, strict=True) if ours],
            self.model,
            np.zeros(own.sum(), dtype=int),
            self.x,
            self.x_ref[[b]],
            self.z[own],
            self.noise[own],
            self.chance[own],
            self.nu_ratio[own],
        )

    @property
    def coords(self) -> dict[str, list[str]]:
        return {"benchmark": self.benchmark, "cluster": self.cluster, "model": self.model}


def answer_loss(ahead: Any, eta: Any, beta: Any) -> Any:
    """L = exp(eta - beta ahead), ahead in decades from x_ref; a number even of the steepest."""
    return np.exp(np.minimum(eta - beta * ahead, LARGEST_LOG_LOSS))


def accuracy(x: Any, x_ref: Any, eta: Any, beta: Any, gamma: Any, g: Any, nu: Any) -> Any:
    """y(x) = g + (1 - g) exp(-gamma) (1 + nu exp(eta - beta (x - x_ref)))^(-1 / nu)."""
    scaling = np.log1p(nu * answer_loss(x - x_ref, eta, beta)) / nu
    return g + (1 - g) * np.exp(-scaling - gamma)


def share(probit: Any) -> Any:
    """1 / (1 + exp(-v (1.5976 + 0.070566 v^2))): the normal's distribution function to within
    2e-4 (Bowling et al. 2009). Arrays, or PyTensor's."""
    return np.exp(log_share(probit))


def log_share(probit: Any) -> Any:
    """log share(probit), which is finite where the share is smaller than any number."""
    logit = probit * (PROBIT[0] + PROBIT[1] * probit * probit)
    return -softplus(-logit)


def softplus(v: Any) -> Any:
    """log(1 + exp(v)), whatever v. Arrays, or PyTensor's."""
    return (v + abs(v)) / 2 + np.log1p(np.exp(-abs(v)))


def curves_of(probits: Sequence[Any], nu: Any, way: Any) -> tuple[Any, Any, Any, Any]:
    """eta, beta, gamma and g of a cluster's four coordinates (`cod_bayes.model.statement`):
    arrays, or
    PyTensor's."""
    probit_kept, probit_y, probit_s, probit_phi = probits
    log_y, log_kept, log_s = log_share(probit_y), log_share(probit_kept), log_share(probit_s)
    g = np.exp(log_y + log_kept + log_share(-probit_s))
    gap = log_share(-probit_kept) - log_kept - log_s
    away = softplus(gap)  # -log of the share of t = lost + kept s that is kept s
    loss = softplus(log_share(-probit_y) - log_y - log_kept - log_s - away)  # 1 - g = 1 - y + y t
    rest = share(-probit_phi) * loss
    shown = -np.expm1(-nu * rest)
    more = -np.exp(-nu * rest) * np.expm1(-nu * away)
    eta = nu * rest + np.log(shown / nu)
    beta = (nu * away + np.log1p(more / shown)) / way
    return eta, beta, share(probit_phi) * loss, g


def arcsine(rate: np.ndarray, trials: np.ndarray) -> np.ndarray:
    """Arcsine root of pass rates, radians; trials NaN or inf where they are not counted.

    Anscombe's correction keeps zero counts off the edge; without a count the rate stands.
    """
    known = np.isfinite(trials)
    n = np.where(known, trials, 1.0)
    return np.arcsin(np.sqrt(np.where(known, (rate * n + 0.375) / (n + 0.75), rate)))


def floor_prior(chance: np.ndarray, pseudo_items: float) -> tuple[np.ndarray, np.ndarray]:
    """Beta parameters of g: around the chance level, or Beta(1, 4) where it is unknown."""
    known = np.isfinite(chance)
    c = np.where(known, chance, 0.0)
    a = np.where(known, 1 + pseudo_items * c, 1.0)
    # At chance 0 there is nothing to guess: a tighter floor.
    b = np.where(known, np.where(c > 0, 1 + pseudo_items * (1 - c), 10 * pseudo_items), 4.0)
    return a, b
