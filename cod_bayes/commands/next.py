"""`cod-bayes next`: which further evidence narrows the target's forecast most."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from cod_bayes.commands import options
from cod_bayes.commands.outputs import picture, write_answer
from cod_bayes.commands.printing import percent, print_table, unconverged
from cod_bayes.commands.values import one_target

if TYPE_CHECKING:
    import pandas as pd

    from cod_bayes.decide.next_run import NextRun


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "next", help="which further run or evaluation narrows the forecast most, and most per cost"
    )
    options.posterior(parser)
    options.target(parser, "training compute of the target (default: that of the saved forecast)")
    parser.add_argument(
        "--candidates",
        type=float,
        nargs="+",
        metavar="FLOPS",
        help="compute of the runs to choose from (default: five, from 0.3 times the smallest "
        "ladder model to twice the largest)",
    )
    options.cost_of_candidates(parser)
    parser.add_argument(
        "--evaluation-cost",
        type=float,
        metavar="X",
        help="cost of evaluating one model once, in the unit of --cost (default: unknown)",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=[1, 2],
        metavar="N",
        help="how many models of one compute a run may have (default 1 2)",
    )
    parser.add_argument(
        "--factor",
        type=float,
        default=4.0,
        metavar="F",
        help="how many times the trials, or the items, the ladder may be given (default 4)",
    )
    options.benchmarks(parser, "narrow the mean score over this benchmark")
    options.goals(parser, "the decision is about meeting all goals (default: about the mean score)")
    options.baseline(
        parser,
        "train the target if the probability of the goals, or the mean score, is expected to be "
        "above this (default: no decision)",
    )
    options.value(
        parser,
        "what a probability or a score of 1 is worth, in the unit of --cost; candidates that cost "
        "more than they spare do not count",
    )
    options.json(parser)
    options.out_folder(parser, "candidates.csv and next.png")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from cod_bayes.decide.compare import reaches
    from cod_bayes.decide.next_run import next_run
    from cod_bayes.forecast.storage import load

    fit = load(arguments.posterior)
    found = next_run(
        fit,
        one_target(fit, arguments),
        candidates=arguments.candidates,
        cost=arguments.cost,
        evaluation_cost=arguments.evaluation_cost,
        benchmarks=arguments.benchmark,
        seeds=arguments.seeds,
        factor=arguments.factor,
        utility=reaches(arguments.goal) if arguments.goal else None,
        baseline=arguments.baseline,
        value=arguments.value,
    )
    if arguments.json:
        print(found.to_json())
    else:
        show(found)
    files = {"candidates.csv": found.table, "next.png": picture("next_figure", found)}
    write_answer(arguments, files)
    return 0


def show(found: NextRun) -> None:
    """Candidates, sd in points with standard errors of the differences, and which is best."""
    decides = found.loss == found.loss
    heads = ["candidate", "cost", "sd now", "sd after", "variance less", "per cost, best = 1"]
    heads += ["loss less", "loss per cost, best = 1"] if decides else []
    rows = []
    for row in found.table.itertuples():
        cells = [
            name_of(row),
            f"{row.cost:.3g}" if row.cost == row.cost else "–",  # not known of every candidate
            f"{100 * row.sd_before:.2f}",
            f"{100 * row.sd_after:.2f}",
            f"{percent(row.reduction)} ± {percent(row.reduction_se)} %",
            _relative(row, "per_cost", found.best_per_cost),
        ]
        if decides:
            cells.append(f"{row.loss_less:.2g} ± {row.loss_less_se:.1g}")
            cells.append(_relative(row, "loss_per_cost", found.best_for_decision))
        rows.append(cells)
    doubt = unconverged(found.failed_checks)
    title = f"What each candidate adds to the forecast at {found.target_compute:.3g} FLOPs{doubt}"
    caption = f"expected loss of deciding now: {found.loss:.2g}" if decides else None
    print_table(title, heads, rows, left=("candidate",), caption=caption)
    print(_advice(found))


def _relative(row: Any, column: str, best: pd.Series | None) -> str:
    """A figure per cost, the best being 1; a dash for what does not stand out from noise."""
    value = getattr(row, column)
    return f"{value / best[column]:.3g}" if row.counts and best is not None and value > 0 else "–"


def _advice(found: NextRun) -> str:
    if found.best is None and found.best_for_decision is None:
        return (
            "no candidate is worth its cost: none stands out from Monte Carlo noise by a hundredth "
            "of the variance, or spares more than it costs"
        )
    answers = {
        "narrows most": found.best,
        "per unit of cost": found.best_per_cost,
        "for the decision, per unit of cost": found.best_for_decision,
    }
    return "; ".join(f"{what}: {name_of(row)}" for what, row in answers.items() if row is not None)


def name_of(row: Any) -> str:
    """A candidate in words."""
    if row.kind == "anchor":
        return f"anchor on {row.benchmark}"
    if row.kind != "run":
        return f"{row.factor:g} times the {row.kind}"
    seeds = f"{row.seeds} runs" if row.seeds > 1 else "run"
    return f"{seeds} of {row.compute:.3g} FLOPs"
