"""What the text of an option means."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cod_bayes.commands.options import TABLE_SUFFIXES, TABLES

if TYPE_CHECKING:
    from cod_bayes.forecast.index import Index
    from cod_bayes.forecast.posterior import Fit


def number(text: str) -> float:
    """The number, or NaN where the text is none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def numbers_by_name(pairs: Sequence[str], example: str) -> dict[str, float]:
    """ "GSM8K=0.871" as name -> number; the name may contain anything.

    Raises:
        ValueError: no name, no number, or a name given twice.
    """
    found: dict[str, float] = {}
    for text in pairs:
        name, _, rest = (part.strip() for part in text.rpartition("="))
        value = number(rest)
        if not name or math.isnan(value):
            raise ValueError(f"expected {example}, got {text!r}")
        if name in found:
            raise ValueError(f"expected each name once, got {name!r} twice")
        found[name] = value
    return found


def given_indexes(arguments: argparse.Namespace) -> list[Index]:
    """The indexes of --index and --index-weights.

    Raises:
        ValueError: a text that is no index.
    """
    from cod_bayes.forecast.index import Index

    return [Index.parse(text, arguments.index_weights) for text in arguments.index]


def table_path(out: Path) -> Path:
    """The path, if its suffix is that of a table.

    Raises:
        ValueError: another suffix.
    """
    if out.suffix not in TABLE_SUFFIXES:
        raise ValueError(f"expected --out to end in {TABLES}, got {out}")
    return out


def one_target(fit: Fit, given: float | None) -> float:
    """FLOPs as given, else the one compute that the saved forecast is for.

    Raises:
        ValueError: none given, and the file has the forecast of no target or of several.
    """
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
