"""Logs of Inspect AI (0.3): .eval, a zip, or one .json file.

    header.json             `eval`: task, model, ...; `plan.config`. A killed run lacks it, but has
                            the same in `_journal/start.json`
    summaries.json          one entry per sample; a killed run has `_journal/summaries/<n>.json`
    samples/<id>_epoch_<n>  the transcripts, which are not read

The zip's members are deflated (older logs) or compressed with zstd (method 93), which Python's
`zipfile` cannot read before 3.14; PyArrow can.

    model       `eval.model`
    benchmark   `eval.task`
    item        `id`
    trial       `epoch`
    scores      one metric per scorer; per key, scorer/key, where a score is an object. C = 1,
                P = 0.5, I = N = 0, yes = true = 1, no = false = 0, as in Inspect. A sample with an
                `error` has no score
    options     the number of `choices`
    sampled     unless temperature is 0: providers sample by default
    digest      `uuid`: a retried run copies the samples of the run before it
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from math import nan
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from cod_bayes.ingest.answers import Answers, Rows, number
from cod_bayes.ingest.json_logs import (
    IngestError,
    OneVersion,
    field,
    head,
    layout,
    parse,
    read_json,
)

EXPECTS = "<time>_<task>_<id>.eval (or .json) of Inspect"
TRIAL = "epoch"

_WORDS = {"C": 1, "P": 0.5, "I": 0, "N": 0, "yes": 1, "true": 1, "no": 0, "false": 0}
_ZSTD = 93


def recognises(path: Path) -> bool:
    if path.suffix == ".json":
        start = head(path, 2048)
        return b'"eval_id"' in start or (b'"run_id"' in start and b'"task_id"' in start)
    return path.suffix == ".eval"


def read(files: list[Path]) -> Iterator[Answers]:
    """One `Answers` per log."""
    versions = OneVersion()
    for path in files:
        with layout(path, EXPECTS):
            log, samples = _json(path) if path.suffix == ".json" else _zip(path)
            about = field(log, "eval", dict, str(path))
            task = field(about, "task", str, str(path))
            version = about.get("task_version", 0)
            versions.check("version", f"task {task!r}", version, path)
            yield _answers(path, log, about, samples)


def _answers(
    path: Path, log: dict[str, Any], about: dict[str, Any], samples: list[dict[str, Any]]
) -> Answers:
    rows = Rows()
    for position, sample in enumerate(samples, start=1):
        where = f"{path}, sample {position:,}"
        identity = sample.get("id")
        if not isinstance(identity, str | int):
            raise IngestError(f"{where}: expected an 'id', got {identity!r}")
        epoch = field(sample, "epoch", int, where)
        rows.add(
            str(identity),
            _scores(sample),
            hash(sample.get("uuid") or (path, position)),
            trial=epoch,
            options=len(sample.get("choices") or ()),
        )
    notes = []
    status = log.get("status", "started")
    if status != "success":
        notes.append(f"{path.name} is of a run that did not finish ({status}): it may lack items.")
    settings = {
        **(about.get("model_generate_config") or {}),
        **((log.get("plan") or {}).get("config") or {}),
    }
    return rows.answers(
        source=path,
        model=field(about, "model", str, str(path)),
        benchmark=about["task"],
        subset="",
        filter="none",
        run=field(about, "created", str, str(path)),
        sampled=settings.get("temperature") != 0,
        notes=tuple(notes),
    )


def _scores(sample: dict[str, Any]) -> dict[str, float]:
    """The scores of a sample by metric."""
    scores: dict[str, float] = {}
    for scorer, score in (sample.get("scores") or {}).items():
        value = score["value"]
        if isinstance(value, dict):
            parts = {f"{scorer}/{key}": one for key, one in value.items()}
        else:
            parts = {scorer: value}
        for metric, one in parts.items():
            one = _WORDS.get(one, nan) if isinstance(one, str) else one
            scores[metric] = nan if sample.get("error") else number(one)
    return scores


def _json(path: Path) -> tuple[dict[str, Any], list[Any]]:
    log = read_json(path)
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
