"""Improved MeanShift against Algorithm 1 written down step by step; the laws of its clusters."""

import numpy as np
import pytest
from seeds import seed
from sklearn.base import clone
from sklearn.cluster import MeanShift, estimate_bandwidth

from cod_bayes.clustering import ball_sums
from cod_bayes.clustering.ball_sums import exact_sums
from cod_bayes.clustering.estimator import ImprovedMeanShift
from cod_bayes.clustering.mean_shift import (
    mean_shift,
    radius,
    set_aside_zero,
    smooth_over_ladder,
)


def simulated_rates(rng, n_items, n_models=9, trials=100):
    """Curve-shaped pass rates (item, model) over four decades of compute, with binomial noise."""
    log_compute = np.linspace(0, 4, n_models)
    chance = rng.choice([0, 0.1, 0.25], (n_items, 1)) * rng.random((n_items, 1))
    rate, middle = rng.uniform(0.2, 2, (n_items, 1)), rng.uniform(-1, 6, (n_items, 1))
    ceiling = rng.exponential(0.1, (n_items, 1))
    p = chance + (1 - chance) * np.exp(-np.exp(rate * (middle - log_compute)) - ceiling)
    return rng.binomial(trials, p) / trials


def algorithm_1(x, k=10, quantile=0.1, upper=None):
    """Algorithm 1, plainly: labels of x (item, feature), -1 for outliers and all-zero items."""
    upper = np.sqrt(x.shape[1]) / 10 if upper is None else upper
    labels = np.full(len(x), -1)
    unlabelled = [i for i in range(len(x)) if x[i].any()]
    bandwidth = estimate_bandwidth(x[unlabelled], quantile=quantile, n_samples=2000, random_state=0)
    r = min(bandwidth, upper)
    fresh = 0
    changed = True
    while changed and unlabelled:
        changed = False
        model = MeanShift(bandwidth=r).fit(x[unlabelled])
        for cluster, centre in enumerate(model.cluster_centers_):
            members = [i for i, j in zip(unlabelled, model.labels_, strict=True) if j == cluster]
            members = [i for i in members if np.sqrt(np.sum((x[i] - centre) ** 2)) <= r]
            if len(members) >= k:
                labels[members] = fresh
                fresh += 1
                changed = True
        unlabelled = [i for i in unlabelled if labels[i] < 0]
    return labels


@pytest.mark.parametrize(("n_items", "seed"), [(300, 0), (300, 1), (300, 2), (400, 3), (500, 4)])
def test_agrees_with_algorithm_1_label_for_label(n_items, seed):
    rng = np.random.default_rng(seed)
    x = exact_sums(smooth_over_ladder(simulated_rates(rng, n_items)))
    labels = ImprovedMeanShift().fit_predict(x)
    assert labels.max() >= 1
    np.testing.assert_array_equal(labels, algorithm_1(x))


@pytest.mark.slow
def test_agrees_on_a_larger_benchmark_without_rounding():
    # Rounding to 2^-32 may only settle ties; the plain form here sees the raw features.
    x = smooth_over_ladder(simulated_rates(np.random.default_rng(seed(11)), 1500))
    np.testing.assert_array_equal(ImprovedMeanShift().fit_predict(x), algorithm_1(x))


@pytest.mark.parametrize("trials", [1, 4])
@pytest.mark.parametrize("options", [{}, {"quantile": 0.03, "max_radius": 0.2}])
def test_agrees_where_many_items_are_equal(trials, options):
    # Few trials put the items on a coarse lattice: repeated rows and exact ties everywhere.
    rng = np.random.default_rng(trials)
    x = exact_sums(smooth_over_ladder(simulated_rates(rng, 600, n_models=5, trials=trials)))
    result = ImprovedMeanShift(min_cluster_size=5, **options).fit(x)
    expected = algorithm_1(x, 5, options.get("quantile", 0.1), options.get("max_radius"))
    np.testing.assert_array_equal(result.labels_, expected)


@pytest.mark.parametrize("bandwidth", [0.05, 0.2, 0.6])
def test_one_round_is_sklearns_mean_shift(bandwidth):
    x = exact_sums(np.random.default_rng(seed(5)).normal(size=(400, 3)))
    centres, labels = mean_shift(x, bandwidth)
    expected = MeanShift(bandwidth=bandwidth).fit(x)
    np.testing.assert_array_equal(centres, expected.cluster_centers_)
    np.testing.assert_array_equal(labels, expected.labels_)


def test_clusters_are_tight_large_and_numbered_without_gaps():
    rates = simulated_rates(np.random.default_rng(seed(3)), 1000)
    rates[::10] = 0
    x = smooth_over_ladder(rates)
    result = ImprovedMeanShift(min_cluster_size=15).fit(x)
    labels = result.labels_
    assert result.zero_mask_[::10].all() and (labels[result.zero_mask_] == -1).all()
    assert result.radius_ <= 0.3
    clustered = labels >= 0
    size = np.bincount(labels[clustered])
    assert size.min() >= 15 and len(size) == len(result.cluster_centers_)
    distance = np.linalg.norm(x[clustered] - result.cluster_centers_[labels[clustered]], axis=1)
    assert distance.max() <= result.radius_ + 1e-8


