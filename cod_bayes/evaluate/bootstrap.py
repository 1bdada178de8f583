"""Curves fitted by least squares, and draws of a new observation from a residual bootstrap.

The bootstrap makes 200 refits. Residuals are resampled with a random sign and scaled by
sqrt(n / (n - p)), n models and p parameters. Every draw adds such a residual for the new model, so
that the intervals forecast an *observed score*, not a curve. The residuals of a draw share one
scale factor sqrt(nu / chi2_nu), nu = n - p, for the uncertainty of their spread (the step from a
normal to a Student interval). Where the number of trials N is known, the variance of residuals is
at least the evaluation noise p (1 - p) / N. Residuals contain that noise already, so it is not
added a second time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
CurveFunction = Callable[[Array, Array], Array]  # theta (.., p), u (n,) or (.., n) -> (.., n)

REFITS = 200


def least_squares(
    curve: CurveFunction, u: Array, y: Array, start: Array, lower: Array, upper: Array
) -> tuple[Array, Array]:
    """Levenberg-Marquardt within bounds, many small problems at once.

    Args:
        u: (n,) or (fit, n). y: (fit, n). start: (fit, p), within the bounds lower, upper (p,).

    Returns:
        theta (fit, p) and the sum of squares (fit,). A parameter at a bound is held there while
        its gradient points outside.
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

    curve: CurveFunction
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


def grid(*axes: list[float]) -> Array:
    """All combinations of the axes' values, (point, axis)."""
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes)).astype(float)


@dataclass(frozen=True)
class Residuals:
    """What a new observation adds to the fitted curve: see the module."""

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
        missing = np.maximum(noise - np.mean(self.values**2), 0)
        return scale * resampled + np.sqrt(missing) * rng.normal(size=shape)


def bootstrap(
    family: Family,
    u: Array,
    y: Array,
    at: Array,
    noise: Callable[[Array], Array],
    rng: np.random.Generator,
    draws: int,
) -> Array:
    """Draws (draw, k) of new observations at `at` (k,), or at each refit's own `at` (refit, k)."""
    theta = family.fit(u, y)
    fitted = family.curve(theta, u)
    residuals = Residuals.of(y - fitted, len(theta))
    scale = residuals.scale(rng, REFITS)
    resampled = fitted + residuals.draw(rng, scale, noise(fitted))
    refits = family.refit(u, resampled, theta)
    which = np.arange(draws) % REFITS
    mean = family.curve(refits[which], at[which] if at.ndim == 2 else at)
    return mean + residuals.draw(rng, scale[which], noise(mean))
