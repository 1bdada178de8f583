"""Times one evaluation of the fast density and its gradient, in microseconds of CPU.

    python examples/studies/time_density.py                # the installed kernels.py
    python examples/studies/time_density.py OTHER.py       # and another version of that file

Versions alternate within one process, on the demo's evidence and on one benchmark of 12 clusters.
The ratio is the median over pairs, with its 10 and 90 % quantiles.
"""

import argparse
import dataclasses
import importlib.util
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

from cod_bayes.clustering.clusters import cluster
from cod_bayes.evaluate.simulate import PAPER_BENCHMARKS, simulate
from cod_bayes.forecast.fitting import ladder_data
from cod_bayes.model.spec import load_spec
from cod_bayes.sampling import kernels
from cod_bayes.sampling.density import Density

SPEC = load_spec("cod")
ROUNDS, EVALUATIONS = 60, 100  # per version, with and without gradient


def evidence():
    """The demo's ladder, and 12 clusters of its first benchmark."""
    demo = simulate(0, benchmarks=PAPER_BENCHMARKS).evidence
    seeds = np.random.default_rng(0).spawn(len(demo.benchmarks))
    clusters = {
        name: cluster(of, rng)
        for (name, of), rng in zip(demo.benchmarks.items(), seeds, strict=True)
    }
    data = ladder_data(demo, clusters, SPEC.constants)
    one = data.only(0)
    per_cluster = ("of_cluster", "z", "noise", "chance", "nu_ratio", "weight")
    parts = {name: getattr(one, name)[:12] for name in per_cluster}
    small = dataclasses.replace(one, cluster=one.cluster[:12], **parts)
    return {"demo": data, "12 clusters": small}


def load(path):
    """A version of kernels.py as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cpu(call):
    """Microseconds of one evaluation."""
    start = time.process_time_ns()
    for _ in range(EVALUATIONS):
        call()
    return (time.process_time_ns() - start) / EVALUATIONS / 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", nargs="*", type=Path, help="other versions of kernels.py")
    versions = {"installed": kernels}
    versions |= {str(path): load(path) for path in parser.parse_args().other}
    for name, data in evidence().items():
        density = Density.of(SPEC, data, several=True)
        theta = density.mode + np.random.default_rng(1).normal(0, 0.3, density.size)
        gradient = np.empty(density.size)
        calls, times = {}, {}
        for version, module in versions.items():
            parts = module.unpack_evidence(density.packed)
            for part, with_gradient in (("value", False), ("value and gradient", True)):
                call = partial(module.log_density, theta, gradient, with_gradient, *parts)
                calls[version, part] = call
        for _ in range(ROUNDS):
            for key, call in calls.items():
                times.setdefault(key, []).append(cpu(call))
        for (version, part), values in times.items():
            ratio = np.quantile(np.divide(times["installed", part], values), [0.5, 0.1, 0.9])
            text = "{:.2f} [{:.2f}, {:.2f}]".format(*ratio)
            print(f"{name}, {part}, {version}: {np.median(values):.1f}; installed / this {text}")


if __name__ == "__main__":
    main()
