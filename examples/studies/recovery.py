"""Forecasts of simulated ladders, compared with the known truth.

    python examples/studies/recovery.py [--ladders 20] [--items-scale 0.05] [--trials 100]
                                        [--anchors 1] [--shock 0.08] [--vary]

--shock: standard deviation, in decades of compute, of each model's shock on all benchmarks and of
its shock on each benchmark. At 0.02 the point method has about the error that the paper reports.
Public ladders show about 0.08.

--vary: each ladder gets benchmarks of its own. The distributions of their items are drawn around
the paper's (`varied`). Without it all ladders share the same eight distributions. On quiet ladders
the error of a benchmark is then nearly the same in every ladder, so the coverage is that of eight
errors, not of many.

Prints the mean absolute error, coverage and width over all benchmarks and ladders, and the error
of the point method on the benchmarks that it forecasts.
"""

from __future__ import annotations

import argparse
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context

import numpy as np
import pandas as pd
from rich.progress import track

from cod_bayes.evaluate.point import cluster_and_forecast
from cod_bayes.evaluate.simulate import PAPER_BENCHMARKS, Benchmark, simulate
from cod_bayes.forecast.fitting import fit


def varied(benchmark: Benchmark, rng: np.random.Generator) -> Benchmark:
    """A benchmark of the same size with other items. Its difficulty changes by half a decade (sd),
    its slopes by a factor of 1.3, spreads and shares of its items by factors of 1.3 to 2. The share
    of capped items is uniform."""
    by = {"spread": 0.25, "slope": 0.25, "tail": 0.4, "slope_spread": 0.4}
    by |= dict.fromkeys(("ceiling", "flat", "unsolved", "falling"), 0.7)
    drawn = {
        name: getattr(benchmark, name) * np.exp(sigma * rng.standard_normal())
        for name, sigma in by.items()
    }
    difficulty = benchmark.difficulty + 0.5 * rng.standard_normal()
    return replace(benchmark, difficulty=difficulty, capped=rng.random(), **drawn)


def one(
    seed: int, scale: float, trials: int, anchors: int, shock: float, vary: bool
) -> pd.DataFrame:
    """The forecasts of one ladder and the true scores."""
    rng = np.random.default_rng([seed, 1])
    world = simulate(
        seed,
        benchmarks=[varied(b, rng) if vary else b for b in PAPER_BENCHMARKS],
        items_scale=scale,
        trials=trials,
        anchors=anchors,
        shock=shock,
        benchmark_shock=shock,
    )
    target = world.truth[world.truth["role"] == "target"].set_index("benchmark")
    compute = float(target["compute"].iloc[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = fit(world.evidence, random_seed=seed, progressbar=False)
        point = {
            name: cluster_and_forecast(data, compute).full[0]
            for name, data in world.evidence.benchmarks.items()
        }
    table = fitted.forecast(compute).summary().set_index("benchmark")
    return table.assign(
        truth=target["score"], point=pd.Series(point), ok=not fitted.failed_checks, seed=seed
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ladders", type=int, default=20)
    parser.add_argument("--items-scale", type=float, default=0.05)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--anchors", type=int, default=1)
    parser.add_argument("--shock", type=float, default=0.08)
    parser.add_argument("--vary", action="store_true")
    arguments = parser.parse_args()
    work = partial(
        one,
        scale=arguments.items_scale,
        trials=arguments.trials,
        anchors=arguments.anchors,
        shock=arguments.shock,
        vary=arguments.vary,
    )
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        done = pool.map(work, range(arguments.ladders))
        rows = pd.concat(track(done, total=arguments.ladders, description="ladders"))
    error = 100 * (rows["q50"] - rows["truth"]).abs()
    inside = {
        p: rows["truth"].between(rows[low], rows[high]).mean()
        for p, low, high in ((50, "q25", "q75"), (90, "q05", "q95"))
    }
    both = rows["point"].notna()
    print(
        f"{arguments.ladders} ladders, {len(rows)} forecasts: "
        f"mean absolute error {error.mean():.2f}, "
        f"coverage {inside[50]:.2f} at 50 %, {inside[90]:.2f} at 90 %, "
        f"width {100 * (rows['q95'] - rows['q05']).mean():.1f} points; "
        f"checks pass on {rows['ok'].mean():.0%}"
    )
    away = 100 * np.abs(rows["point"] - rows["truth"])[both]
    print(
        f"point method: forecasts {both.sum()}, error {away.mean():.2f}; "
        f"the model on the same: {error[both].mean():.2f}"
    )


if __name__ == "__main__":
    main()
