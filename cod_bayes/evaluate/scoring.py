"""Proper scores of forecasts held as draws of a benchmark score in [0, 1].

    CRPS(F, y)  = E|X - y| - E|X - X'| / 2                 lower is better, in units of accuracy
    log score   = log f(y)                                 higher is better, in nats
    PIT         = P(X < y) + P(X = y) / 2                  uniform when the forecast is calibrated

and of a joint forecast of n scores, with the root mean square |x|^2 = sum_j x_j^2 / n,

    energy score = E|X - y| - E|X - X'| / 2                lower is better (same reference, eq. 22)

with X, X' independent draws of the forecast F and y the outcome. The CRPS of a point forecast is
its absolute error (Gneiting and Raftery 2007, eq. 21). `crps` is the *fair* estimator (Ferro 2014):
the pairs of E|X - X'| exclude a draw with itself, so that its expectation does not depend on the
number of draws. It needs one sort, O(n log n).

The density of the log score is a Gaussian kernel estimate on the arcsine scale z = arcsin(sqrt(x)),
reflected at both ends, times the Jacobian dz/dx = 1 / (2 sqrt(x (1 - x))), mixed with a uniform
density of weight 0.001. The mixture keeps the score above log(0.001) = -6.9 for any draws.

Draws are `(draw,)` with a scalar outcome, or `(draw, n)` with `n` outcomes; the answer is `()` or
`(n,)`.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating[Any]]

UNIFORM_WEIGHT = 1e-3
SMALLEST_BANDWIDTH = 2e-3  # radians: at x = 0.5, 0.2 points of accuracy
EDGE = 1e-4  # the Jacobian, infinite at 0 and 1, is taken at least this far from them


def _checked(draws: ArrayLike, actual: ArrayLike) -> tuple[Array, Array]:
    """Draws as (draw, n) or (draw,), outcomes as (n,) or (), both finite."""
    x, y = np.asarray(draws, dtype=float), np.asarray(actual, dtype=float)
    if x.ndim not in (1, 2) or x.shape[0] == 0 or x.shape[1:] != y.shape:
        raise ValueError(
            "expected draws (draw,) with a scalar outcome or (draw, n) with n outcomes, "
            f"got draws {x.shape} and outcome {y.shape}; put the draws on the first axis"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("expected finite draws and outcomes, got NaN or inf; drop them first")
    return x, y


def crps(draws: ArrayLike, actual: ArrayLike) -> Array:
    """Continuous ranked probability score, the fair estimator; accuracy units, lower is better.

    Args:
        draws: (draw,) or (draw, n). One draw is a point forecast, scored by its absolute error.
        actual: () or (n,).

    Returns:
        () or (n,). Being unbiased, it can fall slightly below 0 with few draws.
    """
    x, y = _checked(draws, actual)
    m = x.shape[0]
    error = np.abs(x - y).mean(axis=0)
    if m == 1:
        return error
    # sum_{i<j} (x_(j) - x_(i)) = sum_k (2k - m - 1) x_(k), k = 1..m
    weight = 2.0 * np.arange(1, m + 1) - m - 1
    return error - np.tensordot(weight, np.sort(x, axis=0), axes=1) / (m * (m - 1))


def energy_score(draws: ArrayLike, actual: ArrayLike) -> float:
    """Energy score of a joint forecast, the fair estimator; with n = 1 it is the CRPS.

    Args:
        draws: (draw, n), each row a draw of all n scores together; at most 1,000 rows, evenly
            spaced, are compared with each other.
        actual: (n,).
    """
    from scipy.spatial.distance import pdist

    x, y = _checked(draws, actual)
    root = np.sqrt(x.shape[1])
    error = np.linalg.norm(x - y, axis=1).mean() / root
    few = x[np.arange(min(len(x), 1000)) * len(x) // min(len(x), 1000)]
    return float(error - (pdist(few).mean() / root / 2 if len(few) > 1 else 0.0))


def log_score(draws: ArrayLike, actual: ArrayLike) -> Array:
    """Log density of the forecast at the outcome, in nats; higher is better, always finite.

    Args:
        draws: (draw,) or (draw, n), in [0, 1].
        actual: () or (n,), in [0, 1].

    Returns:
        () or (n,).

    Raises:
        ValueError: a draw or an outcome outside [0, 1].
    """
    x, y = _checked(draws, actual)
    if min(x.min(), y.min(initial=0)) < 0 or max(x.max(), y.max(initial=1)) > 1:
        raise ValueError(
            "expected draws and outcomes in [0, 1], got values outside; give rates, not points"
        )
    z, at = np.arcsin(np.sqrt(x)), np.arcsin(np.sqrt(y))
    q25, q75 = np.quantile(z, [0.25, 0.75], axis=0)
    sd = z.std(axis=0)
    iqr = (q75 - q25) / 1.349
    spread = np.where(iqr > 0, np.minimum(sd, iqr), sd)
    bandwidth = np.maximum(0.9 * spread * x.shape[0] ** -0.2, SMALLEST_BANDWIDTH)  # Silverman

    density = np.zeros_like(at)
    for image in (z, -z, np.pi - z):
        kernel = np.exp(-0.5 * ((at - image) / bandwidth) ** 2)
        density = density + kernel.mean(axis=0) / (bandwidth * np.sqrt(2 * np.pi))
    inside = np.clip(y, EDGE, 1 - EDGE)
    density = density / (2 * np.sqrt(inside * (1 - inside)))
    return np.log((1 - UNIFORM_WEIGHT) * density + UNIFORM_WEIGHT)


def pit(draws: ArrayLike, actual: ArrayLike) -> Array:
    """Probability integral transform, () or (n,) in [0, 1]; ties count half.

    Below 0.5 on average: the forecasts came out too high.
    """
    x, y = _checked(draws, actual)
    return (x < y).mean(axis=0) + 0.5 * (x == y).mean(axis=0)


def interval(draws: ArrayLike, prob: float) -> Array:
    """Equal-tailed interval holding `prob` of the draws: (2,) or (2, n), lower end first."""
    if not 0 < prob < 1:
        raise ValueError(f"expected prob between 0 and 1, got {prob}; write 0.9 for 90 %")
    return np.quantile(np.asarray(draws, dtype=float), [(1 - prob) / 2, (1 + prob) / 2], axis=0)


def summarise(draws: ArrayLike, actual: float) -> dict[str, float]:
    """One forecast and its outcome as one row for `score_table`.

    Args:
        draws: (draw,) in [0, 1].
        actual: the observed score in [0, 1].

    Returns:
        actual, mean, median, q05, q25, q75, q95, crps, log_score, pit. Rates, not points.
    """
    x, y = _checked(draws, actual)
    if x.ndim != 1:
        raise ValueError(f"expected draws (draw,), got {x.shape}; summarise one forecast at a time")
    (q05, q95), (q25, q75) = interval(x, 0.9), interval(x, 0.5)
    row = {
        "actual": y,
        "mean": x.mean(),
        "median": np.median(x),
        "q05": q05,
        "q25": q25,
        "q75": q75,
        "q95": q95,
        "crps": crps(x, y),
        "log_score": log_score(x, y),
        "pit": pit(x, y),
    }
    return {name: float(value) for name, value in row.items()}


def score_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean scores per family and method, then pooled over all families.

    Args:
        rows: one row per forecast: the columns of `summarise`, and `method`, `family`.

    Returns:
        Columns family ("pooled" for all rows), method, n, mae (of the median), crps, log_score,
        coverage50, coverage90, width90, pit. mae, crps and width90 in points (accuracy x 100);
        coverages and pit are fractions; log_score in nats. Methods in their order of appearance.

    Raises:
        ValueError: missing columns.
    """
    needed = ["method", "family", "actual", "median", "q05", "q25", "q75", "q95"]
    needed += ["crps", "log_score", "pit"]
    missing = [name for name in needed if name not in rows]
    if missing:
        raise ValueError(
            f"expected the columns {needed}, missing {missing}; build rows with `summarise` "
            "and add `method` and `family`"
        )
    scored = pd.DataFrame(
        {
            "family": rows["family"],
            "method": rows["method"],
            "mae": 100 * (rows["median"] - rows["actual"]).abs(),
            "crps": 100 * rows["crps"],
            "log_score": rows["log_score"],
            "coverage50": rows["actual"].between(rows["q25"], rows["q75"]).astype(float),
            "coverage90": rows["actual"].between(rows["q05"], rows["q95"]).astype(float),
            "width90": 100 * (rows["q95"] - rows["q05"]),
            "pit": rows["pit"],
        }
    )
    both = pd.concat([scored, scored.assign(family="pooled")], ignore_index=True)
    groups = both.groupby(["family", "method"], sort=False)
    table = groups.mean()
    table.insert(0, "n", groups.size())
    return table.reset_index()
