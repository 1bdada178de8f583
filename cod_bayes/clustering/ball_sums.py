"""Improved MeanShift as a function: what `cod_bayes.clustering.mean_shift` computes, and how it is
fast.

Three facts make the climb exact rather than approximate:

* Features are first rounded to multiples of 2^-32 of their range. Sums of up to a million of them
  are then exact in double precision, in whatever order they are taken: equal balls have equal
  means, to the last bit. Equal items are one row with a weight.
* Where a seed goes depends on its place alone, so each place is visited once, by whatever seed
  and at whatever step it is reached: the climbs form a forest (`_climb`).
* Places close together share the inside of their balls. `_ball_sums` halves the places again and
  again; to a half it hands down only the rows that are neither inside nor outside *all* its balls.
  A hundredth of all pairs of place and row is compared.

Up to 32,768 distinct rows every one is a seed. Larger sets are climbed from 256 of them (a fixed
draw), as the bandwidth of more than 2,000 rows is estimated on a draw.

Depends on NumPy and numba only.
"""

import math
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numba import config, njit
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# estimate_bandwidth is quadratic: larger sets are represented by this many rows
BANDWIDTH_SAMPLE = 2000
ALL_SEEDS = 2**15  # up to so many distinct rows, all are seeds
FEW_SEEDS = 2**8  # beyond
MAX_ITER = 300  # as in sklearn.cluster.MeanShift
STOP = 1e-3  # a seed has arrived when its step is at most this share of R; also as there
_LEAF = 32  # most places that are not halved any more
_DEPTH = 48  # most halvings


class Found(NamedTuple):
    """labels (item,), centres (cluster, feature), radius and zero_mask (item,): the attributes of
    `cod_bayes.clustering.mean_shift.ImprovedMeanShift`."""

    labels: Ints
    centres: Floats
    radius: float
    zero_mask: NDArray[np.bool_]


def smooth_over_ladder(rates: ArrayLike) -> Floats:
    """Mean of each pass rate and its neighbours before and after on the ladder (A.1).

    rates: (item, model), models ordered by size, NaN where missing. Returns the same shape. The two
    ends average two values; missing values are left out, and NaN remains where all are missing.
    """
    rates = np.asarray(rates, dtype=float)
    if rates.ndim != 2:
        raise ValueError(f"expected rates of shape (item, model), got shape {rates.shape}")
    seen = np.isfinite(rates)
    total, count = np.where(seen, rates, 0.0), seen.astype(np.uint8)
    for each in (total, count):
        alone = each.copy()
        each[:, 1:] += alone[:, :-1]
        each[:, :-1] += alone[:, 1:]
    with np.errstate(invalid="ignore"):
        return total / count  # NaN where nothing is


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


def improved_mean_shift(
    features: Floats,
    min_cluster_size: int = 10,
    quantile: float = 0.1,
    max_radius: float | None = None,
) -> Found:
    """Algorithm 1 on features (item, feature), all finite; see `cod_bayes.clustering.mean_shift`.

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
        return Found(labels, centres[0], np.nan, zero)
    R = radius(x[~zero], quantile, max_radius)
    rows, row_of, count, last = _distinct(x[~zero])
    label = np.full(len(rows), -1)
    free = np.arange(len(rows))
    while count[free].sum() >= min_cluster_size:
        found, nearest = _one_round(rows[free], count[free], last[free], R)
        near = np.linalg.norm(rows[free] - found[nearest], axis=1) <= R
        size = np.bincount(nearest[near], count[free[near]], minlength=len(found))
        kept = np.flatnonzero(size >= min_cluster_size)
        if not len(kept):
            break
        fresh = np.full(len(found), -1)
        fresh[kept] = sum(map(len, centres)) + np.arange(len(kept))
        label[free[near]] = fresh[nearest[near]]
        centres.append(found[kept])
        free = free[label[free] < 0]
    labels[~zero] = label[row_of]
    return Found(labels, np.concatenate(centres), R, zero)


def radius(features: Floats, quantile: float = 0.1, max_radius: float | None = None) -> float:
    """R = min(estimate_bandwidth(quantile), U) of features (item, feature); by default
    U = sqrt(n_features) / 10.

    The bandwidth is scikit-learn's: the mean distance of a row to the farthest of its
    `quantile * rows` nearest, itself among them, on 2,000 rows (its draw with seed 0) when there
    are more. Where most rows are equal it is 0; R is then 1e-9 of the largest feature: equal rows
    only.
    """
    sample = features
    if len(features) > BANDWIDTH_SAMPLE:
        # NumPy's old generator, because it is scikit-learn's
        drawn = np.random.RandomState(0).permutation(len(features))
        sample = features[drawn[:BANDWIDTH_SAMPLE]]
    neighbours = max(int(len(sample) * quantile), 1)
    farthest = [
        np.partition(_squared_distances(part, sample), neighbours - 1, axis=1)[:, neighbours - 1]
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
    ends, intensity = _climb(rows, count, last, R)
    order = np.lexsort((*ends.T[::-1], intensity))[::-1]
    ends = ends[order]
    unique = np.ones(len(ends), dtype=bool)
    for i in range(len(ends)):
        if unique[i]:
            unique[_squared_distances(ends, ends[i : i + 1])[:, 0] <= R * R] = False
            unique[i] = True
    centres = ends[unique]
    parts = np.array_split(rows, -(-len(rows) // 2**16))
    return centres, np.concatenate([_squared_distances(p, centres).argmin(axis=1) for p in parts])


def _squared_distances(a: Floats, b: Floats) -> Floats:
    """|a_i - b_j|^2, term by term as scikit-learn's trees sum it: (a, b)."""
    total = np.zeros((len(a), len(b)))
    for k in range(a.shape[1]):
        total += (a[:, k, None] - b[None, :, k]) ** 2
    return total


