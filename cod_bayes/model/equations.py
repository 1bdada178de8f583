"""The curve of a cluster of items, and the scale on which its pass rates are compared.

    L(a) = exp(eta - beta a)                                          answer loss,  a = x - x_b
    y(a) = g + (1 - g) exp(-gamma) (1 + nu L(a))^(-1 / nu)            accuracy

x is log10 compute in FLOPs, x_b that of the benchmark's largest ladder model, and a the distance
between them in decades. One item's accuracy is g + (1 - g) exp(-loss) (COD 4.2, Theorem 1). The
items of a cluster differ: an item's loss is gamma + G L with G of a gamma distribution of mean 1
and variance nu over the items, and y is the mean over them. (Theorem 1 has this mean to second
order in the variance; here it is exact.) With nu = 0 all items are alike. A cluster that has hardly
emerged owes its few right answers to its easiest items; without nu it would look as if it rose
slowly and be forecast too low.

The functions use arithmetic and NumPy's ufuncs alone, so they take NumPy arrays, xarray's, and
PyTensor's variables.
"""

from __future__ import annotations

from typing import Any

import numpy as np

EDGE = 1e-9  # accuracies are kept this far from 0 and 1 on the arcsine-root scale


def accuracy(ahead: Any, eta: Any, beta: Any, gamma: Any, g: Any, nu: Any) -> Any:
    """y(a); ahead: a in decades. log(1 + nu L) is computed as softplus(log nu + eta - beta a),
    which does not overflow."""
    scaling = softplus(np.log(nu) + eta - beta * ahead) / nu
    return g + (1 - g) * np.exp(-scaling - gamma)


def accuracy_slope(ahead: Any, eta: Any, beta: Any, gamma: Any, g: Any, nu: Any) -> Any:
    """dy / da = (1 - g) exp(-gamma) (1 + nu L)^(-1 / nu - 1) beta L, per decade."""
    log_odds = np.log(nu) + eta - beta * ahead
    log_rise = -softplus(log_odds) / nu - gamma - softplus(-log_odds)
    return (1 - g) * np.exp(log_rise) * beta / nu


def softplus(v: Any) -> Any:
    """log(1 + exp(v)), whatever v."""
    return (v + abs(v)) / 2 + np.log1p(np.exp(-abs(v)))


def radians(rate: np.ndarray) -> np.ndarray:
    """arcsin sqrt of rates, radians."""
    return np.arcsin(np.sqrt(np.clip(rate, 0, 1)))


def rate_of(z: np.ndarray) -> np.ndarray:
    """sin^2 of radians, which are first clipped to [0, pi / 2]: the inverse of `radians`."""
    return np.sin(np.clip(z, 0, np.pi / 2)) ** 2


def arcsine(rate: np.ndarray, trials: np.ndarray) -> np.ndarray:
    """arcsin sqrt of pass rates of counted trials, radians.

    Anscombe's correction, (rate n + 3/8) / (n + 3/4), keeps zero counts off the edge. Rates whose
    trials are not counted (NaN or inf) are taken as they are.
    """
    known = np.isfinite(trials)
    n = np.where(known, trials, 1.0)
    return np.arcsin(np.sqrt(np.where(known, (rate * n + 0.375) / (n + 0.75), rate)))


def floor_prior(chance: np.ndarray, pseudo_items: float) -> tuple[np.ndarray, np.ndarray]:
    """Beta parameters of g: around the chance level, or Beta(1, 4) where it is unknown."""
    known = np.isfinite(chance)
    c = np.where(known, chance, 0.0)
    a = np.where(known, 1 + pseudo_items * c, 1.0)
    # Nothing can be guessed at a chance level of 0, so the floor is held more tightly.
    b = np.where(known, np.where(c > 0, 1 + pseudo_items * (1 - c), 10 * pseudo_items), 4.0)
    return a, b
