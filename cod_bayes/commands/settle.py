"""`cod-bayes settle`: a registered forecast scored by the result."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cod_bayes.commands import options
from cod_bayes.commands.printing import percent, print_table, unconverged
from cod_bayes.commands.values import numbers_by_name

if TYPE_CHECKING:
    import pandas as pd


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("settle", help="score a registered forecast by the result")
    options.path(parser, "registration", help="file of `cod-bayes register`")
    parser.add_argument(
        "--result",
        action="append",
        default=[],
        metavar="B=RATE",
        help="a score that was measured, such as GSM8K=0.871; repeat the option for several",
    )
    options.path(
        parser,
        "--results",
        metavar="CSV",
        help="table of the scores that were measured, columns benchmark and score",
    )
    options.target_compute(
        parser, "training compute of the trained model (needed where several are registered)"
    )
    options.out_file(parser, "the settlement (default: NAME.settled.json beside NAME.json)")
    options.path(
        parser,
        "--ledger",
        metavar="CSV",
        help="also enter the scores in this ledger and print how well all its forecasts have done",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from cod_bayes.decide.ledger import check_new, enter, running
    from cod_bayes.decide.register import read, settle, settlement
    from cod_bayes.writing import write_once

    record = read(arguments.registration)
    pairs = list(arguments.result)
    if arguments.results:
        pairs += _pairs(arguments.results)
    results = numbers_by_name(pairs, "--result GSM8K=0.871")
    table = settle(record, results, arguments.target_compute)
    show(table, record)
    out = arguments.out or arguments.registration.with_suffix(".settled.json")
    if arguments.ledger is not None:
        check_new(arguments.ledger, record, table)
    write_once(out, json.dumps(settlement(record, table), indent=1, allow_nan=False) + "\n")
    written = [out]
    if arguments.ledger is not None:
        show_ledger(running(enter(arguments.ledger, record, table)))
        written.append(arguments.ledger)
    print(f"written: {', '.join(map(str, written))}", file=sys.stderr)
    return 0


def _pairs(path: Path) -> list[str]:
    """A results table as texts of --result."""
    import pandas as pd

    table = pd.read_csv(path)
    if not {"benchmark", "score"} <= set(table.columns):
        raise ValueError(
            f"{path}: expected the columns benchmark and score, got {list(table.columns)}"
        )
    return [f"{b}={s!r}" for b, s in zip(table["benchmark"], table["score"].tolist(), strict=True)]


def show(table: pd.DataFrame, record: dict[str, Any]) -> None:
    """One row per benchmark and index, in points, then the mean over benchmarks."""
    from cod_bayes.decide.register import of_benchmarks

    heads = ("benchmark", "FLOPs", "median", "actual", "error", "CRPS", "in 50 %", "in 90 %")
    rows = [
        (
            str(row.benchmark),
            f"{row.compute:.3g}",
            percent(row.median),
            percent(row.actual),
            f"{100 * row.error:+.1f}",
            f"{100 * row.crps:.2f}",
            "yes" if row.in50 else "no",
            "yes" if row.in90 else "no",
            f"{row.pit:.2f}",
            f"{row.log_score:.2f}",
        )
        for row in table.itertuples()
    ]
    means = of_benchmarks(record, table)
    mean = (
        "mean",
        "",
        "",
        "",
        f"{percent(means['error'].abs().mean())} abs.",
        f"{100 * means['crps'].mean():.2f}",
        f"{100 * means['in50'].mean():.0f} %",
        f"{100 * means['in90'].mean():.0f} %",
        f"{means['pit'].mean():.2f}",
        f"{means['log_score'].mean():.2f}",
    )
    title = f"Registered {record['created']}, in points{unconverged(record['failed_checks'])}"
    print_table(title, (*heads, "PIT", "log score"), rows, [mean])


def show_ledger(table: pd.DataFrame) -> None:
    """One row after each registration."""
    heads = ["registered", "record", "results", "MAE", "CRPS", "in 50 %", "in 90 %", "mean PIT"]
    heads.append("PIT from uniform")
    rows = [
        (
            str(row.registered),
            str(row.registration_sha256)[:12],
            str(row.n),
            f"{100 * row.mae:.1f}",
            f"{100 * row.crps:.2f}",
            f"{100 * row.coverage50:.0f} %",
            f"{100 * row.coverage90:.0f} %",
            f"{row.pit_mean:.2f}",
            f"{row.pit_ks:.2f} of {1.36 / row.n**0.5:.2f}",
        )
        for row in table.itertuples()
    ]
    print_table("Ledger so far, in points", heads, rows, left=("registered", "record"))
