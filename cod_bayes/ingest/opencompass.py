"""Logs of OpenCompass (0.5): results/<model>/<dataset>.json, written with --dump-eval-details.

`details` is a list with one entry per item and in it one value per replica (dataset option n),

    [{"example_abbr": "<subset>_<index>", "correct": [true, false, ..]}, ..]

or, where the evaluator gives no details, an object keyed "0", "1", .. with the prediction and the
reference of each answer. There the replicas follow each other, every one with all questions, and
the file's accuracy is that of the last.

Whether an answer is right is `correct`, `is_correct` or `cascade_correct`, in that order of
preference, as OpenCompass itself looks for it. Where none is there, it is right when `predictions`
and `references` are equal, or when the first letter A or B of a judge model (`prediction`) is A;
either only if that reproduces the file's own `accuracy`.

    model, benchmark    the folder and the file name
    item                `example_abbr`, or the key
    trial               the replica, but for PPL datasets, where nothing is drawn
    options             the labels that have a perplexity (PPL datasets)
    run                 the folder above results/, named by its time
    sampled             more than one replica
    versions            not logged, but items are named alike only by one version and evaluator

What a judge model wrote lies beside, as <dataset>_replica<n>.json, and is not read.
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
    # Neither what a judge wrote nor the logs of lm_eval --output_path results.
    return not re.search(r"_replica\d+\.json|_\d{4}-\d\d-\d\dT", path.name)


def read(files: list[Path]) -> Iterator[Answers]:
    """One `Answers` per file."""
    layouts: dict[str, tuple[bool, Path]] = {}
    for path in files:
        with layout(path, EXPECTS):
            rows = _rows(path)
            numbered = rows.item[0].isdecimal()
            known, where = layouts.setdefault(path.stem, (numbered, path))
            if known != numbered:
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
            (field(entry, "example_abbr", str, f"{path}, details {place:,}"), entry)
            for place, entry in enumerate(details)
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
    for place, ((_, entry), values) in enumerate(zip(entries, scores, strict=True)):
        labels = entry.get("origin_prediction")
        options = (
            sum(isinstance(label, dict) and "PPL" in label for label in labels.values())
            if isinstance(labels, dict)
            else 0
        )
        for replica, value in enumerate(values, start=place // size):
            rows.add(
                entries[place % size][0],
                {"correct": number(value)},
                hash(repr(sorted(entry.items()))),
                trial=0 if options else replica,  # a perplexity is the same each time
                options=options,
            )
    return rows


def _block(entries: list[dict[str, Any]]) -> int:
    """The number of questions before the next replica asks the same ones again."""
    asked = [_question(entry) for entry in entries]
    size = len(asked) // asked.count(asked[0])
    repeated = size > 1 and None not in asked and asked == asked[:size] * (len(asked) // size)
    return size if repeated else len(asked)


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
    """Of each entry the score of each replica."""
    scores = [_logged(entry) for _, entry in entries]
    if not any(scores):
        # "accuracy", or "accuracy (3 runs average)"
        shown = (v for name, v in results.items() if name.partition(" (")[0] == "accuracy")
        accuracy = number(next(shown, nan))
        for rule in (_equal, _judged):
            ruled = [rule(entry) for _, entry in entries]
            last = [score for values in ruled[-size:] for score in values]
            if all(ruled) and isclose(100 * sum(last) / len(last), accuracy, abs_tol=1e-6):
                return ruled
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
