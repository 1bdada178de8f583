"""The loops that Numba compiles: the fast density, its gradient, and what the sampler does with it.

They stand in one file because Numba's cache knows a compiled function by the file it is written in:
a change anywhere here compiles all of them again, and nothing stale can be called.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numba import types

from cod_bayes.model.equations import EDGE
from cod_bayes.model.variables import GLOBAL
from cod_bayes.sampling.coordinates import PROBIT

# error_model: division by zero gives inf instead of an exception; with the exception LLVM does not
# vectorise. contract: a product and the sum that takes it are rounded once; sums keep their order.
FAST: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract"},
}
PER_CLUSTER = 4  # coordinates of a cluster
PER_BENCHMARK = (
    "mu_eta",
    "mu_beta",
    "sigma_eta",
    "sigma_beta",
    "sigma_gamma",
    "sigma_delta",
    "tau",
    "spread_omega",
    "nu",
)
N_SCALES = len(PER_BENCHMARK)
N_BENCHMARK = N_SCALES + 1  # coordinates of a benchmark: these and its lead
N_GLOBAL = len(GLOBAL)
LANES = 8
HEAD = 8  # numbers before the arrays of `Density.packed`
_LOG_2PI = math.log(2 * math.pi)
_PRIORS = N_GLOBAL + N_SCALES
_LARGEST_LOG_LOSS = 300.0  # of the answer: the accuracy is the floor, and no number overflows
_TRIANGLE_STEP = 16  # rows of a triangle taken as if they were all as long as the longest

# exp, log, log(1 + v) and arcsine root in arithmetic alone: LLVM then vectorises a loop of them,
# which calls of the C library forbid. Errors stay below 2e-14, absolute, of `asin_sqrt`, and below
# 1e-15, relative, of the others. They make the density 1.2 to 1.6 times as fast.

_LOG2_E, _LN2 = 1 / math.log(2), math.log(2)
_LN2_HIGH = float.fromhex("0x1.62e42feep-1")  # few bits: its multiples are exact
_LN2_LOW = 1.9082149292705877e-10
_ROOT_HALF = np.array(math.sqrt(0.5)).view(np.int64).item()


def _halves(coefficients: list[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of a polynomial, lowest power first: its even and its odd powers', highest first."""
    return tuple(coefficients[::2][::-1]), tuple(coefficients[1::2][::-1])


_EXP_SERIES = _halves([1 / math.factorial(k) for k in range(14)])
_LOG = _halves([2 / (2 * k + 1) for k in range(12)])
# asin(sqrt v) / sqrt v on [0, 1/2], as a polynomial of 4 v - 1 through its Chebyshev points.
_POINTS = np.cos(np.pi * (np.arange(21) + 0.5) / 21)
_FITTED = np.polynomial.chebyshev.chebfit(
    _POINTS, np.arcsin(np.sqrt((1 + _POINTS) / 4)) / np.sqrt((1 + _POINTS) / 4), 20
)
_ASIN = np.polynomial.chebyshev.cheb2poly(_FITTED).tolist()
_ASIN_EVEN, _ASIN_ODD = _halves(_ASIN[::2]), _halves(_ASIN[1::2])


@numba.njit(forceinline=True, **FAST)
def _horner(v, coefficients):
    total = coefficients[0]
    for k in range(1, len(coefficients)):
        total = total * v + coefficients[k]
    return total


@numba.njit(forceinline=True, **FAST)
def _polynomial(v, halves):
    """Two sums side by side: each waits for its own last step only."""
    return _horner(v * v, halves[0]) + v * _horner(v * v, halves[1])


@numba.njit(forceinline=True, **FAST)
def exp(v):
    """Of v within [-700, 700]; beyond, as at the end."""
    v = min(max(v, -700.0), 700.0)
    n = np.floor(v * _LOG2_E + 0.5)
    r = (v - n * _LN2_HIGH) - n * _LN2_LOW
    return _polynomial(r, _EXP_SERIES) * np.int64((np.int64(n) + 1023) << 52).view(np.float64)


@numba.njit(forceinline=True, **FAST)
def log(v):
    """Of a positive v that is no subnormal: n log 2 + log m, m within sqrt 1/2 and sqrt 2."""
    bits = np.float64(v).view(np.int64)
    n = (bits - _ROOT_HALF) >> 52
    m = np.int64(bits - (n << 52)).view(np.float64)
    s = (m - 1) / (m + 1)
    return n * _LN2 + s * _polynomial(s * s, _LOG)


@numba.njit(forceinline=True, **FAST)
def log1p(v):
    """log(1 + v) of a v that is not negative, relative to itself (Kahan)."""
    more = 1 + v
    return log(more) * (v / (more - 1)) if more > 1 else v


