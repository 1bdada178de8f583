"""A golden posterior: both engines, and chains from far apart, find the posterior that is stored
here with the generator that made it.

    python tests/test_golden.py        prints GOLDEN anew, from the engine "pymc"
"""

import warnings

import numpy as np
import pytest
from arviz_stats.base import array_stats
from seeds import seed

from cod_bayes.model.equations import accuracy, radians
from cod_bayes.model.ladder import LadderData
from cod_bayes.model.spec import load_spec
from cod_bayes.model.statement import build
from cod_bayes.model.variables import DIMS, GLOBAL

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
    for name in (name for name, dims in DIMS.items() if dims == ("benchmark",)):
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


def by_pymc(number, draws=1000):
    from cod_bayes.sampling.engines import sample_stated

    options = {"draws": draws, "tune": 1000, "chains": 4, "progressbar": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compilers' own
        tree, *_ = sample_stated(
            build(golden_ladder(), SPEC), "pymc", random_seed=number, **options
        )
    return tree["posterior"].to_dataset()


def by_fast(number):
    from cod_bayes.sampling.engines import sample_fast

    options = {"draws": 1000, "tune": 200, "chains": 4, "progressbar": False}
    tree, *_ = sample_fast(SPEC, golden_ladder(), random_seed=number, **options)
    return tree["posterior"].to_dataset()


def check(posterior):
    """Within Monte Carlo error of what is stored: 4.5 standard errors of the difference, of some
    thirty means."""
    got = summary(posterior)
    assert set(got) == set(GOLDEN)
    away = {
        name: (mean - GOLDEN[name][0]) / np.hypot(error, GOLDEN[name][1])
        for name, (mean, error) in got.items()
    }
    worst = max(away, key=lambda name: abs(away[name]))
    assert abs(away[worst]) < 4.5, (worst, away[worst])
    # Their squares are those of standard normals, up to the means' correlation.
    assert np.mean(np.square(list(away.values()))) < 2.5


@pytest.mark.slow
def test_the_fast_engine_finds_the_golden_posterior():
    check(by_fast(seed(1)))


@pytest.mark.slow
def test_pymc_finds_the_golden_posterior():
    check(by_pymc(seed(2)))


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.0, 1.5], ids=["the mode", "far apart"])
def test_the_posterior_does_not_depend_on_where_chains_start(monkeypatch, spread):
    """All at the mode; and one and a half times as far apart as draws of the Laplace
    approximation, where 0.3 times is the engine's choice."""
    monkeypatch.setattr("cod_bayes.sampling.nuts._SPREAD", spread)
    check(by_fast(seed(3)))


# Mean and Monte Carlo standard error. Made by PyMC 6.4 and nutpie 0.16.11, on x86-64.
GOLDEN = {
    "mu_omega": (-3.8887, 0.00078),
    "sigma_model": (0.049589, 5.1e-05),
    "mu_eta[a]": (0.10294, 0.0059),
    "mu_eta[b]": (0.21805, 0.0067),
    "sigma_eta[a]": (0.92358, 0.0022),
    "sigma_eta[b]": (0.95891, 0.0024),
    "mu_beta[a]": (-0.96124, 0.0021),
    "mu_beta[b]": (-1.2211, 0.0028),
    "sigma_beta[a]": (0.35596, 0.001),
    "sigma_beta[b]": (0.3652, 0.001),
    "sigma_gamma[a]": (0.22488, 0.0031),
    "sigma_gamma[b]": (0.24817, 0.0032),
    "nu[a]": (0.58648, 0.0016),
    "nu[b]": (0.58012, 0.0015),
    "tau[a]": (0.0038416, 1.5e-05),
    "tau[b]": (0.0040615, 1.7e-05),
    "sigma_omega[a]": (0.036271, 0.00014),
    "sigma_omega[b]": (0.032924, 0.00013),
    "sigma_delta[a]": (0.078827, 0.00052),
    "sigma_delta[b]": (0.080781, 0.00054),
    "lead[a]": (0.022509, 0.00076),
    "lead[b]": (0.00079238, 0.0007),
    "spread_omega[a]": (1.7788, 0.0072),
    "spread_omega[b]": (1.6139, 0.0067),
    "y[a/0]": (0.52337, 0.00058),
    "y[a/1]": (0.18138, 0.0006),
    "y[a/2]": (0.17594, 0.0006),
    "y[a/3]": (0.48886, 0.00064),
    "y[a/4]": (0.67266, 0.00039),
    "y[a/5]": (0.62762, 0.00045),
    "y[a/6]": (0.6358, 0.0005),
    "y[b/7]": (0.20293, 0.00047),
    "y[b/8]": (0.13538, 0.00044),
    "y[b/9]": (0.34244, 0.00061),
    "y[b/10]": (0.62708, 0.00051),
    "y[b/11]": (0.64689, 0.00029),
    "delta_benchmark[b, m2]": (0.021717, 0.0007),
    "omega[b, m2]": (0.087444, 0.00051),
}


if __name__ == "__main__":
    for name, (mean, error) in summary(by_pymc(0, draws=2500)).items():
        print(f'    "{name}": ({mean:.5g}, {error:.2g}),')
