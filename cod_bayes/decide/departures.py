"""How far a run is from the model at a look, and what to check first where it departs.

The statistics `behind` and `distance` are those of `cod_bayes.decide.monitor`. A departure is one
point's if leaving out the cell with the largest residual, given all other cells, ends it, and one
checkpoint's if leaving out all cells of one moment does. Otherwise it lasts.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_POINT = "one point out, {benchmark} at {compute:.3g} FLOPs: check its evaluation first (prompt, "
_POINT += "version, number of items, a judge) and evaluate this checkpoint again"
_MOMENT = "one checkpoint out, at {compute:.3g} FLOPs, on several benchmarks: check first that its "
_MOMENT += "weights were saved and loaded whole, and evaluate it again"
_WINDOW = "out since {compute:.3g} FLOPs: check the training from there on first (scripts, data "
_WINDOW += "order, learning rate), then the recipe against the ladder's"


def statistics(
    mean: np.ndarray, covariance: np.ndarray, rise: np.ndarray
) -> tuple[Callable[[np.ndarray], np.ndarray], float]:
    """A function from y (..., cell) to d' S^-1 (m - y) and the distance (2, ...); d' S^-1 d."""
    inverse = np.linalg.pinv(covariance, hermitian=True)
    direction = inverse @ rise

    def of(y: np.ndarray) -> np.ndarray:
        m_y = mean - y
        return np.stack([m_y @ direction, ((m_y @ inverse) * m_y).sum(axis=-1)])

    return of, float(rise @ direction)


def advice(
    draws: tuple[np.ndarray, np.ndarray],
    rise: np.ndarray,
    observed: np.ndarray,
    cells: tuple[np.ndarray, np.ndarray],
    levels: np.ndarray,
) -> str:
    """What to check first at a look at which a run departs.

    draws: simulated y of two halves (draw, cell), for the moments and for p. rise, observed: of the
    cells so far. cells: their benchmarks and computes. levels: p of either statistic below which
    the look by itself departs (2,).
    """
    benchmark, compute = cells
    half, others = draws
    mean, covariance = half.mean(axis=0), np.cov(half, rowvar=False).reshape(len(rise), -1)
    inverse = np.linalg.pinv(covariance, hermitian=True)
    pull = inverse @ (observed - mean)

    def ends_without(out: np.ndarray) -> bool:
        """Whether nothing departs when these cells are left out."""
        kept = ~out
        if not kept.any():
            return True
        of, _ = statistics(mean[kept], covariance[np.ix_(kept, kept)], rise[kept])
        extreme = of(others[:, kept]) >= of(observed[kept])[:, None]
        p = (1 + extreme.sum(axis=1)) / (1 + len(others))
        return bool((p > levels).all())

    cell = int(np.argmax(np.abs(pull) / np.sqrt(np.maximum(np.diag(inverse), 1e-12))))
    if ends_without(np.arange(len(rise)) == cell):
        return _POINT.format(benchmark=benchmark[cell], compute=compute[cell])
    moments = np.unique(compute)
    at = [compute == moment for moment in moments]
    worst = int(np.argmax([_distance(pull, inverse, of) / of.sum() for of in at]))
    if len(moments) > 1 and ends_without(at[worst]):
        return _MOMENT.format(compute=moments[worst])
    # The first moment without which, and all later ones, the run followed the model.
    first = next(m for m in moments if m == moments[-1] or not ends_without(compute > m))
    return _WINDOW.format(compute=first)


def _distance(pull: np.ndarray, inverse: np.ndarray, out: np.ndarray) -> float:
    """By how much the distance falls without these cells."""
    block = np.linalg.pinv(inverse[np.ix_(out, out)], hermitian=True)
    return float(pull[out] @ block @ pull[out])
