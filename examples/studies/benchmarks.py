"""Measures time and memory of the package, each against a limit.

    python examples/studies/benchmarks.py [--quick] [--only NAME ...]

    import      `import cod_bayes` and `cod-bayes --help`, each in a fresh process
    meanshift   improved MeanShift on 18k items x 9 models, against a plain transcription of
                Algorithm 1 that uses scikit-learn's MeanShift and gets a part of the items
    million     improved MeanShift on 1 million items x 9 models
    one         one benchmark of 1,319 items, from file to forecast, each run in a fresh process
    suite       the same for the paper's eight benchmarks, 61k items
    many        10, 30, 90 and 180 benchmarks of one curve each in one fit, from file to forecast
    memory      peak memory for 1 million items x 12 models, from file to forecast
    backtest    60 forecasting problems: prints the command, which takes minutes

Without --only all but suite, many, memory and backtest run. --quick shrinks all sizes: it tests the
script, not the limits. Seconds are wall-clock seconds unless stated otherwise.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

PLAIN_ITEMS = 3000
TARGET = 3.8e24  # FLOPs


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of the table: what was measured, the result, and its limit."""

    what: str
    figure: str
    limit: str = ""


# --- in a fresh process ----------------------------------------------------------------------

# The peak is read from /proc: getrusage would include the peak of the parent process, which holds
# the simulation.
FORECAST = f"""
import json, re, sys, time, warnings
start = time.perf_counter()
warnings.simplefilter("ignore")
import cod_bayes
from cod_bayes.forecast.fitting import fit
imported = time.perf_counter()
fitted = fit(sys.argv[1], random_seed=1, progressbar=False)
fitted.forecast([{TARGET}]).summary()
with open("/proc/self/status") as status:
    peak = int(re.search(r"VmHWM:\\s+([0-9]+)", status.read())[1]) / 2**20
print(json.dumps([time.perf_counter() - start, imported - start, peak, fitted.failed_checks]))
"""


def fresh(*arguments: str) -> tuple[float, str]:
    """Seconds and output of a Python process with these arguments. The process may write bytecode,
    as by Python's default, so that a second run finds it."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": ""},
    )
    return time.perf_counter() - start, done.stdout


def forecasts(table: Path, limit: str, runs: int = 2) -> Iterator[Line]:
    for run in range(1, runs + 1):
        seconds, output = fresh("-c", FORECAST, str(table))
        _, imports, peak, failed = json.loads(output.splitlines()[-1])
        figure = f"{seconds:.1f} s ({imports:.1f} s imports), {peak:.2f} GiB"
        figure += f"; checks failed: {', '.join(failed)}" if failed else "; all checks pass"
        yield Line(f"file to forecast, run {run}", figure, limit if run == runs else "")


# --- the evidence ----------------------------------------------------------------------------


def pass_rates(n_items: int) -> np.ndarray:
    """Smoothed rates (item, 9 models) of a benchmark like TriviaQA, 100 trials."""
    from cod_bayes.clustering.mean_shift import smooth_over_ladder

    table = one_benchmark("TriviaQA", n_items, include_targets=True)
    counts = table["n_correct"].to_numpy().reshape(n_items, -1)
    return smooth_over_ladder(counts / 100)


def one_benchmark(name: str, n_items: int, include_targets: bool = False):
    """The simulated table of one of the paper's benchmarks, with another number of items."""
    from cod_bayes.evaluate.simulate import PAPER_BENCHMARKS, PAPER_LADDER, PAPER_TARGETS, simulate

    benchmark = next(b for b in PAPER_BENCHMARKS if b.name == name)
    ladder = (*PAPER_LADDER, *PAPER_TARGETS) if include_targets else PAPER_LADDER
    return simulate(
        3,
        benchmarks=[dataclasses.replace(benchmark, n_items=n_items)],
        ladder=ladder,
        targets=(),
        anchors=0,
    ).table


# --- the measurements -------------------------------------------------------------------------


def measure_import(quick: bool) -> Iterator[Line]:
    for what, arguments in (
        ("import cod_bayes", ("-c", "import cod_bayes")),
        ("cod-bayes --help", ("-c", "from cod_bayes.cli import main; main()", "--help")),
        (
            "imports of a forecast",
            (
                "-c",
                "import cod_bayes.forecast.fitting, cod_bayes.clustering.clusters;"
                "import cod_bayes.sampling.nuts",
            ),
        ),
    ):
        fresh(*arguments)
        limit = "" if what.startswith("imports") else "0.5 s"
        yield Line(what, f"{min(fresh(*arguments)[0] for _ in range(3)):.2f} s", limit)


def algorithm_1(x: np.ndarray, k: int = 10) -> np.ndarray:
    """A plain transcription of Algorithm 1: labels of x (item, feature). The label is -1 for
    outliers and items without a success."""
    from sklearn.cluster import MeanShift, estimate_bandwidth

    labels = np.full(len(x), -1)
    unlabelled = np.flatnonzero(x.any(axis=1))
    bandwidth = estimate_bandwidth(x[unlabelled], quantile=0.1, n_samples=2000, random_state=0)
    r = min(bandwidth, np.sqrt(x.shape[1]) / 10)
    fresh_label, changed = 0, True
    while changed and len(unlabelled):
        changed = False
        model = MeanShift(bandwidth=r).fit(x[unlabelled])
        for cluster, centre in enumerate(model.cluster_centers_):
            members = unlabelled[model.labels_ == cluster]
            members = members[np.sqrt(((x[members] - centre) ** 2).sum(axis=1)) <= r]
            if len(members) >= k:
                labels[members] = fresh_label
                fresh_label += 1
                changed = True
        unlabelled = unlabelled[labels[unlabelled] < 0]
    return labels


