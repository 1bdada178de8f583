"""From a table as people keep it to tidy columns: wide tables, and tables without items.

A wide table has one row per model and one column per benchmark:

    model, params, tokens, mmlu, gsm8k, gsm8k_stderr

Its rows become one row per model and benchmark, of the one item "all". A column whose name is a
benchmark's and "stderr" or "n" (after a space, "_", "-", "," or ".") belongs to that benchmark. The
models may stand in an index or a first column without a name.
"""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from cod_bayes.evidence.amounts import number_of
from cod_bayes.evidence.columns import (
    KNOWN,
    MODEL_NUMBERS,
    MODEL_TEXT,
    NUMBERS,
    STDERRS,
    TEXT,
    check_columns,
    check_wide_columns,
    resembles,
)
from cod_bayes.evidence.files import Table, TableSource, open_table
from cod_bayes.evidence.rows import floats
from cod_bayes.evidence.words import EvidenceError, Findings, shorten, some

__all__ = ["read_tidy"]

WHOLE = "all"  # the item of a benchmark that is known by one score
_UNNAMED = ("", "Unnamed: 0")
_OF_MODELS = ("model", *MODEL_TEXT, *MODEL_NUMBERS, "compute", "loss")
_BESIDE = re.compile(r"(.+?)[\s_,.-]+(stderr|std_err|se|n|n_trials|n_items)")
_NO_RESULT = ("-", "\N{EN DASH}", "\N{EM DASH}", "?")


def read_tidy(source: TableSource, findings: Findings) -> pd.DataFrame:
    """The known columns of a table, one row per model and item (`cod_bayes.evidence.record`)."""
    table = open_table(source)
    names = [str(name) for name in table.columns]
    if _is_wide(names):
        return _from_wide(table, findings)
    renamed = {}
    if "stderr" not in names:
        renamed = {name: "stderr" for name in STDERRS if name in names}
        if len(renamed) > 1:
            raise EvidenceError(
                f"expected one standard error of a score, got {some(renamed)}: keep one of them"
            )
    check_columns([renamed.get(name, name) for name in names], findings)
    tidy = table.read(TEXT, [*NUMBERS, *renamed]).rename(columns=renamed)
    if "item" not in tidy:
        findings.note(f"No column item: each row is the score of a benchmark, item {WHOLE!r}.")
        tidy = tidy.assign(item=pd.Categorical([WHOLE] * len(tidy)))
    return tidy


def _is_wide(names: Sequence[str]) -> bool:
    """Whether the names are those of models and benchmarks, and not of a tidy table."""
    like = {known for name in names for known in resembles(name)}
    tidy = {"benchmark", "item"} & like or {"score", "n_correct", "n_trials"} & {*names}
    return not tidy and ("model" in like or any(name in names for name in _UNNAMED))


def _from_wide(table: Table, findings: Findings) -> pd.DataFrame:
    names = [str(name) for name in table.columns]
    of_model = _read_as(names)
    if of_model:
        as_words = (f"{name or '(no name)'} as {known}" for name, known in of_model.items())
        findings.note(f"Columns read under other names: {some(as_words, 5)}.")
    check_wide_columns([of_model.get(name, name) for name in names])
    text = ["model", *MODEL_TEXT, *(n for n, known in of_model.items() if known == "model")]
    if twice := {name for name in names if names.count(name) > 1}:
        raise EvidenceError(f"column {some(sorted(twice))} appears twice: keep one of each name")
    frame = table.read(text, [c for c in table.columns if str(c) not in text])
    frame = frame.set_axis([of_model.get(str(c), str(c)) for c in frame.columns], axis=1)
    others = [c for c in frame.columns if c not in KNOWN and c not in _UNNAMED]
    beside = {n: m.groups() for n in others if (m := _BESIDE.fullmatch(n)) and m[1] in others}
    scores, unused = {}, []
    for name in others:
        if name not in beside:
            values = _numbers(frame[name], name)
            if values is None or not ((values >= 0) & (values <= 100) | np.isnan(values)).all():
                unused.append(name)
            else:
                scores[name] = values
    if not scores:
        raise EvidenceError(
            "the table has one row per model and no column of scores: expected columns benchmark, "
            f"item, model, compute and results, or one column per benchmark; got {some(names, 20)}"
        )
    findings.note(f"One row per model; columns read as benchmarks: {some(scores, 20)}.")
    if unused:
        findings.note(f"Columns not used: {some((n or '(no name)' for n in unused), 20)}.")
    parts = []
    for name, values in scores.items():
        part = frame[[c for c in _OF_MODELS if c in frame]].assign(
            benchmark=name, item=WHOLE, score=values
        )
        for other, (of, what) in beside.items():
            if of == name:
                column = "stderr" if what in ("stderr", "std_err", "se") else "n_trials"
                part[column] = frame[other]
        parts.append(part[~np.isnan(values)])
    return pd.concat(parts, ignore_index=True)


def _read_as(names: Sequence[str]) -> dict[str, str]:
    """The one column that stands for the model, its compute, parameters or tokens under another
    name, where there is none of that name."""
    found = {}
    for known in ("model", "compute", "params", "tokens"):
        like = [name for name in names if resembles(name) == [known]]
        if known not in names and not like and known == "model":
            like = [name for name in _UNNAMED if name in names][:1]
        if known not in names and len(like) == 1:
            found[like[0]] = known
    return found


def _numbers(column: pd.Series, name: str) -> np.ndarray | None:
    """The scores of a benchmark (row,), NaN where there is none; None for a column of texts."""
    values = np.array(floats(column))
    texts = column.map(str).str.strip().to_numpy(dtype=object)
    unparsed = np.flatnonzero(np.isnan(values) & column.notna().to_numpy(dtype=bool))
    unparsed = unparsed[~np.isin(texts[unparsed], ["", *_NO_RESULT])]
    values[unparsed] = [number_of(texts[row], "score") for row in unparsed]
    wrong = unparsed[np.isnan(values[unparsed])]
    if np.isnan(values).all():
        return None
    if len(wrong):
        raise EvidenceError(
            f"expected scores in column {shorten(name)!r}, or empty cells, got "
            f"{shorten(texts[wrong[0]])!r}; correct it, or leave the column out"
        )
    return values
