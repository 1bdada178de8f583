"""Results of EvalPlus (0.3): <samples>_eval_results.json (HumanEval+, MBPP+); .eval_results.json
in later versions.

{"date": "2026-01-31 12:00", "hash": .., "eval": {"HumanEval/0": [
    {"task_id": .., "solution": .., "base_status": "pass", "plus_status": "fail"}, ..]},
 "pass_at_k": {"base": {"pass@1": ..}, "plus": ..}}             (the last in later versions)

model       from the file name, <model>_<backend>_temp_<temperature>_eval_results.json with
            -- for /; the folder's name for a plain eval_results.json. Any other file name is the
            model's name
benchmark   the task id before the slash
item        `task_id`
filter      raw (<samples>.raw, the model's text) or sanitized (<samples>-sanitized, the output of
            evalplus.sanitize), by the file name
trial       the position in the list
scores      base: passes the original tests. plus: passes them and the added tests
sampled     unless the temperature in the file name is 0
settings    temperature, and the backend, by the file name
versions    `hash`, of the problems and their tests
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cod_bayes.ingest.answers import Answers, Rows, Total, total_of
from cod_bayes.ingest.json_logs import (
    IngestError,
    OneVersion,
    field,
    head,
    layout,
    plain_name,
    read_json,
)

EXPECTS = "<model>_<backend>_temp_<t>_eval_results.json of EvalPlus"
TRIAL = "sample"
PARTS = ()
MACRO = ""

_NAME = re.compile(r"(?P<model>.+)_(?P<backend>[a-z0-9-]+)_temp_(?P<temperature>\d+(\.\d+)?)")
_STEP = re.compile(r"([.-](raw|sanitized))*[.-](?P<last>raw|sanitized)$")


@dataclass(frozen=True)
class _Run:
    """A file, and the facts from its name."""

    path: Path
    model: str
    backend: str
    temperature: str
    filter: str


def recognises(path: Path) -> bool:
    name = plain_name(path)
    if not re.search(r"(^|[._-])eval_results\.json$", name):
        return False
    return "_temp_" in name or b'"eval"' in head(path)  # others write such names too


def read(files: list[Path]) -> Iterator[Answers]:
    """One `Answers` per file and benchmark."""
    tests = OneVersion()
    for path in files:
        run = _run(path)
        results = read_json(path)
        with layout(path, EXPECTS):
            version = results.get("hash")
            about: dict[str, Any] = {
                "source": path,
                "model": run.model,
                "subset": "",
                "filter": run.filter,
                "run": str(results.get("date", "")),
                "sampled": run.temperature == "unknown" or float(run.temperature) > 0,
                "settings": {"temperature": run.temperature, "model.backend": run.backend},
            }
            benchmarks = _rows(path, results)
            for benchmark, rows in benchmarks.items():
                tests.check("hash", f"the problems of {benchmark}", version, path)
                yield rows.answers(benchmark=benchmark, **about)
            own = results.get("pass_at_k")
            if isinstance(own, dict) and len(benchmarks) == 1:
                scores = {
                    metric: one["pass@1"]
                    for metric, one in own.items()
                    if isinstance(one, dict) and "pass@1" in one
                }
                yield total_of(scores, Total(), benchmark=next(iter(benchmarks)), **about)


def _run(path: Path) -> _Run:
    name = plain_name(path).removesuffix("eval_results.json").rstrip("._")
    name = name or path.resolve().parent.name
    step = _STEP.search(name)
    name = _STEP.sub("", name)
    parts = _NAME.fullmatch(name)
    return _Run(
        path=path,
        model=parts["model"].replace("--", "/") if parts else name,
        backend=parts["backend"] if parts else "unknown",
        temperature=parts["temperature"] if parts else "unknown",
        filter=step["last"] if step else "none",
    )


def _rows(path: Path, results: Any) -> dict[str, Rows]:
    benchmarks: dict[str, Rows] = {}
    for task, answers in field(results, "eval", dict, str(path)).items():
        where = f"{path}, {task}"
        if not isinstance(answers, list):
            raise IngestError(
                f"{where}: expected a list of answers as EvalPlus 0.3 writes it, got an older "
                "layout; evaluate the samples again"
            )
        rows = benchmarks.setdefault(task.partition("/")[0], Rows())
        for position, answer in enumerate(answers):
            base = field(answer, "base_status", str, where) == "pass"
            scores = {"base": float(base)}
            if answer.get("plus_status") is not None:  # None after --base-only
                scores["plus"] = float(base and answer["plus_status"] == "pass")
            rows.add(
                task,
                scores,
                hash((str(answer.get("solution")), answer["base_status"])),
                trial=position,
            )
    if not benchmarks:
        raise IngestError(f"{path}: expected answers under 'eval', got none")
    return benchmarks
