"""What items are clustered by: one smoothed pass rate for each ladder model.

Where a model has checkpoints, its feature is the mean over adjacent ones, as in the paper (A.2):

    f_im = mean{ rate_i(m, s) : the last three steps s before the end of m's training }

The answers of the last step are not in it. So the noise that assigns an item to its cluster is
independent of the noise in the rates that are fitted, and all trials of the last step are fitted.

Where a model has none, binomial thinning takes the place of independent answers: one half of the
item's trials at m, averaged with those of the two neighbours on the ladder, makes the feature, and
the other half is fitted. A mean over three models blurs the step where an item emerges; without it
the feature is noise.

Enough trials. A feature of N trials has a variance of at most 0.25 / N. Trial noise alone moves an
item as far as the largest radius, U^2 = M / 100 over M models, at N = 25:

    N = 3 n / 2    halves of n trials over three models          n >= 17
    N = w n        n trials at each of w checkpoints             n >= 9 for w = 3
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

from cod_bayes.clustering.mean_shift import smooth_over_ladder
from cod_bayes.evidence.record import ladder_of

MIN_TRIALS_OF_FEATURE = 25
_WINDOW = 3  # checkpoints
_SLICE = 2**16  # items split at once: bounds the memory


class Features(NamedTuple):
    """Features of a benchmark's items, and what is left to be fitted; all (item, model).

    feature   smoothed over checkpoints or over the ladder, finite
    rate      pass rates to be fitted, NaN missing
    n_trials  behind them; 0 missing, NaN not counted
    """

    feature: np.ndarray
    rate: np.ndarray
    n_trials: np.ndarray


def features(
    benchmark: xr.Dataset, checkpoints: xr.Dataset | None, rng: np.random.Generator | None
) -> Features:
    """The features of one benchmark of an evidence, over its ladder models.

    checkpoints: of the benchmark, as in `Evidence.checkpoints`. rng: for thinning; None: nothing is
    set apart to be fitted, and the last step is one of the adjacent ones.
    """
    ladder = ladder_of(benchmark)
    rate, n_trials = ladder["rate"].values, ladder["n_trials"].values
    steps = None
    if checkpoints is not None:
        steps = _adjacent(ladder, checkpoints, with_last=rng is None)
    del ladder  # it holds a copy of all cells
    feature = rate
    if rng is not None:
        feature, rate, n_trials = _thin(rate, n_trials, rng, steps)
    if steps is None:
        return Features(smooth_over_ladder(_fill_along_ladder(feature)), rate, n_trials)
    by_steps = np.isfinite(steps.rate)
    filled = _fill_along_ladder(np.where(by_steps, steps.rate, feature))
    return Features(np.where(by_steps, filled, smooth_over_ladder(filled)), rate, n_trials)


def trials_of_feature(benchmark: xr.Dataset, checkpoints: xr.Dataset | None) -> float:
    """N, the median over items and ladder models; inf where no trials are counted."""
    ladder = ladder_of(benchmark)
    rate, n_trials = ladder["rate"].values, ladder["n_trials"].values
    N = 1.5 * n_trials
    if checkpoints is not None:
        steps = _adjacent(ladder, checkpoints, with_last=False)
        np.copyto(N, steps.n_trials, where=np.isfinite(steps.rate))
    counted = np.isfinite(rate) & np.isfinite(N)
    return float(np.median(N[counted])) if counted.any() else np.inf


class _Steps(NamedTuple):
    """Means over adjacent steps (item, model): the rate, NaN where there is no checkpoint, and the
    trials of all of them, NaN where not counted."""

    rate: np.ndarray
    n_trials: np.ndarray


def _adjacent(ladder: xr.Dataset, checkpoints: xr.Dataset, *, with_last: bool) -> _Steps:
    rate = np.full(ladder["rate"].shape, np.nan)
    trials = np.full_like(rate, np.nan)
    for m, name in enumerate(ladder["model"].values):
        of = checkpoints.isel(checkpoint=np.flatnonzero(checkpoints["model"] == name))
        if not of.sizes["checkpoint"]:
            continue
        parts = [of.isel(checkpoint=slice(-_WINDOW, None))]
        if with_last:
            last = ladder.isel(model=m, drop=True).expand_dims("checkpoint", 1)
            parts = [of.isel(checkpoint=slice(1 - _WINDOW, None)), last]
        p, n = (
            np.concatenate([part[variable].values for part in parts], axis=1)
            for variable in ("rate", "n_trials")
        )
        known = np.isfinite(p)
        has = np.isfinite(of["rate"].values).any(axis=1) & known.any(axis=1)
        total = np.where(known, p, 0.0).sum(axis=1)
        rate[has, m] = total[has] / known.sum(axis=1)[has]
        trials[has, m] = np.where(known, n, 0.0).sum(axis=1)[has]
    return _Steps(rate, trials)


def _thin(
    rate: np.ndarray, n_trials: np.ndarray, rng: np.random.Generator, steps: _Steps | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split counted cells in two: features from one half of the trials, rates from the other.

    Cells that have checkpoints stay whole.
    """
    feature, rate, n_trials = rate.copy(), rate.copy(), n_trials.copy()
    for start in range(0, len(rate), _SLICE):
        part = slice(start, start + _SLICE)
        counted = np.isfinite(n_trials[part]) & (n_trials[part] >= 2) & np.isfinite(rate[part])
        if steps is not None:
            counted &= np.isnan(steps.rate[part])
        n = np.rint(n_trials[part][counted]).astype(np.int64)
        y = np.rint(rate[part][counted] * n).astype(np.int64)
        half = n // 2
        y_half = rng.hypergeometric(y, n - y, half)
        feature[part][counted] = y_half / half
        rate[part][counted] = (y - y_half) / (n - half)
        n_trials[part][counted] = n - half
    return feature, rate, n_trials


def _fill_along_ladder(feature: np.ndarray) -> np.ndarray:
    """Missing cells interpolated between the item's neighbours on the ladder.

    Only the distances between items use these values.
    """
    filled = feature.copy()
    position = np.arange(feature.shape[1])
    for i in np.flatnonzero(~np.isfinite(feature).all(axis=1)):
        known = np.isfinite(feature[i])
        filled[i] = np.interp(position, position[known], feature[i, known]) if known.any() else 0.0
    return filled
