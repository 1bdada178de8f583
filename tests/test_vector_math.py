"""The vectorised functions against NumPy's, over all that they are called with."""

import numba
import numpy as np
import pytest

from cod_bayes.sampling.kernels import FAST, asin_sqrt, exp, log, log1p


@numba.njit(**FAST | {"cache": False})
def each(function, values, out):
    for i in range(len(values)):
        out[i] = function(values[i])


def of(function, values):
    out = np.empty_like(values)
    each(function, values, out)
    return out


def test_exp():
    v = np.concatenate([np.linspace(-700, 700, 40_001), [0.0, -0.0, 1e-300]])
    np.testing.assert_allclose(of(exp, v), np.exp(v), rtol=1e-15)


def test_exp_stays_finite_beyond_its_range():
    assert (of(exp, np.array([-1e6, 1e6])) == of(exp, np.array([-700.0, 700.0]))).all()


def test_log():
    v = np.concatenate([10.0 ** np.linspace(-300, 300, 40_001), 1 + np.linspace(-0.3, 0.5, 999)])
    np.testing.assert_allclose(of(log, v), np.log(v), rtol=1e-14, atol=1e-16)


def test_log1p():
    v = np.concatenate([10.0 ** np.linspace(-300, 300, 40_001), [0.0]])
    np.testing.assert_allclose(of(log1p, v), np.log1p(v), rtol=1e-14)


@pytest.mark.parametrize("values", [np.linspace(0, 1, 40_001), 10.0 ** np.linspace(-12, 0, 999)])
def test_asin_sqrt(values):
    np.testing.assert_allclose(of(asin_sqrt, values), np.arcsin(np.sqrt(values)), atol=5e-15)
