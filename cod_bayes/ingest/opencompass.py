"""Logs of OpenCompass (0.5): results/<model>/<dataset>.json, written with --dump-eval-details.
Without details, the file gives its own scores in percent, and so does summary/summary_<time>.csv
(`opencompass_summary`).

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

A data set that was evaluated in parts (<dataset>_0.json, <dataset>_1.json, ..) is one benchmark:
the parts are all there, have other questions and are of one size, but the last, which may be
smaller.

The texts of a judge model are in <dataset>_replica<n>.json and are not read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import isclose, nan
from pathlib import Path
from typing import Any

from cod_bayes.ingest.answers import Answers, Rows, Total, number, total_of
from cod_bayes.ingest.json_logs import IngestError, field, layout, plain_name, read_json
from cod_bayes.ingest.opencompass_summary import headline, is_summary, read_summary

EXPECTS = "results/<model>/<dataset>.json or summary/summary_<time>.csv of OpenCompass"
TRIAL = "replica"
# Data sets of one benchmark, by the beginning of their names, as OpenCompass's summaries join them.
PARTS = (
    "lukaemon_mmlu_ mmlu_pro_ ceval-test- ceval- cmmlu- bbh- agieval- GaokaoBench_ mgsm_ "
    "korbench_ supergpqa_ mmmlu_ mmlu-cf-"
).split()
MACRO = "OpenCompass"

_CORRECT = ("correct", "is_correct", "cascade_correct")


def recognises(path: Path) -> bool:
    if is_summary(path):
        return True
    name = plain_name(path)
    if not name.endswith(".json") or path.resolve().parent.parent.name != "results":
        return False
    # Exclude the texts of a judge and the logs of lm_eval --output_path results.
    return not re.search(r"_replica\d+\.json|_\d{4}-\d\d-\d\dT", name)


class _NoCorrectness(IngestError):
    """Details that do not say which answers are right."""


@dataclass(frozen=True, eq=False)
class _File:
    """A file's answers; None where it has only its own scores. `question` is the first.

    `prompt` is a digest of it: runs that asked otherwise (with other shots) are not the same.
    """

    path: Path
    stem: str
    model: str
    rows: Rows | None
    question: str | None
    results: dict[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def prompt(self) -> str:
        if self.question is None:
            return ""
        return hashlib.sha256(self.question.encode(errors="backslashreplace")).hexdigest()[:8]

    @property
    def size(self) -> int:
        return len(set(self.rows.item)) if self.rows else 0


def read(files: list[Path]) -> Iterator[Answers]:
    """One `Answers` per file, and the file's own scores."""
    layouts: dict[str, tuple[bool, Path]] = {}
    found: list[_File] = []
    for path in files:
        with layout(path, EXPECTS):
            if is_summary(path):
                yield from read_summary(path)
                continue
            one = _file(path)
            found.append(one)
            if one.rows is None:
                continue
            numbered = one.rows.item[0].isdecimal()
            expected, where = layouts.setdefault(one.stem, (numbered, path))
            if numbered != expected:
                raise IngestError(
                    f"{path}: expected items with names like those in {where}, got "
                    f"{one.rows.item[0]!r}; two versions of OpenCompass or two evaluators wrote "
                    "them: evaluate one again"
                )
    parts = _parts(found)
    for one in found:
        about: dict[str, Any] = {
            "source": one.path,
            "model": one.model,
            "benchmark": one.stem,
            "subset": "",
            "filter": "none",
            "run": one.path.resolve().parents[2].name,
            "settings": {"model.prompt": one.prompt} if one.prompt else {},
        }
        name, score = headline(one.results)
        if one.rows is None:
            scores = {name: score / 100} if score == score else {}
            total = _total_of(one.path)
            yield total_of(scores, total, sampled=False, notes=one.notes, **about)
            continue
        answers = one.rows.answers(sampled=max(one.rows.trial) > 0, **about)
        if one.stem in parts:
            base, place, size = parts[one.stem]
            items = [str(int(item) + place * size) for item in answers.item]
            note = (
                f"{base}: read from its parts {base}_0, {base}_1, .. as one benchmark (the parts "
                f"of one data set; split={base}, --split {base} keeps them apart)."
            )
            yield replace(answers, benchmark=base, subset=one.stem, item=items, notes=(note,))
            about |= {"benchmark": base, "subset": one.stem}
        else:
            yield answers
        if score == score:
            several = max(one.rows.trial) > 0 and one.rows.item[0].isdecimal()
            rule = {"": "the log's is of the last replica only"} if several else {}
            own = Total(n={"": float(one.size)}, rule=rule, names={"correct": name})
            yield total_of({name: score / 100}, own, sampled=False, **about)


