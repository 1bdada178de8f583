"""Gradients by `gradient_of` against derivatives by finite differences."""

import numba
import numpy as np
import pytest
from seeds import seed

from cod_bayes.sampling import kernels
from cod_bayes.sampling.kernels import DERIVATIVES, FAST, gradient_of

SYMBOLS = {"+": "{} + {}", "-": "{} - {}", "*": "{} * {}", "/": "{} / {}"}
ARGUMENTS = {  # within the domain of each operation
    "asin_sqrt": (0.2,),
    "log_sum": (0.4, -0.3),
    "within": (0.4, -2.0, 3.0),
    "sigmoid": (-0.7,),
} | dict.fromkeys(SYMBOLS, (0.7, 1.3))


@pytest.fixture(autouse=True)
def uncached(monkeypatch):
    """Numba's cache knows functions by name, and those of this file have the same name."""
    monkeypatch.setitem(FAST, "cache", False)


def compiled(source):
    names = vars(kernels).copy()
    exec(f"def function(x, y):\n    {source}", names)
    return numba.njit(**FAST)(names["function"])


def derivatives(function, place, values, step=1e-4):
    """Of all outputs by one argument: central differences of fourth order."""
    at = [np.array(values) + h * step * (np.arange(len(values)) == place) for h in (-2, -1, 1, 2)]
    a, b, c, d = (np.array(function(*v)) for v in at)
    return (8 * (c - b) - (d - a)) / (12 * step)


@pytest.mark.parametrize("operation", DERIVATIVES)
def test_each_operation_has_its_derivative(operation):
    values = ARGUMENTS.get(operation, (0.7,))
    x = ["x", "y"][: len(values)]
    form = SYMBOLS.get(operation, f"{operation}({', '.join(['{}'] * len(x))})").format(*x)
    if operation == "within":
        form = f"within(x, {values[1]}, {values[2]})"
    function = compiled(f"return (y * {form} * {form} + x,)")
    given = np.array([*values, 1.3])[:2]
    gradient = gradient_of(function)(*given, 3.0)
    expected = [3 * derivatives(function, i, given)[0] for i in (0, 1)]
    np.testing.assert_allclose(gradient, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("return x, x", lambda by, x, y: (by[0] + by[1], 0)),
        ("return 2 - x, y", lambda by, x, y: (-by[0], by[1])),
        ("return x * y, x * y + y", lambda by, x, y: (by.sum() * y, by.sum() * x + by[1])),
        ("return 1.0 * x, y / y", lambda by, x, y: (by[0], 0)),
    ],
)
def test_outputs_may_be_arguments_and_share_terms(source, expected):
    by = np.array([0.3, -2.0])
    gradient = gradient_of(compiled(source))(0.7, 1.3, *by)
    np.testing.assert_allclose(gradient, expected(by, 0.7, 1.3), atol=1e-15)


def test_kept_values_are_not_calculated_again():
    function = compiled("u = exp(x * y); return u * u + u, u")
    gradient = gradient_of(function, kept=("u",))
    plain = gradient_of(function)(0.7, 1.3, 2.0, 0.0)
    np.testing.assert_allclose(gradient(0.7, 1.3, np.exp(0.91), 2.0), plain, rtol=1e-14)
    assert "exp(" not in gradient.py_func.__doc__


@pytest.mark.parametrize("source", ["return (abs(x),)", "return (x if x > y else y,)"])
def test_other_operations_are_refused(source):
    with pytest.raises(TypeError):
        gradient_of(compiled(source))


RNG = np.random.default_rng(seed(0))
POINTS = {
    "_curve": lambda: [
        *RNG.normal(0, 1.5, 4), *RNG.uniform(0.3, 2, 2), *RNG.normal(0, 0.5, 5),
        1.2, 15.0, 0.3, 0.1, 0.5,
    ],
    "_cell": lambda: [*RNG.uniform(0.1, 1.5, 3), 0.2, 0.7, RNG.uniform(-3, 0), 0.8, 40.0],
    "_shock": lambda: [*RNG.uniform(0.1, 3, 6), RNG.normal(-2, 1)],
    "_walk_step": lambda: list(RNG.uniform(0.1, 3, 4)),
}  # fmt: skip
N_KEPT = {"_cell": 4}


@pytest.mark.parametrize("name", POINTS)
def test_the_parts_of_the_density_have_the_gradient_of_differences(name):
    part, gradient = getattr(kernels, name), getattr(kernels, f"{name}_back")
    for _ in range(20):
        x = POINTS[name]()
        n = len(part(*x)) - N_KEPT.get(name, 0)
        by_outputs = RNG.normal(size=n)
        expected = [derivatives(part, i, x, 1e-3)[:n] @ by_outputs for i in range(len(x))]
        got = gradient(*x, *part(*x)[n:], *by_outputs)
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())
