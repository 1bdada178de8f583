"""The loops that Numba compiles: the fast density, its gradient, and what the sampler does with it.

The density is stated once, by functions of numbers:

    `_curve`      a cluster's prior: coordinates to a curve, and the log prior with its Jacobian
    `_cell`       a cluster at one model: its terms in the sums over a benchmark's clusters
    `_shock`      a benchmark at one model: its shock delta_bm, integrated out of those sums
    `_walk_step`  a benchmark at one model: a Kalman filter's step along the random walk omega

`gradient_of` derives the gradients of these four by reverse mode when this file is imported. The
rest of the gradient is linear and written by hand: sums over clusters, the chain from shocks and
trends to decades, and the derivatives of exp for scales.

All compiled functions stand in one file because Numba's cache knows a function by its file: a
change anywhere here compiles all of them again, and nothing stale can be called.
"""

from __future__ import annotations

import math
from types import FunctionType, SimpleNamespace
from typing import Any

import numba
import numpy as np
from numba import types

from cod_bayes.model.equations import EDGE
from cod_bayes.model.variables import GLOBAL, SHARED
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
PER_BENCHMARK = ("mu_eta", *SHARED)
N_SCALES = len(PER_BENCHMARK)
N_BENCHMARK = N_SCALES + 1  # coordinates of a benchmark: these and its lead
N_GLOBAL = len(GLOBAL)
LANES = 8
HEAD = 9  # numbers before the arrays of `Density.packed`
SUITE = 4  # which of them says how many coordinates the benchmarks share by `root`
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


# Clusters stand in blocks of LANES. A block is one array, each of whose rows holds one number per
# cluster. Loops over a row have a fixed length, so that LLVM computes several clusters at once. A
# benchmark of LANES clusters or more has blocks of its own. Smaller benchmarks share blocks, and
# none is in two. Places without a cluster hold finite numbers and add nothing to any sum. BY_V is
# the derivative of the log density by V.
_ROWS = [LANES * row for row in range(58)]
# The cluster's coordinates.
PROBIT_KEPT, PROBIT_Y, PROBIT_S, PROBIT_PHI = _ROWS[:4]
BY_PROBIT_KEPT, BY_PROBIT_Y, BY_PROBIT_S, BY_PROBIT_PHI = _ROWS[4:8]
# `Density.packed` has these five, and what is added to MU_BETA; its DISTANCE lacks exp(t_b), its NU
# the benchmark's nu.
FLOOR_A, FLOOR_B, FLOOR_LOG_NORM = _ROWS[8:11]  # g ~ Beta(a, b)
DISTANCE, NU = _ROWS[11:13]  # v = v_k exp(t_b), decades; nu_k
# The benchmark's coordinates that are parameters of its clusters' priors, as in PER_BENCHMARK.
MU_ETA, MU_BETA, LOG_SIGMA_ETA, LOG_SIGMA_BETA, LOG_SIGMA_GAMMA = _ROWS[13:18]
BY_PRIOR = _ROWS[18]  # five rows, in the same order
_PRIOR_ROWS = 5
# The cluster's curve and log prior.
ETA, BETA, GAMMA, G, LOG_P = _ROWS[23:28]
BY_ETA, BY_BETA, BY_GAMMA, BY_G, BY_NU, BY_DISTANCE, BY_TAU2 = _ROWS[28:35]
# At one ladder model: the evidence, and what all clusters of a benchmark share.
Z, NOISE = _ROWS[35:37]  # radians; their variance, or -1 where nothing was measured
DX, TAU2 = _ROWS[37:39]  # decades from x_b, shocks included; variance of eps beside the noise
BY_DX = _ROWS[39]
VARIANCE = _ROWS[40]  # NOISE + TAU2, multiplied over at most _FACTORS models
# At one ladder model: what `_cell_back` takes from `_cell`. Rows LOSS to W are kept of every model.
LOSS, LOG_D, E, R = _ROWS[41:45]
# At one ladder model: what is summed over a benchmark's clusters, W = 1 / VARIANCE first.
W, WR, WRR, WF, WFF, WFR = _ROWS[45:51]
BY_W, BY_WR, BY_WRR, BY_WF, BY_WFF, BY_WFR = _ROWS[51:57]  # of the benchmark's sums
_END = _ROWS[57]
_SUMS = 6
_FACTORS = 16  # the product of so many variances is a normal number


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
    weights, i = p[i : i + B * M].reshape((B, M)), i + B * M
    root, i = p[i : i + B], i + B
    cells, i = p[i : i + M * J * 2 * LANES].reshape((M, J, 2 * LANES)), i + M * J * 2 * LANES
    fixed, i = p[i : i + J * 6 * LANES].reshape((J, 6 * LANES)), i + J * 6 * LANES
    prior = p[i : i + 2 * _PRIORS].reshape((_PRIORS, 2))
    return x, top, first, start, weights, root, cells, fixed, prior, p[SUITE:HEAD]


