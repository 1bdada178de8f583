"""Laws every rival obeys, and recovery of curves of its own form."""

import sys
from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from scipy import optimize
from seeds import seed

from cod_bayes.evaluate.bootstrap import least_squares
from cod_bayes.evaluate.point import cluster_and_forecast
from cod_bayes.evaluate.rivals import INSTALLED, RIVALS
from cod_bayes.evaluate.series import NotApplicable, series

COMPUTE = 1e20 * 4.0 ** np.arange(7)
TARGET = np.array([COMPUTE[-1] * 8])
OF_ITEMS = ("item_response", "cod_point")  # they need items that differ
FORMS = [name for name in RIVALS if name not in (*OF_ITEMS, "simple_scaling_laws")]


def dataset(
    score: np.ndarray,
    compute: np.ndarray = COMPUTE,
    chance: float = 0.0,
    trials: float = np.nan,
    loss: np.ndarray | float = np.nan,
    items: int = 4,
) -> xr.Dataset:
    """`score` (model,) on every item; `trials` is a model's total over the items."""
    n = len(score)
    return xr.Dataset(
        {
            "rate": (("item", "model"), np.tile(score, (items, 1))),
            "n_trials": (("item", "model"), np.full((items, n), trials / items)),
        },
        coords={
            "item": [f"i{k}" for k in range(items)],
            "model": [f"m{k}" for k in range(n)],
            "compute": ("model", compute[:n]),
            "role": ("model", ["ladder"] * n),
            "chance": ("item", np.full(items, chance)),
            "loss": ("model", np.broadcast_to(np.asarray(loss, dtype=float), n)),
        },
    )


def median_and_width(name: str, data: xr.Dataset, at: np.ndarray = TARGET) -> tuple[float, float]:
    draws = RIVALS[name](data, at, np.random.default_rng(seed(0)), 1000)
    low, middle, high = np.quantile(draws[:, 0], [0.05, 0.5, 0.95])
    return float(middle), float(high - low)


def loss_of(c: np.ndarray) -> np.ndarray:
    return 1.8 + 1.5 * (c / 1e20) ** -0.12


