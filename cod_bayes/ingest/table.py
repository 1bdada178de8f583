"""From answers to the tidy table: one (metric, filter) per benchmark, trials apart from copies.

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

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from cod_bayes.ingest.answers import Answers
from cod_bayes.ingest.json_logs import IngestError

__all__ = ["Choice", "Task", "choose", "stack", "tabulate"]

Task = tuple[str, str]  # benchmark, subset
Choice = tuple[str, str]  # metric, filter
_COUNTED = "pass@1"  # the metric whose score averages several trials


# ---------------------------------------------------------------------------------------------
# Which score


def choose(
    answers: Collection[Answers], metrics: Sequence[str], filters: Sequence[str]
) -> tuple[dict[Task, Choice], list[str]]:
    """The metric and filter of each task, and notes on them.

    `metrics` and `filters` are in order of preference. A task skips a name that it lacks, because
    logs of several benchmarks seldom share one metric. A name that no log has is refused.
    """
    tasks: dict[Task, list[Answers]] = {}
    for one in answers:
        tasks.setdefault((one.benchmark, one.subset), []).append(one)
    _refuse_unknown("metric", metrics, {m for a in answers for m in a.scores})
    _refuse_unknown("filter", filters, {a.filter for a in answers})
    chosen: dict[Task, Choice] = {}
    unclear: dict[str, list[str]] = {}  # choices -> tasks
    replaced: dict[str, list[str]] = {}  # what is used instead -> tasks
    for task, logs in tasks.items():
        name = task[1] or task[0]
        available = sorted({(metric, one.filter) for one in logs for metric in one.scores})
        options = [choice for choice in available if _is_rate(choice, logs)]
        for what, wanted, k in (("metric", metrics, 0), ("filter", filters, 1)):
            named = next((n for n in wanted if n in {choice[k] for choice in available}), None)
            if named is not None:
                options = [choice for choice in options if choice[k] == named]
            elif wanted and len(options) == 1 and options[0][k] != "none":
                used = f"no {what} {wanted[0]}, {_show(options[0])} is used"
                replaced.setdefault(used, []).append(name)
        if not options:
            raise IngestError(
                f"{logs[0].source}: expected scores in [0, 1] of {name}, got none under "
                f"{_among(metrics, available)}; choose a metric that tells right answers from wrong"
            )
        if len(options) == 1:
            chosen[task] = options[0]
        else:
            unclear.setdefault(", ".join(map(_show, options)), []).append(name)
    if unclear:
        lines = (f"{_first(names)}: {choices}" for choices, names in unclear.items())
        raise IngestError(
            "expected one score per answer, but the logs have several; choose with metric= "
            f"(--metric) or filter= (--filter): {'; '.join(lines)}"
        )
    return chosen, [f"{_first(names)}: {used}." for used, names in replaced.items()]


def _first(names: Sequence[str]) -> str:
    return names[0] + (f" and {len(names) - 1:,} more" if len(names) > 1 else "")


def _refuse_unknown(what: str, wanted: Sequence[str], names: Iterable[str]) -> None:
    for name in wanted:
        if name not in names:
            raise IngestError(
                f"expected a {what} of the logs, got {name!r}; there are: "
                f"{', '.join(sorted(names)) or 'none'}"
            )


def _among(metrics: Sequence[str], available: Sequence[Choice]) -> str:
    named = [choice for choice in available if choice[0] in metrics] or available
    return ", ".join(map(_show, named)) or "any metric"


def _is_rate(choice: Choice, answers: Sequence[Answers]) -> bool:
    """Whether the choice has scores, all of them in [0, 1]."""
    has_scores = False
    for one in answers:
        if one.filter == choice[1] and choice[0] in one.scores:
            scores = one.scores[choice[0]]
            scores = scores[~np.isnan(scores)]
            if ((scores < 0) | (scores > 1)).any():
                return False
            has_scores |= scores.size > 0
    return has_scores


def _show(choice: Choice) -> str:
    metric, filter = choice
    return metric if filter == "none" else f"{metric} ({filter})"


# ---------------------------------------------------------------------------------------------
# The table


def tabulate(
    benchmark: str, answers: Sequence[Answers], choices: Mapping[Task, Choice], repetition: str
) -> tuple[pd.DataFrame, list[str]]:
    """The table of one benchmark, and notes on what was merged and why.

    Columns benchmark, subset, item, model (categorical), n_correct, n_trials, score, chance; a
    benchmark has either counts or only a score. `repetition` is what the format calls a
    repetition within a run.
    """
    chosen = _scored(answers, choices)
    models = sorted({one.model for one, _ in chosen})
    rows, items, subset = _rows(chosen, models)
    notes = []
    if (lost := rows["score"].isna()).any():
        notes.append(f"{_count(lost, 'answer')} without a score left out.")
        rows = rows[~lost]
    rows, merged = _merge(rows)
    notes += merged

    right = rows["score"] * rows["trials"]
    counts = rows["score"].isin((0.0, 1.0)) | (rows["trials"] > 1)
    binary = bool((counts & (np.abs(right - right.round()) < 1e-6)).all())
    cells = rows.assign(right=right).groupby(["item", "model"])
    table = cells.agg(right=("right", "sum"), n=("trials", "sum")).reset_index()
    notes.append(_trials(rows, table["n"], repetition))
    if not binary:
        notes.append("scores with partial credit are rates without a number of trials.")
    item = table["item"].to_numpy()
    subsets = sorted(set(subset))
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
    return table, [f"{benchmark}: {note}" for note in notes]


def stack(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The tables one under the other; columns without any value are dropped."""
    joined = {}
    for column in tables[0]:
        parts = [table[column] for table in tables]
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
                f"{one.source}: expected {_show(choices[one.benchmark, one.subset])} of "
                f"{one.subset or one.benchmark} as other logs have it, got "
                f"{', '.join(_show((m, one.filter)) for m in one.scores) or 'no scores'}; score "
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
    for one, metric in answers:
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