@numba.njit(forceinline=True, **FAST)
def asin_sqrt(v):
    """Of v in [0, 1]."""
    small = min(v, 1 - v)
    t = 4 * small - 1
    angle = math.sqrt(small) * (_polynomial(t * t, _ASIN_EVEN) + t * _polynomial(t * t, _ASIN_ODD))
    return angle if v < 0.5 else 0.5 * math.pi - angle


# The linear change of coordinates of `cod_bayes.sampling.preconditioner`. C_W holds C_b beside W_b
# of all benchmarks in one row, C_W_T their transposes.


@numba.njit(cache=True, nogil=True)
def preconditioner_size(G, first):
    """Doubles in `Preconditioner.packed`."""
    count = G * G
    for b in range(len(first) - 1):
        n = N_BENCHMARK + PER_CLUSTER * (first[b + 1] - first[b])
        count += n * (G + n)
    return (2 * count + 1) // 2


@numba.njit(cache=True, nogil=True)
def unpack_preconditioner(packed, G, first):
    """A, its transpose, C_W and C_W_T of `Preconditioner.packed`; and `first`."""
    p = packed.view(np.float32)
    A, i = p[: G * G], G * G
    A_T, i = p[i : i + G * G], i + G * G
    half = (len(p) - i) // 2
    return A, A_T, p[i : i + half], p[i + half :], first


@numba.njit(**FAST)
def _add_rows(out, rows, at, stride, factors):
    """out += sum_j factors[j] rows[at + j stride : at + j stride + len(out)].

    Four rows at a time: `out` is then read and written a quarter as often, and the loop over its
    places is vectorised, which the sum of a dot product is not."""
    n, left = len(out), len(factors) % 4
    for j in range(left):
        f, p = factors[j], rows[at + j * stride : at + j * stride + n]
        for i in range(n):
            out[i] += f * p[i]
    for j in range(left, len(factors), 4):
        f, g, h, k = factors[j], factors[j + 1], factors[j + 2], factors[j + 3]
        start = at + j * stride
        p, start = rows[start : start + n], start + stride
        q, start = rows[start : start + n], start + stride
        r, start = rows[start : start + n], start + stride
        s = rows[start : start + n]
        for i in range(n):
            out[i] += f * p[i] + g * q[i] + h * r[i] + k * s[i]


@numba.njit(**FAST)
def _read_benchmark(coordinates, first, b, part):
    """Copies benchmark b's coordinates into `part`. coordinates: all but the shared ones."""
    B, K, size = len(first) - 1, first[-1], first[b + 1] - first[b]
    for c in range(N_BENCHMARK):
        part[c] = coordinates[c * B + b]
    for c in range(PER_CLUSTER):
        for i in range(size):
            part[N_BENCHMARK + c * size + i] = coordinates[N_BENCHMARK * B + c * K + first[b] + i]


@numba.njit(**FAST)
def _write_benchmark(coordinates, first, b, part):
    """Copies `part` to benchmark b's coordinates, the reverse of `_read_benchmark`."""
    B, K, size = len(first) - 1, first[-1], first[b + 1] - first[b]
    for c in range(N_BENCHMARK):
        coordinates[c * B + b] = part[c]
    for c in range(PER_CLUSTER):
        for i in range(size):
            coordinates[N_BENCHMARK * B + c * K + first[b] + i] = part[N_BENCHMARK + c * size + i]


@numba.njit(**FAST)
def theta_of_phi(phi, theta, G, A, A_T, C_W, C_W_T, first):
    """Writes theta: A phi_h, and C_b phi_h + W_b phi_b of every benchmark."""
    start = 0
    theta[:G] = 0.0
    _add_rows(theta[:G], A_T, 0, G, phi[:G])
    phi_b, theta_b = np.empty(len(phi)), np.empty(len(phi))
    for b in range(len(first) - 1):
        n = N_BENCHMARK + PER_CLUSTER * (first[b + 1] - first[b])
        _read_benchmark(phi[G:], first, b, phi_b)
        theta_b[:n] = 0.0
        _add_rows(theta_b[:n], C_W_T, start, n, phi[:G])
        for j in range(0, n, _TRIANGLE_STEP):  # W_b is lower triangular
            at = start + (G + j) * n + j
            _add_rows(theta_b[j:n], C_W_T, at, n, phi_b[j : min(j + _TRIANGLE_STEP, n)])
        _write_benchmark(theta[G:], first, b, theta_b)
        start += n * (G + n)


