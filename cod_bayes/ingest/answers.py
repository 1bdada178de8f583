"""Answers: the rows of a log in one form for all formats.

One `Answers` holds the rows of one run of one model on one task under one answer filter. A row is
one logged answer to one item,

    scores[m][r]    its score by metric m; NaN where the log has none (the answer failed), infinite
                    where it holds something that is no number (`odd` keeps the first such value)
    trial[r]        which repetition of the item within the run (epoch, replica, ...)
    trials[r]       how many trials the score averages: 1, but n for pass@1 over n answers
                (of the metric named pass@1 only)
    options[r]      number of options the model chose from; 0 where the log does not show it
    digest[r]       equal for two rows that are copies of one answer

The log's own total over a task has the same form: one row, whose `total` says what it is of.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, isfinite, nan
from pathlib import Path
from sys import intern
from typing import Any

import numpy as np

__all__ = ["Answers", "Names", "Rows", "Total", "number", "total_of"]

_ALL, _ZERO, _ONE = ["all"], np.zeros(1, dtype=int), np.ones(1, dtype=int)
_WORDS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0, "": nan, "nan": nan, "none": nan}


@dataclass(frozen=True, slots=True)
class Total:
    """What the log's own score of a task is of.

    n           number of answers behind it, by metric or under ""; missing where not logged
    stderr      its standard error by metric, where logged
    parts       the tasks of a group; () for a task
    equal       a group's mean weighs its tasks equally, whatever their sizes
    rule        how the log makes a score that is no plain mean of the answers, in words; by metric,
                or under "" for all
    names       metric of the answers -> the name that the log's own score has
    """

    n: Mapping[str, float] = field(default_factory=dict)
    stderr: Mapping[str, float] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    equal: bool = False
    rule: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, slots=True)
class Answers:
    """Rows of one run (row,).

    benchmark, subset   subset is "" where the benchmark has no parts
    filter      how answers were extracted from the model's text; "none" where the log has none
    run         sorts in time where the log has the time
    sampled     whether the run draws its answers, so that a second run gives more trials. A second
                greedy run only repeats the answers
    item        names, unique within (benchmark, subset) up to repetitions
    notes       what the user should know about the log, in sentences
    settings    what else the measurement depends on (shots, adapter, ..), as texts; names that
                begin with "model." tell models apart and are no part of the task
    groups      the groups with scores that the task belongs to, from the innermost
    dataset     where the task's items are from; "" unknown
    worse       the metrics of which lower is better
    odd         metric -> a value that is no number
    """

    source: Path
    model: str
    benchmark: str
    subset: str
    filter: str
    run: str
    sampled: bool
    item: list[str]
    scores: Mapping[str, np.ndarray]
    trial: np.ndarray
    trials: np.ndarray
    options: np.ndarray
    digest: np.ndarray
    notes: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    dataset: str = ""
    worse: frozenset[str] = frozenset()
    odd: Mapping[str, str] = field(default_factory=dict)
    total: Total | None = None

    @property
    def task(self) -> str:
        """The benchmark and its subset, as sentences name them."""
        return f"{self.benchmark}/{self.subset}" if self.subset else self.benchmark


class Rows:
    """Rows while a reader collects them. Columns are arrays, to keep a million rows small."""

    def __init__(self) -> None:
        self.item: list[str] = []
        self.scores: dict[str, array[float]] = {}
        self.trial = array("i")
        self.trials = array("i")
        self.options = array("i")
        self.digest = array("q")
        self.odd: dict[str, str] = {}

    def add(
        self,
        item: str,
        scores: Mapping[str, object],
        digest: int,
        *,
        trial: int = 0,
        trials: int = 1,
        options: int = 0,
    ) -> None:
        """Add a row. A metric that other rows have and this one lacks becomes NaN."""
        for metric, value in scores.items():
            score = number(value)
            if score == inf:
                self.odd.setdefault(metric, repr(value)[:40])
            if metric not in self.scores:
                self.scores[metric] = array("d", [nan]) * len(self.item)
            self.scores[metric].append(score)
        self.item.append(intern(item))  # models share their items' names
        if len(scores) < len(self.scores):
            for metric in self.scores.keys() - scores.keys():
                self.scores[metric].append(nan)
        self.trial.append(trial)
        self.trials.append(trials)
        self.options.append(options)
        self.digest.append(digest)

    def answers(self, **about: Any) -> Answers:
        """The rows as `Answers`; `about` are the fields that all rows share.

        Raises UnicodeEncodeError for names with half a surrogate pair, which JSON can hold.
        """
        for name in about.values():
            if isinstance(name, str):
                name.encode()
        return Answers(
            item=self.item,
            scores={metric: np.array(column) for metric, column in self.scores.items()},
            trial=np.array(self.trial),
            trials=np.array(self.trials),
            options=np.array(self.options),
            digest=np.array(self.digest),
            odd=self.odd,
            **about,
        )


class Names:
    """Item names from content hashes: hash, and hash#2, .. for other ids with the same hash."""

    def __init__(self) -> None:
        self._first: dict[str, object] = {}
        self._more: dict[str, list[object]] = {}

    def of(self, content: str, identity: object) -> str:
        if self._first.setdefault(content, identity) == identity:
            return content
        more = self._more.setdefault(content, [])
        if identity not in more:
            more.append(identity)
        return f"{content}#{more.index(identity) + 2}"


def number(value: object) -> float:
    """A logged score: NaN for none (null, an empty text), infinity for what is no number.

    Texts count as what they say: "true", "yes" = 1, "false", "no" = 0 in any case, "0.5" = 0.5.
    """
    if isinstance(value, bool | int | float):
        return float(value)
    if value is None:
        return nan
    if isinstance(value, str):
        text = value.strip().lower()
        if text in _WORDS:
            return _WORDS[text]
        try:
            return float(text)
        except ValueError:
            pass
    return inf


def total_of(
    scores: Mapping[str, object], total: Total, *, options: int = 0, **about: Any
) -> Answers:
    """The log's own total over a task as `Answers`; scores that are no numbers are left out."""
    for name in about.values():
        if isinstance(name, str):
            name.encode()  # as in Rows.answers
    kept = {metric: one for metric, value in scores.items() if isfinite(one := number(value))}
    return Answers(
        item=_ALL,
        scores={metric: np.array([one]) for metric, one in kept.items()},
        trial=_ZERO,
        trials=_ONE,
        options=np.array([options]) if options else _ZERO,
        digest=_ZERO,
        total=total,
        **about,
    )
