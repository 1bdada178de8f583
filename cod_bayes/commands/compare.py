"""`cod-bayes compare`: candidate runs side by side, and whether to train at all."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cod_bayes.decide.compare import Comparison


def add(commands: argparse._SubParsersAction) -> None:
    compare = commands.add_parser("compare", help="candidate runs: which is best, go or no-go")
    compare.add_argument(
        "designs",
        nargs="+",
        metavar="NAME=POSTERIOR@FLOPS",
        help="such as A=mixA.nc@1e24; designs on one file share its worlds",
    )
    compare.add_argument(
        "--weight",
        action="append",
        metavar="B=W",
        help="the score is this weighted mean (default: all benchmarks alike)",
    )
    compare.add_argument(
        "--goal", action="append", metavar="B>=RATE", help="the score is 1 where all goals are met"
    )
    compare.add_argument(
        "--value",
        type=float,
        metavar="V",
        help="money for a score of 1; the cost is then subtracted",
    )
    compare.add_argument("--cost", type=Path, metavar="FILE", help="cost record, .toml or .json")
    compare.add_argument(
        "--baseline", type=float, default=0.0, metavar="U", help="utility of doing nothing"
    )
    compare.add_argument(
        "--regret", type=float, metavar="X", help="of P(regret > X) (default 0.01 of the score)"
    )
    compare.add_argument(
        "--level", type=float, default=0.05, metavar="P", help="of VaR and CVaR (default 0.05)"
    )
    compare.add_argument("--seed", type=int, default=0)
    compare.add_argument("--json", action="store_true", help="print one JSON object and no table")
    compare.add_argument(
        "--out", type=Path, metavar="DIR", help="write compare.json, compare.csv and compare.png"
    )
    compare.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from cod_bayes.commands.answers import assigned
    from cod_bayes.decide.compare import compare, mean_score, reaches
    from cod_bayes.decide.cost import read_cost

    asked: dict[str, tuple[Path, float]] = {}
    for text in arguments.designs:
        name, path, flops = _design(text)
        if name in asked:
            raise ValueError(f"expected designs of different names, got {name!r} twice")
        asked[name] = (path, flops)
    if arguments.weight and arguments.goal:
        raise ValueError("expected --weight or --goal, got both; the score is one of them")
    utility = None
    if arguments.weight:
        utility = mean_score(assigned(arguments.weight, "--weight GSM8K=2"))
    if arguments.goal:
        utility = reaches(arguments.goal)
    cost = read_cost(arguments.cost) if arguments.cost else None
    from cod_bayes.forecast.storage import load

    fits = {path.resolve(): load(path) for path in {p.resolve(): p for p, _ in asked.values()}}
    found = compare(
        {name: (fits[path.resolve()], flops) for name, (path, flops) in asked.items()},
        utility,
        value=arguments.value,
        cost=cost,
        baseline=arguments.baseline,
        regret=arguments.regret,
        level=arguments.level,
        random_seed=arguments.seed,
    )
    if arguments.json:
        print(json.dumps(found.to_dict(), allow_nan=False))
    else:
        show(found)
    if arguments.out:
        found.write(arguments.out)
        print(
            f"written: compare.json, compare.csv, compare.png in {arguments.out}", file=sys.stderr
        )
    return 0


def _design(text: str) -> tuple[str, Path, float]:
    """ "A=mixA.nc@1e24" """
    name, _, rest = text.partition("=")
    path, _, flops = rest.rpartition("@")
    try:
        compute = float(flops)
    except ValueError:
        compute = float("nan")
    if not (name and path and 0 < compute < float("inf")):
        raise ValueError(
            f"expected a design NAME=POSTERIOR@FLOPS such as A=mixA.nc@1e24, got {text!r}"
        )
    return name, Path(path), compute


def show(comparison: Comparison) -> None:
    """One row per design."""
    from rich.markup import escape
    from rich.table import Table

    from cod_bayes.commands.answers import console, rounded, unconverged

    costly = bool(comparison.table["cost"].notna().all())
    failed = [f"{name}: {c}" for name, of in comparison.failed_checks.items() for c in of]
    shown = Table(title=f"Designs, utility in {comparison.unit}{escape(unconverged(failed))}")
    level = f"{100 * comparison.level:g} %"
    shown.add_column("design")
    for head in (
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
    ):
        shown.add_column(head, justify="right")
    for name, row in comparison.table.iterrows():
        shown.add_row(
            escape(str(name)),
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
    console().print(shown)
