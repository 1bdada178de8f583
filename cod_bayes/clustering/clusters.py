"""Clusters of items of similar difficulty, and the rates to fit their curves to.

Two routes, chosen by the number of trials behind each pass rate:

- **mean_shift**: the paper's improved MeanShift (COD 4.1, A.1), where trial noise is small. With
  counts, one half of each item's trials forms the clusters and the other half gives the rates
  (binomial thinning). So the noise that assigned an item to its cluster is independent of the noise
  in the rates.
- **one_cluster**: where trial noise is large, or MeanShift finds a single group. With few answers,
  clusters reflect luck as much as difficulty: items that a large model happened to solve form a
  cluster that seems to rise steeply. The mean over all items is free of this selection. The
  parameter nu (`cod_bayes.model.statement`) models the spread of the items.

The switch is at n = 17 trials. There, trial noise alone, after smoothing over three models, moves
an item as far as the largest radius U = sqrt(M) / 10: 0.25 / (n/2) / 3 = 0.01.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from cod_bayes.clustering.mean_shift import improved_mean_shift, smooth_over_ladder
from cod_bayes.evidence.missing import rates_on_all
from cod_bayes.evidence.record import ladder_of
from cod_bayes.evidence.trials import noise_share

MIN_TRIALS_FOR_MEAN_SHIFT = 17
OUTLIERS, ZERO = "outliers", "zero"
KIND_OF_LABEL = {-1: OUTLIERS, -2: ZERO}  # all other labels are clusters
_MIN_ITEMS = 20  # two clusters of K = 10; a benchmark with fewer items is one cluster
_SLICE = 2**16  # items split or measured at once: bounds the memory


@dataclass(frozen=True)
class Clusters:
    """The clusters of one benchmark.

    Attributes:
        route: "one_cluster", "mean_shift" or "given" (`cod_bayes.clustering.labels`).
        kind: (cluster,) "cluster", "outliers" or "zero" (no success on the whole ladder).
        membership: (item, cluster) 1 where the item is in the cluster, else 0.
        rate: (cluster, model) pass rate over ladder models, NaN where nothing was measured.
        n_trials: (cluster, model) trials behind each rate; inf for rates without a trial count.
        doubt: (cluster, model) variance of each rate from items that the model lacks, radians
            squared of arcsine root, as in `cod_bayes.evidence.missing`.
        chance: (cluster,) chance level, NaN where unknown.
        noise_share: (cluster,) h of `cod_bayes.evidence.trials`.
    """

    route: str
    kind: np.ndarray
    membership: np.ndarray
    rate: np.ndarray
    n_trials: np.ndarray
    doubt: np.ndarray
    chance: np.ndarray
    noise_share: np.ndarray

    @property
    def weight(self) -> np.ndarray:
        """Share of the benchmark's items in each cluster. (cluster,)"""
        return self.membership.mean(axis=0)


def cluster(
    benchmark: xr.Dataset,
    rng: np.random.Generator,
    clusterer: object | None = None,
    *,
    whole: bool = False,
) -> Clusters:
    """Group the items of one benchmark by how their pass rate grows over the ladder.

    Args:
        benchmark: dims (item, model), as in `Evidence.benchmarks`; only models of the role
            "ladder" are used.
        rng: for thinning.
        clusterer: any scikit-learn clusterer (label -1: outlier) in place of improved MeanShift;
            it is used whatever the number of trials.
        whole: make one cluster, whatever the number of trials.
    """
    ladder = ladder_of(benchmark)
    rate, n_trials = ladder["rate"].values, ladder["n_trials"].values
    chance = benchmark["chance"].values
    del ladder  # it holds a copy of all cells

    if whole or len(rate) < _MIN_ITEMS:
        return _one(rate, n_trials, chance)
    if clusterer is None and typical_trials(benchmark) < MIN_TRIALS_FOR_MEAN_SHIFT:
        return _one(rate, n_trials, chance)

    feature, rate, n_trials = _thin(rate, n_trials, rng)
    labels = item_labels(feature, clusterer)
    names = np.unique(labels)
    if len(names) == 1:
        # One cluster uses all trials, so it is made from the benchmark and not from a half.
        return cluster(benchmark, rng, whole=True)
    kind = np.array([KIND_OF_LABEL.get(k, "cluster") for k in names.tolist()])
    membership = (labels[:, None] == names).astype(float)
    return measure("mean_shift", kind, membership, rate, n_trials, chance)


def typical_trials(benchmark: xr.Dataset) -> float:
    """The median number of trials of an item and ladder model; inf where none is counted."""
    ladder = ladder_of(benchmark)
    rate, n_trials = ladder["rate"].values, ladder["n_trials"].values
    counted = np.isfinite(rate) & np.isfinite(n_trials)
    return float(np.median(n_trials[counted])) if counted.any() else np.inf


def item_labels(feature: np.ndarray, clusterer: object | None) -> np.ndarray:
    """Labels (item,) of rates (item, model): 0, 1, .., -1 outlier, -2 no success on the ladder."""
    feature = _fill_along_ladder(feature)
    zero = ~(feature > 0).any(axis=1)
    labels = np.full(len(feature), -2)
    labels[~zero] = -1
    if (~zero).sum() >= _MIN_ITEMS:
        smooth = smooth_over_ladder(feature[~zero])
        if clusterer is None:
            labels[~zero] = improved_mean_shift(smooth).labels
        else:
            labels[~zero] = clusterer.fit(smooth).labels_  # type: ignore[attr-defined]
    return labels


def _one(rate: np.ndarray, n_trials: np.ndarray, chance: np.ndarray) -> Clusters:
    membership = np.ones((len(rate), 1))
    return measure("one_cluster", np.array(["cluster"]), membership, rate, n_trials, chance)


def _thin(
    rate: np.ndarray, n_trials: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split counted cells in two: features from one half of the trials, rates from the other."""
    feature, rate, n_trials = rate.copy(), rate.copy(), n_trials.copy()
    for start in range(0, len(rate), _SLICE):
        part = slice(start, start + _SLICE)
        counted = np.isfinite(n_trials[part]) & (n_trials[part] >= 2) & np.isfinite(rate[part])
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


def measure(
    route: str,
    kind: np.ndarray,
    membership: np.ndarray,
    rate: np.ndarray,
    n_trials: np.ndarray,
    chance: np.ndarray,
) -> Clusters:
    """Rates and trials per cluster and model, as in `cod_bayes.evidence.missing`."""
    rates = rates_on_all(rate, n_trials, membership)
    with np.errstate(invalid="ignore", divide="ignore"):
        known = np.isfinite(chance)
        level = membership.T @ np.where(known, chance, 0.0) / (membership.T @ known.astype(float))
    trials = np.where(np.isfinite(rates.trials), rates.trials, np.inf)
    return Clusters(
        route,
        kind,
        membership,
        rates.rate,
        np.where(np.isfinite(rates.rate), trials, 0.0),
        rates.doubt,
        level if known.any() else np.full(len(kind), np.nan),
        noise_share(rate, n_trials, membership, rates.rate),
    )
