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
from cod_bayes.evidence.trials import TYPICAL_SHARE, noise_share, trials_of_mean

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


# Items differ, and all models answer the same ones.


def answers(n, models=6, items=400):
    """Rates and trials (item, model) of items whose probabilities differ and hardly move; the share
    of the binomial variance that is within the items."""
    rng = np.random.default_rng(seed(3))
    p = np.clip(rng.beta(0.5, 0.5, (items, 1)) + 0.02 * np.arange(models), 0, 1)
    within = (p * (1 - p)).mean(axis=0) / (p.mean(axis=0) * (1 - p.mean(axis=0)))
    return rng.binomial(n, p) / n, np.full(p.shape, float(n)), within.mean()


def share_of(rate, n_trials):
    everything = np.ones((len(rate), 1))
    return noise_share(rate, n_trials, everything, np.nanmean(rate, axis=0)[None])[0]


@pytest.mark.parametrize("n", [1, 2, 20])
def test_the_noise_share_is_what_the_items_themselves_vary(n):
    rate, trials, within = answers(n)
    assert within < 0.6
    assert share_of(rate, trials) == pytest.approx(within, abs=0.07)


def test_means_over_the_same_items_scatter_by_the_noise_share():
    rng, p = np.random.default_rng(seed(4)), np.linspace(0.01, 0.99, 200)
    rates = rng.binomial(1, p, (4000, 200)).mean(axis=1)
    rate = rng.binomial(1, p[:, None], (200, 30)).astype(float)
    share = share_of(rate, np.ones(rate.shape))
    assert np.arcsin(np.sqrt(rates)).var() == pytest.approx(share / (4 * 200), rel=0.12)


def test_items_that_are_alike_have_the_whole_binomial_variance():
    rate = np.random.default_rng(seed(5)).binomial(1, 0.4, (2000, 5)).astype(float)
    assert share_of(rate, np.ones(rate.shape)) > 0.95


def test_groups_have_shares_of_their_own_and_lacking_answers_do_not_count():
    rate, _, within = answers(20)
    alike = np.random.default_rng(seed(6)).binomial(20, 0.4, rate.shape) / 20
    both = np.concatenate([rate, alike])
    both[::7, 0] = np.nan
    of = np.repeat(np.eye(2), len(rate), axis=0)
    mean = np.stack([np.nanmean(part, axis=0) for part in np.split(both, 2)])
    share = noise_share(both, np.full(both.shape, 20.0), of, mean)
    assert share == pytest.approx([within, 1.0], abs=0.07)


def test_a_benchmark_known_by_one_score_has_the_typical_share_and_an_uncounted_one_all():
    rate = np.linspace(0.2, 0.6, 5)[None]
    assert share_of(rate, np.full(rate.shape, 500.0)) == TYPICAL_SHARE
    assert share_of(rate, np.full(rate.shape, np.nan)) == 1.0
    assert share_of(np.repeat(rate, 9, axis=0), np.full((9, 5), np.nan)) == 1.0


@pytest.mark.parametrize("n", [1, 16])
def test_a_forecast_is_measured_with_the_noise_of_the_items(n):
    rate, trials, _ = answers(n, items=100)
    rows = [
        ("b", f"i{i}", f"m{m}", 10.0 ** (20 + m / 2), round(rate[i, m] * n), n)
        for i, m in np.ndindex(rate.shape)
    ]
    names = ["benchmark", "item", "model", "compute", "n_correct", "n_trials"]
    fit = cb.fit(pd.DataFrame(rows, columns=names), draws=200, preview=True, progressbar=False)
    constant = fit.idata["constant_data"].to_dataset()
    share = share_of(rate, trials)
    assert constant["noise_share"].item() == pytest.approx(share)
    noise = share / (4 * 100 * n) + 0.004**2
    assert constant["noise"].values == pytest.approx(np.full((1, 6), noise))
    z, exact = (
        np.arcsin(np.sqrt(fit.draws(1e23, measured=m)["score"].values)) for m in (True, False)
    )
    assert (z - exact).var() == pytest.approx(noise, rel=0.15)
