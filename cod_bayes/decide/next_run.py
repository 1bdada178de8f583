"""Which further run narrows the target's forecast most: preposterior analysis from posterior draws.

The data y of a candidate are not known yet; their distribution is given by posterior draws. With s
the target's measured score on a benchmark,

    E_y Var(s | y) = Var(s - E[s | y]),      reduction = 1 - E_y Var(s | y) / Var(s)

and E[s | y] is the regression of s on y over the draws (Strong, Oakley and Brennan 2014), here

    s = a + sum_j (b_j y_j + c_j y_j^2) + residual,   Var(residual) on n - p degrees of freedom.

A run at compute c is another model: y_j is the arcsine root of its score on benchmark j, with its
own shocks, measured on the ladder's trials. It shares the curves with the target, and above the
largest ladder model also the random walk for what no curve follows. An anchor is a model of another
family with the target's expected score on the predictable subset: y is the arcsine root of its
score on the rest, plus the scatter of the mapping.

Two things are left out. New data also inform the scales of the shocks, which a regression on y
covers only in part. And more trials of measured models are no candidates: their shocks are
integrated out of the posterior, so it has no draws of a second measurement.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cod_bayes.decide.fits import as_fit
from cod_bayes.forecast.posterior import Fit, check_names
from cod_bayes.forecast.target import effective_share
from cod_bayes.model.equations import radians

_REPEATS = 4  # of every candidate with new shocks, to lower the noise between candidates
_CANDIDATES = 5


@dataclass(frozen=True)
class NextRun:
    """Candidates and how far each narrows the forecast.

    Attributes:
        table: one row per candidate: kind ("run" or "anchor"), benchmark ("" for all), compute
            (FLOPs, NaN for an anchor), cost (NaN unknown), sd_before, sd_after (root of the mean
            variance over `benchmarks`, accuracy), reduction (share of that variance), per_cost.
        target_compute: FLOPs.
        benchmarks: those whose forecast is to be narrowed.
        failed_checks: of the fit. Do not rely on a posterior that fails any.
    """

    table: pd.DataFrame
    target_compute: float
    benchmarks: tuple[str, ...]
    failed_checks: tuple[str, ...]

    @property
    def best(self) -> pd.Series:
        """The candidate that reduces the variance most."""
        return self.table.loc[self.table["reduction"].idxmax()]

    @property
    def best_per_cost(self) -> pd.Series:
        """The candidate that reduces it most per unit of cost, of those with a cost."""
        return self.table.loc[self.table["per_cost"].idxmax()]

    def summary(self) -> pd.DataFrame:
        """The table, the largest reduction first."""
        return self.table.sort_values("reduction", ascending=False, ignore_index=True)

    def to_json(self) -> str:
        """One object: the attributes, `best` and `best_per_cost` as rows of the table."""
        rows = json.loads(self.table.to_json(orient="records", double_precision=15))
        return json.dumps(
            {
                "target_compute": self.target_compute,
                "benchmarks": self.benchmarks,
                "failed_checks": self.failed_checks,
                "best": rows[int(self.table["reduction"].idxmax())],
                "best_per_cost": rows[int(self.table["per_cost"].idxmax())],
                "candidates": rows,
            },
            indent=2,
        )


def next_run(
    fit: Fit | str | Path,
    target_compute: float,
    *,
    candidates: Sequence[float] | None = None,
    cost: Sequence[float] | None = None,
    benchmarks: Sequence[str] | None = None,
) -> NextRun:
    """Expected narrowing of the target's forecast by further runs and, with a mapping, anchors.

    Args:
        fit: a fit, or the file of a saved one.
        target_compute: FLOPs.
        candidates: compute of the runs, FLOPs; by default five from 0.3 times the smallest ladder
            model to twice the largest.
        cost: of each candidate run, any unit; by default its compute.
        benchmarks: those whose forecast is to be narrowed; all by default.

    Raises:
        ValueError: a compute that is not positive or not below the target's, a cost that is not
            positive or not one per candidate, a benchmark not in the fit.
    """
    if not 0 < target_compute < np.inf:
        raise ValueError(f"expected target compute > 0 in FLOPs, got {target_compute}")
    fit = as_fit(fit)
    ladder = fit.idata["constant_data"].to_dataset()
    if candidates is None:
        ends = 0.3 * ladder["compute"].values.min(), 2 * ladder["compute"].values.max()
        runs = np.geomspace(*ends, _CANDIDATES)
        runs = runs[runs < target_compute]
    else:
        runs = np.asarray(candidates, float)
    if not (len(runs) and (runs > 0).all() and (runs < target_compute).all()):
        raise ValueError(
            f"expected candidates with compute above 0 and below the target's {target_compute:.4g} "
            f"FLOPs, got {runs.tolist()}; a run as large as the target is the target"
        )
    costs = runs if cost is None else np.asarray(cost, float)
    if costs.shape != runs.shape or not ((costs > 0) & np.isfinite(costs)).all():
        raise ValueError(
            f"expected one cost > 0 for each of {len(runs)} candidates, got {costs.tolist()}"
        )
    chosen = tuple(fit.benchmarks if benchmarks is None else benchmarks)
    if not chosen:
        raise ValueError(f"expected at least one benchmark of {fit.benchmarks}, got none")
    check_names(chosen, fit.benchmarks)

    b = [fit.benchmarks.index(name) for name in chosen]
    grid = np.append(runs, target_compute)
    drawn = fit.draws(grid, one_run=True)
    at_target = {name: _flat(drawn[name].values)[..., -1] for name in ("score", "subset_score")}
    target = at_target["score"][:, b]
    variance = target.var(axis=0, ddof=1)
    rng = np.random.default_rng([int(fit.idata.attrs["random_seed"]), 7])
    noise = np.sqrt(
        fit.spec.constants["evaluation_noise"] ** 2 + 0.25 / ladder["trials"].values
    )  # (benchmark,) radians
    remaining = np.zeros((len(runs), len(b)))
    for seed in range(1, _REPEATS + 1):
        score = fit.draws(grid, one_run=True, measured=False, model_seed=seed)["score"].values
        y = radians(_flat(score))
        y = y + noise[:, None] * rng.standard_normal(y.shape)
        for j in range(len(runs)):
            remaining[j] += residual_variance(target, y[:, :, j]) / _REPEATS
    rows = [
        ("run", "", compute, price, after)
        for compute, price, after in zip(runs, costs, remaining, strict=True)
    ]
    for name, k in zip(chosen, b, strict=True):
        anchor_y = _anchor(fit, name, at_target["subset_score"][:, k], rng)
        if anchor_y is not None:
            after = variance.copy()
            column = chosen.index(name)
            after[column] = residual_variance(target[:, [column]], anchor_y)[0]
            rows.append(("anchor", name, np.nan, np.nan, after))
    table = pd.DataFrame(rows, columns=["kind", "benchmark", "compute", "cost", "after"])
    after = np.array([row.mean() for row in table.pop("after")])
    before = variance.mean()
    table["sd_before"] = np.sqrt(before)
    table["sd_after"] = np.sqrt(np.minimum(after, before))
    table["reduction"] = np.clip(1 - after / before, 0, 1) if before > 0 else 0.0
    table["per_cost"] = table["reduction"] / table["cost"]
    return NextRun(table, float(target_compute), chosen, fit.failed_checks)


def residual_variance(target: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Variance of target (draw, quantity) that a quadratic regression on y (draw, datum) leaves."""
    spread = y.std(axis=0)
    varied = spread > 0
    scaled = (y[:, varied] - y[:, varied].mean(axis=0)) / spread[varied]
    design = np.column_stack([np.ones(len(y)), scaled, scaled**2])
    fitted, _, rank, _ = np.linalg.lstsq(design, target, rcond=None)
    residual = target - design @ fitted
    return (residual**2).sum(axis=0) / max(len(y) - rank, 1)


def _flat(values: np.ndarray) -> np.ndarray:
    """(chain, draw, ...) -> (draw, ...)."""
    return values.reshape(-1, *values.shape[2:])


def _anchor(
    fit: Fit, benchmark: str, subset: np.ndarray, rng: np.random.Generator
) -> np.ndarray | None:
    """y of an anchor as good as the target, (draw, 1); None where there is no mapping."""
    mapping = fit.mapping(benchmark)
    if mapping is None:
        return None
    rest = mapping.rest(np.full(len(subset), np.median(subset)))
    clusters = fit.summary().query("benchmark == @benchmark")
    trials = fit.idata["constant_data"].to_dataset()["trials"].sel(benchmark=benchmark).item()
    trials *= effective_share(
        clusters["weight"].to_numpy(), 1 - clusters["p_predictable"].to_numpy()
    )
    if trials == 0:
        return None
    sd = np.sqrt(fit.spec.constants["mapping_scatter"] ** 2 + 0.25 / trials)
    return (radians(rest) + sd * rng.standard_t(4, len(rest)))[:, None]
