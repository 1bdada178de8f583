"""Checkpoints of the target run: where each lies in its predictive band, and the forecast after it.

Cells j (a benchmark at a moment), z, y and the lag are those of `cod_bayes.decide.runs`, which
simulates the runs. `estimate_lag` takes the lag from an earlier run.

Update. With the checkpoints y so far, every draw moves by Matheron's rule (the ensemble Kalman
update), later cells and the target alike,

    z <- z + Cov(z, y) Cov(y)^-1 (y - y_draw),

exact for a Gaussian; for other laws the result is still a set of draws with a spread. Importance
weights are exact for any law, but after a few precise checkpoints hardly a draw keeps any weight;
their effective number is reported for comparison. A checkpoint's band and position (PIT) come from
the draws updated by all earlier moments. The update assumes a run that follows the model; do not
rely on it for a run that is flagged.

Flag. d_j is the rise of z_j per decade of compute, g_j that per decade of the run's own training.
A run that slows at the onset t loses a share s of its rise from there on, so that cell j of compute
C_j falls short by

    s l_tj,   l_tj = g_j max(0, log10 C_j - log10 t)

g_j at the cell stands for the rise since t: where the rise per decade grows, as along a trajectory,
the estimate of s is low. The onsets of a look are the looks before it, and the compute of the
largest ladder model if that is below its own. With all cells so far, m and S the draws' mean and
covariance of y,

    behind    = d' S^-1 (m - y) / d' S^-1 d,   sd = (d' S^-1 d)^-1/2       decades
    slows     = max over t of l_t' S^-1 (m - y) / (l_t' S^-1 l_t)^1/2      at t = since
    lost      = l_t' S^-1 (m - y) / l_t' S^-1 l_t at t = since             estimate of s
    distance  = (y - m)' S^-1 (y - m)

`behind` rests on early cells, which are precise. It does not see a run that is on track until it
slows; that is why there is `slows`. The p of each is the share of simulated runs that are as
extreme at that look. The run gets

    p_run  = share of simulated runs whose least min(p_behind / 0.4, p_slows / 0.4, p_departs / 0.2)
             over all planned looks is at most the run's so far  (min-p, Westfall and Young 1993)

Two fifths of alpha each are for the two ways in which training falls short, from its start and from
a later moment: they have a direction and are found when small. The rest is for any other departure,
mostly of an evaluation and large. A run that follows the model is flagged, p_run <= alpha, with
probability alpha over all planned looks together, not at each. m and S come from one half of the
draws, p from the other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cod_bayes.decide.checkpoints import read_checkpoints, with_assumed_trials, with_planned
from cod_bayes.decide.departures import Statistics, advice, shortfalls
from cod_bayes.decide.fits import as_fit, thinned
from cod_bayes.decide.runs import Runs, moment_noise, score_of
from cod_bayes.decide.trajectory import trajectory_of_ladder
from cod_bayes.forecast.posterior import Fit
from cod_bayes.model.equations import arcsine

_REASONS = np.array(["behind", "slows", "departs"])
_SHARES = np.array([0.4, 0.4, 0.2])  # of alpha, by reason
_LAG_PRIOR = 0.5  # decades; the sd of a lag before any reference run is observed
_MOST_DRAWS = 4000  # half of them rank p: in steps of 1/2000, a twentieth of a fifth of 0.05
_FLAGGED = "flagged: the run departs from the model, which the updated forecast relies on"


@dataclass(frozen=True)
class Monitored:
    """A run so far.

    Attributes:
        checkpoints: one row per moment and benchmark: benchmark, compute (FLOPs), observed,
            trials (given or assumed); q05, q50, q95 of the prediction given all earlier moments;
            pit.
        looks: one row per moment: compute, training (share of the target's compute), reached and
            reached_sd (expected share of the final rise in radians, from the checkpoints of the
            ladder's models; NaN where a lag is assumed), behind and behind_sd (decades), since
            (FLOPs) and lost, the onset at which the run slows most and the share of its rise that
            it loses from there on (NaN before there is an onset; chance where p_slows is not
            small), p_behind, p_slows, p_departs, p_run, flag ("", "behind", "slows" or
            "departs", the reason at the first flag), check_first, what to check first where it is
            flagged; effective_draws, what importance weights would leave of the draws.
        forecast: one row per benchmark and moment, and one before any (compute 0): benchmark,
            compute, mean, sd, q05, q50, q95 of the finished run's measured score.
        target_compute: FLOPs. lag, lag_sd: decades; lag None: the ladder's trajectories in its
            place. planned: number of looks that alpha is for.
        failed_checks: of the fit. Do not rely on a posterior that fails any.
    """

    checkpoints: pd.DataFrame
    looks: pd.DataFrame
    forecast: pd.DataFrame
    target_compute: float
    lag: float | None
    lag_sd: float
    alpha: float
    planned: int
    failed_checks: tuple[str, ...]

    @property
    def flagged(self) -> bool:
        """Whether the run has departed from the model at any look so far."""
        return bool((self.looks["flag"] != "").any())

    @property
    def check_first(self) -> str:
        """What to check first, as of the last look; empty where the run is not flagged."""
        return str(self.looks["check_first"].iloc[-1])

    @property
    def doubts(self) -> list[str]:
        """Why not to rely on the updated forecast; empty where there is no reason."""
        checks = [f"unconverged: {', '.join(self.failed_checks)}"] if self.failed_checks else []
        return checks + ([_FLAGGED] if self.flagged else [])

    def summary(self) -> pd.DataFrame:
        """The finished run's forecast before any checkpoint and after the last, a row each."""
        order = self.forecast.groupby("benchmark", sort=False)
        return pd.concat(
            [order.head(1).assign(stage="before"), order.tail(1).assign(stage="updated")]
        )[["benchmark", "stage", "mean", "sd", "q05", "q50", "q95"]].reset_index(drop=True)

    def to_json(self) -> str:
        """One object: the attributes, with tables as lists of records, `flagged` and `doubts`."""
        tables = {
            name: json.loads(getattr(self, name).to_json(orient="records"))
            for name in ("checkpoints", "looks", "forecast")
        }
        plain = ("target_compute", "lag", "lag_sd", "alpha", "planned", "failed_checks")
        return json.dumps(
            {"flagged": self.flagged, "doubts": self.doubts}
            | {name: getattr(self, name) for name in plain}
            | tables,
            indent=2,
        )


def monitor(
    fit: Fit | str | Path,
    checkpoints: pd.DataFrame | str | Path,
    target_compute: float,
    *,
    planned: Sequence[float] = (),
    lag: float | None = None,
    lag_sd: float = 0.0,
    alpha: float = 0.05,
) -> Monitored:
    """Place a run's checkpoints in their bands, update its forecast, flag it when it departs.

    Args:
        fit: a fit, or the file of a saved one.
        checkpoints: what `read_checkpoints` takes, of one run.
        target_compute: FLOPs of the finished run.
        planned: compute of later looks, FLOPs. `alpha` holds over them and the given ones
            together; without them, over the given ones only.
        lag, lag_sd: an unfinished run scores as a finished one of so many decades less compute.
            None: the checkpoints of the ladder's models show how a run rises to its end
            (`cod_bayes.decide.trajectory`); where they have none, the lag is 0.
        alpha: probability that a run which follows the model is flagged at any look.

    Raises:
        ValueError: a table, compute, lag or alpha that cannot be; a benchmark not in the fit.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"expected alpha in (0, 1), got {alpha}; 0.05 flags one good run in 20")
    if not (np.isfinite(lag or 0.0) and 0 <= lag_sd < np.inf):
        raise ValueError(
            f"expected a finite lag and lag_sd >= 0 in decades, got {lag} and {lag_sd}"
        )
    if lag is None and lag_sd > 0:
        raise ValueError(f"expected a lag beside lag_sd, got lag_sd {lag_sd} alone; lag=0 is none")
    fit = thinned(as_fit(fit), _MOST_DRAWS)
    measured = with_assumed_trials(fit, read_checkpoints(checkpoints, fit))
    moments = np.unique(measured["compute"])
    later = np.setdiff1d(np.asarray(planned, float), moments)
    if len(later) and not (later > moments[-1]).all():
        raise ValueError(
            f"expected planned looks after the last checkpoint ({moments[-1]:.4g} FLOPs), got "
            f"{later.min():.4g}; add its checkpoint to the table or leave it out of the plan"
        )
    cells = with_planned(measured, later)
    trajectory = None
    if lag is None:
        trajectory = trajectory_of_ladder(fit, (moment_noise(fit) ** 2).mean(axis=0))
    runs = Runs.simulate(fit, cells, target_compute, lag or 0.0, lag_sd, trajectory)
    observed = arcsine(measured["rate"].to_numpy(), measured["trials"].to_numpy())
    bands, forecast = _update(runs, measured, observed, fit.benchmarks)
    top = float(fit.idata["constant_data"].to_dataset()["compute"].max())
    looks = _looks(runs, observed, cells, alpha, top)
    share = looks["compute"].to_numpy() / target_compute
    reached = (np.nan, np.nan) if trajectory is None else trajectory.reached(share)
    for place, values in enumerate((share, *reached), 1):
        looks.insert(place, ("training", "reached", "reached_sd")[place - 1], values)
    looks["effective_draws"] = [
        _effective_draws(runs, observed, (measured["compute"] <= compute).to_numpy())
        for compute in looks["compute"]
    ]
    return Monitored(
        bands,
        looks,
        forecast,
        float(target_compute),
        None if trajectory is not None else lag or 0.0,
        lag_sd,
        alpha,
        len(moments) + len(later),
        fit.failed_checks,
    )


def estimate_lag(
    fit: Fit | str | Path, reference: pd.DataFrame | str | Path
) -> tuple[float, float]:
    """Posterior mean and sd of the lag, decades, from an earlier run's checkpoints.

    The run's largest compute is its finished model, d_j = 0 there, and the prior is N(0, 0.5):

        lag ~ N(v d' (phi S)^-1 (m - y), v),   1 / v = d' (phi S)^-1 d + 1 / 0.5^2

    phi >= 1 is (m - y - lag d)' S^-1 (m - y - lag d) per degree of freedom: a run that fits badly
    carries less information. A mean below 0, unfinished runs ahead of finished ones, becomes 0.

    Raises:
        ValueError: as `monitor`; fewer than two moments.
    """
    fit = as_fit(fit)
    cells = with_assumed_trials(fit, read_checkpoints(reference, fit))
    final = cells["compute"].max()
    if cells["compute"].nunique() < 2:
        raise ValueError(
            "expected the reference run's checkpoints and its finished model, got one compute; "
            "add rows of its earlier checkpoints"
        )
    runs = Runs.simulate(fit, cells, final, 0.0, 0.0)
    d = np.where(cells["compute"] < final, runs.rise, 0.0)
    y = arcsine(cells["rate"].to_numpy(), cells["trials"].to_numpy())
    inverse = np.linalg.pinv(np.cov(runs.y, rowvar=False).reshape(len(y), -1), hermitian=True)
    m_y, power = runs.y.mean(axis=0) - y, d @ inverse @ d
    residual = m_y - d * (d @ inverse @ m_y) / max(power, 1e-12)
    phi = max(residual @ inverse @ residual / (len(y) - 1), 1.0)
    variance = 1 / (power / phi + _LAG_PRIOR**-2)
    mean = variance * (d @ inverse @ m_y) / phi
    return max(float(mean), 0.0), float(np.sqrt(variance))


def _update(
    runs: Runs, measured: pd.DataFrame, observed: np.ndarray, benchmarks: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables `checkpoints` and `forecast`. observed: y of the checkpoints (cell,)."""
    moment, y = measured["compute"].to_numpy(), runs.y[:, : len(observed)]
    bands, tables = [], []
    for compute in [*np.unique(moment), np.inf]:
        before, now = moment < compute, moment == compute
        draws = np.concatenate([y[:, now], runs.target], axis=1)
        draws = condition(draws, y[:, before], observed[before])
        cells, target = draws[:, : now.sum()], draws[:, now.sum() :]
        low, middle, high = score_of(np.quantile(cells, [0.05, 0.5, 0.95], axis=0))
        pit = (np.mean(cells < observed[now], axis=0) + np.mean(cells <= observed[now], axis=0)) / 2
        bands.append(np.column_stack([low, middle, high, pit]))
        after = moment[before].max(initial=0.0)
        tables.append(_summary(score_of(target), benchmarks).assign(compute=after))
    checkpoints = measured.rename(columns={"rate": "observed"}).copy()
    checkpoints[["q05", "q50", "q95", "pit"]] = np.concatenate(bands)
    forecast = pd.concat(tables, ignore_index=True)
    forecast.insert(1, "compute", forecast.pop("compute"))
    return checkpoints, forecast


def condition(draws: np.ndarray, y: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Matheron's rule: draws (draw, quantity) given that y (draw, cell) is `observed` (cell,)."""
    if y.shape[1] == 0:
        return draws
    centred = y - y.mean(axis=0)
    covariance = centred.T @ centred
    gain = np.linalg.lstsq(covariance, centred.T @ (draws - draws.mean(axis=0)), rcond=1e-12)[0]
    return draws + (observed - y) @ gain


def _summary(score: np.ndarray, benchmarks: list[str]) -> pd.DataFrame:
    low, middle, high = np.quantile(score, [0.05, 0.5, 0.95], axis=0)
    head = {"benchmark": benchmarks, "mean": score.mean(axis=0), "sd": score.std(axis=0)}
    return pd.DataFrame(head | {"q05": low, "q50": middle, "q95": high})


def _looks(
    runs: Runs, observed: np.ndarray, cells: pd.DataFrame, alpha: float, top: float
) -> pd.DataFrame:
    """The statistics at every look, their p, p_run, and what to check first.

    observed: y of the checkpoints; cells: those of planned looks are last; top: compute of the
    largest ladder model.
    """
    benchmark, moment = cells["benchmark"].to_numpy(), cells["compute"].to_numpy()
    half, others = runs.y[::2], runs.y[1::2]
    moments, last = np.unique(moment), moment[: len(observed)].max()
    at_look: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # cells, onsets, shortfalls
    rows, least_p = [], []
    for compute in moments:
        so_far = np.flatnonzero(moment <= compute)
        onsets = np.unique(np.append(moments, top))
        onsets = onsets[onsets < compute]
        lost = shortfalls(runs.climb[so_far], moment[so_far], onsets)
        of = Statistics.of_draws(half[:, so_far], runs.rise[so_far], lost)
        simulated = of.values(others[:, so_far])
        p_simulated = _as_extreme(simulated, simulated) / len(others)
        least_p.append((p_simulated / _SHARES[:, None]).min(axis=0))
        if compute <= last:
            y = observed[so_far]
            p = (1 + _as_extreme(simulated, of.values(y)[:, None])[:, 0]) / (1 + len(others))
            place, share = of.slowest(y)
            since = np.nan if place is None else onsets[place]
            rows.append([compute, *of.behind(y), since, share, *p])
            at_look.append((so_far, onsets, lost))
    p_names = [f"p_{reason}" for reason in _REASONS]
    names = ["compute", "behind", "behind_sd", "since", "lost", *p_names]
    looks = pd.DataFrame(rows, columns=names)
    smallest = np.sort(np.min(least_p, axis=0))
    of_run_so_far = (looks[p_names] / _SHARES).cummin().to_numpy()
    as_small = np.searchsorted(smallest, of_run_so_far.min(axis=1), side="right")
    looks["p_run"] = (1 + as_small) / (1 + len(others))
    flagged = looks["p_run"] <= alpha
    reason = _REASONS[of_run_so_far.argmin(axis=1)][np.argmax(flagged)]  # at the first flag
    looks["flag"] = np.where(flagged, reason, "")
    looks["check_first"] = ""
    for i in np.flatnonzero(flagged):
        so_far, onsets, lost = at_look[i]
        looks.loc[i, "check_first"] = advice(
            (half[:, so_far], others[:, so_far]),
            runs.rise[so_far],
            lost,
            observed[so_far],
            (benchmark[so_far], moment[so_far]),
            alpha * _SHARES,
            onsets if looks.loc[i, "flag"] == "slows" else None,
        )
    return looks


def _as_extreme(simulated: np.ndarray, values: np.ndarray) -> np.ndarray:
    """How many simulated values (statistic, draw) are at least as large as each of `values`
    (statistic, any)."""
    smaller = [np.searchsorted(np.sort(s), v) for s, v in zip(simulated, values, strict=True)]
    return simulated.shape[1] - np.array(smaller)


def _effective_draws(runs: Runs, observed: np.ndarray, so_far: np.ndarray) -> float:
    """The effective number of draws after importance weights by the checkpoints' likelihood."""
    cells = np.flatnonzero(so_far)
    residual, sd = observed[cells] - runs.z[:, cells], runs.noise[:, cells]
    log_weight = -(0.5 * (residual / sd) ** 2 + np.log(sd)).sum(axis=1)
    weight = np.exp(log_weight - log_weight.max())
    return float(weight.sum() ** 2 / (weight**2).sum())