def test_equal_rows_give_their_own_clusters_when_the_bandwidth_is_zero():
    x = np.repeat(
        [[0.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0], [0.1, 0.2, 0.3]], [40, 30, 20, 3], 0
    )
    labels = ImprovedMeanShift().fit_predict(x)
    np.testing.assert_array_equal(labels, np.repeat([0, 1, -1, -1], [40, 30, 20, 3]))


@pytest.mark.parametrize("x", [np.zeros((20, 3)), np.full((5, 3), 0.5)])
def test_nothing_to_cluster(x):
    result = ImprovedMeanShift().fit(x)
    assert (result.labels_ == -1).all() and result.cluster_centers_.shape == (0, 3)


def test_labels_follow_the_items_when_they_are_reordered():
    rng = np.random.default_rng(seed(8))
    x = smooth_over_ladder(simulated_rates(rng, 500))
    order = rng.permutation(len(x))
    plain, mixed = ImprovedMeanShift().fit_predict(x), ImprovedMeanShift().fit_predict(x[order])
    np.testing.assert_array_equal(plain[order], mixed)


def test_smoothing_averages_neighbours_and_leaves_missing_out():
    rates = np.array([[0.0, 0.3, 0.6, 1.0], [np.nan, 0.2, np.nan, np.nan]])
    expected = [[0.15, 0.3, 1.9 / 3, 0.8], [0.2, 0.2, 0.2, np.nan]]
    np.testing.assert_allclose(smooth_over_ladder(rates), expected)


def test_zero_items_are_those_with_only_zeros():
    np.testing.assert_array_equal(
        set_aside_zero([[0, 0], [0, 0.01], [0.5, 0]]), [True, False, False]
    )


def test_sums_of_rounded_features_do_not_depend_on_their_order():
    x = np.random.default_rng(seed(0)).uniform(0, 1, 100_000)
    rounded = exact_sums(x)
    assert np.abs(rounded - x).max() <= 2.0**-33
    assert (
        len({float(np.cumsum(part)[-1]) for part in (rounded, rounded[::-1], np.sort(rounded))})
        == 1
    )


def test_scikit_learns_interface_and_refusals():
    assert clone(ImprovedMeanShift(quantile=0.2)).get_params() == {
        "min_cluster_size": 10,
        "quantile": 0.2,
        "max_radius": None,
    }
    with pytest.raises(ValueError, match="min_cluster_size: expected at least 1, got 0"):
        ImprovedMeanShift(min_cluster_size=0).fit(np.eye(3))
    with pytest.raises(ValueError, match="max_radius: expected a positive radius"):
        ImprovedMeanShift(max_radius=0).fit(np.eye(3))
    with pytest.raises(ValueError, match="NaN"):
        ImprovedMeanShift().fit([[0.1, np.nan], [0.2, 0.3]])


def test_every_place_on_the_way_is_visited_once(monkeypatch):
    # The plain climb visits a place again for every seed that passes it.
    visited = []
    original = ball_sums._ball_sums

    def noting(places, *rest):
        visited.extend(place.tobytes() for place in places)
        return original(places, *rest)

    monkeypatch.setattr(ball_sums, "_ball_sums", noting)
    x = exact_sums(smooth_over_ladder(simulated_rates(np.random.default_rng(seed(1)), 2000)))
    mean_shift(x, 0.28)
    assert len(visited) > 2000
    assert len(visited) == len(set(visited))


@pytest.mark.parametrize("bandwidth", [0.1, 0.3, 0.6])
def test_large_sets_have_seeds_at_a_few_rows(monkeypatch, bandwidth):
    monkeypatch.setattr(ball_sums, "ALL_SEEDS", 300)
    monkeypatch.setattr(ball_sums, "FEW_SEEDS", 40)
    x = exact_sums(np.random.default_rng(seed(5)).normal(size=(400, 2)))
    centres, labels = mean_shift(x, bandwidth)
    seeds = np.unique(x, axis=0)[np.random.default_rng(0).permutation(400)[:40]]
    expected = MeanShift(bandwidth=bandwidth, seeds=seeds).fit(x)
    np.testing.assert_array_equal(centres, expected.cluster_centers_)
    np.testing.assert_array_equal(labels, expected.labels_)
    assert len(centres) <= 40


@pytest.mark.parametrize(("n_items", "quantile"), [(50, 0.001), (700, 0.1), (3000, 0.3)])
def test_the_radius_is_scikit_learns_bandwidth(n_items, quantile):
    x = np.random.default_rng(seed(2)).normal(size=(n_items, 4))
    expected = estimate_bandwidth(x, quantile=quantile, n_samples=2000, random_state=0)
    np.testing.assert_allclose(radius(x, quantile, 99.0), max(expected, 1e-9 * np.abs(x).max()))
    assert radius(x, quantile, 1e-3) <= 1e-3
