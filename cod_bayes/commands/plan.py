"""`cod-bayes plan`: how much compute reaches a goal, and what it costs."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from cod_bayes.commands import options
from cod_bayes.commands.outputs import picture, write_answer
from cod_bayes.commands.printing import print_json, print_table, rounded, short, unconverged
from cod_bayes.commands.values import given_indexes

if TYPE_CHECKING:
    from cod_bayes.decide.cost import CostRecord
    from cod_bayes.decide.plan import Plan
    from cod_bayes.decide.split import Split


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
        "--max-params",
        type=options.amount,
        metavar="N",
        help="largest number of parameters of the least-cost training, such as 8B (default: none)",
    )
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
        max_params=arguments.max_params,
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
    if plan.split is not None:
        print_table(
            f"Least-cost training that reaches it with {100 * plan.probability:g} %{doubt}",
            ("", "5 %", "median", "95 %"),
            _amounts(plan.split.quantiles, plan.record),
            left=("",),
            caption=_law(plan.split),
        )
    elif plan.cost is not None:
        title = f"Cost of {plan.compute_at_probability:.3g} FLOPs"
        bill = _amounts(plan.cost, plan.record)
        print_table(title, ("", "5 %", "median", "95 %"), bill, left=("",))


def _amounts(
    quantiles: dict[str, dict[str, float]], record: CostRecord | None
) -> list[tuple[str, ...]]:
    """A row for each quantity: its name with its unit, and its quantiles."""
    units = {
        "params": "parameters",
        "compute": "FLOPs",
        "gpu_hours": "GPU-hours",
        "money": "" if record is None else record.currency,
        "energy_kwh": "kWh",
    }
    write = {"compute": "{:.3g}".format, "params": short, "tokens": short}
    return [
        (
            units.get(name, name),
            *(
                write.get(name, rounded)(of[q]) if math.isfinite(of[q]) else "not reachable"
                for q in ("q05", "q50", "q95")
            ),
        )
        for name, of in quantiles.items()
    ]


def _law(split: Split) -> str:
    """Where the split comes from, in a sentence."""
    law = f"by {split.law}"
    if split.max_params is None:
        return law
    within = f"{short(split.max_params)} parameters at most"
    if split.p_within_cap < 1:
        within += f", which suffice in {100 * split.p_within_cap:.0f} % of the law's draws"
    return f"{law}; {within}"


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
