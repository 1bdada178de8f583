"""What commands share: the forecast's table on the screen, its files, the warnings said."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from cod_bayes.fitting import Fit, Forecast

COLUMNS = ["benchmark", "compute", "mean", "sd", "q05", "q25", "q50", "q75", "q95"]
COLUMNS += ["predictable_share", "verdict"]


@contextmanager
def spoken_warnings() -> Iterator[None]:
    """Warnings about the evidence or the fit, each on a line of standard error."""
    from cod_bayes.evidence import EvidenceWarning
    from cod_bayes.fitting import ConvergenceWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", EvidenceWarning)
        warnings.simplefilter("always", ConvergenceWarning)
        yield
    for warning in caught:
        if issubclass(warning.category, EvidenceWarning | ConvergenceWarning):
            print(f"warning: {warning.message}", file=sys.stderr)


def routes(fit: Fit) -> None:
    """How each benchmark's items were grouped, aloud."""
    constant = fit.idata["constant_data"].to_dataset()
    of = constant["benchmark_of_cluster"].values
    for name, route in zip(fit.benchmarks, constant["route"].values, strict=True):
        print(f"{name}: {(of == name).sum()} clusters by {route}", file=sys.stderr)


def forecast_table(table: pd.DataFrame, truth: dict[str, float] | None = None) -> None:
    """The forecast in percent; with `truth`, what came true beside it."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(title="Forecast, % correct")
    heads = ["benchmark", "FLOPs", "median", "50 %", "90 %", "predictable", "verdict"]
    for head in heads + (["truth"] if truth else []):
        shown.add_column(head, justify="left" if head in ("benchmark", "verdict") else "right")
    for row in table.itertuples():
        cells = [
            str(row.benchmark),
            f"{row.compute:.3g}",
            f"{100 * row.q50:.1f}",
            f"{100 * row.q25:.1f} – {100 * row.q75:.1f}",
            f"{100 * row.q05:.1f} – {100 * row.q95:.1f}",
            f"{100 * row.predictable_share:.0f} %",
            str(row.verdict),
        ]
        shown.add_row(*cells, *([f"{100 * truth[row.benchmark]:.1f}"] if truth else []))
    Console(width=None if sys.stdout.isatty() else 140).print(shown)


def write(fit: Fit, outlook: Forecast, out: Path, truth: pd.DataFrame | None = None) -> None:
    """forecast.csv, posterior.nc and forecast.png in `out`; each is old or new, never a half."""
    from cod_bayes.plots import forecast_figure

    out.mkdir(parents=True, exist_ok=True)
    table, part = out / "forecast.csv", out / "forecast.csv.part"
    outlook.summary()[COLUMNS].to_csv(part, index=False)
    part.replace(table)
    figure, part = out / "forecast.png", out / "forecast.png.part"
    forecast_figure(fit, outlook, truth).savefig(part, dpi=150, format="png")
    part.replace(figure)
    fit.save(out / "posterior.nc")
    print(f"written: forecast.csv, posterior.nc, forecast.png in {out}")
