"""From answers to the tidy table: trials apart from copies.

A model and item may have several rows for three reasons:

    copies      a file appended to itself, a run copied or resumed. A run counts once if another
                run has all of its rows
    repeats     runs that sample: each gives a trial, even where two answers agree; and repetitions
                within a run (epochs, replicas)
    reruns      runs that do not sample: one answer, logged again. The last one counts

A second row of one trial in a run counts as another run. So a file with two runs appended to each
other falls under the same three cases.

    n_correct = sum of the scores, n_trials = their number    where all scores are 0 or 1
    score     = mean of the scores                            else, for the whole benchmark
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cod_bayes.ingest.answers import Answers
from cod_bayes.ingest.choosing import Choice, Task, show
from cod_bayes.ingest.json_logs import IngestError

__all__ = ["Used", "stack", "tabulate"]

_COUNTED = "pass@1"  # the metric whose score averages several trials


@dataclass(frozen=True, eq=False)
class Used:
    """What became of one log: the answers in the table, their sum, and those without a score."""

    log: Answers
    metric: str
    n: float
    right: float
    lost: int


def tabulate(
    benchmark: str, answers: Sequence[Answers], choices: Mapping[Task, Choice], repetition: str
) -> tuple[pd.DataFrame, list[str], list[Used]]:
    """The table of one benchmark, notes on what was merged and why, and what was used of each log.

    Columns benchmark, subset, item, model (categorical), n_correct, n_trials, score, chance; a
    benchmark has either counts or only a score. `repetition` is what the format calls a
    repetition within a run.
    """
    chosen = _scored(answers, choices)
    models = sorted({one.model for one, _ in chosen})
    rows, items, subset = _rows(chosen, models)
    notes = []
    lost = rows["score"].isna()
    lost_of = rows["log"][lost].value_counts()
    if lost.any():
        notes.append(f"{_count(lost, 'answer')} without a score left out.")
        rows = rows[~lost]
    if rows.empty:
        raise IngestError(
            f"{chosen[0][0].source}: expected scores of {benchmark}, got none in any answer; leave "
            "it out (--where 'task!=" + benchmark + "')"
        )
    notes += _few_shared(rows)
    rows, merged = _merge(rows)
    notes += merged

    right = rows["score"] * rows["trials"]
    counts = rows["score"].isin((0.0, 1.0)) | (rows["trials"] > 1)
    binary = bool((counts & (np.abs(right - right.round()) < 1e-6)).all())
    rows = rows.assign(right=right)
    sums = rows.groupby("log")[["right", "trials"]].sum()
    used = [
        Used(log, metric, sums["trials"].get(k, 0.0), sums["right"].get(k, 0.0), lost_of.get(k, 0))
        for k, (log, metric) in enumerate(chosen)
    ]
    cells = rows.groupby(["item", "model"])
    table = cells.agg(right=("right", "sum"), n=("trials", "sum")).reset_index()
    notes.append(_trials(rows, table["n"], repetition))
    if not binary:
        notes.append("scores with partial credit are rates without a number of trials.")
    item = table["item"].to_numpy()
    subsets = sorted(set(subset))
    if len(subsets) > 1:
        notes.append(f"its mean is that of all items of its {len(subsets):,} tasks.")
    table = pd.DataFrame(
        {
            "benchmark": pd.Categorical.from_codes(np.zeros(len(table), int), [benchmark]),
            "subset": pd.Categorical.from_codes(np.searchsorted(subsets, subset)[item], subsets),
            "item": pd.Categorical.from_codes(item, items),
            "model": pd.Categorical.from_codes(table["model"].to_numpy(), models),
            "n_correct": table["right"].round() if binary else np.nan,
            "n_trials": table["n"].astype(float) if binary else np.nan,
            "score": table["right"] / table["n"],
            "chance": _chance(rows, len(items))[item] if binary else np.nan,
        }
    )
    return table, [f"{benchmark}: {note}" for note in notes], used


def stack(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The tables one under the other; columns without any value are dropped."""
    joined = {}
    for column in dict.fromkeys(column for table in tables for column in table):
        parts = [
            table[column] if column in table else pd.Series(np.full(len(table), np.nan))
            for table in tables
        ]
        if isinstance(parts[0].dtype, pd.CategoricalDtype):
            joined[column] = pd.api.types.union_categoricals(parts)
            empty = list(joined[column].categories) == [""]
        else:
            joined[column] = np.concatenate([part.to_numpy() for part in parts])
            empty = np.isnan(joined[column]).all()
        if empty:
            del joined[column]
    return pd.DataFrame(joined)


def _scored(
    answers: Sequence[Answers], choices: Mapping[Task, Choice]
) -> list[tuple[Answers, str]]:
    """The answers under the chosen filter, and their metric.

    Raises IngestError for a model that has no such score on a task.
    """
    chosen = []
    for one in answers:
        metric, filter = choices[one.benchmark, one.subset]
        if one.filter == filter and metric in one.scores:
            chosen.append((one, metric))
    scored = {(one.model, one.subset) for one, _ in chosen}
    for one in answers:
        if (one.model, one.subset) not in scored:
            raise IngestError(
                f"{one.source}: expected {show(choices[one.benchmark, one.subset])} of "
                f"{one.subset or one.benchmark} as other logs have it, got "
                f"{', '.join(show((m, one.filter)) for m in one.scores) or 'no scores'}; score "
                f"{one.model} alike, choose another metric, or leave it out"
            )
    return chosen