@numba.njit(**FAST)
def gradient_by_phi(by_theta, by_phi, G, A, A_T, C_W, C_W_T, first):
    """Writes by_phi, the gradient by phi of what has the gradient by_theta by theta."""
    start = 0
    by_phi[:G] = 0.0
    _add_rows(by_phi[:G], A, 0, G, by_theta[:G])
    by_theta_b, by_phi_hb = np.empty(len(by_phi)), np.empty(len(by_phi))
    for b in range(len(first) - 1):
        n = N_BENCHMARK + PER_CLUSTER * (first[b + 1] - first[b])
        _read_benchmark(by_theta[G:], first, b, by_theta_b)
        by_phi_hb[: G + n] = 0.0
        for i in range(0, n, _TRIANGLE_STEP):
            end = min(i + _TRIANGLE_STEP, n)
            _add_rows(by_phi_hb[: G + end], C_W, start + i * (G + n), G + n, by_theta_b[i:end])
        for j in range(G):
            by_phi[j] += by_phi_hb[j]
        _write_benchmark(by_phi[G:], first, b, by_phi_hb[G:])
        start += n * (G + n)


# Clusters stand in blocks of LANES. Loops over a block have a fixed length and work in one array:
# compilers then know that they may take several clusters at once. A benchmark of LANES clusters or
# more has blocks of its own; smaller ones share blocks, none is in two. Places without a cluster
# hold finite numbers that count for nothing. Rows of a block:
_ROWS = [LANES * row for row in range(54)]
PROBIT_K, PROBIT_Y, PROBIT_S, PROBIT_PHI = _ROWS[:4]
BY_PROBIT_K, BY_PROBIT_Y, BY_PROBIT_S, BY_PROBIT_PHI = _ROWS[4:8]  # the gradient
FLOOR_A, FLOOR_B, FLOOR_NORM = _ROWS[8:11]  # g ~ Beta(a, b)
WAY, NU, OVER_NU = _ROWS[11:14]
ETA, BETA, GAMMA, G, LOSS, AWAY, SHOWN, MORE = _ROWS[14:22]
BY_NU, BY_TAU2, BY_ETA, BY_BETA, BY_LOG_BETA, BY_GAMMA, BY_G = _ROWS[22:29]
BY_LOG_WAY, LOG_P = _ROWS[29:31]
VARIANCE = _ROWS[31]  # the product over some models
Z, NOISE = _ROWS[32:34]  # at one ladder model, as all that follows
E, R, Y, Q, T, U, W = _ROWS[34:41]  # kept of every model
WR, WRR, WS, WSS, WSR = _ROWS[41:46]  # with W, what sums over clusters are taken of
DX, TAU2, MEAN_GAMMA = _ROWS[46:49]  # the benchmark's, as T_H .. T_SFR
T_H, T_A, T_C, T_SF = _ROWS[49:53]
T_SFR, BY_DX, _END = MEAN_GAMMA, WR, _ROWS[53]
MU_ETA, MU_BETA, OVER_S_ETA, OVER_S_BETA = T_H, T_A, T_C, T_SF  # of the curves' priors
S_ETA, S_BETA, S_GAMMA = WR, WRR, WS  # of the curves' priors, before there is a model
_SUMS = 6
_FEW = 16  # models whose variances are multiplied: the product stays a normal number


@numba.njit(cache=True, nogil=True)
def first_places(first):
    """Where each benchmark's clusters begin among the blocks' places, (B,), and how many blocks."""
    start, place = np.empty(len(first) - 1, np.int64), 0
    for b in range(len(start)):
        n = first[b + 1] - first[b]
        if place % LANES + n > LANES:
            place += (LANES - place) % LANES
        start[b] = place
        place += n if n < LANES else n + (LANES - n) % LANES
    return start, (place + LANES - 1) // LANES


@numba.njit(cache=True, nogil=True)
def unpack_evidence(p):
    """Views into `Density.packed`, in the order of `Density.of`."""
    B, M = int(p[0]), int(p[1])
    i = HEAD
    x, i = p[i : i + M], i + M
    top, i = p[i : i + B].astype(np.int64), i + B
    first, i = p[i : i + B + 1].astype(np.int64), i + B + 1
    start, J = first_places(first)
    lean, i = p[i : i + B * M].reshape((B, M)), i + B * M
    cells, i = p[i : i + M * J * 2 * LANES].reshape((M, J, 2 * LANES)), i + M * J * 2 * LANES
    fixed, i = p[i : i + J * 5 * LANES].reshape((J, 5 * LANES)), i + J * 5 * LANES
    prior = p[i : i + 2 * _PRIORS].reshape((_PRIORS, 2))
    return x, top, first, start, lean, cells, fixed, prior, p[4:HEAD]


