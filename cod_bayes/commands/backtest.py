"""`cod-bayes backtest`: scores of forecasts of this table's largest models."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from cod_bayes.commands import options
from cod_bayes.commands.outputs import print_written, write_figure
from cod_bayes.commands.printing import print_json, print_table, records, warnings_printed
from cod_bayes.commands.values import given_indexes

if TYPE_CHECKING:
    import pandas as pd


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("backtest", help="hide the largest models, forecast, score")
    options.evidence(parser)
    parser.add_argument(
        "--targets",
        type=int,
        default=2,
        metavar="K",
        help="how many of each family's largest models are forecast, one after the other "
        "(default 2)",
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        metavar="M",
        help="Bayesian models, by name or TOML file, and rivals: persistence, "
        "power_law_log_accuracy, end_to_end, krajewski, bnsl, logistic, loss_intermediate, "
        "item_response, cod_point, simple_scaling_laws (default: cod and the rivals that are "
        "installed)",
    )
    options.families(parser)
    options.benchmarks(parser)
    options.indexes(parser)
    options.seed(parser)
    options.out_folder(
        parser,
        "backtest.csv, reliability.png and finished forecasts; "
        "an interrupted backtest resumes from them",
        "backtest",
    )
    options.json(parser)
    options.quiet(parser, "progress")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from cod_bayes.evaluate.backtest import backtest, index_scores, scores
    from cod_bayes.evaluate.rivals import INSTALLED
    from cod_bayes.evidence.record import read_table
    from cod_bayes.show.plots import reliability_figure

    with warnings_printed():
        evidence = read_table(
            arguments.evidence, benchmarks=arguments.benchmark, families=arguments.family
        )
    rows = backtest(
        evidence,
        arguments.targets,
        arguments.methods or ("cod", *INSTALLED),
        random_seed=arguments.seed,
        progressbar=not arguments.quiet,
        out=arguments.out,
        indexes=given_indexes(arguments),
    )
    failures = []
    for (method, reason), part in rows[rows["error"] != ""].groupby(
        ["method", "error"], sort=False
    ):
        print(f"{method}: no forecast on {len(part)}: {reason}", file=sys.stderr)
        failures.append({"method": method, "n": len(part), "error": reason})
    table = scores(rows)
    names = ("backtest.csv", "reliability.png")
    write_figure(reliability_figure(rows), arguments.out / "reliability.png")
    if arguments.json:
        files = {name: str(arguments.out / name) for name in names}
        found = {"scores": records(table), "failures": failures, "files": files}
        if arguments.index:
            found["index_scores"] = records(index_scores(rows))
        print_json(found)
        return 0
    show(table)
    if arguments.index:
        show(index_scores(rows), by="index")
    print_written(names, arguments.out)
    return 0


def show(table: pd.DataFrame, by: str = "family") -> None:
    """One row per family, or index, and method."""
    heads = [by, "method", "n", "MAE", "CRPS", "in 50 %", "in 90 %", "90 % width", "mean PIT"]
    joint = "energy_score" in table and bool(table["energy_score"].notna().any())
    sections = [
        [
            (
                str(name) or "(none)",
                row.method,
                str(row.n),
                f"{row.mae:.1f}",
                f"{row.crps:.2f}",
                f"{100 * row.coverage50:.0f} %",
                f"{100 * row.coverage90:.0f} %",
                f"{row.width90:.1f}",
                f"{row.pit:.2f}",
                *([f"{row.energy_score:.2f}"] if joint else []),
            )
            for row in part.itertuples()
        ]
        for name, part in table.groupby(by, sort=False)
    ]
    heads += ["energy score"] if joint else []
    title = f"Scores of forecasts{' of indexes' if by == 'index' else ''}, points of accuracy"
    print_table(title, heads, *sections, left=(by, "method"))
