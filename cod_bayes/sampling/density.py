"""The model's log density and its gradient, for the fast engine.

`cod_bayes.model.statement.build` states the model in PyMC. This is its density with the shocks
delta_bm of all but a benchmark's largest model, the random walks omega and the noise eps integrated
out in closed form. It is the log posterior up to the evidence's log probability: all constants are
included. A test holds value and gradient to those of the PyMC model.

`cod_bayes.sampling.kernels` computes both. Numba compiles it once per installation, so no graph is
compiled when a forecast is made.

Coordinates, all unbounded, in this order (B benchmarks, M models, K clusters):

    mu_omega, log sigma_model, raw_delta (M), suite (S),
    mu_eta (B), mu_beta (B), log sigma_eta (B), log sigma_beta (B), log sigma_gamma (B),
    log sigma_delta (B), log tau (B), log spread_omega (B), log nu (B), raw_lead (B),
    probit kept (K), probit y (K), probit s (K), probit phi (K)

Of these,

    delta_m = sigma_model raw_delta_m            a model's shock on all benchmarks
    lead_b = sigma_delta_b raw_lead_b            delta_bm of the benchmark's largest model
    log sigma_omega_b = mu_omega + log spread_omega_b

and a cluster's four probits give its eta, beta, gamma and g (`cod_bayes.sampling.coordinates`).

S is 8, the number of `SHARED` parameters, where benchmarks share their priors, and else 0.

All benchmarks share the first 2 + M + S coordinates. Given these, benchmarks are independent: a
benchmark's block is its ten coordinates and those of its clusters.

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
from cod_bayes.model.variables import CURVE, GLOBAL, SHARED
from cod_bayes.sampling.coordinates import curves_of, second_model, trend_weights
from cod_bayes.sampling.kernels import (
    LANES,
    N_BENCHMARK,
    N_GLOBAL,
    PER_BENCHMARK,
    PER_CLUSTER,
    SUITE,
    first_places,
    log_density,
    unpack_evidence,
)

_STEP = 1e-4  # of a coordinate, for second derivatives
_LEAST_CURVATURE = 0.3  # curvature: priors alone make about 1


@dataclass(frozen=True)
class Density:
    """`density(theta) -> (log density, gradient)` of one evidence under one named model.

    Attributes:
        data: the evidence.
        several: whether models have shocks of their own.
        packed: all numbers of the evidence and the priors in one row, for `unpack_evidence`.
        start_values: (size,) where the search for the mode starts.
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
        start, n_blocks = first_places(first)
        place = start[data.of_cluster] + np.arange(K) - first[data.of_cluster]
        block, lane = place // LANES, place % LANES
        cells = np.zeros((M, n_blocks, 2, LANES))
        cells[:, :, 1] = -1.0  # not measured
        noise = np.where(data.measured, data.noise, -1.0)
        cells[:, block, :, lane] = np.stack([data.z, noise], axis=-1)
        second, distance = second_model(data)
        log_slope = spec.constants["free_answer_slope"] * data.free_answer
        fixed = np.ones((n_blocks, 6, LANES))  # places without a cluster: any finite numbers
        fixed[block, :, lane] = np.column_stack(
            [a, b, log_norm, distance, data.nu_ratio, log_slope]
        )
        several = B > 1 if several is None else several
        root = np.sqrt(spec.constants["shared_priors"]) * data.sharing
        suite = len(SHARED) * data.sharing.any()
        constants = [several, *(spec.constants[name] for name in ("capped_share", "capped_loss"))]
        head = [B, M, K, 0, suite, *constants, data.measured.sum()]
        arrays = [head, data.x, data.top, first, trend_weights(data), root, cells, fixed, prior]
        packed = np.concatenate([np.ravel(np.asarray(v, dtype=float)) for v in arrays])
        packed[3] = len(packed)

        # Start values: accuracies at each cluster's last measured model and at its small model.
        last = M - 1 - np.argmax(data.measured[:, ::-1], axis=1)
        y, y_second = np.clip(np.sin(data.z[np.arange(K), [last, second]]) ** 2, 0.01, 0.99)
        kept = np.clip(y_second / y, 0.05, 0.97)
        s = np.clip(1 - a / (a + b) / (kept * y), 0.05, 0.99)
        scales = np.repeat(prior[N_GLOBAL:, 0], B)
        curves = [ndtri(kept), ndtri(y), ndtri(s), np.full(K, -1.0)]
        shared = np.concatenate([prior[:N_GLOBAL, 0], np.zeros(M + suite)])
        values = np.concatenate([shared, scales, np.zeros(B), *curves])
        return cls(data, several, packed, values, first)

    @property
    def shape(self) -> tuple[int, int, int]:
        """B, M, K."""
        return len(self.data.benchmark), len(self.data.model), len(self.data.cluster)

    @property
    def size(self) -> int:
        B, _, K = self.shape
        return self.shared + N_BENCHMARK * B + PER_CLUSTER * K

    @property
    def shared(self) -> int:
        """How many coordinates all benchmarks share: the first."""
        return N_GLOBAL + len(self.data.model) + int(self.packed[SUITE])

    def __call__(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        gradient = np.empty(self.size)
        return log_density(theta, gradient, True, *unpack_evidence(self.packed)), gradient

    def constrain(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Named parameters of draws (..., size), each (..., dim)."""
        B, M, K = self.shape
        S = self.shared - N_GLOBAL - M
        sizes = [1] * N_GLOBAL + [M, S] + [B] * N_BENCHMARK + [K] * PER_CLUSTER
        parts = np.split(theta, np.cumsum(sizes)[:-1], axis=-1)
        value = dict(zip(GLOBAL, (part[..., 0] for part in parts[:N_GLOBAL]), strict=True))
        value = {k: v if k.startswith("mu") else np.exp(v) for k, v in value.items()}
        raw, suite, *rest = parts[N_GLOBAL:]
        probits, raw_lead = rest[N_BENCHMARK:], rest[N_BENCHMARK - 1]
        scales = dict(zip(PER_BENCHMARK, rest, strict=False))
        scales = {k: v if k.startswith("mu") else np.exp(v) for k, v in scales.items()}
        top, of_cluster, weights = self.data.top, self.data.of_cluster, trend_weights(self.data)
        nu = self.data.nu_ratio * scales["nu"][..., of_cluster]
        lead = scales["sigma_delta"] * raw_lead
        delta = float(self.several) * value["sigma_model"][..., None] * raw
        trend = delta @ weights.T - (delta[..., top] + lead) * weights.sum(axis=1)
        curves = curves_of(probits, nu, second_model(self.data)[1] * np.exp(trend[..., of_cluster]))
        spread = scales.pop("spread_omega")
        value["sigma_omega"] = np.exp(value["mu_omega"])[..., None] * spread
        if not S:
            suite = np.zeros((*theta.shape[:-1], len(SHARED)))
        value |= scales | {"lead": lead, "delta": delta, "suite": suite}
        return value | dict(zip(CURVE, curves, strict=True))

    @property
    def blocks(self) -> list[np.ndarray]:
        """The places of each benchmark's coordinates: see `blocks_of`."""
        return blocks_of(self.shared, self.first)

    @cached_property
    def mode(self) -> np.ndarray:
        """The local maximum found from `start_values`, (size,)."""

        def negative(theta: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = self(theta)
            finite = np.isfinite(value) and np.isfinite(gradient).all()
            return (-value, -gradient) if finite else (1e300, 0 * theta)

        options = {"maxiter": 3000, "maxfun": 4000}
        return minimize(negative, self.start_values, jac=True, method="L-BFGS-B", options=options).x

    def laplace(self, draws: int) -> np.ndarray:
        """Draws (draw, size) of the normal with the curvature at the mode, made positive definite.

        Only their scales are used: a cluster with several explanations has no normal posterior."""
        blocks, G = self.blocks, self.shared
        widest = max(map(len, blocks))
        # Given the shared coordinates benchmarks are independent: one difference of gradients gives
        # a column of each benchmark's Hessian.
        columns = [np.array([g]) for g in range(G)]
        columns += [np.array([at[i] for at in blocks if i < len(at)]) for i in range(widest)]
        hessian = np.zeros((len(columns), self.size))
        for i, at in enumerate(columns):
            step = np.zeros(self.size)
            step[at] = _STEP
            hessian[i] = (self(self.mode - step)[1] - self(self.mode + step)[1]) / (2 * _STEP)
        hessian = np.nan_to_num(hessian, posinf=0.0, neginf=0.0)
        rng = np.random.default_rng(0)
        out = np.empty((draws, self.size))
        shared_hessian = hessian[:G, :G].copy()  # benchmarks integrated out, at the end
        parts = []
        for at in blocks:
            factor = _inverse_root(hessian[G : G + len(at), at])
            half = hessian[:G, at] @ factor
            shared_hessian -= half @ half.T
            parts.append((at, factor, half))
        shared = rng.standard_normal((draws, G)) @ _inverse_root(shared_hessian).T
        out[:, :G] = shared
        for at, factor, half in parts:
            z = rng.standard_normal((draws, len(at))) - shared @ half
            out[:, at] = z @ factor.T
        return self.mode + out


def blocks_of(shared: int, first: np.ndarray) -> list[np.ndarray]:
    """Each benchmark's places among all coordinates: its own ten, then one coordinate of all its
    clusters after the other. shared: how many coordinates all benchmarks share."""
    B, K = len(first) - 1, first[-1]
    scales = shared + B * np.arange(N_BENCHMARK)
    probits = shared + N_BENCHMARK * B + K * np.arange(PER_CLUSTER)[:, None]
    return [
        np.concatenate([scales + b, (probits + np.arange(first[b], first[b + 1])).ravel()])
        for b in range(B)
    ]


def _inverse_root(hessian: np.ndarray) -> np.ndarray:
    """R with R R' the inverse; curvatures count as positive, and at least `_LEAST_CURVATURE`."""
    curvature, axes = np.linalg.eigh((hessian + hessian.T) / 2)
    return axes / np.sqrt(np.maximum(np.abs(curvature), _LEAST_CURVATURE))
