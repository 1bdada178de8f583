"""`cod-bayes plan`: how much compute reaches a goal, and what it costs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cod_bayes.decide.plan import Plan


def add(commands: argparse._SubParsersAction) -> None:
    plan = commands.add_parser("plan", help="how much compute reaches a goal")
    plan.add_argument("posterior", type=Path, help="posterior.nc of `cod-bayes forecast`")
    plan.add_argument(
        "--goal",
        action="append",
        required=True,
        metavar="B>=RATE",
        help="such as 'GSM8K>=0.85'; several are to be met together",
    )
    plan.add_argument("--probability", type=float, default=0.9, metavar="P", help="default 0.9")
    plan.add_argument("--cost", type=Path, metavar="FILE", help="cost record, .toml or .json")
    plan.add_argument(
        "--decades",
        type=float,
        default=5.0,
        help="how far beyond the largest ladder model to look (default 5)",
    )
    plan.add_argument("--json", action="store_true", help="print one JSON object and no table")
    plan.add_argument(
        "--out", type=Path, metavar="DIR", help="write plan.json, plan.csv and plan.png"
    )
    plan.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from cod_bayes.decide.cost import read_cost
    from cod_bayes.decide.plan import Goal, plan

    goals = [Goal.parse(goal) for goal in arguments.goal]
    cost = read_cost(arguments.cost) if arguments.cost else None
    from cod_bayes.forecast.storage import load

    found = plan(
        load(arguments.posterior),
        goals,
        arguments.probability,
        cost=cost,
        decades=arguments.decades,
    )
    if arguments.json:
        print(json.dumps(found.to_dict(), allow_nan=False))
    else:
        show(found)
    if arguments.out:
        found.write(arguments.out)
        print(f"written: plan.json, plan.csv, plan.png in {arguments.out}", file=sys.stderr)
    return 0


def show(plan: Plan) -> None:
    """The answer in a sentence, then the compute by probability, then the cost."""
    from rich.table import Table

    from cod_bayes.commands.answers import console, rounded, unconverged

    goals = " and ".join(map(str, plan.goals))
    low, high = plan.compute_range
    at, percent = plan.compute_at_probability, f"{100 * plan.probability:g} %"
    if at is None:
        answer = (
            f"not reachable with {percent}: at most {100 * plan.p_reachable:.1f} % "
            f"between {low:.3g} and {high:.3g} FLOPs"
        )
    else:
        answer = f"{percent} at {_flops(at, low)} FLOPs"
        if not plan.holds_beyond:
            answer += f"; beyond, the probability falls to {100 * (plan.lowest_beyond or 0):.1f} %"
    print(f"{goals}: {answer}{unconverged(plan.failed_checks)}")
    shown = Table(title=f"Compute by probability{unconverged(plan.failed_checks)}")
    shown.add_column("probability", justify="right")
    shown.add_column("FLOPs", justify="right")
    levels = {0.05: "q05", 0.25: "q25", 0.5: "q50", 0.75: "q75", 0.95: "q95"}
    asked = {p: plan.quantiles[name] for p, name in levels.items()} | {plan.probability: at}
    for p, flops in sorted(asked.items()):
        shown.add_row(f"{100 * p:g} %", "not reachable" if flops is None else _flops(flops, low))
    out = console()
    out.print(shown)
    if plan.cost is not None and plan.record is not None and at is not None:
        units = {
            "gpu_hours": "GPU-hours",
            "money": plan.record.currency,
            "energy_kwh": "kWh",
            "days": "days",
        }
        bill = Table(title=f"Cost of {at:.3g} FLOPs")
        bill.add_column("")
        for head in ("5 %", "median", "95 %"):
            bill.add_column(head, justify="right")
        for name, amount in plan.cost.items():
            bill.add_row(units[name], *(rounded(amount[q]) for q in ("q05", "q50", "q95")))
        out.print(bill)


def _flops(flops: float, low: float) -> str:
    return f"{'at most ' if flops <= low else ''}{flops:.3g}"
