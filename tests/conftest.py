"""One small fitted posterior for all tests of what is done with saved ones."""

import warnings

import pytest


@pytest.fixture(scope="session")
def posterior_file(tmp_path_factory):
    """posterior.nc of two simulated benchmarks, "GSM8K" and "My bench", and few draws."""
    from dataclasses import replace

    from cod_bayes.evaluate.simulate import PAPER_BENCHMARKS, simulate
    from cod_bayes.forecast.fitting import fit

    gsm8k, mbpp = (b for b in PAPER_BENCHMARKS if b.name in ("GSM8K", "MBPP"))
    benchmarks = [replace(gsm8k, n_items=60), replace(mbpp, name="My bench", n_items=60)]
    world = simulate(3, benchmarks=benchmarks, include_target=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = fit(world.evidence, random_seed=3, draws=150, tune=300, progressbar=False)
    path = tmp_path_factory.mktemp("posterior") / "posterior.nc"
    fitted.save(path)
    return path