def _climb(rows: Floats, count: Floats, last: Ints, R: float) -> tuple[Floats, Ints]:
    """Climb from the rows. Returns the distinct end points (end, feature) and the number of items
    in their balls (end,)."""
    seeds = np.arange(len(rows))
    if len(rows) > ALL_SEEDS:
        seeds = np.random.default_rng(0).permutation(len(rows))[:FEW_SEEDS]
    place = rows[seeds]
    number = {p.tobytes(): i for i, p in enumerate(place)}  # of every place that was reached
    means, sizes, nexts = [], [], []
    threads = config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    spaces = [_Space.of(rows, count, R) for _ in range(threads)]
    with ThreadPoolExecutor(len(spaces)) as pool:
        for _ in range(MAX_ITER + 1):
            total = _ball_sums(place, spaces, pool)
            mean = total[:, :-1] / total[:, -1:]
            onward = np.flatnonzero(~(np.linalg.norm(mean - place, axis=1) <= STOP * R))
            reached = len(number)
            goal = np.array(
                [number.setdefault(p.tobytes(), len(number)) for p in mean[onward]], dtype=np.int64
            )
            following = np.full(len(place), -1)  # arrived
            following[onward] = goal
            means.append(mean)
            sizes.append(total[:, -1])
            nexts.append(following)
            _, first = np.unique(goal, return_index=True)
            first = first[goal[first] >= reached]
            if not len(first):
                break
            place = mean[onward[first]]
    following = np.concatenate(nexts)
    at = np.arange(len(seeds))
    for _ in range(MAX_ITER):
        moves = following[at] >= 0
        if not moves.any():
            break
        at[moves] = following[at[moves]]
    end, where = np.unique(np.concatenate(means)[at], axis=0, return_inverse=True)
    # Of seeds that end at one place the last in the items' order says how many its ball held.
    in_order = np.argsort(last[seeds])
    size = np.empty(len(end), dtype=np.int64)
    size[np.ravel(where)[in_order]] = np.concatenate(sizes)[at[in_order]]  # the last write stays
    return end, size


class _Space(NamedTuple):
    """What `_halve` works on beside the places, made once per thread for all steps of a climb."""

    rows: Floats
    weight: Floats  # of each row
    R: float
    rounding: float
    lists: NDArray[np.int32]  # (depth, row)
    size: Ints  # (depth,) of each list
    inside: Floats  # (depth, column)
    todo: Ints  # (waiting, 3) depth, start, stop
    box: Floats  # (3, feature)
    near: Floats  # (column, row)
    squared: Floats  # (row,)

    @classmethod
    def of(cls, rows: Floats, count: Floats, R: float) -> "_Space":
        n, d = rows.shape
        lists = np.empty((_DEPTH + 1, n), dtype=np.int32)
        lists[0] = np.arange(n)
        return cls(
            rows,
            count,
            R,
            1e-9 * R + 1e-14 * float(np.abs(rows).max()),
            lists,
            np.full(_DEPTH + 1, n),
            np.zeros((_DEPTH + 1, d + 1)),
            np.zeros((2 * _DEPTH + 2, 3), dtype=np.int64),
            np.empty((3, d)),
            np.empty((d + 1, n)),
            np.empty(n),
        )