def measure_meanshift(quick: bool) -> Iterator[Line]:
    from cod_bayes.clustering.ball_sums import exact_sums
    from cod_bayes.clustering.mean_shift import improved_mean_shift

    full, part = (2000, 300) if quick else (17_944, PLAIN_ITEMS)
    x = exact_sums(pass_rates(full))
    improved_mean_shift(x[:100])  # compiles, or loads from the cache
    start = time.perf_counter()
    improved_mean_shift(x)
    yield Line(f"{full:,} items x 9", f"{time.perf_counter() - start:.2f} s", "2 s")
    start = time.process_time()
    labels = improved_mean_shift(x[:part]).labels
    ours = time.process_time() - start
    start = time.process_time()
    plain = algorithm_1(x[:part])
    theirs = time.process_time() - start
    same = "identical labels" if np.array_equal(plain, labels) else "LABELS DIFFER"
    yield Line(
        f"plain transcription, {part:,} of them",
        f"{theirs:.1f} s CPU / {ours:.2f} s CPU = {theirs / ours:.0f}x, {same}",
        "20x (on all; the ratio grows with the items)",
    )


def measure_million(quick: bool) -> Iterator[Line]:
    from cod_bayes.clustering.mean_shift import improved_mean_shift

    n = 50_000 if quick else 1_000_000
    x = pass_rates(n)
    improved_mean_shift(x[:100])
    start = time.perf_counter()
    found = improved_mean_shift(x)
    seconds = time.perf_counter() - start
    yield Line(f"{n:,} items x 9", f"{seconds:.1f} s, {len(found.centres)} clusters", "60 s")


def measure_one(quick: bool) -> Iterator[Line]:
    yield from written(one_benchmark("GSM8K", 200 if quick else 1319), "8 s")


def measure_suite(quick: bool) -> Iterator[Line]:
    from cod_bayes.evaluate.simulate import simulate

    table = simulate(1, items_scale=0.02 if quick else 1.0, include_target=False).table
    yield from written(table, "30 s; run 1: 90 s on a fresh machine")


def measure_many(quick: bool) -> Iterator[Line]:
    import pandas as pd

    from cod_bayes.model.equations import accuracy

    rng, compute = np.random.default_rng(0), np.geomspace(1e19, 1e23, 10)
    for n in (5, 10) if quick else (10, 30, 90, 180):
        eta, beta = rng.normal(0.4, 1, (n, 1)), np.exp(rng.normal(-1, 0.4, (n, 1)))
        y = accuracy(np.log10(compute / compute[-1]), eta, beta, 0.2, 0.1, 0.5)
        cells = [(f"b{i:03d}", f"m{j}") for i in range(n) for j in range(10)]
        table = pd.DataFrame(cells, columns=["benchmark", "model"]).assign(
            item="all",
            compute=np.tile(compute, n),
            n_trials=1000,
            n_correct=rng.binomial(1000, y).ravel(),
        )
        for line in written(table, "45 s" if n == 90 else "", runs=1 if n < 90 else 2):
            yield dataclasses.replace(line, what=f"{n} benchmarks x 10 models, {line.what}")


def measure_memory(quick: bool) -> Iterator[Line]:
    from cod_bayes.evaluate.simulate import PAPER_BENCHMARKS, Model, simulate

    benchmark = dataclasses.replace(PAPER_BENCHMARKS[3], n_items=20_000 if quick else 1_000_000)
    ladder = [Model(f"m{k:02d}", c) for k, c in enumerate(np.geomspace(4e19, 4e23, 12))]
    simulated = simulate(1, benchmarks=[benchmark], ladder=ladder, targets=(), anchors=0)
    yield from written(simulated.table, "2 GiB", runs=1)


def written(table, limit: str, runs: int = 2) -> Iterator[Line]:
    """`forecasts` of a table, read from a parquet file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ladder.parquet"
        table.to_parquet(path)
        yield from forecasts(path, limit, runs)


def measure_backtest(quick: bool) -> Iterator[Line]:
    yield Line("60 problems", "time python examples/studies/score_problems.py", "4 min")


MEASUREMENTS = {
    "import": measure_import,
    "meanshift": measure_meanshift,
    "million": measure_million,
    "one": measure_one,
    "suite": measure_suite,
    "many": measure_many,
    "memory": measure_memory,
    "backtest": measure_backtest,
}
LONG = ("suite", "many", "memory", "backtest")


def main() -> None:
    from rich.console import Console
    from rich.table import Table

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", nargs="+", choices=MEASUREMENTS, metavar="NAME", help=", ".join(MEASUREMENTS)
    )
    parser.add_argument("--quick", action="store_true", help="small sizes")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    table = Table("name", "measured", "result", "limit")
    for name in arguments.only or [name for name in MEASUREMENTS if name not in LONG]:
        for line in MEASUREMENTS[name](arguments.quick):
            table.add_row(name, line.what, line.figure, line.limit)
            print(f"{name}: {line.what}: {line.figure}", file=sys.stderr)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
