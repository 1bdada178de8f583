"""From rows to arrays: the roles of models, one Dataset per benchmark."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from cod_bayes.evidence.columns import KEYS, MODEL_NUMBERS, ROLES
from cod_bayes.evidence.rows import Rows, code_type, range_by_group
from cod_bayes.evidence.words import (
    EvidenceError,
    Findings,
    count,
    matching,
    shorten,
    some,
    which_match,
)

__all__ = ["choose_models", "datasets_of", "models_of", "table_of"]


def choose_models(
    rows: Rows,
    families: Sequence[str] | None,
    ladder: Sequence[str] | None,
    hold_out: Sequence[str],
    anchors: Sequence[str],
    findings: Findings,
) -> tuple[Rows, pd.DataFrame]:
    """The rows of the chosen models; role and family of every model (index: model)."""
    names = rows.names["model"]
    family = rows.one_text("family", "model", "families")
    role = rows.one_text("role", "model", "roles")
    role = np.where(role == "", "ladder", role)
    if (unknown := ~np.isin(role, ROLES)).any():
        raise EvidenceError(
            f"unknown role {shorten(role[unknown][0])!r} of model {some(names[unknown])}: expected "
            f"{some(ROLES)}"
        )
    kept = np.ones(len(names), dtype=bool)
    if families is not None:
        kept = np.isin(family, matching(families, sorted(set(family) - {""}), "family"))
        if len(lost := names[~kept & (role != "ladder")]):
            findings.warn(
                f"The choice of families leaves out {some(lost)}, marked as anchor or target; "
                "choose their family too to keep them."
            )

    def match(candidates: np.ndarray, patterns: Sequence[str], what: str) -> np.ndarray:
        """Which of the candidates (a mask of models) the patterns match (model,)."""
        matched = np.zeros(len(names), dtype=bool)
        matched[candidates] = which_match(patterns, names[candidates], what)
        return matched

    role[match(kept, hold_out, "model (to hold out)")] = "target"
    on_ladder = kept & (role == "ladder")
    chosen = on_ladder if ladder is None else match(on_ladder, ladder, "ladder model")
    spare = on_ladder if ladder is None else on_ladder & ~chosen
    role[match(spare, anchors, "model (as anchor)")] = "anchor"
    kept &= chosen | (role != "ladder")
    if (number := int((kept & (role == "ladder")).sum())) < 2:
        raise EvidenceError(
            f"expected at least 2 ladder models, got {number}; the models are "
            + some((f"{n} ({r})" for n, r in zip(names[kept], role[kept], strict=True)), 6)
        )
    roles = pd.DataFrame({"role": role, "family": family}, index=pd.Index(names, name="model"))
    return rows.keep(kept[rows.codes["model"]]), roles


def models_of(rows: Rows, roles: pd.DataFrame, findings: Findings) -> pd.DataFrame:
    """The models with results, in ascending compute (ties by name; unknown last)."""
    names, group = rows.names["model"], rows.codes["model"]
    for column in ("compute", "params", "tokens"):
        value = rows.number(column)
        unit = " (training FLOPs)" if column == "compute" else ""
        rows.refuse(value <= 0, f"{column} must be positive{unit}", value)
    compute = rows.one_number("compute", "model")
    numbers = {c: rows.one_number(c, "model") for c in MODEL_NUMBERS if c in rows.table}
    assumed = np.isnan(compute)
    if {"params", "tokens"} <= numbers.keys():
        compute = np.where(assumed, 6 * numbers["params"] * numbers["tokens"], compute)
    assumed &= ~np.isnan(compute)
    models = roles.loc[names]
    role = models["role"].to_numpy(dtype=object)
    bad = ~((compute > 0) & np.isfinite(compute) | np.isnan(compute) & (role == "anchor"))
    if bad.any():
        raise EvidenceError(
            "compute is missing or not finite and cannot be had from params and tokens for model "
            f"{some(names[bad])}; give its training FLOPs, make it an anchor (role, anchors=) or "
            f"leave it out (families=, ladder=); {rows.show(bad[group])}"
        )
    if assumed.any():
        findings.warn(
            f"compute = 6 * params * tokens assumed for {count(assumed, 'model')}: "
            f"{some(names[assumed])}."
        )
    models.insert(0, "compute", compute)
    models = models.assign(**numbers)
    return models.iloc[np.lexsort((np.arange(len(names)), compute))]


def datasets_of(rows: Rows, models: pd.DataFrame, findings: Findings) -> dict[str, xr.Dataset]:
    """One (item, model) Dataset per benchmark, filled from the rows."""
    datasets, conflicts = {}, []
    for name, part in rows.by_benchmark():
        where = f" of benchmark {shorten(name)!r}"
        items = part.names["item"]
        position = models.index.get_indexer(part.names["model"])
        by_compute = np.argsort(position)
        # From a model's alphabetical code to its column, by compute.
        column = np.argsort(by_compute).astype(code_type(by_compute))
        chosen = models.iloc[position[by_compute]]
        cell = part.codes["item"], column[part.codes["model"]]
        rate = np.full((len(items), len(chosen)), np.nan)
        trials = np.zeros_like(rate)
        rate[cell], trials[cell] = part.table["rate"], part.table["trials"]
        if np.count_nonzero(~np.isnan(rate)) < len(part.table):
            _refuse_duplicates(part)
        chance, differ = _chances(part)
        if len(differ):
            conflicts.append(f"{count(len(differ), 'item')} of {name} ({some(differ)})")
        datasets[str(name)] = xr.Dataset(
            {"rate": (("item", "model"), rate), "n_trials": (("item", "model"), trials)},
            coords={
                "item": items.astype(str),
                "model": chosen.index.to_numpy(dtype=str),
                "compute": ("model", chosen["compute"].to_numpy(dtype=float)),
                "role": ("model", chosen["role"].to_numpy(dtype=str)),
                "chance": ("item", chance),
                "subset": (
                    "item",
                    part.one_text("subset", "item", "values of subset", where).astype(str),
                ),
                "loss": ("model", part.one_number("loss", "model", where)[by_compute]),
            },
        )
    if conflicts:
        findings.warn(f"Rows differ on the chance of {some(conflicts)}: the median is taken.")
    return datasets


def table_of(name: str, data: xr.Dataset) -> tuple[pd.DataFrame, np.ndarray]:
    """The rows of one benchmark with a result, in the columns of a tidy table that both models and
    checkpoints have; and each row's column of `rate`.

    data: a Dataset of `Evidence.benchmarks` or `Evidence.checkpoints`.
    """
    rate, trials = data["rate"].values, data["n_trials"].values
    i, j = np.nonzero(~np.isnan(rate))
    rate, n = rate[i, j], trials[i, j]
    # Trials solved from a standard error are no counts: it gives them again.
    solved = (np.abs(n - np.rint(n)) > 1e-6) | (np.abs(rate * n - np.rint(rate * n)) > 1e-6)
    table = pd.DataFrame(
        {
            "benchmark": name,
            "subset": data["subset"].values[i],
            "item": data["item"].values[i],
            "model": data["model"].values[j],
            "n_correct": np.where(solved, np.nan, np.rint(rate * n)),
            "n_trials": np.where(solved, np.nan, n),
            "score": rate,
            "chance": data["chance"].values[i],
        }
    )
    if solved.any():
        table["stderr"] = np.where(solved, np.sqrt(rate * (1 - rate) / n), np.nan)
    return table, j


def _refuse_duplicates(rows: Rows) -> None:
    cell = rows.cells(*KEYS)
    cells, times = np.unique(cell, return_counts=True)
    repeated = np.isin(cell, cells[times > 1])
    raise EvidenceError(
        f"{count(times > 1, 'cell')} with more than one row, "
        f"{count(len(cell) - len(cells), 'row')} too many: expected one row per benchmark, item "
        "and model; if they are repeated trials, sum their n_correct and n_trials; "
        "if they are checkpoints of one model, give each its step; "
        f"{rows.show(repeated)}"
    )


def _chances(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """The chance of each item (item,), the median where rows differ, and the items that differ."""
    values, code = rows.number("chance"), rows.codes["item"]
    chance, _, differ = range_by_group(values, code, len(rows.names["item"]))
    if differ.any():
        rows_that_differ = differ[code]
        median = pd.Series(values[rows_that_differ]).groupby(code[rows_that_differ]).median()
        chance[median.index] = median
    # A few items with chance 1 are dropped later.
    bad = (values < 0) | (values > 1) | bool((chance == 1).all())
    rows.refuse(
        bad,
        "chance, the rate of a guess, must be in [0, 1) (an item with one possible answer "
        "measures nothing: leave it out)",
        values,
    )
    return chance, rows.names["item"][differ]
