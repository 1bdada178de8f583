"""Scores against closed forms and against their definitions, written out."""

import math

import numpy as np
import pandas as pd
import pytest
from seeds import seed

from cod_bayes.evaluate.scoring import crps, interval, log_score, pit, score_table, summarise


def normal_crps(mean: float, sd: float, y: float) -> float:
    """Gneiting and Raftery 2007, eq. 20."""
    z = (y - mean) / sd
    density = math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    below = 0.5 * (1 + math.erf(z / math.sqrt(2)))
    return sd * (z * (2 * below - 1) + 2 * density - 1 / math.sqrt(math.pi))


@pytest.mark.parametrize("y", [0.35, 0.5, 0.72])
def test_crps_of_a_normal(y: float) -> None:
    draws = np.random.default_rng(seed(0)).normal(0.5, 0.08, 200_000)
    assert crps(draws, y) == pytest.approx(normal_crps(0.5, 0.08, y), abs=3e-4)


def test_crps_is_the_double_sum_over_distinct_pairs() -> None:
    draws = np.random.default_rng(seed(1)).beta(2, 3, (17, 4)).round(1)  # with ties
    y = np.array([0.0, 0.3, 0.5, 1.0])
    for k in range(4):
        x = draws[:, k]
        pairs = [abs(a - b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j]
        expected = np.mean([abs(a - y[k]) for a in x]) - 0.5 * np.mean(pairs)
        assert crps(draws, y)[k] == pytest.approx(expected, abs=1e-12)


def test_crps_is_fair() -> None:
    """Its mean over repetitions does not depend on the number of draws."""
    x = np.random.default_rng(seed(2)).normal(0.5, 0.1, (3, 60_000))
    few = crps(x, np.full(60_000, 0.6)).mean()
    assert few == pytest.approx(normal_crps(0.5, 0.1, 0.6), abs=1e-3)  # the plain one: + 0.019


def test_crps_of_a_point_is_its_absolute_error() -> None:
    assert crps([0.3], 0.5) == pytest.approx(0.2)
    assert crps(np.full(100, 0.3), 0.5) == pytest.approx(0.2)


@pytest.mark.parametrize(("a", "b"), [(1, 1), (8, 12), (60, 240), (2, 30)])
def test_log_score_of_a_beta(a: int, b: int) -> None:
    draws = np.random.default_rng(seed(3)).beta(
        a, b, 1_000_000
    )  # so that 0.05 is 7 standard errors
    for y in np.quantile(draws, [0.05, 0.5, 0.9]):
        log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
        expected = (a - 1) * math.log(y) + (b - 1) * math.log(1 - y) - log_beta
        assert log_score(draws, y) == pytest.approx(expected, abs=0.05)


def test_density_behind_the_log_score_integrates_to_one() -> None:
    draws = np.random.default_rng(seed(4)).beta(0.7, 3, 2_000)
    z = (np.arange(1_000) + 0.5) / 1_000 * np.pi / 2  # x = sin(z)^2, dx = sin(2 z) dz
    density = np.array([np.exp(log_score(draws, np.sin(at) ** 2)) for at in z])
    assert np.sum(density * np.sin(2 * z)) * (z[1] - z[0]) == pytest.approx(1, abs=0.02)


def test_log_score_is_finite_whatever_the_draws() -> None:
    for point in (0.0, 0.4, 1.0):
        for y in (0.0, 0.4, 1.0):
            value = log_score(np.full(50, point), y)
            assert np.isfinite(value)
            assert (value > 2) == (point == y)
    assert log_score(np.zeros(50), 1.0) == pytest.approx(math.log(1e-3), abs=1e-9)


def test_pit_counts_ties_half() -> None:
    assert pit([0.1, 0.2, 0.2, 0.4], 0.2) == 0.5
    assert pit([0.1, 0.2, 0.3, 0.4], 0.35) == 0.75
    u = np.random.default_rng(seed(5)).random((500, 2_000))
    values = pit(u, np.random.default_rng(seed(6)).random(2_000))
    assert np.mean(values) == pytest.approx(0.5, abs=0.03)
    assert np.var(values) == pytest.approx(1 / 12, abs=0.01)


def test_interval_is_equal_tailed() -> None:
    draws = np.linspace(0, 1, 1001)
    np.testing.assert_allclose(interval(draws, 0.9), [0.05, 0.95])
    assert interval(np.stack([draws, draws**2], axis=1), 0.5).shape == (2, 2)


@pytest.mark.parametrize(
    ("draws", "y", "says"),
    [
        (np.zeros((5, 2)), 0.5, "first axis"),
        (np.zeros(0), 0.5, "first axis"),
        (np.array([0.1, np.nan]), 0.5, "finite"),
        (np.array([10.0, 20.0]), 0.5, "rates, not points"),
        (np.array([0.1, 0.2]), 50.0, "rates, not points"),
    ],
)
def test_wrong_draws_are_refused(draws: np.ndarray, y: float, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        log_score(draws, y)


def test_interval_refuses_percent() -> None:
    with pytest.raises(ValueError, match=r"0\.9"):
        interval([0.1, 0.2], 90)


def test_score_table() -> None:
    draws = np.linspace(0.4, 0.6, 2_001)  # q05 0.41, q25 0.45, q75 0.55, q95 0.59
    outcomes = {"a": [0.5, 0.42], "b": [0.7, 0.5]}
    rows = pd.DataFrame(
        [
            {**summarise(draws, y), "method": "line", "family": family}
            for family, ys in outcomes.items()
            for y in ys
        ]
    )
    table = score_table(rows).set_index(["family", "method"])
    assert list(table.index) == [("a", "line"), ("b", "line"), ("pooled", "line")]
    a, pooled = table.loc[("a", "line")], table.loc[("pooled", "line")]
    assert (a["n"], pooled["n"]) == (2, 4)
    assert a["mae"] == pytest.approx(4.0)
    assert (a["coverage50"], a["coverage90"]) == (0.5, 1.0)
    assert (pooled["coverage50"], pooled["coverage90"]) == (0.5, 0.75)
    assert pooled["width90"] == pytest.approx(18.0)
    assert a["pit"] == pytest.approx(0.3, abs=1e-3)
    assert pooled["crps"] == pytest.approx(100 * rows["crps"].mean())
    with pytest.raises(ValueError, match="'crps'"):
        score_table(rows.drop(columns="crps"))
