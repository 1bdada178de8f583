"""Simulated training runs: what the model predicts of one run's checkpoints and of its target.

Cells j are pairs of a benchmark and a moment of one run, of compute c < C*, the target's:

    z_j  = arcsin sqrt score_j(c 10^-lag),   lag ~ N(lag, lag_sd)    posterior draws of one run
    y_j  = arcsin sqrt(observed rate),  rate ~ Binomial(n_j, sin^2(z_j + e_j)) / n_j,
    e_j  ~ N(0, sqrt(evaluation_noise^2 + tau_b^2))    fresh at every moment, tau_b the posterior's

A score without a count gets the n_j of the benchmark's largest ladder model, as in a forecast.

Each draw is one run. It has the uncertainty of the curves, the run's shocks in compute, which are
the same at every moment, and a random walk for what no curve follows. Where a benchmark has
clusters, its draws are means over two posteriors (`cod_bayes.forecast.target`), as in a forecast.

The learning rate of a checkpoint is not annealed yet, so it scores below a finished run of the same
compute: like a finished run of `lag` decades less. This is an assumption, one number with its sd.
A moment at C* itself is finished and has no lag.

Where the ladder's models have checkpoints, these tell how a run rises to its end, and take the
place of a lag: z_j follows from the draw's own z at C* (`cod_bayes.decide.trajectory`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cod_bayes.decide.trajectory import Trajectory, floors
from cod_bayes.forecast.groups import score_trials
from cod_bayes.forecast.posterior import Fit
from cod_bayes.model.equations import arcsine, radians

_STEP = 0.3  # decades over which the rise is taken: long enough that the random walk is small


@dataclass(frozen=True)
class Runs:
    """Simulated runs.

    Attributes:
        z, y: (draw, cell) as in the module, without and with measurement noise.
        noise: (draw, cell) sd of the measurement, radians.
        rise: (cell,) mean rise of z, radians per decade of the finished model's compute.
        climb: (cell,) the same per decade of the run's own training: `rise` with a lag; with a
            trajectory z0 + (z(1) - z0) F(s), ln 10 kappa (z(1) - z0) F(s).
        target: (draw, benchmark) arcsine root of the finished run's measured score.
    """

    z: np.ndarray
    y: np.ndarray
    noise: np.ndarray
    rise: np.ndarray
    climb: np.ndarray
    target: np.ndarray

    @classmethod
    def simulate(
        cls,
        fit: Fit,
        cells: pd.DataFrame,
        target_compute: float,
        lag: float,
        lag_sd: float,
        trajectory: Trajectory | None = None,
    ) -> Runs:
        """Runs at the cells (benchmark, compute, trials) and at the target.

        trajectory: in place of the lag.

        Raises:
            ValueError: a target compute that is not positive, or below a cell's.
        """
        if not 0 < target_compute < np.inf:
            raise ValueError(f"expected target compute > 0 in FLOPs, got {target_compute}")
        moments = np.unique(cells["compute"])
        if moments[-1] > target_compute * (1 + 1e-9):
            raise ValueError(
                f"expected checkpoints up to the target's {target_compute:.4g} FLOPs, got one at "
                f"{moments[-1]:.4g}; give the finished run's compute as the target"
            )
        unfinished = moments < target_compute * (1 - 1e-9)
        lagged = moments * 10 ** np.where(unfinished, -lag, 0.0)
        before_end = [] if trajectory is None else [target_compute * 10**-_STEP]
        grid = np.concatenate([lagged, lagged * 10**-_STEP, before_end, [target_compute]])
        score = fit.draws(grid, one_run=True, measured=False)["score"].values
        drawn = radians(score).reshape(-1, *score.shape[2:])  # (draw, benchmark, compute)
        t = np.searchsorted(moments, cells["compute"])
        b = np.array([fit.benchmarks.index(name) for name in cells["benchmark"]])
        z = drawn[:, b, t]
        rise = (z - drawn[:, b, len(lagged) + t]).mean(axis=0) / _STEP
        rng = np.random.default_rng([int(fit.idata.attrs["random_seed"]), 6])
        if trajectory is None:
            lag_error = lag_sd * rng.standard_normal(len(z))
            z = z - lag_error[:, None] * (rise * unfinished[t])
            climb = rise
        else:
            end, z0 = drawn[:, :, -1], floors(fit)
            reached = trajectory.draws(len(z), moments / target_compute, len(z0), rng)
            z = (z0 + (end - z0) * reached.transpose(2, 0, 1)).transpose(1, 2, 0)[:, b, t]
            of_end = (end - drawn[:, :, -2]).mean(axis=0) / _STEP
            F = reached.mean(axis=(0, 1))[t]
            rise = of_end[b] * F
            climb = np.log(10) * max(trajectory.mean[1], 0.0) * (end - z0).mean(axis=0)[b] * F
        trials = cells["trials"].to_numpy()
        scatter = moment_noise(fit)[:, b]
        y = _measured(z, trials, scatter, rng)
        last_trials = cells.assign(b=b).groupby("b")["trials"].last()
        planned = pd.Series(score_trials(fit.idata))
        final = last_trials.reindex(range(len(fit.benchmarks))).fillna(planned)
        target = _measured(
            drawn[:, :, -1], final.to_numpy(), fit.spec.constants["evaluation_noise"], rng
        )
        noise = np.sqrt(scatter**2 + 0.25 / trials)
        return cls(z, y, noise, rise, climb, target)


def moment_noise(fit: Fit) -> np.ndarray:
    """The sd of e_j in each draw, radians. (draw, benchmark)"""
    tau = fit.idata["posterior"]["tau"].transpose("chain", "draw", "benchmark").values
    return np.hypot(fit.spec.constants["evaluation_noise"], tau.reshape(-1, tau.shape[-1]))


def score_of(z: np.ndarray) -> np.ndarray:
    """The score whose arcsine root is z."""
    return np.sin(np.clip(z, 0, np.pi / 2)) ** 2


def _measured(
    z: np.ndarray, trials: np.ndarray, scatter: np.ndarray | float, rng: np.random.Generator
) -> np.ndarray:
    """y of z (draw, cell), measured on `trials` (cell,)."""
    scattered = z + scatter * rng.standard_normal(z.shape)
    n = trials.round().astype(int)
    return arcsine(rng.binomial(n, score_of(scattered)) / n, n)
