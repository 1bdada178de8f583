"""`cod-bayes datasets`: which public ladders there are, and one of them as a table."""

from __future__ import annotations

import argparse
from pathlib import Path

from cod_bayes.commands import options
from cod_bayes.commands.outputs import write_table
from cod_bayes.commands.printing import print_json, print_table
from cod_bayes.commands.values import table_path


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("datasets", help="list public ladders, or write one as a table")
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="the ladder to write (default: list all)"
    )
    options.path(
        parser,
        "--folder",
        folder=True,
        metavar="DIR",
        help="read the original files from this folder, not from the network",
    )
    options.out_file(parser, f"the table: {options.TABLES} (default: NAME.parquet)")
    options.json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from cod_bayes.evidence.datasets import DATASETS, dataset_table

    if arguments.name is not None:
        out = table_path(arguments.out or Path(f"{arguments.name}.parquet"))
        try:
            table = dataset_table(arguments.name, arguments.folder)
        except ImportError as error:
            raise ValueError(str(error)) from None
        write_table(table, out)
        if arguments.json:
            print_json({"out": str(out), "rows": len(table)})
        else:
            print(f"written: {len(table):,} rows in {out}")
        return 0
    heads = ("name", "what", "ladder", "licence")
    rows = [(name, one.what, one.ladder, one.licence) for name, one in DATASETS.items()]
    if arguments.json:
        print_json([dict(zip(heads, row, strict=True)) for row in rows])
        return 0
    caption = "cod-bayes datasets NAME --out FILE writes one"
    print_table("Public ladders", heads, rows, left=heads, caption=caption)
    return 0
