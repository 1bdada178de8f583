"""`cod-bayes forecast`: from a table of evidence to a table, a picture and a posterior."""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["benchmark", "compute", "mean", "sd", "q05", "q25", "q50", "q75", "q95"]
COLUMNS += ["predictable_share", "verdict"]


def add(commands: argparse._SubParsersAction) -> None:
    forecast = commands.add_parser("forecast", help="forecast a target's scores from a table")
    forecast.add_argument("evidence", type=Path, help="tidy table: .parquet, .csv, .tsv, .jsonl")
    forecast.add_argument(
        "--target-compute",
        type=float,
        action="append",
        required=True,
        metavar="FLOPS",
        help="may be given several times",
    )
    forecast.add_argument("--benchmark", action="append", metavar="B")
    forecast.add_argument("--family", action="append", metavar="F")
    forecast.add_argument(
        "--ladder", action="append", metavar="GLOB", help="only these models form the ladder"
    )
    forecast.add_argument(
        "--hold-out",
        action="append",
        default=[],
        metavar="GLOB",
        help="models that are targets: shown, never fitted",
    )
    forecast.add_argument("--model", default="cod", metavar="NAME")
    forecast.add_argument("--seed", type=int, default=0)
    forecast.add_argument("--out", type=Path, default=Path("forecast"), metavar="DIR")
    forecast.add_argument("-q", "--quiet", action="store_true", help="no progress")
    forecast.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    for compute in arguments.target_compute:
        if not 0 < compute < float("inf"):
            raise ValueError(f"expected --target-compute > 0 in FLOPs, got {compute}")
    from cod_bayes.evidence import EvidenceWarning, read_table
    from cod_bayes.fit import ConvergenceWarning, fit
    from cod_bayes.plots import forecast_figure

    arguments.out.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", EvidenceWarning)
        warnings.simplefilter("always", ConvergenceWarning)
        evidence = read_table(
            arguments.evidence,
            benchmarks=arguments.benchmark,
            families=arguments.family,
            ladder=arguments.ladder,
            hold_out=arguments.hold_out,
        )
        fitted = fit(
            evidence, arguments.model, random_seed=arguments.seed, progressbar=not arguments.quiet
        )
    outlook = fitted.forecast(arguments.target_compute)
    table = outlook.summary()[COLUMNS]
    for warning in caught:
        if issubclass(warning.category, EvidenceWarning | ConvergenceWarning):
            print(f"warning: {warning.message}", file=sys.stderr)
    for name, found in fitted.clusters.items():
        print(f"{name}: {len(found.kind)} clusters by {found.route}", file=sys.stderr)
    _show(table)
    table.to_csv(arguments.out / "forecast.csv", index=False)
    fitted.save(arguments.out / "posterior.nc")
    forecast_figure(fitted, outlook).savefig(arguments.out / "forecast.png", dpi=150)
    print(f"written: forecast.csv, posterior.nc, forecast.png in {arguments.out}")
    return 0


def _show(table: pd.DataFrame) -> None:
    from rich.console import Console
    from rich.table import Table

    shown = Table(title="Forecast, % correct")
    for head in ("benchmark", "FLOPs", "median", "50 %", "90 %", "predictable", "verdict"):
        shown.add_column(head, justify="left" if head in ("benchmark", "verdict") else "right")
    for row in table.itertuples():
        shown.add_row(
            row.benchmark,
            f"{row.compute:.3g}",
            f"{100 * row.q50:.1f}",
            f"{100 * row.q25:.1f} – {100 * row.q75:.1f}",
            f"{100 * row.q05:.1f} – {100 * row.q95:.1f}",
            f"{100 * row.predictable_share:.0f} %",
            row.verdict,
        )
    Console(width=None if sys.stdout.isatty() else 120).print(shown)
