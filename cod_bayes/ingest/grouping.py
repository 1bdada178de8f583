"""What is one benchmark: tasks of a group join it as its subsets, or stay apart.

Joined are

    the tasks of a group that has scores of its own (mmlu): of the outermost such group whose tasks
    have the same metrics, and data sets of one name where the logs tell it
    data sets that the evaluation program itself reports as one, by the beginning of their names
    the tasks that the user joins: `group`, texts NAME=PATTERN

and the user keeps apart the tasks of the benchmarks that `split` names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from cod_bayes.ingest.answers import Answers
from cod_bayes.ingest.json_logs import IngestError

__all__ = ["are_parts", "assign"]


def assign(
    answers: Sequence[Answers], prefixes: Sequence[str], group: Sequence[str], split: Sequence[str]
) -> tuple[list[Answers], list[str]]:
    """The answers with their benchmark and subset, and notes on what was joined or kept apart."""
    joined = _joined_by_user(answers, group)
    uniform, unlike = _uniform_groups(answers)
    used: set[str] = set()
    found: list[Answers] = []
    refused = {name: False for name in split}

    def kept_apart(name: str) -> bool:
        matches = [pattern for pattern in split if fnmatchcase(name, pattern)]
        refused.update(dict.fromkeys(matches, True))
        return bool(matches)

    tasks = {one.benchmark for one in answers if not (one.total and one.total.parts)}
    by_prefix = _by_prefix(tasks, prefixes)
    for one in answers:
        task = _apart(one)
        if one.total and one.total.parts:
            found.append(one)
        elif task in joined or one.benchmark in joined:
            name = joined.get(task) or joined[one.benchmark]
            found.append(replace(one, benchmark=name, subset=task))
        elif one.subset:
            apart = kept_apart(one.benchmark)
            found.append(replace(one, benchmark=task, subset="") if apart else one)
        else:
            names = [name for name in reversed(one.groups) if name in uniform]
            names += [by_prefix[one.benchmark]] if one.benchmark in by_prefix else []
            name = one.benchmark if not names or kept_apart(names[0]) else names[0]
            used.add(name)
            alone = name == one.benchmark
            found.append(one if alone else replace(one, benchmark=name, subset=one.benchmark))
    # A group's own scores stay where the group is a benchmark, or nothing is known of its tasks.
    grouped = {name for one in answers for name in one.groups}
    found = [
        one
        for one in found
        if not (one.total and one.total.parts)
        or one.benchmark in used
        or (one.benchmark not in grouped and not kept_apart(one.benchmark))
    ]
    for name in unlike:
        kept_apart(name)
    if missing := [name for name, was_found in refused.items() if not was_found]:
        names = sorted({one.benchmark for one in found if one.subset})
        raise IngestError(
            f"expected a benchmark of several tasks to split, got {missing[0]!r}; there are: "
            f"{', '.join(names) or 'none'}"
        )
    return found, _notes(found, unlike, split)


def _apart(one: Answers) -> str:
    """The name of the task as a benchmark of its own."""
    if one.subset.startswith(one.benchmark):
        return one.subset
    return f"{one.benchmark}:{one.subset}" if one.subset else one.benchmark


def _joined_by_user(answers: Sequence[Answers], group: Sequence[str]) -> dict[str, str]:
    """Task -> the benchmark that the user makes of it."""
    joined: dict[str, str] = {}
    tasks = {one.benchmark for one in answers}
    tasks |= {_apart(one) for one in answers}
    for text in group:
        name, sign, pattern = text.partition("=")
        if not (name and sign and pattern):
            raise IngestError(f"expected a group such as mmlu=mmlu_*, got {text!r}")
        matches = [task for task in tasks if fnmatchcase(task, pattern)]
        if not matches:
            raise IngestError(
                f"expected tasks that match {pattern!r}, got none; there are: "
                f"{', '.join(sorted(tasks)[:12])}"
            )
        joined |= {task: name for task in matches if task not in joined}
    return joined


def _uniform_groups(answers: Sequence[Answers]) -> tuple[set[str], dict[str, set[str]]]:
    """Groups whose tasks have the same metrics and related data sets; and the tasks of the rest."""
    metrics: dict[str, dict[bool, set[str]]] = {}
    datasets: dict[str, str] = {}
    groups: dict[str, set[str]] = {}
    for one in answers:
        if one.groups and not (one.total and one.total.parts):
            by_kind = metrics.setdefault(one.benchmark, {})
            by_kind.setdefault(one.total is None, set()).update(one.scores)
            if one.dataset:
                datasets[one.benchmark] = _stem(one.dataset)
            for name in one.groups:
                groups.setdefault(name, set()).add(one.benchmark)
    uniform, unlike = set(), {}
    for name, tasks in groups.items():
        # The metrics of the answers; of the own scores where a task has no answers.
        kinds = {
            frozenset(metrics[task].get(True) or metrics[task].get(False, set())) for task in tasks
        }
        stems = {datasets[task] for task in tasks if task in datasets}
        if len(kinds) == 1 and len(stems) <= 1:
            uniform.add(name)
        else:
            unlike[name] = tasks
    return uniform, unlike


def _stem(dataset: str) -> str:
    """hails/agieval-lsat-ar -> hails/agieval: what the data sets of one benchmark share."""
    owner, slash, name = dataset.rpartition("/")
    return owner + slash + re.split(r"[-_.]", name)[0]


def _by_prefix(tasks: set[str], prefixes: Sequence[str]) -> dict[str, str]:
    """Task -> benchmark, of tasks whose names begin alike, if there are several."""
    found: dict[str, str] = {}
    for prefix in prefixes:
        alike = [task for task in tasks if task.startswith(prefix) and task not in found]
        if len(alike) > 1:
            found |= dict.fromkeys(alike, prefix.rstrip("-_"))
    return found


def are_parts(benchmark: str, subsets: Iterable[str]) -> bool:
    """Whether the subsets are parts into which one data set was cut: name_0, name_1, .."""
    return all(subset.removeprefix(f"{benchmark}_").isdecimal() for subset in subsets)


def _notes(
    answers: Sequence[Answers], unlike: Mapping[str, set[str]], split: Sequence[str]
) -> list[str]:
    subsets: dict[str, set[str]] = {}
    homes: dict[str, str] = {}
    for one in answers:
        if one.subset:
            subsets.setdefault(one.benchmark, set()).add(one.subset)
        if not (one.total and one.total.parts):
            homes[one.subset or one.benchmark] = one.benchmark
    notes = [
        f"{name}: {len(parts):,} tasks in one benchmark, {', '.join(sorted(parts)[:3])}"
        f"{', ..' if len(parts) > 3 else ''} (split={name!r}, --split {name} keeps them apart)."
        for name, parts in subsets.items()
        if len(parts) > 1 and not are_parts(name, parts)
    ]
    for name, tasks in unlike.items():
        benchmarks = sorted({homes[task] for task in tasks if task in homes})
        if len(benchmarks) > 1 and name not in split:
            notes.append(
                f"{name}: its tasks have different metrics or data sets, so they are no one "
                f"benchmark but {len(benchmarks):,}: {', '.join(benchmarks[:6])}"
                f"{', ..' if len(benchmarks) > 6 else ''}."
            )
    return notes
