"""The groups of a fit's tree beside its draws: what was observed, and what a forecast needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from cod_bayes.evidence.missing import rates_on_all
from cod_bayes.evidence.record import Evidence, ladder_of
from cod_bayes.evidence.trials import noise_share, trials_of_mean
from cod_bayes.forecast.curves import Curves
from cod_bayes.model.ladder import LadderData

if TYPE_CHECKING:
    from cod_bayes.clustering.clusters import Clusters

_ENOUGH = 0.95  # of the items: with fewer, a mean would be over easier or harder ones


def observed_data(ladder: LadderData) -> xr.Dataset:
    """`z` of the measured cells in one row, as ArviZ's predictive checks take it."""
    return xr.Dataset({"z": ("cell", ladder.z[ladder.measured])}, {"cell": ladder.cells})


def constant_data(
    evidence: Evidence, clusters: dict[str, Clusters], ladder: LadderData, assumed_trials: float
) -> xr.Dataset:
    """The ladder as it was fitted, and what forecasts and pictures need of the evidence."""
    score = np.full((len(ladder.benchmark), len(ladder.model)), np.nan)
    trials = np.empty(len(ladder.benchmark))
    share = np.ones(len(ladder.benchmark))
    for b, name in enumerate(ladder.benchmark):
        models = ladder_of(evidence.benchmarks[name])
        at = [ladder.model.index(m) for m in models["model"].values]
        rate, n_trials = models["rate"].values, models["n_trials"].values
        every = np.ones((len(rate), 1))
        rates = rates_on_all(rate, n_trials, every)
        score[b, at] = rates.rate[0]
        of_clusters = clusters[name].noise_share
        alone = len(of_clusters) == 1  # then its cluster is the benchmark
        share[b] = (of_clusters if alone else noise_share(rate, n_trials, every, rates.rate))[0]
        # As many as if the largest model had all items: the target will.
        total = rates.trials[0, -1] / np.isfinite(rate[:, -1]).mean()
        counted = np.isfinite(total) and total > 0
        trials[b] = total if counted else assumed_trials * len(rate)
    groups = [clusters[name] for name in ladder.benchmark]
    sizes = evidence.models.reindex(index=ladder.model, columns=["params", "tokens"])
    values = {
        "compute": ("model", 10**ladder.x),
        "params": ("model", sizes["params"].to_numpy(dtype=float)),
        "tokens": ("model", sizes["tokens"].to_numpy(dtype=float)),
        "x_ref": ("benchmark", ladder.x_ref),
        "top": ("benchmark", ladder.top),
        "score": (("benchmark", "model"), score),
        "trials": ("benchmark", trials),
        "noise_share": ("benchmark", share),
        "noise": (("cluster", "model"), np.where(ladder.measured, ladder.noise, np.nan)),
        "chance": ("cluster", ladder.chance),
        "benchmark_of_cluster": ("cluster", np.array(ladder.benchmark)[ladder.of_cluster]),
        "weight": ("cluster", ladder.weight),
        "nu_ratio": ("cluster", ladder.nu_ratio),
        "kind": ("cluster", np.concatenate([group.kind for group in groups])),
        "clustered": ("benchmark", ladder.clustered),
        "route": ("benchmark", np.array([group.route for group in groups])),
    }
    return xr.Dataset(values, ladder.coords)


def ladder_of_tree(tree: xr.DataTree) -> LadderData:
    """The ladder that a fit's tree was made from."""
    c = tree["constant_data"].to_dataset()
    names = {dim: c[dim].values.astype(str).tolist() for dim in ("benchmark", "cluster", "model")}
    noise = np.where(np.isnan(c["noise"].values), np.inf, c["noise"].values)
    z = np.zeros(noise.shape)
    z[np.isfinite(noise)] = tree["observed_data"].to_dataset()["z"].values
    of = [names["benchmark"].index(name) for name in c["benchmark_of_cluster"].values]
    chance, ratio, weight = (c[name].values for name in ("chance", "nu_ratio", "weight"))
    x, x_ref = np.log10(c["compute"].values), c["x_ref"].values
    row = np.array(of), x, x_ref, z, noise, chance, ratio, weight, c["clustered"].values
    return LadderData(names["benchmark"], names["cluster"], names["model"], *row)


def add_items(
    tree: xr.DataTree,
    evidence: Evidence,
    clusters: dict[str, Clusters],
    ladder: LadderData,
    assumed_trials: float,
) -> None:
    """Add `items`, how each counts in the predictable subset, and `anchors`, what they show."""
    posterior, constant = (tree[name].to_dataset() for name in ("posterior", "constant_data"))
    weights = {}
    for b, (name, groups) in enumerate(clusters.items()):
        inside = np.flatnonzero(ladder.of_cluster == b)
        predictable = Curves.of(posterior, constant, inside).predictable
        weights[name] = groups.membership @ counted(predictable)
    benchmark = np.repeat(list(weights), [len(v) for v in weights.values()])
    item = np.concatenate([evidence.benchmarks[name]["item"].values for name in weights])
    items = {
        "subset_weight": ("item", np.concatenate(list(weights.values()))),
        "benchmark_of_item": ("item", benchmark),
    }
    tree["items"] = xr.DataTree(xr.Dataset(items, {"item": item}))
    tree["anchors"] = xr.DataTree(anchors_of(evidence, weights, assumed_trials))


