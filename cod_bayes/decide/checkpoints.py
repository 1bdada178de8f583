"""Tables of a run's checkpoints: read, checked, averaged to one row per benchmark and moment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cod_bayes.evidence.files import TableSource, open_table
from cod_bayes.evidence.rows import floats
from cod_bayes.evidence.trials import trials_of_mean
from cod_bayes.evidence.words import EvidenceError
from cod_bayes.forecast.groups import score_trials
from cod_bayes.forecast.posterior import Fit, check_names

_COUNTS = ["n_correct", "n_trials"]
_ENOUGH = 0.95  # of the items: with fewer, a mean would be over easier or harder ones
_READ = ["benchmark", "compute", "rate", "trials"]


def read_checkpoints(source: TableSource, fit: Fit | None = None) -> pd.DataFrame:
    """Benchmark, compute (FLOPs), rate and trials (NaN unknown), sorted by compute.

    Args:
        source: a table, as `read_table` takes it. Columns benchmark, compute and either n_correct
            and n_trials or score; one row per benchmark or per item. The rate of a benchmark is the
            mean over its items, on n trials as in `cod_bayes.evidence.trials`. Other columns are
            ignored. A table that was read already is returned as it is.
        fit: where the table has a column item, its rows are those of the items that this fit
            forecasts.

    Raises:
        ValueError: a missing column, no rows, a number that cannot be, or a checkpoint that lacks
            more than a few of the fit's items.
        FileNotFoundError: a missing file.
    """
    if isinstance(source, pd.DataFrame) and list(source.columns) == _READ:
        return source
    opened = open_table(source)
    _check_columns(opened.columns)
    table = opened.read(["benchmark", "item"], ["compute", *_COUNTS, "score"])
    if table.empty:
        raise EvidenceError("expected at least one checkpoint, got an empty table")
    if fit is not None and "item" in table:
        table = _of_the_items(table, fit)
    columns = _needed(list(table.columns))
    compute, *result = (floats(table[name]) for name in columns[1:])
    rate, trials = result[0], np.full(len(table), np.nan)
    good = np.isfinite(compute) & (compute > 0)
    good &= table["benchmark"].notna().to_numpy() & (table["benchmark"] != "").to_numpy()
    if len(result) == 2:
        trials = result[1]
        good &= trials >= 1
        rate = rate / np.where(good, trials, np.nan)
    good &= (rate >= 0) & (rate <= 1)
    if not good.all():
        first = table.loc[~good, columns].iloc[0].to_dict()
        raise EvidenceError(
            f"expected a benchmark, compute > 0 in FLOPs and a rate in [0, 1], got {first} "
            f"({(~good).sum()} such rows); correct or drop them"
        )
    rows = pd.DataFrame(
        {
            "compute": compute,
            "benchmark": table["benchmark"].astype(str).to_numpy(),
            "rate": rate,
            "inverse": 1 / trials,
        }
    )
    groups = rows.groupby(["compute", "benchmark"], sort=True)
    means = groups.agg(
        rate=("rate", "mean"),
        items=("rate", "size"),
        inverse=("inverse", lambda values: values.sum(skipna=False)),
    ).reset_index()
    means["trials"] = trials_of_mean(means["items"], means["inverse"])
    return means[_READ]


def with_assumed_trials(fit: Fit, checkpoints: pd.DataFrame) -> pd.DataFrame:
    """The same checkpoints, with the trials of which a plain mean is as noisy: those behind a score
    over the benchmark's noise share (`cod_bayes.evidence.trials`). Scores without a count get the
    trials of the largest ladder model.

    Raises ValueError for a benchmark that is not in the fit.
    """
    check_names(list(checkpoints["benchmark"].unique()), fit.benchmarks)
    assumed = dict(zip(fit.benchmarks, score_trials(fit.idata), strict=True))
    noise_share = fit.idata["constant_data"].to_dataset()["noise_share"].values
    share = dict(zip(fit.benchmarks, noise_share, strict=True))
    trials = checkpoints["trials"] / checkpoints["benchmark"].map(share)
    return checkpoints.assign(trials=trials.fillna(checkpoints["benchmark"].map(assumed)))


def with_planned(checkpoints: pd.DataFrame, planned: Sequence[float] | np.ndarray) -> pd.DataFrame:
    """The checkpoints, then rows of rate NaN for the planned looks (FLOPs).

    A planned look measures every benchmark with the trials of its last checkpoint.
    """
    last = checkpoints.groupby("benchmark", sort=False).last().reset_index().assign(rate=np.nan)
    return pd.concat([checkpoints, *(last.assign(compute=c) for c in planned)], ignore_index=True)


def _of_the_items(table: pd.DataFrame, fit: Fit) -> pd.DataFrame:
    """The rows of the items that the fit forecasts.

    A benchmark that the fit knows by one score keeps all its rows.
    """
    kept = np.ones(len(table), dtype=bool)
    benchmark, item = (table[key].astype(str).to_numpy() for key in ("benchmark", "item"))
    known = fit.idata["items"].to_dataset()
    for name in fit.benchmarks:
        items = known["item"].values[known["benchmark_of_item"].values == name]
        if len(items) < 2:
            continue
        of = benchmark == name
        inside = of & np.isin(item, items)
        kept &= inside | ~of
        for compute in pd.unique(table.loc[of, "compute"]):
            n = len(np.unique(item[inside & (table["compute"] == compute).to_numpy()]))
            if n < _ENOUGH * len(items):
                raise EvidenceError(
                    f"the checkpoint of {compute:.4g} FLOPs has results on {n:,} of the "
                    f"{len(items):,} items of {name} that the forecast is of: evaluate it on all "
                    "of them, or leave out the column item if its items have other names"
                )
    return table[kept]


def _needed(columns: Sequence[object]) -> list[str]:
    """The columns that are read: counts where both are there, else the score."""
    results = _COUNTS if set(_COUNTS) <= set(columns) else ["score"]
    return ["benchmark", "compute", *results]


def _check_columns(columns: list[object]) -> None:
    if missing := [name for name in _needed(columns) if name not in columns]:
        raise EvidenceError(
            "expected columns benchmark, compute and score, or n_correct and n_trials; "
            f"missing {missing} among {list(map(str, columns))}"
        )
