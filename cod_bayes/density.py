"""The model's log density and its gradient, by hand, for the sampler.

`cod_bayes.model.build` states the model in PyMC; this is the same density (log posterior up to
nothing: constants included) on the same unconstrained coordinates, differentiated in reverse by
hand and compiled ahead by numba, cached on disk. No graph is compiled when a forecast is asked for,
and one evaluation costs little more than its exponentials. A test holds value and gradient to those
of the PyMC model.

Coordinates, in this order (B benchmarks, M models, K clusters):

    mu_eta, mu_beta, mu_omega, log sigma_eta, log sigma_beta, log sigma_gamma, log sigma_model,
    log sigma_delta, log tau (B), log spread_omega (B), log nu (B), raw_delta (M), log beta (K),
    probit g (K), log Lambda (K), probit phi (K)

A probit where a logit is usual: the tail towards 0, where data say nothing, is then a normal's.

Symbols are those of `cod_bayes.model`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
from numba import types
from scipy.optimize import minimize
from scipy.special import gammaln, ndtr, ndtri

from cod_bayes.curves import GLOBAL, LadderData, floor_prior
from cod_bayes.spec import Spec

PER_BENCHMARK = ("tau", "spread_omega", "nu")
N_GLOBAL = len(GLOBAL)
_LOG_2PI = math.log(2 * math.pi)
_ROOT_HALF = math.sqrt(0.5)
_EDGE = 1e-9


@dataclass(frozen=True)
class Density:
    """`density(theta) -> (log density, gradient)` of one evidence under one named model.

    Attributes:
        shape: B, M, K.
        packed: all numbers of the evidence and the priors in one row, as `_unpack` reads it.
        start_values: (size,) where the climb to the mode sets out from.
        first: (B + 1,) where each benchmark's clusters begin.
    """

    shape: tuple[int, int, int]
    packed: np.ndarray
    start_values: np.ndarray
    first: np.ndarray

    @classmethod
    def of(cls, spec: Spec, data: LadderData) -> Density:
        """Raises ValueError where clusters are not grouped by benchmark, in their order."""
        B, M, K = len(data.benchmark), len(data.model), len(data.cluster)
        if (np.diff(data.of_cluster) < 0).any():
            raise ValueError("expected clusters grouped by benchmark, in the benchmarks' order")
        a, b = floor_prior(data.chance, spec.constants["chance_items"])
        log_norm = gammaln(a) + gammaln(b) - gammaln(a + b)
        prior = spec.normal_priors(GLOBAL + PER_BENCHMARK)
        first = np.searchsorted(data.of_cluster, np.arange(B + 1))
        noise = np.where(data.measured, data.noise, -1.0)
        floor = np.column_stack([a, b, log_norm])
        arrays = [B, M, K, B > 1, data.x, data.top, data.z, noise, first, floor, prior]
        packed = np.concatenate([np.ravel(np.asarray(v, dtype=float)) for v in arrays])

        # Of each cluster the last measured model: its answer loss, within what can be told.
        last = M - 1 - np.argmax(data.measured[:, ::-1], axis=1)
        y = np.sin(data.z[np.arange(K), last]) ** 2
        g = np.clip(a / (a + b), 0.01, 0.9)
        loss = -np.log(np.clip((y - g) / (1 - g), 0.02, 0.98))
        scales = np.repeat(prior[N_GLOBAL:, 0], B)
        curves = [np.full(K, prior[1, 0]), ndtri(g), np.log(loss), np.full(K, -1.0)]
        start = np.concatenate([prior[:N_GLOBAL, 0], scales, np.zeros(M), *curves])
        return cls((B, M, K), packed, start, first)

    @property
    def size(self) -> int:
        B, M, K = self.shape
        return N_GLOBAL + len(PER_BENCHMARK) * B + M + 4 * K

    def __call__(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        gradient = np.empty(self.size)
        return _log_density(theta, gradient, *_unpack(self.packed)), gradient

    def constrain(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Named parameters of draws (..., size), each (..., dim): see the module's order."""
        B, M, K = self.shape
        sizes = [1] * N_GLOBAL + [B, B, B, M, K, K, K, K]
        parts = np.split(theta, np.cumsum(sizes)[:-1], axis=-1)
        value = dict(zip(GLOBAL, (part[..., 0] for part in parts[:N_GLOBAL]), strict=True))
        value = {k: v if k.startswith("mu") else np.exp(v) for k, v in value.items()}
        log_tau, log_spread, log_nu, raw, log_beta, probit_g, log_loss, probit_phi = parts[
            N_GLOBAL:
        ]
        of_cluster = np.repeat(np.arange(B), np.diff(self.first))
        nu, loss = np.exp(log_nu[..., of_cluster]), np.exp(log_loss)
        scaled = nu * loss * ndtr(-probit_phi)
        log_u = np.log(-np.expm1(-scaled)) - np.log(nu)
        return value | {
            "tau": np.exp(log_tau),
            "nu": np.exp(log_nu),
            "sigma_omega": np.exp(value["mu_omega"][..., None] + log_spread),
            "delta": float(B > 1) * value["sigma_model"][..., None] * raw,
            "eta": scaled + log_u,
            "beta": np.exp(log_beta),
            "gamma": ndtr(probit_phi) * loss,
            "g": ndtr(probit_g),
        }

    def start(self, seed: int) -> np.ndarray:
        """A point near the mode, (size,): far from it, precise data leave chains astray."""
        return self.mode + np.random.default_rng(seed).normal(0, 0.1, self.size)

    @cached_property
    def mode(self) -> np.ndarray:
        """Where a climb from `start_values` ends, (size,)."""

        def negative(theta: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = self(theta)
            return (-value, -gradient) if np.isfinite(value) else (1e300, 0 * theta)

        options = {"maxiter": 3000, "maxfun": 4000}
        return minimize(negative, self.start_values, jac=True, method="L-BFGS-B", options=options).x


@numba.njit(cache=True, nogil=True)
def _cdf(v):
    """Of the standard normal; within 8 sd, beyond which it is 0 or 1 to a double."""
    return 0.5 * math.erfc(-min(max(v, -8.0), 8.0) * _ROOT_HALF)


@numba.njit(cache=True, nogil=True)
def _pdf(v):
    return math.exp(-0.5 * (v * v + _LOG_2PI))


@numba.njit(cache=True, nogil=True)
def _unpack(p):
    """Views into `Density.packed`; its first four numbers are B, M, K and whether B > 1."""
    B, M, K = int(p[0]), int(p[1]), int(p[2])
    i = 4
    x, i = p[i : i + M], i + M
    top, i = p[i : i + B].astype(np.int64), i + B
    z, i = p[i : i + K * M].reshape((K, M)), i + K * M
    noise, i = p[i : i + K * M].reshape((K, M)), i + K * M
    first, i = p[i : i + B + 1].astype(np.int64), i + B + 1
    floor, i = p[i : i + 3 * K].reshape((K, 3)), i + 3 * K
    return x, top, z, noise, first, floor, p[i:].reshape((-1, 2)), p[3:4]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _log_density(theta, grad, x, top, z, noise, first, floor, prior, several):
    B, M, K = len(top), len(x), z.shape[0]
    n = 8
    i_tau, i_spread, i_nu, i_raw = n, n + B, n + 2 * B, n + 3 * B
    i_beta = i_raw + M
    i_g, i_loss, i_phi = i_beta + K, i_beta + 2 * K, i_beta + 3 * K
    grad[:] = 0.0
    total = 0.0

    # Scales and locations: normal on these coordinates (log-normal scales).
    for i in range(n + 3 * B):
        j = i if i < n else n + (i - n) // B
        d = (theta[i] - prior[j, 0]) / prior[j, 1]
        total -= 0.5 * d * d + math.log(prior[j, 1]) + 0.5 * _LOG_2PI
        grad[i] -= d / prior[j, 1]
    for m in range(M):
        d = theta[i_raw + m]
        total -= 0.5 * d * d + 0.5 * _LOG_2PI
        grad[i_raw + m] -= d

    mu_eta, mu_beta = theta[0], theta[1]
    s_eta, s_beta, s_gamma = math.exp(theta[3]), math.exp(theta[4]), math.exp(theta[5])
    s_model, s_delta = math.exp(theta[6]), math.exp(theta[7])
    eta, beta, gamma, g = np.empty(K), np.empty(K), np.empty(K), np.empty(K)
    a_eta, a_beta, a_gamma, a_g = np.zeros(K), np.zeros(K), np.zeros(K), np.zeros(K)
    of = np.empty(K, np.int64)
    for b in range(B):
        of[first[b] : first[b + 1]] = b
    for k in range(K):
        v, u = theta[i_g + k], theta[i_phi + k]
        g[k] = _cdf(v)
        log_loss, nu = theta[i_loss + k], math.exp(theta[i_nu + of[k]])
        loss = math.exp(log_loss)
        scaled = nu * loss * _cdf(-u)
        log_share = math.log(-math.expm1(-scaled) / nu)
        gamma[k] = _cdf(u) * loss
        eta[k] = scaled + log_share
        log_beta = theta[i_beta + k]
        beta[k] = math.exp(log_beta)
        # the Jacobian of eta and gamma, Lambda^2 / share, and the probits' own densities
        total += 2 * log_loss - log_share - 0.5 * (u * u + v * v) - _LOG_2PI
        grad[i_loss + k] += 2
        grad[i_phi + k] -= u
        grad[i_g + k] -= v
        # log beta ~ N(mu_beta, sigma_beta)
        d = (log_beta - mu_beta) / s_beta
        total -= 0.5 * d * d + theta[4] + 0.5 * _LOG_2PI
        a_beta[k] -= d / s_beta / beta[k]
        grad[1] += d / s_beta
        grad[4] += d * d - 1
        # eta ~ N(mu_eta, sigma_eta)
        d = (eta[k] - mu_eta) / s_eta
        total -= 0.5 * d * d + theta[3] + 0.5 * _LOG_2PI
        a_eta[k] -= d / s_eta
        grad[0] += d / s_eta
        grad[3] += d * d - 1
        # gamma ~ Exponential(sigma_gamma)
        total -= theta[5] + gamma[k] / s_gamma
        a_gamma[k] -= 1 / s_gamma
        grad[5] += gamma[k] / s_gamma - 1
        # g ~ Beta(a, b)
        a, b, low, high = floor[k, 0] - 1, floor[k, 1] - 1, g[k], _cdf(-v)
        total += a * math.log(low) + b * math.log(high) - floor[k, 2]
        grad[i_g + k] += (a / low - b / high) * _pdf(v)

    s_var = 1 / (s_delta * s_delta)
    widest = 0
    for b in range(B):
        widest = max(widest, first[b + 1] - first[b])
    F, E, S, R, W = (
        np.empty(widest),
        np.empty(widest),
        np.empty(widest),
        np.empty(widest),
        np.empty(widest),
    )
    Y, Q, D, T = np.empty(widest), np.empty(widest), np.empty(widest), np.empty(widest)
    for b in range(B):
        tau2 = math.exp(2 * theta[i_tau + b])
        omega2 = math.exp(2 * (theta[2] + theta[i_spread + b]))
        nu = math.exp(theta[i_nu + b])
        for m in range(M):
            dx = x[m] - x[top[b]]
            V = omega2 * abs(dx)
            dx += several[0] * s_model * (theta[i_raw + m] - theta[i_raw + top[b]])
            sff = sf = sfr = s0 = sr = srr = slog = 0.0
            seen = False
            for k in range(first[b], first[b + 1]):
                if noise[k, m] < 0:
                    continue
                seen = True
                i = k - first[b]
                F[i] = math.exp(min(eta[k] - beta[k] * dx, 300.0))
                D[i] = 1 + nu * F[i]
                T[i] = math.log(D[i]) / nu
                E[i] = math.exp(-T[i] - gamma[k])
                rise = (1 - g[k]) * E[i]
                y = min(max(g[k] + rise, _EDGE), 1 - _EDGE)
                Y[i] = y
                Q[i] = 0.5 / math.sqrt(y * (1 - y))
                S[i] = rise * F[i] / D[i] * beta[k] * Q[i]
                R[i] = z[k, m] - math.asin(math.sqrt(y))
                variance = noise[k, m] + tau2
                W[i] = 1 / variance
                slog += math.log(variance) + _LOG_2PI
                sf += S[i] * W[i]
                sff += S[i] * S[i] * W[i]
                sfr += S[i] * R[i] * W[i]
                s0 += W[i]
                sr += R[i] * W[i]
                srr += R[i] * R[i] * W[i]
            if not seen:
                continue
            c = sff + s_var
            a = s0 - sf * sf / c
            h = sr - sf * sfr / c
            N = 1 + a * V
            quad = srr - sfr * sfr / c - h * h * V / N
            total -= 0.5 * (quad + slog + math.log(s_delta * s_delta * c) + math.log(N))
            # t_v: derivative of quad + log determinant by v
            t_h = -2 * h * V / N
            t_a = h * h * V * V / (N * N) + V / N
            t_V = -h * h / (N * N) + a / N
            t_c = (sfr * sfr + t_a * sf * sf + t_h * sf * sfr) / (c * c) + 1 / c
            t_sf = -(2 * t_a * sf + t_h * sfr) / c
            t_sfr = -(2 * sfr + t_h * sf) / c
            t_tau2 = 0.0
            t_dx = 0.0
            t_log_nu = 0.0
            for k in range(first[b], first[b + 1]):
                if noise[k, m] < 0:
                    continue
                i = k - first[b]
                s, r, w, y, q = S[i], R[i], W[i], Y[i], Q[i]
                rise = (1 - g[k]) * E[i]
                t_s = w * (2 * s * t_c + t_sf + r * t_sfr)
                t_r = w * (s * t_sfr + t_h + 2 * r)
                t_w = s * s * t_c + s * t_sf + s * r * t_sfr + t_a + r * t_h + r * r
                t_tau2 += w - w * w * t_w
                t_y = -t_r * q - 0.5 * t_s * s * (1 - 2 * y) / (y * (1 - y))
                u = F[i] / D[i]
                t_rise = t_y + t_s * u * beta[k] * q
                t_F = rise * (t_s * beta[k] * q / D[i] - t_rise) / D[i]
                t_log_nu += rise * ((T[i] - u) * t_rise - t_s * beta[k] * q * u * (D[i] - 1) / D[i])
                a_g[k] -= 0.5 * (t_y - t_rise * E[i])
                a_gamma[k] += 0.5 * t_rise * rise
                a_eta[k] -= 0.5 * t_F * F[i]
                a_beta[k] -= 0.5 * (t_s * rise * u * q - t_F * F[i] * dx)
                t_dx -= t_F * F[i] * beta[k]
            grad[2] -= t_V * V
            grad[i_spread + b] -= t_V * V
            grad[i_tau + b] -= t_tau2 * tau2
            grad[i_nu + b] -= 0.5 * t_log_nu
            grad[7] -= 1 - t_c * s_var
            t_raw = 0.5 * t_dx * several[0]
            grad[i_raw + m] -= t_raw * s_model
            grad[i_raw + top[b]] += t_raw * s_model
            grad[6] -= t_raw * s_model * (theta[i_raw + m] - theta[i_raw + top[b]])

    for k in range(K):
        u, v = theta[i_phi + k], theta[i_g + k]
        loss = math.exp(theta[i_loss + k])
        nu = math.exp(theta[i_nu + of[k]])
        rest = loss * _cdf(-u)
        share = -math.expm1(-nu * rest) / nu
        over = 1 / math.expm1(nu * rest)
        by_nu = nu * rest * over - 1 if nu * rest > 1e-5 else -0.5 * nu * rest
        a_log_beta = a_beta[k] * beta[k]
        t_rest = a_eta[k] / share - nu * over
        grad[i_beta + k] += a_log_beta
        grad[i_loss + k] += t_rest * rest + gamma[k] * a_gamma[k]
        grad[i_phi + k] += loss * (a_gamma[k] - t_rest) * _pdf(u)
        grad[i_nu + of[k]] += a_eta[k] * (nu * rest + by_nu) - by_nu
        grad[i_g + k] += a_g[k] * _pdf(v)
    return total


_DOUBLES = types.CPointer(types.double)


@numba.cfunc(types.int64(types.uint64, _DOUBLES, _DOUBLES, _DOUBLES, _DOUBLES), cache=True)
def log_density_c(size, theta, gradient, value, packed):
    """The density with C's calling convention; 0, or 3 where it is not finite."""
    head = numba.carray(packed, (4,))
    B, M, K = int(head[0]), int(head[1]), int(head[2])
    length = 4 + M + B + 2 * K * M + B + 1 + 3 * K + 2 * (N_GLOBAL + len(PER_BENCHMARK))
    data = _unpack(numba.carray(packed, (length,)))
    grad = numba.carray(gradient, (size,))
    log_p = _log_density(numba.carray(theta, (size,)), grad, *data)
    numba.carray(value, (1,))[0] = log_p
    return 0 if np.isfinite(log_p) and np.isfinite(grad).all() else 3


@numba.cfunc(types.int64(types.uint64, types.uint64, _DOUBLES, _DOUBLES, _DOUBLES), cache=True)
def copy_c(size, _, theta, out, packed):
    """What a draw is stored as: its coordinates, unchanged."""
    numba.carray(out, (size,))[:] = numba.carray(theta, (size,))
    return 0
