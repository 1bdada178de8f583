"""The files that commands write. Each is old or new, never a half."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cod_bayes.commands.printing import FORECAST_COLUMNS
from cod_bayes.writing import replacing

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from cod_bayes.forecast.outlook import Forecast
    from cod_bayes.forecast.posterior import Fit


def write_table(table: pd.DataFrame, path: Path) -> None:
    """The table in the format that the suffix names: a file that `cod_bayes.read_table` reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        if path.suffix == ".parquet":
            table.to_parquet(part, index=False)
        elif path.suffix == ".jsonl":
            table.to_json(part, orient="records", lines=True, force_ascii=False, compression=None)
        else:
            table.to_csv(part, index=False, sep="\t" if path.suffix == ".tsv" else ",")


def write_figure(figure: Figure, path: Path) -> None:
    """The figure as PNG."""
    with replacing(path) as part:
        figure.savefig(part, dpi=150, format="png")


def write_forecast(
    fit: Fit, outlook: Forecast, out: Path, truth: pd.DataFrame | None = None
) -> dict[str, str]:
    """forecast.csv, forecast.png, report.html and posterior.nc in `out`: name -> path."""
    from cod_bayes.show.plots import forecast_figure
    from cod_bayes.show.report import write_report

    write_table(outlook.summary()[FORECAST_COLUMNS], out / "forecast.csv")
    write_figure(forecast_figure(fit, outlook, truth), out / "forecast.png")
    write_report(fit, outlook, out / "report.html")
    fit.save(out / "posterior.nc", outlook)
    names = ("forecast.csv", "posterior.nc", "forecast.png", "report.html")
    return {name: str(out / name) for name in names}


def picture(name: str, found: Any) -> Callable[[], Figure]:
    """Draws what a decision found by this function of `cod_bayes.show.decisions`. It is imported
    only then, because matplotlib takes longer than the decision."""

    def draw() -> Figure:
        return getattr(import_module("cod_bayes.show.decisions"), name)(found)

    return draw


def write_answer(arguments: argparse.Namespace, files: Mapping[str, Any]) -> None:
    """The files of a decision, where --out names a folder.

    files: name -> a table, a dictionary for JSON, or a function that draws a figure.
    """
    if arguments.out is None:
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = arguments.out / name
        if callable(content):
            write_figure(content(), path)
        elif isinstance(content, dict):
            with replacing(path) as part:
                part.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
        else:
            write_table(content, path)
    print_written(files, arguments.out, beside_json=arguments.json)


def print_written(names: Iterable[str], folder: Path, *, beside_json: bool = False) -> None:
    """Which files were written; on standard error where standard output is JSON."""
    stream = sys.stderr if beside_json else sys.stdout
    print(f"written: {', '.join(names)} in {folder}", file=stream)
