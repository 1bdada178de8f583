"""`cod-bayes plan`: how much compute reaches a goal, and what it costs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from cod_bayes.commands import options
from cod_bayes.commands.outputs import picture, write_answer
from cod_bayes.commands.printing import print_json, print_table, rounded, unconverged
from cod_bayes.commands.values import given_indexes

if TYPE_CHECKING:
    from cod_bayes.decide.plan import Plan


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("plan", help="how much compute reaches a goal")
    options.posterior(parser)
    options.goals(
        parser,
        "such as 'GSM8K>=0.85'; repeat the option for goals that must be met together",
        required=True,
    )
    options.indexes(parser)
    parser.add_argument(
        "--probability",
        type=float,
        default=0.9,
        metavar="P",
        help="probability of meeting all goals (default 0.9)",
    )
    options.cost_record(parser)
    parser.add_argument(
        "--decades",
        type=float,
        default=5.0,
        metavar="D",
        help="how far beyond the largest ladder model to search, in powers of ten (default 5)",
    )
    options.json(parser)
    options.out_folder(parser, "plan.json, plan.csv and plan.png")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from cod_bayes.decide.cost import read_cost
    from cod_bayes.decide.plan import Goal, plan
    from cod_bayes.forecast.storage import load

    goals = [Goal.parse(goal) for goal in arguments.goal]
    cost = read_cost(arguments.cost) if arguments.cost else None
    found = plan(
        load(arguments.posterior),
        goals,
        arguments.probability,
        indexes=given_indexes(arguments),
        cost=cost,
        decades=arguments.decades,
    )
    if arguments.json:
        print_json(found.to_dict())
    else:
        show(found)
    files = {
        "plan.json": found.to_dict(),
        "plan.csv": found.curve,
        "plan.png": picture("plan_figure", found),
    }
    write_answer(arguments, files)
    return 0


def show(plan: Plan) -> None:
    """The answer in a sentence, then the compute by probability, then the cost."""
    doubt = unconverged(plan.failed_checks)
    print(f"{' and '.join(map(str, plan.goals))}: {_answer(plan)}{doubt}")
    levels = {0.05: "q05", 0.25: "q25", 0.5: "q50", 0.75: "q75", 0.95: "q95"}
    compute = {p: plan.quantiles[name] for p, name in levels.items()}
    compute[plan.probability] = plan.compute_at_probability
    low = plan.compute_range[0]
    rows = [
        (f"{100 * p:g} %", "not reachable" if flops is None else _flops(flops, low))
        for p, flops in sorted(compute.items())
    ]
    print_table(f"Compute by probability{doubt}", ("probability", "FLOPs"), rows)
    if plan.cost is None or plan.record is None or plan.compute_at_probability is None:
        return
    units = {
        "gpu_hours": "GPU-hours",
        "money": plan.record.currency,
        "energy_kwh": "kWh",
        "days": "days",
    }
    bill = [
        (units[name], *(rounded(amount[q]) for q in ("q05", "q50", "q95")))
        for name, amount in plan.cost.items()
    ]
    title = f"Cost of {plan.compute_at_probability:.3g} FLOPs"
    print_table(title, ("", "5 %", "median", "95 %"), bill, left=("",))


def _answer(plan: Plan) -> str:
    low, high = plan.compute_range
    percent = f"{100 * plan.probability:g} %"
    if plan.compute_at_probability is None:
        return (
            f"not reachable with {percent}: at most {100 * plan.p_reachable:.1f} % "
            f"between {low:.3g} and {high:.3g} FLOPs"
        )
    answer = f"{percent} at {_flops(plan.compute_at_probability, low)} FLOPs"
    if not plan.holds_beyond:
        answer += f"; beyond, the probability falls to {100 * (plan.lowest_beyond or 0):.1f} %"
    return answer


def _flops(flops: float, low: float) -> str:
    return f"{'at most ' if flops <= low else ''}{flops:.3g}"
