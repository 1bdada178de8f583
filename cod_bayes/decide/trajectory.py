"""How the score of a run rises during its training, learned from the ladder's models.

The learning rate of an unfinished run has not decayed, and it has seen fewer tokens than a finished
run of its compute has parameters for. So it is compared with its own end, not with finished runs:
at the share s of the training, on a benchmark with the floor z0 and the score z(1) at the end, all
in radians of arcsine root,

    z(s) = z0 + (z(1) - z0) (F(s) + r e_s)     e_s ~ N(0, 1)
    F(s) = exp(-h(s)' theta),                  h(s) = (1, log(1 / s)) for s < 1,   h(1) = 0

that is F(s) = exp(-lambda) s^kappa with theta = (lambda, kappa): lambda is gained at the last step,
kappa on the way, and r is the roughness. Half of the variance of e_s is common to all benchmarks of
a moment. Each ladder model m with checkpoints is a run, and the target's run is one more of them:

    theta_m ~ N(theta, tau^2 S),   theta ~ N((0, 0.5), S),   S = diag(0.1^2, 0.5^2),
    tau ~ uniform(0, 1)

The last steps of the ladder's models are measured. With y the measured z, and w = y(1) - z0,

    y(s) - z0 = w F(s) + error,   variance = v(s) + v(1) + w^2 r^2,   v = 1 / (4 n) + scatter

is linear in theta near its solution, which Gauss-Newton steps find. Models that are still at the
floor have w = 0 and say nothing. r^2 is the mean square of what is left, beyond the noise, over
the mean w^2; r is held within 0.02 and 0.5. The target run's theta has the mean and covariance of
the mixture over tau, which keeps it uncertain even after many runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cod_bayes.forecast.curves import Curves
from cod_bayes.forecast.posterior import Fit
from cod_bayes.model.equations import arcsine, radians

_CENTRE = np.array([0.0, 0.5])
_S = np.diag([0.1**2, 0.5**2])
_TAU = np.linspace(0.025, 0.975, 20)
_GAUSS_NEWTON_STEPS = 8
_FIRST_ROUGHNESS, _ROUNDS = 0.1, 3
_LEAST_ROUGHNESS, _MOST_ROUGHNESS = 0.02, 0.5
_FLOOR = np.array([-8.0])  # decades from the largest ladder model, where only the floor is left


@dataclass(frozen=True)
class Trajectory:
    """What is known of a run's theta, N(mean, covariance), and of its roughness r.

    mean (2,), covariance (2, 2), roughness: share of the rise.
    """

    mean: np.ndarray
    covariance: np.ndarray
    roughness: float

    def reached(self, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and sd of F(s) + r e_s, the share of the rise that is reached. (moment,)"""
        h = basis(share)
        F = np.exp(-h @ self.mean)
        variance = F**2 * np.einsum("mi,ij,mj->m", h, self.covariance, h)
        return F, np.sqrt(variance + np.where(h[:, 0] > 0, self.roughness**2, 0.0))

    def draws(
        self, number: int, share: np.ndarray, benchmarks: int, rng: np.random.Generator
    ) -> np.ndarray:
        """F(s) + r e_s of as many runs. (draw, benchmark, moment)"""
        h = basis(share)
        theta = rng.multivariate_normal(self.mean, self.covariance, number, method="eigh")
        common = rng.standard_normal((number, 1, len(share)))
        e = common + rng.standard_normal((number, benchmarks, len(share)))
        return np.exp(-theta @ h.T)[:, None] + self.roughness * np.sqrt(0.5) * e * h[:, 0]


@dataclass(frozen=True)
class LadderRun:
    """One ladder model's unfinished cells (cell,): the share of its training s, y - z0, w, and the
    variances v(s) and v(1)."""

    share: np.ndarray
    above: np.ndarray
    rise: np.ndarray
    variance: np.ndarray
    variance_of_end: np.ndarray


def basis(share: np.ndarray) -> np.ndarray:
    """h of each share (moment, 2)."""
    h = np.stack([np.ones_like(share), -np.log(share)], axis=-1)
    return np.where(share[..., None] < 1 - 1e-9, h, 0.0)


def floors(fit: Fit) -> np.ndarray:
    """z0 of each benchmark: the posterior mean of its floor, radians. (benchmark,)"""
    posterior, constant = (fit.idata[n].to_dataset() for n in ("posterior", "constant_data"))
    of, weight = (constant[name].values for name in ("benchmark_of_cluster", "weight"))
    found = []
    for name in fit.benchmarks:
        inside = np.flatnonzero(of == name)
        floor = Curves.of(posterior, constant, inside).means(_FLOOR, weight[inside])
        found.append(float(radians(floor.mean(dtype=float))))
    return np.array(found)