# The curves in their papers' own parameters, in C rather than in log(C / C_top).
OWN_FORM: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "persistence": (lambda c: np.full(len(c), 0.37), 0.0),
    "power_law_log_accuracy": (lambda c: 0.05 * (c / 1e20) ** 0.2, 0.0),
    "krajewski": (lambda c: 0.25 + 0.75 * np.exp(-3.5 * (c / 1e20) ** -0.15), 0.25),
    "end_to_end": (lambda c: 0.1 + 0.9 * np.exp(-3.5 * (c / 1e20) ** -0.3 - 0.25), 0.1),
    "bnsl": (
        lambda c: (
            1 - 0.1 - 0.85 * (c / 1e20) ** -0.01 * (1 + (c / 4e21) ** (1 / 0.5)) ** (-0.25 * 0.5)
        ),
        0.0,
    ),
    "logistic": (lambda c: 0.2 + 0.8 / (1 + np.exp(2.5 - 0.3 * np.log(c / 1e20))), 0.2),
    "loss_intermediate": (
        lambda c: 0.25 + 0.75 / (1 + np.exp(6 * (loss_of(c) - 2.6))),
        0.25,
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_recovers_a_noiseless_curve_of_its_own_form(name: str) -> None:
    curve, chance = OWN_FORM[name]
    data = dataset(curve(COMPUTE), chance=chance, loss=loss_of(COMPUTE))
    middle, width = median_and_width(name, data)
    assert middle == pytest.approx(float(curve(TARGET)[0]), abs=0.01)
    assert width < 0.05


DEGENERATE = {
    "flat at 0": np.zeros(7),
    "flat at 1": np.ones(7),
    "flat at chance": np.full(7, 0.25),
    "below chance": np.linspace(0.2, 0.1, 7),
    "decreasing": np.linspace(0.7, 0.3, 7),
    "3 models": np.array([0.25, 0.3, 0.4]),
    "3 models at 0": np.zeros(3),
    "a leap": np.array([0.0, 0, 0, 0, 0, 0, 0.9]),
    "saturated": np.array([0.0, 1, 1, 1, 1, 1, 1]),
}


@pytest.mark.parametrize(("trials", "chance"), [(np.nan, np.nan), (200.0, 0.25)])
@pytest.mark.parametrize("case", DEGENERATE)
@pytest.mark.parametrize("name", [*FORMS, "item_response"])
def test_draws_are_finite_and_in_range(name: str, case: str, trials: float, chance: float) -> None:
    score = DEGENERATE[case]
    data = dataset(score, chance=chance, trials=trials, loss=loss_of(COMPUTE)[: len(score)])
    at = np.array([COMPUTE[0], COMPUTE[-1], COMPUTE[-1] * 1000])
    draws = RIVALS[name](data, at, np.random.default_rng(seed(0)), 300)
    assert draws.shape == (300, 3)
    assert np.isfinite(draws).all()
    assert draws.min() >= 0
    assert draws.max() <= 1


# The others find a slope in the wobble, and nothing but a prior could hold them.
@pytest.mark.parametrize(
    "name",
    ["persistence", "power_law_log_accuracy", "end_to_end", "loss_intermediate", "item_response"],
)
def test_a_ladder_at_chance_is_forecast_at_chance(name: str) -> None:
    wobble = 0.25 + 0.02 * np.array([1, -1, 0.5, -1, 1, -0.5, -1])
    data = dataset(wobble, chance=0.25, trials=400, loss=loss_of(COMPUTE))
    assert median_and_width(name, data)[0] == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("name", [*FORMS, "item_response"])
def test_noisier_ladders_give_wider_intervals(name: str) -> None:
    curve, chance = OWN_FORM["krajewski"]
    shock = np.array([1, -1, -0.5, 1, -1, 0.7, -0.4])
    widths = [
        median_and_width(
            name, dataset(curve(COMPUTE) + size * shock, chance=chance, loss=loss_of(COMPUTE))
        )[1]
        for size in (0.002, 0.02, 0.06)
    ]
    assert widths[0] < widths[1] < widths[2]
    assert widths[2] > 4 * 0.06 * np.std(shock)  # a fresh model has a shock of its own


@pytest.mark.parametrize("name", [*FORMS, "item_response"])
def test_known_trials_add_evaluation_noise(name: str) -> None:
    data = dataset(np.full(7, 0.4), trials=100, loss=loss_of(COMPUTE))
    width = median_and_width(name, data)[1]
    assert width > 0.9 * 2 * 1.645 * np.sqrt(0.4 * 0.6 / 100)


def test_intervals_cover_a_krajewski_world() -> None:
    """90 % intervals of the right form hold about 90 % of fresh observations."""
    rng, (curve, chance) = np.random.default_rng(seed(1)), OWN_FORM["krajewski"]
    inside = []
    for _ in range(60):
        data = dataset(curve(COMPUTE) + rng.normal(0, 0.03, 7), chance=chance)
        draws = RIVALS["krajewski"](data, TARGET, rng, 1000)
        low, high = np.quantile(draws, [0.05, 0.95])
        inside.append(low <= curve(TARGET)[0] + rng.normal(0, 0.03) <= high)
    assert 0.8 <= np.mean(inside) <= 0.99


@pytest.mark.parametrize("name", [*FORMS, "item_response"])
def test_same_generator_same_draws(name: str) -> None:
    data = dataset(np.linspace(0.2, 0.5, 7), loss=loss_of(COMPUTE))
    one, two = (RIVALS[name](data, TARGET, np.random.default_rng(seed(7)), 50) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_least_squares_agrees_with_scipy() -> None:
    def curve(theta: np.ndarray, u: np.ndarray) -> np.ndarray:
        return np.exp(-np.exp(theta[..., :1] - theta[..., 1:2] * u) - theta[..., 2:3])

    rng, u = np.random.default_rng(seed(0)), np.linspace(-6, 0, 9)
    lower, upper = np.array([-5.0, 0.0, 0.0]), np.array([3.0, 2.0, 3.0])
    start = np.array([0.0, 0.3, 0.2])
    y = curve(np.array([-0.5, 0.25, 0.1]), u) + rng.normal(0, 0.03, (6, 9))
    _, cost = least_squares(curve, u, y, np.tile(start, (6, 1)), lower, upper)
    for k in range(6):
        answer = optimize.least_squares(
            lambda theta, k=k: curve(theta, u) - y[k],
            start,
            bounds=(lower, upper),
            xtol=1e-12,
            ftol=1e-12,
        )
        assert cost[k] == pytest.approx(2 * answer.cost, rel=1e-4)


def two_kinds(items: int = 60) -> xr.Dataset:
    """Items that rise with compute, and as many that stay near 0.1."""
    rng = np.random.default_rng(seed(3))
    rising = 0.9 * np.exp(-1.5 * (COMPUTE / 1e22) ** -0.25)
    rate = np.where(np.arange(items)[:, None] < items // 2, rising, 0.1)
    data = dataset(rising, items=items).copy()
    data["rate"] = ("item", "model"), rng.binomial(100, rate) / 100
    data["n_trials"] = ("item", "model"), np.full(rate.shape, 100.0)
    return data


def test_cod_point_is_the_point_method_with_a_spread() -> None:
    data = two_kinds()
    draws = RIVALS["cod_point"](data, TARGET, np.random.default_rng(seed(0)), 1000)
    assert draws.shape == (1000, 1)
    assert draws.min() >= 0
    assert draws.max() <= 1
    point = cluster_and_forecast(data, TARGET).full
    assert np.median(draws) == pytest.approx(float(point[0]), abs=0.01)
    assert 0 < draws.std() < 0.2
    again = RIVALS["cod_point"](data, TARGET, np.random.default_rng(seed(0)), 1000)
    np.testing.assert_array_equal(draws, again)


def test_only_the_ladder_is_seen_in_any_order() -> None:
    score = np.linspace(0.2, 0.5, 7)
    whole = dataset(np.append(score, 0.9), compute=np.append(COMPUTE, TARGET))
    role = ["ladder"] * 7 + ["target"]
    whole = whole.assign_coords(role=("model", role)).isel(model=[3, 7, 0, 6, 2, 1, 5, 4])
    recorded = series(whole)
    np.testing.assert_allclose(recorded.score, score)
    np.testing.assert_allclose(recorded.compute, COMPUTE)


def test_the_mean_is_over_all_items() -> None:
    rate = np.array([[0.0, 0.2, 0.4], [0.2, 0.4, 0.6], [1.0, np.nan, 1.0]])
    data = dataset(np.zeros(3), items=3, trials=30).copy()
    data["rate"] = ("item", "model"), rate
    data["n_trials"] = ("item", "model"), np.where(np.isfinite(rate), 10.0, 0.0)
    recorded = series(data)
    np.testing.assert_allclose(recorded.score[[0, 2]], [0.4, 2 / 3])
    assert recorded.score[0] < recorded.score[1] < recorded.score[2]  # its own items' mean is 0.3
    assert recorded.trials == 30


def test_missing_data_are_refused_by_name() -> None:
    data = dataset(np.linspace(0.2, 0.5, 7))
    rng = np.random.default_rng(seed(0))
    with pytest.raises(NotApplicable, match="loss"):
        RIVALS["loss_intermediate"](data, TARGET, rng, 10)
    with pytest.raises(NotApplicable, match="at least 3 ladder models"):
        RIVALS["end_to_end"](data.isel(model=[0, 1]), TARGET, rng, 10)
    with pytest.raises(NotApplicable, match="extrapolatable"):
        RIVALS["cod_point"](dataset(np.full(7, 0.3)), TARGET, rng, 10)
    with pytest.raises(ValueError, match="FLOPs"):
        RIVALS["persistence"](data, np.array([-1.0]), rng, 10)


def test_a_package_that_is_not_installed_is_not_offered(monkeypatch) -> None:
    assert set(RIVALS) - set(INSTALLED) <= {"simple_scaling_laws"}
    monkeypatch.setitem(sys.modules, "simple_scaling_laws", None)
    data = dataset(np.linspace(0.2, 0.5, 7))
    with pytest.raises(NotApplicable, match=r"not installed; install it with cod-bayes\[rivals\]"):
        RIVALS["simple_scaling_laws"](data, TARGET, np.random.default_rng(seed(0)), 10)


@pytest.mark.slow
def test_simple_scaling_laws_forecasts_its_own_law() -> None:
    pytest.importorskip("simple_scaling_laws")

    def curve(c: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-(2.0 - 4.0 * (c / 1e20) ** -0.15)))

    rng, at = np.random.default_rng(seed(0)), np.append(TARGET, 100 * TARGET)
    data = dataset(curve(COMPUTE) + rng.normal(0, 0.005, 7))
    draws = RIVALS["simple_scaling_laws"](data, at, rng, 450)
    assert draws.shape == (450, 2)
    assert draws.min() >= 0 and draws.max() <= 1
    low, high = np.quantile(draws[:, 0], [0.05, 0.95])
    assert low < curve(TARGET)[0] < high < low + 0.3
