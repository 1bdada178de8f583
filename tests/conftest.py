"""The shift of all seeds, and one small fitted posterior for tests of what is done with it."""

import warnings

import pytest
import seeds
from seeds import seed


def pytest_addoption(parser):
    parser.addoption("--seed-shift", type=int, default=0, help="added to every seed of the tests")


def pytest_configure(config):
    seeds.set_shift(config.getoption("--seed-shift"))


@pytest.fixture(scope="session")
def posterior_file(tmp_path_factory):
    """posterior.nc of two simulated benchmarks, "GSM8K" and "My bench", and few draws."""
    from dataclasses import replace

    from cod_bayes.evaluate.simulate import PAPER_BENCHMARKS, simulate
    from cod_bayes.forecast.fitting import fit

    gsm8k, mbpp = (b for b in PAPER_BENCHMARKS if b.name in ("GSM8K", "MBPP"))
    benchmarks = [replace(gsm8k, n_items=60), replace(mbpp, name="My bench", n_items=60)]
    world = simulate(seed(3), benchmarks=benchmarks, include_target=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = fit(world.evidence, random_seed=seed(3), draws=150, tune=300, progressbar=False)
    path = tmp_path_factory.mktemp("posterior") / "posterior.nc"
    fitted.save(path)
    return path
