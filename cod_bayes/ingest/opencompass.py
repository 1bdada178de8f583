"""Logs of OpenCompass (0.5): results/<model>/<dataset>.json, written with --dump-eval-details.

`details` is a list with one entry per item and in it one value per replica (dataset option n),

    [{"example_abbr": "<subset>_<index>", "correct": [true, false, ..]}, ..]

or, where the evaluator gives no details, an object keyed "0", "1", .. with the prediction and the
reference of each answer. There the replicas follow each other, each with all questions, and the
file's accuracy is that of the last.

An answer is right by `correct`, `is_correct` or `cascade_correct`, the first that is present, as in
OpenCompass. Without any of them, it is right when `predictions` and `references` are equal, or when
the first letter A or B of a judge model (`prediction`) is A. Such a rule is used only if it gives
the file's `accuracy`.

    model, benchmark    the folder and the file name
    item                `example_abbr`, or the key
    trial               the replica; 0 for PPL datasets, which are not sampled
    options             the labels that have a perplexity (PPL datasets)
    run                 the folder above results/, whose name is its time
    sampled             more than one replica
    versions            not logged; but other versions or evaluators name the items differently

The texts of a judge model are in <dataset>_replica<n>.json and are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import isclose, nan
from pathlib import Path
from typing import Any

from cod_bayes.ingest.answers import Answers, Rows, number
from cod_bayes.ingest.json_logs import IngestError, field, layout, read_json

EXPECTS = "results/<model>/<dataset>.json of OpenCompass (--dump-eval-details)"
TRIAL = "replica"

_CORRECT = ("correct", "is_correct", "cascade_correct")


def recognises(path: Path) -> bool:
    if path.suffix != ".json" or path.resolve().parent.parent.name != "results":
        return False
    # Exclude the texts of a judge and the logs of lm_eval --output_path results.
    return not re.search(r"_replica\d+\.json|_\d{4}-\d\d-\d\dT", path.name)


def read(files: list[Path]) -> Iterator[Answers]:
    """One `Answers` per file."""
    layouts: dict[str, tuple[bool, Path]] = {}
    for path in files:
        with layout(path, EXPECTS):
            rows = _rows(path)
            numbered = rows.item[0].isdecimal()
            expected, where = layouts.setdefault(path.stem, (numbered, path))
            if numbered != expected:
                raise IngestError(
                    f"{path}: expected items with names like those in {where}, got "
                    f"{rows.item[0]!r}; two versions of OpenCompass or two evaluators wrote them: "
                    "evaluate one again"
                )
            yield rows.answers(
                source=path,
                model=path.resolve().parent.name,
                benchmark=path.stem,
                subset="",
                filter="none",
                run=path.resolve().parents[2].name,
                sampled=max(rows.trial) > 0,
            )


def _rows(path: Path) -> Rows:
    results = read_json(path)
    details = results.get("details") if isinstance(results, dict) else None
    if isinstance(details, dict):
        entries = [(key, entry) for key, entry in details.items() if key != "type"]
    elif isinstance(details, list):
        entries = [
            (field(entry, "example_abbr", str, f"{path}, details {position:,}"), entry)
            for position, entry in enumerate(details)
        ]
    else:
        entries = []
    if not entries:
        got = f"only {', '.join(results) or 'nothing'}" if isinstance(results, dict) else "a list"
        raise IngestError(
            f"{path}: expected 'details' with every answer, got {got}; evaluate again with "
            "--dump-eval-details, or leave the file out"
        )
    size = _block([entry for _, entry in entries]) if isinstance(details, dict) else len(entries)
    scores = _scores(path, results, entries, size)
    rows = Rows()
    for position, ((_, entry), values) in enumerate(zip(entries, scores, strict=True)):
        labels = entry.get("origin_prediction")
        options = (
            sum(isinstance(label, dict) and "PPL" in label for label in labels.values())
            if isinstance(labels, dict)
            else 0
        )
        for replica, value in enumerate(values, start=position // size):
            rows.add(
                entries[position % size][0],
                {"correct": number(value)},
                hash(repr(sorted(entry.items()))),
                trial=0 if options else replica,  # all replicas of a perplexity are equal
                options=options,
            )
    return rows


def _block(entries: list[dict[str, Any]]) -> int:
    """The number of questions of a replica."""
    questions = [_question(entry) for entry in entries]
    replicas = questions.count(questions[0])
    size = len(questions) // replicas
    if size > 1 and None not in questions and questions == questions[:size] * replicas:
        return size
    return len(questions)


def _question(entry: dict[str, Any]) -> str | None:
    """The prompt, or those of the labels; None where neither is logged."""
    labels = entry.get("origin_prediction")
    parts = labels.values() if isinstance(labels, dict) else ()
    prompts = [
        part["prompt"] for part in (entry, *parts) if isinstance(part, dict) and part.get("prompt")
    ]
    return repr((prompts, entry.get("references"))) if prompts else None


def _scores(
    path: Path, results: dict[str, Any], entries: list[tuple[str, Any]], size: int
) -> list[list[Any]]:
    """The scores of each entry, one per replica."""
    scores = [_logged(entry) for _, entry in entries]
    if not any(scores):
        # "accuracy", or "accuracy (3 runs average)"
        accuracies = (v for name, v in results.items() if name.partition(" (")[0] == "accuracy")
        accuracy = number(next(accuracies, nan))
        for rule in (_equal, _judged):
            by_rule = [rule(entry) for _, entry in entries]
            last = [score for values in by_rule[-size:] for score in values]
            if all(by_rule) and isclose(100 * sum(last) / len(last), accuracy, abs_tol=1e-6):
                return by_rule
    for (key, entry), values in zip(entries, scores, strict=True):
        if not values:
            raise IngestError(
                f"{path}, details {key!r}: expected one of {', '.join(_CORRECT)}, got only "
                f"{', '.join(entry)}; this evaluator does not log correctness: leave the file out"
            )
    return scores


def _logged(entry: dict[str, Any]) -> list[Any]:
    return _list(next((entry[name] for name in _CORRECT if entry.get(name) is not None), []))


def _equal(entry: dict[str, Any]) -> list[bool]:
    pairs = zip(
        _list(entry.get("predictions", [])), _list(entry.get("references", [])), strict=False
    )
    return [str(prediction) == str(reference) for prediction, reference in pairs]


def _judged(entry: dict[str, Any]) -> list[bool]:
    verdicts = (re.search("[AB]", str(text)) for text in _list(entry.get("prediction", [])))
    return [verdict is not None and verdict[0] == "A" for verdict in verdicts]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
