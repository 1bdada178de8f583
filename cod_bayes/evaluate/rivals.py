"""What a user would fit instead: six forecasts from the benchmark's mean score, and COD itself.

With C compute, u = log(C / C_top) (C_top the largest ladder model), y the mean accuracy, g chance:

    persistence             y = y_top + sigma sqrt(|u|) t                      random walk in log C
    power_law_log_accuracy  log y = a + b u
    end_to_end              y = g + (1 - g) exp(-exp(a - b u) - c),   b, c >= 0
    krajewski               the same with c = 0                       Krajewski et al. 2025, eq. 2
    bnsl                    1 - y = a + exp(b - s0 u - (s1 - s0) f log(1 + exp((u - d) / f)))
    loss_intermediate       L = E + exp(a - b u),  y = g + (1 - g) / (1 + exp(k (L - m)))
    cod_point               clusters of items, a curve each, mapped to y
    `cod_bayes.evaluate.point`

`bnsl` is the broken neural scaling law with one break (Caballero et al. 2023, eq. 1) with c0 = s0,
c1 = s1 - s0, f1 = f, log d1 = d, and both slopes s0, s1 >= 0, so that no fit gets worse with
compute. Curves are fitted by least squares, all of them (`power_law_log_accuracy` too) to y itself
and the first of `loss_intermediate` to L. The forms are fitted as published, within wide bounds and
without priors: a ladder at chance says nothing of the slope, and such a fit may leap.

Spread: a residual bootstrap of 200 refits. Residuals are resampled with a random sign and scaled by
sqrt(n / (n - p)), n models and p parameters; every draw adds such a residual for the fresh model,
so that the intervals forecast an *observed score*, not a curve. A draw's residuals share one scale
factor sqrt(nu / chi2_nu), nu = n - p, the uncertainty of their spread (the step from a normal to a
Student interval). Where the number of trials N is known, the spread of residuals is at least the
evaluation noise p (1 - p) / N, which residuals contain already and which is not counted twice.

`cod_point` sees items, and resamples these: N(forecast, sd of the forecasts from 20 resamples), a
normal because 20 forecasts tell an sd but not a 5 % quantile.

A rival is `f(dataset, compute, rng, draws) -> (draw, compute)`. `dataset` has `rate`, `n_trials`
(item, model) and coords `compute`, `role`, `loss` (model), `chance` (item), as in the benchmarks of
`Evidence`; only models with the role "ladder" are read (by `cod_point` anchors too). Draws are
finite and in [0, 1].

This module depends on NumPy, xarray and, for the last rival, `cod_bayes.evaluate.point`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cod_bayes.evaluate.point import cluster_and_forecast
from cod_bayes.evidence.record import ladder_of
from cod_bayes.evidence.trials import trials_of_mean

Array = NDArray[np.floating[Any]]
Rival = Callable[[xr.Dataset, Array, np.random.Generator, int], Array]
Curve = Callable[[Array, Array], Array]  # theta (..., p), u (n,) or (..., n) -> (..., n)

REFITS = 200
BNSL_MODELS = 6  # fewer ladder models than this cannot carry a break
IRREDUCIBLE_MODELS = 5  # nor fewer than this an asymptote
RESAMPLES = 20  # of the items, by `cod_point`


class NotApplicable(ValueError):
    """The dataset lacks what this rival needs (enough ladder models, a loss)."""


@dataclass(frozen=True)
class Series:
    """All that a rival sees: one row per ladder model, ascending compute."""

    compute: Array  # (model,) FLOPs
    score: Array  # (model,) mean rate over the items
    trials: float  # behind a score (`cod_bayes.evidence.trials`), the median; NaN unknown
    chance: float  # 0 if unknown
    loss: Array  # (model,) validation loss; NaN unknown

    def u(self, compute: Array) -> Array:
        """log(C / C_top), the curves' variable."""
        return np.log(compute / self.compute[-1])

    def noise(self, p: Array) -> Array:
        """Variance p (1 - p) / N of an observed score; 0 if N is unknown.

        One pseudo-trial at 1/2 keeps a score of 0 of N from being certain.
        """
        if not np.isfinite(self.trials):
            return np.zeros_like(p)
        q = (np.clip(p, 0, 1) * self.trials + 0.5) / (self.trials + 1)
        return q * (1 - q) / self.trials


