"""Coverage of the whole pipeline: items are drawn, clustered, fitted and forecast, and the true
scores of the target lie in its intervals as often as these say."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from seeds import seed

import cod_bayes as cb
from cod_bayes.evaluate.simulate import PAPER_BENCHMARKS, simulate
from cod_bayes.model.equations import radians

LADDERS = 5


@pytest.fixture(scope="module")
def placed():
    """Each truth in units of the 90 % interval's half width around the median, radians, and whether
    the 50 % interval covers it. (2, forecast)"""
    rows = []
    for ladder in range(LADDERS):
        rng = np.random.default_rng([seed(1), ladder])
        benchmarks = [
            replace(b, difficulty=b.difficulty + 0.5 * rng.standard_normal())
            for b in PAPER_BENCHMARKS[:4]
        ]
        world = simulate(
            rng, benchmarks=benchmarks, items_scale=0.04, shock=0.03, benchmark_shock=0.03
        )
        target = world.truth[world.truth["role"] == "target"].set_index("benchmark")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            fit = cb.fit(world.evidence, random_seed=seed(ladder), progressbar=False)
        table = fit.forecast(float(target["compute"].iloc[0])).summary().set_index("benchmark")
        truth = target["score"].loc[table.index]
        z, low, middle, high = (radians(v.to_numpy()) for v in (truth, *_of(table)))
        half = np.where(z > middle, high - middle, middle - low)
        rows.append([abs(z - middle) / half, truth.between(table["q25"], table["q75"])])
    return np.concatenate(rows, axis=1)


def _of(table):
    return (table[name] for name in ("q05", "q50", "q95"))


@pytest.mark.slow
def test_intervals_cover_the_truth_as_often_as_they_say(placed):
    distance, in_half = placed
    # Of 20 with a chance of 0.9, fewer than 13 come true once in 2,400 cases; of 0.5, fewer than 3
    # once in 5,000.
    assert (distance < 1).sum() >= 13
    assert in_half.sum() >= 3


@pytest.mark.slow
def test_intervals_a_quarter_as_wide_would_not(placed):
    assert (placed[0] < 0.25).sum() < 13
