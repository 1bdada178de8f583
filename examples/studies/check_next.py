"""Compares the run that `next_run` recommends with what each candidate achieves after a refit.

    python examples/studies/check_next.py [--ladders 20] [--outcomes 6] [--out CSV]

Ladders are simulated: two benchmarks, five models, 3 % of the items, 16 trials. The five candidate
runs range from half the largest model to eight times as large. The target is the 70B. Each
candidate is simulated `--outcomes` times with new shocks, and the ladder is fitted again with its
data. Its true reduction is the relative fall of the target's variance, averaged over benchmarks
and outcomes.

A run costs compute^p, p between 0.3 and 1.5 and another for each ladder, so that the largest run is
not always the best for its cost. The recommended run is that of the largest expected reduction per
cost among those that count, and it is compared by the true reduction per cost.
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
from scipy import stats

from cod_bayes.decide.next_run import next_run
from cod_bayes.evaluate.simulate import (
    PAPER_BENCHMARKS,
    PAPER_LADDER,
    PAPER_TARGETS,
    Model,
    simulate,
)
from cod_bayes.forecast.fitting import fit

LADDER = PAPER_LADDER[2:7]
TARGET = PAPER_TARGETS[0].compute
CANDIDATES = LADDER[-1].compute * np.array([0.5, 1.0, 2.0, 4.0, 8.0])


def one(seed: int, outcomes: int) -> pd.DataFrame:
    """The expected and the true reduction of each candidate."""
    new = [
        Model(f"new-{j}-{k}", compute * (1 + 1e-9 * k))
        for j, compute in enumerate(CANDIDATES)
        for k in range(outcomes)
    ]
    world = simulate(
        seed,
        benchmarks=PAPER_BENCHMARKS[:2],
        ladder=(*LADDER, *new),
        items_scale=0.03,
        trials=16,
        anchors=0,
        include_target=False,
    )
    table = world.table
    base = table[table["model"].isin([model.name for model in LADDER])]

    def variance(rows: pd.DataFrame) -> tuple[float, tuple, bool]:
        """The target's variance (mean over benchmarks); for the ladder without the candidates, what
        is expected of them and the place of the recommended one; and whether a check failed."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = fit(rows, random_seed=seed, progressbar=False)
        draws = fitted.draws(TARGET)["score"]
        expected = (np.nan, -1)
        if rows is base:
            found = next_run(fitted, TARGET, candidates=CANDIDATES, cost=cost, seeds=[1])
            best = found.best_per_cost
            place = -1 if best is None else int(best.name)
            expected = found.table["reduction"].to_numpy()[: len(cost)], place
        return float(draws.var(("chain", "draw")).mean()), expected, bool(fitted.failed_checks)

    power = np.random.default_rng([seed, 9]).uniform(0.3, 1.5)
    cost = (CANDIDATES / LADDER[-1].compute) ** power
    before, (expected, recommended), failed = variance(base)
    true = []
    for j in range(len(CANDIDATES)):
        after = [
            variance(pd.concat([base, table[table["model"] == f"new-{j}-{k}"]]))[0]
            for k in range(outcomes)
        ]
        true.append(1 - np.mean(after) / before)
    return pd.DataFrame(
        {
            "seed": seed,
            "compute": CANDIDATES,
            "cost": cost,
            "expected": expected,
            "true": true,
            "recommended": np.arange(len(cost)) == recommended,
            "failed": failed,
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ladders", type=int, default=20)
    parser.add_argument("--outcomes", type=int, default=6)
    parser.add_argument("--out", metavar="CSV", help="one row for each candidate, as they come")
    arguments = parser.parse_args()
    parts = []
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        done = pool.map(partial(one, outcomes=arguments.outcomes), range(arguments.ladders))
        for part in track(done, total=arguments.ladders, description="ladders"):
            parts.append(part)
            if arguments.out:
                pd.concat(parts).to_csv(arguments.out, index=False)
    report(pd.concat(parts))


def report(rows: pd.DataFrame) -> None:
    """Agreement with refitting, by reduction and by reduction per cost."""
    rows = rows.assign(
        expected_gain=rows["expected"] / rows["cost"], true_gain=rows["true"] / rows["cost"]
    )
    print(rows.groupby("compute")[["expected", "true"]].mean().round(3).to_string())
    ranks, places, largest, agreement, without = [], [], [], [], 0
    for _, part in rows.groupby("seed"):
        order = part["true_gain"].rank(ascending=False).to_numpy()
        largest.append(order[-1])  # the simplest rule: take the largest candidate
        agreement.append(stats.spearmanr(part["expected_gain"], part["true_gain"]).statistic)
        if part["recommended"].any():
            ranks.append(order[part["recommended"].to_numpy().argmax()])
            places.append(part["recommended"].to_numpy().argmax())
        else:
            without += 1
    smaller = np.array(places) < len(CANDIDATES) - 1
    print(
        f"by true gain per cost, the recommended run is among the best two of five on "
        f"{np.sum(np.array(ranks) <= 2)} of {len(ranks) + without} ladders, the best on "
        f"{np.sum(np.array(ranks) == 1)}; it is not the largest on {smaller.sum()}, and among the "
        f"best two on {np.sum(np.array(ranks)[smaller] <= 2)} of these; none is recommended on "
        f"{without}; the largest would be among the best two on "
        f"{np.sum(np.array(largest) <= 2)}; rank correlation {np.mean(agreement):.2f}; base fits "
        f"that fail a check: {rows.groupby('seed')['failed'].first().sum()}"
    )


if __name__ == "__main__":
    main()
