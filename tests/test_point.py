"""The COD point method: its equations re-derived, known truth recovered, what depends on what."""

import math

import numpy as np
import pytest
import xarray as xr
from seeds import seed

from cod_bayes.evaluate.point import (
    PointCurve,
    cluster_and_forecast,
    cluster_rates,
    cod_point,
    fit_curve,
    fit_mapping,
    is_extrapolatable,
)

LADDER = np.geomspace(4e19, 1.4e23, 9)  # FLOPs; the paper's ladder spans these
TARGET = 30 * LADDER[-1]


def y(C, a, b, c, g):
    """The curve in scalar arithmetic, C in FLOPs."""
    return g + (1 - g) * math.exp(-a / math.pow(C / 1e18, b) - c)


def benchmark(rate, compute, role, n_trials=100.0, chance=np.nan):
    rate = np.asarray(rate, dtype=float)
    n_items, n_models = rate.shape
    trials = np.where(np.isnan(rate), 0, np.broadcast_to(n_trials, rate.shape))
    return xr.Dataset(
        {"rate": (("item", "model"), rate), "n_trials": (("item", "model"), trials)},
        coords={
            "item": [f"q{i}" for i in range(n_items)],
            "model": [f"m{j}" for j in range(n_models)],
            "compute": ("model", np.asarray(compute, dtype=float)),
            "role": ("model", list(role)),
            "chance": ("item", np.full(n_items, chance)),
        },
    )


# a, b, c, g of clusters that emerge within the ladder, and how many items have each
TRUTH = {0: (30.0, 0.45, 0.05, 0.0), 1: (25.0, 0.35, 0.15, 0.02), 2: (60.0, 0.4, 0.02, 0.1)}
SIZES = {0: 150, 1: 300, 2: 200}
UNSOLVED = 20


def simulated(rng, trials=100, anchors=()):
    """Items on three curves and a few never solved; models: ladder, target at 30x, anchors.

    anchors: their computes in units of the target's. Returns benchmark, true labels, true rates.
    """
    compute = [*LADDER, TARGET, *(TARGET * factor for factor in anchors)]
    p = [[y(C, *TRUTH[k]) for C in compute] for k in TRUTH for _ in range(SIZES[k])]
    p += [[0.0] * len(compute)] * UNSOLVED
    role = ["ladder"] * 9 + ["target"] + ["anchor"] * len(anchors)
    labels = np.repeat([0, 1, 2, -1], [*SIZES.values(), UNSOLVED])
    p = np.asarray(p)
    return benchmark(rng.binomial(trials, p) / trials, compute, role), labels, p


# --- curves ---


def test_accuracy_is_the_papers_equation_in_units_of_1e18_flops():
    for C, theta in [(3e19, (12.0, 0.4, 0.1, 0.25)), (5e24, (2.0, 0.2, 0.0, 0.0))]:
        assert PointCurve(*theta)(C) == pytest.approx(y(C, *theta), rel=1e-14)


@pytest.mark.parametrize(
    "truth",
    [
        (30.0, 0.45, 0.05, 0.0),
        (12.0, 0.25, 0.3, 0.25),
        (200.0, 0.5, 0.0, 0.1),
        (3.0, 0.15, 0.02, 0.05),
        (0.4, 0.3, 0.2, 0.0),
    ],
)
def test_recovers_a_known_curve_from_noiseless_rates(truth):
    curve = fit_curve(LADDER, [y(C, *truth) for C in LADDER])
    assert curve(TARGET) == pytest.approx(y(TARGET, *truth), abs=2e-4)
    np.testing.assert_allclose(curve(LADDER), [y(C, *truth) for C in LADDER], atol=1e-5)
    assert is_extrapolatable(curve) == is_extrapolatable(PointCurve(*truth))


def test_recovers_the_parameters_where_the_ladder_identifies_them():
    truth = (60.0, 0.5, 0.1, 0.2)
    curve = fit_curve(LADDER, [y(C, *truth) for C in LADDER])
    np.testing.assert_allclose([curve.a, curve.b, curve.c, curve.g], truth, rtol=1e-3)


def test_one_wrong_rate_moves_the_robust_fit_little():
    truth = (30.0, 0.45, 0.05, 0.0)
    rate = np.array([y(C, *truth) for C in LADDER])
    rate[4] += 0.3
    weights = np.ones(9)
    assert fit_curve(LADDER, rate)(TARGET) == pytest.approx(y(TARGET, *truth), abs=0.05)
    weights[4] = 0
    assert fit_curve(LADDER, rate, weights)(TARGET) == pytest.approx(y(TARGET, *truth), abs=1e-3)


