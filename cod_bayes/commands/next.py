"""`cod-bayes next`: which further small run narrows the target's forecast most."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from cod_bayes.commands import options
from cod_bayes.commands.outputs import picture, write_answer
from cod_bayes.commands.printing import percent, print_table, unconverged
from cod_bayes.commands.values import one_target

if TYPE_CHECKING:
    from cod_bayes.decide.next_run import NextRun


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "next", help="which further small run narrows the forecast most, and most per cost"
    )
    options.posterior(parser)
    options.target_compute(
        parser, "training compute of the target (default: that of the saved forecast)"
    )
    parser.add_argument(
        "--candidates",
        type=float,
        nargs="+",
        metavar="FLOPS",
        help="compute of the runs to choose from (default: five, from 0.3 times the smallest "
        "ladder model to twice the largest)",
    )
    options.cost_of_candidates(parser)
    options.benchmarks(parser, "narrow the mean score over this benchmark")
    options.json(parser)
    options.out_folder(parser, "candidates.csv and next.png")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from cod_bayes.decide.next_run import next_run
    from cod_bayes.forecast.storage import load

    fit = load(arguments.posterior)
    found = next_run(
        fit,
        one_target(fit, arguments.target_compute),
        candidates=arguments.candidates,
        cost=arguments.cost,
        benchmarks=arguments.benchmark,
    )
    if arguments.json:
        print(found.to_json())
    else:
        show(found)
    files = {"candidates.csv": found.table, "next.png": picture("next_figure", found)}
    write_answer(arguments, files)
    return 0


def show(found: NextRun) -> None:
    """Candidates, sd in points, and which is best."""
    heads = ("candidate", "cost", "sd now", "sd after", "variance less", "per cost, best = 1")
    rows = []
    for row in found.table.itertuples():
        priced = row.cost == row.cost  # an anchor has no stated cost
        rows.append(
            (
                _name(row),
                f"{row.cost:.3g}" if priced else "–",
                f"{100 * row.sd_before:.2f}",
                f"{100 * row.sd_after:.2f}",
                f"{percent(row.reduction)} %",
                f"{row.per_cost / found.best_per_cost['per_cost']:.3g}" if priced else "–",
            )
        )
    doubt = unconverged(found.failed_checks)
    title = f"What each candidate adds to the forecast at {found.target_compute:.3g} FLOPs{doubt}"
    print_table(title, heads, rows, left=("candidate",))
    print(f"narrows most: {_name(found.best)}; per unit of cost: {_name(found.best_per_cost)}")


def _name(row) -> str:  # type: ignore[no-untyped-def]
    if row.kind == "anchor":
        return f"anchor on {row.benchmark}"
    return f"run of {row.compute:.3g} FLOPs"