def series(dataset: xr.Dataset, models: int = 3) -> Series:
    """The benchmark-mean series of the ladder models.

    Means are over the items that all ladder models share, when those are at least half of all, and
    otherwise over whatever each model answered.

    Raises:
        NotApplicable: fewer than `models` ladder models of distinct compute.
    """
    ladder = ladder_of(dataset).sortby("compute")
    rate = ladder["rate"].transpose("item", "model").values
    known = np.isfinite(rate)
    shared = known.all(axis=1)
    if 2 * shared.sum() >= len(shared):
        known = known & shared[:, None]
    answered = known.any(axis=0)
    ladder, rate, known = ladder.isel(model=answered), rate[:, answered], known[:, answered]

    compute = ladder["compute"].values.astype(float)
    if len(np.unique(compute)) < models:
        raise NotApplicable(
            f"expected at least {models} ladder models of distinct compute, "
            f"got {len(np.unique(compute))}; add models to the ladder"
        )
    used = known.any(axis=1)
    chance = dataset["chance"].values[used] if "chance" in dataset.coords else np.array(np.nan)
    n_trials = ladder["n_trials"].transpose("item", "model").values
    inverse = (known / np.where(known, n_trials, 1.0)).sum(axis=0)
    return Series(
        compute=compute,
        score=np.where(known, rate, 0).sum(axis=0) / known.sum(axis=0),
        trials=float(np.median(trials_of_mean(known.sum(axis=0), inverse))),
        chance=float(chance.mean()) if np.isfinite(chance).all() else 0.0,
        loss=ladder["loss"].values.astype(float)
        if "loss" in ladder.coords
        else np.full(len(compute), np.nan),
    )


def least_squares(
    curve: Curve, u: Array, y: Array, start: Array, lower: Array, upper: Array
) -> tuple[Array, Array]:
    """Levenberg-Marquardt within bounds, many small problems at once.

    Args:
        u: (n,) or (fit, n). y: (fit, n). start: (fit, p), within the bounds lower, upper (p,).

    Returns:
        theta (fit, p) and the sum of squares (fit,). A parameter at a
        bound is held there while its gradient points outside.
    """
    theta, p = start.copy(), start.shape[1]
    damping = np.full(len(theta), 1e-2)
    residual = curve(theta, u) - y
    cost = (residual**2).sum(axis=1)
    for _ in range(60):
        jacobian = np.empty((*residual.shape, p))
        for k in range(p):
            step = 1e-6 * (1 + np.abs(theta[:, k]))
            ahead = theta.copy()
            ahead[:, k] += step
            jacobian[:, :, k] = (curve(ahead, u) - y - residual) / step[:, None]
        gradient = np.einsum("fnk,fn->fk", jacobian, residual)
        held = ((theta <= lower) & (gradient > 0)) | ((theta >= upper) & (gradient < 0))
        jacobian = np.where(held[:, None, :], 0, jacobian)
        gradient = np.where(held, 0, gradient)
        normal = np.einsum("fnk,fnl->fkl", jacobian, jacobian)
        diagonal = np.einsum("fkk->fk", normal)
        normal = normal + (damping[:, None] * diagonal + 1e-10)[:, :, None] * np.eye(p)
        move = np.linalg.solve(normal, -gradient[:, :, None])[:, :, 0]
        trial = np.clip(theta + move, lower, upper)
        trial_residual = curve(trial, u) - y
        trial_cost = (trial_residual**2).sum(axis=1)
        better = trial_cost < cost
        gained = np.max(np.where(better, cost - trial_cost, 0) / (cost + 1e-12))
        theta = np.where(better[:, None], trial, theta)
        residual = np.where(better[:, None], trial_residual, residual)
        cost = np.where(better, trial_cost, cost)
        damping = np.clip(np.where(better, damping / 5, damping * 4), 1e-9, 1e6)
        if gained < 1e-7 and (damping > 1).all():
            break
    return theta, cost


