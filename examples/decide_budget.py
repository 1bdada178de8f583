"""Decides a training budget from one small ladder: compute for a goal, its cost, the best size.

    python examples/decide_budget.py [--draws 1000] [--out decision]

Simulates and fits a ladder of one benchmark, plans the compute for a score of 70 %, then compares
three budgets by expected profit: a score of 100 % is worth 20 million, a GPU-hour costs 2.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

from cod_bayes.commands.compare import show as show_comparison
from cod_bayes.commands.plan import show as show_plan
from cod_bayes.decide.compare import compare
from cod_bayes.decide.cost import CostRecord
from cod_bayes.decide.plan import plan
from cod_bayes.evaluate.simulate import PAPER_BENCHMARKS, simulate
from cod_bayes.forecast.fitting import ConvergenceWarning, fit
from cod_bayes.show.plots import compare_figure, plan_figure

COST = CostRecord(
    peak_flops=989.4e12,  # H800, dense BF16
    utilisation=(0.25, 0.40),
    price_per_gpu_hour=2.0,
    gpus=2048,
    watts_per_gpu=(700, 1200),
)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("decision"))
    arguments = parser.parse_args(argv)
    mbpp = [b for b in PAPER_BENCHMARKS if b.name == "MBPP"]
    world = simulate(1, benchmarks=mbpp, items_scale=0.2, include_target=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the tables name failed checks
        fitted = fit(world.evidence, random_seed=1, draws=arguments.draws, progressbar=False)

    arguments.out.mkdir(parents=True, exist_ok=True)
    goal = plan(fitted, ["MBPP>=0.7"], probability=0.8, cost=COST)
    show_plan(goal)
    goal.curve.to_csv(arguments.out / "plan.csv", index=False)
    plan_figure(goal).savefig(arguments.out / "plan.png")

    budgets = {name: (fitted, c) for name, c in {"S": 3e23, "M": 1e24, "L": 3e24}.items()}
    choice = compare(budgets, value=20e6, cost=COST)
    show_comparison(choice)
    choice.table.to_csv(arguments.out / "compare.csv")
    compare_figure(choice).savefig(arguments.out / "compare.png")


if __name__ == "__main__":
    main()
