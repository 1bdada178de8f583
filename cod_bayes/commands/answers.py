"""What the commands on saved posteriors share."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def console() -> Console:
    """Wide enough for the tables where the output is no terminal."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 140)


def unconverged(failed_checks: Sequence[str]) -> str:
    """What to add to a title; empty when all checks passed."""
    return f" (unconverged: {', '.join(failed_checks)})" if failed_checks else ""


def rounded(number: float) -> str:
    """Three figures, written out."""
    return f"{float(f'{number:.3g}'):,.10g}"


def assigned(pairs: Sequence[str], example: str) -> dict[str, float]:
    """ "GSM8K=0.871" as name -> number; the name may contain anything.

    Raises:
        ValueError: no name, no number, or a name given twice.
    """
    found: dict[str, float] = {}
    for text in pairs:
        name, _, number = (part.strip() for part in text.rpartition("="))
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        if not name or value != value:
            raise ValueError(f"expected {example}, got {text!r}")
        if name in found:
            raise ValueError(f"expected each name once, got {name!r} twice")
        found[name] = value
    return found
