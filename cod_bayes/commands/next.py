"""`cod-bayes next`: which further small run narrows the target's forecast most."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cod_bayes.writing import replacing

if TYPE_CHECKING:
    from cod_bayes.decide.next_run import NextRun


def add(commands: argparse._SubParsersAction) -> None:
    following = commands.add_parser(
        "next", help="which further small run narrows the forecast most, and most per cost"
    )
    following.add_argument("posterior", type=Path, help="posterior.nc of `forecast`")
    following.add_argument(
        "--target-compute",
        type=float,
        metavar="FLOPS",
        help="(default: what `forecast` was asked for)",
    )
    following.add_argument(
        "--candidates",
        type=float,
        nargs="+",
        metavar="FLOPS",
        help="compute of the runs to choose from (default: five, from 0.3 times the smallest "
        "ladder model to twice the largest)",
    )
    following.add_argument(
        "--cost",
        type=float,
        nargs="+",
        metavar="X",
        help="of each candidate, any unit (default: its compute)",
    )
    following.add_argument(
        "--benchmark",
        action="append",
        metavar="B",
        help="whose forecast is to be narrowed (default: the mean over all)",
    )
    following.add_argument("--json", action="store_true", help="print one JSON object")
    following.add_argument(
        "--out", type=Path, metavar="DIR", help="write candidates.csv and next.png"
    )
    following.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from cod_bayes.commands.answers import target_compute
    from cod_bayes.decide.next_run import next_figure, next_run
    from cod_bayes.forecast.storage import load

    fit = load(arguments.posterior)
    found = next_run(
        fit,
        target_compute(fit, arguments.target_compute),
        candidates=arguments.candidates,
        cost=arguments.cost,
        benchmarks=arguments.benchmark,
    )
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        with replacing(arguments.out / "candidates.csv") as part:
            found.table.to_csv(part, index=False)
        with replacing(arguments.out / "next.png") as part:
            next_figure(found).savefig(part, dpi=150, format="png")
    if arguments.json:
        print(found.to_json())
        return 0
    show(found)
    if arguments.out is not None:
        print(f"written: candidates.csv, next.png in {arguments.out}")
    return 0


def show(found: NextRun) -> None:
    """Candidates, sd in points, and which is best."""
    from rich.table import Table

    from cod_bayes.commands.answers import console, unconverged

    doubt = unconverged(found.failed_checks)
    shown = Table(title=f"Worth for the forecast at {found.target_compute:.3g} FLOPs{doubt}")
    heads = ["candidate", "cost", "sd now", "sd after", "variance less", "per cost, best = 1"]
    for head in heads:
        shown.add_column(head, justify="left" if head == "candidate" else "right")
    for row in found.table.itertuples():
        priced = row.cost == row.cost  # an anchor has no stated cost
        shown.add_row(
            _name(row),
            f"{row.cost:.3g}" if priced else "–",
            f"{100 * row.sd_before:.2f}",
            f"{100 * row.sd_after:.2f}",
            f"{100 * row.reduction:.1f} %",
            f"{row.per_cost / found.best_per_cost['per_cost']:.3g}" if priced else "–",
        )
    console().print(shown)
    print(f"narrows most: {_name(found.best)}; per unit of cost: {_name(found.best_per_cost)}")


def _name(row) -> str:  # type: ignore[no-untyped-def]
    from rich.markup import escape

    if row.kind == "anchor":
        return f"anchor on {escape(row.benchmark)}"
    return f"run of {row.compute:.3g} FLOPs"
