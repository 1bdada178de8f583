"""Logs of Inspect AI (0.3): .eval, a zip, or one .json file.

    header.json             `eval`: task, model, ...; `plan.config`. A killed run lacks it, but has
                            the same in `_journal/start.json`
    summaries.json          one entry per sample; a killed run has `_journal/summaries/<n>.json`
    samples/<id>_epoch_<n>  the transcripts, which are not read

A log without samples (a header written alone) gives its `results` only.

The zip's members are deflated (older logs) or compressed with zstd (method 93), which Python's
`zipfile` cannot read before 3.14; PyArrow can.

    model       `eval.model`; @revision or @path, /subfolder and +adapter where `model_args` has one
    benchmark   `eval.task`
    item        `id`, or a digest of `input` where an id does not name one question in all logs
    trial       `epoch`
    scores      one metric per scorer; per key, scorer/key, where a score is an object. C = 1,
                P = 0.5, I = N = 0, yes = true = 1, no = false = 0, as in Inspect. A sample with an
                `error` has no score, unless the run was to score those too (`score_on_error`)
    options     the number of `choices`
    sampled     unless temperature is 0: providers sample by default
    digest      `uuid`: a retried run copies the samples of the run before it
    settings    task arguments, solvers, generation settings, message and token limits;
                "model.<argument>" for model arguments
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from cod_bayes.ingest.answers import Answers, Names, Rows, Total, number, total_of
from cod_bayes.ingest.json_logs import (
    IngestError,
    OneVersion,
    field,
    head,
    layout,
    parse,
    plain_name,
    read_json,
)

EXPECTS = "<time>_<task>_<id>.eval (or .json) of Inspect"
TRIAL = "epoch"
PARTS = ()
MACRO = ""

_WORDS = {"C": 1, "P": 0.5, "I": 0, "N": 0}
_ZSTD = 93
# Settings that tell where and how fast a model runs, not what it answers.
_PLACE = re.compile(
    r"revision|subfolder|peft|adapter|device.*|.*batch.*|max_connections|max_retries|timeout|"
    r"attempt_timeout|cache.*|base_url|api_key|.*token|seed|model_path|lora_local_path|port|"
    r"trust_remote_code|.*parallel.*|gpu_memory_utilization|server_args|retry_.*"
)
_LIMITS = "message_limit token_limit time_limit working_limit".split()


def recognises(path: Path) -> bool:
    if plain_name(path).endswith(".json"):
        start = head(path, 2048)
        return b'"eval_id"' in start or (b'"run_id"' in start and b'"task_id"' in start)
    return path.suffix == ".eval"


def read(files: list[Path]) -> Iterator[Answers]:
    """One `Answers` per log, and the log's own scores."""
    versions = OneVersion()
    found: dict[str, list[tuple[Answers, list[str]]]] = {}  # task -> logs, inputs of the rows
    for path in files:
        with layout(path, EXPECTS):
            log, samples = _zip(path) if path.suffix == ".eval" else _json(path)
            about = field(log, "eval", dict, str(path))
            task = field(about, "task", str, str(path))
            version = about.get("task_version", 0)
            versions.check("version", f"task {task!r}", version, path)
            shared = _shared(path, log, about)
            if samples or not (log.get("results") or {}).get("scores"):
                answers = _answers(path, log, about, samples, shared)
                found.setdefault(task, []).append((answers, [_input(one) for one in samples]))
            yield from _own(log, about, shared)
    for task, logs in found.items():
        yield from _same_items(task, logs)


def _input(sample: dict[str, Any]) -> str:
    """A digest of what the sample asks, without the ids of messages, which differ between runs."""
    asked = sample.get("input")
    if isinstance(asked, list):
        asked = [one.get("content") if isinstance(one, dict) else one for one in asked]
    return hashlib.sha256(json.dumps(asked, default=str).encode()).hexdigest()


