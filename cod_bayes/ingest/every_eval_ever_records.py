"""Records of Every Eval Ever (schema 0.2 and 0.3): <uuid>.json, the scores of one model,

schema_version, evaluation_id, model_info {id, ..}, source_metadata {source_name?, ..},
evaluation_results [{evaluation_name, evaluation_result_id?, source_data {dataset_name},
    metric_config {lower_is_better, min_score?, max_score?, ..},
    score_details {score, uncertainty? {num_samples?, standard_error? {value}}},
    generation_config? {generation_args? {temperature, ..}}}]

benchmark   `evaluation_name`, without the /<filter> of the lm-eval converter; the name of the
            data set before it where records use one name for several data sets
score       in units of `max_score` - `min_score`, where these are 0 and 100
settings    where the record is from, the program that evaluated, generation arguments and
            details (num_fewshot); "model.<detail>" for what is said of the model (model_args)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from cod_bayes.ingest.answers import Answers, Total, number, total_of
from cod_bayes.ingest.json_logs import IngestError, field, head, layout, plain_name, read_json

__all__ = ["SCHEMAS", "is_record", "read_records"]

SCHEMAS = ("0.2", "0.3")


def is_record(path: Path) -> bool:
    if not plain_name(path).endswith(".json"):
        return False
    start = head(path)
    return b'"schema_version"' in start and b'"evaluation_id"' in start


def read_records(files: list[Path]) -> Iterator[Answers]:
    """The scores of all records."""
    found: list[tuple[Answers, str]] = []
    datasets: dict[str, set[str]] = {}
    for path in files:
        record = read_json(path)
        with layout(path, "<uuid>.json of Every Eval Ever"):
            for answers, dataset in _scores(path, record):
                datasets.setdefault(answers.benchmark, set()).add(dataset)
                found.append((answers, dataset))
    for answers, dataset in found:
        if len(datasets[answers.benchmark] - {""}) > 1:
            answers = replace(answers, benchmark=f"{dataset}/{answers.benchmark}")
        yield answers


def _scores(path: Path, record: Any) -> Iterator[tuple[Answers, str]]:
    where = str(path)
    schema = field(record, "schema_version", str, where)
    if not schema.startswith(SCHEMAS):
        raise IngestError(
            f"{where}: expected schema_version {' or '.join(SCHEMAS)}, got {schema!r}; convert "
            "the log again with Every Eval Ever 0.3"
        )
    model_info = field(record, "model_info", dict, where)
    model = field(model_info, "id", str, where)
    run = field(record, "evaluation_id", str, where)
    results = field(record, "evaluation_results", list, where)
    source = record.get("source_metadata") or {}
    library = record.get("eval_library") or {}
    about = {
        "source": source.get("source_name") or source.get("source_organization_name"),
        "eval_library": library.get("name"),
    }
    of_model = model_info.get("additional_details") or {}
    about |= {f"model.{name}": value for name, value in of_model.items()}
    for position, one in enumerate(results, start=1):
        place = f"{where}, evaluation_results {position}"
        benchmark = field(one, "evaluation_name", str, place)
        config = field(one, "metric_config", dict, place)
        details = field(one, "score_details", dict, place)
        metric, _, filter = str(one.get("evaluation_result_id") or "").partition(":")
        if filter and benchmark.endswith(f"/{filter}"):
            benchmark = benchmark.removesuffix(f"/{filter}")
        elif filter and filter != "none":
            metric, filter = f"{metric}:{filter}", "none"
        metric = metric or str(config.get("metric_name") or "score")
        unit = 100 if config.get("max_score") == 100 and not config.get("min_score") else 1
        uncertainty = details.get("uncertainty") or {}
        error = number((uncertainty.get("standard_error") or {}).get("value")) / unit
        n = uncertainty.get("num_samples")
        settings = dict(about)
        for part in ("generation_args", "additional_details"):
            generation = (one.get("generation_config") or {}).get(part) or {}
            settings |= {f"generation.{name}": value for name, value in generation.items()}
        answers = total_of(
            {metric: number(details.get("score")) / unit},
            Total(
                n={"": float(n)} if isinstance(n, int) and n > 0 else {},
                stderr={metric: error} if 0 <= error < 1 else {},
            ),
            source=path,
            model=model,
            benchmark=benchmark,
            subset="",
            filter=filter or "none",
            run=run,
            sampled=False,
            settings={
                name: value if isinstance(value, str) else json.dumps(value)
                for name, value in settings.items()
                if value is not None
            },
            worse=frozenset([metric]) if config.get("lower_is_better") is True else frozenset(),
        )
        yield answers, str((one.get("source_data") or {}).get("dataset_name") or "")
