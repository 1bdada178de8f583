"""Measures time and memory of the package, each against a limit.

    python examples/studies/benchmarks.py [--quick] [--only NAME ...]

    import      `import cod_bayes` and `cod-bayes --help`, each in a fresh process
    meanshift   improved MeanShift on 18k items x 9 models, against a plain transcription of
                Algorithm 1 that uses scikit-learn's MeanShift and gets a part of the items
    million     improved MeanShift on 1 million items x 9 models
    sampling    effective draws per second of the engine "fast", against the engine "pymc" on the
                model as it is stated
    one         one benchmark of 1,319 items, from file to forecast, each run in a fresh process
    suite       the same for the paper's eight benchmarks, 61k items
    memory      peak memory for 1 million items x 12 models, from file to forecast
    backtest    60 forecasting problems: prints the command, which takes minutes

Without --only all but suite, memory and backtest run. --quick shrinks all sizes: it tests the
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


def measure_sampling(quick: bool) -> Iterator[Line]:
    from arviz_stats.base import array_stats

    from cod_bayes.clustering.clusters import Clusters
    from cod_bayes.evidence.record import read_table
    from cod_bayes.model.equations import accuracy
    from cod_bayes.model.ladder import ladder_data
    from cod_bayes.model.spec import load_spec
    from cod_bayes.model.statement import build
    from cod_bayes.model.variables import CURVE, PARAMETERS
    from cod_bayes.sampling.engines import sample_fast, sample_stated

    rng = np.random.default_rng(0)
    K, spec = 12, load_spec("cod")
    evidence = read_table(one_benchmark("MATH", 1200))
    # twelve levels of difficulty, a hundred items each
    rate = evidence.benchmarks["MATH"]["rate"].values
    level = (
        np.argsort(np.argsort(rate.mean(axis=1) + 1e-6 * rng.random(len(rate)))) * K // len(rate)
    )
    p = np.array([rate[level == k].mean(axis=0) for k in range(K)])
    n = np.full(p.shape, 100.0 * len(rate) / K)
    chance = np.zeros(K)
    member = (level[:, None] == np.arange(K)).astype(float)
    found = Clusters("mean_shift", np.full(K, "cluster"), member, p, n, np.zeros(p.shape), chance)
    data = ladder_data(evidence, {"MATH": found}, spec.constants)

    def least(columns: Iterator[np.ndarray]) -> float:
        return min(float(array_stats.ess(c, method="bulk")) for c in columns if np.ptp(c) > 0)

    def split(values: np.ndarray) -> Iterator[np.ndarray]:
        yield from values.reshape(*values.shape[:2], -1).transpose(2, 0, 1)

    def effective(posterior) -> tuple[float, float]:
        """Least bulk ESS of the accuracy at the target, and of all parameters."""
        curve = {name: posterior[name].values for name in CURVE}
        curve["nu"] = posterior["nu"].values * data.nu_ratio
        target = accuracy(np.log10(TARGET) - data.x_ref[0], **curve)
        return least(split(target)), least(
            c for v in PARAMETERS for c in split(posterior[v].values)
        )

    ours_draws = 100 if quick else 800
    options = {"tune": 100, "chains": 4, "progressbar": False}
    # Compiles, or loads from the cache.
    sample_fast(spec, data, random_seed=0, **options | {"draws": 50, "attempts": 1})
    start = time.perf_counter()
    tree, *_ = sample_fast(spec, data, random_seed=1, draws=ours_draws, **options)
    ours = time.perf_counter() - start
    ess = effective(tree["posterior"].to_dataset())
    start = time.perf_counter()
    stated, *_ = sample_stated(build(data, spec), "pymc", random_seed=1, draws=1000, **options)
    theirs = time.perf_counter() - start
    stated_ess = effective(stated["posterior"].to_dataset())
    divergent = int(stated["sample_stats"].to_dataset()["diverging"].sum())
    for what, mine, other in zip(
        ("accuracy at the target", "all parameters"), ess, stated_ess, strict=True
    ):
        yield Line(
            f"least bulk ESS per second, {what}",
            f"{mine / ours:.0f} / {other / theirs:.1f} = {mine / ours / (other / theirs):.0f}x",
            "2x",
        )
    yield Line(
        "of which",
        f"fast {ours:.1f} s; pymc {theirs:.1f} s with its compilation, {divergent} divergences",
    )


def measure_one(quick: bool) -> Iterator[Line]:
    yield from written(one_benchmark("GSM8K", 200 if quick else 1319), "8 s")


def measure_suite(quick: bool) -> Iterator[Line]:
    from cod_bayes.evaluate.simulate import simulate

    table = simulate(1, items_scale=0.02 if quick else 1.0, include_target=False).table
    yield from written(table, "30 s; run 1: 90 s on a fresh machine")


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
    "sampling": measure_sampling,
    "one": measure_one,
    "suite": measure_suite,
    "memory": measure_memory,
    "backtest": measure_backtest,
}
LONG = ("suite", "memory", "backtest")


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
