"""An item-response law: abilities of models from their answers to items, a line through abilities.

Item i answered by model m, after Item Response Scaling Laws (Truong et al. 2026, arXiv 2606.07616):

    P(correct)_im = sigmoid(theta_m - b_i),   b_i ~ N(0, sigma),   theta_m ~ N(0, 10)
    theta_m = alpha + beta x_m + e_m,   e_m ~ N(0, tau),   beta >= 0,   x = log10 compute

(Rasch 1960). Theta and sigma maximise the likelihood with the items integrated out on a grid
(Bock & Aitkin 1981). Anchors have a theta too, and so inform the items, but not the line. As in the
paper there is no chance level: an item that a model guesses is an easier item. The paper estimates
the items once, on models of many families; a ladder has three to ten models, so here items have a
prior of unknown spread.

Trials of an item at a model are not independent evidence on theta, because every item departs from
its curve. As in a beta-binomial, n of them count as n / (1 + (n - 1) rho), rho = 0.05: one trial as
one, endless ones as 20. A score without a count counts as endless trials.

The line, with n ladder models, s_m^2 the inverse information of their answers on theta_m given the
items, and weights w_m = 1 / (s_m^2 + tau^2). Tau makes the sum of w_m r_m^2 over the residuals r_m
equal to n - 2; it is 0 if the sum is smaller already (Paule & Mandel 1982). With x' and theta' the
weighted means, W = sum w_m and S = sum w_m (x_m - x')^2, a draw is

    theta(x) = theta' + f z_1 / sqrt(W) + max(beta + f z_2 / sqrt(S), 0) (x - x') + f tau z_3
    f = sqrt((n - 2) / chi^2_(n-2)),   z ~ N(0, 1)

and its score is the mean over the items given all answers to them, plus the noise of an evaluation.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.optimize import brentq, minimize
from scipy.special import expit, log_expit, logsumexp

from cod_bayes.evaluate.bootstrap import Array
from cod_bayes.evaluate.series import NotApplicable, as_scores, checked, series

RHO = 0.05  # correlation of the trials of an item at a model
THETA_SD = 10.0
SIGMA = (0.2, 6.0)  # bounds, logits
_B = np.arange(-12, 12.01, 0.2)[:, None]  # the grid of difficulties (node, 1)
_SLICE = 2**13  # items at once: bounds the memory


@dataclass(frozen=True)
class Abilities:
    """theta (model,), the inverse information s^2 on each, and `items` (node,): the mean over the
    items of their posterior on the grid of difficulties."""

    theta: Array
    variance: Array
    items: Array

    def score(self, theta: Array) -> Array:
        """Mean P(correct) over the items at abilities of any shape."""
        return expit(theta[..., None] - _B[:, 0]) @ self.items


def fit_abilities(right: Array, wrong: Array) -> Abilities:
    """The maximum of the marginal likelihood. right, wrong: (item, model) counts, fractions too."""
    n = (right + wrong).sum(axis=0)

    def expected(x: Array) -> tuple[float, Array, Array]:
        """x = (theta, log sigma): -log posterior, its gradient, and of each difficulty the expected
        items and the expected counts of each model (node, 1 + model)."""
        theta, z2 = x[:-1], (_B[:, 0] / np.exp(x[-1])) ** 2
        log_prior = -z2 / 2 - logsumexp(-z2 / 2)
        log_p, log_q = log_expit(theta - _B), log_expit(_B - theta)
        value, counts = 0.5 * np.sum((theta / THETA_SD) ** 2), np.zeros((len(_B), 1 + len(theta)))
        for start in range(0, len(right), _SLICE):
            c, d = right[start : start + _SLICE], wrong[start : start + _SLICE]
            joint = c @ log_p.T + d @ log_q.T + log_prior
            log_item = logsumexp(joint, axis=1)
            value -= log_item.sum()
            counts += np.exp(joint - log_item[:, None]).T @ np.insert(c + d, 0, 1.0, axis=1)
        mistaken = (counts[:, 1:] * expit(theta - _B)).sum(axis=0) - right.sum(axis=0)
        spread = counts[:, 0] @ (z2 - np.exp(log_prior) @ z2)
        return value, np.append(mistaken + theta / THETA_SD**2, -spread), counts

    mean = (right.sum(axis=0) + 0.5) / (n + 1)
    start = np.append(1.5 * np.log(mean / (1 - mean)), np.log(1.5))
    bounds = [(-20.0, 20.0)] * len(n) + [tuple(np.log(SIGMA))]
    x = minimize(lambda x: expected(x)[:2], start, jac=True, method="L-BFGS-B", bounds=bounds).x
    counts, p = expected(x)[2], expit(x[:-1] - _B)
    information = (counts[:, 1:] * p * (1 - p)).sum(axis=0) + THETA_SD**-2
    return Abilities(x[:-1], 1 / information, counts[:, 0] / len(right))


def draw_line(
    x: Array, theta: Array, variance: Array, at: Array, rng: np.random.Generator, draws: int
) -> Array:
    """Abilities (draw, k) of new models at `at` (k,) from those of models at x (model,)."""
    freedom = len(x) - 2

    def line(tau2: float) -> tuple[Array, float, float, float]:
        """Weights, x', theta', beta."""
        w = 1 / (variance + tau2)
        middle, level = float(w @ x / w.sum()), float(w @ theta / w.sum())
        away = x - middle
        return w, middle, level, max(float(w @ (away * theta) / (w @ away**2)), 0.0)

    def excess(tau2: float) -> float:
        w, middle, level, slope = line(tau2)
        return w @ (theta - level - slope * (x - middle)) ** 2 - freedom

    widest = np.ptp(theta) ** 2 * len(x)  # the sum is below n - 2 there
    tau2 = brentq(excess, 0.0, widest) if excess(0.0) > 0 else 0.0
    w, middle, level, slope = line(tau2)
    f = np.sqrt(freedom / np.maximum(rng.chisquare(freedom, (draws, 1)), 1e-6))
    z = f * rng.standard_normal((draws, 2))
    slopes = np.maximum(slope + z[:, 1:] / np.sqrt(w @ (x - middle) ** 2), 0)
    levels = level + z[:, :1] / np.sqrt(w.sum())
    residuals = f * np.sqrt(tau2) * rng.standard_normal((draws, len(at)))
    return levels + slopes * (at - middle) + residuals


def item_response(
    dataset: xr.Dataset, compute: Array, rng: np.random.Generator, draws: int
) -> Array:
    """Rasch abilities, their line in log compute, and the mean over items there, (draw, compute).

    Raises:
        NotApplicable: the benchmark is known by one score, or fewer than three ladder models of
            distinct compute.
    """
    compute, s = checked(compute, draws), series(dataset)
    if dataset.sizes["item"] < 2:
        raise NotApplicable(
            "expected results of single items, got one score for each model; add a row for each "
            "item to the table or leave this rival out"
        )
    right, wrong, on_ladder = _counts(dataset)
    fit = fit_abilities(right, wrong)
    line = np.log10(s.compute), fit.theta[on_ladder], fit.variance[on_ladder]
    p = fit.score(draw_line(*line, np.log10(compute), rng, draws))
    return as_scores(p + np.sqrt(s.noise(p)) * rng.standard_normal(p.shape))


def _counts(dataset: xr.Dataset) -> tuple[Array, Array, np.ndarray]:
    """Right and wrong answers (item, model) as they count, and which models are the ladder's.

    Models without answers are left out, and items that no ladder model answered.
    """
    known = dataset.isel(model=np.isin(dataset["role"].values, ["ladder", "anchor"]))
    known = known.isel(model=known["rate"].notnull().any("item").values).sortby("compute")
    on_ladder = known["role"].values == "ladder"
    known = known.isel(item=known["rate"].isel(model=on_ladder).notnull().any("model").values)
    rate, n = (known[name].transpose("item", "model").values for name in ("rate", "n_trials"))
    n = np.where(np.isnan(n), 1 / RHO, n / (1 + (n - 1) * RHO))
    n = np.where(np.isnan(rate), 0.0, n)
    right = n * np.nan_to_num(rate)
    return right, n - right, on_ladder
