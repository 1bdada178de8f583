"""Logs of lm-evaluation-harness (0.4): results_<time>.json and, with --log_samples,
samples_<task>_<time>.jsonl beside it.

    model       `model_name` of the results with the same time; @revision where `model_args` has
                one other than main (checkpoints of one model share its name)
    benchmark   the task; or, for a task whose group has scores of its own (mmlu), the outermost
                such group, with the task as subset
    item        `doc_hash`, because `doc_id` counts the rows of a --samples list. Documents that
                occur twice in a task are named hash, hash#2, ..
    filter      one row per filter, in `filter`
    scores      the keys named in `metrics` (older logs: all keys but the known ones)
    trials      1: the usual filter scores the first of the `repeats` answers. pass@1 averages the
                n answers that the filter kept, so it gives pass@1 * n correct of n
    options     the number of `arguments` where they are continuations to choose from (half of
                them under acc_mutual_info, which scores each a second time without its context)
    sampled     do_sample or temperature > 0 in the arguments

lm_eval appends to existing files, so rows may repeat.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cod_bayes.ingest.answers import Answers, Names, Rows, number
from cod_bayes.ingest.json_logs import (
    IngestError,
    OneVersion,
    at,
    field,
    layout,
    read_json,
    read_lines,
)

EXPECTS = "samples_<task>_<time>.jsonl beside results_<time>.json (lm_eval --log_samples)"
TRIAL = "answer kept by the filter"

_NAME = re.compile(r"samples_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT[\d.-]+)\.jsonl")
_PLAIN = frozenset(
    "doc_id doc target arguments resps filtered_resps filter metrics doc_hash prompt_hash "
    "target_hash".split()
)


def recognises(path: Path) -> bool:
    return path.suffix == ".jsonl" and path.name.startswith("samples_")


@dataclass(frozen=True)
class _Run:
    """A samples file, with the facts from the results file beside it."""

    path: Path
    task: str
    time: str
    model: str
    version: object
    shots: object  # examples in the prompt
    items: object  # number of items in the run
    groups: dict[str, str]  # the group of each task or group, of groups that have scores


def read(files: list[Path]) -> Iterator[Answers]:
    """One `Answers` per file and filter. All results files are read first for their groups."""
    results: dict[Path, Any] = {}
    runs = [_run(path, results) for path in files]
    versions = OneVersion()
    shots: dict[str, set[str]] = {}
    groups: dict[str, str] = {}
    for run in runs:
        versions.check("version", f"task {run.task!r}", run.version, run.path)
        shots.setdefault(run.task, set()).add(str(run.shots))
        groups |= run.groups
    for run in runs:
        notes = []
        if len(shots[run.task]) > 1:
            notes.append(
                f"{run.task} was asked with different numbers of examples in the prompt (n-shot "
                f"{', '.join(sorted(shots[run.task]))}): such scores do not compare."
            )
        with layout(run.path, EXPECTS):
            yield from _read(run, _outermost(run.task, groups), notes)


def _run(path: Path, results: dict[Path, Any]) -> _Run:
    """The run of a samples file; `results` caches the results files read so far."""
    name = _NAME.fullmatch(path.name)
    if name is None:
        raise IngestError(
            f"{path}: expected a name like samples_<task>_<time>.jsonl, which tells the task and "
            "the run; give the file back the name that lm_eval wrote"
        )
    task, time = name["task"], name["time"]
    matches = sorted(path.parent.glob(f"*_{time}.json"))
    if len(matches) != 1:
        raise IngestError(
            f"{path}: expected results_{time}.json beside it, which names the model, got "
            f"{len(matches)} such files; keep both files of a run together"
        )
    results_file = matches[0]
    if results_file not in results:
        results[results_file] = read_json(results_file)
    about = results[results_file]
    model = field(about, "model_name", str, str(results_file))
    with layout(results_file, EXPECTS):
        arguments = (about.get("config") or {}).get("model_args")
        if isinstance(arguments, str):
            arguments = dict(pair.split("=", 1) for pair in arguments.split(",") if "=" in pair)
        revision = (arguments or {}).get("revision") or "main"
        return _Run(
            path=path,
            task=task,
            time=time,
            model=model if revision == "main" else f"{model}@{revision}",
            version=(about.get("versions") or {}).get(task),
            shots=(about.get("n-shot") or {}).get(task),
            items=((about.get("n-samples") or {}).get(task) or {}).get("effective"),
            groups={
                part: group
                for group, parts in (about.get("group_subtasks") or {}).items()
                if group in (about.get("groups") or {})
                for part in parts
            },
        )


def _outermost(task: str, groups: dict[str, str]) -> str:
    """The outermost group of a task, or the task itself."""
    visited = {task}
    while groups.get(task, task) not in visited:
        task = groups[task]
        visited.add(task)
    return task


def _read(run: _Run, benchmark: str, notes: list[str]) -> Iterator[Answers]:
    """The rows of one file, by filter."""
    path = run.path
    filters: dict[str, tuple[Rows, Names, list[str]]] = {}
    sampled, unscored = False, 1
    for line, raw, row in read_lines(path):
        filter = row.get("filter", "none")
        metrics = row.get("metrics")
        if metrics is None:  # older logs
            metrics = [key for key in row if key not in _PLAIN]
        if filter not in filters and not all(isinstance(name, str) for name in (filter, *metrics)):
            raise IngestError(f"{at(path, line)}: expected names as `filter` and `metrics`")
        rows, names, expected = filters.setdefault(filter, (Rows(), Names(), metrics))
        if metrics != expected:
            raise IngestError(
                f"{at(path, line)}: expected the metrics {', '.join(expected)} of the rows before "
                f"it, got {', '.join(metrics) or 'none'}; the file mixes versions of the task or "
                "of lm_eval: keep one"
            )
        if missing := [metric for metric in metrics if metric not in row]:
            raise IngestError(
                f"{at(path, line)}: expected the score {missing[0]!r} that `metrics` names, got "
                f"only {', '.join(row)}; log the task again"
            )
        answers, kept = row["resps"], row["filtered_resps"]
        given = len(answers[0]) if len(answers) == 1 else 1
        scored = len(kept[0]) if len(kept) == 1 and isinstance(kept[0], list) else 1
        if scored == 1:
            unscored = max(unscored, given)
        options, drawn = _arguments(row)
        sampled |= drawn
        rows.add(
            names.of(row.get("doc_hash") or _hash(row, at(path, line)), row.get("doc_id")),
            {metric: number(row[metric]) for metric in metrics},
            hash(raw.rstrip()),
            trials=max(scored, 1),
            options=options,
        )
    if not filters:
        raise IngestError(f"{path}: expected one row per answer, got an empty file")
    if unscored > 1:
        notes = [
            *notes,
            f"{benchmark}: the logs keep {unscored} answers per item, but the filter "
            "scores one of them.",
        ]
    for filter, (rows, _, _) in filters.items():
        n_items = len(set(rows.item))
        if isinstance(run.items, int) and n_items < run.items:
            notes = [
                *notes,
                f"{path.name} of {run.model} holds {n_items:,} of the {run.items:,} items that its "
                "results count.",
            ]
        yield rows.answers(
            source=path,
            model=run.model,
            benchmark=benchmark,
            subset="" if run.task == benchmark else run.task,
            filter=filter,
            run=run.time,
            sampled=sampled,
            notes=tuple(notes),
        )


def _hash(row: dict[str, Any], where: str) -> str:
    """`doc_hash` as lm_eval computes it, for older logs without it."""
    document = field(row, "doc", dict, where)
    return hashlib.sha256(json.dumps(document, indent=2, ensure_ascii=False).encode()).hexdigest()


def _arguments(row: dict[str, Any]) -> tuple[int, bool]:
    """Number of options (0: a free answer), and whether the answer was sampled."""
    arguments = row["arguments"]
    if isinstance(arguments, dict):
        calls = [call.get("arg_1") for call in arguments.values()]
    else:  # older logs
        calls = [call[1] if len(call) > 1 else None for call in arguments]
    if calls and isinstance(calls[0], dict):
        temperature = calls[0].get("temperature")
        return 0, temperature != 0 and bool(calls[0].get("do_sample") or temperature)
    options = len(calls) // (2 if "acc_mutual_info" in row else 1)
    return (options if options > 1 else 0), False
