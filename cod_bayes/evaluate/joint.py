"""Scores of what a method says about several benchmarks of one target together.

A joint forecast is scored by its energy score, and by the scores of indexes, weighted means over
benchmarks (`cod_bayes.forecast.index`). The outcome of an index is the same mean of the target's
scores. Rivals forecast one benchmark at a time; their joint forecast has independent benchmarks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from cod_bayes.evaluate.scoring import energy_score, summarise
from cod_bayes.forecast.index import Index, add_indexes
from cod_bayes.forecast.target import stream

Array = np.ndarray


def complete(indexes: Sequence[Index], names: Sequence[str]) -> tuple[Index, ...]:
    """Those of the indexes, in full, whose benchmarks are all among these."""
    known, found = set(names), []
    for index in indexes:
        if set(index.benchmarks) <= known:
            found.append(index)
            known.add(index.name)
    return tuple(found)


def independent(draws: Mapping[str, Array], seed: int) -> dict[str, Array]:
    """Draws of one benchmark each, (draw,), put into an order of their own."""
    return {
        name: np.random.default_rng([seed, stream(name)]).permutation(of)
        for name, of in draws.items()
    }


def joint_scores(
    draws: Mapping[str, Array],
    actual: Mapping[str, float],
    items: Mapping[str, float],
    indexes: Sequence[Index],
) -> tuple[dict[str, dict[str, object]], float]:
    """A row of scores for each index, and the energy score of all benchmarks.

    Args:
        draws: (draw,) by benchmark, coherent; benchmarks without a forecast are missing.
        actual, items: by benchmark: the target's score, and how many items are behind it.
        indexes: in full, all of these benchmarks.

    Returns:
        The energy score is NaN with one benchmark, and where one has no forecast.
    """
    names = list(actual)
    table = xr.Dataset(
        {
            "actual": ("benchmark", list(actual.values())),
            "items": ("benchmark", list(items.values())),
        },
        {"benchmark": names},
    )
    missing = [name for name in names if name not in draws]
    if not missing:
        scores = np.array([draws[name] for name in names])
        table["score"] = (("benchmark", "sample"), scores)
    table = add_indexes(table, indexes)
    rows: dict[str, dict[str, object]] = {}
    for index in indexes:
        row = table.sel(benchmark=index.name)
        if missing:
            error = f"no forecast of {missing[0]}"
            rows[index.name] = {"actual": row["actual"].item(), "error": error}
        else:
            rows[index.name] = {**summarise(row["score"].values, row["actual"].item())}
    if missing or len(names) < 2:
        return rows, np.nan
    return rows, energy_score(scores.T, list(actual.values()))
