"""exp, log, log(1 + v) and arcsine root in arithmetic alone: a compiler then runs a loop of them
several numbers at a time, which calls of the C library forbid. Errors stay below 2e-14, absolute,
of `asin_sqrt`, and below 1e-15, relative, of the others.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from cod_bayes.compiled import FAST

_LOG2_E, _LN2 = 1 / math.log(2), math.log(2)
_LN2_HIGH = float.fromhex("0x1.62e42feep-1")  # few bits: its multiples are exact
_LN2_LOW = 1.9082149292705877e-10
_ROOT_HALF = np.array(math.sqrt(0.5)).view(np.int64).item()


def _halves(coefficients: list[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of a polynomial, lowest power first: its even and its odd powers', highest first."""
    return tuple(coefficients[::2][::-1]), tuple(coefficients[1::2][::-1])


_EXP = _halves([1 / math.factorial(k) for k in range(14)])
_LOG = _halves([2 / (2 * k + 1) for k in range(12)])
# asin(sqrt v) / sqrt v on [0, 1/2], as a polynomial of 4 v - 1 through its Chebyshev points.
_POINTS = np.cos(np.pi * (np.arange(21) + 0.5) / 21)
_FITTED = np.polynomial.chebyshev.chebfit(
    _POINTS, np.arcsin(np.sqrt((1 + _POINTS) / 4)) / np.sqrt((1 + _POINTS) / 4), 20
)
_ASIN = np.polynomial.chebyshev.cheb2poly(_FITTED).tolist()
_EVEN, _ODD = _halves(_ASIN[::2]), _halves(_ASIN[1::2])


@numba.njit(forceinline=True, **FAST)
def _sum(v, coefficients):
    total = coefficients[0]
    for k in range(1, len(coefficients)):
        total = total * v + coefficients[k]
    return total


@numba.njit(forceinline=True, **FAST)
def _polynomial(v, halves):
    """Two sums side by side: each waits for its own last step only."""
    return _sum(v * v, halves[0]) + v * _sum(v * v, halves[1])


@numba.njit(forceinline=True, **FAST)
def exp(v):
    """Of v within [-700, 700]; beyond, as at the end."""
    v = min(max(v, -700.0), 700.0)
    n = np.floor(v * _LOG2_E + 0.5)
    r = (v - n * _LN2_HIGH) - n * _LN2_LOW
    return _polynomial(r, _EXP) * np.int64((np.int64(n) + 1023) << 52).view(np.float64)


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
    angle = math.sqrt(small) * (_polynomial(t * t, _EVEN) + t * _polynomial(t * t, _ODD))
    return angle if v < 0.5 else 0.5 * math.pi - angle
