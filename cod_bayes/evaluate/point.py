"""The COD point method on one benchmark: clusters' curves, the predictable subset, the full set.

    y(C)     = g + (1 - g) exp(-a C^-b - c),   C in 10^18 FLOPs           (4.2, Theorem 1)
    extrapolatable:  a > 1,  b > 0.1,  0 <= c < 1                         (4.3; needs that unit)
    subset(C) = sum_k n_k y_k(C) / sum_k n_k  over the extrapolatable clusters k of n_k items
    full(C)   = f(subset(C)),   f increasing, f(0) = 0, f(1) = 1          (4.4)

g is the chance level, c caps the ceiling, a and b are coefficient and exponent of the answer loss.
Curves are fitted to the ladder alone; f to the ladder's and the anchors' points (subset accuracy,
full accuracy). Models of role "target" are not used. An accuracy is the mean pass rate over
items; a cluster's rate is the sum of correct answers over the sum of trials (the mean rate where
trials are unknown). Missing cells are left out.

Two assumptions matter. f runs through (1, 1): a benchmark with many items that no model ever solves
is forecast too high, unless an anchor shows otherwise. And C counts FLOPs: the filter means nothing
for compute in other units.

This is the baseline of the Bayesian models: point forecasts without intervals.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import BSpline
from scipy.optimize import least_squares, nnls
from sklearn.base import ClusterMixin

from cod_bayes.clustering.estimator import ImprovedMeanShift
from cod_bayes.clustering.mean_shift import smooth_over_ladder
from cod_bayes.evidence.record import ladder_of

Floats = NDArray[np.float64]

COMPUTE_UNIT = 1e18  # FLOPs per unit of C: the paper's "BB", 1e9 FLOPs per token times 1e9 tokens
ROBUST_SCALE = 0.05  # residuals in accuracy beyond this count less than squared
TIE = 1e-5  # fits whose RMSE differ by less are equal: the smallest b is taken
TOLERANCE = 0.005  # T, the mapping's RMSE in accuracy (C.2)
MAX_SEGMENTS = 12


# --- curves --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PointCurve:
    """y(C) = g + (1 - g) exp(-a C^-b - c), C in 10^18 FLOPs (4.2). All NaN: too few rates."""

    a: float
    b: float
    c: float
    g: float

    def __call__(self, compute: ArrayLike) -> Floats:
        """Accuracy at compute (FLOPs, any shape)."""
        C = np.asarray(compute, dtype=float) / COMPUTE_UNIT
        return self.g + (1 - self.g) * np.exp(-self.a * C**-self.b - self.c)


def is_extrapolatable(curve: PointCurve) -> bool:
    """a > 1, b > 0.1 and 0 <= c < 1 (4.3). Other curves are saturated, flat or not emerged yet."""
    return curve.a > 1 and curve.b > 0.1 and 0 <= curve.c < 1


def fit_curve(
    compute_flops: ArrayLike,
    rate: ArrayLike,
    weights: ArrayLike | None = None,
    chance: float | None = None,
) -> PointCurve:
    """Robust least squares (soft L1) of y(C) with a, b, c, g free, 0 <= g <= 1 and c >= 0 (4.2).

    compute_flops (model,), FLOPs; rate (model,) in [0, 1], NaN is left out; weights (model,), None:
    equal; chance: a starting value for g, not a bound. Fewer than 3 rates give a curve of NaNs.
    Deterministic: the starts are the best of a fixed grid.
    """
    flops, y = np.asarray(compute_flops, dtype=float), np.asarray(rate, dtype=float)
    w = np.ones_like(y) if weights is None else np.asarray(weights, dtype=float)
    if not flops.shape == y.shape == w.shape or y.ndim != 1:
        raise ValueError(
            f"expected compute, rate and weights of one length, "
            f"got shapes {flops.shape}, {y.shape} and {w.shape}"
        )
    present = np.isfinite(y) & (w > 0)
    if present.sum() < 3:
        return PointCurve(np.nan, np.nan, np.nan, np.nan)
    # The parameters are u = log(a C_max^-b), log b, c, g, because a and b are almost collinear.
    log_c = np.log(flops[present] / COMPUTE_UNIT)
    last = log_c.max()
    x, y, root = log_c - last, y[present], np.sqrt(w[present] / w[present].mean())

    def residuals(theta: Floats) -> Floats:
        u, log_b, c, g = theta[..., 0:1], theta[..., 1:2], theta[..., 2:3], theta[..., 3:4]
        loss = np.exp(np.minimum(u - np.exp(log_b) * x, 50))
        return root * (g + (1 - g) * np.exp(-loss - c) - y)

    def jacobian(theta: Floats) -> Floats:
        u, log_b, c, g = theta
        slope = np.exp(log_b)
        exponent = u - slope * x
        loss = np.exp(np.minimum(exponent, 50))
        e = np.exp(-loss - c)
        du = np.where(exponent < 50, -(1 - g) * e * loss, 0)
        return root[:, None] * np.column_stack([du, -du * slope * x, -(1 - g) * e, 1 - e])

    floor = [0.0, float(np.clip(y.min(), 0, 0.98)), *([] if chance is None else [float(chance)])]
    floor = [g for g in dict.fromkeys(floor) if 0 <= g < 1]
    grid = np.meshgrid(
        np.linspace(-4, 3, 8), np.log([0.05, 0.15, 0.3, 0.6, 1.2, 2.5]), [1e-3, 0.1, 0.5], floor
    )
    starts = np.column_stack([axis.ravel() for axis in grid])
    z = (residuals(starts) / ROBUST_SCALE) ** 2
    order = np.argsort((2 * (np.sqrt(1 + z) - 1)).sum(axis=1), kind="stable")
    bounds = ([-20, np.log(1e-3), 0, 0], [20, np.log(10), 10, 1])
    # Where rates carry no information, many curves fit them and the flattest must win. This start
    # makes sure that a flat curve is among them.
    flat = np.array([3.0, np.log(0.05), 1e-3, y.mean()])

    def refine(start: Floats, steps: int) -> tuple[float, Floats]:
        fit = least_squares(
            residuals,
            np.clip(start, np.add(bounds[0], 1e-6), np.subtract(bounds[1], 1e-6)),
            jacobian,
            bounds,
            loss="soft_l1",
            f_scale=ROBUST_SCALE,
            xtol=1e-12,
            ftol=1e-12,
            gtol=1e-12,
            max_nfev=steps,
        )
        return fit.cost, fit.x

    # The six best of the grid, two from further down, and the flat one get a few steps each. The
    # winner is then refined until it converges.
    fits = [refine(start, 40) for start in (*starts[order[:6]], *starts[order[20:60:20]], flat)]
    least = min(cost for cost, _ in fits) + 0.5 * len(y) * TIE**2
    winner = min((x for cost, x in fits if cost <= least), key=lambda x: x[1])
    u, log_b, c, g = refine(winner, 500)[1]
    b = np.exp(log_b)
    return PointCurve(a=float(np.exp(u + b * last)), b=float(b), c=float(c), g=float(g))


# --- mapping -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SplineMapping:
    """f: [0, 1] -> [0, 1], a cubic spline with f'' continuous, f' > 0, f(0) = 0 and f(1) = 1."""

    spline: BSpline
    segments: int
    rmse: float  # over the fitted points, in accuracy

    def __call__(self, subset: ArrayLike) -> Floats:
        """Full accuracy at the subset's accuracy (any shape); NaN stays NaN."""
        return self.spline(np.clip(np.asarray(subset, dtype=float), 0, 1))


