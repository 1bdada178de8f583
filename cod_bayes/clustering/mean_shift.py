"""Improved MeanShift: clusters of items that are difficult in the same way (COD: 4.1, A.1, A.2).

Mean shift with a flat kernel moves every seed m, one seed at each item x_i, uphill:

    m <- mean{ x_i : |x_i - m| <= R }        until |step| <= R / 1000 (at most 300 further steps)

Of the end points at most R apart only the one with most items in its ball stays: a centre. Every
item goes to its nearest centre. The improvement is a loop (Algorithm 1) with a fixed radius

    R = min(estimate_bandwidth(quantile Q), U),     U = sqrt(n_features) / 10

    repeat on all items that are still unlabelled:
        mean shift with radius R
        remove the label of an item farther than R from its cluster's centre
        dissolve clusters of fewer than K items
        give the remaining clusters new labels
    until a round labels nothing

Items without a label at the end are outliers, label -1. Items at zero over the whole ladder get -1
too: they are set aside first and take no part.

The result is that of `sklearn.cluster.MeanShift` in the same loop, label for label. A round on more
than 32,768 distinct vectors has seeds at 256 of them only (a fixed draw), as
`MeanShift(seeds=...)`. `cod_bayes.clustering.ball_sums` does the climb. The scikit-learn interface
is in `cod_bayes.clustering.estimator`, because scikit-learn takes half a second to import.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cod_bayes.clustering.ball_sums import Floats, Ints, climb, exact_sums

# The estimate of the bandwidth is quadratic in the rows: larger sets are represented by these.
BANDWIDTH_SAMPLE = 2000


class MeanShiftResult(NamedTuple):
    """Improved MeanShift of items.

    labels     (item,) 0, 1, .. by round and by falling density within one; -1 outlier
    centres    (cluster, feature) by label; no member is farther than radius from its own
    radius     R; NaN where no item has a non-zero feature
    zero_mask  (item,) True for the zero-performance items set aside
    """

    labels: Ints
    centres: Floats
    radius: float
    zero_mask: NDArray[np.bool_]


def smooth_over_ladder(rates: ArrayLike) -> Floats:
    """Mean of each pass rate and its neighbours before and after on the ladder (A.1).

    rates: (item, model), models ordered by size, NaN where missing. Returns the same shape. The two
    ends average two values. Missing values are left out; NaN remains where all are missing.
    """
    rates = np.asarray(rates, dtype=float)
    if rates.ndim != 2:
        raise ValueError(f"expected rates of shape (item, model), got shape {rates.shape}")
    present = np.isfinite(rates)
    total, count = np.where(present, rates, 0.0), present.astype(np.uint8)
    for sums in (total, count):
        values = sums.copy()
        sums[:, 1:] += values[:, :-1]
        sums[:, :-1] += values[:, 1:]
    with np.errstate(invalid="ignore"):
        return total / count  # 0 / 0 = NaN where all three are missing


def set_aside_zero(features: ArrayLike) -> NDArray[np.bool_]:
    """Zero-performance items (A.1): (item, feature) -> (item,), True where every feature is 0."""
    return np.all(np.asarray(features) == 0, axis=1)


def improved_mean_shift(
    features: Floats,
    min_cluster_size: int = 10,
    quantile: float = 0.1,
    max_radius: float | None = None,
) -> MeanShiftResult:
    """Algorithm 1 on features (item, feature), all finite: K, Q and U of the module, in this order.

    Raises ValueError for a cluster size below 1 and for a radius that is not positive.
    """
    if min_cluster_size < 1:
        raise ValueError(f"min_cluster_size: expected at least 1, got {min_cluster_size}")
    if max_radius is not None and not max_radius > 0:
        raise ValueError(f"max_radius: expected a positive radius, got {max_radius}")
    x = exact_sums(features)
    zero = set_aside_zero(x)
    labels = np.full(len(x), -1, dtype=np.int64)
    centres = [np.empty((0, x.shape[1]))]
    if zero.all():
        return MeanShiftResult(labels, centres[0], np.nan, zero)
    R = radius(x[~zero], quantile, max_radius)
    rows, row_of, count, last = _distinct(x[~zero])
    row_label = np.full(len(rows), -1)
    free = np.arange(len(rows))  # rows without a label
    while count[free].sum() >= min_cluster_size:
        round_centres, nearest = _one_round(rows[free], count[free], last[free], R)
        inside = np.linalg.norm(rows[free] - round_centres[nearest], axis=1) <= R
        size = np.bincount(nearest[inside], count[free[inside]], minlength=len(round_centres))
        kept = np.flatnonzero(size >= min_cluster_size)
        if not len(kept):
            break
        new_label = np.full(len(round_centres), -1)
        new_label[kept] = sum(map(len, centres)) + np.arange(len(kept))
        row_label[free[inside]] = new_label[nearest[inside]]
        centres.append(round_centres[kept])
        free = free[row_label[free] < 0]
    labels[~zero] = row_label[row_of]
    return MeanShiftResult(labels, np.concatenate(centres), R, zero)


def radius(features: Floats, quantile: float = 0.1, max_radius: float | None = None) -> float:
    """R = min(estimate_bandwidth(quantile), U) of features (item, feature); by default
    U = sqrt(n_features) / 10.

    The bandwidth is scikit-learn's: the mean distance of a row to the farthest of its
    `quantile * rows` nearest, itself among them. Of more than 2,000 rows a draw of 2,000 is used
    (seed 0). Where most rows are equal the bandwidth is 0; R is then 1e-9 of the largest feature,
    so that a ball holds equal rows only.
    """
    sample = features
    if len(features) > BANDWIDTH_SAMPLE:
        # NumPy's old generator, because scikit-learn draws with it.
        order = np.random.RandomState(0).permutation(len(features))
        sample = features[order[:BANDWIDTH_SAMPLE]]
    neighbours = max(int(len(sample) * quantile), 1)
    farthest = [
        np.partition(squared_distances(part, sample), neighbours - 1, axis=1)[:, neighbours - 1]
        for part in np.array_split(sample, -(-len(sample) // 500))
    ]
    bandwidth = sum(float(np.sqrt(part).sum()) for part in farthest) / len(sample)
    largest = np.sqrt(features.shape[1]) / 10 if max_radius is None else max_radius
    return float(max(min(bandwidth, largest), 1e-9 * np.abs(features).max()))


def mean_shift(x: Floats, bandwidth: float) -> tuple[Floats, Ints]:
    """`sklearn.cluster.MeanShift(bandwidth=bandwidth)` of x (item, feature) with exact sums.

    Returns the centres (cluster, feature), densest first, and each item's nearest centre (item,).
    """
    rows, row_of, count, last = _distinct(x)
    centres, nearest = _one_round(rows, count, last, bandwidth)
    return centres, nearest[row_of]


def _distinct(x: Floats) -> tuple[Floats, Ints, Floats, Ints]:
    """Distinct rows (row, feature), each item's row (item,), and per row its number of items and
    the last of them (row,)."""
    order = np.lexsort(x.T[::-1])
    ordered = x[order]
    first = np.ones(len(x), dtype=bool)
    first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    row_of = np.empty(len(x), dtype=np.int64)
    row_of[order] = np.cumsum(first) - 1
    start = np.flatnonzero(first)
    count = np.diff(start, append=len(x)).astype(float)
    return ordered[first], row_of, count, np.maximum.reduceat(order, start)


def _one_round(rows: Floats, count: Floats, last: Ints, R: float) -> tuple[Floats, Ints]:
    """Mean shift of distinct rows: the centres, densest first, and each row's nearest (row,)."""
    ends, intensity = climb(rows, count, last, R)
    order = np.lexsort((*ends.T[::-1], intensity))[::-1]
    ends = ends[order]
    unique = np.ones(len(ends), dtype=bool)
    for i in range(len(ends)):
        if unique[i]:
            unique[squared_distances(ends, ends[i : i + 1])[:, 0] <= R * R] = False
            unique[i] = True
    centres = ends[unique]
    parts = np.array_split(rows, -(-len(rows) // 2**16))
    return centres, np.concatenate([squared_distances(p, centres).argmin(axis=1) for p in parts])


def squared_distances(a: Floats, b: Floats) -> Floats:
    """|a_i - b_j|^2, (a, b), summed feature by feature as scikit-learn's trees do."""
    total = np.zeros((len(a), len(b)))
    for k in range(a.shape[1]):
        total += (a[:, k, None] - b[None, :, k]) ** 2
    return total