@dataclass(frozen=True)
class Family:
    """A curve with its bounds (p,) and the starting points (start, p) of the full fit."""

    curve: Curve
    lower: Array
    upper: Array
    starts: Array

    def fit(self, u: Array, y: Array) -> Array:
        """The best of all starts, (p,)."""
        ys = np.tile(y, (len(self.starts), 1))
        thetas, cost = least_squares(self.curve, u, ys, self.starts, self.lower, self.upper)
        return thetas[np.argmin(cost)]

    def refit(self, u: Array, y: Array, start: Array) -> Array:
        """One fit per row of y (fit, n), each from `start` (p,): (fit, p)."""
        starts = np.tile(start, (len(y), 1))
        return least_squares(self.curve, u, y, starts, self.lower, self.upper)[0]


def _grid(*axes: list[float]) -> Array:
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes)).astype(float)


@dataclass(frozen=True)
class Residuals:
    """What a fresh observation adds to the fitted curve: see the module's docstring."""

    values: Array  # (n,), scaled by sqrt(n / (n - p))
    freedom: int

    @classmethod
    def of(cls, residual: Array, p: int) -> "Residuals":
        freedom = max(len(residual) - p, 1)
        return cls(residual * np.sqrt(len(residual) / freedom), freedom)

    def scale(self, rng: np.random.Generator, draws: int) -> Array:
        """One factor per draw, (draw, 1)."""
        chi2 = np.maximum(rng.chisquare(self.freedom, size=(draws, 1)), 1e-6)
        return np.sqrt(self.freedom / chi2)

    def draw(self, rng: np.random.Generator, scale: Array, noise: Array) -> Array:
        """(draw, k): resampled residuals, topped up to the evaluation noise (variance, (.., k))."""
        shape = (len(scale), noise.shape[-1])
        resampled = rng.choice(self.values, size=shape) * rng.choice([-1.0, 1.0], size=shape)
        short = np.maximum(noise - np.mean(self.values**2), 0)
        return scale * resampled + np.sqrt(short) * rng.normal(size=shape)


def _bootstrap(
    family: Family,
    u: Array,
    y: Array,
    at: Array,
    noise: Callable[[Array], Array],
    rng: np.random.Generator,
    draws: int,
) -> Array:
    """Draws (draw, k) of fresh observations at `at` (k,), or at each refit's own (refit, k)."""
    theta = family.fit(u, y)
    fitted = family.curve(theta, u)
    residuals = Residuals.of(y - fitted, len(theta))
    scale = residuals.scale(rng, REFITS)
    again = fitted + residuals.draw(rng, scale, noise(fitted))
    refits = family.refit(u, again, theta)
    which = np.arange(draws) % REFITS
    mean = family.curve(refits[which], at[which] if at.ndim == 2 else at)
    return mean + residuals.draw(rng, scale[which], noise(mean))


def _answer(draws: Array) -> Array:
    return np.clip(draws, 0, 1)


def _checked(compute: Array, draws: int) -> Array:
    compute = np.atleast_1d(np.asarray(compute, dtype=float))
    if compute.ndim != 1 or not (np.isfinite(compute) & (compute > 0)).all() or draws < 1:
        raise ValueError(
            "expected compute (compute,) in FLOPs, positive and finite, and at least one draw; "
            f"got {compute} and {draws} draws"
        )
    return compute


def persistence(dataset: xr.Dataset, compute: Array, rng: np.random.Generator, draws: int) -> Array:
    """The largest ladder model's score; a Student random walk in log compute, (draw, compute).

    sigma^2 is the mean of (y_{i+1} - y_i)^2 / (u_{i+1} - u_i): progress counts as error, which it
    is for a forecast that expects none.
    """
    compute, s = _checked(compute, draws), series(dataset, models=2)
    u = s.u(s.compute)
    steps = np.maximum(np.diff(u), 0.1 * np.ptp(u) / len(u))  # near-equal compute is no walk
    variance = np.mean(np.diff(s.score) ** 2 / steps) * np.abs(s.u(compute))
    variance = np.maximum(variance, s.noise(s.score[-1:]))
    freedom = max(len(steps), 2)
    walk = rng.standard_t(freedom, size=(draws, len(compute)))
    return _answer(s.score[-1] + np.sqrt(variance) * walk)


