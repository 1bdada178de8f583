"""A target's score, drawn from posterior draws of the curves.

A target of compute C*, x* = log10 C*, is a fresh model with shocks of its own:

    x'       = x* + delta* - delta_b - lead_b,    delta* ~ N(0, sigma_model)
    y_k      = y_k(x' + delta_b*),            delta_b* ~ N(0, sigma_delta)
    score_k  = sin^2(arcsin sqrt y_k + omega* + eps_k),
    omega*   = sigma_omega sqrt|x* - x_b| (sqrt(rho) u + sqrt(1 - rho) u_b),    u, u_b ~ N(0, 1),
    eps_k    ~ N(0, tau)

the benchmark's score is the mean over its items, and the predictable subset's the mean with every
item counted with the probability P_k that its cluster is predictable; a benchmark that is one
cluster is its own subset, whatever P. Where anchors have been seen, the benchmark's follows from
the subset's by the mapping (`cod_bayes.forecast.mapping`).

A second posterior of the same model has every benchmark as one curve, fitted to all trials. Where a
benchmark has clusters, a draw of its score is the mean of a draw of each, of one target: the
standard normals behind delta* and omega* are the same. With z = arcsin sqrt score before it is
measured, of clusters and of the whole, m, v and r means, variances and correlation of their draws,

    z     = a z_c + (1 - a) z_w,    a = v_w / (v_c + v_w),    q = sqrt(a (1 - a))
    score = sin^2(mean z + s (z - mean z))
    s^2   = max(1, (m_c - m_w)^2 / (v_c + v_w - 2 r sqrt(v_c v_w)))
            (1 + 2 max(t, r) q) / (1 + 2 r q),    t = max(0, 2 max_k weight_k - 1)

weights by precision (Bates and Granger 1969, The combination of forecasts), and a spread that grows
where the two are further apart than they say (Birge 1932, The calculation of errors by the method
of least squares), and where one cluster outweighs all others together: t stands for the correlation
of the two's errors. With one cluster it is 1, and the mean as wide as either. The subset moves by
as many radians as its benchmark would without anchors, as far as a rest between 0 and 1 allows.

Scores get the noise of an evaluation on as many trials as the largest ladder model had, n:

    measured = sin^2(arcsin sqrt score + e sqrt(1 / (4 n) + evaluation_noise^2)),   e ~ N(0, 1)

a mean with weights v has the noise of n (sum_k weight_k v_k)^2 / sum_k weight_k v_k^2 trials. The
normal e is one per draw and benchmark, the same at all computes; the predictable subset has one of
its own, except where it is the whole benchmark.

Draw i of every benchmark is of the same target model. Benchmarks share delta* and u, and rho is the
model's constant shared_omega. All else is their own, and comes from a stream of random numbers that
the fit's seed and the benchmark's name determine. So a benchmark's draws at one compute do not
depend on the other computes and benchmarks that are forecast with it. Where a ladder has one
benchmark, the model does not tell delta* from delta_b*. Their sum then has the standard deviation
sigma_delta, split as the two scales say:

    delta* + delta_b* = sigma_delta (sqrt(r) N(0, 1) + sqrt(1 - r) N(0, 1)),
    r = sigma_model^2 / (sigma_model^2 + sigma_delta^2)

so that benchmarks fitted apart can be joined (`cod_bayes.forecast.outlook.join`).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cod_bayes.forecast.curves import Curves
from cod_bayes.forecast.mapping import Mapping
from cod_bayes.model.equations import radians, rate_of

_NO_VARIANCE = 1e-20  # radians^2: rounding


@dataclass(frozen=True)
class Target:
    """One benchmark's clusters at the target's computes: the equations of the module.

    Attributes:
        curves: of the clusters; x: (draw, compute) effective, in decades from x_b.
        omega: (draw, compute); eps: (draw, cluster).
        weight: (cluster,) share of items; counted: (cluster,) in the predictable subset.
        trials: of the evaluation; evaluation_noise: radians, whatever the trials.
        seed: of the evaluation's noise.
        mapping: None where no anchor has been seen.
    """

    curves: Curves
    x: np.ndarray
    omega: np.ndarray
    eps: np.ndarray
    weight: np.ndarray
    counted: np.ndarray
    trials: float
    evaluation_noise: float
    seed: list[int]
    mapping: Mapping | None

    @property
    def share(self) -> float:
        return float(self.weight @ self.counted)

    def scores(self, whole: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The benchmark and its predictable subset before they are measured, (draw, compute); the
        subset's NaN where it has no item.

        whole: scores of the benchmark as one curve, to be taken into the mean.
        """
        alone, subset, plain = np.zeros((3, *self.x.shape))
        inside = self.weight * self.counted / (self.share or np.nan)
        for k, part in enumerate(inside):
            y = self.curves.at(k, self.x)
            shaken = shift(y, self.omega + self.eps[:, k, None])
            alone += self.weight[k] * shaken
            subset += part * shaken
            plain += part * y
        full = alone
        if self.mapping is not None:
            outside = self.weight * (1 - self.counted) / (1 - self.share)
            rest = shift(self.mapping.rest(plain), self.omega + (self.eps @ outside)[:, None])
            full = self.share * subset + (1 - self.share) * rest
        if whole is None:
            return full, subset
        # Anchors inform the mapping and nothing else: the subset moves without them.
        alike = max(2 * float(self.weight.max()) - 1, 0.0)
        both = mean_of(alone, whole, alike)
        if self.share > 0:
            subset = shift(subset, radians(both) - radians(alone))
            least = (both - (1 - self.share)) / self.share  # with a rest that is solved, or not
            subset = np.clip(subset, np.maximum(least, 0), np.minimum(both / self.share, 1))
        return mean_of(full, whole, alike), subset

    def measured(self, score: np.ndarray, counted: np.ndarray) -> np.ndarray:
        """With the noise of an evaluation on the same items and trials, each cluster counted with
        its own of these weights. (draw, compute)"""
        n = self.trials * effective_share(self.weight, counted)
        if not n > 0:
            return score
        subset = [] if np.ptp(counted) == 0 else [1]
        e = np.random.default_rng([*self.seed, *subset]).standard_normal(len(score))
        return shift(score, e[:, None] * np.sqrt(0.25 / max(n, 1.0) + self.evaluation_noise**2))


