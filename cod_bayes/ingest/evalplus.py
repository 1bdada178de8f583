"""Results of EvalPlus (0.3): <samples>_eval_results.json (HumanEval+, MBPP+).

{"date": "2026-01-31 12:00", "hash": .., "eval": {"HumanEval/0": [
    {"task_id": .., "solution": .., "base_status": "pass", "plus_status": "fail"}, ..]}}

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
versions    `hash`, of the problems and their tests
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cod_bayes.ingest.answers import Answers, Rows
from cod_bayes.ingest.json_logs import IngestError, OneVersion, field, layout, read_json

EXPECTS = "<model>_<backend>_temp_<t>_eval_results.json of EvalPlus"
TRIAL = "sample"

_NAME = re.compile(r"(?P<model>.+)_[a-z-]+_temp_(?P<temperature>\d+(\.\d+)?)")
_STEP = re.compile(r"(\.raw|-sanitized)*[.-](?P<last>raw|sanitized)$")


@dataclass(frozen=True)
class _Run:
    """A file, and the facts from its name."""

    path: Path
    model: str
    temperature: str
    filter: str


def recognises(path: Path) -> bool:
    return path.name.endswith("eval_results.json")


def read(files: list[Path]) -> Iterator[Answers]:
    """One `Answers` per file and benchmark."""
    tests = OneVersion()
    temperatures: dict[tuple[str, str], set[str]] = {}  # of a model and benchmark
    parts: list[tuple[_Run, str, Rows, str]] = []
    for path in files:
        run = _run(path)
        results = read_json(path)
        with layout(path, EXPECTS):
            version, date = results.get("hash"), str(results.get("date", ""))
            for benchmark, rows in _rows(path, results).items():
                tests.check("hash", f"the problems of {benchmark}", version, path)
                temperatures.setdefault((run.model, benchmark), set()).add(run.temperature)
                parts.append((run, benchmark, rows, date))
    for run, benchmark, rows, date in parts:
        drawn_at = sorted(temperatures[run.model, benchmark])
        note = (
            f"{benchmark}: the samples of {run.model} were drawn at several temperatures "
            f"({', '.join(drawn_at)}): such scores do not compare."
        )
        with layout(run.path, EXPECTS):
            yield rows.answers(
                source=run.path,
                model=run.model,
                benchmark=benchmark,
                subset="",
                filter=run.filter,
                run=date,
                sampled=run.temperature == "unknown" or float(run.temperature) > 0,
                notes=(note,) if len(drawn_at) > 1 else (),
            )


def _run(path: Path) -> _Run:
    name = path.name.removesuffix("eval_results.json").removesuffix("_")
    name = name or path.resolve().parent.name
    step = _STEP.search(name)
    name = _STEP.sub("", name)
    parts = _NAME.fullmatch(name)
    return _Run(
        path=path,
        model=parts["model"].replace("--", "/") if parts else name,
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