def trajectory_of_ladder(fit: Fit, scatter: np.ndarray) -> Trajectory | None:
    """What the checkpoints of the ladder's models foretell of another run; None where the fit has
    no checkpoints.

    scatter: variance of an evaluation beside its trials, radians squared. (benchmark,)
    """
    if "checkpoints" not in fit.idata.children:
        return None
    return trajectory_of(_runs(fit, scatter))


def trajectory_of(runs: list[LadderRun]) -> Trajectory:
    """What these runs foretell of another one."""
    r = _FIRST_ROUGHNESS
    for _ in range(_ROUNDS):
        found = [_theta(run, r) for run in runs]
        left = sum(
            np.sum((run.above - run.rise * np.exp(-basis(run.share) @ theta)) ** 2 - _noise(run))
            for run, (theta, _) in zip(runs, found, strict=True)
        )
        r = float(np.sqrt(max(left, 0.0) / max(sum((run.rise**2).sum() for run in runs), 1e-12)))
        r = min(max(r, _LEAST_ROUGHNESS), _MOST_ROUGHNESS)
    mean, covariance = another_run([_theta(run, r) for run in runs])
    return Trajectory(mean, covariance, r)


def _runs(fit: Fit, scatter: np.ndarray) -> list[LadderRun]:
    data = fit.idata["checkpoints"].to_dataset()
    score, trials = (
        data[n].transpose("benchmark", "checkpoint").values for n in ("score", "trials")
    )
    share, model = data["training"].values, data["model_of_checkpoint"].values
    known = np.isfinite(score) & np.isfinite(trials)
    n = np.where(known, trials, 1.0)
    above = arcsine(np.where(known, score, 0.0), n) - floors(fit)[:, None]
    noise_share = fit.idata["constant_data"].to_dataset()["noise_share"].values
    variance = 0.25 * noise_share[:, None] / n + scatter[:, None]
    runs = []
    for name in dict.fromkeys(model):
        end = np.flatnonzero((model == name) & (share == 1))
        if not len(end):
            continue
        b, t = np.nonzero(known & known[:, end] & (model == name) & (share < 1))
        of_end = above[b, end[0]], variance[b, t], variance[b, end[0]]
        runs.append(LadderRun(share[t], above[b, t], *of_end))
    return runs


def _noise(run: LadderRun) -> np.ndarray:
    """v(s) + v(1) (cell,); F(s)^2 v(1) would be exact, and v(1) is small."""
    return run.variance + run.variance_of_end


def _theta(run: LadderRun, roughness: float) -> tuple[np.ndarray, np.ndarray]:
    """The most likely theta, given its prior, and the precision of the likelihood there (2, 2)."""
    h, theta = basis(run.share), _CENTRE
    prior = np.linalg.inv(_S)
    weight = 1 / (_noise(run) + (roughness * run.rise) ** 2)
    for _ in range(_GAUSS_NEWTON_STEPS):
        expected = run.rise * np.exp(-h @ theta)
        D = -expected[:, None] * h
        precision = D.T @ (weight[:, None] * D)
        pull = D.T @ (weight * (run.above - expected)) - prior @ (theta - _CENTRE)
        theta = theta + np.linalg.solve(precision + prior, pull)
    return theta, precision


def another_run(runs: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of theta of a run beside these, each its most likely theta and P_m.

    All theta_m, and the other run's as the last, are N(centre, K), K = (1 1' + tau^2 I) x S. The
    likelihood of a run is exp(-t' P_m t / 2 + b_m' t) in t = theta_m - centre, and b_m is
    (P_m + S^-1) t at the most likely t. With P and b of all runs,

        covariance = (I + K P)^-1 K,   mean = centre + covariance b,
        log p(runs | tau) = -log |I + K P| / 2 + b' covariance b / 2
    """
    size = 2 * (len(runs) + 1)
    P, b = np.zeros((size, size)), np.zeros(size)
    for m, (theta, precision) in enumerate(runs):
        at = slice(2 * m, 2 * m + 2)
        P[at, at] = precision
        b[at] = (precision + np.linalg.inv(_S)) @ (theta - _CENTRE)
    means, covariances, log_weights = [], [], []
    for tau in _TAU:
        K = np.kron(np.ones((len(runs) + 1,) * 2) + tau**2 * np.eye(len(runs) + 1), _S)
        system = np.eye(size) + K @ P
        covariance = np.linalg.solve(system, K)
        mean = covariance @ b
        log_weights.append(0.5 * (b @ mean - np.linalg.slogdet(system)[1]))
        means.append(mean[-2:])
        covariances.append(covariance[-2:, -2:])
    weight = np.exp(np.array(log_weights) - max(log_weights))
    weight /= weight.sum()
    mean = weight @ np.array(means)
    apart = np.array(means) - mean
    within = np.einsum("t,tij->ij", weight, np.array(covariances))
    return _CENTRE + mean, within + (weight[:, None] * apart).T @ apart