def fit_mapping(
    subset_acc: ArrayLike, full_acc: ArrayLike, tolerance: float = TOLERANCE
) -> SplineMapping:
    """A smoothing cubic spline with segments added until RMSE <= tolerance (4.4, C.2).

    subset_acc, full_acc: (point,) in [0, 1]; pairs with a NaN are left out. B-spline coefficients
    that rise from 0 to 1 make a spline that does; their steps are fitted by non-negative least
    squares with a slight penalty on the second derivative. Inner knots are quantiles of the points.
    Where no number of segments up to 12 reaches the tolerance (the points are not a function), the
    least RMSE wins. Without points f is the identity.
    """
    x, y = np.asarray(subset_acc, dtype=float), np.asarray(full_acc, dtype=float)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"expected two equally long sequences, got shapes {x.shape} and {y.shape}")
    present = np.isfinite(x) & np.isfinite(y)
    x, y = x[present], y[present]
    if np.any((x < 0) | (x > 1) | (y < 0) | (y > 1)):
        raise ValueError("expected accuracies in [0, 1], not in percent")
    best = _fit_spline(x, y, 1, tolerance)
    for segments in range(2, MAX_SEGMENTS + 1):
        if best.rmse <= tolerance:
            break
        fit = _fit_spline(x, y, segments, tolerance)
        best = fit if fit.rmse < best.rmse else best
    return best


