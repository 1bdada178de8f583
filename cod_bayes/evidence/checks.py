"""What the evidence can bear: items that are dropped, ladders that are refused, doubts."""

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from cod_bayes.evidence.missing import rates_on_all
from cod_bayes.evidence.words import EvidenceError, Findings, count, shorten, some

__all__ = ["check_targets", "drop_items", "examine", "on_ladder"]

_RARE = 2 / 3  # share of the ladder that may lack an item
_FEW = 0.05  # share of the items that a model may lack, where its score hardly moves,
_MOVED = 0.01  # without being named
_FARTHEST = 6.0  # decades from the ladder: a target beyond has its compute in another unit


def on_ladder(data: xr.Dataset) -> np.ndarray:
    """Which models of a benchmark are ladder models (model,), bool."""
    return data["role"].values == "ladder"


def check_targets(compute: ArrayLike, ladder: ArrayLike) -> None:
    """Refuse computes of targets that cannot be, or are in another unit than the ladder's.

    compute: of targets; ladder: of its models; FLOPs.
    """
    targets, models = np.atleast_1d(np.asarray(compute, float)), np.asarray(ladder, float)
    if not (np.isfinite(targets).all() and (targets > 0).all()):
        raise ValueError(f"expected compute > 0 in FLOPs, got {targets.tolist()}")
    low, high = models.min(), models.max()
    away = np.maximum(np.log10(targets) - np.log10(high), np.log10(low) - np.log10(targets))
    if (far := away > _FARTHEST + 1e-9).any():
        target = float(targets[far][0])
        raise ValueError(
            f"expected a target compute in the unit of the ladder ({low:.3g} to {high:.3g}), got "
            f"{target:.3g}, {away[far][0]:.0f} decades {'above' if target > high else 'below'} it: "
            "give it in FLOPs (1 PFLOP/s-day is 8.64e19)"
        )


def drop_items(datasets: dict[str, xr.Dataset], findings: Findings) -> dict[str, xr.Dataset]:
    """Drop the items that more than two thirds of the ladder models lack, or with chance 1."""
    certain_items: list[str] = []
    rare_items: list[str] = []
    lost_models, kept = [], {}
    for name, data in datasets.items():
        present = data["rate"].notnull().values
        ladder = on_ladder(data)
        certain = data["chance"].values == 1
        rare = np.zeros(len(present), dtype=bool)
        if ladder.any():
            rare = (~present[:, ladder]).mean(axis=1) > _RARE
        if (dropped := rare | certain).all():
            raise EvidenceError(
                f"no item of benchmark {shorten(name)!r} has results from a third of its "
                f"{int(ladder.sum())} ladder models (and a chance below 1): check that all models "
                "use the same item names"
            )
        if dropped.any():
            for which, lines in ((certain, certain_items), (rare & ~certain, rare_items)):
                if which.any():
                    examples = some(data["item"].values[which])
                    lines.append(f"{name}: {count(which, 'item')} ({examples})")
            models = present[~dropped].any(axis=0)
            lost_models += [f"{m} on {name}" for m in data["model"].values[~models]]
            data = data.isel(item=np.flatnonzero(~dropped), model=np.flatnonzero(models))
        kept[name] = data
    for lines, sentence in (
        (certain_items, "Items with chance 1 measure nothing and are dropped. {}."),
        (
            rare_items,
            "Items that over two thirds of the ladder lack are dropped; the forecast is of the "
            "others. {}.",
        ),
        (
            lost_models,
            "Models without a result on the items that remain are left out: {}; check that all "
            "models use the same item names.",
        ),
    ):
        if lines:
            findings.warn(sentence.format(some(lines)))
    _say_what_is_missing(kept, findings)
    return kept


def _say_what_is_missing(datasets: dict[str, xr.Dataset], findings: Findings) -> None:
    """Which models lack how many items, and what that does to their scores."""
    few: list[str] = []
    completed: list[str] = []
    own_items: list[str] = []
    for name, data in datasets.items():
        rate = data["rate"].values
        lacking = np.isnan(rate).sum(axis=0)
        if not lacking.any():
            continue
        own = np.nanmean(rate, axis=0)
        every_item = np.ones((len(rate), 1))
        full = rates_on_all(rate, data["n_trials"].values, every_item, on_ladder(data)).rate[0]
        grave = (lacking > _FEW * len(rate)) | (np.abs(full - own) > _MOVED)
        for j in np.flatnonzero((lacking > 0) & grave):
            model, target = data["model"].values[j], data["role"].values[j] == "target"
            (own_items if target else completed).append(
                f"{model} lacks {lacking[j]:,} of {count(len(rate), 'item')} of {name} "
                f"({100 * own[j]:.1f} % on its own, some {100 * full[j]:.1f} % on all)"
            )
        if len(slight := np.flatnonzero((lacking > 0) & ~grave)):
            models = some(f"{data['model'].values[j]} {lacking[j]:,}" for j in slight)
            cells = count(lacking[slight].sum(), "cell")
            few.append(f"{name}: {cells} of {rate.size:,} ({models})")
    for lines, sentence in (
        (
            completed,
            "Models that lack items are given a score on all items, from how the other ladder "
            "models score on those items: {}.",
        ),
        (
            own_items,
            "The results of targets that lack items are over their own items, the forecast is over "
            "all: {}.",
        ),
        (few, "A few cells are missing. {}."),
    ):
        if lines:
            findings.warn(sentence.format(some(lines)))


