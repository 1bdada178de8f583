"""Models that lack items: their rate on all, from how hard the other models find what they lack."""

import numpy as np
import pandas as pd
import pytest
from seeds import seed

import cod_bayes as cb
from cod_bayes.clustering.clusters import cluster
from cod_bayes.evidence.missing import rates_on_all

ITEMS, MODELS = 600, "abcde"
DIFFICULTY = np.linspace(-2.5, 3.5, ITEMS)  # logits
ABILITY = np.array([-0.6, 0.0, 0.4, 1.0, 1.6])
RATE = 1 / (1 + np.exp(DIFFICULTY[:, None] - ABILITY))  # (item, model), exact
EASY = np.arange(ITEMS) < 360


def lacking(rate: np.ndarray, model: int, items: np.ndarray, trials: float = 10):
    """(rate, n_trials), where the model lacks the items (a mask)."""
    rate = rate.copy()
    rate[items, model] = np.nan
    return rate, np.where(np.isnan(rate), 0.0, trials)


def on_all(rate, n_trials, helps=None):
    return rates_on_all(rate, n_trials, np.ones((len(rate), 1)), helps)


def table(lacks=(), **columns) -> pd.DataFrame:
    """One right or wrong answer to each item; lacks: the models without the hard 240 items."""
    answer = np.random.default_rng(seed(4)).random(RATE.shape) < RATE
    j, i = (a.ravel() for a in np.meshgrid(np.arange(len(MODELS)), np.arange(ITEMS)))
    frame = pd.DataFrame(
        {
            "benchmark": "quiz",
            "item": [f"i{k:03d}" for k in i],
            "model": np.array(list(MODELS))[j],
            "compute": 10 ** (20 + 0.5 * j),
            "n_correct": answer[i, j].astype(int),
            "n_trials": 1,
        }
    ).assign(**columns)
    return frame[EASY[i] | ~frame["model"].isin([*lacks])]


def test_without_gaps_a_rate_is_the_mean_and_there_is_no_doubt():
    found = on_all(*lacking(RATE, 0, np.zeros(ITEMS, dtype=bool)))
    np.testing.assert_allclose(found.rate[0], RATE.mean(axis=0))
    assert (found.doubt == 0).all() and (found.trials == 10 * ITEMS).all()


@pytest.mark.parametrize("model", range(5))
@pytest.mark.parametrize("items", [EASY, ~EASY], ids=["easy", "hard"])
def test_a_model_that_lacks_the_easy_or_the_hard_items_is_scored_on_all(model, items):
    found = on_all(*lacking(RATE, model, items))
    truth, own = RATE[:, model].mean(), RATE[~items, model].mean()
    assert abs(own - truth) > 0.1
    assert abs(found.rate[0, model] - truth) < 0.035
    z = np.arcsin(np.sqrt(found.rate[0, model])) - np.arcsin(np.sqrt(truth))
    assert abs(z) < 1.5 * np.sqrt(found.doubt[0, model])
    others = np.arange(5) != model
    np.testing.assert_allclose(found.rate[0, others], RATE[:, others].mean(axis=0))


def test_a_few_lost_items_change_next_to_nothing():
    lost = np.arange(ITEMS) % 60 == 7
    found = on_all(*lacking(RATE, 4, lost))
    assert abs(found.rate[0, 4] - RATE[:, 4].mean()) < 0.001
    assert found.doubt[0, 4] < 0.01 / (4 * 1.0 * (ITEMS - 10)) + 0.1 / (4 * ITEMS)


def test_where_no_other_model_has_the_items_the_doubt_says_so():
    rate = RATE.copy()
    rate[~EASY] = np.nan
    rate[~EASY, 0] = 0.1  # only a has them, which does not help itself
    rate[EASY, 0] = np.nan
    found = on_all(rate, np.where(np.isnan(rate), 0.0, 10.0))
    assert (np.sqrt(found.doubt[0]) > 0.1).all()


