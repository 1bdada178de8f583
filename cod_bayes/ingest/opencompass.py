"""Logs of OpenCompass (0.5): results/<model>/<dataset>.json, written with --dump-eval-details.

`details` is either a list with one entry per item and in it one value per replica (dataset
option n),

    [{"example_abbr": "<subset>_<index>", "correct": [true, false, ..]}, ..]

or an object keyed "0", "1", .. with `correct` in each. The key is `correct`, `is_correct` or
`cascade_correct`, in that order of preference, as OpenCompass itself looks for it. Where none is
there but `predictions` and `references` are, an answer is correct when the two are equal, provided
that this reproduces the file's own `accuracy`.

    model, benchmark    the folder and the file name
    item                `example_abbr`, or the key
    trial               the replica
    options             the labels that have a perplexity (PPL datasets)
    run                 the folder above results/, named by its time
    sampled             more than one replica
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import isclose, nan
from pathlib import Path
from typing import Any

from cod_bayes.ingest.answers import Answers, Rows, number
from cod_bayes.ingest.files import IngestError, field, layout, read_json

EXPECTS = "results/<model>/<dataset>.json of OpenCompass (--dump-eval-details)"
TRIAL = "replica"

_CORRECT = ("correct", "is_correct", "cascade_correct")


def recognises(path: Path) -> bool:
    if path.suffix != ".json" or path.resolve().parent.parent.name != "results":
        return False
    return not re.search(r"_\d{4}-\d\d-\d\dT", path.name)  # lm_eval --output_path results


def read(files: list[Path]) -> Iterator[Answers]:
    """One `Answers` per file."""
    for path in files:
        with layout(path, EXPECTS):
            rows = _rows(path)
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
        raise IngestError(
            f"{path}: expected 'details' with every answer, got only totals; evaluate again with "
            "--dump-eval-details, or leave the file out"
        )
    compared = _compared(results, entries)
    rows = Rows()
    for key, entry in entries:
        values = next((entry[name] for name in _CORRECT if entry.get(name) is not None), compared)
        if values is None:
            raise IngestError(
                f"{path}, details {key!r}: expected one of {', '.join(_CORRECT)}, got only "
                f"{', '.join(entry)}; this evaluator does not log correctness: leave the file out"
            )
        if values is compared:
            values = str(entry["predictions"]) == str(entry["references"])
        labels = entry.get("origin_prediction")
        options = (
            sum(isinstance(label, dict) and "PPL" in label for label in labels.values())
            if isinstance(labels, dict)
            else 0
        )
        for replica, value in enumerate(values if isinstance(values, list) else [values]):
            rows.add(
                key,
                {"correct": number(value)},
                hash(repr(sorted(entry.items()))),
                trial=replica,
                options=options,
            )
    return rows


def _compared(results: dict[str, Any], entries: list[tuple[str, Any]]) -> object:
    """A mark where comparing predictions with references gives the file's accuracy, else None."""
    if not all("predictions" in entry and "references" in entry for _, entry in entries):
        return None
    equal = sum(str(entry["predictions"]) == str(entry["references"]) for _, entry in entries)
    accuracy = number(results.get("accuracy", nan))
    return object() if isclose(100 * equal / len(entries), accuracy, abs_tol=1e-6) else None
