"""The coordinates in which the fast engine samples a cluster's curve.

They are what the data show whichever way a curve explains them. Of cluster k of benchmark b:

    y      accuracy at x_b, the largest ladder model
    kappa  the share of y that a model v decades smaller keeps
    s      the share of what is kept that lies above the floor
    phi    the irreducible share of the loss at x_b

each through a function that is nearly the normal's distribution function (`share`), so that the
coordinates themselves are unbounded and have lighter tails than logits. They give

    g = kappa y (1 - s)
    Lambda = log(1 - g) - log(y - g),    Lambda' = log(1 - g) - log(kappa y - g)
    gamma = phi Lambda,    eta = l(Lambda - gamma),    beta v = l(Lambda' - gamma) - eta
    l(R) = log((exp(nu_k R) - 1) / nu_k)       log answer loss, of the loss that compute takes away

v = v_k exp(t_b). v_k leads from x_b down to a small model (`second_model`). t_b is the trend of the
benchmark's shocks, the slope by which they rise with log compute (`trend_weights`): a trend of all
shocks then moves only the slopes' priors. With u(R) = (1 - exp(-nu_k R)) / nu_k and
t = 1 - kappa + kappa s, so that y - g = y t,

    |d(eta, gamma, log beta, g) / d(kappa, y, s, phi)|
        = Lambda / (u(Lambda - gamma) u(Lambda' - gamma) beta v t s)

Coordinates at x_b alone (accuracy, floor, phi and slope) do not serve: a flat cluster's floor and
slope are pinned by one explanation of its data and free in another, and the sampler's steps must be
as small as the tightest asks.

The functions take NumPy arrays or PyTensor's variables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cod_bayes.model.equations import softplus
from cod_bayes.model.ladder import LadderData

PROBIT = (1.5976, 0.070566)
_SOLVED = 0.25  # of a cluster's rate at the largest model, which the small model must reach
_LEAST_DISTANCE = 0.5  # decades


def second_model(ladder: LadderData) -> tuple[np.ndarray, np.ndarray]:
    """The small model of each cluster: index (cluster,), and distance v_k below x_b in decades.

    It is the smallest with at least a quarter of the largest one's rate, and at most the third
    largest where there are three."""
    rate = np.where(ladder.measured, np.sin(ladder.z) ** 2, np.nan)
    index, top = np.zeros(len(ladder.cluster), dtype=int), ladder.top
    for k, of in enumerate(ladder.of_cluster):
        measured = np.flatnonzero(ladder.measured[k, : top[of] + 1])
        if len(measured) > 1:
            enough = rate[k, measured] >= _SOLVED * rate[k, measured[-1]]
            index[k] = measured[min(int(np.argmax(enough)), max(len(measured) - 3, 0))]
    distance = ladder.x_ref[ladder.of_cluster] - ladder.x[index]
    return index, np.maximum(distance, _LEAST_DISTANCE)


def trend_weights(ladder: LadderData) -> np.ndarray:
    """Least-squares weights of a benchmark's trend, t_b = sum_m weights[b, m] shock_bm: the slope,
    through the origin at x_b, of the shocks regressed on x_m - x_b.

    The denominator is at least (0.5 decade)^2, so that models which nearly coincide have almost no
    trend. (benchmark, model), per decade"""
    weights = np.zeros((len(ladder.benchmark), len(ladder.model)))
    for b, top in enumerate(ladder.top):
        away = ladder.x[:top] - ladder.x[top]
        weights[b, :top] = away / max(np.sum(away**2), _LEAST_DISTANCE**2)
    return weights


def share(probit: Any) -> Any:
    """1 / (1 + exp(-v (1.5976 + 0.070566 v^2))): the normal's distribution function to within
    2e-4 (Bowling et al. 2009)."""
    return np.exp(log_share(probit))


def log_share(probit: Any) -> Any:
    """log share(probit), which is finite where the share is smaller than any number."""
    logit = probit * (PROBIT[0] + PROBIT[1] * probit * probit)
    return -softplus(-logit)


def curves_of(probits: Sequence[Any], nu: Any, distance: Any) -> tuple[Any, Any, Any, Any]:
    """eta, beta, gamma and g of the probits of kappa, y, s and phi; distance: v, decades."""
    probit_kept, probit_y, probit_s, probit_phi = probits
    log_y, log_kept, log_s = log_share(probit_y), log_share(probit_kept), log_share(probit_s)
    g = np.exp(log_y + log_kept + log_share(-probit_s))
    gap = log_share(-probit_kept) - log_kept - log_s
    away = softplus(gap)  # -log of the share of t = lost + kept s that is kept s
    loss = softplus(log_share(-probit_y) - log_y - log_kept - log_s - away)  # 1 - g = 1 - y + y t
    rest = share(-probit_phi) * loss
    shown = -np.expm1(-nu * rest)
    more = -np.exp(-nu * rest) * np.expm1(-nu * away)
    eta = nu * rest + np.log(shown / nu)
    beta = (nu * away + np.log1p(more / shown)) / distance
    return eta, beta, share(probit_phi) * loss, g


def log_jacobian(probits: Sequence[Any], curves: Sequence[Any], nu: Any, distance: Any) -> Any:
    """log |d(eta, gamma, log beta, g) / d(probits)|, by the equation above and the shares' slopes;
    curves: eta, beta, gamma and g."""
    _, beta, gamma, g = curves
    log_kept, log_y, log_s = (log_share(probit) for probit in probits[:3])
    log_t = log_kept + log_s + softplus(log_share(-probits[0]) - log_kept - log_s)
    loss = np.log1p(-g) - log_y - log_t
    rest = loss - gamma
    below = rest + log_t - log_kept - log_s
    total = np.log(loss) - log_t - log_s - np.log(beta * distance)
    for left in (rest, below):
        total = total - np.log(-np.expm1(-nu * left) / nu)
    for probit in probits:
        slope = PROBIT[0] + 3 * PROBIT[1] * probit**2
        total = total + log_share(probit) + log_share(-probit) + np.log(slope)
    return total