@pytest.mark.parametrize("seed", [seed(n) for n in range(5)])
def test_any_fit_is_a_lawful_curve(seed):
    rng = np.random.default_rng(seed)
    rate = rng.uniform(0, 1, 9)
    rate[rng.integers(9)] = np.nan
    curve = fit_curve(LADDER, rate, chance=0.25)
    assert 0 <= curve.g <= 1 and curve.c >= 0 and curve.a > 0 and curve.b > 0
    values = curve(np.geomspace(1e17, 1e27, 200))
    assert np.all(np.diff(values) >= 0) and values.min() >= curve.g and values.max() <= 1
    assert curve == fit_curve(LADDER, rate, chance=0.25)


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_constant_rates_are_met(level):
    np.testing.assert_allclose(fit_curve(LADDER, np.full(9, level))(TARGET), level, atol=5e-3)


def test_too_few_rates_give_no_curve():
    curve = fit_curve(LADDER[:3], [0.1, np.nan, 0.2])
    assert math.isnan(curve.a) and not is_extrapolatable(curve)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="one length"):
        fit_curve(LADDER, [0.1, 0.2])


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        (PointCurve(1.01, 0.11, 0.0, 0.0), True),
        (PointCurve(1.0, 0.5, 0.0, 0.0), False),
        (PointCurve(5.0, 0.1, 0.0, 0.0), False),
        (PointCurve(5.0, 0.5, 1.0, 0.0), False),
        (PointCurve(5.0, 0.5, -0.01, 0.0), False),
        (PointCurve(5.0, 0.5, 0.99, 0.9), True),
    ],
)
def test_thresholds(curve, expected):
    assert is_extrapolatable(curve) is expected


# --- mapping ---


@pytest.mark.parametrize("seed", [seed(n) for n in range(12)])
def test_mapping_rises_from_end_to_end_over_any_points(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 25))
    x = rng.uniform(0, 1, n) ** rng.uniform(0.3, 4)
    noise = rng.choice([0.0, 0.02, 0.3])
    f = fit_mapping(x, np.clip(x ** rng.uniform(0.4, 3) + rng.normal(0, noise, n), 0, 1))
    grid = np.linspace(0, 1, 2001)
    assert f(0) == pytest.approx(0, abs=1e-12) and f(1) == pytest.approx(1, abs=1e-12)
    assert np.all(np.diff(f(grid)) > 0)


@pytest.mark.parametrize(
    "shape",
    [
        lambda x: x,
        lambda x: 0.6 * x + 0.4 * x**6,
        lambda x: x * (2 - x),
        lambda x: x**3,
        lambda x: (np.tanh(6 * (x - 0.4)) + np.tanh(2.4)) / (np.tanh(3.6) + np.tanh(2.4)),
    ],
)
@pytest.mark.parametrize("seed", [seed(n) for n in range(3)])
def test_mapping_meets_smooth_points_within_its_tolerance(shape, seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 0.9, 15)
    points = np.clip(shape(x) + rng.normal(0, 0.002, 15), 0, 1)
    f = fit_mapping(x, points)
    rmse = math.sqrt(sum((f(a) - b) ** 2 for a, b in zip(x, points, strict=True)) / 15)
    assert f.rmse == pytest.approx(rmse, rel=1e-9) and rmse <= 0.005


def test_segments_are_added_only_as_the_tolerance_needs():
    x = np.linspace(0.02, 0.95, 20)
    points = (np.tanh(9 * (x - 0.4)) + 1) / 2
    loose, tight = (fit_mapping(x, points, tolerance) for tolerance in (0.1, 0.002))
    assert loose.segments < tight.segments and tight.rmse <= 0.002
    assert fit_mapping(x, x).segments == 1


def test_mapping_is_smooth():
    # Twice differentiable: the slope's change over a step shrinks with the step, at knots too.
    x = np.linspace(0.05, 0.9, 10)
    f = fit_mapping(x, (np.tanh(6 * (x - 0.4)) + 1) / 2)

    def jump(step):
        slope = np.diff(f(np.arange(0, 1 + step / 2, step))) / step
        return np.abs(np.diff(slope)).max()

    assert jump(1e-4) < 0.2 * jump(1e-3)


def test_mapping_without_points_is_the_identity_and_percent_is_refused():
    grid = np.linspace(0, 1, 11)
    np.testing.assert_allclose(fit_mapping([np.nan], [0.4])(grid), grid, atol=1e-6)
    with pytest.raises(ValueError, match="not in percent"):
        fit_mapping([50.0], [40.0])


# --- the method ---


def test_cluster_rates_are_correct_answers_over_trials():
    rate = [[0.5, 0.2, np.nan], [1.0, 0.6, np.nan], [0.3, 0.9, 0.7]]
    data = benchmark(
        rate, [1e20, 1e21, 1e22], ["ladder"] * 3, [[10, 10, 1], [30, np.nan, 1], [4, 4, 4]]
    )
    result = cluster_rates(data, [0, 0, 5])
    np.testing.assert_allclose(result, [[35 / 40, 0.4, np.nan], [0.3, 0.9, 0.7]])
    assert result["cluster"].values.tolist() == [0, 5]


