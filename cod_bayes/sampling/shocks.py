"""Draws of the shocks that the fast engine integrates out, given the draws of all else.

The shocks enter z linearly and all noise is normal, so given curves and scales they are normal. Per
benchmark b and model m, with w = 1 / var(eps), r = z - f and sums over the benchmark's clusters,

    c = sum f'^2 w + 1 / sigma_delta_b^2,   q = sum f' w,   a = sum w - q^2 / c,
    h = sum r w - q / c sum f' r w

leave h omega - a omega^2 / 2 as the log likelihood of omega_bm, delta_bm integrated out. With
omega = sigma_omega W u, u standard normal steps (`LadderData.walk`), S = sigma_omega W,

    u     ~ N(P^-1 S' h, P^-1),                        P = 1 + S' diag(a) S
    delta_bm | omega ~ N(sum f' (r - omega) w / c, 1 / c)

At the largest model f' delta_bm is left out, and delta_bm is the lead, which the engine samples.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cod_bayes.model.equations import EDGE, accuracy, accuracy_slope
from cod_bayes.model.ladder import LadderData


def complete(
    ladder: LadderData, draws: Mapping[str, np.ndarray], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """The fast engine's draws, completed to all variables of `cod_bayes.model.statement`.

    draws: each (..., dim), as `Density.constrain` returns them.
    """
    lead, several = draws["lead"], draws["lead"].shape[:-1]
    shape = (*several, len(ladder.benchmark), len(ladder.model))
    omega, delta, steps = np.zeros((3, *shape))
    for b, top in enumerate(ladder.top):
        inside = ladder.of_cluster == b
        a, h, c, pull, lever = _sums(ladder, draws, b, inside)
        spread = draws["sigma_omega"][..., b, None, None] * ladder.walk[b]
        precision = np.eye(shape[-1]) + np.swapaxes(spread, -1, -2) @ (a[..., None] * spread)
        factor = np.linalg.cholesky(precision)
        mean = np.linalg.solve(precision, np.einsum("...mj,...m->...j", spread, h)[..., None])
        noise = rng.standard_normal((*several, shape[-1], 1))
        step = mean + np.linalg.solve(np.swapaxes(factor, -1, -2), noise)
        steps[..., b, :] = step[..., 0]
        omega[..., b, :] = (spread @ step)[..., 0]
        shock = (pull - lever * omega[..., b, :]) / c
        delta[..., b, :] = shock + rng.standard_normal(shock.shape) / np.sqrt(c)
        delta[..., b, top] = lead[..., b]
    return {
        **draws,
        "log_beta": np.log(draws["beta"]),
        "spread_omega": draws["sigma_omega"] / np.exp(draws["mu_omega"])[..., None],
        "delta_benchmark": delta,
        "omega_step": steps,
        "omega": omega,
    }


def _sums(
    ladder: LadderData, draws: Mapping[str, np.ndarray], b: int, inside: np.ndarray
) -> tuple[np.ndarray, ...]:
    """a, h, c, sum f' r w and sum f' w of benchmark b at every model, each (..., model)."""
    top, models = ladder.top[b], len(ladder.model)
    smaller = np.arange(models) != top
    x = ladder.x + draws["delta"] - draws["delta"][..., top, None]
    ahead = x - ladder.x_ref[b] - smaller * draws["lead"][..., b, None]
    curve = {name: draws[name][..., inside, None] for name in ("eta", "beta", "gamma", "g")}
    curve["nu"] = (draws["nu"][..., b, None] * ladder.nu_ratio[inside])[..., None]
    y = np.clip(accuracy(ahead[..., None, :], **curve), EDGE, 1 - EDGE)
    slope = accuracy_slope(ahead[..., None, :], **curve) / (2 * np.sqrt(y * (1 - y))) * smaller
    measured = ladder.measured[inside]
    variance = np.where(measured, ladder.noise[inside], 1.0)
    w = measured / (variance + draws["tau"][..., b, None, None] ** 2)
    r = ladder.z[inside] - np.arcsin(np.sqrt(y))
    c = np.sum(slope**2 * w, axis=-2) + 1 / draws["sigma_delta"][..., b, None] ** 2
    q, pull = np.sum(slope * w, axis=-2), np.sum(slope * r * w, axis=-2)
    a = np.sum(w, axis=-2) - q**2 / c
    h = np.sum(r * w, axis=-2) - q * pull / c
    return a, h, c, pull, q
