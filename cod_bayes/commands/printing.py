"""What commands print: tables and JSON on standard output, notes and warnings on standard error."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from cod_bayes.forecast.posterior import Fit

FORECAST_COLUMNS = ["benchmark", "compute", "mean", "sd", "q05", "q25", "q50", "q75", "q95"]
FORECAST_COLUMNS += ["predictable_share", "verdict"]
_WIDTH = 140  # characters, where the output is no terminal


def print_table(
    title: str,
    heads: Sequence[str],
    *sections: Iterable[Sequence[str]],
    left: Sequence[str] = ("benchmark",),
    caption: str | None = None,
) -> None:
    """A table whose cells are plain text.

    sections    the rows; a line separates one section from the next
    left        the heads of the columns that are aligned to the left
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), caption=caption and escape(caption))
    for head in heads:
        table.add_column(escape(head), justify="left" if head in left else "right")
    for rows in sections:
        for row in rows:
            table.add_row(*map(escape, row))
        table.add_section()
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(table)


def print_forecast(table: pd.DataFrame, truth: dict[str, float] | None = None) -> None:
    """The forecast in percent; with `truth`, what came true beside it."""
    heads = ["benchmark", "FLOPs", "median", "50 %", "90 %", "predictable", "verdict"]
    rows = [
        [
            str(row.benchmark),
            f"{row.compute:.3g}",
            percent(row.q50),
            percents(row.q25, row.q75),
            percents(row.q05, row.q95),
            f"{100 * row.predictable_share:.0f} %",
            str(row.verdict),
            *([percent(truth[row.benchmark])] if truth else []),
        ]
        for row in table.itertuples()
    ]
    heads += ["truth"] if truth else []
    print_table("Forecast, % correct", heads, rows, left=("benchmark", "verdict"))


def print_json(found: Any) -> None:
    """One object, indented."""
    print(json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False))


def print_notes(notes: Iterable[str]) -> None:
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


@contextmanager
def warnings_printed() -> Iterator[list[str]]:
    """Warnings about the evidence or the fit, each on a line of standard error.

    The list that is yielded holds them at the end.
    """
    from cod_bayes.evidence.record import EvidenceWarning
    from cod_bayes.forecast.fitting import ConvergenceWarning

    printed: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", EvidenceWarning)
        warnings.simplefilter("always", ConvergenceWarning)
        yield printed
    for warning in caught:
        if issubclass(warning.category, EvidenceWarning | ConvergenceWarning):
            print(f"warning: {warning.message}", file=sys.stderr)
            printed.append(str(warning.message))


_ROUTES = {"mean_shift": "by mean_shift", "given": "as given"}


def clustering_notes(fit: Fit) -> list[str]:
    """How each benchmark's items were grouped, a sentence each."""
    constant = fit.idata["constant_data"].to_dataset()
    of = constant["benchmark_of_cluster"].values
    return [
        f"{name}: one cluster"
        if route == "one_cluster"
        else f"{name}: {(of == name).sum()} clusters {_ROUTES[route]}"
        for name, route in zip(fit.benchmarks, constant["route"].values, strict=True)
    ]


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows for JSON: what is not a number is None."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


def percent(rate: float) -> str:
    """A rate in percent, without the sign."""
    return f"{100 * rate:.1f}"


def percents(low: float, high: float) -> str:
    """An interval of rates in percent, without the sign."""
    return f"{percent(low)} – {percent(high)}"


def rounded(number: float) -> str:
    """Three figures, written out."""
    return f"{float(f'{number:.3g}'):,.10g}"


def short(number: float) -> str:
    """Three figures with a unit: 7.2B, 1.41T."""
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if number >= size:
            return f"{float(f'{number / size:.3g}'):,.10g}{unit}"
    return rounded(number)


def unconverged(failed_checks: Sequence[str]) -> str:
    """What to add to a title; empty when all checks passed."""
    return f" (unconverged: {', '.join(failed_checks)})" if failed_checks else ""
