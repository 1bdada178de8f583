"""`cod-bayes forecast`: from a table of evidence to a table, a picture, a report, a posterior."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cod_bayes.commands.answers import output_options, print_json

INTERRUPTED = "interrupted.nc"


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
    forecast.add_argument(
        "--anchor",
        action="append",
        default=[],
        metavar="GLOB",
        help="models of any family that inform the mapping only",
    )
    forecast.add_argument("--model", default="cod", metavar="NAME")
    forecast.add_argument(
        "--preview",
        action="store_true",
        help="every benchmark as one cluster: a third of the time",
    )
    forecast.add_argument("--seed", type=int, default=0)
    forecast.add_argument("--out", type=Path, default=Path("forecast"), metavar="DIR")
    output_options(forecast, "no progress and no notes")
    forecast.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    for compute in arguments.target_compute:
        if not 0 < compute < float("inf"):
            raise ValueError(f"expected --target-compute > 0 in FLOPs, got {compute}")
    from cod_bayes.commands.show import (
        COLUMNS,
        forecast_table,
        records,
        routes,
        spoken_warnings,
        write,
    )
    from cod_bayes.evidence.record import read_table
    from cod_bayes.forecast.fitting import Interrupted, fit

    arguments.out.mkdir(parents=True, exist_ok=True)  # refused before the work, not after
    with spoken_warnings() as warned:
        evidence = read_table(
            arguments.evidence,
            benchmarks=arguments.benchmark,
            families=arguments.family,
            ladder=arguments.ladder,
            hold_out=arguments.hold_out,
            anchors=arguments.anchor,
        )
        try:
            fitted = fit(
                evidence,
                arguments.model,
                random_seed=arguments.seed,
                progressbar=not arguments.quiet,
                preview=arguments.preview,
            )
        except Interrupted as stopped:
            # Beside the outputs of a run before it, not over them.
            stopped.fit.save(arguments.out / INTERRUPTED)
            kept = f"{stopped.fit.failed_checks[0]}, kept in {arguments.out / INTERRUPTED}"
            print(f"cod-bayes: {kept}", file=sys.stderr)
            return 130
    outlook = fitted.forecast(arguments.target_compute)
    notes = [*evidence.notes, *routes(fitted)]
    if not arguments.quiet:
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
    files = write(fitted, outlook, arguments.out)
    if arguments.json:
        found = {
            "rows": records(outlook.summary()[COLUMNS]),
            "notes": notes,
            "warnings": warned,
            "failed_checks": list(fitted.failed_checks),
            "files": files,
        }
        print_json(found)
        return 0
    forecast_table(outlook.summary())
    print(f"written: {', '.join(files)} in {arguments.out}")
    return 0
