"""A ladder as the model sees it: clusters, their pass rates, the models' computes."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cod_bayes.model.equations import arcsine

if TYPE_CHECKING:
    from cod_bayes.clustering.clusters import Clusters
    from cod_bayes.evidence.record import Evidence

# Distances from the largest ladder model, decades, at which a curve of any family is tabulated.
AHEAD = np.concatenate([np.arange(-6, -3, 0.5), np.arange(-30, 40) / 10, np.arange(4, 8.1, 0.5)])
_MIN_CLUSTERS_TO_FALL = 3


@dataclass(frozen=True)
class LadderData:
    """The clusters of all benchmarks in one row of arrays: what a model is stated on.

    Attributes:
        benchmark: (benchmark,) names; cluster: (cluster,) names; model: (model,) names.
        of_cluster: (cluster,) index of each cluster's benchmark.
        x: (model,) log10 FLOPs, ascending. x_ref: (benchmark,) of the largest ladder model.
        z: (cluster, model) arcsine-root pass rate, radians; 0 where nothing was measured.
        noise: (cluster, model) sampling variance h/(4 n), radians^2, with the evaluation noise, the
            doubt about items that the model lacks, and the variance of a fall; inf where nothing
            was measured.
        chance: (cluster,) chance level, NaN where unknown.
        nu_ratio: (cluster,) nu of the cluster over its benchmark's.
        weight: (cluster,) the cluster's share of its benchmark's items.
        clustered: (benchmark,) whether the fit has several clusters of its items. It stays true
            where whole benchmarks are sampled, with one curve each. Empty: as `of_cluster` says.
    """

    benchmark: list[str]
    cluster: list[str]
    model: list[str]
    of_cluster: np.ndarray
    x: np.ndarray
    x_ref: np.ndarray
    z: np.ndarray
    noise: np.ndarray
    chance: np.ndarray
    nu_ratio: np.ndarray
    weight: np.ndarray = field(default_factory=lambda: np.empty(0))
    clustered: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=bool))

    @property
    def top(self) -> np.ndarray:
        """Index of each benchmark's largest ladder model. (benchmark,)"""
        top = np.searchsorted(self.x, self.x_ref, side="right") - 1
        for b, last in enumerate(top):  # of models with equal compute, one that was evaluated
            evaluated = self.measured[self.of_cluster == b].any(axis=0)
            largest = np.flatnonzero(evaluated & (self.x == self.x[last]))
            top[b] = largest[-1] if len(largest) else last
        return top

    @property
    def measured(self) -> np.ndarray:
        """Where a pass rate is known. (cluster, model)"""
        return np.isfinite(self.noise)

    @property
    def free_answer(self) -> np.ndarray:
        """Whether nothing is gained by guessing: the chance level is known to be 0. (cluster,)"""
        return self.chance == 0

    @property
    def sharing(self) -> np.ndarray:
        """Whether a benchmark shares the priors of its curves: those that have clusters do, if
        there are two or more. (benchmark,)"""
        clustered = self.clustered
        if not len(clustered):
            clustered = np.bincount(self.of_cluster, minlength=len(self.benchmark)) > 1
        return clustered & (np.count_nonzero(clustered) > 1)

    @property
    def walk(self) -> np.ndarray:
        """Steps to a random walk that starts at 0 at each benchmark's largest model:
        W_b(x_m) = sum_j walk[b, m, j] step_bj, of variance |x_m - x_b|.

        (benchmark, model, model), root decades
        """
        walk = np.zeros((len(self.benchmark), len(self.model), len(self.model)))
        root = np.sqrt(np.diff(self.x))
        for b, top in enumerate(self.top):
            for m in range(len(self.model)):
                walk[b, m, m:top] = root[m:top]
                walk[b, m, top + 1 : m + 1] = root[top:m]
        return walk

    def only(self, b: int) -> LadderData:
        """Benchmark b alone, over the same models."""
        inside = self.of_cluster == b
        return LadderData(
            [self.benchmark[b]],
            [name for name, keep in zip(self.cluster, inside, strict=True) if keep],
            self.model,
            np.zeros(inside.sum(), dtype=int),
            self.x,
            self.x_ref[[b]],
            self.z[inside],
            self.noise[inside],
            self.chance[inside],
            self.nu_ratio[inside],
            self.weight[inside] if len(self.weight) else self.weight,
            self.clustered[[b]] if len(self.clustered) else self.clustered,
        )

    @property
    def coords(self) -> dict[str, list[str]]:
        return {"benchmark": self.benchmark, "cluster": self.cluster, "model": self.model}

    @property
    def cells(self) -> list[str]:
        """Names of the measured cells, cluster by cluster: "GSM8K/3 1.9B"."""
        pairs = zip(*np.nonzero(self.measured), strict=True)
        return [f"{self.cluster[k]} {self.model[m]}" for k, m in pairs]


