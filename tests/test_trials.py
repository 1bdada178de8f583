"""Trials behind a mean of item rates: n = K^2 / sum 1 / n_i, wherever such a mean is taken."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seeds import seed

import cod_bayes as cb
from cod_bayes.clustering.clusters import cluster
from cod_bayes.decide.checkpoints import read_checkpoints
from cod_bayes.evaluate.rivals import series
from cod_bayes.evidence.trials import trials_of_mean

TRIALS = np.tile([1, 15], 100)  # 200 items: 1,600 trials, whose mean is as noisy as that of 375
MODELS = 4


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(seed(1))
    rows = [
        {
            "benchmark": "b",
            "item": f"{i:03d}",
            "model": f"m{j}",
            "compute": 10.0 ** (20 + j),
            "n_trials": n,
            "n_correct": rng.binomial(n, 0.2 + 0.15 * j),
        }
        for i, n in enumerate(TRIALS)
        for j in range(MODELS)
    ]
    return pd.DataFrame(rows)


def test_the_variance_of_a_mean_of_rates_is_that_of_n_trials():
    rng, p = np.random.default_rng(seed(2)), 0.3
    means = (rng.binomial(TRIALS, p, (20_000, len(TRIALS))) / TRIALS).mean(axis=1)
    n = trials_of_mean(len(TRIALS), (1 / TRIALS).sum())
    assert n == 375
    assert means.var() == pytest.approx(p * (1 - p) / n, rel=0.03)


@given(st.integers(1, 10_000), st.integers(1, 3_000))
def test_equal_trials_give_their_sum_exactly(n, items):
    inverse = np.full(items, 1 / n)
    assert trials_of_mean(items, inverse.sum()) == n * items
    assert trials_of_mean(items, np.cumsum(inverse)[-1]) == n * items  # in another order


def test_unknown_counts_and_no_items_give_nan():
    assert np.isnan(trials_of_mean([2, 0], [np.nan, 0.0])).all()


def test_a_cluster_has_as_many_trials_as_its_mean_is_worth(table):
    data = cb.read_table(table).benchmarks["b"]
    found = cluster(data, np.random.default_rng(0), whole=True)
    np.testing.assert_array_equal(found.n_trials, np.full((1, MODELS), 375.0))
    np.testing.assert_allclose(found.rate[0], data["rate"].mean("item"))


def test_items_that_a_model_lacks_do_not_count(table):
    lacking = table[(table["model"] != "m0") | (table["item"] >= "100")]
    with pytest.warns(cb.EvidenceWarning, match="m0 lacks 100 of 200 items"):
        data = cb.read_table(lacking.assign(n_trials=15, n_correct=3)).benchmarks["b"]
    found = cluster(data, np.random.default_rng(0), whole=True)
    np.testing.assert_array_equal(found.n_trials, [[1500.0, 3000.0, 3000.0, 3000.0]])
    assert found.doubt[0, 0] > 0 and (found.doubt[0, 1:] == 0).all()


def test_checkpoints_and_rivals_count_alike(table):
    np.testing.assert_array_equal(read_checkpoints(table)["trials"], [375.0] * MODELS)
    assert series(cb.read_table(table).benchmarks["b"]).trials == 375
