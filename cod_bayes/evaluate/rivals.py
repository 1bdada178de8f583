"""Rival methods: seven forecasts from the benchmark's mean score, two from its items, one package.

With C compute, u = log(C / C_top) (C_top the largest ladder model), y the mean accuracy, g chance:

    persistence             y = y_top + sigma sqrt(|u|) t                      random walk in log C
    power_law_log_accuracy  log y = a + b u
    end_to_end              y = g + (1 - g) exp(-exp(a - b u) - c),   b, c >= 0
    krajewski               the same with c = 0                       Krajewski et al. 2025, eq. 2
    bnsl                    1 - y = a + exp(b - s0 u - (s1 - s0) f log(1 + exp((u - d) / f)))
    logistic                y = g + (1 - g) / (1 + exp(-a - b u)),   b >= 0
    loss_intermediate       L = E + exp(a - b u),  y = g + (1 - g) / (1 + exp(k (L - m)))
    item_response           Rasch abilities of models, linear in u (`evaluate.item_response`)
    cod_point               clusters of items, a curve each, mapped to y (`evaluate.point`)
    simple_scaling_laws     that package's default law (`evaluate.other_packages`)

`bnsl` is the broken neural scaling law with one break (Caballero et al. 2023, eq. 1) with c0 = s0,
c1 = s1 - s0, f1 = f, log d1 = d, and both slopes s0, s1 >= 0, so that no fit gets worse with
compute. All curves of y are fitted by least squares to y itself (`power_law_log_accuracy` too); the
first of `loss_intermediate` is fitted to L. The forms are fitted as published, within wide bounds
and without priors. A ladder at chance has no information on the slope, and its forecasts may be far
off.

Spread: a residual bootstrap (`cod_bayes.evaluate.bootstrap`), of an observed score.

`cod_point` resamples the items: N(forecast, sd of the forecasts from 20 resamples). It is a normal
because 20 forecasts give an sd but not a 5 % quantile.

A rival is `f(dataset, compute, rng, draws) -> (draw, compute)`. `dataset` has `rate`, `n_trials`
(item, model) and coords `compute`, `role`, `loss` (model), `chance` (item), as in the benchmarks of
`Evidence`; only models with the role "ladder" are read (by `item_response` and `cod_point` anchors
too). Draws are finite and in [0, 1].
"""

from importlib.util import find_spec

import numpy as np
import xarray as xr
from scipy.special import expit

from cod_bayes.evaluate.bootstrap import Array, Family, bootstrap, grid
from cod_bayes.evaluate.item_response import item_response
from cod_bayes.evaluate.other_packages import simple_scaling_laws
from cod_bayes.evaluate.point import cluster_and_forecast
from cod_bayes.evaluate.series import NotApplicable, Rival, as_scores, checked, series

BNSL_MODELS = 6  # fewest ladder models for a curve with a break
IRREDUCIBLE_MODELS = 5  # fewest ladder models for an asymptote
RESAMPLES = 20  # of the items, by `cod_point`


def persistence(dataset: xr.Dataset, compute: Array, rng: np.random.Generator, draws: int) -> Array:
    """The largest ladder model's score; a Student random walk in log compute, (draw, compute).

    sigma^2 is the mean of (y_{i+1} - y_i)^2 / (u_{i+1} - u_i). This counts progress as error, as it
    should for a forecast without progress.
    """
    compute, s = checked(compute, draws), series(dataset, models=2)
    u = s.u(s.compute)
    steps = np.maximum(np.diff(u), 0.1 * np.ptp(u) / len(u))  # of nearly equal computes
    variance = np.mean(np.diff(s.score) ** 2 / steps) * np.abs(s.u(compute))
    variance = np.maximum(variance, s.noise(s.score[-1:]))
    freedom = max(len(steps), 2)
    walk = rng.standard_t(freedom, size=(draws, len(compute)))
    return as_scores(s.score[-1] + np.sqrt(variance) * walk)


def power_law_log_accuracy(
    dataset: xr.Dataset, compute: Array, rng: np.random.Generator, draws: int
) -> Array:
    """A straight line of log accuracy in log compute, (draw, compute).

    Fitted to y = exp(a + b u), which is the line with weights y^2, the inverse variance of log y
    when y has constant noise. Without weights one small model near 0 would decide the slope,
    because its log is far below the others.
    """
    compute, s = checked(compute, draws), series(dataset)
    line = Family(
        curve=lambda theta, u: np.exp(np.clip(theta[..., :1] + theta[..., 1:2] * u, -30, 0)),
        lower=np.array([-12.0, -1.0]),
        upper=np.array([0.0, 3.0]),
        starts=grid([-5.0, -2.0, -0.5], [0.0, 0.1, 1.0]),
    )
    return as_scores(bootstrap(line, s.u(s.compute), s.score, s.u(compute), s.noise, rng, draws))


def logistic(dataset: xr.Dataset, compute: Array, rng: np.random.Generator, draws: int) -> Array:
    """y = g + (1 - g) / (1 + exp(-(a + b u))), b >= 0, (draw, compute)."""
    compute, s = checked(compute, draws), series(dataset)
    family = Family(
        curve=lambda theta, u: (
            s.chance + (1 - s.chance) * expit(theta[..., :1] + theta[..., 1:2] * u)
        ),
        lower=np.array([-12.0, 0.0]),
        upper=np.array([12.0, 3.0]),
        starts=grid([-5.0, -2.0, 0.0, 2.0], [0.03, 0.2, 1.0]),
    )
    return as_scores(bootstrap(family, s.u(s.compute), s.score, s.u(compute), s.noise, rng, draws))


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
        starts=grid(*axes[:p]),
    )


