"""`cod-bayes settle`: a registered forecast scored by what came true."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def add(commands: argparse._SubParsersAction) -> None:
    settle = commands.add_parser("settle", help="score a registered forecast by the result")
    settle.add_argument("registration", type=Path)
    settle.add_argument(
        "--result", action="append", default=[], metavar="B=RATE", help="such as GSM8K=0.871"
    )
    settle.add_argument("--results", type=Path, metavar="CSV", help="columns benchmark, score")
    settle.add_argument(
        "--target-compute",
        type=float,
        metavar="FLOPS",
        help="which registered compute was trained, where there are several",
    )
    settle.add_argument(
        "--out", type=Path, metavar="FILE", help="default: beside, as NAME.settled.json"
    )
    settle.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from cod_bayes.commands.answers import assigned
    from cod_bayes.decide.register import read, settle, settlement
    from cod_bayes.writing import write_once

    record = read(arguments.registration)
    pairs = list(arguments.result)
    if arguments.results:
        pairs += _rows(arguments.results)
    results = assigned(pairs, "--result GSM8K=0.871")
    table = settle(record, results, arguments.target_compute)
    show(table, record)
    out = arguments.out or arguments.registration.with_suffix(".settled.json")
    write_once(out, json.dumps(settlement(record, table), indent=1, allow_nan=False) + "\n")
    print(f"written: {out}", file=sys.stderr)
    return 0


def _rows(path: Path) -> list[str]:
    """A results table as the option's texts."""
    import pandas as pd

    table = pd.read_csv(path)
    if not {"benchmark", "score"} <= set(table.columns):
        raise ValueError(
            f"{path}: expected the columns benchmark and score, got {list(table.columns)}"
        )
    return [f"{b}={s!r}" for b, s in zip(table["benchmark"], table["score"].tolist(), strict=True)]


def show(table: pd.DataFrame, record: dict[str, Any]) -> None:
    """One row per benchmark, in points."""
    from rich.markup import escape
    from rich.table import Table

    from cod_bayes.commands.answers import console, unconverged

    shown = Table(
        title=f"Registered {record['created']}, in points{unconverged(record['failed_checks'])}"
    )
    shown.add_column("benchmark")
    for head in ("FLOPs", "median", "actual", "error", "CRPS", "in 50 %", "in 90 %", "PIT"):
        shown.add_column(head, justify="right")
    shown.add_column("log score", justify="right")
    for row in table.itertuples():
        shown.add_row(
            escape(str(row.benchmark)),
            f"{row.compute:.3g}",
            f"{100 * row.median:.1f}",
            f"{100 * row.actual:.1f}",
            f"{100 * row.error:+.1f}",
            f"{100 * row.crps:.2f}",
            "yes" if row.in50 else "no",
            "yes" if row.in90 else "no",
            f"{row.pit:.2f}",
            f"{row.log_score:.2f}",
        )
    shown.add_section()
    shown.add_row(
        "mean",
        "",
        "",
        "",
        f"{100 * table['error'].abs().mean():.1f} abs.",
        f"{100 * table['crps'].mean():.2f}",
        f"{100 * table['in50'].mean():.0f} %",
        f"{100 * table['in90'].mean():.0f} %",
        f"{table['pit'].mean():.2f}",
        f"{table['log_score'].mean():.2f}",
    )
    console().print(shown)