def _fit_spline(x: Floats, y: Floats, segments: int, tolerance: float) -> SplineMapping:
    inner = np.quantile(x, np.arange(1, segments) / segments) if len(x) else np.empty(0)
    inner = np.unique(np.round(inner[(inner > 0.01) & (inner < 0.99)], 2))
    knots = np.concatenate([[0.0] * 4, inner, [1.0] * 4])
    size = len(knots) - 4
    identity = np.diff([knots[i + 1 : i + 4].mean() for i in range(size)])  # the steps of f(x) = x
    # f = sum_j steps_j * rise_j(x), where rise_j goes from 0 to 1 (the coefficients from j + 1 on).
    rises = BSpline(knots, np.tril(np.ones((size, size - 1)), -1), 3)
    # steps >= 0 give f' >= 0; a share of the identity makes it strict.
    share = 1e-3
    target = (y - share * x) / (1 - share)
    grid = np.linspace(0, 1, 101)
    roughness = np.sqrt(1e-3 * tolerance**2 / len(grid)) * rises.derivative(2)(grid)
    # With sum(steps) = 1, rises(x) @ steps - y = (rises(x) - y) @ steps. The right side scales with
    # the sum, so: add a row sum(steps) = 1, minimise, rescale.
    rows = (rises(x) - target[:, None]) / np.sqrt(max(len(x), 1))
    system = np.vstack([rows, roughness, np.ones(size - 1)])
    steps, _ = nnls(system, np.append(np.zeros(len(system) - 1), 1.0))
    steps = share * identity + (1 - share) * steps / steps.sum()
    coefficients = np.concatenate([[0.0], np.cumsum(steps)])
    spline = BSpline(knots, coefficients / coefficients[-1], 3)
    rmse = float(np.sqrt(np.mean((spline(x) - y) ** 2))) if len(x) else 0.0
    return SplineMapping(spline, len(inner) + 1, rmse)


# --- the method ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class PointForecast:
    """Point forecasts of accuracies in [0, 1]; NaN where no cluster is extrapolatable."""

    compute: Floats  # (C,), FLOPs
    subset: Floats  # (C,), accuracy of the predictable subset
    full: Floats  # (C,), accuracy of the whole benchmark
    predictable_share: float  # items of the predictable subset / all items
    labels: NDArray[np.int64]  # (item,), -1 outlier
    curves: Mapping[int, PointCurve]  # by label
    sizes: Mapping[int, int]  # items, by label
    extrapolatable: Mapping[int, bool]  # by label
    mapping: SplineMapping | None  # None where no cluster is extrapolatable


def cluster_rates(benchmark: xr.Dataset, labels: ArrayLike) -> xr.DataArray:
    """Pass rate (cluster, model) of the items of each label >= 0; NaN where a model saw none.

    Sum of correct answers / sum of trials; the mean of the rates where a trial count is unknown.
    """
    labels = _checked_labels(benchmark, labels)
    rate = benchmark["rate"].transpose("item", "model").values
    trials = benchmark["n_trials"].transpose("item", "model").values
    names = np.unique(labels[labels >= 0])
    rates = np.full((len(names), rate.shape[1]), np.nan)
    for k, name in enumerate(names):
        r, n = rate[labels == name], trials[labels == name]
        present = np.isfinite(r) & (n != 0)
        uncounted = (present & np.isnan(n)).any(axis=0)
        weight = np.where(present, np.where(uncounted, 1.0, n), 0.0)
        total = weight.sum(axis=0)
        rates[k, total > 0] = (weight * np.where(present, r, 0)).sum(axis=0)[total > 0] / total[
            total > 0
        ]
    coords = {"cluster": names, "model": benchmark["model"], "compute": benchmark["compute"]}
    return xr.DataArray(rates, dims=("cluster", "model"), coords=coords)


