"""Compares the engines: processor time, effective draws and checks, each in fresh processes.

    python examples/studies/engines.py [--size small demo] [--engine fast pymc jax] [--processes 2]

    small   one benchmark of 1,200 items in 12 clusters, 8 models
    demo    the demo's eight benchmarks in some 180 clusters, 8 models

What is sampled is the posterior of the clusters. The second process finds what the first has
compiled, if the engine keeps it. CPU seconds are of the process and its threads. They are split
into those until the first draw could be made (imports, compilation) and those of sampling.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import time
import warnings

import numpy as np

from cod_bayes.model.ladder import LadderData
from cod_bayes.model.spec import load_spec

SPEC = load_spec("cod")
CLUSTERS = 12
OPTIONS = {"tune": 100, "draws": 800, "chains": 4, "progressbar": False}


def demo() -> LadderData:
    """The ladder of `cod-bayes demo`."""
    from cod_bayes.evaluate.simulate import simulate
    from cod_bayes.forecast.fitting import clustered
    from cod_bayes.model.ladder import ladder_data

    evidence = simulate(0).evidence
    return ladder_data(evidence, clustered(evidence, 0)[0], SPEC.constants)


def small() -> LadderData:
    """Twelve levels of difficulty, a hundred items each, at 100 trials an item."""
    from cod_bayes.clustering.labels import by_labels
    from cod_bayes.evaluate.simulate import PAPER_BENCHMARKS, simulate
    from cod_bayes.model.ladder import ladder_data

    math = next(b for b in PAPER_BENCHMARKS if b.name == "MATH")
    items = CLUSTERS * 100
    benchmarks = [dataclasses.replace(math, n_items=items)]
    evidence = simulate(3, benchmarks=benchmarks, targets=(), anchors=0).evidence
    benchmark = evidence.benchmarks["MATH"]
    rank = np.argsort(np.argsort(benchmark["rate"].values.mean(axis=1), kind="stable"))
    labels = np.array([f"{CLUSTERS * r // items:02d}" for r in rank])
    return ladder_data(evidence, {"MATH": by_labels(benchmark, labels)}, SPEC.constants)


def measure(size: str, engine: str) -> dict[str, object]:
    """One run in this process."""
    from cod_bayes.model.statement import build
    from cod_bayes.model.variables import PARAMETERS
    from cod_bayes.sampling.checks import least_bulk_ess, moving, worst_r_hat
    from cod_bayes.sampling.engines import _compiled, sample_fast, sample_stated

    warnings.simplefilter("ignore")
    data = {"demo": demo, "small": small}[size]()
    start = time.process_time()
    if engine == "fast":
        import cod_bayes.sampling.nuts  # noqa: F401

        ready = time.process_time()
        tree, failed, _ = sample_fast(SPEC, data, random_seed=1, **OPTIONS)
    else:
        _compiled(build(data, SPEC), engine)
        ready = time.process_time()
        tree, failed, _ = sample_stated(build(data, SPEC), engine, random_seed=1, **OPTIONS)
    end = time.process_time()
    once = ready - start
    if engine != "fast":  # it was compiled twice
        ready += once
    posterior = tree["posterior"].to_dataset()
    columns = [column for name in PARAMETERS for column in moving(posterior, name)]
    return {
        "size": size,
        "engine": engine,
        "clusters": len(data.cluster),
        "CPU s, start": round(once, 1),
        "CPU s, sampling": round(end - ready, 1),
        "draws": posterior.sizes["draw"],
        "least ESS": round(least_bulk_ess(columns)),
        "r_hat": round(worst_r_hat(columns), 3),
        "failed": ", ".join(failed) or "none",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", nargs="+", default=["small"], choices=["small", "demo"])
    parser.add_argument(
        "--engine", nargs="+", default=["fast", "pymc"], choices=["fast", "pymc", "jax"]
    )
    parser.add_argument("--processes", type=int, default=2, help="of each, one after the other")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.size[0], arguments.engine[0])))
        return
    for size in arguments.size:
        for engine in arguments.engine:
            for process in range(1, arguments.processes + 1):
                command = [sys.executable, __file__, "--one", "--size", size, "--engine", engine]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                row = {"process": process} | json.loads(done.stdout.splitlines()[-1])
                print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)


if __name__ == "__main__":
    main()
