"""Improved MeanShift: clusters of items that are difficult in the same way (COD: 4.1, A.1, A.2).

Mean shift with a flat kernel moves every seed m, one seed at each item x_i, uphill:

    m <- mean{ x_i : |x_i - m| <= R }        until |step| <= R / 1000 (at most 300 further steps)

Of the end points at most R apart only the one with most items in its ball stays: a centre. Every
item goes to its nearest centre. The improvement is a loop (Algorithm 1) with a fixed radius

    R = min(estimate_bandwidth(quantile Q), U),     U = sqrt(n_features) / 10

    repeat on all items that are still unlabelled:
        mean shift with radius R
        take back the label of an item farther than R from its cluster's centre
        dissolve clusters of fewer than K items
        give what remains fresh labels
    until a round labels nothing

What is left over is an outlier, label -1. So are items at zero over the whole ladder: they are set
aside first and never enter.

The result is that of `sklearn.cluster.MeanShift` in the same loop, label for label; only the climb
is computed faster. Three facts make that exact rather than approximate:

* Features are first rounded to multiples of 2^-32 of their range. Sums of up to a million of them
  are then exact in double precision, in whatever order they are taken: equal balls have equal
  means, to the last bit.
* Seeds climb in step, so seeds that meet at the same step share the rest of their way.
* Seeds close together share the inside of their balls: `_ball_sums` decides per group of seeds
  which items are inside or outside *all* its balls; only the items in the shell between are
  compared seed by seed. As the seeds converge, the shell thins.

Depends on NumPy and scikit-learn only.
"""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.cluster import estimate_bandwidth
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.validation import validate_data

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BANDWIDTH_SAMPLE = (
    2000  # estimate_bandwidth is quadratic: larger sets are represented by this many rows
)
MAX_ITER = 300  # as in sklearn.cluster.MeanShift
STOP = 1e-3  # a seed has arrived when its step is at most this share of R; also as there
_LEAF = 128  # most seeds in a group
_GROUPS = 64  # groups compared with all rows at once


def smooth_over_ladder(rates: ArrayLike) -> Floats:
    """Mean of each pass rate and its neighbours before and after on the ladder (A.1).

    rates: (item, model), models ordered by size, NaN where missing. Returns the same shape. The two
    ends average two values; missing values are left out, and NaN remains where all are missing.
    """
    rates = np.asarray(rates, dtype=float)
    if rates.ndim != 2:
        raise ValueError(f"expected rates of shape (item, model), got shape {rates.shape}")
    padded = np.pad(rates, ((0, 0), (1, 1)), constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 3, axis=1)
    count = np.isfinite(windows).sum(axis=-1)
    return np.where(count > 0, np.nansum(windows, axis=-1) / np.maximum(count, 1), np.nan)


def set_aside_zero(features: ArrayLike) -> NDArray[np.bool_]:
    """Zero-performance items (A.1): (item, feature) -> (item,), True where every feature is 0."""
    return np.all(np.asarray(features) == 0, axis=1)


def exact_sums(features: ArrayLike) -> Floats:
    """Features rounded to multiples of 2^-32 of the power of two above the largest of them.

    Same shape. Sums of up to a million such numbers are exact, so their order does not matter.
    """
    x = np.asarray(features, dtype=float)
    unit = 2.0 ** (np.ceil(np.log2(max(np.abs(x).max(initial=0.0), 2.0**-900))) - 32)
    return np.round(x / unit) * unit


