"""`cod-bayes ingest`: from evaluation logs and the models' compute to a table for `forecast`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cod_bayes.writing import replacing

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl")
FORMATS = ("lm-eval", "inspect", "helm", "evalplus", "opencompass", "every-eval-ever")


def add(commands: argparse._SubParsersAction) -> None:
    ingest = commands.add_parser("ingest", help="turn evaluation logs into a table")
    ingest.add_argument("sources", nargs="+", type=Path, metavar="SOURCE", help="files or folders")
    ingest.add_argument(
        "--models",
        type=Path,
        required=True,
        metavar="CSV",
        help="columns model and compute (FLOPs), or model, params, tokens; family, role",
    )
    ingest.add_argument(
        "--metric",
        action="append",
        metavar="M",
        help="the score to take; several: each benchmark takes the first it has",
    )
    ingest.add_argument(
        "--filter", action="append", metavar="F", help="answer filter (lm-eval, evalplus), likewise"
    )
    ingest.add_argument("--format", choices=FORMATS, metavar="F", help=", ".join(FORMATS))
    ingest.add_argument(
        "--out",
        type=Path,
        default=Path("evidence.parquet"),
        metavar="FILE",
        help=f"{', '.join(SUFFIXES)} (default: evidence.parquet)",
    )
    ingest.add_argument("-q", "--quiet", action="store_true", help="no notes")
    ingest.add_argument("--json", action="store_true", help="print the summary as JSON")
    ingest.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    check_suffix(arguments.out)
    from cod_bayes.ingest import ingest

    found = ingest(
        arguments.sources,
        models=arguments.models,
        metric=arguments.metric,
        filter=arguments.filter,
        format=arguments.format,
    )
    write(found.table, arguments.out)
    summary = _summary(found.table)
    if arguments.json:
        shown = {
            "out": str(arguments.out),
            "rows": len(found.table),
            "benchmarks": summary.to_dict("records"),
            "notes": found.notes,
        }
        print(json.dumps(shown, indent=2, ensure_ascii=False))
        return 0
    if not arguments.quiet:
        for note in found.notes:
            print(f"note: {note}", file=sys.stderr)
        _show(summary)
    print(f"written: {len(found.table):,} rows in {arguments.out}")
    return 0


def check_suffix(out: Path) -> Path:
    if out.suffix not in SUFFIXES:
        raise ValueError(f"expected --out to end in {', '.join(SUFFIXES)}, got {out}")
    return out


def write(table: pd.DataFrame, path: Path) -> None:
    """The table as a file that `cod_bayes.read_table` reads, by its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        if path.suffix == ".parquet":
            table.to_parquet(part, index=False)
        elif path.suffix == ".jsonl":
            table.to_json(part, orient="records", lines=True, force_ascii=False, compression=None)
        else:
            table.to_csv(part, index=False, sep="\t" if path.suffix == ".tsv" else ",")


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
    from rich.table import Table

    from cod_bayes.commands.answers import console

    shown = Table(title="Evidence")
    for head in ("benchmark", "items", "models", "trials", "% correct"):
        shown.add_column(head, justify="left" if head == "benchmark" else "right")
    for row in summary.itertuples():
        shown.add_row(
            row.benchmark,
            f"{row.items:,}",
            f"{row.models:,}",
            "–" if row.trials is None else f"{row.trials:.3g}",
            f"{100 * row.lowest:.1f} – {100 * row.highest:.1f}",
        )
    console().print(shown)
