"""Checkpoints: what the models of a table scored before their training ended.

Rows of one model with different `step` are moments of one run. The model itself is its last step;
the earlier ones are its checkpoints. One run's moments share its data order and its luck, so a
checkpoint is no further model of the ladder: a fit has the last steps only.

The share of the training that a checkpoint has done is the first of these ratios that is below 1,
of its value to that of the last step:

    compute,   tokens,   step
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr

from cod_bayes.evidence.arrays import datasets_of, table_of
from cod_bayes.evidence.rows import Rows, range_by_group
from cod_bayes.evidence.words import EvidenceError, Findings, count, shorten

__all__ = ["checkpoints_of", "last_steps", "table_of_checkpoints", "with_last_steps"]

_LAST = "is_last_step"
_ENOUGH = 0.5  # of the items of its checkpoints that a last step must have
_DIGITS = 12  # of a share, so that it is the same after a table is written and read


def with_last_steps(rows: Rows) -> Rows:
    """The rows; where a model has several steps, with a column that marks the last ones.

    Raises EvidenceError where such a model has rows without a step, or a step that is not positive.
    """
    if "step" not in rows.table:
        return rows
    step, model = rows.number("step"), rows.codes["model"]
    _, high, several = range_by_group(step, model, len(rows.names["model"]))
    if not several.any():
        return rows
    rows.refuse(
        several[model] & ~(step > 0),
        "expected step > 0 in each row of a model with several steps, its checkpoints (step 0 is "
        "not trained: leave it out)",
        step,
    )
    last = ~several[model] | np.isclose(step, high[model], rtol=1e-9, atol=0.0)
    return replace(rows, table=rows.table.assign(**{_LAST: last}))


def last_steps(rows: Rows) -> tuple[Rows, Rows | None]:
    """The rows of models, and those of checkpoints if there are any.

    Raises EvidenceError where a last step has few of the items of its checkpoints.
    """
    if _LAST not in rows.table:
        return rows, None
    last = rows.table[_LAST].to_numpy(dtype=bool)
    rows = replace(rows, table=rows.table.drop(columns=_LAST))
    if last.all():
        return rows, None
    run, cell = rows.cells("benchmark", "model"), rows.cells("benchmark", "model", "item")
    earlier = np.unique(cell[~last], return_index=True)[1]
    run_of_item = run[~last][earlier]  # one entry for each item of a run's checkpoints
    has = np.isin(cell[~last][earlier], cell[last])
    runs, number = np.unique(run_of_item, return_inverse=True)
    few = np.bincount(number, has) < _ENOUGH * np.bincount(number)
    rows.refuse(
        np.isin(run, runs[few]) & ~last,
        "the last step of a model is its result, and lacks most items of its earlier steps: give "
        "it results on all items, or leave the earlier steps out",
    )
    return rows.keep(last), rows.keep(~last)


def checkpoints_of(
    rows: Rows, models: pd.DataFrame, benchmarks: dict[str, xr.Dataset]
) -> dict[str, xr.Dataset]:
    """The checkpoints on each benchmark that has any, as `Evidence.checkpoints`.

    rows: of the checkpoints. models, benchmarks: of the last steps, as in `Evidence`.
    """
    known = rows.names["model"][rows.codes["model"]]
    rows = rows.keep(np.isin(known, models.index.to_numpy(dtype=object)))
    if not len(rows.table):
        return {}
    order = models.index.get_indexer(rows.names["model"])[rows.codes["model"]]
    steps, step = np.unique(rows.number("step"), return_inverse=True)
    moments, code = np.unique(order * len(steps) + step, return_inverse=True)
    of_model, of_step = models.iloc[moments // len(steps)], steps[moments % len(steps)]
    name = of_model.index.to_numpy(dtype=object)
    label = np.array([f"{m} at step {s:.15g}" for m, s in zip(name, of_step, strict=True)], object)
    rows = replace(rows, codes=rows.codes | {"model": code}, names=rows.names | {"model": label})
    share = _shares(rows, of_model, of_step)
    run = pd.DataFrame({"compute": share, "role": of_model["role"].to_numpy()}, index=label)
    found = {}
    for benchmark, data in datasets_of(rows, run, Findings()).items():
        if benchmark not in benchmarks:
            continue
        at = run.index.get_indexer(data["model"].values)
        whole = benchmarks[benchmark]
        data = data[["rate", "n_trials"]].rename(model="checkpoint")
        data = data.drop_vars([c for c in data.coords if c != "item"])
        data = data.reindex(item=whole["item"], fill_value={"rate": np.nan, "n_trials": 0.0})
        found[benchmark] = data.assign_coords(
            subset=whole["subset"],
            chance=whole["chance"],
            model=("checkpoint", name[at].astype(str)),
            step=("checkpoint", of_step[at]),
            training=("checkpoint", share[at]),
        )
    return found


def _shares(rows: Rows, of_model: pd.DataFrame, step: np.ndarray) -> np.ndarray:
    """The share of its training that each checkpoint has done (checkpoint,)."""
    share = np.full(len(step), np.nan)
    for column in ("compute", "tokens", "step"):
        if column in of_model:
            value = step if column == "step" else rows.one_number(column, "model")
            ratio = value / of_model[column].to_numpy(dtype=float)
            if (more := ratio > 1 + 1e-6).any():
                raise EvidenceError(
                    f"{column} of {shorten(rows.names['model'][more][0])} is more than that of the "
                    f"model's last step ({count(more, 'checkpoint')}): correct {column} or step"
                )
            share = np.where(np.isnan(share) & (ratio < 1 - 1e-6), ratio, share)
    return np.round(share, _DIGITS)


def table_of_checkpoints(name: str, data: xr.Dataset, models: pd.DataFrame) -> pd.DataFrame:
    """The rows of one benchmark's checkpoints, in the columns of a tidy table."""
    table, j = table_of(name, data)
    model = models.loc[data["model"].values]
    compute = data["training"].values * model["compute"].to_numpy(dtype=float)
    for column in ("role", "family"):
        table[column] = model[column].to_numpy(dtype=object)[j]
    return table.assign(step=data["step"].values[j], compute=compute[j])