class ImprovedMeanShift(ClusterMixin, BaseEstimator):
    """COD's Improved MeanShift (A.2, Algorithm 1); the loop is in the module's docstring.

    Parameters
    ----------
    min_cluster_size: K; clusters of fewer items are dissolved.
    quantile: Q of `sklearn.cluster.estimate_bandwidth`, taken on at most 2,000 rows (a fixed draw).
    max_radius: U, the largest radius R allowed; None means sqrt(n_features) / 10, a tenth of the
        largest distance between two vectors of pass rates.

    Attributes
    ----------
    labels_: (item,), 0, 1, .. by round and by falling density within one; -1 outlier.
    cluster_centers_: (cluster, feature), by label; no member is farther than radius_ from its own.
    radius_: R; NaN where no item has a non-zero feature.
    zero_mask_: (item,), True for the zero-performance items set aside.
    """

    def __init__(
        self, min_cluster_size: int = 10, quantile: float = 0.1, max_radius: float | None = None
    ) -> None:
        self.min_cluster_size = min_cluster_size
        self.quantile = quantile
        self.max_radius = max_radius

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Cluster X (item, feature), all finite: the smoothed pass rates over the ladder."""
        if self.min_cluster_size < 1:
            raise ValueError(f"min_cluster_size: expected at least 1, got {self.min_cluster_size}")
        if self.max_radius is not None and not self.max_radius > 0:
            raise ValueError(f"max_radius: expected a positive radius, got {self.max_radius}")
        x = exact_sums(validate_data(self, X, dtype=np.float64))
        self.zero_mask_ = set_aside_zero(x)
        self.labels_ = np.full(len(x), -1, dtype=np.int64)
        self.radius_ = np.nan
        centres = [np.empty((0, x.shape[1]))]
        free = np.flatnonzero(~self.zero_mask_)
        if len(free):
            self.radius_ = radius(x[free], self.quantile, self.max_radius)
        while len(free) >= self.min_cluster_size:
            found, nearest = mean_shift(x[free], self.radius_)
            near = np.linalg.norm(x[free] - found[nearest], axis=1) <= self.radius_
            size = np.bincount(nearest[near], minlength=len(found))
            kept = np.flatnonzero(size >= self.min_cluster_size)
            if not len(kept):
                break
            fresh = np.full(len(found), -1)
            fresh[kept] = sum(map(len, centres)) + np.arange(len(kept))
            self.labels_[free[near]] = fresh[nearest[near]]
            centres.append(found[kept])
            free = free[self.labels_[free] < 0]
        self.cluster_centers_ = np.concatenate(centres)
        return self


def radius(features: Floats, quantile: float = 0.1, max_radius: float | None = None) -> float:
    """R = min(estimate_bandwidth(quantile), U) of features (item, feature); by default
    U = sqrt(n_features) / 10.

    The bandwidth is estimated on 2,000 rows (scikit-learn's draw with seed 0) when there are more.
    Where most rows are equal it is 0; R is then 1e-9 of the largest feature: equal rows only.
    """
    bandwidth = estimate_bandwidth(
        features, quantile=quantile, n_samples=BANDWIDTH_SAMPLE, random_state=0
    )
    largest = np.sqrt(features.shape[1]) / 10 if max_radius is None else max_radius
    return float(max(min(bandwidth, largest), 1e-9 * np.abs(features).max()))


def mean_shift(x: Floats, bandwidth: float) -> tuple[Floats, Ints]:
    """`sklearn.cluster.MeanShift(bandwidth=bandwidth)` of x (item, feature) with exact sums.

    Returns the centres (cluster, feature), densest first, and each item's nearest centre (item,).
    """
    ends, intensity = _climb(x, bandwidth)
    order = np.lexsort((*ends.T[::-1], intensity))[::-1]
    ends = ends[order]
    unique = np.ones(len(ends), dtype=bool)
    ball = NearestNeighbors(radius=bandwidth).fit(ends)
    for i in range(len(ends)):
        if unique[i]:
            unique[ball.radius_neighbors(ends[i : i + 1], return_distance=False)[0]] = False
            unique[i] = True
    centres = ends[unique]
    nearest = NearestNeighbors(n_neighbors=1).fit(centres).kneighbors(x, return_distance=False)
    return centres, nearest[:, 0]


def _climb(x: Floats, bandwidth: float) -> tuple[Floats, Ints]:
    """Climb from every row of x. Returns the distinct end points (end, feature) and the number of
    items in their balls (end,)."""
    rows, inverse, count = np.unique(x, axis=0, return_inverse=True, return_counts=True)
    weighted = np.column_stack([rows * count[:, None], count])
    # Of seeds that end at one place the last in x's order says how many items its ball held.
    place, last = rows, _last_in(np.ravel(inverse), np.arange(len(x)))
    ends, sizes, lasts = [], [], []
    for iteration in range(MAX_ITER + 1):
        total = _ball_sums(place, rows, weighted, bandwidth)
        mean = total[:, :-1] / total[:, -1:]
        arrived = np.linalg.norm(mean - place, axis=1) <= STOP * bandwidth
        arrived |= iteration == MAX_ITER
        ends.append(mean[arrived])
        sizes.append(total[arrived, -1])
        lasts.append(last[arrived])
        if arrived.all():
            break
        place, meet = np.unique(mean[~arrived], axis=0, return_inverse=True)
        last = _last_in(np.ravel(meet), last[~arrived])
    last = np.concatenate(lasts)
    end, where = np.unique(np.concatenate(ends), axis=0, return_inverse=True)
    size = np.empty(len(end), dtype=np.int64)
    in_order = np.argsort(last)
    size[np.ravel(where)[in_order]] = np.concatenate(sizes)[in_order]  # the last write stays
    return end, size


def _last_in(group: Ints, index: Ints) -> Ints:
    """The largest index of each group 0, 1, .., all of which occur."""
    last = np.full(group.max() + 1, -1)
    np.maximum.at(last, group, index)
    return last


def _ball_sums(seeds: Floats, rows: Floats, weighted: Floats, bandwidth: float) -> Floats:
    """Sums of `weighted` (row, column) over rows within `bandwidth` of a seed (seed, column)."""
    sums = np.empty((len(seeds), weighted.shape[1]))
    rounding = 1e-6 * (bandwidth + np.abs(rows).max())
    groups = _groups(seeds)
    for start in range(0, len(groups), _GROUPS):  # bounds the memory: a few (_GROUPS, row) arrays
        some = groups[start : start + _GROUPS]
        middles = np.array([seeds[group].mean(axis=0) for group in some])
        distance = np.sqrt(np.maximum(_squared(middles, rows), 0))
        for group, middle, away in zip(some, middles, distance, strict=True):
            reach = np.sqrt(np.square(seeds[group] - middle).sum(axis=1).max()) + rounding
            possible = np.flatnonzero(away <= bandwidth + reach)
            certain = away[possible] <= bandwidth - reach
            inner, shell = possible[certain], possible[~certain]
            sums[group] = np.ones(len(inner)) @ weighted[inner]
            if len(shell):
                near = _within(seeds[group], rows[shell], middle, bandwidth)
                sums[group] += near.astype(float) @ weighted[shell]
    return sums


def _groups(seeds: Floats) -> list[Ints]:
    """Seeds' indices in compact groups: halved at the median of the widest feature until small."""
    done, todo = [], [np.arange(len(seeds))]
    while todo:
        group = todo.pop()
        if len(group) <= _LEAF:
            done.append(group)
            continue
        seed = seeds[group]
        widest = np.argmax(seed.max(axis=0) - seed.min(axis=0))
        split = np.argpartition(seed[:, widest], len(group) // 2)
        todo += [group[split[: len(group) // 2]], group[split[len(group) // 2 :]]]
    return done


def _squared(a: Floats, b: Floats, precision: DTypeLike = np.float64) -> NDArray[Any]:
    """|a_i - b_j|^2 as |a|^2 + |b|^2 - 2 a b: (a, b)."""
    aa, bb = np.einsum("ij,ij->i", a, a), np.einsum("ij,ij->i", b, b)
    left: NDArray[Any] = np.column_stack([-2 * a, aa, np.ones_like(aa)]).astype(precision)
    right: NDArray[Any] = np.column_stack([b, np.ones_like(bb), bb]).astype(precision)
    return left @ right.T


def _within(a: Floats, b: Floats, middle: Floats, bandwidth: float) -> NDArray[np.bool_]:
    """True where |a_i - b_j| <= bandwidth: (a, b).

    Single precision, taken from `middle`, decides all but near ties; those are decided term by term
    in double precision, as in scikit-learn's trees.
    """
    from_a, from_b = a - middle, b - middle
    squared = _squared(from_a, from_b, np.float32)
    limit = bandwidth * bandwidth
    error = (
        1e-6 * (np.linalg.norm(from_a, axis=1).max() + np.linalg.norm(from_b, axis=1).max()) ** 2
    )
    near = squared <= np.float32(limit - error)
    i, j = np.divmod(np.flatnonzero(near ^ (squared <= np.float32(limit + error))), len(b))
    tie = np.zeros(len(i))
    for k in range(a.shape[1]):
        tie += (a[i, k] - b[j, k]) ** 2
    near[i, j] = tie <= limit
    return near