def _ball_sums(places: Floats, spaces: list[_Space], pool: Executor) -> Floats:
    """Sum of the rows within R of each place, and their count in a last column: (place, column).

    Each thread has one of the spaces, and a slice of the places along their widest feature."""
    sums = np.empty((len(places), places.shape[1] + 1))
    order = np.argsort(places[:, np.ptp(places, axis=0).argmax()])

    def work(space: _Space, part: Ints) -> None:
        space.todo[0] = 1, 0, len(part)
        _halve(places, part, sums, _LEAF, *space)

    threads = min(len(spaces), -(-len(places) // _LEAF))
    list(pool.map(work, spaces[:threads], np.array_split(order, threads)))
    return sums


@njit(cache=True, nogil=True)
def _halve(  # type: ignore[no-untyped-def]
    places, order, sums, leaf, rows, count, R, rounding, lists, size, inside, todo, box, near,
    squared,
):  # fmt: skip
    """Ball sums of all places, depth first: order[start:stop] at `depth`, from the rows in
    lists[depth - 1], with inside[depth - 1] the sum of those that are in every ball."""
    d = places.shape[1]
    low, high, middle = box[0], box[1], box[2]
    left = 1
    while left > 0:
        left -= 1
        depth, start, stop = todo[left, 0], todo[left, 1], todo[left, 2]
        widest = 0
        for k in range(d):
            low[k] = high[k] = places[order[start], k]
            for i in range(start + 1, stop):
                low[k] = min(low[k], places[order[i], k])
                high[k] = max(high[k], places[order[i], k])
            middle[k] = (low[k] + high[k]) / 2
            if high[k] - low[k] > high[widest] - low[widest]:
                widest = k
        reach = 0.0
        for i in range(start, stop):
            reach = max(reach, _distance2(places, order[i], middle))
        reach = math.sqrt(reach) + rounding
        size[depth] = _shell(
            middle, R - reach, R + reach, rows, count, lists[depth - 1], size[depth - 1],
            lists[depth], inside[depth - 1], inside[depth],
        )  # fmt: skip
        few = stop - start <= leaf and (size[depth] <= 64 * leaf or stop - start <= 1)
        if few or depth == len(size) - 1:
            _compare(
                places, order, start, stop, R, rows, count, lists[depth], size[depth],
                inside[depth], near, squared, sums,
            )  # fmt: skip
            continue
        i, j = start, stop - 1
        while i <= j:
            if places[order[i], widest] <= middle[widest]:
                i += 1
            else:
                order[i], order[j] = order[j], order[i]
                j -= 1
        if i == stop:  # the middle has been rounded up to the highest
            i = (start + stop) // 2
        todo[left, 0], todo[left, 1], todo[left, 2] = depth + 1, start, i
        todo[left + 1, 0], todo[left + 1, 1], todo[left + 1, 2] = depth + 1, i, stop
        left += 2


@njit(cache=True, nogil=True)
def _distance2(x, i, middle):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(len(middle)):
        total += (x[i, k] - middle[k]) ** 2
    return total


@njit(cache=True, nogil=True)
def _shell(  # type: ignore[no-untyped-def]
    middle, inner, outer, rows, count, old, n_old, new, inside, more_inside
):
    """Of the rows in `old`, those between `inner` and `outer` into `new`; those within `inner` into
    the sum. Returns the number of the former."""
    d = len(middle)
    least = inner * inner if inner > 0 else -1.0
    most = outer * outer
    for k in range(d + 1):
        more_inside[k] = inside[k]
    kept = 0
    for t in range(n_old):
        i = old[t]
        squared = _distance2(rows, i, middle)
        if squared <= least:
            for k in range(d):
                more_inside[k] += count[i] * rows[i, k]
            more_inside[d] += count[i]
        else:
            new[kept] = i
            kept += squared <= most
    return kept


@njit(cache=True, nogil=True)
def _compare(  # type: ignore[no-untyped-def]
    places, order, start, stop, R, rows, count, shell, n, inside, near, squared, sums
):
    """Ball sums of a few places: `inside`, and every row of the shell that is within R."""
    d = places.shape[1]
    for t in range(n):
        for k in range(d):
            near[k, t] = rows[shell[t], k]
        near[d, t] = 1.0
    for i in range(start, stop):
        place = order[i]
        squared[:n] = 0.0
        for k in range(d):
            _add_square(squared, near[k], places[place, k], n)
        for t in range(n):  # from here on a weight
            squared[t] = count[shell[t]] if squared[t] <= R * R else 0.0
        for k in range(d + 1):
            sums[place, k] = inside[k] + _exact_dot(squared, near[k], n)


@njit(cache=True, nogil=True)
def _add_square(total, column, value, n):  # type: ignore[no-untyped-def]
    for t in range(n):
        total[t] += (column[t] - value) ** 2


@njit(cache=True, nogil=True, fastmath={"reassoc"})  # in any order: these sums are exact
def _exact_dot(a, b, n):  # type: ignore[no-untyped-def]
    total = 0.0
    for t in range(n):
        total += a[t] * b[t]
    return total
