"""Logs of lm-evaluation-harness (0.4): results_<time>.json and, with --log_samples,
samples_<task>_<time>.jsonl beside it (.json in mid-2024). Results files without samples give the
log's own scores; these are read in the layout of 0.3 too (`lm_eval_results`).

    model, settings     of the results with the same time; "model.prompt" is the hash of the first
                prompt, which differs where other examples or templates were used
    benchmark   the task; `groups` are those groups of it that have scores of their own (mmlu)
    item        `doc_hash`, because `doc_id` counts the rows of a --samples list. Documents that
                occur twice in a task are named hash, hash#2, .. Where a task shuffles the choices
                in its documents, their hashes differ between models: items are then named by the
                hash of those of the document's texts that models share, in any order
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
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cod_bayes.ingest.answers import Answers, Names, Rows
from cod_bayes.ingest.json_logs import (
    IngestError,
    OneVersion,
    at,
    field,
    layout,
    plain_name,
    read_lines,
)
from cod_bayes.ingest.lm_eval_results import Results, is_results, load, totals

EXPECTS = "results_<time>.json, and samples_<task>_<time>.jsonl beside it (lm_eval --log_samples)"
TRIAL = "answer kept by the filter"
PARTS = ("hendrycksTest-",)
MACRO = ""

_NAME = re.compile(r"samples_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT[\d.:-]+)\.jsonl?")
_PLAIN = frozenset(
    "doc_id doc target arguments resps filtered_resps filter metrics doc_hash prompt_hash "
    "target_hash".split()
)


def recognises(path: Path) -> bool:
    name = plain_name(path)
    samples = name.startswith("samples_") and name.endswith((".jsonl", ".json"))
    return samples or is_results(path)


@dataclass(frozen=True)
class _Run:
    """A samples file, with the results file beside it."""

    path: Path
    task: str
    results: Results


def read(files: list[Path]) -> Iterator[Answers]:
    """One `Answers` per file and filter, and the scores of every results file."""
    loaded: dict[Path, Results] = {}
    given = set(files)
    settings: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
    runs = []
    for path in files:
        if plain_name(path).startswith("samples_"):
            runs.append(_run(path, loaded))
        elif path not in loaded:
            loaded[path] = load(path)
    versions = OneVersion()
    for results in loaded.values():
        asked = {run.task for run in runs if run.results is results}
        with layout(results.path, EXPECTS):
            for total in totals(results, settings):
                if results.path not in given and total.benchmark not in asked:
                    continue
                yield total
                if total.total and not total.total.parts:
                    version = results.of("versions", total.benchmark)
                    versions.check("version", f"task {total.benchmark!r}", version, results.path)
    tasks: dict[str, list[_Run]] = {}
    for run in runs:
        version = run.results.of("versions", run.task)
        versions.check("version", f"task {run.task!r}", version, run.path)
        tasks.setdefault(run.task, []).append(run)
    for task, logs in tasks.items():
        found: list[Answers] = []
        for run in logs:
            with layout(run.path, EXPECTS):
                found += _read(run)
        yield from _unshuffled(task, found)


def _run(path: Path, loaded: dict[Path, Results]) -> _Run:
    """The run of a samples file; `loaded` keeps the results files read so far."""
    name = _NAME.fullmatch(plain_name(path))
    if name is None:
        raise IngestError(
            f"{path}: expected a name like samples_<task>_<time>.jsonl, which tells the task and "
            "the run; give the file back the name that lm_eval wrote"
        )
    task, time = name["task"], name["time"]
    matches = [
        match
        for match in sorted(path.parent.glob(f"*_{time}.json*"))
        if plain_name(match).endswith(".json") and not match.name.startswith("samples_")
    ]
    if len(matches) != 1:
        raise IngestError(
            f"{path}: expected results_{time}.json beside it, which names the model, got "
            f"{len(matches)} such files; keep both files of a run together"
        )
    if matches[0] not in loaded:
        loaded[matches[0]] = load(matches[0])
    return _Run(path=path, task=task, results=loaded[matches[0]])


def _read(run: _Run) -> Iterator[Answers]:
    """The rows of one file, by filter."""
    path, results = run.path, run.results
    notes = list(results.limited)
    filters: dict[str, tuple[Rows, Names, list[str]]] = {}
    sampled, unscored, prompt = False, 1, ""
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
        if row.get("doc_id") == 0:
            prompt = str(row.get("prompt_hash") or "")[:8]
        options, drawn = _arguments(row)
        sampled |= drawn
        rows.add(
            names.of(row.get("doc_hash") or _hash(row, at(path, line)), row.get("doc_id")),
            {metric: row[metric] for metric in metrics},
            hash(raw.rstrip()),
            trials=max(scored, 1),
            options=options,
        )
    if not filters:
        raise IngestError(f"{path}: expected one row per answer, got an empty file")
    if unscored > 1:
        notes.append(
            f"{run.task}: the logs keep {unscored} answers per item, but the filter scores one of "
            "them."
        )
    expected_items = results.items(run.task)
    for filter, (rows, _, _) in filters.items():
        n_items = len(set(rows.item))
        if expected_items is not None and n_items < expected_items:
            notes.append(
                f"{path.name} of {results.model} holds {n_items:,} of the {expected_items:,} items "
                "that its results count."
            )
        yield rows.answers(
            source=path,
            model=results.model,
            benchmark=run.task,
            subset="",
            filter=filter,
            run=results.time,
            sampled=sampled,
            notes=tuple(notes),
            settings=results.settings(run.task) | ({"model.prompt": prompt} if prompt else {}),
            groups=results.groups(run.task),
            dataset=str((results.of("configs", run.task) or {}).get("dataset_path") or ""),
            worse=results.worse(run.task),
        )


def _unshuffled(task: str, found: list[Answers]) -> list[Answers]:
    """The answers, with items named by their texts where models share few documents else."""
    before = _shared(found)
    if before is None or before[0] >= 0.5 * before[1]:
        return found
    documents: dict[Path, dict[str, set[str]]] = {}  # file -> item -> texts
    for path in {one.source for one in found}:
        texts, seen = documents.setdefault(path, {}), Names()
        for line, _, row in read_lines(path):
            name = seen.of(row.get("doc_hash") or _hash(row, at(path, line)), row.get("doc_id"))
            texts[name] = set(_texts(row.get("doc")))
    # What several models' documents hold: the question and the choices, but no prompt with the
    # choices in their order.
    of_file = [set[str]().union(*texts.values()) for texts in documents.values()]
    counts = Counter(text for texts in of_file for text in texts)
    names: dict[Path, dict[str, str]] = {}
    for path, texts in documents.items():
        for name, parts in texts.items():
            common = sorted(text for text in parts if 2 * counts[text] >= len(documents))
            digest = hashlib.sha256("\n".join(common).encode(errors="backslashreplace"))
            names.setdefault(path, {})[name] = digest.hexdigest()
        if len(set(names[path].values())) < len(texts):
            return found
    renamed = [replace(one, item=[names[one.source][item] for item in one.item]) for one in found]
    after = _shared(renamed)
    if after is None or after[0] < 0.5 * after[1]:
        return found
    number = len({item for one in found for item in one.item})
    note = (
        f"{task}: the models' {number:,} documents are {after[2]:,} questions whose parts are "
        "in another order for each model (shuffled choices); items are named by their texts."
    )
    return [replace(renamed[0], notes=(*renamed[0].notes, note)), *renamed[1:]]


def _shared(found: list[Answers]) -> tuple[int, int, int] | None:
    """Items of more than half of the models, of the model with the fewest, and in all."""
    models: dict[str, set[str]] = {}
    for one in found:
        models.setdefault(one.model, set()).update(one.item)
    if len(models) < 2:
        return None
    counts = Counter(item for items in models.values() for item in items)
    shared = sum(2 * count > len(models) for count in counts.values())
    return shared, min(map(len, models.values())), len(counts)


def _texts(value: Any) -> Iterator[str]:
    """The texts of a document; short ones, which may be the label of the right choice, are not."""
    if isinstance(value, str):
        if len(value) > 3:
            yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


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
