"""A recipe that scales well up to a break beyond the ladder, and worse above it.

    python examples/studies/broken_recipe.py [--ladders 2] [--runs 4] [--items-scale 0.1]
                                             [--kept 1 0.5 0 -1] [--out runs.csv]

The ladder shows nothing of it. Above the break, 3 times the largest ladder model, a share `kept` of
every decade of compute counts:

    x' = x               x <= x_break          x = log10 compute
    x' = x_break + kept (x - x_break)          otherwise

kept = 1 is a good run, the control. At kept = 0 scores stay as they are at the break, and below 0
they fall again. Each ladder has three of the paper's benchmarks and all its eight models, and is
fitted once. Runs of the 70B with twelve checkpoints are monitored as in `check_monitor.py`. For
each `kept` the table has

    fall       points that the true final scores lose by the break, mean over benchmarks
    misses     share of true final scores outside the 90 % interval of the forecast before the run
    early      share of runs that are flagged before the break
    flagged    share of runs that are flagged after it, and how many for which reason
    training   median share of the training at that flag, and the quartiles
    gap        points that true scores have lost by then, mean over benchmarks, median over runs
    since      of the runs flagged as slowing: the onset as of the last look over the break, and the
               share of the rise that is lost, medians
    error      mean absolute error of the final forecast in points, before the run and as updated
               by the checkpoints up to 60 % of the training
"""

from __future__ import annotations

import argparse
import warnings
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
from check_monitor import SHARES, TARGET, TRIALS, simulated_run
from rich.progress import track

from cod_bayes.decide.monitor import monitor
from cod_bayes.evaluate.simulate import PAPER_BENCHMARKS, PAPER_LADDER, Simulation, simulate
from cod_bayes.forecast.fitting import fit

BREAK = 3 * PAPER_LADDER[-1].compute  # FLOPs


def effective(x: np.ndarray, kept: float) -> np.ndarray:
    """log10 of the compute that counts."""
    beyond = np.maximum(x - np.log10(BREAK), 0)
    return x - (1 - kept) * beyond


def lost(world: Simulation, compute: float, kept: float) -> float:
    """Points that the true curves lose by the break at `compute`, mean over benchmarks."""
    worth = 10 ** effective(np.log10(compute), kept)
    return 100 * float(
        np.mean([world.curve(b, compute) - world.curve(b, worth) for b in world.pass_rates])
    )


def one(seed: int, runs: int, scale: float, shares: list[float]) -> list[dict[str, object]]:
    """One row for each run on a ladder of this seed."""
    world = simulate(
        seed,
        benchmarks=PAPER_BENCHMARKS[:3],
        items_scale=scale,
        trials=TRIALS,
        anchors=0,
        include_target=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = fit(world.evidence, random_seed=seed, progressbar=False)
    rows = []
    for run, kept in product(range(runs), shares):
        rng = np.random.default_rng([seed, run])
        table, final, _ = simulated_run(world, partial(effective, kept=kept), rng)
        watched = monitor(fitted, table, TARGET)
        before = watched.forecast.groupby("benchmark").first()
        so_far = watched.forecast[watched.forecast["compute"] <= 0.61 * TARGET]
        updated = so_far.groupby("benchmark").last()
        truth = pd.Series(final).loc[before.index]
        flags = watched.looks[watched.looks["flag"] != ""]
        after = flags[flags["compute"] > BREAK]
        first = after.iloc[0] if len(after) else None
        rows.append(
            {
                "kept": kept,
                "ok": not fitted.failed_checks,
                "fall": lost(world, TARGET, kept),
                "misses": 1 - truth.between(before["q05"], before["q95"]).mean(),
                "error_before": 100 * (before["q50"] - truth).abs().mean(),
                "error_updated": 100 * (updated["q50"] - truth).abs().mean(),
                "early": len(after) < len(flags),
                "flagged": first is not None,
                "reason": "" if first is None else first["flag"],
                "since": watched.looks["since"].iloc[-1] / BREAK,
                "lost": watched.looks["lost"].iloc[-1],
                "training": np.nan if first is None else first["training"],
                "gap": np.nan if first is None else lost(world, first["compute"], kept),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ladders", type=int, default=2)
    parser.add_argument("--runs", type=int, default=4, help="of each kind, on each ladder")
    parser.add_argument("--items-scale", type=float, default=0.1)
    parser.add_argument("--kept", type=float, nargs="+", default=[1.0, 0.5, 0.0, -1.0])
    parser.add_argument("--out", metavar="CSV", help="one row for each run, written as they come")
    arguments = parser.parse_args()
    rows: list[dict[str, object]] = []
    for seed in track(range(arguments.ladders), description="ladders"):
        rows += one(seed, arguments.runs, arguments.items_scale, arguments.kept)
        if arguments.out:
            pd.DataFrame(rows).to_csv(arguments.out, index=False)
    table = pd.DataFrame(rows)
    print(
        f"{arguments.ladders} ladders, {arguments.runs} runs of each kind; checks pass on "
        f"{table['ok'].mean():.0%}; break at {BREAK / TARGET:.0%} of the training, looks at "
        f"{', '.join(f'{share:.0%}' for share in SHARES)}"
    )
    for kept, part in table.groupby("kept", sort=False):
        flagged = f"flagged {part['flagged'].mean():.0%}"
        if part["flagged"].any():
            low, middle, high = part["training"].quantile([0.25, 0.5, 0.75])
            flagged += f", training {middle:.0%} ({low:.0%} to {high:.0%})"
            flagged += f", gap {part['gap'].median():.1f} points"
            reasons = part.loc[part["flagged"], "reason"].value_counts()
            flagged += ", " + ", ".join(f"{count} {reason}" for reason, count in reasons.items())
            slow = part[part["reason"] == "slows"]
            if len(slow):
                flagged += f", since {slow['since'].median():.1f} times the break"
                flagged += f", {slow['lost'].median():.0%} of the rise lost"
        print(
            f"kept {kept:.2f}: fall {part['fall'].mean():.1f} points, misses "
            f"{part['misses'].mean():.0%}, early {part['early'].mean():.0%}, {flagged}, "
            f"error {part['error_before'].mean():.1f} before and "
            f"{part['error_updated'].mean():.1f} updated"
        )


if __name__ == "__main__":
    main()
