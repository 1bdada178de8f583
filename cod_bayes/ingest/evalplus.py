"""Results of EvalPlus (0.3): <samples>_eval_results.json (HumanEval+, MBPP+).

{"date": "2026-01-31 12:00", "hash": .., "eval": {"HumanEval/0": [
    {"task_id": .., "solution": .., "base_status": "pass", "plus_status": "fail"}, ..]}}

model       only in the file name, <model>_<backend>_temp_<temperature>_eval_results.json with
            -- for /; the folder's name for a plain eval_results.json. Any other name is taken
            as it is
benchmark   the task id before the slash
item        `task_id`
trial       the position in the list
scores      base: passes the original tests. plus: passes them and the added tests
sampled     unless the temperature in the file name is 0
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cod_bayes.ingest.answers import Answers, Rows
from cod_bayes.ingest.files import IngestError, field, layout, read_json

EXPECTS = "<model>_<backend>_temp_<t>_eval_results.json of EvalPlus"
TRIAL = "sample"

_NAME = re.compile(r"(?P<model>.+)_[a-z-]+_temp_(?P<temperature>\d+(\.\d+)?)(-.*)?")


def recognises(path: Path) -> bool:
    return path.name.endswith("eval_results.json")


def read(files: list[Path]) -> Iterator[Answers]:
    """One `Answers` per file and benchmark."""
    for path in files:
        name = path.name.removesuffix("eval_results.json").removesuffix("_")
        name = name or path.resolve().parent.name
        parts = _NAME.fullmatch(name)
        results = read_json(path)
        with layout(path, EXPECTS):
            for benchmark, rows in _rows(path, results).items():
                yield rows.answers(
                    source=path,
                    model=parts["model"].replace("--", "/") if parts else name,
                    benchmark=benchmark,
                    subset="",
                    filter="none",
                    run=str(results.get("date", "")),
                    sampled=not parts or float(parts["temperature"]) > 0,
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
