"""`cod-bayes compare`: candidate runs side by side, and whether to train at all."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cod_bayes.commands import options
from cod_bayes.commands.outputs import picture, write_answer
from cod_bayes.commands.printing import print_json, print_table, rounded, unconverged
from cod_bayes.commands.values import given_indexes, number, numbers_by_name

if TYPE_CHECKING:
    from cod_bayes.decide.compare import Comparison
    from cod_bayes.decide.gain import Gain


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
    options.value(parser, "money that a score of 1 earns; the cost is subtracted from it")
    options.cost_record(parser)
    options.baseline(parser, "utility of no training at all (default 0)", 0.0)
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
    parser.add_argument(
        "--gain",
        action="store_true",
        help="also what the recipe of each design is worth in compute of the first one's, by "
        "benchmark and index, at the design's FLOPs",
    )
    options.seed(parser)
    options.json(parser)
    options.out_folder(
        parser, "compare.json, compare.csv and compare.png, and gain.csv with --gain"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    import pandas as pd

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
    gains = {}
    if arguments.gain:
        from cod_bayes.decide.gain import gain

        (reference, (first, _)), *others = designs.items()
        if all(path.resolve() == first.resolve() for _, (path, _) in others):
            raise ValueError("expected --gain with designs of several posteriors, got one")
        gains = {
            name: gain(
                fits[first.resolve()],
                fits[path.resolve()],
                flops,
                indexes=given_indexes(arguments),
                random_seed=arguments.seed,
            )
            for name, (path, flops) in others
            if path.resolve() != first.resolve()
        }
    if arguments.json:
        worth = {"gains": {name: one.to_dict() for name, one in gains.items()}} if gains else {}
        print_json(found.to_dict() | worth)
    else:
        show(found)
        for name, one in gains.items():
            show_gain(one, name, reference)
    files: dict[str, Any] = {
        "compare.json": found.to_dict(),
        "compare.csv": found.table.reset_index(),
        "compare.png": picture("compare_figure", found),
    }
    if gains:
        tables = {name: one.table for name, one in gains.items()}
        files["gain.csv"] = pd.concat(tables, names=["design", None]).reset_index(level=0)
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


def show_gain(gain: Gain, name: str, reference: str) -> None:
    """One row per benchmark and index, and what stands beyond the range."""
    rows = [
        (
            str(row.benchmark),
            factor(row.q50),
            f"{factor(row.q05)} – {factor(row.q95)}",
            f"{100 * row.p_better:.0f} %",
        )
        for row in gain.table.itertuples()
    ]
    title = f"{name} at {gain.compute:.3g} FLOPs, in compute of {reference}"
    heads = ("benchmark", "is worth", "90 %", "P(better)")
    print_table(f"{title}{unconverged(gain.failed_checks)}", heads, rows)


def factor(m: float) -> str:
    """ "1.2x"; at an end of the range, that it lies beyond."""
    from cod_bayes.decide.gain import DECADES

    if m <= 1.001 * 10**-DECADES:
        return f"< {10**-DECADES:g}x"
    if m >= 0.999 * 10**DECADES:
        return f"> {10**DECADES:g}x"
    return f"{m:.3g}x"
