"""Effective compute: the loss is the same, and nothing is better than optimal."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from cod_bayes.evidence.effective_compute import effective_compute

# Besiroglu et al. 2024, of N parameters and D tokens.
A, B, a, b = 482.01, 2085.43, 0.3478, 0.3658


def excess(params, tokens):
    return A / params**a + B / tokens**b


@pytest.mark.parametrize("compute", [1e18, 1e21, 1e25])
@pytest.mark.parametrize("tokens_per_parameter", [2, 20, 640])
def test_optimal_training_of_the_effective_compute_has_the_same_loss(compute, tokens_per_parameter):
    params = np.sqrt(compute / 6 / tokens_per_parameter)
    effective = float(effective_compute(params, tokens_per_parameter * params))
    assert effective <= compute
    best = minimize_scalar(
        lambda log_n: excess(np.exp(log_n), effective / 6 / np.exp(log_n)),
        bounds=(np.log(1e4), np.log(1e14)),
        method="bounded",
        options={"xatol": 1e-10},
    )
    assert best.fun == pytest.approx(excess(params, tokens_per_parameter * params), rel=1e-9)


def test_shapes_and_what_is_unknown():
    result = effective_compute([[1e9], [1e10]], [2e10, np.nan])
    assert result.shape == (2, 2)
    assert np.isnan(result).tolist() == [[False, True], [False, True]]


def test_a_number_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="params > 0"):
        effective_compute(0, 1e9)
