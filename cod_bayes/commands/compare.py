"""`cod-bayes compare`: candidate runs side by side, and whether to train at all."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cod_bayes.commands import options
from cod_bayes.commands.outputs import picture, write_answer
from cod_bayes.commands.printing import print_json, print_table, rounded, unconverged
from cod_bayes.commands.values import given_indexes, number, numbers_by_name

if TYPE_CHECKING:
    from cod_bayes.decide.compare import Comparison


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("compare", help="compare candidate runs: which is best, go or not")
    parser.add_argument(
        "designs",
        nargs="+",
        metavar="NAME=POSTERIOR@FLOPS",
        help="a candidate run, such as A=mixA.nc@1e24; "
        "designs on one file are compared draw by draw",
    )
    parser.add_argument(
        "--weight",
        action="append",
        metavar="B=W",
        help="weight of a benchmark in the mean that is the score (default: all equal)",
    )
    options.goals(parser, "the score is 1 where all goals are met, else 0")
    options.indexes(parser)
    parser.add_argument(
        "--value",
        type=float,
        metavar="V",
        help="money that a score of 1 earns; the cost is subtracted from it",
    )
    options.cost_record(parser)
    parser.add_argument(
        "--baseline",
        type=float,
        default=0.0,
        metavar="U",
        help="utility of no training at all (default 0)",
    )
    parser.add_argument(
        "--regret",
        type=float,
        metavar="X",
        help="threshold of P(regret > X) (default: 0.01 of the score)",
    )
    parser.add_argument(
        "--level",
        type=float,
        default=0.05,
        metavar="P",
        help="tail probability of VaR and CVaR (default 0.05)",
    )
    options.seed(parser)
    options.json(parser)
    options.out_folder(parser, "compare.json, compare.csv and compare.png")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from cod_bayes.decide.compare import compare, mean_score, reaches
    from cod_bayes.decide.cost import read_cost
    from cod_bayes.forecast.storage import load

    designs: dict[str, tuple[Path, float]] = {}
    for text in arguments.designs:
        name, path, flops = _design(text)
        if name in designs:
            raise ValueError(f"expected designs of different names, got {name!r} twice")
        designs[name] = (path, flops)
    if arguments.weight and arguments.goal:
        raise ValueError("expected --weight or --goal, got both; the score is one of them")
    utility = None
    if arguments.weight:
        utility = mean_score(numbers_by_name(arguments.weight, "--weight GSM8K=2"))
    if arguments.goal:
        utility = reaches(arguments.goal)
    cost = read_cost(arguments.cost) if arguments.cost else None
    fits = {path.resolve(): load(path) for path in {p.resolve(): p for p, _ in designs.values()}}
    found = compare(
        {name: (fits[path.resolve()], flops) for name, (path, flops) in designs.items()},
        utility,
        indexes=given_indexes(arguments),
        value=arguments.value,
        cost=cost,
        baseline=arguments.baseline,
        regret=arguments.regret,
        level=arguments.level,
        random_seed=arguments.seed,
    )
    if arguments.json:
        print_json(found.to_dict())
    else:
        show(found)
    files = {
        "compare.json": found.to_dict(),
        "compare.csv": found.table.reset_index(),
        "compare.png": picture("compare_figure", found),
    }
    write_answer(arguments, files)
    return 0


def _design(text: str) -> tuple[str, Path, float]:
    """ "A=mixA.nc@1e24" """
    name, _, rest = text.partition("=")
    path, _, flops = rest.rpartition("@")
    compute = number(flops)
    if not (name and path and 0 < compute < float("inf")):
        raise ValueError(
            f"expected a design NAME=POSTERIOR@FLOPS such as A=mixA.nc@1e24, got {text!r}"
        )
    return name, Path(path), compute


def show(comparison: Comparison) -> None:
    """One row per design."""
    costly = bool(comparison.table["cost"].notna().all())
    failed = [f"{name}: {c}" for name, of in comparison.failed_checks.items() for c in of]
    level = f"{100 * comparison.level:g} %"
    heads = (
        "design",
        "FLOPs",
        "score",
        *(["cost", "score per cost"] if costly else []),
        "utility ± sd",
        "P(best)",
        f"P(regret > {rounded(comparison.regret)})",
        f"VaR {level}",
        f"CVaR {level}",
        f"against {rounded(comparison.baseline)}",
        "loss if wrong",
    )
    rows = [
        (
            str(name),
            f"{row.compute:.3g}",
            f"{row.score:.3f}",
            *([rounded(row.cost), f"{row.score_per_cost:.3g}"] if costly else []),
            f"{rounded(row.utility)} ± {rounded(row.utility_sd)}",
            f"{100 * row.p_best:.0f} %",
            f"{100 * row.p_regret:.0f} %",
            rounded(row.value_at_risk),
            rounded(row.conditional_value_at_risk),
            row.decision,
            rounded(row.wrong_decision_loss),
        )
        for name, row in comparison.table.iterrows()
    ]
    title = f"Designs, utility in {comparison.unit}{unconverged(failed)}"
    print_table(title, heads, rows, left=("design",))
