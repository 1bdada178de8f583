"""Clusters of all benchmarks in one row of arrays: what the model's density is evaluated on.

Depends on NumPy alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

GLOBAL = (
    "mu_eta",
    "mu_beta",
    "mu_omega",
    "sigma_eta",
    "sigma_beta",
    "sigma_gamma",
    "sigma_model",
    "sigma_delta",
)
CURVE = ("eta", "beta", "gamma", "g")
DIMS = {name: ("benchmark",) for name in ("tau", "nu", "sigma_omega", "lead")}
DIMS |= {"delta": ("model",)} | {name: ("cluster",) for name in CURVE}
PROBIT = (1.5976, 0.070566)
BEND = 0.9  # of a cluster's pace, see `cod_bayes.model`
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


def accuracy(x: Any, x_ref: Any, eta: Any, beta: Any, gamma: Any, g: Any, nu: Any) -> Any:
    """y(x) = g + (1 - g) exp(-gamma) (1 + nu exp(eta - beta (x - x_ref)))^(-1 / nu)."""
    scaling = np.log1p(nu * np.exp(eta - beta * (x - x_ref))) / nu
    return g + (1 - g) * np.exp(-scaling - gamma)


def share(probit: Any) -> Any:
    """1 / (1 + exp(-v (1.5976 + 0.070566 v^2))): the normal's distribution function to within
    2e-4 (Bowling et al. 2009), in one exponential. Arrays, or PyTensor's."""
    return 1 / (1 + np.exp(-probit * (PROBIT[0] + PROBIT[1] * probit * probit)))


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
