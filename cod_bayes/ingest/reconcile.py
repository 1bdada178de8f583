"""The table against the logs' own scores: where the means differ, and why.

For each task and model, the mean of the items in the table is compared with the score that the log
itself reports under the same metric, filter and run; and so for each benchmark of several tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from cod_bayes.ingest.answers import Answers
from cod_bayes.ingest.grouping import are_parts
from cod_bayes.ingest.table import Used

__all__ = ["reconcile", "reconciled"]

COLUMNS = ("benchmark", "subset", "model", "metric", "table", "log", "reason")
_CLOSE = 1.5e-4  # logs round to 0.01 %

Key = tuple[str, str, str, str, str]  # benchmark, subset, model, filter, run


def reconcile(
    benchmark: str,
    table: pd.DataFrame,
    used: Sequence[Used],
    totals: Sequence[Answers],
    macro: str,
) -> list[tuple[object, ...]]:
    """Rows of COLUMNS, one per task or benchmark and model that a log has its own score of.

    `macro` names the program if it reports the mean of a benchmark's subsets.
    """
    own: dict[Key, Answers] = {}
    for total in totals:
        key = total.benchmark, total.subset, total.model, total.filter, total.run
        own.setdefault(key, total)
    by_cell: dict[tuple[str, str], list[Used]] = {}
    for one in used:
        by_cell.setdefault((one.log.subset, one.log.model), []).append(one)
    columns = ["subset", "model"] if "subset" in table else ["model"]
    means = table.groupby(columns, observed=True)["score"].mean()
    sizes = table.groupby(columns, observed=True).size()
    found: list[tuple[object, ...]] = []
    for (subset, model), logs in by_cell.items():
        cell = (subset, model)
        pairs = [(one, t) for one in logs if one.n and (t := _own(one, own, subset)) is not None]
        if not pairs or cell not in means.index:
            continue
        n = sum(one.n for one, _ in pairs)
        log = sum(one.n * value for one, (_, value) in pairs) / n
        mean = float(means[cell])
        reason = "" if abs(mean - log) < _CLOSE else _reason(pairs, log, int(sizes[cell]))
        found.append((benchmark, subset, model, logs[0].metric, mean, log, reason))
    subsets = {subset for subset, _ in by_cell}
    if len(subsets) > 1:
        found += _whole(benchmark, table, used, own, macro)
    return found


def reconciled(rows: Sequence[tuple[object, ...]]) -> tuple[pd.DataFrame, list[str]]:
    """The comparison as a table, and notes: one for each benchmark and reason."""
    checks = pd.DataFrame(rows, columns=list(COLUMNS))
    notes = []
    agree = checks["reason"] == ""
    if len(checks):
        notes.append(
            f"Means that agree with the logs' own scores: {int(agree.sum()):,} of {len(checks):,}."
        )
    for (benchmark, reason), part in checks[~agree].groupby(["benchmark", "reason"], sort=False):
        pairs = [
            f"{model}{f' on {subset}' if subset else ''} {100 * mean:.1f} % where the log has "
            f"{100 * log:.1f} %"
            for subset, model, mean, log in part[["subset", "model", "table", "log"]].values[:4]
        ]
        more = f" and {len(part) - 4:,} more" if len(part) > 4 else ""
        notes.append(
            f"{benchmark}: the table's mean differs from the log's own {part['metric'].iloc[0]}: "
            f"{', '.join(pairs)}{more}: {reason}."
        )
    return checks, notes


def _own(one: Used, own: Mapping[Key, Answers], subset: str) -> tuple[Answers, float] | None:
    """The log's own score of a task in a run."""
    log = one.log
    total = own.get((log.benchmark, subset, log.model, log.filter, log.run))
    if total is None or total.total is None:
        return None
    name = total.total.names.get(one.metric, one.metric)
    return (total, float(total.scores[name][0])) if name in total.scores else None


def _reason(pairs: Sequence[tuple[Used, tuple[Answers, float]]], log: float, items: int) -> str:
    """Why the table's mean is not the log's."""
    right = sum(one.right for one, _ in pairs)
    n, lost = sum(one.n for one, _ in pairs), sum(one.lost for one, _ in pairs)
    for one, (total, _) in pairs:
        assert total.total is not None
        rule = total.total.rule.get(one.metric, total.total.rule.get(""))
        if rule:
            return rule
    if lost and abs(right / (n + lost) - log) < _CLOSE:
        return (
            f"the log counts {lost:,} answers without a score as wrong, the table leaves them out"
        )
    counts = {
        total.total.n.get(one.metric, total.total.n.get(""))
        for one, (total, _) in pairs
        if total.total is not None
    }
    if lost:
        return f"the table leaves out {lost:,} answers without a score"
    if len(counts) == 1 and (count := counts.pop()) is not None and count not in (items, n):
        return f"the log's score is of {count:,.0f} answers, the table's of {items:,} items"
    if len(pairs) > 1:
        return "the table joins several runs"
    return "no reason is known; check that the log is whole and its metric is the one you want"


def _whole(
    benchmark: str,
    table: pd.DataFrame,
    used: Sequence[Used],
    own: Mapping[Key, Answers],
    macro: str,
) -> list[tuple[object, ...]]:
    """The comparison of a benchmark with several subsets."""
    found: list[tuple[object, ...]] = []
    metrics = {one.metric for one in used}
    if len(metrics) > 1:
        return found
    (metric,) = metrics
    remedy = (
        f"(--split {benchmark} keeps the tasks apart, and forecast --index "
        f"'{benchmark}={benchmark}*' gives their mean)"
    )
    for model, part in table.groupby("model", observed=True):
        mean = float(part["score"].mean())
        by_subset = part.groupby("subset", observed=True)["score"].mean()
        equal = float(by_subset.mean())
        runs = [one for one in used if one.log.model == model and one.n]
        scores = [score for one in runs if (score := _own(one, own, "")) is not None]
        if scores:
            log, reason = scores[-1][1], ""
            if abs(mean - log) >= _CLOSE:
                of = f"the log averages its {len(by_subset):,} tasks, the table all items {remedy}"
                reason = of if abs(equal - log) < _CLOSE else _other(scores[-1][0], len(by_subset))
            found.append((benchmark, "", model, metric, mean, log, reason))
        elif macro and abs(mean - equal) >= 1e-3 and not are_parts(benchmark, by_subset.index):
            reason = f"{macro} reports the mean of the {len(by_subset):,} tasks {remedy}"
            found.append((benchmark, "", model, metric, mean, equal, reason))
    return found


def _other(total: Answers, tasks: int) -> str:
    parts = len(total.total.parts) if total.total else 0
    if parts != tasks:
        return f"the log's score is of {parts:,} tasks, the table has {tasks:,} of them"
    return "no reason is known; check that the logs of all tasks are of one run"
