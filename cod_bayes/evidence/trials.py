"""How noisy a mean of item rates is.

Item i has the rate y_i / n_i. With one success probability p of all items, the mean of K such rates
has the variance

    (1 / K^2) sum_i p (1 - p) / n_i  =  p (1 - p) / n,      n = K^2 / sum_i (1 / n_i)

so n is the number of trials whose plain mean is as noisy. It is the sum of the n_i where these are
equal, and less where they are not.

Items differ, and all models answer the same ones. Then the noise of the mean comes from within the
items alone,

    (1 / K^2) sum_i p_i (1 - p_i) / n_i  =  h p (1 - p) / n,      h <= 1

and what the p_i differ by is part of the benchmark. h is the noise share: 1 where items are alike,
near 0 where each is either solved or not. An item of several trials shows its own variance,

    p_i (1 - p_i) / n_i  ~  r (1 - r) / (n_i - 1),      r its rate

and one of a single trial shows it by how often neighbours on the ladder disagree,

    (p_i (1 - p_i) + q_i (1 - q_i)) / 2  ~  (r - r' - mean(r - r'))^2 / 2

which is too large by the variance over the items of p_i - q_i, so the share is cautious. It is
pooled over the ladder with `_PRIOR_CELLS` cells of the share that is typical of public benchmarks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["noise_share", "trials_of_mean"]

TYPICAL_SHARE = 0.7  # BIG-bench 0.5 to 0.8 by task, BoolQ 0.65 to 0.75: disagreement of neighbours
_PRIOR_CELLS = 100.0  # of a model and an item
_SLICE = 2**16  # items summed at once: bounds the memory


def trials_of_mean(items: ArrayLike, inverse_trials: ArrayLike) -> np.ndarray:
    """n of each mean, from the number of its items K and the sum of 1 / n_i over them.

    Any shapes that broadcast. NaN where a count is unknown (NaN) or there is no item.
    """
    K, inverse = np.asarray(items, dtype=float), np.asarray(inverse_trials, dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        n = K**2 / inverse
        whole = np.rint(n)
        # Equal trials give a whole number up to rounding; this makes it exact.
        return np.where(np.abs(n - whole) <= 1e-9 * n, whole, n)


def noise_share(
    rate: np.ndarray, n_trials: np.ndarray, membership: np.ndarray, mean: np.ndarray
) -> np.ndarray:
    """h of groups of items over a ladder. (group,)

    A group of one item is a benchmark known by its score: its items are not seen, and it gets
    `TYPICAL_SHARE`. Where no trials are counted h is 1.

    Args:
        rate, n_trials: (item, model), models in the order of their compute. NaN rate: the model
            lacks the item; NaN trials: not counted.
        membership: (item, group), 1 where the item is in the group, else 0.
        mean: (group, model) rates of the groups.
    """
    binomial = mean * (1 - mean)
    shift = np.diff(mean, axis=1)
    seen, expected, cells, counted = np.zeros((4, membership.shape[1]))
    for start in range(0, len(rate), _SLICE):
        part = slice(start, start + _SLICE)
        r, n, of = rate[part], n_trials[part], membership[part].T
        known = np.isfinite(r) & np.isfinite(n)
        several, single = known & (n >= 2), known & (n < 2)
        counted += (of @ known.astype(float)).sum(axis=1)
        r, n = np.where(known, r, 0.0), np.where(several, n, 2.0)
        seen += (of @ np.where(several, r * (1 - r) / (n - 1), 0.0)).sum(axis=1)
        expected += _sum(binomial, of @ np.where(several, 1 / n, 0.0))
        both = single[:, 1:] & single[:, :-1]
        pairs, moved = of @ both.astype(float), np.where(both, np.diff(r, axis=1), 0.0)
        squares = of @ moved**2 - 2 * _times(shift, of @ moved) + _times(shift**2, pairs)
        seen += squares.sum(axis=1) / 2
        expected += _sum((binomial[:, 1:] + binomial[:, :-1]) / 2, pairs)
        cells += (of @ several.astype(float)).sum(axis=1) + pairs.sum(axis=1)
    share = np.divide(seen, expected, out=np.ones_like(seen), where=expected > 0)
    share = (cells * share + _PRIOR_CELLS * TYPICAL_SHARE) / (cells + _PRIOR_CELLS)
    share[membership.sum(axis=0) < 2] = TYPICAL_SHARE
    share[counted == 0] = 1.0
    return np.minimum(share, 1.0)


def _times(a: np.ndarray, count: np.ndarray) -> np.ndarray:
    """a times count, 0 where the count is 0 and a unknown."""
    return np.where(count != 0, a, 0.0) * count


def _sum(a: np.ndarray, count: np.ndarray) -> np.ndarray:
    return _times(a, count).sum(axis=1)