def checkpoints_of_ladder(evidence: Evidence, assumed_trials: float) -> xr.Dataset | None:
    """What the ladder's models scored at each step of their training, the last one included; None
    where no ladder model has checkpoints. NaN where a step lacks more than a few items."""
    found: dict[tuple[int, float], dict[str, tuple[float, float]]] = {}  # model and share of it
    order = {name: m for m, name in enumerate(evidence.ladder)}
    for name, earlier in evidence.checkpoints.items():
        data = ladder_of(evidence.benchmarks[name])
        for m, model in enumerate(data["model"].values):
            steps = earlier.isel(checkpoint=np.flatnonzero(earlier["model"] == model))
            if not steps.sizes["checkpoint"]:
                continue
            rate, n = (
                np.column_stack([steps[of].values, data[of].values[:, m]])
                for of in ("rate", "n_trials")
            )
            known = np.isfinite(rate)
            n = np.where(known, np.where(np.isnan(n), assumed_trials, n), np.inf)
            items = known.sum(axis=0)
            trials = trials_of_mean(items, (1 / n).sum(axis=0))
            score = np.where(known, rate, 0.0).sum(axis=0) / np.maximum(items, 1)
            for t, share in enumerate([*steps["training"].values, 1.0]):
                if items[t] >= _ENOUGH * len(rate):
                    found.setdefault((order[model], share), {})[name] = score[t], trials[t]
    if not found:
        return None
    moments, names = sorted(found), list(evidence.benchmarks)
    nothing = (np.nan, np.nan)
    table = np.array([[found[at].get(name, nothing) for at in moments] for name in names])
    models = np.array([evidence.ladder[m] for m, _ in moments])
    share = np.array([s for _, s in moments])
    return xr.Dataset(
        {
            "score": (("benchmark", "checkpoint"), table[..., 0]),
            "trials": (("benchmark", "checkpoint"), table[..., 1]),
            "model_of_checkpoint": ("checkpoint", models),
            "training": ("checkpoint", share),
        },
        {
            "benchmark": names,
            "checkpoint": [f"{m} {s:.12g}" for m, s in zip(models, share, strict=True)],
        },
    )


def score_trials(tree: xr.DataTree) -> np.ndarray:
    """Trials of one success probability whose plain mean is as noisy as a measured score: those of
    the largest ladder model over the noise share. (benchmark,)"""
    constant = tree["constant_data"].to_dataset()
    return constant["trials"].values / constant["noise_share"].values


def counts_of(tree: xr.DataTree, names: Sequence[str]) -> dict[str, tuple[str, np.ndarray]]:
    """`items` of each benchmark, the trials of the largest ladder model where it is known by one
    score, and `ladder_models` that have a result on it, both (benchmark,)."""
    constant = tree["constant_data"].to_dataset().sel(benchmark=list(names))
    of = tree["items"]["benchmark_of_item"].values if "items" in tree.children else np.empty(0)
    n = np.array([np.count_nonzero(of == name) for name in names], float)
    models = np.isfinite(constant["score"].values).sum(axis=1)
    return {
        "items": ("benchmark", np.where(n > 1, n, constant["trials"].values)),
        "ladder_models": ("benchmark", models),
    }


def counted(predictable: np.ndarray) -> np.ndarray:
    """How a benchmark's clusters count in its predictable subset: with P(predictable), or in full
    where there is one cluster. (cluster,)"""
    return predictable if len(predictable) > 1 else np.ones(1)


def anchors_of(
    evidence: Evidence, weights: dict[str, np.ndarray], assumed_trials: float
) -> xr.Dataset:
    """Each anchor's accuracy on the subset and on the rest, and `n_rest`, the trials whose plain
    mean is as noisy as that of the rest.

    n_rest has assumed_trials an item where any are not counted, and less where some are lacking
    (`cod_bayes.evidence.missing`). All three are NaN where the subset or the rest holds less than
    one item of the anchor's.
    """
    names = list(evidence.models.index[evidence.models["role"] == "anchor"])
    table = np.full((3, len(weights), len(names)), np.nan)
    for b, (name, weight) in enumerate(weights.items()):
        benchmark = evidence.benchmarks[name]
        models = benchmark["model"].values
        rate, n_trials = benchmark["rate"].values, benchmark["n_trials"].values
        parts = np.stack([weight, 1 - weight], axis=1)  # (item, part): the subset, the rest
        helps = benchmark["role"].values == "ladder"
        for j, anchor in enumerate(names):
            if anchor not in models:
                continue
            at = helps | (models == anchor)
            own = int((models[at] == anchor).argmax())
            known = np.isfinite(rate[:, models == anchor])
            if ((parts * known).sum(axis=0) < 1).any():
                continue
            found = rates_on_all(rate[:, at], n_trials[:, at], parts, helps[at])
            trials = found.trials[1, own]
            if not np.isfinite(trials):
                trials = assumed_trials * parts[:, 1].sum() ** 2 / (parts[:, 1] ** 2).sum()
            trials = 1 / (1 / trials + 4 * found.doubt[:, own].sum())
            # The sums of an anchor that solves all items may round to a hair above 1.
            table[:, b, j] = *np.minimum(found.rate[:, own], 1.0), trials
    dims = ("benchmark", "anchor")
    return xr.Dataset(
        {n: (dims, t) for n, t in zip(("subset", "rest", "n_rest"), table, strict=True)},
        {"benchmark": list(weights), "anchor": np.array(names, dtype=str)},
    )
