"""Evidence that could be gathered next, as draws of the data y that it would give.

run      models of compute c, of one or several seeds: y_b = arcsin sqrt score_b, measured on the
         ladder's trials, its mean over the seeds. Each has shocks of its own; omega is that of
         the ladder's models below the largest, and the target's above
trials   F times the trials of every item on all ladder models: y_bm = z_bm + noise of the
         F - 1 times as many new trials, z_bm the latent score of model m, its own shocks, omega
         and eps included, which the ladder has measured once
items    F times the items, like those there are: the same on the ladder, and the target is
         measured on F times the items as well
anchor   a model of another family with the target's expected score on the predictable subset:
         y = arcsin sqrt score on the rest, plus the scatter of the mapping
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cod_bayes.forecast.curves import in_a_row
from cod_bayes.forecast.groups import score_trials
from cod_bayes.forecast.posterior import Fit
from cod_bayes.forecast.target import effective_share, mean_of
from cod_bayes.model.equations import radians, rate_of
from cod_bayes.model.variables import DIMS

_OF_LADDER = ("delta", "delta_benchmark", "lead", "omega", "tau")  # shocks that a model may lack
_REPEATS = 2  # models that are drawn at each compute of a run


Version = list[tuple[list[int], np.ndarray]]


@dataclass(frozen=True)
class Candidate:
    """One piece of evidence that could be gathered.

    Attributes:
        kind: "run", "trials", "items" or "anchor".
        data: what it would give, a list of equally likely versions. Each has parts: the columns,
            places among the chosen benchmarks, that y (draw, datum) tells of.
        benchmark: of an anchor; "" for all. compute: FLOPs of a run. seeds: of a run.
        factor: of trials or items.
    """

    kind: str
    data: list[Version] = field(repr=False)
    benchmark: str = ""
    compute: float = np.nan
    seeds: int = 0
    factor: float = np.nan


def runs(
    fit: Fit,
    grid: np.ndarray,
    chosen: Sequence[int],
    seeds: Sequence[int],
    rng: np.random.Generator,
) -> list[Candidate]:
    """Runs at all computes of the grid but the last, which is the target's.

    chosen: indexes of benchmarks. All of them see all of a run's scores.
    """
    noise = measurement_noise(fit)
    models = []
    for seed in range(1, max(_REPEATS, *seeds) + 1):
        drawn = fit.draws(grid, one_run=True, measured=False, model_seed=seed)["score"].values
        z = radians(drawn[..., :-1].reshape(-1, *drawn.shape[2:-1], len(grid) - 1))
        models.append(z + noise[:, None] * rng.standard_normal(z.shape))
    found = []
    for j, compute in enumerate(grid[:-1]):
        for n in sorted(set(seeds)):
            groups = [models[i : i + n] for i in range(0, len(models) - n + 1, n)]
            means = [np.mean([z[:, :, j] for z in group], axis=0) for group in groups]
            every = list(range(len(chosen)))
            data: list[Version] = [[(every, mean)] for mean in means]
            found.append(Candidate("run", data, compute=float(compute), seeds=n))
    return found


def more_trials(
    fit: Fit, chosen: Sequence[int], factor: float, rng: np.random.Generator
) -> list[Candidate]:
    """F times the trials, and F times the items. None of a model that a user built without the
    shocks of single models."""
    if not {*_OF_LADDER} <= {*fit.idata["posterior"].to_dataset()}:
        return []
    sd = measurement_noise(fit, factor - 1)
    version: Version = []
    for i, b in enumerate(chosen):
        z = radians(ladder_scores(fit, b, rng))
        version.append(([i], z + sd[b] * rng.standard_normal(z.shape)))
    return [Candidate(kind, [version], factor=factor) for kind in ("trials", "items")]


def anchors(
    fit: Fit, chosen: Sequence[int], subset: np.ndarray, rng: np.random.Generator
) -> list[Candidate]:
    """One for each benchmark with a mapping. subset: the target's scores (draw, benchmark)."""
    found = []
    for i, b in enumerate(chosen):
        name = fit.benchmarks[b]
        y = _anchor(fit, name, subset[:, b], rng)
        if y is not None:
            found.append(Candidate("anchor", [[([i], y)]], benchmark=name))
    return found


