"""Clusters of items of similar difficulty, and the rates to fit their curves to.

Two routes, chosen by the number of trials behind what an item is clustered by:

- **mean_shift**: the paper's improved MeanShift (COD 4.1, A.1), where trial noise is small. The
  trials that form the clusters are not those that give the rates (`cod_bayes.clustering.features`).
  So the noise that assigned an item to its cluster is independent of the noise in the rates.
- **one_cluster**: where trial noise is large, or MeanShift finds a single group. With few answers,
  clusters reflect luck as much as difficulty: items that a large model happened to solve form a
  cluster that seems to rise steeply. The mean over all items is free of this selection. The
  parameter nu (`cod_bayes.model.statement`) models the spread of the items.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from cod_bayes.clustering.features import MIN_TRIALS_OF_FEATURE, features, trials_of_feature
from cod_bayes.clustering.mean_shift import improved_mean_shift
from cod_bayes.evidence.missing import rates_on_all
from cod_bayes.evidence.record import ladder_of
from cod_bayes.evidence.trials import noise_share

OUTLIERS, ZERO = "outliers", "zero"
KIND_OF_LABEL = {-1: OUTLIERS, -2: ZERO}  # all other labels are clusters
_MIN_ITEMS = 20  # two clusters of K = 10; a benchmark with fewer items is one cluster


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
    checkpoints: xr.Dataset | None = None,
) -> Clusters:
    """Group the items of one benchmark by how their pass rate grows over the ladder.

    Args:
        benchmark: dims (item, model), as in `Evidence.benchmarks`; only models of the role
            "ladder" are used.
        rng: for thinning.
        clusterer: any scikit-learn clusterer (label -1: outlier) in place of improved MeanShift;
            it is used whatever the number of trials.
        whole: make one cluster, whatever the number of trials.
        checkpoints: of the benchmark, as in `Evidence.checkpoints`.
    """
    if whole or benchmark.sizes["item"] < _MIN_ITEMS:
        return _one(benchmark)
    if clusterer is None and trials_of_feature(benchmark, checkpoints) < MIN_TRIALS_OF_FEATURE:
        return _one(benchmark)

    feature, rate, n_trials = features(benchmark, checkpoints, rng)
    labels = item_labels(feature, clusterer)
    names = np.unique(labels)
    if len(names) == 1:
        # One cluster uses all trials, so it is made from the benchmark and not from a half.
        return _one(benchmark)
    kind = np.array([KIND_OF_LABEL.get(k, "cluster") for k in names.tolist()])
    membership = (labels[:, None] == names).astype(float)
    return measure("mean_shift", kind, membership, rate, n_trials, benchmark["chance"].values)


def item_labels(feature: np.ndarray, clusterer: object | None) -> np.ndarray:
    """Labels (item,) of features (item, model): 0, 1, .., -1 outlier, -2 zero at every model."""
    zero = ~(feature > 0).any(axis=1)
    labels = np.full(len(feature), -2)
    labels[~zero] = -1
    if (~zero).sum() >= _MIN_ITEMS:
        if clusterer is None:
            labels[~zero] = improved_mean_shift(feature[~zero]).labels
        else:
            labels[~zero] = clusterer.fit(feature[~zero]).labels_  # type: ignore[attr-defined]
    return labels


def _one(benchmark: xr.Dataset) -> Clusters:
    ladder = ladder_of(benchmark)
    rate, n_trials = ladder["rate"].values, ladder["n_trials"].values
    del ladder  # it holds a copy of all cells
    membership = np.ones((len(rate), 1))
    kind = np.array(["cluster"])
    return measure("one_cluster", kind, membership, rate, n_trials, benchmark["chance"].values)


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
