"""What the text of an option means."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cod_bayes.commands.options import TABLE_SUFFIXES, TABLES

if TYPE_CHECKING:
    from cod_bayes.evidence.record import Evidence
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


def require_target(arguments: argparse.Namespace) -> None:
    """Refuse arguments of `options.targets` that give no target, or half of one.

    Raises:
        ValueError: so.
    """
    params, tokens = arguments.target_params or [], arguments.target_tokens or []
    if len(params) != len(tokens):
        raise ValueError(
            f"expected as many --target-tokens as --target-params, got {len(tokens)} and "
            f"{len(params)}: each target has both"
        )
    if not arguments.target_compute and not params:
        raise ValueError("expected --target-compute, or --target-params and --target-tokens")


def given_targets(arguments: argparse.Namespace, of: Fit | Evidence) -> list[float]:
    """FLOPs of the targets of `options.targets`, as `of` counts compute; those by size come last.

    Raises:
        ValueError: what `require_target` refuses.
    """
    require_target(arguments)
    sizes = zip(arguments.target_params or [], arguments.target_tokens or [], strict=True)
    computes = list(arguments.target_compute or [])
    if arguments.target_params:
        from cod_bayes.forecast.size import target_compute

        computes += [target_compute(of, params, tokens) for params, tokens in sizes]
    return computes


def one_target(fit: Fit, arguments: argparse.Namespace) -> float:
    """FLOPs of the target of `options.target`, else the one compute that the saved forecast is for.

    Raises:
        ValueError: half of a size, a size and a compute; or none given, and the file has the
            forecast of no target or of several.
    """
    size = [value for value in (arguments.target_params, arguments.target_tokens) if value]
    if len(size) == 1 or (size and arguments.target_compute is not None):
        raise ValueError("expected --target-compute, or --target-params with --target-tokens")
    if size:
        from cod_bayes.commands.printing import warnings_printed
        from cod_bayes.forecast.size import target_compute

        with warnings_printed():
            return target_compute(fit, *size)
    if arguments.target_compute is not None:
        return float(arguments.target_compute)
    computes = []
    if "predictions" in fit.idata.children:
        computes = fit.idata["predictions"].to_dataset()["compute"].values.tolist()
    if len(computes) != 1:
        raise ValueError(
            f"expected a posterior with the forecast of one target, got {len(computes)}; "
            "give --target-compute FLOPS, or --target-params and --target-tokens"
        )
    return float(computes[0])
