"""Words for findings: errors, warnings, notes, and how names and counts are written in them."""

import difflib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np

__all__ = [
    "EvidenceError",
    "EvidenceWarning",
    "Findings",
    "count",
    "has_control",
    "matching",
    "no_match",
    "shorten",
    "some",
    "which_match",
]


class EvidenceError(ValueError):
    """A table that cannot be turned into evidence: what was expected, what was got, what to do."""


class EvidenceWarning(UserWarning):
    """Something assumed, repaired or doubtful that can change a forecast."""


@dataclass(frozen=True)
class Findings:
    """What was assumed or repaired, in sentences.

    notes      all of them
    warnings   those that can change a forecast
    """

    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)

    def warn(self, sentence: str) -> None:
        self.notes.append(sentence)
        self.warnings.append(sentence)


def count(number: object, noun: str) -> str:
    """ "1 row", "2,000 rows". `number` may be a mask, of which the True entries are counted."""
    total = int(np.sum(np.asarray(number)))
    return f"{total:,} {noun}{'' if total == 1 else 's'}"


def shorten(name: object, limit: int = 200) -> str:
    """The name on one line, cut where it is very long."""
    text = str(name)
    text = text if len(text) <= limit else f"{text[: limit - 1]}…"
    return text if text.isprintable() else repr(text)[1:-1]


def some(names: Iterable[object], limit: int = 3) -> str:
    """The first few names, and how many there are in all."""
    texts = list(names)
    more = f", ... ({len(texts):,} in all)" if len(texts) > limit else ""
    return ", ".join(map(shorten, texts[:limit])) + more


def has_control(name: str) -> bool:
    """Whether the name has control characters (escapes, line ends, tabs). A terminal obeys them."""
    return any(unicodedata.category(character) == "Cc" for character in name)


def no_match(what: str, pattern: str, names: Sequence[str]) -> str:
    """A sentence for a pattern that no name matches, with the closest names."""
    close = difflib.get_close_matches(pattern, names, n=3, cutoff=0.5)
    return f"no {what} matches {shorten(pattern)!r}; " + (
        f"close names: {some(close)}" if close else f"there are: {some(names, 5) or 'none'}"
    )


def which_match(
    patterns: Sequence[str], names: Sequence[str] | np.ndarray, what: str
) -> np.ndarray:
    """Which names any of the patterns match (names,), bool.

    Raises EvidenceError for a pattern that matches no name.
    """
    matched = np.zeros(len(names), dtype=bool)
    for pattern in [patterns] if isinstance(patterns, str) else map(str, patterns):
        by_this = np.array([n == pattern or fnmatchcase(n, pattern) for n in names], dtype=bool)
        if not by_this.any():
            raise EvidenceError(no_match(what, pattern, list(names)))
        matched |= by_this
    return matched


def matching(patterns: Sequence[str], names: Sequence[str], what: str) -> list[str]:
    """The names that any of the patterns match, in the order of `names`."""
    matched = which_match(patterns, names, what)
    return [name for name, match in zip(names, matched, strict=True) if match]