def power_law_log_accuracy(
    dataset: xr.Dataset, compute: Array, rng: np.random.Generator, draws: int
) -> Array:
    """A straight line of log accuracy in log compute, (draw, compute).

    Fitted to y = exp(a + b u), which is the line with weights y^2, the inverse variance of log y
    when y has constant noise. Without weights one small model near 0 turns the line: its log is
    -inf, or whatever is put in its place.
    """
    compute, s = _checked(compute, draws), series(dataset)
    line = Family(
        curve=lambda theta, u: np.exp(np.clip(theta[..., :1] + theta[..., 1:2] * u, -30, 0)),
        lower=np.array([-12.0, -1.0]),
        upper=np.array([0.0, 3.0]),
        starts=_grid([-5.0, -2.0, -0.5], [0.0, 0.1, 1.0]),
    )
    return _answer(_bootstrap(line, s.u(s.compute), s.score, s.u(compute), s.noise, rng, draws))


def _exponential(chance: float, irreducible: bool) -> Family:
    """g + (1 - g) exp(-exp(a - b u) - c), theta = (a, b, c), or (a, b) without `irreducible`."""

    def curve(theta: Array, u: Array) -> Array:
        answer_loss = np.exp(np.clip(theta[..., :1] - theta[..., 1:2] * u, -30, 30))
        if irreducible:
            answer_loss = answer_loss + theta[..., 2:3]
        return chance + (1 - chance) * np.exp(-answer_loss)

    p = 3 if irreducible else 2
    axes = [[-3.0, -1.0, 0.0, 0.7, 1.3], [0.03, 0.15, 0.5, 1.5], [0.0, 0.3, 1.0]]
    return Family(
        curve=curve,
        lower=np.array([-12.0, 0.0, 0.0])[:p],
        upper=np.array([3.0, 3.0, 6.0])[:p],  # exp(-exp(3)) = 2e-9 is no progress at all
        starts=_grid(*axes[:p]),
    )


def krajewski(dataset: xr.Dataset, compute: Array, rng: np.random.Generator, draws: int) -> Array:
    """y = g + (1 - g) exp(-A C^-b), (draw, compute). Krajewski et al. 2025, eq. 2."""
    compute, s = _checked(compute, draws), series(dataset)
    family = _exponential(s.chance, irreducible=False)
    return _answer(_bootstrap(family, s.u(s.compute), s.score, s.u(compute), s.noise, rng, draws))


def end_to_end(dataset: xr.Dataset, compute: Array, rng: np.random.Generator, draws: int) -> Array:
    """y = g + (1 - g) exp(-A C^-b - c), c >= 0, (draw, compute); c = 0 with fewer than 5 models."""
    compute, s = _checked(compute, draws), series(dataset)
    family = _exponential(s.chance, irreducible=len(s.score) >= IRREDUCIBLE_MODELS)
    return _answer(_bootstrap(family, s.u(s.compute), s.score, s.u(compute), s.noise, rng, draws))


def _broken(u: Array) -> Family:
    """Accuracy 1 - BNSL, theta = (b, s0), (b, s0, a) or (b, s0, a, s1, d, log f), by the models."""
    p = 6 if len(u) >= BNSL_MODELS else 3 if len(u) >= IRREDUCIBLE_MODELS else 2

    def curve(theta: Array, u: Array) -> Array:
        part = [theta[..., k : k + 1] for k in range(p)]
        b, s0, a = part[0], part[1], part[2] if p > 2 else np.zeros(1)
        power = b - s0 * u
        if p == 6:
            s1, d, log_f = part[3:]
            f = np.exp(log_f)
            power = power - (s1 - s0) * f * np.logaddexp(0, (u - d) / f)
        return 1 - a - np.exp(np.clip(power, -30, 5))

    low = u[0]
    axes = [[-1.5, -0.2], [0.003, 0.1], [0.0, 0.3], [0.02, 0.3]]
    axes += [[0.75 * low, 0.4 * low, 0.1 * low], [-1.0]]
    return Family(
        curve=curve,
        lower=np.array([-12.0, 0.0, 0.0, 0.0, low, -3.0])[:p],
        upper=np.array([2.0, 3.0, 1.0, 3.0, 0.0, 1.5])[:p],
        starts=_grid(*axes[:p]),
    )


