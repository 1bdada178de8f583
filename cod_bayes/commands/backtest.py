"""`cod-bayes backtest`: what forecasts of this table's largest models would have been worth."""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from cod_bayes.commands.answers import output_options, print_json

if TYPE_CHECKING:
    import pandas as pd


def add(commands: argparse._SubParsersAction) -> None:
    backtest = commands.add_parser("backtest", help="hide the largest models, forecast, score")
    backtest.add_argument("evidence", type=Path, help="tidy table: .parquet, .csv, .tsv, .jsonl")
    backtest.add_argument(
        "--targets",
        type=int,
        default=2,
        metavar="K",
        help="how many of each family's largest models are forecast in turn (default 2)",
    )
    backtest.add_argument(
        "--methods",
        nargs="+",
        metavar="M",
        help="rivals and Bayesian models, by name or TOML file (default: cod and all rivals)",
    )
    backtest.add_argument("--family", action="append", metavar="F")
    backtest.add_argument("--benchmark", action="append", metavar="B")
    backtest.add_argument("--seed", type=int, default=0)
    backtest.add_argument(
        "--out",
        type=Path,
        default=Path("backtest"),
        metavar="DIR",
        help="results are kept here; an interrupted backtest resumes from them",
    )
    output_options(backtest, "no progress")
    backtest.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from cod_bayes.commands.show import records
    from cod_bayes.evaluate.backtest import backtest, reliability_figure, scores
    from cod_bayes.evaluate.rivals import RIVALS
    from cod_bayes.evidence.record import EvidenceWarning, read_table
    from cod_bayes.writing import replacing

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", EvidenceWarning)
        evidence = read_table(
            arguments.evidence, benchmarks=arguments.benchmark, families=arguments.family
        )
    for warning in caught:
        print(f"warning: {warning.message}", file=sys.stderr)
    rows = backtest(
        evidence,
        arguments.targets,
        arguments.methods or ("cod", *RIVALS),
        random_seed=arguments.seed,
        progressbar=not arguments.quiet,
        out=arguments.out,
    )
    failures = []
    for (method, reason), part in rows[rows["error"] != ""].groupby(
        ["method", "error"], sort=False
    ):
        print(f"{method}: no forecast on {len(part)}: {reason}", file=sys.stderr)
        failures.append({"method": method, "n": len(part), "error": reason})
    table = scores(rows)
    picture = arguments.out / "reliability.png"
    with replacing(picture) as part:
        reliability_figure(rows).savefig(part, dpi=150, format="png")
    if arguments.json:
        files = {file.name: str(file) for file in (arguments.out / "backtest.csv", picture)}
        found = {"scores": records(table), "failures": failures, "files": files}
        print_json(found)
        return 0
    show(table)
    print(f"written: backtest.csv, reliability.png in {arguments.out}")
    return 0


def show(table: pd.DataFrame) -> None:
    """Print a table of scores."""
    from rich.table import Table

    from cod_bayes.commands.answers import console

    shown = Table(title="Scores of forecasts, points of accuracy")
    for head in ("family", "method"):
        shown.add_column(head)
    for head in ("n", "MAE", "CRPS", "in 50 %", "in 90 %", "90 % width", "mean PIT"):
        shown.add_column(head, justify="right")
    for family, part in table.groupby("family", sort=False):
        for row in part.itertuples():
            shown.add_row(
                str(family) or "(none)",
                row.method,
                str(row.n),
                f"{row.mae:.1f}",
                f"{row.crps:.2f}",
                f"{100 * row.coverage50:.0f} %",
                f"{100 * row.coverage90:.0f} %",
                f"{row.width90:.1f}",
                f"{row.pit:.2f}",
            )
        shown.add_section()
    console().print(shown)
