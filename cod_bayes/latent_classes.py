"""Latent difficulty classes for evidence with one or a few trials per item.

Raw pass counts of a few trials are mostly noise: items grouped by them, and then averaged, repeat
that noise as if it were difficulty (a selection effect). Here the grouping is a likelihood. Item i
belongs to one of K classes, and given its class its trials are independent:

    P(y_i) = sum_k pi_k prod_m Binomial(y_im | n_im, p_km)

fitted by EM (Dempster, Laird & Rubin 1977), K by the Bayesian information criterion. Classes are
levels of *difficulty*: p_km rises with k at every model (ordered latent classes, Croon 1990).
Without that order the classes find answer habits instead: of a yes / no task one class is right
where the model says yes and the other where it says no, and neither scales. An item's *membership*
r_ik = P(class k | y_i) is soft. Cells without trials do not enter the product.

Items also differ from model to model in ways that do not last, so even p_km flatters the class
that a model's own answers picked. `rest_membership` therefore leaves the model out that is being
measured: in which class an item counts at model m is decided by its answers at the other models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_RESTARTS = 4
_MAX_STEPS = 400
_TOLERANCE = 1e-7  # of the mean log-likelihood per item
_PSEUDO_TRIALS = 1.0  # of the model's mean rate, in every class: keeps p_km off 0 and 1


@dataclass(frozen=True)
class LatentClasses:
    """K classes in ascending order of their mean rate.

    Attributes:
        membership: (item, class) P(class | the item's trials); rows sum to 1.
        rate: (class, model) pass rate of each class.
        weight: (class,) share of the items.
        bic: Bayesian information criterion of the mixture; lower is better.
    """

    membership: np.ndarray
    rate: np.ndarray
    weight: np.ndarray
    bic: float


def fit_latent_classes(
    n_correct: np.ndarray, n_trials: np.ndarray, rng: np.random.Generator, max_classes: int = 12
) -> LatentClasses:
    """Fit mixtures of K = 1, 2, .. classes and keep the one with the lowest BIC.

    Args:
        n_correct, n_trials: (item, model) counts; `n_trials` is 0 where the cell is missing.
        rng: for the random restarts.
        max_classes: upper end of the search; it stops earlier once BIC has risen twice in a row.
    """
    if n_correct.shape != n_trials.shape or n_correct.ndim != 2:
        raise ValueError(
            "expected n_correct and n_trials of one shape (item, model), "
            f"got {n_correct.shape} and {n_trials.shape}"
        )
    # Items with the same counts share one row of the likelihood.
    cells = np.concatenate([n_correct, n_trials], axis=1)
    rows, which, multiplicity = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    y, n = np.split(rows, 2, axis=1)
    count = multiplicity.astype(float)

    best = _mixture(y, n, count, 1, rng)
    risen = 0
    for n_classes in range(2, min(max_classes, len(rows)) + 1):
        candidate = _mixture(y, n, count, n_classes, rng)
        if candidate.bic < best.bic:
            best, risen = candidate, 0
        else:
            risen += 1
            if risen == 2:
                break
    order = np.argsort(best.rate.mean(axis=1), kind="stable")
    return LatentClasses(
        best.membership[which.ravel()][:, order], best.rate[order], best.weight[order], best.bic
    )


def rest_membership(
    classes: LatentClasses, n_correct: np.ndarray, n_trials: np.ndarray
) -> np.ndarray:
    """P(class | the item's trials at all other models). (item, class, model); classes sum to 1."""
    log_rate, log_miss = np.log(classes.rate), np.log1p(-classes.rate)
    cell = n_correct[:, None, :] * log_rate + (n_trials - n_correct)[:, None, :] * log_miss
    joint = np.log(classes.weight)[:, None] + cell.sum(-1, keepdims=True) - cell
    likelihood = np.exp(joint - joint.max(axis=1, keepdims=True))
    return likelihood / likelihood.sum(axis=1, keepdims=True)


def _mixture(
    y: np.ndarray, n: np.ndarray, count: np.ndarray, n_classes: int, rng: np.random.Generator
) -> LatentClasses:
    """The best of several EM runs with a fixed number of classes."""
    runs = [_em(y, n, count, _start(y, n, count, n_classes, rng)) for _ in range(_RESTARTS)]
    loglik, membership, rate, weight = max(runs, key=lambda run: run[0])
    n_free = n_classes * y.shape[1] + n_classes - 1
    return LatentClasses(membership, rate, weight, -2 * loglik + n_free * np.log(count.sum()))


def _start(
    y: np.ndarray, n: np.ndarray, count: np.ndarray, n_classes: int, rng: np.random.Generator
) -> np.ndarray:
    """Responsibilities that lean towards slices of equal size in a noisy score. (row, class)"""
    score = y.sum(1) / np.maximum(n.sum(1), 1)
    order = np.argsort(score + rng.normal(0, 0.25 * score.std() + 1e-9, len(score)))
    place = np.empty(len(score))
    place[order] = (np.cumsum(count[order]) - 0.5 * count[order]) / count.sum()
    slice_of = np.minimum((place * n_classes).astype(int), n_classes - 1)
    lean = rng.dirichlet(np.ones(n_classes), len(score))
    return 0.7 * np.eye(n_classes)[slice_of] + 0.3 * lean


def _em(
    y: np.ndarray, n: np.ndarray, count: np.ndarray, membership: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    mean_rate = np.clip(count @ y / np.maximum(count @ n, 1), 1e-3, 1 - 1e-3)
    previous = -np.inf
    loglik = 0.0
    for _ in range(_MAX_STEPS):
        soft = membership * count[:, None]
        weight = soft.sum(0) / count.sum()
        rate = (soft.T @ y + _PSEUDO_TRIALS * mean_rate) / (soft.T @ n + _PSEUDO_TRIALS)
        rate = np.clip(_increasing(rate, soft.T @ n + _PSEUDO_TRIALS), 1e-6, 1 - 1e-6)
        joint = np.log(weight + 1e-300) + y @ np.log(rate).T + (n - y) @ np.log1p(-rate).T
        peak = joint.max(axis=1, keepdims=True)
        likelihood = np.exp(joint - peak)
        total = likelihood.sum(axis=1, keepdims=True)
        membership = likelihood / total
        loglik = float(count @ (peak + np.log(total))[:, 0])
        if loglik - previous < _TOLERANCE * count.sum():
            break
        previous = loglik
    return loglik, membership, rate, weight


def _increasing(rate: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted least squares with rates that rise over the classes, (class, model).

    Classes are first put in order of their mean rate. The solution is
    max_{i <= k} min_{j >= k} of the mean over i..j (Barlow et al. 1972).
    """
    order = np.argsort(rate.mean(axis=1), kind="stable")
    total = np.concatenate(
        [np.zeros((1, rate.shape[1])), np.cumsum((rate * weight)[order], axis=0)]
    )
    size = np.concatenate([np.zeros((1, rate.shape[1])), np.cumsum(weight[order], axis=0)])
    K = len(rate)
    means = np.full((K, K, rate.shape[1]), np.inf)
    for i in range(K):
        means[i, i:] = (total[i + 1 :] - total[i]) / (size[i + 1 :] - size[i])
    least = np.minimum.accumulate(means[:, ::-1], axis=1)[:, ::-1]  # (i, k): min over j >= k
    best = np.maximum.accumulate(np.where(np.isinf(least), -np.inf, least), axis=0)
    result = np.empty_like(rate)
    result[order] = best[np.arange(K), np.arange(K)]
    return result