def _same_items(task: str, logs: list[tuple[Answers, list[str]]]) -> Iterator[Answers]:
    """The answers, with items named by what they ask where ids name other questions in each log."""
    asked: dict[str, str] = {}
    differ = any(
        asked.setdefault(item, content) != content
        for answers, contents in logs
        for item, content in zip(answers.item, contents, strict=True)
    )
    if not differ:
        yield from (answers for answers, _ in logs)
        return
    sets = [set(contents) for _, contents in logs]
    shared = len(set.intersection(*sets)) / max(1, min(map(len, sets)))
    by_input = shared >= 0.5
    note = f"{task}: an id does not name the same question in all logs (a shuffled data set?)" + (
        "; items are named by their inputs."
        if by_input
        else ", and their inputs differ too: check that the models were asked the same items."
    )
    for place, (answers, contents) in enumerate(logs):
        notes = (*answers.notes, note) if place == 0 else answers.notes
        item, names = answers.item, Names()
        if by_input:
            item = [names.of(c, i) for c, i in zip(contents, answers.item, strict=True)]
        yield replace(answers, item=item, notes=notes)


def _shared(path: Path, log: dict[str, Any], about: dict[str, Any]) -> dict[str, Any]:
    """What the answers and the scores of a log have in common."""
    generation = {
        **(about.get("model_generate_config") or {}),
        **((log.get("plan") or {}).get("config") or {}),
    }
    return {
        "source": path,
        "model": _model(field(about, "model", str, str(path)), about.get("model_args") or {}),
        "benchmark": about["task"],
        "subset": "",
        "filter": "none",
        "run": field(about, "created", str, str(path)),
        "sampled": generation.get("temperature") != 0,
        "settings": _settings(log, about, generation),
    }


def _model(name: str, arguments: Mapping[str, Any]) -> str:
    if arguments.get("subfolder"):
        name += f"/{arguments['subfolder']}"
    if arguments.get("model_path"):  # one name, such as hf/local, for all local models
        name += f"@{arguments['model_path']}"
    if arguments.get("revision") not in (None, "", "main"):
        name += f"@{arguments['revision']}"
    for kind in ("peft", "adapter", "lora_local_path"):
        if arguments.get(kind):
            name += f"+{arguments[kind]}"
    return name


def _settings(
    log: dict[str, Any], about: dict[str, Any], generation: Mapping[str, Any]
) -> dict[str, str]:
    steps = (log.get("plan") or {}).get("steps") or []
    solvers = [_text(step.get("solver")) for step in steps]
    found = {"solver": _text(about.get("solver") or ", ".join(solvers) or None)}
    for step, solver in zip(steps, solvers, strict=True):
        for name, value in (step.get("params") or {}).items():
            if value is not None:
                found[f"{solver}.{name}"] = _text(value)
    if about.get("solver_args"):
        found["solver_args"] = _text(about["solver_args"])
    for name, value in (about.get("task_args") or {}).items():
        found[f"task_args.{name}"] = _text(value)
    if about.get("model_roles"):
        found["model_roles"] = _text(about["model_roles"])
    for scorer in about.get("scorers") or []:
        for name, value in (scorer.get("options") or {}).items():
            found[f"{scorer.get('name')}.{name}"] = _text(value)
    if (dataset := (about.get("dataset") or {}).get("name")) is not None:
        found["dataset"] = _text(dataset)
    for name in _LIMITS:
        if (value := (about.get("config") or {}).get(name)) is not None:
            found[name] = _text(value)
    for name, value in generation.items():
        if value is not None and not _PLACE.fullmatch(name):
            found[f"generation.{name}"] = _text(value)
    arguments = about.get("model_args") or {}
    for name in ("revision", "subfolder", "model_path", "peft", "adapter", "lora_local_path"):
        default = "main" if name == "revision" else None
        found[f"model.{name}"] = _text(arguments.get(name) or default)
    for name, value in arguments.items():
        if value is not None and not _PLACE.fullmatch(name):
            found[f"model.{name}"] = _text(value)
    return found


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _own(log: dict[str, Any], about: dict[str, Any], shared: dict[str, Any]) -> Iterator[Answers]:
    """The log's own scores."""
    results = log.get("results") or {}
    config = about.get("config") or {}
    epochs = config.get("epochs") or 1
    scores: dict[str, float] = {}
    n: dict[str, float] = {}
    stderr: dict[str, float] = {}
    rule: dict[str, str] = {}
    for one in results.get("scores") or []:
        name, scorer = one.get("name"), one.get("scorer") or one.get("name")
        metric = name if name == scorer else f"{scorer}/{name}"
        reducer = one.get("reducer") or "mean"
        if metric in scores and reducer != "mean":
            continue
        figures = {k.rpartition("/")[2]: v for k, v in (one.get("metrics") or {}).items()}
        for measure in ("accuracy", "mean"):
            if isinstance(figures.get(measure), dict):
                scores[metric] = number(figures[measure].get("value"))
                rule.pop(metric, None)
                break
        else:
            continue
        if epochs > 1 and reducer != "mean":
            rule[metric] = f"the log reduces {epochs} epochs by {reducer}, the table by their mean"
        error = number((figures.get("stderr") or {}).get("value"))
        if 0 <= error < 1:
            stderr[metric] = error
        items = one.get("scored_samples") or (results.get("completed_samples") or 0) / epochs
        if items:
            n[metric] = float(items) * (epochs if metric not in rule else 1)
    if scores:
        yield total_of(scores, Total(n=n, stderr=stderr, rule=rule), **shared)