def ladder_data(
    evidence: Evidence,
    clusters: dict[str, Clusters],
    constants: dict[str, float],
    *,
    clustered: Collection[str] = (),
) -> LadderData:
    """All benchmarks' clusters over the union of the ladder models.

    constants: of the model. evaluation_noise (radians) adds to the sampling noise h/(4 n)
    (`cod_bayes.evidence.trials`); n is assumed_trials an item where trials are not counted.
    clustered: benchmarks that have several clusters in another posterior of the same fit.
    """
    models = list(evidence.ladder)
    x = np.log10(evidence.models.loc[models, "compute"].to_numpy(float))
    rate: list[np.ndarray] = []
    trials: list[np.ndarray] = []
    doubt: list[np.ndarray] = []
    share: list[np.ndarray] = []
    items: list[np.ndarray] = []
    of_cluster, names, x_ref, chance, ratio = [], [], [], [], []
    for b, (name, groups) in enumerate(clusters.items()):
        benchmark = evidence.benchmarks[name]
        evaluated = benchmark["model"].values[benchmark["role"].values == "ladder"]
        at = [models.index(m) for m in evaluated]
        wide = np.full((3, len(groups.kind), len(models)), np.nan)
        wide[:, :, at] = groups.rate, groups.n_trials, groups.doubt
        for parts, values in zip((rate, trials, doubt), wide, strict=True):
            parts.append(values)
        share.append(groups.noise_share)
        items.append(groups.membership.sum(axis=0))
        of_cluster += [b] * len(groups.kind)
        names += [f"{name}/{j}" for j in range(len(groups.kind))]
        x_ref.append(x[at].max())
        chance.append(groups.chance)
        whole = groups.route == "one_cluster"
        ratio += [1.0 if whole else constants[f"nu_ratio_{kind}"] for kind in groups.kind]
    p, n = np.concatenate(rate), np.concatenate(trials)
    n = np.where(np.isposinf(n), constants["assumed_trials"] * np.concatenate(items)[:, None], n)
    measured = np.isfinite(p) & (n > 0)
    sampling = np.concatenate(share)[:, None] / (4 * np.where(measured, n, 1.0))
    sampling += constants["evaluation_noise"] ** 2
    noise = np.where(measured, sampling + np.concatenate(doubt), np.inf)
    z = np.where(measured, arcsine(p, n), 0.0)
    of = np.array(of_cluster)
    for b in range(len(clusters)):
        noise[of == b] += fall_variance(z[of == b], noise[of == b])[:, None]
    return LadderData(
        list(clusters),
        names,
        models,
        of,
        x,
        np.array(x_ref),
        z,
        noise,
        np.concatenate(chance),
        np.array(ratio),
        np.concatenate([groups.weight for groups in clusters.values()]),
        np.array([b in clustered or len(of.kind) > 1 for b, of in clusters.items()]),
    )


def fall_variance(z: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Variance of a benchmark's clusters that no rising curve explains, radians^2. (cluster,)

    It is the mean square around the nearest rising line (isotonic regression), after the median
    over the clusters at each model is taken out, beyond the noise. Without it a cluster that falls
    would pull on the slopes of all the others. One or two clusters get 0: there, a fall may as well
    be the model's own shock.

    z, noise: (cluster, model).
    """
    if len(z) < _MIN_CLUSTERS_TO_FALL:
        return np.zeros(len(z))
    from sklearn.isotonic import isotonic_regression

    away = np.full(z.shape, np.nan)
    for k in range(len(z)):
        measured = np.isfinite(noise[k])
        if measured.any():
            weight = 1 / noise[k, measured]
            line = isotonic_regression(z[k, measured], sample_weight=weight)
            away[k, measured] = z[k, measured] - line
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a model or a cluster without a cell
        away = away - np.nanmedian(away, axis=0)
        known_noise = np.where(np.isfinite(noise), noise, np.nan)
        excess = np.nanmean(away**2 - known_noise, axis=1)
    return np.fmax(excess, 0.0)
