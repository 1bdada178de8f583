"""From rows to arrays: the roles of models, the result of each row, one Dataset per benchmark."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr

from cod_bayes.evidence.columns import KEYS, MODEL_NUMBERS, RESULTS, ROLES
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

__all__ = ["choose_models", "datasets_of", "models_of", "with_results"]


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


def with_results(rows: Rows, findings: Findings) -> Rows:
    """The rows with a result. Columns rate and trials replace their counts and scores.

    trials NaN = no trial count.
    """
    k, n, score = (rows.number(column) for column in RESULTS)
    _refuse_impossible(rows, k, n, score)
    n = np.rint(n)
    if scored := "score" in rows.table:
        score = np.clip(score, 0.0, 1.0)
    counted = ~np.isnan(k) & ~np.isnan(n)
    whole = np.abs(k - np.rint(k)) <= 1e-6
    k = np.where(whole, np.rint(k), k)
    # An array takes a number per row, so none is made without need.
    if scored and (differ := counted & (np.abs(score - k / n) > 0.01)).any():
        findings.note(
            f"{count(differ, 'row')} where score is not n_correct / n_trials: the counts are used."
        )

    code, names = rows.codes["benchmark"], rows.names["benchmark"]
    partial = np.zeros(len(names), dtype=bool)  # benchmarks that give partial credit
    has_count = counted
    if (broken := counted & ~whole).any():
        partial[code[broken]] = True
        items = rows.cells("benchmark", "item")
        has_count = counted & ~np.isin(items, items[broken])
        findings.warn(
            f"n_correct is not whole on {some(names[partial])} (items "
            f"{some(rows.names['item'][np.unique(rows.codes['item'][broken])])}): partial credit, "
            "all results of these items are taken as rates without trial count."
        )
    # A score with trials is a count unless the benchmark gives partial credit anywhere.
    implied = ~counted & ~np.isnan(score) & ~np.isnan(n)
    if implied.any():
        partial[code[implied & (np.abs(score * n - np.rint(score * n)) > 1e-6 * n)]] = True
        uncounted = implied & partial[code]
        if uncounted.any():
            findings.note(
                f"score * n_trials is not whole on {some(names[np.unique(code[uncounted])])}: "
                "taken as rates without trial count."
            )
        whole = implied & ~uncounted
        score = np.where(whole, np.rint(score * n) / n, score)
        has_count = has_count | whole
    rate = k / n
    np.clip(rate, 0.0, 1.0, out=rate)
    np.copyto(rate, score, where=~counted)
    rate += 0.0  # no negative zeros
    trials = np.where(has_count, n, np.nan)
    del k, n, score
    present = ~np.isnan(rate)
    if not present.any():
        raise EvidenceError("no row has a result: expected n_correct and n_trials, or score")
    if not present.all():
        findings.note(f"{count(~present, 'row')} without a result taken as missing.")
    table = rows.table.drop(columns=list(RESULTS), errors="ignore")
    return replace(rows, table=table.assign(rate=rate, trials=trials)).keep(present)


def _refuse_impossible(rows: Rows, k: np.ndarray, n: np.ndarray, score: np.ndarray) -> None:
    """Refuse n_correct k, n_trials n and scores that cannot be, each (row,), NaN where missing."""
    rows.refuse(k < 0, "n_correct is negative", k)
    rows.refuse(n < 0, "n_trials is negative", n)
    rows.refuse(n < 1e-6, "n_trials = 0: leave out rows without a trial", k, n)
    rows.refuse(np.abs(n - np.rint(n)) > 1e-6, "n_trials must be a whole number", n)
    rows.refuse(n > 1e15, "n_trials is no plausible count (over 1e15)", n)
    rows.refuse(k > n + 1e-6, "n_correct > n_trials", k, n)
    if (bad := (score < -1e-9) | (score > 1 + 1e-9)).any():
        percent = score[bad].min() >= 0 and score[bad].max() <= 100
        hint = " (these look like percent: divide by 100)" if percent else ""
        rows.refuse(bad, f"score must be in [0, 1]{hint}", score)
    rows.refuse(
        ~np.isnan(k) & np.isnan(n) & np.isnan(score),
        "n_correct without n_trials: add n_trials (1 for one greedy answer)",
        k,
    )


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


def _refuse_duplicates(rows: Rows) -> None:
    cell = rows.cells(*KEYS)
    cells, times = np.unique(cell, return_counts=True)
    repeated = np.isin(cell, cells[times > 1])
    raise EvidenceError(
        f"{count(times > 1, 'cell')} with more than one row, "
        f"{count(len(cell) - len(cells), 'row')} too many: expected one row per benchmark, item "
        "and model; if they are repeated trials, sum their n_correct and n_trials; "
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