def bnsl(dataset: xr.Dataset, compute: Array, rng: np.random.Generator, draws: int) -> Array:
    """Broken neural scaling law of the error rate, (draw, compute). Caballero et al. 2023, eq. 1.

    No break with fewer than six ladder models, and no asymptote (a = 0) with fewer than five.
    """
    compute, s = _checked(compute, draws), series(dataset)
    u = s.u(s.compute)
    return _answer(_bootstrap(_broken(u), u, s.score, s.u(compute), s.noise, rng, draws))


def loss_intermediate(
    dataset: xr.Dataset, compute: Array, rng: np.random.Generator, draws: int
) -> Array:
    """Compute to validation loss by a power law, loss to accuracy by a sigmoid, (draw, compute).

    Both fits are bootstrapped; a draw passes the fresh model's loss, with its residual, on.

    Raises:
        NotApplicable: the loss of a ladder model is unknown.
    """
    compute, s = _checked(compute, draws), series(dataset)
    if not np.isfinite(s.loss).all():
        raise NotApplicable(
            "expected the validation loss of every ladder model, got unknown losses; "
            "add a `loss` column to the table or leave this rival out"
        )
    u, best = s.u(s.compute), float(s.loss.min())
    floor = len(u) > 3  # three models cannot tell an irreducible loss

    def power_law(theta: Array, u: Array) -> Array:
        reducible = np.exp(np.clip(theta[..., :1] - theta[..., 1:2] * u, -30, 30))
        return reducible + theta[..., 2:3] if floor else reducible

    p = 3 if floor else 2
    axes = [[np.log(best) - 1, np.log(best)], [0.05, 0.2], [0.0, 0.5 * best]]
    loss_family = Family(
        power_law,
        np.array([-12.0, 0.0, 0.0])[:p],
        np.array([6.0, 3.0, best])[:p],
        _grid(*axes[:p]),
    )
    middle, spread = float(np.median(s.loss)), max(float(np.ptp(s.loss)), 1e-6)

    def sigmoid(theta: Array, loss: Array) -> Array:
        slope, at = theta[..., :1], theta[..., 1:2]
        z = slope * ((loss - middle) / spread - at)
        return s.chance + (1 - s.chance) / (1 + np.exp(np.clip(z, -30, 30)))

    accuracy_family = Family(
        sigmoid,
        np.array([0.0, -20.0]),
        np.array([40.0, 20.0]),
        _grid([0.5, 3.0], [-2.0, -0.5, 0.5]),
    )
    losses = _bootstrap(loss_family, u, s.loss, s.u(compute), np.zeros_like, rng, draws)
    return _answer(_bootstrap(accuracy_family, s.loss, s.score, losses, s.noise, rng, draws))


def cod_point(dataset: xr.Dataset, compute: Array, rng: np.random.Generator, draws: int) -> Array:
    """The COD point method with the spread of a bootstrap over items, (draw, compute).

    Raises:
        NotApplicable: no cluster of items is extrapolatable.
    """
    compute = _checked(compute, draws)
    series(dataset)  # refuses ladders too short for a curve
    items = dataset.sizes["item"]
    none = NotApplicable(
        "expected a cluster of items with an extrapolatable curve (a > 1, b > 0.1, c < 1, with "
        "compute in FLOPs), got none; more items or models may show one"
    )
    forecast = cluster_and_forecast(dataset, compute).full
    if np.isnan(forecast).any():
        raise none
    picks = rng.integers(items, size=(RESAMPLES, items))
    resamples = np.array(
        [cluster_and_forecast(dataset.isel(item=pick), compute).full for pick in picks]
    )
    resamples = resamples[np.isfinite(resamples).all(axis=1)]
    if len(resamples) < 2:  # the forecast rests on a handful of items
        raise none
    z = rng.normal(size=(draws, 1))  # one per draw: the computes of a draw share their items
    return _answer(forecast + resamples.std(axis=0, ddof=1) * z)


RIVALS: dict[str, Rival] = {
    "persistence": persistence,
    "power_law_log_accuracy": power_law_log_accuracy,
    "end_to_end": end_to_end,
    "krajewski": krajewski,
    "bnsl": bnsl,
    "loss_intermediate": loss_intermediate,
    "cod_point": cod_point,
}
