"""How often new models reach a goal at the compute that `plan` states, on simulated ladders.

    python examples/studies/check_plan.py [--ladders 20] [--items-scale 0.3] [--probability 0.9]

Each ladder has the paper's shape and is fitted once. Each goal of GOALS is planned for by itself;
the goals lie about a decade beyond the largest model. New models are then simulated at the stated
compute, with the same items and new shocks (`Simulation.curve` at compute times 10^shock; the noise
of single items averages out over a benchmark). Prints the share of new models whose true score
reaches the goal. It should be near --probability.
"""

from __future__ import annotations

import argparse
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np
import pandas as pd
from rich.progress import track

from cod_bayes.decide.plan import Goal, plan
from cod_bayes.evaluate.simulate import PAPER_BENCHMARKS, simulate
from cod_bayes.forecast.fitting import fit

GOALS = (Goal("GSM8K", 0.84), Goal("MATH", 0.38), Goal("BBH", 0.76))
NEW_MODELS = 500
SHOCK = 0.08  # decades, as `simulate` draws them: one shared, one per benchmark


def one(seed: int, scale: float, probability: float, draws: int) -> pd.DataFrame:
    """The plans of one ladder, and the share of new models that reach each goal."""
    names = [goal.benchmark for goal in GOALS]
    benchmarks = [b for b in PAPER_BENCHMARKS if b.name in names]
    world = simulate(seed, benchmarks=benchmarks, items_scale=scale, include_target=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = fit(world.evidence, random_seed=seed, draws=draws, progressbar=False)
    rng = np.random.default_rng([seed, 7])
    ladder = world.table.loc[world.table["role"] == "ladder", "compute"]
    rows = []
    for goal in GOALS:
        compute = plan(fitted, [goal], probability).compute_at_probability
        row = {"seed": seed, "benchmark": goal.benchmark, "ok": not fitted.failed_checks}
        row |= {"beyond": np.nan, "reached": np.nan}
        if compute is not None:
            new = compute * 10 ** (SHOCK * rng.standard_normal((2, NEW_MODELS)).sum(axis=0))
            row["beyond"] = np.log10(compute / ladder.max())
            row["reached"] = (world.curve(goal.benchmark, new) >= goal.at_least).mean()
        rows.append(row)
    return pd.DataFrame(rows)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ladders", type=int, default=20)
    parser.add_argument("--items-scale", type=float, default=0.3)
    parser.add_argument("--probability", type=float, default=0.9)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args(argv)
    work = partial(
        one, scale=arguments.items_scale, probability=arguments.probability, draws=arguments.draws
    )
    with ProcessPoolExecutor(arguments.processes, mp_context=get_context("spawn")) as pool:
        done = pool.map(work, range(arguments.ladders))
        rows = pd.concat(track(done, total=arguments.ladders, description="ladders"))
    stated = rows.dropna(subset="reached")
    print(
        f"{arguments.ladders} ladders, {len(rows)} goals, {len(stated)} with a compute, "
        f"{stated['beyond'].median():.2f} decades beyond the ladder (median); "
        f"reached by {stated['reached'].mean():.1%} of new models, "
        f"planned {arguments.probability:.0%}; checks pass on {rows['ok'].mean():.0%}"
    )
    print(stated.groupby("benchmark")[["beyond", "reached"]].agg(["mean", "min"]).round(2))


if __name__ == "__main__":
    main()
