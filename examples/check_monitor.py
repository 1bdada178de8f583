"""Is a good run flagged as rarely as stated, and a bad one in time?

    python examples/check_monitor.py [--ladders 20] [--runs 15] [--items-scale 0.1] [--out rows.csv]

Ladders of `cod_bayes.simulate` (the paper's eight benchmarks and eight models, default shocks,
a tenth of the items), each fitted once. Then runs of the 70B through twelve checkpoints:
with fresh shocks from the simulation, the same 0.3 decades of compute behind, and from the fitted
model's own draws. Prints the share flagged over the whole run and by 60 % of the training, and how
often the 90 % interval of the finished run's score holds before and after the checkpoints.
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

from cod_bayes.fitting import Fit, fit
from cod_bayes.monitor import monitor
from cod_bayes.simulate import PAPER_TARGETS, Simulation, pass_rate, simulate

TARGET = PAPER_TARGETS[0].compute
SHARES = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
TRIALS = 100
SHOCK = BENCHMARK_SHOCK = 0.08  # decades, as `simulate`
ITEM_NOISE = 0.2
BEHIND = 0.3


def simulated_run(
    world: Simulation, behind: float, rng: np.random.Generator
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Checkpoints of one run, and the finished run's true scores."""
    x = np.log10(TARGET * np.append(SHARES, 1.0)) - behind + SHOCK * rng.standard_normal()
    rows, final = [], {}
    for name, items in world.items.groupby("benchmark", sort=False):
        own = BENCHMARK_SHOCK * rng.standard_normal()
        e = ITEM_NOISE * rng.standard_normal((len(items), 1))  # the run's, at every moment
        p = pass_rate(x + own, items, e)
        right = rng.binomial(TRIALS, p[:, :-1]).sum(axis=0)
        final[str(name)] = float(p[:, -1].mean())
        rows += [
            (name, c, k, TRIALS * len(items)) for c, k in zip(TARGET * SHARES, right, strict=True)
        ]
    return pd.DataFrame(rows, columns=["benchmark", "compute", "n_correct", "n_trials"]), final


def drawn_runs(fitted: Fit, runs: int, rng: np.random.Generator) -> list[pd.DataFrame]:
    """Runs out of the posterior's own draws, with shocks that no forecast of it has seen."""
    compute = TARGET * SHARES
    score = fitted.draws(compute, one_run=True, measured=False, model_seed=7)["score"].values
    score = score.reshape(-1, *score.shape[2:])
    tables = []
    for draw in rng.choice(len(score), runs, replace=False):
        rows = [
            (name, c, rng.binomial(10_000, score[draw, b, t]), 10_000)
            for b, name in enumerate(fitted.benchmarks)
            for t, c in enumerate(compute)
        ]
        names = ["benchmark", "compute", "n_correct", "n_trials"]
        tables.append(pd.DataFrame(rows, columns=names))
    return tables


def one(seed: int, runs: int, scale: float) -> pd.DataFrame:
    """A ladder's runs, one row each."""
    world = simulate(seed, items_scale=scale, trials=TRIALS, anchors=0, include_target=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = fit(world.evidence, random_seed=seed, draws=500, tune=500, progressbar=False)
    rng = np.random.default_rng([seed, 1])
    cases = [(kind, *simulated_run(world, behind, rng)) for kind, behind in
             (("follows", 0.0), ("behind", BEHIND)) for _ in range(runs)]  # fmt: skip
    cases += [("drawn", table, {}) for table in drawn_runs(fitted, runs, rng)]
    rows = []
    for kind, table, final in cases:
        seen = monitor(fitted, table, TARGET)
        looks, forecast = seen.looks, seen.forecast
        row = {
            "seed": seed,
            "kind": kind,
            "ok": not fitted.failed_checks,
            "whole": seen.flagged,
            "early": bool((looks.loc[looks["training"] < 0.6, "flag"] != "").any()),
            "behind_sd": looks["behind_sd"].iloc[-1],
            "effective": looks["effective_draws"].iloc[-1],
            "pit": float(np.mean(np.abs(seen.checkpoints["pit"] - 0.5) < 0.45)),
        }
        if kind == "follows":
            first = forecast[forecast["compute"] == 0].set_index("benchmark")
            last = forecast[forecast["compute"] == TARGET * SHARES[8]].set_index("benchmark")
            truth = pd.Series(final)
            for when, part in (("before", first), ("after", last)):
                part = part.loc[truth.index]
                row[f"covered_{when}"] = truth.between(part["q05"], part["q95"]).mean()
                row[f"error_{when}"] = 100 * (part["q50"] - truth).abs().mean()
        rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ladders", type=int, default=20)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--items-scale", type=float, default=0.1)
    parser.add_argument("--out", metavar="CSV", help="one row per run, written as they come")
    asked = parser.parse_args()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        work = partial(one, runs=asked.runs, scale=asked.items_scale)
        done = pool.map(work, range(asked.ladders))
        parts = []
        for part in track(done, total=asked.ladders, description="ladders"):
            parts.append(part)
            rows = pd.concat(parts, ignore_index=True)
            if asked.out:
                rows.to_csv(asked.out, index=False)
    print(
        f"{asked.ladders} ladders, {asked.runs} runs of each kind; checks pass on "
        f"{rows['ok'].mean():.0%}; sd of decades behind {rows['behind_sd'].mean():.3f}; weights "
        f"would leave {rows['effective'].median():.1f} draws in effect"
    )
    for kind, part in rows.groupby("kind", sort=False):
        error = part.groupby("seed")["whole"].mean().std() / np.sqrt(asked.ladders)
        print(
            f"{kind}: flagged {part['whole'].mean():.1%} (s.e. {error:.1%}) over the whole run, "
            f"{part['early'].mean():.1%} before 60 %; in their 90 % band {part['pit'].mean():.1%}"
        )
    good = rows[rows["kind"] == "follows"]
    print(
        f"finished score, before and after 60 % of training: error "
        f"{good['error_before'].mean():.2f} and {good['error_after'].mean():.2f} points, "
        f"in its 90 % interval "
        f"{good['covered_before'].mean():.1%} and {good['covered_after'].mean():.1%}"
    )


if __name__ == "__main__":
    main()
