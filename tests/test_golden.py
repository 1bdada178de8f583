"""A golden posterior: both engines, and chains from far apart, find the posterior that is stored
here with the generator that made it.

    python tests/test_golden.py        prints GOLDEN anew, from the engine "pymc"
"""

import warnings

import numpy as np
import pytest
from arviz_stats.base import array_stats

from cod_bayes.model.equations import accuracy, radians
from cod_bayes.model.ladder import LadderData
from cod_bayes.model.spec import load_spec
from cod_bayes.model.statement import build
from cod_bayes.model.variables import GLOBAL

SPEC = load_spec("cod")
AHEAD = 1.0  # decades from the largest model, of the accuracies that are compared


def golden_ladder():
    """Two benchmarks of 7 and 5 clusters on 8 models: curves of many shapes, and sines in place of
    noise, so that the data come from no generator of random numbers."""
    of, k = np.repeat([0, 1], [7, 5]), np.arange(12)
    x = np.linspace(20.0, 23.5, 8)
    eta, beta, gamma = 0.4 + 1.2 * np.sin(k), 0.5 + 0.25 * np.cos(2.0 * k), 0.1 * (k % 3)
    y = accuracy(x - x[-1], *(v[:, None] for v in (eta, beta, gamma)), 0.05, 0.3)
    noise = np.full((12, 8), 1 / 4000)
    z = radians(y) + 0.8 * np.sqrt(noise) * np.sin(np.arange(96.0) ** 2).reshape(12, 8)
    z += 0.01 * np.cos(3 * x) * np.sqrt(x[-1] - x)  # what no curve follows
    return LadderData(
        ["a", "b"],
        [f"{'ab'[b]}/{j}" for j, b in enumerate(of)],
        [f"m{m}" for m in range(8)],
        of,
        x,
        x[[-1, -1]],
        np.clip(z, 0.05, np.pi / 2 - 0.05),
        noise,
        np.zeros(12),
        np.full(12, 0.7),
        1 / np.bincount(of)[of],
    )


def summary(posterior):
    """Mean and Monte Carlo standard error of the shared parameters, of scales per benchmark, and of
    every cluster's accuracy a decade beyond the ladder."""
    p = posterior
    columns = {name: p[name].transpose("chain", "draw").values for name in GLOBAL}
    for name in ("tau", "nu", "sigma_omega", "lead"):
        for b in p["benchmark"].values:
            columns[f"{name}[{b}]"] = p[name].sel(benchmark=b).transpose("chain", "draw").values
    data = golden_ladder()
    for i, k in enumerate(p["cluster"].values):
        curve = [p[name].sel(cluster=k) for name in ("eta", "beta", "gamma", "g")]
        nu = p["nu"].isel(benchmark=data.of_cluster[i]) * data.nu_ratio[i]
        columns[f"y[{k}]"] = accuracy(AHEAD, *curve, nu).transpose("chain", "draw").values
    names = ("delta_benchmark", "omega")
    shocks = {name: p[name].sel(benchmark="b", model="m2") for name in names}
    columns |= {f"{n}[b, m2]": v.transpose("chain", "draw").values for n, v in shocks.items()}
    return {
        name: (float(v.mean()), float(array_stats.mcse(v, method="mean")))
        for name, v in columns.items()
    }


def by_pymc(draws=1000, seed=1):
    from cod_bayes.sampling.engines import sample_stated

    options = {"draws": draws, "tune": 1000, "chains": 4, "progressbar": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compilers' own
        tree, *_ = sample_stated(build(golden_ladder(), SPEC), "pymc", random_seed=seed, **options)
    return tree["posterior"].to_dataset()


def by_fast(seed=1):
    from cod_bayes.sampling.engines import sample_fast

    options = {"draws": 1000, "tune": 200, "chains": 4, "progressbar": False}
    tree, *_ = sample_fast(SPEC, golden_ladder(), random_seed=seed, **options)
    return tree["posterior"].to_dataset()


if __name__ == "__main__":
    import sys, time
    t = time.process_time()
    which = sys.argv[1]
    got = summary(by_pymc(int(sys.argv[2])) if which == "pymc" else by_fast())
    print(which, time.process_time() - t)
    for name, (mean, error) in got.items():
        print(f'    "{name}": ({mean:.5g}, {error:.2g}),')