def _rows(
    answers: Sequence[tuple[Answers, str]], models: list[str]
) -> tuple[pd.DataFrame, list[str], list[str]]:
    """All rows, and the name and subset of each item. Runs are numbered by time."""
    runs = sorted({(one.run, str(one.source)) for one, _ in answers})
    order = {run: number for number, run in enumerate(runs)}
    known_in: dict[str, dict[str, int]] = {}  # subset -> item -> code
    codes: dict[str, int] = {}  # full name -> code
    subsets: list[str] = []
    parts = []
    for log, (one, metric) in enumerate(answers):
        known = known_in.setdefault(one.subset, {})
        for name in one.item:
            if name not in known:
                full = _clean(f"{one.subset}/{name}" if one.subset else name)
                known[name] = codes.setdefault(full, len(codes))
                if len(codes) > len(subsets):
                    subsets.append(one.subset)
        parts.append(
            pd.DataFrame(
                {
                    "item": np.array([known[name] for name in one.item], dtype=np.int32),
                    "model": np.int32(models.index(one.model)),
                    "log": np.int32(log),
                    "run": np.int32(order[one.run, str(one.source)]),
                    "sampled": one.sampled,
                    "trial": one.trial,
                    "score": one.scores[metric],
                    "trials": one.trials if metric == _COUNTED else np.int32(1),
                    "options": one.options,
                    "digest": one.digest,
                }
            )
        )
    return pd.concat(parts, ignore_index=True), list(codes), subsets


def _clean(name: str) -> str:
    """The name without half surrogate pairs, which JSON allows but files cannot hold."""
    return name.encode("utf-8", "backslashreplace").decode()


def _merge(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The rows without copies and reruns, and notes on how many these were."""
    cell = ["model", "item", "trial"]
    if not rows.duplicated(cell).any():
        return rows, []
    occurrence = rows.groupby([*cell, "run"]).cumcount()
    rows = rows.assign(run=rows["run"] * (occurrence.max() + 1) + occurrence).sort_values(
        "run", kind="stable"
    )
    blocks = [rows["model"], rows["run"]]
    largest = (-rows.groupby(blocks)["score"].transform("size")).sort_values(kind="stable").index
    known = rows.loc[largest].duplicated([*cell, "digest"])
    copy = known.groupby(blocks).transform("all").loc[rows.index]
    rows, notes = rows[~copy], []
    if copy.any():
        notes.append(f"{_count(copy, 'row')} merged that are copies of others.")
    last = rows.groupby(["model", "item"])["run"].transform("max")
    final = rows[rows["run"] == last].groupby(["model", "item"])["sampled"].all()
    sampled = final.reindex(pd.MultiIndex.from_frame(rows[["model", "item"]])).to_numpy()
    rerun = (rows["run"] < last) & ~(rows["sampled"] & sampled)
    if rerun.any():
        kept = rows[~rerun].drop_duplicates(cell, keep="last").set_index(cell)["score"]
        old = rows[rerun].set_index(cell)["score"]
        differ = old.to_numpy() != kept.reindex(old.index).to_numpy()
        notes.append(
            f"{_count(rerun, 'answer')} replaced by those of a later run, which without sampling "
            f"is no second trial ({int(differ.sum()):,} had another score)."
        )
    return rows[~rerun], notes


def _few_shared(rows: pd.DataFrame) -> list[str]:
    """A note where most items are of less than half of the models: their names may differ."""
    having = rows.drop_duplicates(["item", "model"])
    models = having["item"].value_counts()
    n_models = having["model"].nunique()
    shared = int((2 * models >= n_models).sum())
    least = int(having["model"].value_counts().min())
    if n_models < 3 or shared >= 0.5 * least:
        return []
    return [
        f"models share few items: of {len(models):,} items, {shared:,} are of half of the models "
        f"or more, and a model has {least:,} or more. A forecast drops the others. The models may "
        "have been asked different items, or the log may name one item in several ways."
    ]


def _trials(rows: pd.DataFrame, n: pd.Series, repetition: str) -> str:
    """A note on the number of trials per item and model, and why."""
    low, high = int(n.min()), int(n.max())
    number = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    within = int(rows.groupby(["model", "item", "run"]).size().max())
    runs = int(rows.groupby(["model", "item"])["run"].nunique().max())
    averaged = int(rows["trials"].max())
    why = []
    if averaged > 1:
        why.append(f"the score averages {averaged:,} answers")
    if within > 1:
        why.append(f"{within:,} {repetition}s in a run")
    if runs > 1:
        why.append(f"{runs:,} runs that sample")
    noun = "trial" if low == high == 1 else "trials"
    return f"{number} {noun} per item and model ({', '.join(why) or 'one answer each'})."


def _chance(rows: pd.DataFrame, items: int) -> np.ndarray:
    """1 / options of each item (item,); NaN where logs lack the number of options or disagree."""
    options = rows[rows["options"] > 1].groupby("item")["options"].agg(["min", "max"])
    agreed = options[options["min"] == options["max"]]["max"]
    chance = np.full(items, np.nan)
    chance[agreed.index.to_numpy(dtype=int)] = 1 / agreed.to_numpy()
    return chance


def _count(number: pd.Series, noun: str) -> str:
    total = int(number.sum())
    return f"{total:,} {noun}{'' if total == 1 else 's'}"
