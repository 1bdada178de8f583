"""`cod-bayes datasets`: which public ladders there are, and one of them as a table."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def add(commands: argparse._SubParsersAction) -> None:
    datasets = commands.add_parser("datasets", help="list public ladders, or write one as a table")
    datasets.add_argument("name", nargs="?", metavar="NAME", help="write this one")
    datasets.add_argument(
        "--folder", type=Path, metavar="DIR", help="take the files from here, not from the network"
    )
    datasets.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help=".parquet, .csv, .tsv, .jsonl (default: NAME.parquet)",
    )
    datasets.add_argument("--json", action="store_true", help="print JSON in place of text")
    datasets.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from cod_bayes.commands.ingest import check_suffix, write
    from cod_bayes.evidence.datasets import DATASETS, dataset_table

    if arguments.name is not None:
        out = check_suffix(arguments.out or Path(f"{arguments.name}.parquet"))
        try:
            table = dataset_table(arguments.name, arguments.folder)
        except ImportError as error:
            raise ValueError(str(error)) from None
        write(table, out)
        if arguments.json:
            print(json.dumps({"out": str(out), "rows": len(table)}))
        else:
            print(f"written: {len(table):,} rows in {out}")
        return 0
    listed = [
        {"name": name, "what": one.what, "ladder": one.ladder, "licence": one.licence}
        for name, one in DATASETS.items()
    ]
    if arguments.json:
        print(json.dumps(listed, indent=2))
        return 0
    from rich.table import Table

    from cod_bayes.commands.answers import console

    shown = Table(title="Public ladders", caption="cod-bayes datasets NAME --out FILE writes one")
    for head in listed[0]:
        shown.add_column(head)
    for row in listed:
        shown.add_row(*row.values())
    console().print(shown)
    return 0