def examine(models: pd.DataFrame, datasets: dict[str, xr.Dataset], findings: Findings) -> None:
    """Refuse ladders that allow no forecast; warn of what is doubtful about the others."""
    compute = {name: data["compute"].values[on_ladder(data)] for name, data in datasets.items()}
    _refuse_short_ladders(compute)
    doubts = _Doubts()
    only_two = int((models["role"] == "ladder").sum()) == 2
    if only_two:
        doubts.add(
            "The ladder has only 2 models: a curve through two points cannot be checked; expect "
            "wide forecasts."
        )
    largest = models["compute"].max()
    if not 1e15 <= largest <= 1e28:
        doubts.add(
            f"compute does not look like FLOPs (the largest is {largest:.3g}): the thresholds on "
            "curves assume FLOPs; forecasts only need one common unit."
        )
    for name, data in datasets.items():
        if len(compute[name]) < 3 and not only_two:
            doubts.add(
                "Fewer than 3 ladder models have results on {}: expect wide forecasts.", name
            )
        _examine_compute(name, data, compute[name], models["family"], doubts)
        _examine_scores(name, data, doubts, findings)
    doubts.warn(findings)


class _Doubts:
    """Sentences, each with the places that it is about in the order they were added."""

    def __init__(self) -> None:
        self._places: dict[str, dict[str, None]] = {}

    def add(self, sentence: str, *places: str) -> None:
        self._places.setdefault(sentence, {}).update(dict.fromkeys(places))

    def warn(self, findings: Findings) -> None:
        for sentence, places in self._places.items():
            if places or "{}" not in sentence:
                findings.warn(sentence.format(some(places)))


def _refuse_short_ladders(compute: dict[str, np.ndarray]) -> None:
    """compute: of the ladder models (model,) on each benchmark, ascending."""
    short = [f"{shorten(name)} ({len(c)})" for name, c in compute.items() if len(c) < 2]
    if short:
        raise EvidenceError(
            f"expected at least 2 ladder models on every benchmark, got {some(short)}; "
            "add results or leave such benchmarks out (benchmarks=)"
        )
    if flat := [name for name, c in compute.items() if np.isclose(c[0], c[-1], rtol=1e-6, atol=0)]:
        raise EvidenceError(
            f"all ladder models have the same compute on {some(flat)}: a forecast over compute "
            "needs at least two different values"
        )


def _examine_compute(
    name: str, data: xr.Dataset, compute: np.ndarray, family: pd.Series, doubts: _Doubts
) -> None:
    """Doubts about the compute of the models. compute: of the ladder models (model,), ascending."""
    if compute[-1] / 10 < compute[0]:
        doubts.add("The ladder spans less than one decade of compute on {}.", name)
    if (compute[1:] / 1e6 > compute[:-1]).any():
        doubts.add("The ladder has a gap of over 6 decades of compute on {}: check its unit.", name)
    model = data["model"].values
    families = sorted(set(family[model[on_ladder(data)]]) - {""})
    if len(families) > 1:
        doubts.add(
            "The ladder mixes families, which need not share one curve, on {}: choose with "
            "families= (--family).",
            f"{name} ({some(families)})",
        )
    largest = model[on_ladder(data)][-1]
    targets = (data["role"].values == "target") & np.isfinite(data["compute"].values)
    away = np.log10(data["compute"].values[targets]) - np.log10(compute[-1])
    doubts.add(
        "A target has over 6 decades more compute than the ladder: check the unit of {}.",
        *model[targets][away > _FARTHEST],
    )
    inside = (data["role"].values == "target") & (data["compute"].values <= compute[-1])
    doubts.add(
        "Target inside the ladder: {}.",
        *(f"{target} has no more compute than {largest}" for target in model[inside]),
    )


def _examine_scores(name: str, data: xr.Dataset, doubts: _Doubts, findings: Findings) -> None:
    """Doubts about the ladder's scores against chance and along compute."""
    ladder = np.flatnonzero(on_ladder(data))
    rate, chance, model = data["rate"].values, data["chance"].values, data["model"].values
    margin = rate[:, ladder[-1]] - chance
    if (known := ~np.isnan(margin)).any() and margin[known].mean() < -0.10:
        doubts.add(
            "The largest ladder model is more than 10 points below chance on {}: check the "
            "scoring and the chance level.",
            f"{name} ({100 * margin[known].mean():.0f} points)",
        )
    mean = np.nanmean(rate[:, ladder], axis=0)
    best = int(np.argmax(mean))
    if mean.max() == 0 or mean.min() == 1:
        doubts.add(
            "Every answer of the ladder is {}: there is no growth to extrapolate.",
            f"{'wrong' if mean[0] == 0 else 'right'} on {name}",
        )
    if mean[-1] < mean[best] - 0.10:
        findings.note(
            f"{name} falls along the ladder: {model[ladder[best]]} scores {100 * mean[best]:.1f}, "
            f"the largest, {model[ladder[-1]]}, {100 * mean[-1]:.1f}."
        )
