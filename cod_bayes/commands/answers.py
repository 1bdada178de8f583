"""What commands share: how they print, and what they read from a saved posterior."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from cod_bayes.forecast.posterior import Fit


def output_options(parser: argparse.ArgumentParser, silenced: str) -> None:
    """--json and --quiet. silenced: what the latter leaves out."""
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object in place of the table"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help=f"{silenced}; warnings stay")


def console() -> Console:
    """Wide enough for the tables where the output is no terminal."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 140)


def print_json(found: dict[str, Any]) -> None:
    """One object, indented."""
    print(json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False))


def unconverged(failed_checks: Sequence[str]) -> str:
    """What to add to a title; empty when all checks passed."""
    return f" (unconverged: {', '.join(failed_checks)})" if failed_checks else ""


def rounded(number: float) -> str:
    """Three figures, written out."""
    return f"{float(f'{number:.3g}'):,.10g}"


def target_compute(fit: Fit, given: float | None) -> float:
    """FLOPs as given, else the one compute that the saved forecast is for."""
    if given is not None:
        return given
    computes = []
    if "predictions" in fit.idata.children:
        computes = fit.idata["predictions"].to_dataset()["compute"].values.tolist()
    if len(computes) != 1:
        raise ValueError(
            f"expected a posterior with the forecast of one target, got {len(computes)}; "
            "give --target-compute FLOPS"
        )
    return float(computes[0])


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