def test_subset_forecast_is_the_size_weighted_mean_of_extrapolatable_curves():
    data, labels, _ = simulated(np.random.default_rng(seed(0)))
    data["rate"][labels == 1] = 0.4  # a flat cluster
    compute = [TARGET / 10, TARGET]
    result = cod_point(data, labels, compute)
    assert dict(result.extrapolatable) == {0: True, 1: False, 2: True}
    assert result.sizes == SIZES
    for i, C in enumerate(compute):
        terms = []
        for k in (0, 2):
            members = data["rate"].values[labels == k, :9]
            curve = fit_curve(LADDER, [sum(column) / len(column) for column in members.T])
            terms.append((SIZES[k], y(C, curve.a, curve.b, curve.c, curve.g)))
        expected = sum(n * value for n, value in terms) / sum(n for n, _ in terms)
        assert result.subset[i] == pytest.approx(expected, abs=1e-6)
    assert result.predictable_share == (150 + 200) / 670
    assert result.full == pytest.approx(result.mapping(result.subset))


@pytest.mark.parametrize("seed", [seed(n) for n in range(3)])
def test_known_clusters_forecast_thirty_times_the_compute(seed):
    data, labels, p = simulated(np.random.default_rng(seed))
    result = cod_point(data, labels, TARGET)
    assert all(result.extrapolatable.values()) and result.predictable_share == 650 / 670
    assert result.subset[0] == pytest.approx(p[labels >= 0, 9].mean(), abs=0.02)
    assert result.full[0] == pytest.approx(p[:, 9].mean(), abs=0.03)


@pytest.mark.parametrize("seed", [seed(n) for n in range(2)])
def test_from_evidence_to_forecast(seed):
    data, _, p = simulated(np.random.default_rng(seed))
    data["rate"][3, 2:5] = np.nan  # missing even after smoothing: cannot be placed
    data["n_trials"][3, 2:5] = 0
    result = cluster_and_forecast(data, TARGET)
    assert (result.labels[-UNSOLVED:] == -1).all() and result.labels[3] == -1
    assert result.labels.max() >= 1 and result.predictable_share > 0.5
    assert result.full[0] == pytest.approx(p[:, 9].mean(), abs=0.03)


def test_the_target_is_never_looked_at():
    data, labels, _ = simulated(np.random.default_rng(seed(1)))
    other = data.copy(deep=True)
    other["rate"][:, 9] = 1 - other["rate"][:, 9]
    for forecast in (
        lambda d: cod_point(d, labels, TARGET),
        lambda d: cluster_and_forecast(d, TARGET),
    ):
        assert forecast(data).full == forecast(other).full
    np.testing.assert_array_equal(forecast(data).labels, forecast(other).labels)


def test_anchors_change_the_mapping_only():
    data, _, p = simulated(np.random.default_rng(seed(2)), anchors=(1.5,))
    unlike = data.copy(deep=True)
    unlike["rate"][-UNSOLVED - 100 :, 10] = 0.2  # another family is weak elsewhere
    alone = cluster_and_forecast(data.isel(model=slice(0, 10)), TARGET)
    same, moved = cluster_and_forecast(data, TARGET), cluster_and_forecast(unlike, TARGET)
    for result in (same, moved):
        np.testing.assert_array_equal(result.labels, alone.labels)
        assert result.curves == alone.curves and result.subset == alone.subset
    assert moved.full[0] != same.full[0] != alone.full[0]
    assert same.full[0] == pytest.approx(
        p[:, 9].mean(), abs=0.015
    )  # near the target: the map is known there


def test_nothing_extrapolatable_gives_nan():
    data = benchmark(np.full((30, 9), 0.3), LADDER, ["ladder"] * 9)
    for labels in (np.zeros(30, dtype=int), np.full(30, -1)):
        result = cod_point(data, labels, [TARGET, 2 * TARGET])
        assert result.predictable_share == 0 and result.mapping is None
        assert np.isnan(result.subset).all() and np.isnan(result.full).all()
        assert result.full.shape == (2,)
    assert np.isnan(cluster_and_forecast(data * 0, TARGET).full).all()


def test_rates_without_trial_counts_forecast_too():
    data, labels, _ = simulated(np.random.default_rng(seed(3)))
    scores = data.copy(deep=True)
    scores["n_trials"][:] = np.nan
    np.testing.assert_allclose(
        cod_point(scores, labels, TARGET).full, cod_point(data, labels, TARGET).full, atol=1e-6
    )


def test_refusals_say_what_to_do():
    data = benchmark(np.full((3, 2), 0.5), [1e20, 1e21], ["anchor", "target"])
    with pytest.raises(ValueError, match='role "ladder", got none'):
        cod_point(data, [0, 0, 0], TARGET)
    with pytest.raises(ValueError, match="one integer label for each of 3 items"):
        cod_point(data, [0, 1], TARGET)
