"""`cod-bayes ingest`: from evaluation logs and the models' compute to a table for `forecast`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from cod_bayes.commands import options
from cod_bayes.commands.outputs import write_table
from cod_bayes.commands.printing import percents, print_json, print_notes, print_table, records
from cod_bayes.commands.values import table_path

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("lm-eval", "inspect", "helm", "evalplus", "every-eval-ever", "opencompass")


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("ingest", help="turn evaluation logs into a table")
    options.path(parser, "sources", nargs="+", metavar="SOURCE", help="log files, or their folders")
    options.models_table(
        parser,
        "table of the models: columns model and compute (FLOPs), or model, params, tokens; "
        "optionally family, role",
        required=True,
    )
    options.metric(parser)
    parser.add_argument(
        "--filter",
        action="append",
        metavar="F",
        help="the answer filter to take, of lm-eval and evalplus; several work as in --metric",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        metavar="F",
        help=f"one of {', '.join(FORMATS)} (default: found from the files)",
    )
    parser.add_argument(
        "--where",
        action="append",
        metavar="KEY=VALUE",
        help="only runs with this setting (shots=5, revision=step9000, run=.., file=..); "
        "KEY!=VALUE leaves runs out (task!=wikitext); values may be patterns",
    )
    parser.add_argument(
        "--group",
        action="append",
        metavar="NAME=PATTERN",
        help="one benchmark of all tasks whose names match, which become its subsets",
    )
    parser.add_argument(
        "--split", action="append", metavar="B", help="keep the tasks of a benchmark apart"
    )
    parser.add_argument(
        "--aggregates",
        action="store_true",
        help="take the logs' own scores of benchmarks, even where there are samples",
    )
    options.out_file(parser, f"the table: {options.TABLES}", "evidence.parquet")
    options.quiet(parser, "notes")
    options.json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    out = table_path(arguments.out)
    from cod_bayes.ingest import ingest

    found = ingest(
        arguments.sources,
        models=arguments.models,
        metric=arguments.metric,
        filter=arguments.filter,
        format=arguments.format,
        where=arguments.where,
        group=arguments.group,
        split=arguments.split,
        aggregates=arguments.aggregates,
    )
    write_table(found.table, out)
    summary = _summary(found.table)
    if arguments.json:
        rows = {"out": str(out), "rows": len(found.table)}
        checks = records(found.checks)
        print_json(rows | {"benchmarks": records(summary), "checks": checks, "notes": found.notes})
        return 0
    if not arguments.quiet:
        print_notes(found.notes)
        _show(summary)
    print(f"written: {len(found.table):,} rows in {out}")
    return 0


def _summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row per benchmark: items, models, trials per item and model, lowest and highest score."""
    if "n_trials" not in table:
        table = table.assign(n_trials=None)
    rows = []
    for name, part in table.groupby("benchmark", observed=True):
        rates = part.groupby("model", observed=True)["score"].mean()
        rows.append(
            {
                "benchmark": name,
                "items": int(part["item"].nunique()),
                "models": int(part["model"].nunique()),
                "trials": None if part["n_trials"].isna().all() else part["n_trials"].mean(),
                "lowest": float(rates.min()),
                "highest": float(rates.max()),
            }
        )
    import pandas as pd

    return pd.DataFrame(rows).astype({"trials": object})


def _show(summary: pd.DataFrame) -> None:
    rows = [
        (
            str(row.benchmark),
            f"{row.items:,}",
            f"{row.models:,}",
            "–" if row.trials is None else f"{row.trials:.3g}",
            percents(row.lowest, row.highest),
        )
        for row in summary.itertuples()
    ]
    print_table("Evidence", ("benchmark", "items", "models", "trials", "% correct"), rows)