def measurement_noise(fit: Fit, share: float = 1.0) -> np.ndarray:
    """Sd of a score that is measured on this share of the ladder's trials, radians. (benchmark,)"""
    trials = score_trials(fit.idata)
    return np.sqrt(fit.spec.constants["evaluation_noise"] ** 2 + 0.25 / (share * trials))


def ladder_scores(fit: Fit, b: int, rng: np.random.Generator) -> np.ndarray:
    """Draws of the latent scores of the ladder's models on benchmark b. (draw, measured model)

    Where the benchmark has clusters, as a forecast: the mean of both posteriors.
    """
    scores = _own_scores(fit, b, rng)
    clusters = np.flatnonzero(fit.ladder.of_cluster == b)
    if fit.whole is None or len(clusters) == 1:
        return scores
    beside = _own_scores(fit.whole, b, rng)
    beside = beside[np.arange(len(scores)) * len(beside) // len(scores)]
    alike = max(2 * float(fit.ladder.weight[clusters].max()) - 1, 0.0)
    return mean_of(scores, beside, alike)


def _own_scores(fit: Fit, b: int, rng: np.random.Generator) -> np.ndarray:
    """`ladder_scores` by one posterior: the curves at the models' shocks, omega, and eps given the
    measurement: eps ~ N(r t^2 / (t^2 + n), t^2 n / (t^2 + n)), r what is left of z, n its noise."""
    ladder, curves = fit.ladder, fit.curves(fit.benchmarks[b])
    posterior = fit.idata["posterior"].to_dataset()
    draws = {name: in_a_row(posterior[name], *DIMS[name]) for name in _OF_LADDER}
    top = int(ladder.top[b])
    clusters = np.flatnonzero(ladder.of_cluster == b)
    models = np.flatnonzero(ladder.measured[clusters].any(axis=0))
    shock = draws["delta"] - draws["delta"][:, [top]]
    smaller = np.arange(len(ladder.x)) != top
    shock = shock + smaller * (draws["delta_benchmark"][:, b] - draws["lead"][:, [b]])
    ahead = (ladder.x - ladder.x_ref[b] + shock)[:, models]
    omega, tau = draws["omega"][:, b][:, models], draws["tau"][:, [b]]
    score = np.zeros_like(ahead)
    for j, k in enumerate(clusters):
        z = radians(curves.at(j, ahead)) + omega
        noise = ladder.noise[k, models]
        known = np.isfinite(noise)
        pull = np.where(known, tau**2 / (tau**2 + np.where(known, noise, 1.0)), 0.0)
        spread = tau * np.sqrt(1 - pull)
        left = np.where(known, ladder.z[k, models], 0.0) - z
        z = z + pull * left + spread * rng.standard_normal(z.shape)
        score += ladder.weight[k] * rate_of(z)
    return score


def _anchor(
    fit: Fit, benchmark: str, subset: np.ndarray, rng: np.random.Generator
) -> np.ndarray | None:
    """y of an anchor as good as the target, (draw, 1); None where there is no mapping."""
    mapping = fit.mapping(benchmark)
    if mapping is None:
        return None
    rest = mapping.rest(np.full(len(subset), np.median(subset)))
    clusters = fit.ladder.of_cluster == fit.benchmarks.index(benchmark)
    outside = 1 - fit.predictable.values[clusters]
    trials = score_trials(fit.idata)[fit.benchmarks.index(benchmark)]
    trials = trials * effective_share(fit.ladder.weight[clusters], outside)
    if trials == 0:
        return None
    sd = np.sqrt(fit.spec.constants["mapping_scatter"] ** 2 + 0.25 / trials)
    return (radians(rest) + sd * rng.standard_t(4, len(rest)))[:, None]
