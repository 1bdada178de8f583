"""Answers: the rows of a log in one form for all formats.

One `Answers` holds the rows of one run of one model on one task under one answer filter. A row is
one logged answer to one item,

    scores[m][r]    its score by metric m; NaN where the log has none (the answer failed)
    trial[r]        which repetition of the item within the run (epoch, replica, ...)
    trials[r]       how many trials the score averages: 1, but n for pass@1 over n answers
                (of the metric named pass@1 only)
    options[r]      number of options the model chose from; 0 where the log does not show it
    digest[r]       equal for two rows that are copies of one answer
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from pathlib import Path
from sys import intern
from typing import Any

import numpy as np

__all__ = ["Answers", "Names", "Rows", "number"]


@dataclass(frozen=True, eq=False)
class Answers:
    """Rows of one run (row,).

    benchmark, subset   subset is "" where the benchmark has no parts
    filter      how answers were extracted from the model's text; "none" where the log has none
    run         sorts in time where the log has the time
    sampled     whether the run draws its answers, so that a second run gives more trials. A second
                greedy run only repeats the answers
    item        names, unique within (benchmark, subset) up to repetitions
    notes       what the user should know about the log, in sentences
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


class Rows:
    """Rows while a reader collects them. Columns are arrays, to keep a million rows small."""

    def __init__(self) -> None:
        self.item: list[str] = []
        self.scores: dict[str, array[float]] = {}
        self.trial = array("i")
        self.trials = array("i")
        self.options = array("i")
        self.digest = array("q")

    def add(
        self,
        item: str,
        scores: Mapping[str, float],
        digest: int,
        *,
        trial: int = 0,
        trials: int = 1,
        options: int = 0,
    ) -> None:
        """Add a row. A metric that other rows have and this one lacks becomes NaN."""
        for metric, score in scores.items():
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
    """A logged score as a number; NaN for anything else (null, texts, lists)."""
    return float(value) if isinstance(value, bool | int | float) else nan
