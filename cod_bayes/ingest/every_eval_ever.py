"""Instance logs of Every Eval Ever (schema 0.2 and 0.3): <uuid>_samples.jsonl, a row per answer
and metric,

    evaluation_id, model_id, evaluation_name, evaluation_result_id?, sample_id, sample_hash?,
    input {raw, reference, choices?}, output | messages, evaluation {score, is_correct}, error?,
    metadata? {filter?, epoch?, ..}

and the records beside them, <uuid>.json, with the scores of whole benchmarks
(`every_eval_ever_records`).

    benchmark   `evaluation_name`, without the /<filter> that the lm-eval converter appends
    filter      `metadata.filter`
    metric      `evaluation_result_id` without :<filter>; "score" where there is none
    item        `sample_id`; or `sample_hash` in a benchmark where one hash has several ids, which
                then do not name the same question for all models
    trial       `metadata.epoch`
    options     the `choices`, where they are more than the correct ones in `reference`
    sampled     not logged, so assumed true; runs with the same outputs are copies of one run
    digest      the model's output and its score
    versions    `schema_version`
    settings    of the record with the same evaluation_id

The helm converter writes a row per train trial and perturbation. It does not mark which is which,
and gives all of them the score of the first. So repeated samples count once where a run has no
epochs and all repetitions have the same score.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import nan
from pathlib import Path
from typing import Any

from cod_bayes.ingest.answers import Answers, Names, Rows
from cod_bayes.ingest.every_eval_ever_records import is_record, read_records
from cod_bayes.ingest.json_logs import IngestError, at, field, head, layout, plain_name, read_lines

EXPECTS = "<uuid>_samples.jsonl or <uuid>.json of Every Eval Ever"
TRIAL = "epoch"
PARTS = ()
MACRO = ""

_NAME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}_samples\.jsonl")
_SCHEMAS = ("0.2", "0.3")


def recognises(path: Path) -> bool:
    if is_record(path):
        return True
    if not plain_name(path).endswith(".jsonl"):
        return False
    if _NAME.fullmatch(plain_name(path)):
        return True
    start = head(path)
    return b'"evaluation_name"' in start and b'"evaluation_id"' in start


def read(files: list[Path]) -> Iterator[Answers]:
    """One `Answers` per file, run, model, benchmark, filter and metric."""
    parts: dict[tuple[Path, str, str, str, str, str], tuple[Rows, list[str]]] = {}
    identity: dict[tuple[str, str], str] = {}  # of a benchmark and hash
    unstable: set[str] = set()  # benchmarks where ids do not name the questions
    settings: dict[str, dict[str, str]] = {}  # of an evaluation_id
    worse: dict[str, frozenset[str]] = {}
    for record in read_records([path for path in files if is_record(path)]):
        settings.setdefault(record.run, dict(record.settings))
        worse[record.benchmark] = worse.get(record.benchmark, frozenset()) | record.worse
        yield record
    for path in files:
        schema = None
        if is_record(path):
            continue
        with layout(path, EXPECTS):
            for line, _, row in read_lines(path):
                where = at(path, line)
                schema = _schema(row, schema, where)
                metadata = row.get("metadata") or {}
                filter = metadata.get("filter") or "none"
                benchmark = field(row, "evaluation_name", str, where).removesuffix(f"/{filter}")
                metric = (row.get("evaluation_result_id") or "score").removesuffix(f":{filter}")
                model, run = (field(row, k, str, where) for k in ("model_id", "evaluation_id"))
                rows, hashes = parts.setdefault(
                    (path, run, model, benchmark, filter, metric), (Rows(), [])
                )
                sample = field(row, "sample_id", str, where)
                content = str(row.get("sample_hash") or sample)
                if identity.setdefault((benchmark, content), sample) != sample:
                    unstable.add(benchmark)
                hashes.append(content)
                _add(rows, row, sample, metric, int(metadata.get("epoch") or 0), where)
        if schema is None:
            raise IngestError(f"{path}: expected one row per answer, got an empty file")
    for (path, run, model, benchmark, filter, metric), (rows, hashes) in parts.items():
        notes = []
        if _repeats(rows, metric):
            notes.append(
                f"{benchmark}: rows of {model} that only repeat the score of a sample count once."
            )
        if benchmark in unstable:
            notes.append(
                f"{benchmark}: sample_id does not name the same question everywhere, so items are "
                "named by sample_hash."
            )
            names = Names()
            rows.item = [names.of(h, i) for h, i in zip(hashes, rows.item, strict=True)]
        with layout(path, EXPECTS):
            yield rows.answers(
                source=path,
                model=model,
                benchmark=benchmark,
                subset="",
                filter=filter,
                run=run,
                sampled=True,
                notes=tuple(notes),
                settings=settings.get(run, {}),
                worse=worse.get(benchmark, frozenset()),
            )


def _schema(row: dict[str, Any], known: str | None, where: str) -> str:
    """The row's schema version. Raises IngestError unless it is known and that of the file."""
    schema = field(row, "schema_version", str, where)
    if not schema.startswith(_SCHEMAS):
        raise IngestError(
            f"{where}: expected schema_version {' or '.join(_SCHEMAS)}, got {schema!r}; convert "
            "the log again with Every Eval Ever 0.3"
        )
    if known not in (None, schema):
        raise IngestError(
            f"{where}: expected schema_version {known!r} as in the rows before it, got "
            f"{schema!r}; the file mixes versions: convert the log again"
        )
    return schema


def _repeats(rows: Rows, metric: str) -> bool:
    """Whether repeated samples all have the same score. If so, mark the repetitions as copies."""
    first: dict[str, int] = {}
    original = [first.setdefault(item, row) for row, item in enumerate(rows.item)]
    scores = rows.scores[metric]
    if len(first) == len(original) or any(rows.trial):
        return False
    if any(scores[row] != scores[one] for row, one in enumerate(original)):
        return False
    for row, one in enumerate(original):
        rows.digest[row] = rows.digest[one]
    return True


def _add(rows: Rows, row: dict[str, Any], sample: str, metric: str, epoch: int, where: str) -> None:
    evaluation = field(row, "evaluation", dict, where)
    score = evaluation.get("score")
    score = evaluation.get("is_correct") if score is None else score
    question = field(row, "input", dict, where)
    choices = question.get("choices") or ()
    choosing = len(choices) > max(1, len(question.get("reference") or ()))
    rows.add(
        sample,
        {metric: nan if row.get("error") else score},
        hash((repr(row.get("output")), repr(row.get("messages")), score)),
        trial=epoch,
        options=len(choices) if choosing else 0,
    )