@numba.njit(**FAST)
def _copy_kept_rows(source, from_column, target, to_column):
    """Copies the rows LOSS to W of all blocks; the first of them are columns of both."""
    for j in range(len(target)):
        for i in range(WR - LOSS):
            target[j, to_column + i] = source[j, from_column + i]


@numba.njit(**FAST)
def _fill(blocks, row, start, size, value):
    """Sets a row to `value`, at one benchmark's places."""
    if size < LANES:
        for i in range(start % LANES, start % LANES + size):
            blocks[start // LANES, row + i] = value
    else:
        for j in range(start // LANES, (start + size - 1) // LANES + 1):
            for i in range(LANES):
                blocks[j, row + i] = value


@numba.njit(**FAST)
def _sum(blocks, row, start, size):
    """The sum of a row over one benchmark's clusters."""
    total = 0.0
    for k in range(start, start + size):
        total += blocks[k // LANES, row + k % LANES]
    return total


@numba.njit(**FAST)
def _sums(blocks, row, start, size, lanes, totals):
    """Writes the sums of len(totals) rows, from `row` on, over one benchmark's clusters. The rows
    must be 0 where a large benchmark's last block has no cluster."""
    if size < LANES:
        v = blocks[start // LANES]
        for r in range(len(totals)):
            totals[r] = 0.0
            for i in range(start % LANES, start % LANES + size):
                totals[r] += v[row + r * LANES + i]
        return
    lanes[:] = 0.0
    for j in range(start // LANES, (start + size - 1) // LANES + 1):
        for r in range(len(totals)):
            for i in range(LANES):
                lanes[r, i] += blocks[j, row + r * LANES + i]
    for r in range(len(totals)):
        totals[r] = 0.0
        for i in range(LANES):
            totals[r] += lanes[r, i]


# Functions of numbers, of which the density is made.


@numba.njit(forceinline=True, **FAST)
def one_minus_exp(v):
    """1 - exp(-v), of v that is not negative."""
    return v * (1 - 0.5 * v) if v < 1e-5 else 1 - exp(-v)


@numba.njit(forceinline=True, **FAST)
def logit_of(probit):
    """The logit of `cod_bayes.sampling.coordinates.share`."""
    return probit * (PROBIT[0] + PROBIT[1] * probit * probit)


@numba.njit(forceinline=True, **FAST)
def slope_of(probit):
    """The derivative of `logit_of`."""
    return PROBIT[0] + 3 * PROBIT[1] * probit * probit


@numba.njit(forceinline=True, **FAST)
def sigmoid(v):
    e = exp(-abs(v))
    return (1 if v > 0 else e) / (1 + e)


@numba.njit(forceinline=True, **FAST)
def log_sigmoid(v):
    return min(v, 0.0) - log(1 + exp(-abs(v)))


@numba.njit(forceinline=True, **FAST)
def log_sum(v, w):
    """log(exp v + exp w)."""
    return max(v, w) + log1p(exp(-abs(v - w)))


@numba.njit(forceinline=True, **FAST)
def within(v, low, high):
    """v, but at least low and at most high. Its derivative is taken to be 1 beyond them too."""
    return min(max(v, low), high)


# Reverse mode. `gradient_of` calls a function once with a `_Node` for each argument. Every
# operation on nodes makes a node. From the last node back to the first, `DERIVATIVES` adds the
# nodes of the derivatives. The nodes that the gradient needs are then written as the source of a
# function of numbers, which Numba compiles like the others. `gradient.py_func.__doc__` is that
# source.

# For v = operation(x, ...) and `by`, the derivative of a result by v: the derivatives by x, ...
DERIVATIVES: dict[str, Any] = {
    "+": lambda by, v, x, y: (by, by),
    "-": lambda by, v, x, y: (by, -by),
    "*": lambda by, v, x, y: (by * y, by * x),
    "/": lambda by, v, x, y: (by / y, -(by / y * v)),
    "exp": lambda by, v, x: (by * v,),
    "log": lambda by, v, x: (by / x,),
    "log1p": lambda by, v, x: (by / (1 + x),),
    "math.log": lambda by, v, x: (by / x,),
    "math.sqrt": lambda by, v, x: (0.5 * by / v,),
    "asin_sqrt": lambda by, v, x: (0.5 * by / _node("math.sqrt", x * (1 - x)),),
    "logit_of": lambda by, v, x: (by * _node("slope_of", x),),
    "slope_of": lambda by, v, x: (by * (6 * PROBIT[1] * x),),
    "sigmoid": lambda by, v, x: (by * (v * _node("sigmoid", -x)),),
    "log_sigmoid": lambda by, v, x: (by * _node("sigmoid", -x),),
    "log_sum": lambda by, v, x, y: (by * _node("sigmoid", x - y), by * _node("sigmoid", y - x)),
    "one_minus_exp": lambda by, v, x: (by * _node("exp", -x),),
    "within": lambda by, v, x, low, high: (by, 0, 0),
}
_nodes: dict[Any, _Node] = {}  # of the function that is traced, each after its arguments


class _Node:
    """A number in a traced function: its name in the source, and the operation that makes it."""

    def __init__(self, name, operation="", *arguments):
        self.name, self.operation, self.arguments = name, operation, arguments

    def __add__(self, other):
        return self if _is(other, 0) else _node("+", self, other)

    def __sub__(self, other):
        return self if _is(other, 0) else _node("-", self, other)

    def __mul__(self, other):
        if _is(other, 0):
            return 0
        return self if _is(other, 1) else _node("*", self, other)

    def __truediv__(self, other):
        return _node("/", self, other)

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other):
        return _node("-", other, self)

    def __rtruediv__(self, other):
        return _node("/", other, self)

    def __neg__(self):
        return self * -1

    @property
    def source(self):
        """The operation, as an expression."""
        names = [_name(v) for v in self.arguments]
        if len(self.operation) == 1:
            return f" {self.operation} ".join(names)
        return f"{self.operation}({', '.join(names)})"


def _is(v, number):
    return not isinstance(v, _Node) and v == number


def _name(v):
    return v.name if isinstance(v, _Node) else f"({float(v)!r})"


def _node(operation, *arguments):
    """The same node for the same operation on the same arguments."""
    key = (operation, *(v if isinstance(v, _Node) else float(v) for v in arguments))
    if key not in _nodes:
        _nodes[key] = _Node(f"v{len(_nodes)}", operation, *arguments)
    return _nodes[key]


def gradient_of(function, kept=()):
    """The gradient of a compiled function, as a compiled function.

    function: straight-line code of the operations in `DERIVATIVES`; returns a tuple.
    kept: names of its last outputs. The gradient takes their values instead of calculating them.

    Returns: a function of the arguments, the kept values, and the derivatives of a result by each
    of the other outputs. It returns the derivatives of that result by each argument.
    """
    name, code = f"{function.__name__}_back", function.py_func.__code__
    names = function.py_func.__globals__

    # The function, of nodes.
    traced: dict[str, Any] = {n: (lambda *v, n=n: _node(n, *v)) for n in DERIVATIVES}
    traced["math"] = SimpleNamespace(log=traced["math.log"], sqrt=traced["math.sqrt"])
    arguments = [_Node(argument) for argument in code.co_varnames[: code.co_argcount]]
    _nodes.clear()
    outputs = FunctionType(code, names | traced)(*arguments)

    # by[v] sums the derivatives by v over all operations that take v.
    n = len(outputs) - len(kept)
    by_outputs = [_Node(f"by_{i}") for i in range(n)]
    by: dict[_Node, Any] = {}
    for v, by_v in zip(outputs[:n], by_outputs, strict=True):
        by[v] = by_v + by.get(v, 0)
    for v in reversed(list(_nodes.values())):
        if v in by:
            by_arguments = DERIVATIVES[v.operation](by[v], v, *v.arguments)
            for x, by_x in zip(v.arguments, by_arguments, strict=True):
                if isinstance(x, _Node):
                    by[x] = by_x + by.get(x, 0)
    results = [by.get(v, 0) for v in arguments]

    # The source of what the results need.
    for v, parameter in zip(outputs[n:], kept, strict=True):
        v.name, v.operation, v.arguments = parameter, "", ()
    needed, lines = set(results), []
    for v in reversed(list(_nodes.values())):
        if v in needed and v.operation:
            needed.update(v.arguments)
            lines.append(f"    {v.name} = {v.source}")
    parameters = ", ".join([*map(_name, arguments), *kept, *map(_name, by_outputs)])
    lines.append(f"def {name}({parameters}):")
    source = "\n".join([*reversed(lines), f"    return ({', '.join(map(_name, results))},)"])
    made: dict[str, Any] = {}
    # Numba's cache knows a function by its file and name, so this file is given as its file.
    exec(compile(source, __file__, "exec"), names, made)
    made[name].__doc__ = source
    return numba.njit(forceinline=True, **FAST)(made[name])


# The density, and its gradient by `gradient_of`.


@numba.njit(forceinline=True, **FAST)
def _curve(
    probit_kept, probit_y, probit_s, probit_phi, nu, distance,
    mu_eta, mu_beta, log_sigma_eta, log_sigma_beta, log_sigma_gamma,
    floor_a, floor_b, floor_log_norm, capped, mean_capped,
):  # fmt: skip
    """A cluster's curve from its coordinates (`cod_bayes.sampling.coordinates`), and its log prior:

        eta ~ N(mu_eta, sigma_eta),    log beta ~ N(mu_beta, sigma_beta),    g ~ Beta(a, b)
        gamma ~ (1 - capped) Exponential(sigma_gamma) + capped Exponential(mean_capped)

    both exponentials by their means.

    Returns: the log prior with the Jacobian; eta, beta, gamma, g.
    """
    logit_kept, logit_y = logit_of(probit_kept), logit_of(probit_y)
    logit_s, logit_phi = logit_of(probit_s), logit_of(probit_phi)
    log_kept, log_lost = log_sigmoid(logit_kept), log_sigmoid(-logit_kept)
    log_y, log_not_y = log_sigmoid(logit_y), log_sigmoid(-logit_y)
    log_s, log_not_s = log_sigmoid(logit_s), log_sigmoid(-logit_s)
    g = sigmoid(logit_y) * sigmoid(logit_kept) * sigmoid(-logit_s)
    log_g, log_not_g = log_y + log_kept + log_not_s, log(1 - g)
    # t = lost + kept s, by logarithms: s of a flat cluster may be smaller than any number.
    log_t = log_sum(log_lost, log_kept + log_s)
    loss = within(log_not_g - log_y - log_t, 1e-15, 1e15)  # Lambda
    more_loss = log_sum(log_lost - (log_kept + log_s), 0.0)  # Lambda' - Lambda
    gamma, rest = sigmoid(logit_phi) * loss, sigmoid(-logit_phi) * loss
    u = one_minus_exp(nu * rest) / nu
    more_u = exp(-nu * rest) * one_minus_exp(nu * more_loss) / nu
    log_u, log_more = log(u), log1p(more_u / u)
    eta = nu * rest + log_u
    fall = nu * more_loss + log_more  # beta v
    log_p = log(loss) - 2 * log_u - log_more - log(fall) - log_t  # the Jacobian
    log_p += log_lost + log_kept + log_y + log_not_y + log_not_s  # s cancels
    log_p += log_sigmoid(logit_phi) + log_sigmoid(-logit_phi)
    log_p += log(slope_of(probit_kept) * slope_of(probit_y))
    log_p += log(slope_of(probit_s) * slope_of(probit_phi))
    log_p += (floor_a - 1) * log_g + (floor_b - 1) * log_not_g - floor_log_norm
    d = (eta - mu_eta) * exp(-log_sigma_eta)
    log_p -= 0.5 * d * d + log_sigma_eta + 0.5 * _LOG_2PI
    d = (log(fall) - log(distance) - mu_beta) * exp(-log_sigma_beta)
    log_p -= 0.5 * d * d + log_sigma_beta + 0.5 * _LOG_2PI
    rate = exp(-log_sigma_gamma)
    scaling = (1 - capped) * rate * exp(-gamma * rate)
    log_p += log(scaling + capped / mean_capped * exp(-gamma / mean_capped))
    return log_p, eta, fall / distance, gamma, g


_curve_back = gradient_of(_curve)


@numba.njit(forceinline=True, **FAST)
def _cell(eta, beta, gamma, g, nu, dx, z, w):
    """A cluster at one model: its terms w r, w r^2, w f, w f^2, w f r of a benchmark's sums, with

        r = z - arcsin sqrt y,    f = d arcsin sqrt y / d dx
        y = g + (1 - g) exp(-gamma) D^(-1 / nu),    D = 1 + nu exp(eta - beta dx)

    in radians and radians per decade. The last four outputs are loss, log D, e and r, for the
    gradient.
    """
    loss = exp(within(eta - beta * dx, -_LARGEST_LOG_LOSS, _LARGEST_LOG_LOSS))
    D = 1 + nu * loss
    log_D = log(D)
    e = exp(-(log_D / nu) - gamma)
    rise = (1 - g) * e
    y = within(g + rise, EDGE, 1 - EDGE)
    r = z - asin_sqrt(y)
    f = 0.5 * rise * (loss / D) * beta / math.sqrt(y * (1 - y))
    return r * w, r * r * w, f * w, f * f * w, f * r * w, loss, log_D, e, r


_cell_back = gradient_of(_cell, kept=("loss", "log_D", "e", "r"))


@numba.njit(forceinline=True, **FAST)
def _shock(w, wr, wrr, wf, wff, wfr, log_sigma):
    """The shock delta ~ N(0, sigma) of a benchmark at one model, integrated out of
    exp(-sum w (r - f delta - omega)^2 / 2); the arguments are the sums.

    Returns: the logarithm of the integral at omega = 0; a and h of its factor in omega,
    exp(h omega - a omega^2 / 2).
    """
    c = wff + exp(-2 * log_sigma)
    value = -0.5 * (wrr - wfr * wfr / c + math.log(c) + 2 * log_sigma)
    return value, w - wf * wf / c, wr - wf * wfr / c


_shock_back = gradient_of(_shock)


@numba.njit(forceinline=True, **FAST)
def _walk_step(mu, v, a, h):
    """omega ~ N(mu, v) before and N(mu', v') after a factor exp(h omega - a omega^2 / 2).

    Returns: the logarithm of the factor's expectation, mu', v'."""
    n = 1 + a * v
    value = -0.5 * (math.log(n) - (h * h * v + 2 * h * mu - a * mu * mu) / n)
    return value, (mu + v * h) / n, v / n


_walk_step_back = gradient_of(_walk_step)


# The same for all clusters and models.


@numba.njit(**FAST)
def _curves(blocks, capped, mean_capped):
    """Writes every cluster's curve and log prior."""
    for j in range(len(blocks)):
        v = blocks[j]
        for i in range(LANES):
            v[LOG_P + i], v[ETA + i], v[BETA + i], v[GAMMA + i], v[G + i] = _curve(
                v[PROBIT_KEPT + i], v[PROBIT_Y + i], v[PROBIT_S + i], v[PROBIT_PHI + i],
                v[NU + i], v[DISTANCE + i], v[MU_ETA + i], v[MU_BETA + i],
                v[LOG_SIGMA_ETA + i], v[LOG_SIGMA_BETA + i], v[LOG_SIGMA_GAMMA + i],
                v[FLOOR_A + i], v[FLOOR_B + i], v[FLOOR_LOG_NORM + i], capped, mean_capped,
            )  # fmt: skip


@numba.njit(**FAST)
def _curves_back(blocks, capped, mean_capped):
    """From the derivatives by curves to those by coordinates and by the priors' parameters."""
    for j in range(len(blocks)):
        v = blocks[j]
        for i in range(LANES):
            by = _curve_back(
                v[PROBIT_KEPT + i], v[PROBIT_Y + i], v[PROBIT_S + i], v[PROBIT_PHI + i],
                v[NU + i], v[DISTANCE + i], v[MU_ETA + i], v[MU_BETA + i],
                v[LOG_SIGMA_ETA + i], v[LOG_SIGMA_BETA + i], v[LOG_SIGMA_GAMMA + i],
                v[FLOOR_A + i], v[FLOOR_B + i], v[FLOOR_LOG_NORM + i], capped, mean_capped,
                1.0, v[BY_ETA + i], v[BY_BETA + i], v[BY_GAMMA + i], v[BY_G + i],
            )  # fmt: skip
            v[BY_PROBIT_KEPT + i], v[BY_PROBIT_Y + i] = by[0], by[1]
            v[BY_PROBIT_S + i], v[BY_PROBIT_PHI + i] = by[2], by[3]
            v[BY_NU + i] += by[4]
            v[BY_DISTANCE + i] = by[5]
            v[BY_PRIOR + i], v[BY_PRIOR + LANES + i] = by[6], by[7]
            v[BY_PRIOR + 2 * LANES + i], v[BY_PRIOR + 3 * LANES + i] = by[8], by[9]
            v[BY_PRIOR + 4 * LANES + i] = by[10]


@numba.njit(**FAST)
def _cells(blocks):
    """Writes every cluster's terms at one ladder model, and multiplies VARIANCE."""
    for j in range(len(blocks)):
        v = blocks[j]
        for i in range(LANES):
            measured = v[NOISE + i] >= 0
            variance = v[NOISE + i] + v[TAU2 + i] if measured else 1.0
            w = 1 / variance if measured else 0.0
            wr, wrr, wf, wff, wfr, loss, log_D, e, r = _cell(
                v[ETA + i], v[BETA + i], v[GAMMA + i], v[G + i], v[NU + i], v[DX + i], v[Z + i], w
            )
            v[VARIANCE + i] *= variance
            v[W + i], v[WR + i], v[WRR + i] = w, wr, wrr
            v[WF + i], v[WFF + i], v[WFR + i] = wf, wff, wfr
            v[LOSS + i], v[LOG_D + i], v[E + i], v[R + i] = loss, log_D, e, r


@numba.njit(**FAST)
def _cells_back(blocks):
    """From the derivatives by the sums at one ladder model to those by curves, DX and TAU2."""
    for j in range(len(blocks)):
        v = blocks[j]
        for i in range(LANES):
            w = v[W + i]
            by = _cell_back(
                v[ETA + i], v[BETA + i], v[GAMMA + i], v[G + i], v[NU + i], v[DX + i], 0.0, w,
                v[LOSS + i], v[LOG_D + i], v[E + i], v[R + i],
                v[BY_WR + i], v[BY_WRR + i], v[BY_WF + i], v[BY_WFF + i], v[BY_WFR + i],
            )  # fmt: skip
            v[BY_ETA + i] += by[0]
            v[BY_BETA + i] += by[1]
            v[BY_GAMMA + i] += by[2]
            v[BY_G + i] += by[3]
            v[BY_NU + i] += by[4]
            v[BY_DX + i] = by[5]
            # w = 1 / variance, and -log(variance) / 2 of the normal
            v[BY_TAU2 + i] -= w * w * (v[BY_W + i] + by[7]) + 0.5 * w


@numba.njit(**FAST)
def _log_variance(blocks):
    """The sum of the logarithms of VARIANCE, which is then 1 again."""
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
def _walk(sigma2, x, top, a, h, by_a, by_h):
    """log E exp(sum_m h_m omega_m - a_m omega_m^2 / 2) over one benchmark's random walk omega, down
    from the largest model: a Kalman filter (Durbin and Koopman 2012, 4.3), and back through it.

    Returns: the value and its derivative by log sigma. Its derivatives by a and h are written to
    by_a and by_h, all (model,) with nothing above `top`.
    """
    mean, variance = np.zeros(top + 1), np.zeros(top + 1)  # of omega_m, given larger models
    value = mu = v = 0.0
    for m in range(top, -1, -1):
        if m < top:
            v += sigma2 * (x[m + 1] - x[m])
        mean[m], variance[m] = mu, v
        step, mu, v = _walk_step(mu, v, a[m], h[m])
        value += step
    by_mu = by_v = by_log_sigma = 0.0
    for m in range(top + 1):
        by_mu, by_v, by_a[m], by_h[m] = _walk_step_back(
            mean[m], variance[m], a[m], h[m], 1.0, by_mu, by_v
        )
        if m < top:
            by_log_sigma += 2 * by_v * sigma2 * (x[m + 1] - x[m])
    return value, by_log_sigma


@numba.njit(**FAST)
def log_density(
    theta, grad, with_gradient, x, top, first, start, weights, root, cells, fixed, prior, constants
):
    """The log density at theta. Its gradient is written to `grad` if `with_gradient`; otherwise
    `grad` holds nothing of use."""
    B, M, K, J = len(top), len(x), first[-1], len(fixed)
    i_raw = N_GLOBAL
    i_suite = i_raw + M
    suite = int(constants[0])
    i_prior = i_suite + suite
    i_delta = i_prior + _PRIOR_ROWS * B
    i_tau, i_spread, i_nu, i_lead = i_delta + B, i_delta + 2 * B, i_delta + 3 * B, i_delta + 4 * B
    i_curve = i_lead + B
    several, capped, mean_capped, measured = constants[1:]
    grad[:] = 0.0
    total = 0.0

    # Scales and locations: normal on these coordinates (log-normal scales).
    for i in range(N_GLOBAL):
        d = (theta[i] - prior[i, 0]) / prior[i, 1]
        total -= 0.5 * d * d + math.log(prior[i, 1]) + 0.5 * _LOG_2PI
        grad[i] -= d / prior[i, 1]
    for p in range(N_SCALES):
        mu, sigma = prior[N_GLOBAL + p, 0], prior[N_GLOBAL + p, 1]
        for b in range(B):
            at, by_suite, own = i_prior + p * B + b, 0.0, 1.0
            d = (theta[at] - mu) / sigma
            if p >= N_SCALES - suite:  # the last are shared
                by_suite, own = root[b], math.sqrt(1 - root[b] ** 2)
                u = i_suite + p - (N_SCALES - suite)
                d = (d - by_suite * theta[u]) / own
                grad[u] += d * by_suite / own
            total -= 0.5 * d * d + math.log(sigma * own) + 0.5 * _LOG_2PI
            grad[at] -= d / (sigma * own)
    for i in range(M + suite + B):
        at = i_raw + i if i < M + suite else i_lead + i - M - suite
        total -= 0.5 * theta[at] * theta[at] + 0.5 * _LOG_2PI
        grad[at] -= theta[at]

    s_model, s_deltas = math.exp(theta[1]), np.exp(theta[i_delta : i_delta + B])
    blocks = np.empty((J, _END))
    blocks[:, :] = 0.0
    blocks[:, FLOOR_A:MU_ETA] = fixed[:, : MU_ETA - FLOOR_A]
    blocks[:, VARIANCE:LOSS] = 1.0
    dx, by_dx = np.zeros((2, B, M))
    for b in range(B):
        trend = 0.0
        for m in range(top[b]):
            shift = several * s_model * (theta[i_raw + m] - theta[i_raw + top[b]])
            shift -= s_deltas[b] * theta[i_lead + b]
            dx[b, m] = x[m] - x[top[b]] + shift
            trend += weights[b, m] * shift
        nu, exp_trend = math.exp(theta[i_nu + b]), math.exp(trend)
        size = first[b + 1] - first[b]
        for p in range(_PRIOR_ROWS):
            _fill(blocks, MU_ETA + p * LANES, start[b], size, theta[i_prior + p * B + b])
        _fill(blocks, TAU2, start[b], size, math.exp(2 * theta[i_tau + b]))
        for k in range(size):
            j, i = (start[b] + k) // LANES, (start[b] + k) % LANES
            blocks[j, NU + i] *= nu
            blocks[j, DISTANCE + i] *= exp_trend
            blocks[j, MU_BETA + i] += fixed[j, MU_ETA - FLOOR_A + i]
            for p in range(PER_CLUSTER):
                blocks[j, PROBIT_KEPT + p * LANES + i] = theta[i_curve + p * K + first[b] + k]

    _curves(blocks, capped, mean_capped)
    total -= 0.5 * measured * _LOG_2PI
    for b in range(B):
        total += _sum(blocks, LOG_P, start[b], first[b + 1] - first[b])

    lanes, one = np.empty((_SUMS, LANES)), np.empty(1)
    kept = np.empty((M, J, WR - LOSS))
    sums = np.zeros((B, M, _SUMS))  # over the benchmark's clusters: W to WFR
    a, h, by_a, by_h = np.zeros((4, B, M))  # of omega
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
            _sums(blocks, W, start[b], first[b + 1] - first[b], lanes, sums[b, m])
            if m == top[b]:  # its shock is the lead, and its curve's coordinates include it
                sums[b, m, 3:] = 0.0
            w, wr, wrr, wf, wff, wfr = sums[b, m]
            value, a[b, m], h[b, m] = _shock(w, wr, wrr, wf, wff, wfr, theta[i_delta + b])
            total += value
        _copy_kept_rows(blocks, LOSS, kept[m], 0)
        if m % _FACTORS == _FACTORS - 1 or m == M - 1:
            total -= 0.5 * _log_variance(blocks)

    for b in range(B):
        sigma2 = math.exp(2 * (theta[0] + theta[i_spread + b]))
        value, by_log_sigma = _walk(sigma2, x, top[b], a[b], h[b], by_a[b], by_h[b])
        total += value
        grad[0] += by_log_sigma
        grad[i_spread + b] += by_log_sigma
    if not with_gradient:
        return total

    by_sums = np.empty(_SUMS)
    for m in range(M):
        _copy_kept_rows(kept[m], 0, blocks, LOSS)
        for b in range(B):
            size = first[b + 1] - first[b]
            by_sums[:] = 0.0
            if m <= top[b]:
                w, wr, wrr, wf, wff, wfr = sums[b, m]
                by = _shock_back(
                    w, wr, wrr, wf, wff, wfr, theta[i_delta + b], 1.0, by_a[b, m], by_h[b, m]
                )
                by_sums[0], by_sums[1], by_sums[2] = by[0], by[1], by[2]
                if m < top[b]:
                    by_sums[3], by_sums[4], by_sums[5] = by[3], by[4], by[5]
                grad[i_delta + b] += by[6]
            _fill(blocks, DX, start[b], size, dx[b, m])
            for r in range(_SUMS):
                _fill(blocks, BY_W + r * LANES, start[b], size, by_sums[r])
        _cells_back(blocks)
        for b in range(B):
            _sums(blocks, BY_DX, start[b], first[b + 1] - first[b], lanes, one)
            by_dx[b, m] = one[0]

    _curves_back(blocks, capped, mean_capped)
    for b in range(B):
        size = first[b + 1] - first[b]
        for p in range(_PRIOR_ROWS):
            grad[i_prior + p * B + b] += _sum(blocks, BY_PRIOR + p * LANES, start[b], size)
        tau2 = math.exp(2 * theta[i_tau + b])
        grad[i_tau + b] += 2 * tau2 * _sum(blocks, BY_TAU2, start[b], size)
        by_trend = 0.0
        for k in range(size):
            j, i = (start[b] + k) // LANES, (start[b] + k) % LANES
            grad[i_nu + b] += blocks[j, BY_NU + i] * blocks[j, NU + i]
            by_trend += blocks[j, BY_DISTANCE + i] * blocks[j, DISTANCE + i]
            for p in range(PER_CLUSTER):
                by = blocks[j, BY_PROBIT_KEPT + p * LANES + i]
                grad[i_curve + p * K + first[b] + k] = by
        for m in range(top[b]):
            by = by_dx[b, m] + weights[b, m] * by_trend
            grad[i_lead + b] -= by * s_deltas[b]
            grad[i_delta + b] -= by * s_deltas[b] * theta[i_lead + b]
            by *= several * s_model
            grad[i_raw + m] += by
            grad[i_raw + top[b]] -= by
            grad[1] += by * (theta[i_raw + m] - theta[i_raw + top[b]])
    return total


_DOUBLES = types.CPointer(types.double)


@numba.cfunc(types.int64(types.uint64, _DOUBLES, _DOUBLES, _DOUBLES, _DOUBLES), cache=True)
def log_density_c(size, phi, gradient, value, packed):
    """The density with C's calling convention, on a preconditioner's coordinates; 0, or 3 where it
    is not finite. packed: `Density.packed`, then `Preconditioner.packed`."""
    head = numba.carray(packed, (HEAD,))
    M, n = int(head[1]), int(head[3])
    G = N_GLOBAL + M + int(head[SUITE])
    evidence = unpack_evidence(numba.carray(packed, (n,)))
    first = evidence[2]
    both = numba.carray(packed, (n + preconditioner_size(G, first),))
    preconditioner = unpack_preconditioner(both[n:], G, first)
    theta, by_theta, by_phi = np.empty(size), np.empty(size), numba.carray(gradient, (size,))
    theta_of_phi(numba.carray(phi, (size,)), theta, G, *preconditioner)
    log_p = log_density(theta, by_theta, True, *evidence)
    gradient_by_phi(by_theta, by_phi, G, *preconditioner)
    numba.carray(value, (1,))[0] = log_p
    return 0 if np.isfinite(log_p) and np.isfinite(by_phi).all() else 3


@numba.cfunc(types.int64(types.uint64, types.uint64, _DOUBLES, _DOUBLES, _DOUBLES), cache=True)
def copy_c(size, _, theta, out, packed):
    """What a draw is stored as: its coordinates, unchanged."""
    numba.carray(out, (size,))[:] = numba.carray(theta, (size,))
    return 0


@numba.njit(cache=True, nogil=True)
def sweep(theta, proposals, log_q, log_q_new, log_u, places, packed):
    """Independence Metropolis steps of one chain (`cod_bayes.sampling.jumps`), one proposal after
    the other.

    theta: (draw, size) of one benchmark, changed in place. proposals: (draw, cluster, proposal, 4).
    log_q, log_q_new: log q of the draws, (draw, cluster), and of the proposals. log_u: logarithms
    of uniform numbers. places: (cluster, 4) of the clusters' coordinates in theta.
    """
    evidence = unpack_evidence(packed)
    draws, clusters, count = log_q_new.shape
    gradient, old = np.empty(theta.shape[1]), np.empty(places.shape[1])
    for i in range(draws):
        draw = theta[i]
        log_p = log_density(draw, gradient, False, *evidence)
        for j in range(clusters):
            log_q_old = log_q[i, j]
            for o in range(count):
                for r in range(len(old)):
                    old[r] = draw[places[j, r]]
                    draw[places[j, r]] = proposals[i, j, o, r]
                log_p_new = log_density(draw, gradient, False, *evidence)
                if log_u[i, j, o] < log_p_new - log_p + log_q_old - log_q_new[i, j, o]:
                    log_p, log_q_old = log_p_new, log_q_new[i, j, o]
                else:
                    for r in range(len(old)):
                        draw[places[j, r]] = old[r]