def test_only_models_that_help_are_asked():
    rate, trials = lacking(RATE, 4, ~EASY)
    rate[~EASY, 3] = 0.99  # another kind of model
    helps = np.array([True, True, True, False, False])
    assert abs(on_all(rate, trials, helps).rate[0, 4] - RATE[:, 4].mean()) < 0.03


def test_the_doubt_covers_what_it_is_about():
    """Random ladders, random choices of items: by difficulty, against it, or by chance."""
    rng = np.random.default_rng(seed(5))
    inside, better = [], []
    for _ in range(400):
        items, models = rng.integers(40, 400), rng.integers(3, 8)
        b, ability = (
            rng.normal(0, rng.uniform(0.5, 2.5), items),
            np.sort(rng.normal(0, 1.5, models)),
        )
        odd = 0.2 * rng.normal(size=(items, models))
        slope = np.exp(rng.normal(0, 0.2, items))[:, None]
        p = 1 / (1 + np.exp(-slope * (ability - b[:, None] + odd)))
        n, j = rng.choice([1, 4, 20]), rng.integers(models)
        key = b * rng.choice([-1, 0, 1]) + rng.normal(0, 1, items) * rng.choice([0.01, 1.0])
        lost = np.zeros(items, dtype=bool)
        lost[np.argsort(key)[: int(rng.uniform(0.05, 0.7) * items)]] = True
        rate, trials = lacking(rng.binomial(n, p) / n, j, lost, n)
        found, truth = on_all(rate, trials), p[:, j].mean()
        sd = np.sqrt(found.doubt[0, j] + 1 / (4 * found.trials[0, j]))
        z = np.arcsin(np.sqrt(np.clip(found.rate[0, j], 0, 1))) - np.arcsin(np.sqrt(truth))
        inside.append(abs(z) < 1.645 * sd)
        better.append([abs(found.rate[0, j] - truth), abs(np.nanmean(rate[:, j]) - truth)])
    assert 0.85 <= np.mean(inside)
    error, pooled = np.mean(better, axis=0)
    assert error < pooled / 3


def test_clusters_are_fitted_to_rates_on_all_items_with_their_doubt():
    with pytest.warns(cb.EvidenceWarning, match="e lacks 240 of 600 items of quiz"):
        data = cb.read_table(table(lacks="e")).benchmarks["quiz"]
    found = cluster(data, np.random.default_rng(0))
    assert abs(found.rate[0, 4] - RATE[:, 4].mean()) < 0.08
    assert found.rate[0, 4] < data["rate"].values[EASY, 4].mean() - 0.08
    assert found.doubt[0, 4] > 0 and (found.doubt[0, :4] == 0).all()


@pytest.mark.parametrize("lacks", ["e", "a", "de", "cde"])
def test_every_model_keeps_its_place_whichever_lack_the_hard_items(lacks):
    with pytest.warns(cb.EvidenceWarning, match=f"{lacks[0]} lacks 240 of 600 items of quiz"):
        data = cb.read_table(table(lacks=lacks)).benchmarks["quiz"]
    found = cluster(data, np.random.default_rng(0))
    assert np.abs(found.rate[0] - RATE.mean(axis=0)).max() < 0.08
    whole = cluster(cb.read_table(table()).benchmarks["quiz"], np.random.default_rng(0))
    others = [m not in lacks for m in MODELS]
    np.testing.assert_array_equal(found.rate[0, others], whole.rate[0, others])


def test_a_forecast_does_not_follow_the_easy_items():
    """The largest model has the easy items only; the forecast of its own compute is of all."""
    scores = {}
    for lacks in ("", "e"):
        with pytest.warns(cb.EvidenceWarning) if lacks else pytest.MonkeyPatch.context():
            evidence = cb.read_table(table(lacks=lacks))
        fit = cb.fit(evidence, draws=200, tune=100, preview=True, progressbar=False)
        scores[lacks] = fit.forecast(1e22).summary()["q50"][0]
    assert abs(scores["e"] - scores[""]) < 0.08
    assert abs(scores["e"] - RATE[:, 4].mean()) < 0.1