def _answers(
    path: Path,
    log: dict[str, Any],
    about: dict[str, Any],
    samples: list[dict[str, Any]],
    shared: dict[str, Any],
) -> Answers:
    rows = Rows()
    errors_count = (about.get("config") or {}).get("score_on_error") is True
    for position, sample in enumerate(samples, start=1):
        where = f"{path}, sample {position:,}"
        identity = sample.get("id")
        if not isinstance(identity, str | int):
            raise IngestError(f"{where}: expected an 'id', got {identity!r}")
        epoch = field(sample, "epoch", int, where)
        rows.add(
            str(identity),
            _scores(sample, errors_count),
            hash(sample.get("uuid") or (path, position)),
            trial=epoch,
            options=len(sample.get("choices") or ()),
        )
    notes = []
    status = log.get("status", "started")
    if status != "success":
        notes.append(f"{path.name} is of a run that did not finish ({status}): it may lack items.")
    return rows.answers(notes=tuple(notes), **shared)


def _scores(sample: dict[str, Any], errors_count: bool) -> dict[str, object]:
    """The scores of a sample by metric."""
    scores: dict[str, object] = {}
    for scorer, score in (sample.get("scores") or {}).items():
        value = score["value"]
        if isinstance(value, dict):
            parts = {f"{scorer}/{key}": one for key, one in value.items()}
        else:
            parts = {scorer: value}
        for metric, one in parts.items():
            one = _WORDS.get(one, one) if isinstance(one, str) else one
            scores[metric] = nan if sample.get("error") and not errors_count else one
    return scores


def _json(path: Path) -> tuple[dict[str, Any], list[Any]]:
    log = read_json(path)
    if log.get("samples") is None and (log.get("results") or {}).get("scores"):
        return log, []
    return log, field(log, "samples", list, str(path))


def _zip(path: Path) -> tuple[dict[str, Any], list[Any]]:
    try:
        with ZipFile(path) as archive:
            names = archive.namelist()

            def member(name: str) -> Any:
                return parse(_bytes(archive, name), Path(f"{path}!{name}"))

            start = next((n for n in ("header.json", "_journal/start.json") if n in names), None)
            if start is None:
                raise IngestError(
                    f"{path}: expected an Inspect log with header.json in it, got a zip of "
                    f"{len(names):,} other files"
                )
            if "summaries.json" in names:
                return member(start), member("summaries.json")
            journal = [n for n in names if n.startswith("_journal/summaries/")]
            journal.sort(key=lambda n: (len(n), n))  # 1.json .. 10.json
            return member(start), [sample for name in journal for sample in member(name)]
    except (BadZipFile, EOFError, OSError, struct.error) as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise IngestError(
            f"{path}: expected a zip archive as Inspect writes it, but it is damaged or cut off "
            f"({error}); copy it again"
        ) from None


def _bytes(archive: ZipFile, name: str) -> bytes:
    info = archive.getinfo(name)
    if info.compress_type != _ZSTD:
        return archive.read(info)
    import pyarrow as pa

    # A local header is 30 bytes, of which the last four are the lengths of name and extra field.
    assert archive.fp is not None
    archive.fp.seek(info.header_offset)
    name_length, extra_length = struct.unpack("<26x2H", archive.fp.read(30))
    archive.fp.seek(info.header_offset + 30 + name_length + extra_length)
    raw = archive.fp.read(info.compress_size)
    return pa.CompressedInputStream(pa.BufferReader(raw), "zstd").read(info.file_size)