def effective_share(weight: np.ndarray, counted: np.ndarray) -> float:
    """The share of all trials whose plain mean is as noisy as one with these weights (Kish 1965,
    Survey sampling, 11.7), of clusters that hold these shares of the items; 0 where none counts."""
    squares = weight @ counted**2
    return float((weight @ counted) ** 2 / squares) if squares > 0 else 0.0


def random_walk(away: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Standard random walks from 0, one upward and one downward, at `away` decades."""
    walk = np.zeros((draws, len(away)))
    for side in (away > 0, away < 0):
        at = np.flatnonzero(side)[np.argsort(np.abs(away[side]))]
        steps = np.diff(np.abs(away[at]), prepend=0.0)
        walk[:, at] = np.cumsum(rng.standard_normal((draws, len(at))) * np.sqrt(steps), axis=1)
    return walk


def through(walk: np.ndarray, away: np.ndarray, knots: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Random walks at `away`, given their values where those are known.

    A walk that was drawn without this knowledge is moved by what it misses at the nearest known
    points, linearly between them: a Brownian bridge from one to the next.

    walk: (draw, away then knots); knots: (knot,) below 0, where it starts; known: (draw, knot).
    """
    here, missed = walk[:, : len(away)], known - walk[:, len(away) :]
    if len(knots) == 0:
        return here
    at, first = np.unique(np.append(knots, 0.0), return_index=True)
    missed = np.column_stack([missed, np.zeros(len(missed))])[:, first]
    share = np.stack([np.interp(away, at, of) for of in np.eye(len(at))])
    return here + missed @ share


def stream(name: str) -> int:
    """A benchmark's number among the seeds of random streams, whatever its place in a fit."""
    return zlib.crc32(name.encode())


def target_numbers(seed: int, benchmarks: Sequence[str], draws: int) -> np.ndarray:
    """The number of the target model of each draw of a fit of these benchmarks.

    The seed and this number determine what the benchmarks of a target share. Fits of other
    benchmarks have another order, because samplers with one seed take similar steps. (draw,)
    """
    return np.random.default_rng([seed, 8, *map(stream, benchmarks)]).permutation(draws)


def mean_of(clusters: np.ndarray, whole: np.ndarray, alike: float) -> np.ndarray:
    """The mean of two forecasts of one score, as in the module, where t is `alike`.

    (draw, compute)
    """
    z_c, z_w = radians(clusters), radians(whole)
    m_c, m_w = z_c.mean(axis=0), z_w.mean(axis=0)
    v_c, v_w = z_c.var(axis=0), z_w.var(axis=0)
    total = v_c + v_w
    varied = total > _NO_VARIANCE
    a = np.divide(v_w, total, out=np.full(len(total), 0.5), where=varied)
    q = np.sqrt(a * (1 - a))
    # Nine tenths at most: of two that are one, what rounding leaves is no disagreement.
    shared = np.clip(((z_c - m_c) * (z_w - m_w)).mean(axis=0), 0, 0.9 * q * total)
    r = np.divide(shared, q * total, out=np.zeros(len(total)), where=varied & (q > 0))
    gap = (m_c - m_w) ** 2
    apart = np.divide(gap, total - 2 * shared, out=np.ones(len(total)), where=varied)
    s = np.maximum(apart, 1) * (1 + 2 * np.maximum(alike, r) * q) / (1 + 2 * r * q)
    z, middle = a * z_c + (1 - a) * z_w, a * m_c + (1 - a) * m_w
    return rate_of(middle + np.sqrt(s) * (z - middle))


def shift(y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Rates moved by z radians of arcsine root."""
    return rate_of(radians(y) + z)