def krajewski(dataset: xr.Dataset, compute: Array, rng: np.random.Generator, draws: int) -> Array:
    """y = g + (1 - g) exp(-A C^-b), (draw, compute). Krajewski et al. 2025, eq. 2."""
    compute, s = checked(compute, draws), series(dataset)
    family = _exponential(s.chance, irreducible=False)
    return as_scores(bootstrap(family, s.u(s.compute), s.score, s.u(compute), s.noise, rng, draws))


def end_to_end(dataset: xr.Dataset, compute: Array, rng: np.random.Generator, draws: int) -> Array:
    """y = g + (1 - g) exp(-A C^-b - c), c >= 0, (draw, compute); c = 0 with fewer than 5 models."""
    compute, s = checked(compute, draws), series(dataset)
    family = _exponential(s.chance, irreducible=len(s.score) >= IRREDUCIBLE_MODELS)
    return as_scores(bootstrap(family, s.u(s.compute), s.score, s.u(compute), s.noise, rng, draws))


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
        starts=grid(*axes[:p]),
    )


def bnsl(dataset: xr.Dataset, compute: Array, rng: np.random.Generator, draws: int) -> Array:
    """Broken neural scaling law of the error rate, (draw, compute). Caballero et al. 2023, eq. 1.

    No break with fewer than six ladder models, and no asymptote (a = 0) with fewer than five.
    """
    compute, s = checked(compute, draws), series(dataset)
    u = s.u(s.compute)
    return as_scores(bootstrap(_broken(u), u, s.score, s.u(compute), s.noise, rng, draws))


def loss_intermediate(
    dataset: xr.Dataset, compute: Array, rng: np.random.Generator, draws: int
) -> Array:
    """Compute to validation loss by a power law, loss to accuracy by a sigmoid, (draw, compute).

    Both fits are bootstrapped; the second takes the new model's loss, with its residual, from the
    draws of the first.

    Raises:
        NotApplicable: the loss of a ladder model is unknown.
    """
    compute, s = checked(compute, draws), series(dataset)
    if not np.isfinite(s.loss).all():
        raise NotApplicable(
            "expected the validation loss of every ladder model, got unknown losses; "
            "add a `loss` column to the table or leave this rival out"
        )
    u, best = s.u(s.compute), float(s.loss.min())
    floor = len(u) > 3  # an irreducible loss needs four models

    def power_law(theta: Array, u: Array) -> Array:
        reducible = np.exp(np.clip(theta[..., :1] - theta[..., 1:2] * u, -30, 30))
        return reducible + theta[..., 2:3] if floor else reducible

    p = 3 if floor else 2
    axes = [[np.log(best) - 1, np.log(best)], [0.05, 0.2], [0.0, 0.5 * best]]
    loss_family = Family(
        power_law,
        np.array([-12.0, 0.0, 0.0])[:p],
        np.array([6.0, 3.0, best])[:p],
        grid(*axes[:p]),
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
        grid([0.5, 3.0], [-2.0, -0.5, 0.5]),
    )
    losses = bootstrap(loss_family, u, s.loss, s.u(compute), np.zeros_like, rng, draws)
    return as_scores(bootstrap(accuracy_family, s.loss, s.score, losses, s.noise, rng, draws))


def cod_point(dataset: xr.Dataset, compute: Array, rng: np.random.Generator, draws: int) -> Array:
    """The COD point method with the spread of a bootstrap over items, (draw, compute).

    Raises:
        NotApplicable: no cluster of items is extrapolatable.
    """
    compute = checked(compute, draws)
    series(dataset)  # raises for ladders too short for a curve
    items = dataset.sizes["item"]
    not_extrapolatable = NotApplicable(
        "expected a cluster of items with an extrapolatable curve (a > 1, b > 0.1, c < 1, with "
        "compute in FLOPs), got none; more items or models may show one"
    )
    forecast = cluster_and_forecast(dataset, compute).full
    if np.isnan(forecast).any():
        raise not_extrapolatable
    picks = rng.integers(items, size=(RESAMPLES, items))
    resamples = np.array(
        [cluster_and_forecast(dataset.isel(item=pick), compute).full for pick in picks]
    )
    resamples = resamples[np.isfinite(resamples).all(axis=1)]
    if len(resamples) < 2:  # too few items in the extrapolatable clusters
        raise not_extrapolatable
    z = rng.normal(size=(draws, 1))  # one per draw: the computes of a draw share their items
    return as_scores(forecast + resamples.std(axis=0, ddof=1) * z)


RIVALS: dict[str, Rival] = {
    "persistence": persistence,
    "power_law_log_accuracy": power_law_log_accuracy,
    "end_to_end": end_to_end,
    "krajewski": krajewski,
    "bnsl": bnsl,
    "logistic": logistic,
    "loss_intermediate": loss_intermediate,
    "item_response": item_response,
    "cod_point": cod_point,
    "simple_scaling_laws": simple_scaling_laws,
}

INSTALLED = tuple(
    name for name in RIVALS if name != "simple_scaling_laws" or find_spec("simple_scaling_laws")
)
