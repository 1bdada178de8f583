"""Which further evidence narrows the target's forecast most: preposterior analysis from draws.

The data y of a candidate (`cod_bayes.decide.candidates`) are not known yet; their distribution is
given by posterior draws. With s the target's measured score on a benchmark,

    E_y Var(s | y) = Var(s - E[s | y]),      reduction = 1 - E_y Var(s | y) / Var(s)

and E[s | y] is the regression of s on y over the draws (Strong, Oakley and Brennan 2014), here
a + sum_j (b_j y_j + c_j y_j^2). F times the items also leave the target's own score less noise.

A decision is whether to train the target: with U its utility and B that of not training,

    loss      = E max(U, B) - max(E U, B)                  of deciding now, as in `compare`
    loss less = E_y max(E[U | y], B) - max(E U, B)         what y saves of it

taken as what the rule "train if E[U | y] > B" earns.

The draws are cut into eight blocks, two of each of four chains. The regression that is applied to a
block is that of the other seven, so data that say nothing reduce nothing, and the blocks' spread
gives every figure's standard error. A candidate counts if it narrows the forecast, or spares loss,
by more than two of them, and at least by one hundredth. Candidates that are less than two standard
errors from the best are as good as it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from cod_bayes.decide.candidates import Candidate, Version, anchors, more_trials, runs
from cod_bayes.decide.compare import Utility, applied, mean_score
from cod_bayes.decide.fits import as_fit, thinned
from cod_bayes.forecast.groups import score_trials
from cod_bayes.forecast.posterior import Fit, check_names

_CANDIDATES = 5
_BLOCKS = 8
_ERRORS = 3.0  # standard errors by which a candidate must stand out; of 8 blocks, 1 % do by chance
_LEAST = 0.01  # share of the variance, or of the loss, below which nobody would see a difference
_RIDGE = 1e-9
_MOST_DRAWS = 2500  # more would say little more about differences that standard errors come with


@dataclass(frozen=True)
class NextRun:
    """Candidates and what each would add.

    Attributes:
        table: one row per candidate: kind ("run", "trials", "items" or "anchor"), benchmark ("" for
            all), compute (FLOPs, NaN but for a run), seeds (of a run), factor (of trials or items),
            cost (NaN unknown), sd_before, sd_after (root of the mean variance over `benchmarks`,
            accuracy), reduction (share of that variance) and its standard error reduction_se,
            loss_less and loss_less_se (of `loss`, in the utility's unit; NaN without a decision),
            per_cost (reduction), loss_per_cost, counts (stands out from Monte Carlo noise and, with
            a value, is worth more than it costs), as_good (counts, and is not to be told from the
            largest reduction).
        target_compute: FLOPs.
        benchmarks: those whose forecast is to be narrowed.
        loss: expected loss of deciding now; NaN without a decision.
        failed_checks: of the fit. Do not rely on a posterior that fails any.
    """

    table: pd.DataFrame
    target_compute: float
    benchmarks: tuple[str, ...]
    loss: float
    failed_checks: tuple[str, ...]

    @property
    def best(self) -> pd.Series | None:
        """The candidate that reduces the variance most; of those as good as it, the cheapest. None
        where no candidate is worth its cost."""
        good = self.table[self.table["as_good"]]
        if good.empty:
            return None
        priced = good.dropna(subset="cost")
        return good.loc[good["reduction"].idxmax() if priced.empty else priced["cost"].idxmin()]

    @property
    def best_per_cost(self) -> pd.Series | None:
        """The candidate that reduces it most per unit of cost; None as `best`."""
        return self._most("per_cost")

    @property
    def best_for_decision(self) -> pd.Series | None:
        """The candidate that spares most loss per unit of cost; None as `best`."""
        return self._most("loss_per_cost")

    def _most(self, column: str) -> pd.Series | None:
        counts = self.table[self.table["counts"]].dropna(subset=column)
        counts = counts[counts[column] > 0]
        return None if counts.empty else counts.loc[counts[column].idxmax()]

    def summary(self) -> pd.DataFrame:
        """The table, the largest reduction first."""
        return self.table.sort_values("reduction", ascending=False, ignore_index=True)

    def to_json(self) -> str:
        """One object: the attributes, and the best candidates as rows of the table or null."""
        rows = json.loads(self.table.to_json(orient="records", double_precision=15))
        bests = {
            name: None if (row := getattr(self, name)) is None else rows[int(row.name)]
            for name in ("best", "best_per_cost", "best_for_decision")
        }
        return json.dumps(
            {
                "target_compute": self.target_compute,
                "benchmarks": self.benchmarks,
                "loss": None if np.isnan(self.loss) else self.loss,
                "failed_checks": self.failed_checks,
                **bests,
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
    evaluation_cost: float | None = None,
    benchmarks: Sequence[str] | None = None,
    seeds: Sequence[int] = (1, 2),
    factor: float = 4.0,
    utility: Utility | None = None,
    baseline: float | None = None,
    value: float | None = None,
) -> NextRun:
    """What further runs, trials, items and, with a mapping, anchors add to the target's forecast.

    Args:
        fit: a fit, or the file of a saved one.
        target_compute: FLOPs.
        candidates: compute of the runs, FLOPs; by default five from 0.3 times the smallest ladder
            model to twice the largest.
        cost: of each candidate run, any unit; by default its compute.
        evaluation_cost: of evaluating one model once, in the same unit. Each seed of a run needs
            one, an anchor its benchmark's share, F times the trials or items F - 1 for each ladder
            model. None: 0 for runs, unknown for the others.
        benchmarks: those whose forecast is to be narrowed; all by default.
        seeds: numbers of models of one compute that a run may have.
        factor: F.
        utility: u of the target's scores as of `cod_bayes.decide.compare`; the mean by default.
        baseline: B, in the unit of u: the target is trained if u is expected to be larger. None: no
            decision.
        value: of one unit of u, in the unit of cost. A candidate then counts only if the loss that
            it spares is worth more than it is known to cost.

    Raises:
        ValueError: a compute that is not positive or not below the target's; a cost that is not
            positive or not one per candidate; a benchmark not in the fit; seeds or a factor that
            cannot be; a utility or a value without a baseline.
    """
    if not 0 < target_compute < np.inf:
        raise ValueError(f"expected target compute > 0 in FLOPs, got {target_compute}")
    _check_decision(seeds, factor, evaluation_cost, utility, baseline, value)
    fit = thinned(as_fit(fit), _MOST_DRAWS)
    grid, costs = _runs_of(fit, target_compute, candidates, cost)
    chosen = tuple(fit.benchmarks if benchmarks is None else benchmarks)
    if not chosen:
        raise ValueError(f"expected at least one benchmark of {fit.benchmarks}, got none")
    check_names(chosen, fit.benchmarks)

    b = [fit.benchmarks.index(name) for name in chosen]
    drawn = fit.draws(grid, one_run=True)
    score, subset = (
        drawn[name].values.reshape(-1, *drawn[name].shape[2:])[..., -1]
        for name in ("score", "subset_score")
    )
    target = score[:, b]
    blocks = np.array_split(np.arange(len(target)), _BLOCKS)
    gain = np.full(len(target), np.nan)
    if baseline is not None:
        worlds = xr.DataArray(score, {"benchmark": fit.benchmarks}, ("sample", "benchmark"))
        gain = applied(utility or mean_score(), worlds, "target") - baseline
    loss = float(np.maximum(gain, 0).mean() - max(gain.mean(), 0))

    rng = np.random.default_rng([int(fit.idata.attrs["random_seed"]), 7])
    found = [
        *runs(fit, grid, b, seeds, rng),
        *more_trials(fit, b, factor, rng),
        *anchors(fit, b, subset, rng),
    ]
    p = target.mean(axis=0)
    trials = score_trials(fit.idata)[b]
    measured_away = p * (1 - p) / trials * (1 - 1 / factor)  # of the variance, by F times the items
    total = _by_block((target - _mean_of_others(target, blocks)) ** 2, blocks)
    reductions, spared = [], []
    for one in found:
        gone, less = np.zeros_like(total), np.zeros(_BLOCKS)
        for version in one.data:
            for columns, y in version:
                of = target[:, columns]
                left = _by_block((of - predicted(of, y, blocks)) ** 2, blocks)
                gone[:, columns] += (total[:, columns] - left) / len(one.data)
            if baseline is not None:
                less += _loss_less(gain, target, version, blocks) / len(one.data)
        if one.kind == "items":
            gone = gone + measured_away
        reductions.append(gone.mean(axis=1) / max(total.mean(), 1e-300))
        spared.append(less if baseline is not None else np.full(_BLOCKS, np.nan))
    table = _table(found, np.array(reductions), np.array(spared), np.sqrt(total.mean()))
    table.insert(5, "cost", _costs(found, costs, grid, evaluation_cost, fit, len(b)))
    table["per_cost"] = table["reduction"] / table["cost"]
    table["loss_per_cost"] = table["loss_less"] / table["cost"]
    counts = (table["reduction"] > _ERRORS * table["reduction_se"]) & (table["reduction"] > _LEAST)
    spares = (table["loss_less"] > _ERRORS * table["loss_less_se"]) & (
        table["loss_less"] > _LEAST * loss
    )
    if value is not None:
        counts = spares & (value * table["loss_less"] > table["cost"])
    table["counts"] = counts | (spares & (value is None))
    table["as_good"] = _as_good(np.array(reductions), table["counts"].to_numpy())
    return NextRun(table, float(target_compute), chosen, loss, fit.failed_checks)


def predicted(target: np.ndarray, y: np.ndarray, blocks: Sequence[np.ndarray]) -> np.ndarray:
    """E[target | y] of every draw by a quadratic regression on the draws of the other blocks.

    target: (draw, quantity); y: (draw, datum). (draw, quantity)
    """
    spread = y.std(axis=0)
    scaled = (y - y.mean(axis=0))[:, spread > 0] / spread[spread > 0]
    design = np.column_stack([np.ones(len(y)), scaled, scaled**2])
    size = design.shape[1]
    joint = np.column_stack([design, target])
    parts = [design[block].T @ joint[block] for block in blocks]
    whole = np.sum(parts, axis=0)
    result = np.empty(target.shape)
    for block, part in zip(blocks, parts, strict=True):
        gram, moment = np.split(whole - part, [size], axis=1)
        gram = gram + _RIDGE * len(y) * np.eye(size)
        result[block] = design[block] @ np.linalg.solve(gram, moment)
    return result


def _mean_of_others(target: np.ndarray, blocks: Sequence[np.ndarray]) -> np.ndarray:
    """Of every draw's quantities, the mean over the draws of the other blocks."""
    result = np.empty_like(target)
    for block in blocks:
        result[block] = np.delete(target, block, axis=0).mean(axis=0)
    return result


def _by_block(values: np.ndarray, blocks: Sequence[np.ndarray]) -> np.ndarray:
    """Means over each block's draws. (block, ...)"""
    return np.stack([values[block].mean(axis=0) for block in blocks])


def _loss_less(
    gain: np.ndarray, target: np.ndarray, version: Version, blocks: Sequence[np.ndarray]
) -> np.ndarray:
    """What the rule "train if the expected gain is positive" earns more than deciding now. (block,)

    gain: U - B (draw,). Data of several parts are first summed up as what they make of the target.
    """
    y = version[0][1]
    if len(version) > 1:
        y = np.hstack([predicted(target[:, columns], part, blocks) for columns, part in version])
    train = predicted(gain[:, None], y, blocks)[:, 0] > 0
    return _by_block(gain * train - gain * (gain.mean() > 0), blocks)


def _table(
    found: Sequence[Candidate], reductions: np.ndarray, spared: np.ndarray, sd: float
) -> pd.DataFrame:
    """reductions, spared: (candidate, block); sd: of the forecast now."""
    error = _BLOCKS**-0.5
    reduction = np.clip(reductions.mean(axis=1), 0, 1) if sd > 0 else np.zeros(len(found))
    return pd.DataFrame(
        {
            "kind": [one.kind for one in found],
            "benchmark": [one.benchmark for one in found],
            "compute": [one.compute for one in found],
            "seeds": [one.seeds for one in found],
            "factor": [one.factor for one in found],
            "sd_before": sd,
            "sd_after": sd * np.sqrt(1 - reduction),
            "reduction": reduction,
            "reduction_se": reductions.std(axis=1, ddof=1) * error,
            "loss_less": np.maximum(spared.mean(axis=1), 0),
            "loss_less_se": spared.std(axis=1, ddof=1) * error,
        }
    )


def _as_good(reductions: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Which candidates that count cannot be told from the largest reduction. (candidate,)"""
    if not counts.any():
        return counts
    best = reductions[np.where(counts, reductions.mean(axis=1), -np.inf).argmax()]
    behind = best - reductions
    error = behind.std(axis=1, ddof=1) * _BLOCKS**-0.5
    return counts & (behind.mean(axis=1) <= _ERRORS * error)


def _costs(
    found: Sequence[Candidate],
    costs: np.ndarray,
    grid: np.ndarray,
    evaluation: float | None,
    fit: Fit,
    chosen: int,
) -> list[float]:
    """Of each candidate; NaN unknown."""
    price = dict(zip(grid[:-1].tolist(), costs.tolist(), strict=True))
    each = np.nan if evaluation is None else evaluation
    models = len(fit.ladder.x)
    return [
        one.seeds * (price[one.compute] + (evaluation or 0.0))
        if one.kind == "run"
        else each / chosen
        if one.kind == "anchor"
        else (one.factor - 1) * models * each
        for one in found
    ]


def _runs_of(
    fit: Fit,
    target_compute: float,
    candidates: Sequence[float] | None,
    cost: Sequence[float] | None,
) -> tuple[np.ndarray, np.ndarray]:
    """The computes of the runs, the target's behind them; and the runs' costs."""
    ladder = fit.idata["constant_data"].to_dataset()["compute"].values
    if candidates is None:
        computes = np.geomspace(0.3 * ladder.min(), 2 * ladder.max(), _CANDIDATES)
        computes = computes[computes < target_compute]
    else:
        computes = np.asarray(candidates, float)
    if not (len(computes) and (computes > 0).all() and (computes < target_compute).all()):
        raise ValueError(
            f"expected candidates with compute above 0 and below the target's {target_compute:.4g} "
            f"FLOPs, got {computes.tolist()}; a run as large as the target is the target"
        )
    costs = computes if cost is None else np.asarray(cost, float)
    if costs.shape != computes.shape or not ((costs > 0) & np.isfinite(costs)).all():
        raise ValueError(
            f"expected one cost > 0 for each of {len(computes)} candidates, got {costs.tolist()}"
        )
    return np.append(computes, target_compute), costs


def _check_decision(
    seeds: Sequence[int],
    factor: float,
    evaluation_cost: float | None,
    utility: Utility | None,
    baseline: float | None,
    value: float | None,
) -> None:
    if not seeds or not all(0 < n <= 10 and n == int(n) for n in seeds):
        raise ValueError(f"expected numbers of seeds from 1 to 10, got {list(seeds)}")
    if not 1 < factor < np.inf:
        raise ValueError(f"expected a factor of trials and items above 1, got {factor}")
    if evaluation_cost is not None and not 0 < evaluation_cost < np.inf:
        raise ValueError(f"expected an evaluation cost > 0, got {evaluation_cost}")
    if baseline is None and (utility is not None or value is not None):
        raise ValueError(
            "expected a baseline beside a goal or a value, got none; give the utility of not "
            "training, in the unit of the score"
        )
    if baseline is not None and not np.isfinite(baseline):
        raise ValueError(f"expected a finite baseline, got {baseline}")
    if value is not None and not 0 < value < np.inf:
        raise ValueError(f"expected a value > 0 for one unit of score, got {value}")
