"""The model's log density and its gradient, by hand, for the sampler.

`cod_bayes.model.build` states the model in PyMC; this is the same density (log posterior up to
nothing: constants included) on the same unconstrained coordinates, differentiated in reverse by
hand and compiled ahead by numba, cached on disk. No graph is compiled when a forecast is asked for,
and one evaluation costs little more than its exponentials. A test holds value and gradient to those
of the PyMC model.

Coordinates, in this order (B benchmarks, M models, K clusters):

    mu_eta, mu_beta, mu_omega, log sigma_eta, log sigma_beta, log sigma_gamma, log sigma_model,
    log sigma_delta, log tau (B), log spread_omega (B), log nu (B), raw_lead (B), raw_delta (M),
    log pace (K), probit y (K), probit s (K), probit phi (K)

A probit (`cod_bayes.curves.share`) where a logit is usual: the tail towards 0, where data say
nothing, is then lighter than an exponential's.

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
from scipy.special import gammaln, ndtri

from cod_bayes.curves import BEND, GLOBAL, PROBIT, LadderData, floor_prior, share
from cod_bayes.preconditioner import gather, size_of, stretch, unpack
from cod_bayes.spec import Spec
from cod_bayes.vector_math import FAST, asin_sqrt, exp, log

PER_BENCHMARK = ("tau", "spread_omega", "nu")
N_GLOBAL = len(GLOBAL)
_LOG_2PI = math.log(2 * math.pi)
_HEAD = 6  # numbers before the arrays of `Density.packed`
_PRIORS = N_GLOBAL + len(PER_BENCHMARK)
LANES = 16
_EDGE = 1e-9
_STEP = 1e-4  # of a coordinate, for second derivatives
_FLATTEST = 0.3  # curvature: priors alone make about 1


@dataclass(frozen=True)
class Density:
    """`density(theta) -> (log density, gradient)` of one evidence under one named model.

    Attributes:
        shape: B, M, K.
        packed: all numbers of the evidence and the priors in one row, as `_unpack` reads it.
        start_values: (size,) where the climb to the mode sets out from.
        first: (B + 1,) where each benchmark's clusters begin.
        nu_ratio: (K,) nu_k over nu_b.
    """

    shape: tuple[int, int, int]
    packed: np.ndarray
    start_values: np.ndarray
    first: np.ndarray
    nu_ratio: np.ndarray

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
        block, lane = np.divmod(np.arange(K), LANES)
        cells = np.zeros((M, block[-1] + 1, 2, LANES))
        cells[:, :, 1] = -1.0
        noise = np.where(data.measured, data.noise, -1.0)
        cells[:, block, :, lane] = np.stack([data.z, noise], axis=-1)
        fixed = np.ones((block[-1] + 1, 4, LANES))  # beyond the last cluster any finite numbers
        fixed[block, :, lane] = np.column_stack([a, b, log_norm, data.nu_ratio])
        several = B > 1 if several is None else several
        constants = [several, *(spec.constants[name] for name in ("capped_share", "capped_loss"))]
        head = [B, M, K, *constants]
        arrays = [head, data.x, data.top, first, cells, fixed, prior]
        packed = np.concatenate([np.ravel(np.asarray(v, dtype=float)) for v in arrays])

        # Of each cluster the last measured model.
        last = M - 1 - np.argmax(data.measured[:, ::-1], axis=1)
        y = np.clip(np.sin(data.z[np.arange(K), last]) ** 2, 0.01, 0.99)
        s = np.clip(1 - a / (a + b) / y, 0.05, 0.99)
        scales = np.repeat(prior[N_GLOBAL:, 0], B)
        curves = [np.full(K, prior[1, 0]), ndtri(y), ndtri(s), np.full(K, -1.0)]
        start = np.concatenate([prior[:N_GLOBAL, 0], scales, np.zeros(B + M), *curves])
        return cls((B, M, K), packed, start, first, data.nu_ratio)

    @property
    def size(self) -> int:
        B, M, K = self.shape
        return N_GLOBAL + (len(PER_BENCHMARK) + 1) * B + M + 4 * K

    def __call__(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        gradient = np.empty(self.size)
        return _log_density(theta, gradient, *_unpack(self.packed)), gradient

    def constrain(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Named parameters of draws (..., size), each (..., dim): see the module's order."""
        B, M, K = self.shape
        sizes = [1] * N_GLOBAL + [B, B, B, B, M, K, K, K, K]
        parts = np.split(theta, np.cumsum(sizes)[:-1], axis=-1)
        value = dict(zip(GLOBAL, (part[..., 0] for part in parts[:N_GLOBAL]), strict=True))
        value = {k: v if k.startswith("mu") else np.exp(v) for k, v in value.items()}
        log_tau, log_spread, log_nu, lead, raw, log_pace, *probits = parts[N_GLOBAL:]
        probit_y, probit_s, probit_phi = probits
        of_cluster = np.repeat(np.arange(B), np.diff(self.first))
        y, s = share(probit_y), share(probit_s)
        nu = self.nu_ratio * np.exp(log_nu[..., of_cluster])
        loss = -np.log(y * s / (share(-probit_y) + y * s))
        scaled = nu * loss * share(-probit_phi)
        log_u = np.log(-np.expm1(-scaled)) - np.log(nu)
        return value | {
            "tau": np.exp(log_tau),
            "nu": np.exp(log_nu),
            "sigma_omega": np.exp(value["mu_omega"][..., None] + log_spread),
            "lead": value["sigma_delta"][..., None] * lead,
            "delta": float(B > 1) * value["sigma_model"][..., None] * raw,
            "eta": scaled + log_u,
            "beta": np.exp(log_pace) / np.sqrt(1 - BEND * share(probit_phi)),
            "gamma": share(probit_phi) * loss,
            "g": y * share(-probit_s),
        }

    @property
    def seen(self) -> np.ndarray:
        """Which of the coordinates before the clusters' own touch a cluster: (K, size - 4 K)."""
        B, M, K = self.shape
        of_cluster = np.repeat(np.arange(B), np.diff(self.first))
        own = np.tile(of_cluster[:, None] == np.arange(B), len(PER_BENCHMARK) + 1)
        return np.hstack([np.full((K, N_GLOBAL), True), own, np.full((K, M), True)])

    def shared_by(self, b: int) -> np.ndarray:
        """Where the coordinates before the clusters' own are that touch benchmark b."""
        return np.flatnonzero(self.seen[self.first[b]])

    @cached_property
    def mode(self) -> np.ndarray:
        """Where a climb from `start_values` ends, (size,)."""

        def negative(theta: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = self(theta)
            return (-value, -gradient) if np.isfinite(value) else (1e300, 0 * theta)

        options = {"maxiter": 3000, "maxfun": 4000}
        return minimize(negative, self.start_values, jac=True, method="L-BFGS-B", options=options).x

    def laplace(self, draws: int) -> np.ndarray:
        """Draws (draw, size) of the normal that has the mode's curvature, where that is positive.

        A posterior of clusters with several explanations is not this, but has its scales."""
        step = _STEP * np.eye(self.size)
        curved = [self(self.mode - h)[1] - self(self.mode + h)[1] for h in step]
        hessian = np.nan_to_num(np.array(curved) / (2 * _STEP), posinf=0.0, neginf=0.0)
        curvature, axes = np.linalg.eigh((hessian + hessian.T) / 2)
        sd = 1 / np.sqrt(np.maximum(np.abs(curvature), _FLATTEST))
        z = np.random.default_rng(0).standard_normal((draws, self.size))
        return self.mode + (z * sd) @ axes.T


# Clusters stand in blocks of LANES, one after the other. Loops over a block have a fixed length and
# work in one array, by which compilers know that they may take several clusters at once. Rows:
_ROWS = [LANES * row for row in range(44)]
LOG_PACE, PROBIT_Y, PROBIT_S, PROBIT_PHI = _ROWS[:4]
BY_LOG_PACE, BY_PROBIT_Y, BY_PROBIT_S, BY_PROBIT_PHI = _ROWS[4:8]  # the gradient
FLOOR_A, FLOOR_B, FLOOR_NORM = _ROWS[8:11]  # g ~ Beta(a, b)
NU, TAU2, ETA, BETA, GAMMA, G, REST, SHOWN = _ROWS[11:19]
BY_NU, BY_TAU2, BY_ETA, BY_BETA, BY_GAMMA, BY_G = _ROWS[19:25]
Z, NOISE, LOG_V, S = _ROWS[25:29]  # at one ladder model, as all that follows
DX, E, R, W, Y, Q, T, U = _ROWS[29:37]  # kept of every model
T_H, T_A, T_C, T_SF, T_SFR, BY_DX, _END = _ROWS[37:]


@numba.njit(cache=True, nogil=True)
def _unpack(p):
    """Views into `Density.packed`, in the order of `Density.of`."""
    B, M, K = int(p[0]), int(p[1]), int(p[2])
    J = (K - 1) // LANES + 1
    i = _HEAD
    x, i = p[i : i + M], i + M
    top, i = p[i : i + B].astype(np.int64), i + B
    first, i = p[i : i + B + 1].astype(np.int64), i + B + 1
    cells, i = p[i : i + M * J * 2 * LANES].reshape((M, J, 2 * LANES)), i + M * J * 2 * LANES
    fixed, i = p[i : i + J * 4 * LANES].reshape((J, 4 * LANES)), i + J * 4 * LANES
    prior = p[i : i + 2 * _PRIORS].reshape((_PRIORS, 2))
    return x, top, first, cells, fixed, prior, p[3:_HEAD]


@numba.njit(**FAST)
def _fill(blocks, row, low, high, value):
    """A row's places of the clusters low to high."""
    for j in range(low // LANES, (high - 1) // LANES + 1):
        begin, end = max(low - j * LANES, 0), min(high - j * LANES, LANES)
        blocks[j, row + begin : row + end] = value


@numba.njit(**FAST)
def _scale(blocks, row, low, high, factor):
    """A row's places of the clusters low to high, times a factor."""
    for j in range(low // LANES, (high - 1) // LANES + 1):
        for i in range(max(low - j * LANES, 0), min(high - j * LANES, LANES)):
            blocks[j, row + i] *= factor


@numba.njit(**FAST)
def _copy(source, first, target, to):
    """The rows DX to U of every block, from the column `first` of source to `to` of target."""
    for j in range(len(source)):
        for i in range(T_H - DX):
            target[j, to + i] = source[j, first + i]


@numba.njit(**FAST)
def _sum(blocks, row, low, high):
    """Of a row's places of the clusters low to high."""
    total = 0.0
    for j in range(low // LANES, (high - 1) // LANES + 1):
        for i in range(max(low - j * LANES, 0), min(high - j * LANES, LANES)):
            total += blocks[j, row + i]
    return total


@numba.njit(forceinline=True, **FAST)
def _share(v):
    """Of a probit: the share, the rest, the logarithms of both, and d log(share / rest) / dv."""
    w = v * (PROBIT[0] + PROBIT[1] * v * v)
    e = exp(-abs(w))
    more, less = 1 / (1 + e), e / (1 + e)
    log_more = -log(1 + e)
    log_less = log_more - abs(w)
    up = w > 0
    high, low = (more if up else less), (less if up else more)
    log_high, log_low = (log_more if up else log_less), (log_less if up else log_more)
    return high, low, log_high, log_low, PROBIT[0] + 3 * PROBIT[1] * v * v


@numba.njit(**FAST)
def _curves(blocks, clusters, mu_eta, s_eta, mu_beta, s_beta, s_gamma, capped, s_capped):
    """Coordinates to curves, with the clusters' own priors, Jacobians and their derivatives.

    Returns: the log prior; what the priors' five parameters need of its gradient.
    """
    for j in range(len(blocks)):
        v = blocks[j]
        for i in range(LANES):
            nu = v[NU + i]
            y, not_y, log_y, log_not_y, slope_y = _share(v[PROBIT_Y + i])
            s, not_s, log_s, log_not_s, slope_s = _share(v[PROBIT_S + i])
            phi, other, log_phi, log_other, slope = _share(v[PROBIT_PHI + i])
            above = not_y + y * s  # 1 - g
            loss = max(log(above) - log_y - log_s, 1e-15)
            gamma, rest = phi * loss, other * loss
            scaled = nu * rest
            small = scaled * (1 - 0.5 * scaled)
            shown = (small if scaled < 1e-5 else 1 - exp(-scaled)) / nu
            log_shown = log(shown)
            eta = scaled + log_shown
            # the Jacobian of eta and gamma, Lambda / u d(Lambda, phi), and phi's own
            log_p = log(loss) - log_shown + log_phi + log_other + log(slope)
            v[BY_PROBIT_PHI + i] = (other - phi) * slope + 6 * PROBIT[1] * v[PROBIT_PHI + i] / slope
            # g ~ Beta(a, b); the Jacobian of g and Lambda, 1 / s d(y, s), and y's and s's own
            a, b = v[FLOOR_A + i], v[FLOOR_B + i] - 1
            log_p += a * (log_y + log_not_s) + b * log(above) - v[FLOOR_NORM + i]
            log_p += log_not_y + log(slope_y * slope_s)
            pull = b * y * not_s / above
            by_y = slope_y * (a * not_y - y - pull * not_y)
            v[BY_PROBIT_Y + i] = by_y + 6 * PROBIT[1] * v[PROBIT_Y + i] / slope_y
            by_s = slope_s * (pull * s - a * s)
            v[BY_PROBIT_S + i] = by_s + 6 * PROBIT[1] * v[PROBIT_S + i] / slope_s
            # log beta ~ N(mu_beta, sigma_beta)
            log_beta = v[LOG_PACE + i] - 0.5 * log(1 - BEND * phi)
            d = (log_beta - mu_beta) / s_beta
            log_p -= 0.5 * d * d
            v[BY_LOG_PACE + i] = -d / s_beta
            v[S + i] = d
            # eta ~ N(mu_eta, sigma_eta)
            d = (eta - mu_eta) / s_eta
            log_p -= 0.5 * d * d
            v[BY_ETA + i] = -d / s_eta
            v[R + i] = d
            # gamma: exponential of mean sigma_gamma; of a share `capped` of the clusters, s_capped
            few = (1 - capped) / s_gamma * exp(-gamma / s_gamma)
            many = capped / s_capped * exp(-gamma / s_capped)
            log_p += log(few + many)
            few = few / (few + many)
            v[BY_GAMMA + i] = -few / s_gamma - (1 - few) / s_capped
            v[W + i] = few * (gamma / s_gamma - 1)
            v[ETA + i], v[BETA + i], v[GAMMA + i] = eta, exp(log_beta), gamma
            v[G + i], v[REST + i], v[SHOWN + i] = y * not_s, rest, shown
            v[E + i] = log_p
    total = by_mu_eta = by_s_eta = by_mu_beta = by_s_beta = by_s_gamma = 0.0
    for k in range(clusters):  # apart: a sum in the loop above would keep it from being vectorised
        v, i = blocks[k // LANES], k % LANES
        total += v[E + i]
        by_mu_beta += v[S + i]
        by_s_beta += v[S + i] * v[S + i]
        by_mu_eta += v[R + i]
        by_s_eta += v[R + i] * v[R + i]
        by_s_gamma += v[W + i]
    return total, by_mu_eta, by_s_eta, by_mu_beta, by_s_beta, by_s_gamma


@numba.njit(**FAST)
def _cells(blocks):
    """At one ladder model: f's derivative S, the residual R, the weight W of every cluster."""
    for j in range(len(blocks)):
        v = blocks[j]
        for i in range(LANES):
            nu = v[NU + i]
            F = exp(min(v[ETA + i] - v[BETA + i] * v[DX + i], 300.0))
            D = 1 + nu * F
            t = log(D) / nu
            u = F / D
            e = exp(-t - v[GAMMA + i])
            rise = (1 - v[G + i]) * e
            y = min(max(v[G + i] + rise, _EDGE), 1 - _EDGE)
            q = 0.5 / math.sqrt(y * (1 - y))
            seen = v[NOISE + i] >= 0
            variance = v[NOISE + i] + v[TAU2 + i] if seen else 1.0
            v[W + i] = 1 / variance if seen else 0.0
            v[LOG_V + i] = log(variance) + _LOG_2PI if seen else 0.0
            v[R + i] = v[Z + i] - asin_sqrt(y)
            v[S + i] = rise * u * v[BETA + i] * q
            v[E + i], v[Y + i], v[Q + i], v[T + i], v[U + i] = e, y, q, t, u


@numba.njit(**FAST)
def _cells_back(blocks):
    """From the derivatives of the benchmarks' sums (T_H to T_SFR) to those of the curves."""
    for j in range(len(blocks)):
        v = blocks[j]
        for i in range(LANES):
            r, w, y, q, u = v[R + i], v[W + i], v[Y + i], v[Q + i], v[U + i]
            nu, beta, rise = v[NU + i], v[BETA + i], (1 - v[G + i]) * v[E + i]
            s = rise * u * beta * q
            t_sf, t_sfr = v[T_SF + i], v[T_SFR + i]
            t_s = w * (2 * s * v[T_C + i] + t_sf + r * t_sfr)
            t_r = w * (s * t_sfr + v[T_H + i] + 2 * r)
            t_w = s * (s * v[T_C + i] + t_sf + r * t_sfr) + v[T_A + i] + r * (v[T_H + i] + r)
            t_y = -t_r * q - 2 * t_s * s * (1 - 2 * y) * q * q
            bent = t_s * beta * q  # by rise F / D
            t_rise = t_y + bent * u
            t_log_F = rise * u * (bent * (1 - nu * u) - t_rise)
            v[BY_TAU2 + i] -= 0.5 * (w - w * w * t_w)
            v[BY_NU + i] -= 0.5 * rise * ((v[T + i] - u) * t_rise - bent * nu * u * u)
            v[BY_G + i] -= 0.5 * (t_y - t_rise * v[E + i])
            v[BY_GAMMA + i] += 0.5 * t_rise * rise
            v[BY_ETA + i] -= 0.5 * t_log_F
            v[BY_BETA + i] -= 0.5 * (t_s * rise * u * q - t_log_F * v[DX + i])
            v[BY_DX + i] = 0.5 * t_log_F * beta


@numba.njit(**FAST)
def _curves_back(blocks):
    """From the derivatives by curves to those by coordinates."""
    for j in range(len(blocks)):
        v = blocks[j]
        for i in range(LANES):
            phi, other, _, _, slope = _share(v[PROBIT_PHI + i])
            rest, shown = v[REST + i], v[SHOWN + i]
            scaled = v[NU + i] * rest
            over = 1 / shown - v[NU + i]  # nu / (exp(nu R) - 1)
            lost = over * rest - 1 if scaled > 1e-5 else -0.5 * scaled
            t_rest = v[BY_ETA + i] / shown - over
            v[BY_LOG_PACE + i] += v[BY_BETA + i] * v[BETA + i]
            bend = 0.5 * BEND * phi / (1 - BEND * phi)  # of log beta, by logit phi over 1 - phi
            v[BY_PROBIT_PHI + i] += v[BY_LOG_PACE + i] * bend * other * slope
            v[BY_PROBIT_PHI + i] += other * v[GAMMA + i] * slope * (v[BY_GAMMA + i] - t_rest)
            by_loss = (t_rest * rest + v[GAMMA + i] * v[BY_GAMMA + i] + 1) / (rest + v[GAMMA + i])
            y, not_y, _, _, slope_y = _share(v[PROBIT_Y + i])
            s, not_s, _, _, slope_s = _share(v[PROBIT_S + i])
            pull = y * not_s * (by_loss / (not_y + y * s) - v[BY_G + i])
            v[BY_PROBIT_Y + i] -= slope_y * not_y * (by_loss + pull)
            v[BY_PROBIT_S + i] += slope_s * (s * pull - by_loss * not_s)
            v[BY_NU + i] += v[BY_ETA + i] * (scaled + lost) - lost


@numba.njit(**FAST)
def _walk(sigma2, x, top, a, h, t_a, t_h):
    """log E exp(sum_m h_m omega_m - a_m omega_m^2 / 2) over one benchmark's random walk omega, down
    from the largest model: a Kalman filter (Durbin and Koopman 2012, 4.3), and back through it.

    Returns: the value and its derivative by log sigma. Minus twice its derivatives by a and h are
    written to t_a and t_h, all (model,) with nothing above `top`.
    """
    mean, variance = np.zeros(top + 1), np.zeros(top + 1)  # of omega_m by what is larger
    value = mu = v = 0.0
    for m in range(top, -1, -1):
        if m < top:
            v += sigma2 * (x[m + 1] - x[m])
        mean[m], variance[m] = mu, v
        n = 1 + a[m] * v
        value -= 0.5 * (math.log(n) - (h[m] * h[m] * v + 2 * h[m] * mu - a[m] * mu * mu) / n)
        mu, v = (mu + v * h[m]) / n, v / n
    by_mu = by_v = by_log_sigma = 0.0
    for m in range(top + 1):
        mu, v = mean[m], variance[m]
        n = 1 + a[m] * v
        after = (mu + v * h[m]) / n
        gain = h[m] * after + mu * (h[m] - a[m] * mu) / n
        t_n = (1 + gain - by_mu * after - by_v * v / n) / n
        t_a[m] = mu * mu / n + t_n * v
        t_h[m] = by_mu * v / n - 2 * after
        by_v = (by_v + by_mu * h[m] - h[m] * h[m]) / n + t_n * a[m]
        by_mu = (by_mu - 2 * (h[m] - a[m] * mu)) / n
        if m < top:
            by_log_sigma -= by_v * sigma2 * (x[m + 1] - x[m])
    return value, by_log_sigma


@numba.njit(**FAST)
def _log_density(theta, grad, x, top, first, cells, fixed, prior, constants):
    B, M, K, J = len(top), len(x), first[-1], len(fixed)
    n = N_GLOBAL
    i_tau, i_spread, i_nu, i_lead, i_raw = n, n + B, n + 2 * B, n + 3 * B, n + 4 * B
    several, capped, s_capped = constants
    i_curve = i_raw + M
    grad[:] = 0.0
    total = 0.0

    # Scales and locations: normal on these coordinates (log-normal scales).
    for i in range(n + 3 * B):
        j = i if i < n else n + (i - n) // B
        d = (theta[i] - prior[j, 0]) / prior[j, 1]
        total -= 0.5 * d * d + math.log(prior[j, 1]) + 0.5 * _LOG_2PI
        grad[i] -= d / prior[j, 1]
    for i in range(i_lead, i_curve):
        total -= 0.5 * theta[i] * theta[i] + 0.5 * _LOG_2PI
        grad[i] -= theta[i]

    mu_eta, mu_beta = theta[0], theta[1]
    s_eta, s_beta, s_gamma = math.exp(theta[3]), math.exp(theta[4]), math.exp(theta[5])
    s_model, s_delta = math.exp(theta[6]), math.exp(theta[7])
    blocks = np.empty((J, _END))
    blocks[:, BY_NU:Z] = 0.0
    blocks[-1, :FLOOR_A] = 0.0  # places beyond the last cluster: any numbers that are finite
    blocks[-1, TAU2:ETA] = 1.0
    blocks[-1, DX:E] = 0.0
    blocks[:, FLOOR_A:TAU2] = fixed
    for row in range(4):
        for k in range(K):
            blocks[k // LANES, row * LANES + k % LANES] = theta[i_curve + row * K + k]
    for b in range(B):
        _scale(blocks, NU, first[b], first[b + 1], math.exp(theta[i_nu + b]))
        _fill(blocks, TAU2, first[b], first[b + 1], math.exp(2 * theta[i_tau + b]))

    sums = _curves(blocks, K, mu_eta, s_eta, mu_beta, s_beta, s_gamma, capped, s_capped)
    log_p, by_mu_eta, by_s_eta, by_mu_beta, by_s_beta, by_s_gamma = sums
    total += log_p
    total -= K * (theta[3] + theta[4] + _LOG_2PI)
    grad[0] += by_mu_eta / s_eta
    grad[1] += by_mu_beta / s_beta
    grad[3] += by_s_eta - K
    grad[4] += by_s_beta - K
    grad[5] += by_s_gamma

    s_var = 1 / (s_delta * s_delta)
    # Of every benchmark and model: the sums over clusters; a and h of its omega, and derivatives.
    c, sf, sfr, a, h, t_a, t_h = np.zeros((7, B, M))
    kept = np.empty((M, J, T_H - DX))
    for m in range(M):
        for b in range(B):
            shift = several * s_model * (theta[i_raw + m] - theta[i_raw + top[b]])
            if m != top[b]:
                shift -= s_delta * theta[i_lead + b]
            _fill(blocks, DX, first[b], first[b + 1], x[m] - x[top[b]] + shift)
        blocks[:, Z:LOG_V] = cells[m]
        _cells(blocks)
        _copy(blocks, DX, kept[m], 0)
        for b in range(B):
            low, high = first[b], first[b + 1]
            sum_ff = sum_f = sum_fr = sum_0 = sum_r = sum_rr = sum_log = 0.0
            for j in range(low // LANES, (high - 1) // LANES + 1):
                v = blocks[j]
                for i in range(max(low - j * LANES, 0), min(high - j * LANES, LANES)):
                    s, r, w = v[S + i], v[R + i], v[W + i]
                    sum_log += v[LOG_V + i]
                    sum_f += s * w
                    sum_ff += s * s * w
                    sum_fr += s * r * w
                    sum_0 += w
                    sum_r += r * w
                    sum_rr += r * r * w
            if m == top[b]:  # its shocks are in the curves and in the lead
                sum_ff = sum_f = sum_fr = 0.0
            sf[b, m], sfr[b, m], c[b, m] = sum_f, sum_fr, sum_ff + s_var
            a[b, m] = sum_0 - sum_f * sum_f / c[b, m]
            h[b, m] = sum_r - sum_f * sum_fr / c[b, m]
            quad = sum_rr - sum_fr * sum_fr / c[b, m]
            total -= 0.5 * (quad + sum_log + math.log(c[b, m] / s_var))

    for b in range(B):
        sigma2 = math.exp(2 * (theta[2] + theta[i_spread + b]))
        value, by_log_sigma = _walk(sigma2, x, top[b], a[b], h[b], t_a[b], t_h[b])
        total += value
        grad[2] += by_log_sigma
        grad[i_spread + b] += by_log_sigma

    # t_v: derivative of minus twice the log likelihood by v
    for m in range(M):
        _copy(kept[m], 0, blocks, DX)
        for b in range(B):
            low, high = first[b], first[b + 1]
            f, fr, by_a, by_h = sf[b, m], sfr[b, m], t_a[b, m], t_h[b, m]
            over = 1 / c[b, m]
            t_c = (fr * fr + by_a * f * f + by_h * f * fr) * over * over + over
            grad[7] -= 1 - t_c * s_var
            if m == top[b]:
                t_c = 0.0
            _fill(blocks, T_H, low, high, by_h)
            _fill(blocks, T_A, low, high, by_a)
            _fill(blocks, T_C, low, high, t_c)
            _fill(blocks, T_SF, low, high, -(2 * by_a * f + by_h * fr) * over)
            _fill(blocks, T_SFR, low, high, -(2 * fr + by_h * f) * over)
        _cells_back(blocks)
        for b in range(B):
            t_raw = -_sum(blocks, BY_DX, first[b], first[b + 1])
            if m != top[b]:
                grad[i_lead + b] += t_raw * s_delta
                grad[7] += t_raw * s_delta * theta[i_lead + b]
            t_raw *= several
            grad[i_raw + m] -= t_raw * s_model
            grad[i_raw + top[b]] += t_raw * s_model
            grad[6] -= t_raw * s_model * (theta[i_raw + m] - theta[i_raw + top[b]])

    _curves_back(blocks)
    for b in range(B):
        by_tau2 = _sum(blocks, BY_TAU2, first[b], first[b + 1])
        grad[i_tau + b] += 2 * by_tau2 * math.exp(2 * theta[i_tau + b])
        grad[i_nu + b] += _sum(blocks, BY_NU, first[b], first[b + 1])
    for row in range(4):
        for k in range(K):
            grad[i_curve + row * K + k] = blocks[k // LANES, (4 + row) * LANES + k % LANES]
    return total


_DOUBLES = types.CPointer(types.double)


@numba.cfunc(types.int64(types.uint64, _DOUBLES, _DOUBLES, _DOUBLES, _DOUBLES), cache=True)
def log_density_c(size, phi, gradient, value, packed):
    """The density with C's calling convention, on a preconditioner's coordinates; 0, or 3 where it
    is not finite. packed: `Density.packed`, then `Preconditioner.packed`."""
    head = numba.carray(packed, (3,))
    B, M, K = int(head[0]), int(head[1]), int(head[2])
    J, G = (K - 1) // LANES + 1, int(size) - 4 * K
    own = _HEAD + M + 2 * B + 1 + (2 * M + 4) * J * LANES + 2 * _PRIORS
    evidence = _unpack(numba.carray(packed, (own,)))
    first = evidence[2]
    T = N_GLOBAL + len(PER_BENCHMARK) + 1 + M
    change = unpack(numba.carray(packed, (own + size_of(G, T, first),))[own:], G, T, first)
    theta, by_theta, by_phi = np.empty(size), np.empty(size), numba.carray(gradient, (size,))
    stretch(numba.carray(phi, (size,)), theta, *change)
    log_p = _log_density(theta, by_theta, *evidence)
    gather(by_theta, by_phi, *change)
    numba.carray(value, (1,))[0] = log_p
    return 0 if np.isfinite(log_p) and np.isfinite(by_phi).all() else 3


@numba.cfunc(types.int64(types.uint64, types.uint64, _DOUBLES, _DOUBLES, _DOUBLES), cache=True)
def copy_c(size, _, theta, out, packed):
    """What a draw is stored as: its coordinates, unchanged."""
    numba.carray(out, (size,))[:] = numba.carray(theta, (size,))
    return 0
