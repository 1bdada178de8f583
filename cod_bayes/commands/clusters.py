"""`cod-bayes clusters`: the clusters of a benchmark's items, for other ladders."""

from __future__ import annotations

import argparse

from cod_bayes.commands import options
from cod_bayes.commands.outputs import write_table
from cod_bayes.commands.printing import print_json, print_notes, print_table, warnings_printed
from cod_bayes.commands.values import table_path


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "clusters", help="sort a benchmark's items by difficulty, for `forecast --clusters`"
    )
    options.evidence(parser)
    options.benchmarks(parser)
    options.families(parser)
    options.out_file(parser, f"the items' clusters: {options.TABLES}", "labels.parquet")
    options.json(parser)
    options.quiet(parser, "notes")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    out = table_path(arguments.out)
    from cod_bayes.clustering.clusters import OUTLIERS, ZERO
    from cod_bayes.clustering.labels import label_items
    from cod_bayes.evidence.record import read_table

    with warnings_printed():
        evidence = read_table(
            arguments.evidence, benchmarks=arguments.benchmark, families=arguments.family
        )
    labels = label_items(evidence)
    write_table(labels, out)
    rows = []
    for name, part in labels.groupby("benchmark", sort=False):
        other = part["cluster"].isin([OUTLIERS, ZERO])
        zero = int((part["cluster"] == ZERO).sum())
        clusters = int(part.loc[~other, "cluster"].nunique())
        rows.append((str(name), len(part), clusters, int(other.sum()) - zero, zero))
    heads = ("benchmark", "items", "clusters", "outliers", "never solved")
    left_out = [name for name in evidence.benchmarks if name not in set(labels["benchmark"])]
    notes = [f"{name}: one cluster, left out" for name in left_out]
    if arguments.json:
        found = [dict(zip(heads, row, strict=True)) for row in rows]
        print_json({"out": str(out), "benchmarks": found, "notes": notes})
        return 0
    if not arguments.quiet:
        print_notes(notes)
        print_table("Clusters", heads, [[row[0], *(f"{n:,}" for n in row[1:])] for row in rows])
    print(f"written: {len(labels):,} items in {out}")
    return 0
