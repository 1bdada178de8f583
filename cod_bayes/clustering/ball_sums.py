"""The climb of mean shift: means of balls, exact and fast.

Three facts make the climb exact rather than approximate:

* Features are first rounded to multiples of 2^-32 of their range. Sums of up to a million of them
  are then exact in double precision, in whatever order they are taken: equal balls have equal
  means, to the last bit. Equal items are one row with a weight.
* The next place of a seed depends on its place alone. So each place is visited once, whichever seed
  reaches it at whichever step: the climbs form a forest (`climb`).
* Places close together share the inside of their balls. `_ball_sums` halves the places again and
  again. A half only needs to check the rows that are neither inside nor outside *all* its balls,
  which leaves a hundredth of all pairs of place and row.

Up to 32,768 distinct rows, every row is a seed. Larger sets are climbed from 256 of them (a fixed
draw).

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

ALL_SEEDS = 2**15  # up to so many distinct rows, all are seeds
FEW_SEEDS = 2**8  # the number of seeds for more rows
MAX_ITER = 300  # as in sklearn.cluster.MeanShift
STOP = 1e-3  # a seed has arrived when its step is at most this share of R, as in scikit-learn
_LEAF = 32  # groups of at most so many places are not halved
_DEPTH = 48  # the largest number of halvings


def exact_sums(features: ArrayLike) -> Floats:
    """Features rounded to multiples of 2^-32 of the power of two above the largest of them.

    Same shape. Sums of up to a million such numbers are exact, so their order does not matter.
    """
    x = np.asarray(features, dtype=float)
    unit = 2.0 ** (np.ceil(np.log2(max(np.abs(x).max(initial=0.0), 2.0**-900))) - 32)
    return np.round(x / unit) * unit


def climb(rows: Floats, count: Floats, last: Ints, R: float) -> tuple[Floats, Ints]:
    """Mean shift of all seeds with radius R.

    rows (row, feature) are distinct and rounded by `exact_sums`; count (row,) is their number of
    items and last (row,) the last of these. Returns the distinct end points (end, feature) and the
    number of items in their balls (end,).
    """
    seeds = np.arange(len(rows))
    if len(rows) > ALL_SEEDS:
        seeds = np.random.default_rng(0).permutation(len(rows))[:FEW_SEEDS]
    place = rows[seeds]
    number = {p.tobytes(): i for i, p in enumerate(place)}  # of every place reached so far
    means, sizes, nexts = [], [], []
    threads = config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    workspaces = [_Workspace.of(rows, count, R) for _ in range(threads)]
    with ThreadPoolExecutor(len(workspaces)) as pool:
        for _ in range(MAX_ITER + 1):
            total = _ball_sums(place, workspaces, pool)
            mean = total[:, :-1] / total[:, -1:]
            moving = np.flatnonzero(~(np.linalg.norm(mean - place, axis=1) <= STOP * R))
            reached = len(number)
            next_number = np.array(
                [number.setdefault(p.tobytes(), len(number)) for p in mean[moving]], dtype=np.int64
            )
            next_place = np.full(len(place), -1)  # -1: arrived
            next_place[moving] = next_number
            means.append(mean)
            sizes.append(total[:, -1])
            nexts.append(next_place)
            _, first = np.unique(next_number, return_index=True)
            first = first[next_number[first] >= reached]
            if not len(first):
                break
            place = mean[moving[first]]
    next_place = np.concatenate(nexts)
    at = np.arange(len(seeds))
    for _ in range(MAX_ITER):
        moves = next_place[at] >= 0
        if not moves.any():
            break
        at[moves] = next_place[at[moves]]
    end, where = np.unique(np.concatenate(means)[at], axis=0, return_inverse=True)
    # Several seeds may end at one place. As in scikit-learn, the last of them in the items' order
    # gives the number of items in its ball.
    in_order = np.argsort(last[seeds])
    size = np.empty(len(end), dtype=np.int64)
    size[np.ravel(where)[in_order]] = np.concatenate(sizes)[at[in_order]]  # the last write wins
    return end, size


class _Workspace(NamedTuple):
    """The rows and the buffers of `_halve`, made once per thread for all steps of a climb."""

    rows: Floats
    weight: Floats  # of each row
    R: float
    rounding: float
    lists: NDArray[np.int32]  # (depth, row)
    size: Ints  # (depth,) of each list
    inside: Floats  # (depth, column)
    pending: Ints  # (group, 3) depth, start and stop of groups of places not done yet
    box: Floats  # (3, feature)
    columns: Floats  # (column, row) a copy of the rows near a group, column by column
    squared: Floats  # (row,)

    @classmethod
    def of(cls, rows: Floats, count: Floats, R: float) -> "_Workspace":
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


def _ball_sums(places: Floats, workspaces: list[_Workspace], pool: Executor) -> Floats:
    """Sum of the rows within R of each place, and their count in a last column: (place, column).

    Each thread has one of the workspaces, and a slice of the places along their widest feature.
    """
    sums = np.empty((len(places), places.shape[1] + 1))
    order = np.argsort(places[:, np.ptp(places, axis=0).argmax()])

    def work(space: _Workspace, part: Ints) -> None:
        space.pending[0] = 1, 0, len(part)
        _halve(places, part, sums, _LEAF, *space)

    threads = min(len(workspaces), -(-len(places) // _LEAF))
    list(pool.map(work, workspaces[:threads], np.array_split(order, threads)))
    return sums


@njit(cache=True, nogil=True)
def _halve(  # type: ignore[no-untyped-def]
    places, order, sums, leaf, rows, count, R, rounding, lists, size, inside, pending, box, columns,
    squared,
):  # fmt: skip
    """Ball sums of all places, depth first: order[start:stop] at `depth`, from the rows in
    lists[depth - 1], with inside[depth - 1] the sum of those that are in every ball."""
    d = places.shape[1]
    low, high, middle = box[0], box[1], box[2]
    n_pending = 1
    while n_pending > 0:
        n_pending -= 1
        depth, start, stop = pending[n_pending, 0], pending[n_pending, 1], pending[n_pending, 2]
        widest = 0
        for k in range(d):
            low[k] = high[k] = places[order[start], k]
            for i in range(start + 1, stop):
                low[k] = min(low[k], places[order[i], k])
                high[k] = max(high[k], places[order[i], k])
            middle[k] = (low[k] + high[k]) / 2
            if high[k] - low[k] > high[widest] - low[widest]:
                widest = k
        radius = 0.0
        for i in range(start, stop):
            radius = max(radius, _distance2(places, order[i], middle))
        radius = math.sqrt(radius) + rounding
        size[depth] = _shell(
            middle, R - radius, R + radius, rows, count, lists[depth - 1], size[depth - 1],
            lists[depth], inside[depth - 1], inside[depth],
        )  # fmt: skip
        few = stop - start <= leaf and (size[depth] <= 64 * leaf or stop - start <= 1)
        if few or depth == len(size) - 1:
            _compare(
                places, order, start, stop, R, rows, count, lists[depth], size[depth],
                inside[depth], columns, squared, sums,
            )  # fmt: skip
            continue
        i, j = start, stop - 1
        while i <= j:
            if places[order[i], widest] <= middle[widest]:
                i += 1
            else:
                order[i], order[j] = order[j], order[i]
                j -= 1
        if i == stop:  # rounding has moved the middle up to the highest
            i = (start + stop) // 2
        pending[n_pending, 0], pending[n_pending, 1], pending[n_pending, 2] = depth + 1, start, i
        pending[n_pending + 1, 0], pending[n_pending + 1, 1], pending[n_pending + 1, 2] = (
            depth + 1,
            i,
            stop,
        )
        n_pending += 2


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
    """Split the rows of `old` by their distance from `middle`: up to `inner` they are added to the
    sum, from there to `outer` they are listed in `new`. Returns the length of `new`."""
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
    places, order, start, stop, R, rows, count, shell, n, inside, columns, squared, sums
):
    """Ball sums of a few places: `inside`, plus the rows of the shell that are within R."""
    d = places.shape[1]
    for t in range(n):
        for k in range(d):
            columns[k, t] = rows[shell[t], k]
        columns[d, t] = 1.0
    for i in range(start, stop):
        place = order[i]
        squared[:n] = 0.0
        for k in range(d):
            _add_square(squared, columns[k], places[place, k], n)
        for t in range(n):  # squared distance -> weight
            squared[t] = count[shell[t]] if squared[t] <= R * R else 0.0
        for k in range(d + 1):
            sums[place, k] = inside[k] + _exact_dot(squared, columns[k], n)


@njit(cache=True, nogil=True)
def _add_square(total, column, value, n):  # type: ignore[no-untyped-def]
    for t in range(n):
        total[t] += (column[t] - value) ** 2


@njit(cache=True, nogil=True, fastmath={"reassoc"})  # any order: these sums are exact
def _exact_dot(a, b, n):  # type: ignore[no-untyped-def]
    total = 0.0
    for t in range(n):
        total += a[t] * b[t]
    return total