def cod_point(benchmark: xr.Dataset, labels: ArrayLike, compute: ArrayLike) -> PointForecast:
    """Stages 2-4 of COD: fit, filter, extrapolate and map.

    benchmark: dims (item, model), variables rate and n_trials, coords compute (FLOPs) and role.
    labels: (item,) integers, -1 outlier. compute: FLOPs, a number or (C,).
    """
    labels = _checked_labels(benchmark, labels)
    at = np.atleast_1d(np.asarray(compute, dtype=float))
    ladder = _ladder(benchmark)
    rates = cluster_rates(ladder, labels)
    names = [int(name) for name in rates["cluster"].values]
    sizes = {name: int((labels == name).sum()) for name in names}
    curves = {
        name: fit_curve(
            ladder["compute"].values,
            rates.sel(cluster=name).values,
            chance=_chance(ladder, labels == name),
        )
        for name in names
    }
    extrapolatable = {name: is_extrapolatable(curves[name]) for name in names}
    kept = [name for name in names if extrapolatable[name]]
    if not kept:
        nan = np.full(at.shape, np.nan)
        return PointForecast(at, nan, nan, 0.0, labels, curves, sizes, extrapolatable, None)
    size = np.array([sizes[name] for name in kept])
    subset = size @ np.array([curves[name](at) for name in kept]) / size.sum()
    known = benchmark.isel(
        model=np.flatnonzero(np.isin(benchmark["role"].values, ["ladder", "anchor"]))
    )
    rate = known["rate"].transpose("item", "model").values
    mapping = fit_mapping(_mean(rate[np.isin(labels, kept)]), _mean(rate))
    share = float(size.sum() / len(labels))
    return PointForecast(
        at, subset, mapping(subset), share, labels, curves, sizes, extrapolatable, mapping
    )


def cluster_and_forecast(
    benchmark: xr.Dataset, compute: ArrayLike, clusterer: ClusterMixin | None = None
) -> PointForecast:
    """COD from evidence to forecast: smooth the ladder's pass rates, cluster, then `cod_point`.

    clusterer: any scikit-learn clusterer of features (item, ladder model), labels -1 for outliers;
    None means `ImprovedMeanShift()`. Items with a rate missing even after smoothing are outliers.
    """
    rate = _ladder(benchmark)["rate"].transpose("item", "model").values
    features = smooth_over_ladder(rate)
    whole = np.isfinite(features).all(axis=1)
    labels = np.full(len(features), -1)
    if whole.any():
        model: Any = ImprovedMeanShift() if clusterer is None else clusterer
        labels[whole] = model.fit_predict(features[whole])
    return cod_point(benchmark, labels, compute)


def _ladder(benchmark: xr.Dataset) -> xr.Dataset:
    """The ladder's models only, by ascending compute."""
    ladder = ladder_of(benchmark)
    if not ladder.sizes["model"]:
        raise ValueError('expected models of role "ladder", got none: mark the models to fit on')
    return ladder.isel(model=np.argsort(ladder["compute"].values, kind="stable"))


def _checked_labels(benchmark: xr.Dataset, labels: ArrayLike) -> NDArray[np.int64]:
    values = np.asarray(labels)
    if values.shape != (benchmark.sizes["item"],) or not np.issubdtype(values.dtype, np.integer):
        raise ValueError(
            f"expected one integer label for each of {benchmark.sizes['item']} items, "
            f"got shape {values.shape} of {values.dtype}"
        )
    return values.astype(np.int64)


def _chance(benchmark: xr.Dataset, members: NDArray[np.bool_]) -> float | None:
    """Mean known chance level of the members; None where none is known."""
    if "chance" not in benchmark.coords:
        return None
    chance = benchmark["chance"].values[members]
    chance = chance[np.isfinite(chance)]
    return float(chance.mean()) if len(chance) else None


def _mean(rate: Floats) -> Floats:
    """Mean over items of rate (item, model), missing cells left out; NaN where a model has none."""
    present = np.isfinite(rate)
    count = present.sum(axis=0)
    return np.where(
        count > 0, np.where(present, rate, 0).sum(axis=0) / np.maximum(count, 1), np.nan
    )
