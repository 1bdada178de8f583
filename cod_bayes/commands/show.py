"""What commands share: the forecast's table on the screen, its files, the warnings said."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from cod_bayes.forecast.outlook import Forecast
    from cod_bayes.forecast.posterior import Fit

COLUMNS = ["benchmark", "compute", "mean", "sd", "q05", "q25", "q50", "q75", "q95"]
COLUMNS += ["predictable_share", "verdict"]


@contextmanager
def spoken_warnings() -> Iterator[list[str]]:
    """Warnings about the evidence or the fit, each on a line of standard error.

    The list that is yielded holds them at the end.
    """
    from cod_bayes.evidence.record import EvidenceWarning
    from cod_bayes.forecast.fitting import ConvergenceWarning

    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", EvidenceWarning)
        warnings.simplefilter("always", ConvergenceWarning)
        yield said
    for warning in caught:
        if issubclass(warning.category, EvidenceWarning | ConvergenceWarning):
            print(f"warning: {warning.message}", file=sys.stderr)
            said.append(str(warning.message))


def routes(fit: Fit) -> list[str]:
    """How each benchmark's items were grouped, a sentence each."""
    constant = fit.idata["constant_data"].to_dataset()
    of = constant["benchmark_of_cluster"].values
    return [
        f"{name}: one cluster"
        if route == "one_cluster"
        else f"{name}: {(of == name).sum()} clusters by {route}"
        for name, route in zip(fit.benchmarks, constant["route"].values, strict=True)
    ]


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows for JSON: what is not a number is None."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


def forecast_table(table: pd.DataFrame, truth: dict[str, float] | None = None) -> None:
    """The forecast in percent; with `truth`, what came true beside it."""
    from rich.markup import escape
    from rich.table import Table

    from cod_bayes.commands.answers import console

    shown = Table(title="Forecast, % correct")
    heads = ["benchmark", "FLOPs", "median", "50 %", "90 %", "predictable", "verdict"]
    for head in heads + (["truth"] if truth else []):
        shown.add_column(head, justify="left" if head in ("benchmark", "verdict") else "right")
    for row in table.itertuples():
        cells = [
            escape(str(row.benchmark)),
            f"{row.compute:.3g}",
            f"{100 * row.q50:.1f}",
            f"{100 * row.q25:.1f} – {100 * row.q75:.1f}",
            f"{100 * row.q05:.1f} – {100 * row.q95:.1f}",
            f"{100 * row.predictable_share:.0f} %",
            str(row.verdict),
        ]
        shown.add_row(*cells, *([f"{100 * truth[row.benchmark]:.1f}"] if truth else []))
    console().print(shown)


def write(
    fit: Fit, outlook: Forecast, out: Path, truth: pd.DataFrame | None = None
) -> dict[str, str]:
    """forecast.csv, forecast.png, report.html and posterior.nc in `out`: name -> path.

    Each is old or new, never a half.
    """
    from cod_bayes.show.plots import forecast_figure
    from cod_bayes.show.report import write_report
    from cod_bayes.writing import replacing

    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / "forecast.csv") as part:
        outlook.summary()[COLUMNS].to_csv(part, index=False)
    with replacing(out / "forecast.png") as part:
        forecast_figure(fit, outlook, truth).savefig(part, dpi=150, format="png")
    write_report(fit, outlook, out / "report.html")
    fit.save(out / "posterior.nc")
    names = ("forecast.csv", "posterior.nc", "forecast.png", "report.html")
    return {name: str(out / name) for name in names}