def _total_of(path: Path) -> Total:
    """What a file's own score is of: as many answers as the predictions beside it hold."""
    predictions = path.parents[2] / "predictions" / path.parent.name / path.name
    if predictions.exists() and isinstance(answers := read_json(predictions), dict):
        return Total(n={"": float(len(answers))})
    return Total()


def _file(path: Path) -> _File:
    results = read_json(path)
    rows, question = None, None
    notes: tuple[str, ...] = ()
    if not isinstance(results, dict):
        raise IngestError(f"{path}: expected an object, got {type(results).__name__}")
    entries = _entries(path, results)
    if entries:
        try:
            rows = _rows(path, results, entries)
        except _NoCorrectness as error:
            if headline(results)[1] != headline(results)[1]:
                raise
            notes = (f"{error}; its own score is used.",)
        _, first = entries[0]
        question = _question(first) or (
            repr(asked) if (asked := first.get("origin_prompt")) else None
        )
    return _File(
        path=path,
        stem=plain_name(path).removesuffix(".json"),
        model=path.resolve().parent.name,
        rows=rows,
        question=question,
        results=results,
        notes=notes,
    )


def _parts(files: list[_File]) -> dict[str, tuple[str, int, int]]:
    """Name of a part -> the data set, the part's place and the size of the parts."""
    stems = {one.stem for one in files}
    bases: dict[str, dict[int, list[_File]]] = {}
    for one in files:
        name = re.fullmatch(r"(.+)_(\d+)", one.stem)
        if name and name[1] not in stems and one.rows and one.rows.item[0].isdecimal():
            bases.setdefault(name[1], {}).setdefault(int(name[2]), []).append(one)
    found: dict[str, tuple[str, int, int]] = {}
    for base, places in bases.items():
        size = max(one.size for one in places.get(0, []) or [files[0]])
        last = max(places)
        complete = sorted(places) == list(range(last + 1)) and last > 0
        models = {frozenset(one.model for one in part) for part in places.values()}
        sizes = {one.size for place in range(last) for one in places.get(place, [])}
        sizes |= {size} if all(0 < one.size <= size for one in places[last]) else {-1}
        asked = {one.question for part in places.values() for one in part}
        if complete and len(models) == 1 and sizes == {size} and len(asked) == last + 1:
            found |= {f"{base}_{place}": (base, place, size) for place in places}
    return found


def _entries(path: Path, results: Any) -> list[tuple[str, Any]]:
    """The entries of `details`, with the items' names; [] where there are none."""
    details = results.get("details") if isinstance(results, dict) else None
    if isinstance(details, dict):
        return [(key, entry) for key, entry in details.items() if key != "type"]
    if isinstance(details, list):
        return [
            (field(entry, "example_abbr", str, f"{path}, details {position:,}"), entry)
            for position, entry in enumerate(details)
        ]
    return []


def _rows(path: Path, results: dict[str, Any], entries: list[tuple[str, Any]]) -> Rows:
    numbered = isinstance(results["details"], dict)
    size = _block([entry for _, entry in entries]) if numbered else len(entries)
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
                {"correct": value},
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
            raise _NoCorrectness(
                f"{path}, details {key!r}: expected one of {', '.join(_CORRECT)}, got only "
                f"{', '.join(entry)}; this evaluator does not log which answers are right"
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
