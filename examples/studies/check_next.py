"""Compares the run that `next_run` recommends with what each candidate achieves after a refit.

    python examples/studies/check_next.py [--ladders 20] [--outcomes 3]

Ladders are simulated: two benchmarks, five models, 3 % of the items, 16 trials. The five candidate
runs range from 0.3 times the smallest model to twice the largest. The target is the 70B. Each
candidate is simulated `--outcomes` times with new shocks, and the ladder is fitted again with its
data. Its true reduction is the relative fall of the target's variance, averaged over benchmarks
and outcomes. The comparison is by variance, not by variance per cost.
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
CANDIDATES = np.geomspace(0.3 * LADDER[0].compute, 2 * LADDER[-1].compute, 5)


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

    def variance(rows: pd.DataFrame) -> tuple[float, float, bool]:
        """The target's variance (mean over benchmarks), the expected reductions of the candidates
        (for the ladder without them), and whether a check failed."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = fit(rows, random_seed=seed, draws=500, tune=500, progressbar=False)
        draws = fitted.draws(TARGET)["score"]
        expected = np.nan
        if rows is base:
            expected = next_run(fitted, TARGET, candidates=CANDIDATES).table["reduction"].to_numpy()
        return float(draws.var(("chain", "draw")).mean()), expected, bool(fitted.failed_checks)

    before, expected, failed = variance(base)
    true = []
    for j in range(len(CANDIDATES)):
        after = [
            variance(pd.concat([base, table[table["model"] == f"new-{j}-{k}"]]))[0]
            for k in range(outcomes)
        ]
        true.append(1 - np.mean(after) / before)
    return pd.DataFrame(
        {"seed": seed, "compute": CANDIDATES, "expected": expected, "true": true, "failed": failed}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ladders", type=int, default=20)
    parser.add_argument("--outcomes", type=int, default=3)
    arguments = parser.parse_args()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        done = pool.map(partial(one, outcomes=arguments.outcomes), range(arguments.ladders))
        rows = pd.concat(track(done, total=arguments.ladders, description="ladders"))
    ranks, largest, agreement = [], [], []
    for _, part in rows.groupby("seed"):
        order = part["true"].rank(ascending=False).to_numpy()
        ranks.append(order[part["expected"].to_numpy().argmax()])
        largest.append(order[-1])  # the simplest rule: take the largest candidate
        agreement.append(stats.spearmanr(part["expected"], part["true"]).statistic)
    print(rows.groupby("compute")[["expected", "true"]].mean().round(3).to_string())
    print(
        f"recommended run among the best two of five on {np.sum(np.array(ranks) <= 2)} of "
        f"{len(ranks)} ladders, the best on {np.sum(np.array(ranks) == 1)}; rank correlation "
        f"{np.mean(agreement):.2f}; the largest candidate would be among them on "
        f"{np.sum(np.array(largest) <= 2)}; base fits that fail a check: "
        f"{rows.groupby('seed')['failed'].first().sum()}"
    )


if __name__ == "__main__":
    main()
