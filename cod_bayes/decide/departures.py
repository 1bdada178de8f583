"""How far a run is from the model at a look, and what to check first where it departs.

The statistics and the shortfalls are those of `cod_bayes.decide.monitor`. A departure is one
point's if leaving out the cell with the largest residual, given all other cells, ends it, and one
checkpoint's if leaving out all cells of one moment does. Otherwise it lasts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_POINT = "one point out, {benchmark} at {compute:.3g} FLOPs: check its evaluation first (prompt, "
_POINT += "version, number of items, a judge) and evaluate this checkpoint again"
_MOMENT = "one checkpoint out, at {compute:.3g} FLOPs, on several benchmarks: check first that its "
_MOMENT += "weights were saved and loaded whole, and evaluate it again"
_WINDOW = "out since {compute:.3g} FLOPs: check the training from there on first (scripts, data "
_WINDOW += "order, learning rate), then the recipe against the ladder's"
_SLOWS = "out since {since:.3g} FLOPs, {lost:.0%} of the rise lost from there on: check first what "
_SLOWS += "changed then (learning rate, data), then the recipe against the ladder's"
_TINY = 1e-12


@dataclass(frozen=True)
class Statistics:
    """How far a run is from the model, by the cells so far.

    Attributes:
        mean, inverse: m (cell,) and S^-1 (cell, cell). rise: d (cell,). lost: l (onset, cell).
    """

    mean: np.ndarray
    inverse: np.ndarray
    rise: np.ndarray
    lost: np.ndarray

    @classmethod
    def of_draws(cls, y: np.ndarray, rise: np.ndarray, lost: np.ndarray) -> Statistics:
        """With mean and covariance of simulated y (draw, cell)."""
        covariance = np.cov(y, rowvar=False).reshape(len(rise), -1)
        return cls(y.mean(axis=0), np.linalg.pinv(covariance, hermitian=True), rise, lost)

    def values(self, y: np.ndarray) -> np.ndarray:
        """d' S^-1 (m - y), slows (0 without an onset), distance (3, ...) of y (..., cell)."""
        m_y = self.mean - y
        pull = m_y @ self.inverse
        slows = pull @ self.lost.T / np.sqrt(self._power(self.lost))
        most = slows.max(axis=-1) if len(self.lost) else np.zeros(slows.shape[:-1])
        return np.stack([pull @ self.rise, most, (pull * m_y).sum(axis=-1)])

    def behind(self, y: np.ndarray) -> tuple[float, float]:
        """Decades that y (cell,) is behind, and their sd."""
        power = float(self._power(self.rise))
        return float((self.mean - y) @ self.inverse @ self.rise) / power, power**-0.5

    def slowest(self, y: np.ndarray) -> tuple[int | None, float]:
        """The place of the onset at which y (cell,) slows most, and the share of its rise that it
        loses from there on; None and NaN without an onset."""
        if not len(self.lost):
            return None, np.nan
        pull, power = self.lost @ self.inverse @ (self.mean - y), self._power(self.lost)
        place = int(np.argmax(pull / np.sqrt(power)))
        return place, float(pull[place] / power[place])

    def _power(self, direction: np.ndarray) -> np.ndarray:
        """d' S^-1 d of each direction (..., cell)."""
        return np.maximum(((direction @ self.inverse) * direction).sum(axis=-1), _TINY)


def shortfalls(climb: np.ndarray, compute: np.ndarray, onsets: np.ndarray) -> np.ndarray:
    """l (onset, cell): what cells of this climb and compute lose if the run stops rising there."""
    return climb * np.maximum(np.log10(compute) - np.log10(onsets)[:, None], 0.0)


def advice(
    draws: tuple[np.ndarray, np.ndarray],
    rise: np.ndarray,
    lost: np.ndarray,
    observed: np.ndarray,
    cells: tuple[np.ndarray, np.ndarray],
    levels: np.ndarray,
    onsets: np.ndarray | None = None,
) -> str:
    """What to check first at a look at which a run departs.

    draws: simulated y of two halves (draw, cell), for the moments and for p. rise, lost, observed:
    of the cells so far. cells: their benchmarks and computes. levels: p of each statistic below
    which the look by itself departs (3,). onsets: computes (onset,), of a run that slows.
    """
    benchmark, compute = cells
    half, others = draws
    whole = Statistics.of_draws(half, rise, lost)
    inverse = whole.inverse
    pull = inverse @ (observed - whole.mean)

    def ends_without(out: np.ndarray) -> bool:
        """Whether nothing departs when these cells are left out."""
        kept = ~out
        if not kept.any():
            return True
        of = Statistics.of_draws(half[:, kept], rise[kept], lost[:, kept])
        extreme = of.values(others[:, kept]) >= of.values(observed[kept])[:, None]
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
    if onsets is not None:
        place, share = whole.slowest(observed)
        if place is not None and share > 0:
            return _SLOWS.format(since=onsets[place], lost=share)
    # The first moment without which, and all later ones, the run followed the model.
    first = next(m for m in moments if m == moments[-1] or not ends_without(compute > m))
    return _WINDOW.format(compute=first)


def _distance(pull: np.ndarray, inverse: np.ndarray, out: np.ndarray) -> float:
    """By how much the distance falls without these cells."""
    block = np.linalg.pinv(inverse[np.ix_(out, out)], hermitian=True)
    return float(pull[out] @ block @ pull[out])
