"""The model's log density and its gradient, by hand, for the sampler.

`cod_bayes.model.statement.build` states the model in PyMC; this is the same density (log posterior
up to
nothing: constants included) on the same unconstrained coordinates, differentiated in reverse by
hand and compiled ahead by numba, cached on disk. No graph is compiled when a forecast is asked for,
and one evaluation costs little more than its exponentials. A test holds value and gradient to those
of the PyMC model.

Coordinates, in this order (B benchmarks, M models, K clusters):

    mu_omega, log sigma_model, raw_delta (M),
    mu_eta (B), mu_beta (B), log sigma_eta (B), log sigma_beta (B), log sigma_gamma (B),
    log sigma_delta (B), log tau (B), log spread_omega (B), log nu (B), raw_lead (B),
    probit kept (K), probit y (K), probit s (K), probit phi (K)

Given what all benchmarks share, the first 2 + M, benchmarks are independent: a benchmark's block is
its ten coordinates and those of its clusters.

A probit (`cod_bayes.model.ladder.share`) where a logit is usual: the tail towards 0, where data say
nothing, is then lighter than an exponential's.

Symbols are those of `cod_bayes.model.statement`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln, ndtri

from cod_bayes.model.equations import floor_prior
from cod_bayes.model.ladder import LadderData
from cod_bayes.model.spec import Spec
from cod_bayes.model.variables import CURVE, GLOBAL
from cod_bayes.sampling.coordinates import curves_of, second_model, trend_weights
from cod_bayes.sampling.kernels import (
    LANES,
    N_GLOBAL,
    N_OWN,
    PER_BENCHMARK,
    PER_CLUSTER,
    first_places,
    log_density,
    unpack_evidence,
)

_STEP = 1e-4  # of a coordinate, for second derivatives
_FLATTEST = 0.3  # curvature: priors alone make about 1


@dataclass(frozen=True)
class Density:
    """`density(theta) -> (log density, gradient)` of one evidence under one named model.

    Attributes:
        data: the evidence.
        several: whether models have shocks of their own.
        packed: all numbers of the evidence and the priors in one row, as `unpack_evidence` reads
        it.
        start_values: (size,) where the climb to the mode sets out from.
        first: (B + 1,) where each benchmark's clusters begin.
    """

    data: LadderData
    several: bool
    packed: np.ndarray
    start_values: np.ndarray
    first: np.ndarray

    @classmethod
    def of(cls, spec: Spec, data: LadderData, *, several: bool | None = None) -> Density:
        """several: whether models have shocks of their own (None: if there are more benchmarks
        than one).

        Raises ValueError where clusters are not grouped by benchmark, in their order."""
        B, M, K = len(data.benchmark), len(data.model), len(data.cluster)
        if (np.diff(data.of_cluster) < 0).any():
            raise ValueError("expected clusters grouped by benchmark, in the benchmarks' order")
        a, b = floor_prior(data.chance, spec.constants["chance_items"])
        log_norm = gammaln(a) + gammaln(b) - gammaln(a + b)
        prior = spec.normal_priors(GLOBAL + PER_BENCHMARK)
        first = np.searchsorted(data.of_cluster, np.arange(B + 1))
        start, J = first_places(first)
        place = start[data.of_cluster] + np.arange(K) - first[data.of_cluster]
        block, lane = place // LANES, place % LANES
        cells = np.zeros((M, J, 2, LANES))
        cells[:, :, 1] = -1.0
        noise = np.where(data.measured, data.noise, -1.0)
        cells[:, block, :, lane] = np.stack([data.z, noise], axis=-1)
        below, way = second_model(data)
        fixed = np.ones((J, 5, LANES))  # places without a cluster: any finite numbers
        fixed[block, :, lane] = np.column_stack([a, b, log_norm, way, data.nu_ratio])
        several = B > 1 if several is None else several
        constants = [several, *(spec.constants[name] for name in ("capped_share", "capped_loss"))]
        head = [B, M, K, 0, *constants, data.measured.sum()]
        arrays = [head, data.x, data.top, first, trend_weights(data), cells, fixed, prior]
        packed = np.concatenate([np.ravel(np.asarray(v, dtype=float)) for v in arrays])
        packed[3] = len(packed)

        # Of each cluster the last measured model, and that of its second accuracy.
        last = M - 1 - np.argmax(data.measured[:, ::-1], axis=1)
        y, y_below = np.clip(np.sin(data.z[np.arange(K), [last, below]]) ** 2, 0.01, 0.99)
        kept = np.clip(y_below / y, 0.05, 0.97)
        s = np.clip(1 - a / (a + b) / (kept * y), 0.05, 0.99)
        scales = np.repeat(prior[N_GLOBAL:, 0], B)
        curves = [ndtri(kept), ndtri(y), ndtri(s), np.full(K, -1.0)]
        values = np.concatenate([prior[:N_GLOBAL, 0], np.zeros(M), scales, np.zeros(B), *curves])
        return cls(data, several, packed, values, first)

    @property
    def shape(self) -> tuple[int, int, int]:
        """B, M, K."""
        return len(self.data.benchmark), len(self.data.model), len(self.data.cluster)

    @property
    def size(self) -> int:
        B, M, K = self.shape
        return N_GLOBAL + M + N_OWN * B + PER_CLUSTER * K

    @property
    def shared(self) -> int:
        """How many coordinates all benchmarks share: the first."""
        return N_GLOBAL + len(self.data.model)

    def __call__(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        gradient = np.empty(self.size)
        return log_density(theta, gradient, True, *unpack_evidence(self.packed)), gradient

    def constrain(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Named parameters of draws (..., size), each (..., dim): see the module's order."""
        B, M, K = self.shape
        sizes = [1] * N_GLOBAL + [M] + [B] * N_OWN + [K] * PER_CLUSTER
        parts = np.split(theta, np.cumsum(sizes)[:-1], axis=-1)
        value = dict(zip(GLOBAL, (part[..., 0] for part in parts[:N_GLOBAL]), strict=True))
        value = {k: v if k.startswith("mu") else np.exp(v) for k, v in value.items()}
        raw, *own = parts[N_GLOBAL:]
        probits, raw_lead = own[N_OWN:], own[N_OWN - 1]
        each = dict(zip(PER_BENCHMARK, own, strict=False))
        each = {k: v if k.startswith("mu") else np.exp(v) for k, v in each.items()}
        top, of_cluster, weights = self.data.top, self.data.of_cluster, trend_weights(self.data)
        nu = self.data.nu_ratio * each["nu"][..., of_cluster]
        lead = each["sigma_delta"] * raw_lead
        delta = float(self.several) * value["sigma_model"][..., None] * raw
        trend = delta @ weights.T - (delta[..., top] + lead) * weights.sum(axis=1)
        curves = curves_of(probits, nu, second_model(self.data)[1] * np.exp(trend[..., of_cluster]))
        spread = each.pop("spread_omega")
        value["sigma_omega"] = np.exp(value["mu_omega"])[..., None] * spread
        value |= each | {"lead": lead, "delta": delta}
        return value | dict(zip(CURVE, curves, strict=True))

    @property
    def blocks(self) -> list[np.ndarray]:
        """Where each benchmark's coordinates are: its own, then those of its clusters, one of every
        cluster after the other."""
        return blocks_of(self.shared, self.first)

    @cached_property
    def mode(self) -> np.ndarray:
        """Where a climb from `start_values` ends, (size,)."""

        def negative(theta: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = self(theta)
            sound = np.isfinite(value) and np.isfinite(gradient).all()
            return (-value, -gradient) if sound else (1e300, 0 * theta)

        options = {"maxiter": 3000, "maxfun": 4000}
        return minimize(negative, self.start_values, jac=True, method="L-BFGS-B", options=options).x

    def laplace(self, draws: int) -> np.ndarray:
        """Draws (draw, size) of the normal that has the mode's curvature, where that is positive.

        A posterior of clusters with several explanations is not this, but has its scales."""
        blocks, G = self.blocks, self.shared
        widest = max(map(len, blocks))
        # Benchmarks are independent given what they share: one step moves a coordinate of each.
        moved = [np.array([g]) for g in range(G)]
        moved += [np.array([own[i] for own in blocks if i < len(own)]) for i in range(widest)]
        curved = np.zeros((len(moved), self.size))
        for i, at in enumerate(moved):
            step = np.zeros(self.size)
            step[at] = _STEP
            curved[i] = (self(self.mode - step)[1] - self(self.mode + step)[1]) / (2 * _STEP)
        curved = np.nan_to_num(curved, posinf=0.0, neginf=0.0)
        rng = np.random.default_rng(0)
        out = np.empty((draws, self.size))
        left = curved[:G, :G].copy()
        parts = []
        for own in blocks:
            factor = _root(curved[G : G + len(own), own])
            half = curved[:G, own] @ factor
            left -= half @ half.T
            parts.append((own, factor, half))
        shared = rng.standard_normal((draws, G)) @ _root(left).T
        out[:, :G] = shared
        for own, factor, half in parts:
            z = rng.standard_normal((draws, len(own))) - shared @ half
            out[:, own] = z @ factor.T
        return self.mode + out


def blocks_of(shared: int, first: np.ndarray) -> list[np.ndarray]:
    """Of each benchmark the places of its coordinates among all: see the module."""
    B, K = len(first) - 1, first[-1]
    own = shared + B * np.arange(N_OWN)
    steps = shared + N_OWN * B + K * np.arange(PER_CLUSTER)[:, None]
    return [
        np.concatenate([own + b, (steps + np.arange(first[b], first[b + 1])).ravel()])
        for b in range(B)
    ]


def _root(hessian: np.ndarray) -> np.ndarray:
    """R with R R' the inverse, each curvature at least `_FLATTEST` and positive."""
    curvature, axes = np.linalg.eigh((hessian + hessian.T) / 2)
    return axes / np.sqrt(np.maximum(np.abs(curvature), _FLATTEST))