@numba.njit(**FAST)
def _copy(source, first, target, to):
    """The rows kept of every model, from the column `first` of source to `to` of target."""
    for j in range(min(len(source), len(target))):
        for i in range(WR - E):
            target[j, to + i] = source[j, first + i]


@numba.njit(**FAST)
def _fill(blocks, row, start, size, value):
    """One benchmark's places of a row."""
    if size < LANES:
        for i in range(start % LANES, start % LANES + size):
            blocks[start // LANES, row + i] = value
    else:
        for j in range(start // LANES, (start + size - 1) // LANES + 1):
            for i in range(LANES):
                blocks[j, row + i] = value


@numba.njit(**FAST)
def _sum(blocks, row, start, size):
    """Of a row, over one benchmark's clusters."""
    total = 0.0
    for k in range(start, start + size):
        total += blocks[k // LANES, row + k % LANES]
    return total


@numba.njit(**FAST)
def _moments(blocks, row, start, size):
    """Of a row, over one benchmark's clusters: the sum, and that of the squares."""
    total = squares = 0.0
    for k in range(start, start + size):
        d = blocks[k // LANES, row + k % LANES]
        total += d
        squares += d * d
    return total, squares


@numba.njit(**FAST)
def _sums(blocks, row, start, size, lanes, total):
    """Of as many rows from `row` on as `total` has, over one benchmark's clusters."""
    if size < LANES:
        v = blocks[start // LANES]
        for r in range(len(total)):
            total[r] = 0.0
            for i in range(start % LANES, start % LANES + size):
                total[r] += v[row + r * LANES + i]
        return
    lanes[:] = 0.0
    for j in range(start // LANES, (start + size - 1) // LANES + 1):
        for r in range(len(total)):
            for i in range(LANES):
                lanes[r, i] += blocks[j, row + r * LANES + i]
    for r in range(len(total)):
        total[r] = 0.0
        for i in range(LANES):
            total[r] += lanes[r, i]


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


@numba.njit(forceinline=True, **FAST)
def _one_less(v, e):
    """1 - e, e = exp(-v)."""
    return v * (1 - 0.5 * v) if v < 1e-5 else 1 - e


@numba.njit(**FAST)
def _curves(blocks, capped, s_capped):
    """Coordinates to curves, with the clusters' own priors, Jacobians and their derivatives."""
    for j in range(len(blocks)):
        v = blocks[j]
        for i in range(LANES):
            nu = v[NU + i]
            over_nu = 1 / nu
            kept, _, log_k, log_lost, slope_k = _share(v[PROBIT_K + i])
            y, _, log_y, log_not_y, slope_y = _share(v[PROBIT_Y + i])
            _, not_s, log_s, log_not_s, slope_s = _share(v[PROBIT_S + i])
            phi, other, log_phi, log_other, slope = _share(v[PROBIT_PHI + i])
            g = y * kept * not_s
            log_not_g = log(1 - g)
            # t = lost + kept s by logarithms: of a flat cluster s is smaller than any number
            gap = log_lost - log_k - log_s
            odds = log1p(exp(-abs(gap)))
            log_t = max(log_lost, log_k + log_s) + odds
            loss = max(log_not_g - log_y - log_t, 1e-15)
            away = max(gap, 0.0) + odds  # from the loss at x_b to that below
            gamma, rest = phi * loss, other * loss
            e_rest = exp(-nu * rest)
            shown = _one_less(nu * rest, e_rest) * over_nu
            more = e_rest * _one_less(nu * away, exp(-nu * away)) * over_nu
            log_more, log_shown = log1p(more / shown), log(shown)
            eta = nu * rest + log_shown
            fall = nu * away + log_more  # of log L, over `way`
            log_fall = log(fall)
            # the Jacobian of eta, gamma, log beta and g, with those of all shares
            log_p = log(loss) - 2 * log_shown - log_more - log_fall - log_t
            log_p += log_lost + log_not_y + log_phi + log_other
            log_p += log(slope_k * slope_y) + log(slope_s * slope)
            # g ~ Beta(a, b)
            log_g = log_y + log_k + log_not_s
            log_p += v[FLOOR_A + i] * log_g + (v[FLOOR_B + i] - 1) * log_not_g - v[FLOOR_NORM + i]
            # log beta ~ N(mu_beta, sigma_beta)
            over_s = v[OVER_S_BETA + i]
            d = (log_fall - log(v[WAY + i]) - v[MU_BETA + i]) * over_s
            log_p -= 0.5 * d * d
            v[BY_LOG_BETA + i] = -d * over_s
            v[S_BETA + i] = d
            # eta ~ N(mu_eta, sigma_eta)
            over_s = v[OVER_S_ETA + i]
            d = (eta - v[MU_ETA + i]) * over_s
            log_p -= 0.5 * d * d
            v[BY_ETA + i] = -d * over_s
            v[S_ETA + i] = d
            s_gamma = v[MEAN_GAMMA + i]
            # gamma: exponential of mean sigma_gamma; of a share `capped` of the clusters, s_capped
            few = (1 - capped) / s_gamma * exp(-gamma / s_gamma)
            many = capped / s_capped * exp(-gamma / s_capped)
            log_p += log(few + many)
            few = few / (few + many)
            v[BY_GAMMA + i] = -few / s_gamma - (1 - few) / s_capped
            v[S_GAMMA + i] = few * (gamma / s_gamma - 1)
            v[ETA + i], v[BETA + i], v[GAMMA + i] = eta, fall / v[WAY + i], gamma
            v[G + i], v[LOSS + i], v[AWAY + i] = g, loss, away
            v[SHOWN + i], v[MORE + i], v[OVER_NU + i] = shown, more, over_nu
            v[LOG_P + i] = log_p


@numba.njit(**FAST)
def _cells(blocks):
    """At one ladder model, DX decades from x_b: f's derivative S, the residual R, the weight W of
    every cluster."""
    for j in range(len(blocks)):
        v = blocks[j]
        for i in range(LANES):
            F = exp(min(v[ETA + i] - v[BETA + i] * v[DX + i], _LARGEST_LOG_LOSS))
            D = 1 + v[NU + i] * F
            t = log(D) * v[OVER_NU + i]
            e = exp(-t - v[GAMMA + i])
            rise = (1 - v[G + i]) * e
            y = min(max(v[G + i] + rise, EDGE), 1 - EDGE)
            seen = v[NOISE + i] >= 0
            variance = v[NOISE + i] + v[TAU2 + i] if seen else 1.0
            spread = math.sqrt(y * (1 - y))
            over = 1 / (D * variance * spread)  # one division for three
            u = F * variance * spread * over
            w = D * spread * over if seen else 0.0
            q = 0.5 * D * variance * over
            r = v[Z + i] - asin_sqrt(y)
            f = rise * u * v[BETA + i] * q
            v[VARIANCE + i] *= variance
            v[R + i], v[W + i] = r, w
            v[WR + i], v[WRR + i] = r * w, r * r * w
            v[WS + i], v[WSS + i], v[WSR + i] = f * w, f * f * w, f * r * w
            v[E + i], v[Y + i], v[Q + i], v[T + i], v[U + i] = e, y, q, t, u


@numba.njit(**FAST)
def _log_variance(blocks):
    """Sum of the logarithms of all variances since the last such sum."""
    total = 0.0
    for j in range(len(blocks)):
        v = blocks[j]
        for i in range(LANES):
            v[WR + i] = log(v[VARIANCE + i])
            v[VARIANCE + i] = 1.0
        for i in range(LANES):
            total += v[WR + i]
    return total


@numba.njit(**FAST)
def _cells_back(blocks):
    """From the derivatives by the benchmarks' sums to those by curves."""
    for j in range(len(blocks)):
        v = blocks[j]
        for i in range(LANES):
            r, w, y, q, u = v[R + i], v[W + i], v[Y + i], v[Q + i], v[U + i]
            nu, beta, rise = v[NU + i], v[BETA + i], (1 - v[G + i]) * v[E + i]
            t_h, t_a, t_c = v[T_H + i], v[T_A + i], v[T_C + i]
            t_sf, t_sfr = v[T_SF + i], v[T_SFR + i]
            s = rise * u * beta * q
            t_s = w * (2 * s * t_c + t_sf + r * t_sfr)
            t_r = w * (s * t_sfr + t_h + 2 * r)
            t_w = s * (s * t_c + t_sf + r * t_sfr) + t_a + r * (t_h + r)
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
            kept, lost, log_k, log_lost, slope_k = _share(v[PROBIT_K + i])
            y, not_y, _, _, slope_y = _share(v[PROBIT_Y + i])
            s, not_s, log_s, _, slope_s = _share(v[PROBIT_S + i])
            phi, other, _, _, slope = _share(v[PROBIT_PHI + i])
            nu, g, loss = v[NU + i], v[G + i], v[LOSS + i]
            rest = other * loss
            below = rest + v[AWAY + i]
            # nu / (exp(nu R) - 1), and by log nu what eta and log u have of it
            shown, more = v[SHOWN + i], v[MORE + i]
            shown_below = shown + more
            over, over_below = 1 / shown - nu, 1 / shown_below - nu
            shift = over * rest - 1 if nu * rest > 1e-5 else -0.5 * nu * rest
            shift_below = over_below * below - 1 if nu * below > 1e-5 else -0.5 * nu * below
            beta = v[BETA + i]
            by_log_beta = v[BY_LOG_BETA + i] + v[BY_BETA + i] * beta
            v[BY_LOG_WAY + i] = -by_log_beta
            by_fall = (by_log_beta - 1) / (beta * v[WAY + i])
            by_eta = v[BY_ETA + i] - by_fall
            v[BY_NU + i] += by_eta * (nu * rest + shift) - shift
            v[BY_NU + i] += by_fall * (nu * below + shift_below) - shift_below
            by_away = by_fall / shown_below - over_below
            # by_eta / shown - over + by_away, without the difference of what nearly cancels
            by_rest = (v[BY_ETA + i] - by_fall * more / shown_below) / shown - over - over_below
            by_loss = other * by_rest + phi * v[BY_GAMMA + i] + 1 / loss
            by_phi = loss * (v[BY_GAMMA + i] - by_rest)
            a, b = v[FLOOR_A + i], v[FLOOR_B + i] - 1
            by_log_g = a + g * v[BY_G + i] - (b + by_loss) * g / (1 - g)
            # lost and kept s as shares of t
            gap = log_lost - log_k - log_s
            smaller = exp(-abs(gap))
            less, most = smaller / (1 + smaller), 1 / (1 + smaller)
            of_lost, of_s = (most, less) if gap > 0 else (less, most)
            by_k = lost * (by_log_g - by_away)
            by_k -= kept * (1 + not_s * of_lost * (by_away - by_loss - 1))
            by_y = not_y * (by_log_g - by_loss) - y
            by_s = -s * by_log_g - not_s * (of_lost * by_away + of_s * (by_loss + 1))
            v[BY_PROBIT_K + i] = slope_k * by_k + 6 * PROBIT[1] * v[PROBIT_K + i] / slope_k
            v[BY_PROBIT_Y + i] = slope_y * by_y + 6 * PROBIT[1] * v[PROBIT_Y + i] / slope_y
            v[BY_PROBIT_S + i] = slope_s * by_s + 6 * PROBIT[1] * v[PROBIT_S + i] / slope_s
            by_phi = slope * (phi * other * by_phi + other - phi)
            v[BY_PROBIT_PHI + i] = by_phi + 6 * PROBIT[1] * v[PROBIT_PHI + i] / slope


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
def log_density(theta, grad, sloped, x, top, first, start, lean, cells, fixed, prior, constants):
    """The log density at theta; grad is its gradient if `sloped`, else spoilt."""
    B, M, K, J = len(top), len(x), first[-1], len(fixed)
    i_raw = N_GLOBAL
    i_eta = i_raw + M
    i_beta, i_s_eta, i_s_beta, i_gamma = i_eta + B, i_eta + 2 * B, i_eta + 3 * B, i_eta + 4 * B
    i_delta, i_tau, i_spread, i_nu = i_eta + 5 * B, i_eta + 6 * B, i_eta + 7 * B, i_eta + 8 * B
    i_lead = i_eta + 9 * B
    i_curve = i_lead + B
    several, capped, s_capped, measured = constants
    grad[:] = 0.0
    total = 0.0

    # Scales and locations: normal on these coordinates (log-normal scales).
    for i in range(N_GLOBAL + N_SCALES * B):
        j = i if i < N_GLOBAL else N_GLOBAL + (i - N_GLOBAL) // B
        at = i if i < N_GLOBAL else i + M
        d = (theta[at] - prior[j, 0]) / prior[j, 1]
        total -= 0.5 * d * d + math.log(prior[j, 1]) + 0.5 * _LOG_2PI
        grad[at] -= d / prior[j, 1]
    for i in range(M + B):
        at = i_raw + i if i < M else i_lead + i - M
        total -= 0.5 * theta[at] * theta[at] + 0.5 * _LOG_2PI
        grad[at] -= theta[at]

    s_model, s_deltas = math.exp(theta[1]), np.exp(theta[i_delta : i_delta + B])
    blocks = np.empty((J, _END))
    blocks[:, :FLOOR_A] = 0.0
    blocks[:, FLOOR_A:OVER_NU] = fixed
    blocks[:, BY_NU:LOG_P] = 0.0
    blocks[:, VARIANCE:Z] = 1.0
    blocks[:, DX:_END] = 0.0
    blocks[:, MEAN_GAMMA:T_H] = 1.0
    dx, by_dx = np.zeros((2, B, M))  # decades from x_b, shocks and all
    for b in range(B):
        trend = 0.0
        for m in range(top[b]):
            shift = several * s_model * (theta[i_raw + m] - theta[i_raw + top[b]])
            shift -= s_deltas[b] * theta[i_lead + b]
            dx[b, m] = x[m] - x[top[b]] + shift
            trend += lean[b, m] * shift
        nu, stretched = math.exp(theta[i_nu + b]), math.exp(trend)
        size = first[b + 1] - first[b]
        _fill(blocks, MU_ETA, start[b], size, theta[i_eta + b])
        _fill(blocks, MU_BETA, start[b], size, theta[i_beta + b])
        _fill(blocks, OVER_S_ETA, start[b], size, math.exp(-theta[i_s_eta + b]))
        _fill(blocks, OVER_S_BETA, start[b], size, math.exp(-theta[i_s_beta + b]))
        _fill(blocks, MEAN_GAMMA, start[b], size, math.exp(theta[i_gamma + b]))
        _fill(blocks, TAU2, start[b], size, math.exp(2 * theta[i_tau + b]))
        for k in range(size):
            j, i = (start[b] + k) // LANES, (start[b] + k) % LANES
            blocks[j, NU + i] *= nu
            blocks[j, WAY + i] *= stretched
            for row in range(4):
                blocks[j, row * LANES + i] = theta[i_curve + row * K + first[b] + k]

    _curves(blocks, capped, s_capped)
    total -= (K + 0.5 * measured) * _LOG_2PI
    for b in range(B):
        at, size = start[b], first[b + 1] - first[b]
        total -= size * (theta[i_s_eta + b] + theta[i_s_beta + b])
        by_mu, squares = _moments(blocks, S_ETA, at, size)
        grad[i_eta + b] += by_mu * math.exp(-theta[i_s_eta + b])
        grad[i_s_eta + b] += squares - size
        by_mu, squares = _moments(blocks, S_BETA, at, size)
        grad[i_beta + b] += by_mu * math.exp(-theta[i_s_beta + b])
        grad[i_s_beta + b] += squares - size
        total += _sum(blocks, LOG_P, at, size)
        grad[i_gamma + b] += _sum(blocks, S_GAMMA, at, size)

    lanes, six, one = np.empty((_SUMS, LANES)), np.empty(_SUMS), np.empty(1)
    kept = np.empty((M, J, WR - E))
    # Of every model: the sums over clusters, a and h of its omega, and derivatives.
    c, sf, sfr, a, h, t_a, t_h = np.zeros((7, B, M))
    for m in range(M):
        for j in range(J):
            for i in range(2 * LANES):
                blocks[j, Z + i] = cells[m, j, i]
        for b in range(B):
            _fill(blocks, DX, start[b], first[b + 1] - first[b], dx[b, m])
        _cells(blocks)
        for b in range(B):
            if m > top[b]:
                continue
            _sums(blocks, W, start[b], first[b + 1] - first[b], lanes, six)
            sum_0, sum_r, sum_rr, sum_f, sum_ff, sum_fr = six
            s_var = 1 / (s_deltas[b] * s_deltas[b])
            if m == top[b]:  # its shocks are in the curves and in the lead
                sum_ff, sum_f, sum_fr = 0.0 * six[:3]
            sf[b, m], sfr[b, m], c[b, m] = sum_f, sum_fr, sum_ff + s_var
            a[b, m] = sum_0 - sum_f * sum_f / c[b, m]
            h[b, m] = sum_r - sum_f * sum_fr / c[b, m]
            total -= 0.5 * (sum_rr - sum_fr * sum_fr / c[b, m] + math.log(c[b, m] / s_var))
        _copy(blocks, E, kept[m], 0)
        if m % _FEW == _FEW - 1 or m == M - 1:
            total -= 0.5 * _log_variance(blocks)

    for b in range(B):
        sigma2 = math.exp(2 * (theta[0] + theta[i_spread + b]))
        value, by_log_sigma = _walk(sigma2, x, top[b], a[b], h[b], t_a[b], t_h[b])
        total += value
        grad[0] += by_log_sigma
        grad[i_spread + b] += by_log_sigma
    if not sloped:
        return total

    # t_v: derivative of minus twice the log likelihood by v
    for m in range(M):
        _copy(kept[m], 0, blocks, E)
        for b in range(B):
            at, size = start[b], first[b + 1] - first[b]
            t_c = t_f = t_fr = 0.0
            if m <= top[b]:
                f, fr, by_a, by_h, over = sf[b, m], sfr[b, m], t_a[b, m], t_h[b, m], 1 / c[b, m]
                t_c = (fr * fr + by_a * f * f + by_h * f * fr) * over * over + over
                grad[i_delta + b] -= 1 - t_c / (s_deltas[b] * s_deltas[b])
                if m == top[b]:
                    t_c = 0.0
                t_f, t_fr = -(2 * by_a * f + by_h * fr) * over, -(2 * fr + by_h * f) * over
            _fill(blocks, DX, at, size, dx[b, m])
            _fill(blocks, T_H, at, size, t_h[b, m])
            _fill(blocks, T_A, at, size, t_a[b, m])
            _fill(blocks, T_C, at, size, t_c)
            _fill(blocks, T_SF, at, size, t_f)
            _fill(blocks, T_SFR, at, size, t_fr)
        _cells_back(blocks)
        for b in range(B):
            _sums(blocks, BY_DX, start[b], first[b + 1] - first[b], lanes, one)
            by_dx[b, m] = one[0]

    _curves_back(blocks)
    for b in range(B):
        at, size = start[b], first[b + 1] - first[b]
        grad[i_tau + b] += 2 * _sum(blocks, BY_TAU2, at, size) * math.exp(2 * theta[i_tau + b])
        grad[i_nu + b] += _sum(blocks, BY_NU, at, size)
        by_trend = _sum(blocks, BY_LOG_WAY, at, size)
        for m in range(top[b]):
            by = by_dx[b, m] + lean[b, m] * by_trend
            grad[i_lead + b] -= by * s_deltas[b]
            grad[i_delta + b] -= by * s_deltas[b] * theta[i_lead + b]
            by *= several * s_model
            grad[i_raw + m] += by
            grad[i_raw + top[b]] -= by
            grad[1] += by * (theta[i_raw + m] - theta[i_raw + top[b]])
        for row in range(4):
            for k in range(size):
                j, i = (at + k) // LANES, (at + k) % LANES
                grad[i_curve + row * K + first[b] + k] = blocks[j, BY_PROBIT_K + row * LANES + i]
    return total


_DOUBLES = types.CPointer(types.double)


@numba.cfunc(types.int64(types.uint64, _DOUBLES, _DOUBLES, _DOUBLES, _DOUBLES), cache=True)
def log_density_c(size, phi, gradient, value, packed):
    """The density with C's calling convention, on a preconditioner's coordinates; 0, or 3 where it
    is not finite. packed: `Density.packed`, then `Preconditioner.packed`."""
    head = numba.carray(packed, (4,))
    M, own = int(head[1]), int(head[3])
    G = N_GLOBAL + M
    evidence = unpack_evidence(numba.carray(packed, (own,)))
    first = evidence[2]
    change = unpack_preconditioner(
        numba.carray(packed, (own + preconditioner_size(G, first),))[own:], G, first
    )
    theta, by_theta, by_phi = np.empty(size), np.empty(size), numba.carray(gradient, (size,))
    theta_of_phi(numba.carray(phi, (size,)), theta, G, *change)
    log_p = log_density(theta, by_theta, True, *evidence)
    gradient_by_phi(by_theta, by_phi, G, *change)
    numba.carray(value, (1,))[0] = log_p
    return 0 if np.isfinite(log_p) and np.isfinite(by_phi).all() else 3


@numba.cfunc(types.int64(types.uint64, types.uint64, _DOUBLES, _DOUBLES, _DOUBLES), cache=True)
def copy_c(size, _, theta, out, packed):
    """What a draw is stored as: its coordinates, unchanged."""
    numba.carray(out, (size,))[:] = numba.carray(theta, (size,))
    return 0


@numba.njit(cache=True, nogil=True)
def sweep(theta, new, log_q, log_q_new, log_u, places, packed):
    """One chain. theta (draw, size) of one benchmark, changed in place; new (draw, cluster, offer,
    4); log q (draw, cluster) of the draws and (draw, cluster, offer); places (cluster, 4) in theta.
    """
    evidence = unpack_evidence(packed)
    draws, clusters, offers = log_q_new.shape
    gradient, old = np.empty(theta.shape[1]), np.empty(places.shape[1])
    for i in range(draws):
        here = theta[i]
        now = log_density(here, gradient, False, *evidence)
        for j in range(clusters):
            before = log_q[i, j]
            for o in range(offers):
                for r in range(len(old)):
                    old[r] = here[places[j, r]]
                    here[places[j, r]] = new[i, j, o, r]
                then = log_density(here, gradient, False, *evidence)
                if log_u[i, j, o] < then - now + before - log_q_new[i, j, o]:
                    now, before = then, log_q_new[i, j, o]
                else:
                    for r in range(len(old)):
                        here[places[j, r]] = old[r]
