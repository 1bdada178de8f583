"""Checkpoints of the target run: where each lies in its predictive band, and the forecast after it.

Cells j are pairs of a benchmark and a moment of one run, of compute c < C*, the target's:

    z_j  = arcsin sqrt score_j(c 10^-lag),   lag ~ N(lag, lag_sd)    posterior draws of one run
    y_j  = arcsin sqrt(observed rate),  rate ~ Binomial(n_j, sin^2(z_j + e_j)) / n_j,
    e_j  ~ N(0, sqrt(evaluation_noise^2 + tau_b^2))    fresh at every moment, tau_b the posterior's

n_j of a score without a count is that of the benchmark's largest ladder model, as in a forecast.

The draws are simulated runs with all that the model says of a run: the curves' doubt, the run's own
shocks in compute, the same at every moment, and a random walk of what no curve follows. A
checkpoint's learning rate is not annealed yet, so it scores below a finished run of the same
compute: as one of `lag` decades less. That is an assumption, one number with its sd; `estimate_lag`
takes it from an earlier run. A moment at C* itself is finished and has no lag. Where a benchmark
has clusters, its draws are means over two posteriors (`cod_bayes.forecast.target`), as the
forecast's are.

Update. With the checkpoints y so far, every draw moves by Matheron's rule (the ensemble Kalman
update), cells to come and target alike,

    z <- z + Cov(z, y) Cov(y)^-1 (y - y_draw),

exact for a Gaussian and still a spread of draws where it is not. Importance weights are exact for
any law, but after a few precise checkpoints they leave hardly a draw in effect; their effective
number is reported for comparison. A checkpoint's band and position (PIT) come from the draws
updated by all earlier moments. The update holds for a run that follows the model; of one that is
flagged it is not to be relied on.

Flag. d_j is the rise of z_j per decade. At every look, with all cells so far, m and S the draws'
mean and covariance of y,

    behind    = d' S^-1 (m - y) / d' S^-1 d,   sd = (d' S^-1 d)^-1/2       decades
    distance  = (y - m)' S^-1 (y - m)

Either gets the share p of simulated runs that are as extreme at that look, and the run gets

    p_run  = share of simulated runs whose least min(p_behind / 0.8, p_departs / 0.2) over all
             planned looks is at most the run's so far     (min-p, Westfall and Young 1993)

(four fifths of alpha look for a run that is behind, the rest for any other departure), so a run
that follows the model is flagged, p_run <= alpha, with probability alpha over all planned looks
together, not at each. m and S come from one half of the draws, p from the other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cod_bayes.forecast.posterior import Fit, check_names
from cod_bayes.model.equations import arcsine, radians

_STEP = 0.3  # decades over which the rise is taken: long enough to drown what no curve follows
_SHARES = np.array([[0.8], [0.2]])  # of alpha: behind, departs
_LAG_PRIOR = 0.5  # decades; the sd of a lag before any reference run is seen
_Z95 = 1.6448536269514722
_FLAGGED = "flagged: the run departs from the model, which the updated forecast relies on"
_BLUE, _ORANGE, _BLACK = "#0072B2", "#D55E00", "#000000"


@dataclass(frozen=True)
class Monitored:
    """A run so far.

    Attributes:
        checkpoints: one row per moment and benchmark: benchmark, compute (FLOPs), observed,
            trials (given or assumed); q05, q50, q95 of the prediction given all earlier moments;
            pit.
        looks: one row per moment: compute, training (share of the target's compute), behind and
            behind_sd (decades), p_behind, p_departs, p_run, flag ("", "behind" or "departs");
            effective_draws, what importance weights would leave of the draws.
        forecast: one row per benchmark and moment, and one before any (compute 0): benchmark,
            compute, mean, sd, q05, q50, q95 of the finished run's measured score.
        target_compute: FLOPs. lag, lag_sd: decades. planned: number of looks that alpha is for.
        failed_checks: of the fit behind it; a posterior that fails any is not to be relied on.
    """

    checkpoints: pd.DataFrame
    looks: pd.DataFrame
    forecast: pd.DataFrame
    target_compute: float
    lag: float
    lag_sd: float
    alpha: float
    planned: int
    failed_checks: tuple[str, ...]

    @property
    def flagged(self) -> bool:
        """Whether the run has departed from the model at any look so far."""
        return bool((self.looks["flag"] != "").any())

    @property
    def doubts(self) -> list[str]:
        """Why the updated forecast is not to be relied on; empty when nothing speaks against it."""
        found = [f"unconverged: {', '.join(self.failed_checks)}"] if self.failed_checks else []
        return found + ([_FLAGGED] if self.flagged else [])

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
    fit: Fit,
    checkpoints: pd.DataFrame | str | Path,
    target_compute: float,
    *,
    planned: Sequence[float] = (),
    lag: float = 0.0,
    lag_sd: float = 0.0,
    alpha: float = 0.05,
) -> Monitored:
    """Place a run's checkpoints in their bands, update its forecast, flag it when it departs.

    Args:
        checkpoints: what `read_checkpoints` takes, of one run.
        target_compute: FLOPs of the finished run.
        planned: compute of the looks to come, FLOPs; `alpha` then holds over them and the given
            ones together. Without, it holds over the given ones only.
        lag, lag_sd: decades by which an unfinished run scores as a finished one of less compute.
        alpha: chance that a run which follows the model is flagged at any look.

    Raises:
        ValueError: a table, compute, lag or alpha that cannot be; a benchmark not in the fit.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"expected alpha in (0, 1), got {alpha}; 0.05 flags one good run in 20")
    if not (np.isfinite(lag) and 0 <= lag_sd < np.inf):
        raise ValueError(
            f"expected a finite lag and lag_sd >= 0 in decades, got {lag} and {lag_sd}"
        )
    seen = _of_fit(fit, read_checkpoints(checkpoints))
    given = np.unique(seen["compute"])
    to_come = np.setdiff1d(np.asarray(planned, float), given)
    if len(to_come) and not (to_come > given[-1]).all():
        raise ValueError(
            f"expected planned looks after the last checkpoint ({given[-1]:.4g} FLOPs), got "
            f"{to_come.min():.4g}; add its checkpoint to the table or leave it out of the plan"
        )
    cells = _with_planned(seen, to_come)
    run = _Run.of(fit, cells, target_compute, lag, lag_sd)
    now = cells["rate"].notna().to_numpy()
    observed = arcsine(cells["rate"].to_numpy()[now], cells["trials"].to_numpy()[now])
    moment = cells["compute"].to_numpy()
    placed, forecast = _update(run, cells, observed, moment[now], fit.benchmarks)
    looks = _looks(run, observed, moment, now, alpha)
    looks.insert(1, "training", looks["compute"] / target_compute)
    looks["effective_draws"] = [
        _effective(run, observed, moment[now] <= compute) for compute in looks["compute"]
    ]
    return Monitored(
        placed,
        looks,
        forecast,
        float(target_compute),
        lag,
        lag_sd,
        alpha,
        len(given) + len(to_come),
        fit.failed_checks,
    )


def estimate_lag(fit: Fit, reference: pd.DataFrame | str | Path) -> tuple[float, float]:
    """Posterior mean and sd of the lag, decades, from an earlier run's checkpoints.

    The run's largest compute is its finished model, d_j = 0 there, and the prior is N(0, 0.5):

        lag ~ N(v d' (phi S)^-1 (m - y), v),   1 / v = d' (phi S)^-1 d + 1 / 0.5^2

    phi >= 1 is what (m - y - lag d)' S^-1 (m - y - lag d) has per degree of freedom: a run that
    fits badly says less. A mean below 0, unfinished runs ahead of finished ones, becomes 0.

    Raises:
        ValueError: as `monitor`; fewer than two moments.
    """
    seen = _of_fit(fit, read_checkpoints(reference))
    final = seen["compute"].max()
    if seen["compute"].nunique() < 2:
        raise ValueError(
            "expected the reference run's checkpoints and its finished model, got one compute; "
            "add rows of its earlier checkpoints"
        )
    run = _Run.of(fit, seen, final, 0.0, 0.0)
    rise = np.where(seen["compute"] < final, run.rise, 0.0)
    y = arcsine(seen["rate"].to_numpy(), seen["trials"].to_numpy())
    inverse = np.linalg.pinv(np.cov(run.y, rowvar=False).reshape(len(y), -1), hermitian=True)
    away, power = run.y.mean(axis=0) - y, rise @ inverse @ rise
    left = away - rise * (rise @ inverse @ away) / max(power, 1e-12)
    phi = max(left @ inverse @ left / (len(y) - 1), 1.0)
    variance = 1 / (power / phi + _LAG_PRIOR**-2)
    mean = variance * (rise @ inverse @ away) / phi
    return max(float(mean), 0.0), float(np.sqrt(variance))


def read_checkpoints(table: pd.DataFrame | str | Path) -> pd.DataFrame:
    """Benchmark, compute (FLOPs), rate and trials (NaN unknown), sorted by compute.

    Args:
        table: or the path of a .parquet, .csv, .tsv or .jsonl file. Columns benchmark, compute and
            either n_correct and n_trials or score; one row per benchmark or per item, and items
            are averaged. Other columns are ignored.

    Raises:
        ValueError: a missing column, no rows, or a number that cannot be.
    """
    if not isinstance(table, pd.DataFrame):
        table = _read(Path(table))
    counts = {"n_correct", "n_trials"} <= set(table.columns)
    need = ["benchmark", "compute", *(["n_correct", "n_trials"] if counts else ["score"])]
    if missing := [name for name in need if name not in table.columns]:
        raise ValueError(
            "expected columns benchmark, compute and score, or n_correct and n_trials; "
            f"missing {missing} among {list(map(str, table.columns))}"
        )
    if table.empty:
        raise ValueError("expected at least one checkpoint, got an empty table")
    rows = table[need].copy()
    for name in need[1:]:
        rows[name] = pd.to_numeric(rows[name], errors="coerce")
    rows["rate"] = rows["n_correct"] / rows["n_trials"] if counts else rows["score"]
    rows["trials"] = rows["n_trials"] if counts else np.nan
    good = np.isfinite(rows["compute"]) & (rows["compute"] > 0) & rows["rate"].between(0, 1)
    good &= rows["benchmark"].notna()
    if counts:
        good &= rows["n_trials"] >= 1
    if not good.all():
        first = table.loc[~good.to_numpy(), need].iloc[0].to_dict()
        raise ValueError(
            f"expected a benchmark, compute > 0 in FLOPs and a rate in [0, 1], got {first} "
            f"({(~good).sum()} such rows); correct or drop them"
        )
    grouped = rows.groupby(["compute", "benchmark"], sort=True, observed=True)
    out = grouped.agg(
        rate=("rate", "mean"), trials=("trials", lambda n: n.sum(skipna=False))
    ).reset_index()
    return out[["benchmark", "compute", "rate", "trials"]]


def _of_fit(fit: Fit, seen: pd.DataFrame) -> pd.DataFrame:
    """The same cells, those without a count with as many trials as the largest ladder model had."""
    check_names(list(seen["benchmark"].unique()), fit.benchmarks)
    assumed = seen["benchmark"].map(dict(zip(fit.benchmarks, _trials(fit), strict=True)))
    return seen.assign(trials=seen["trials"].fillna(assumed))


def _trials(fit: Fit) -> pd.Series:
    """Of each benchmark's largest ladder model; assumed ones where they are not counted."""
    return pd.Series(fit.idata["constant_data"]["trials"].values)


def monitor_figure(monitored: Monitored) -> Figure:
    """Per benchmark: checkpoints in their bands and the forecast after each; then the looks."""
    names = list(dict.fromkeys(monitored.checkpoints["benchmark"]))
    columns = min(len(names) + 1, 4)
    rows = -(-(len(names) + 1) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.3 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, name in zip(axes, names, strict=False):
        own = monitored.checkpoints[monitored.checkpoints["benchmark"] == name]
        at = own["compute"] / monitored.target_compute
        low, middle, high = (100 * own[q] for q in ("q05", "q50", "q95"))
        axis.fill_between(at, low, high, color=_BLUE, alpha=0.25, lw=0)
        axis.errorbar(
            at, middle, [middle - low, high - middle], fmt="_", color=_BLUE, label="predicted, 90 %"
        )
        axis.plot(at, 100 * own["observed"], "o", color=_BLACK, ms=4, label="observed")
        after = monitored.forecast[monitored.forecast["benchmark"] == name]
        for row, x, colour, label in (
            (after.iloc[0], 1.04, _BLUE, "final, before"),
            (after.iloc[-1], 1.09, _ORANGE, "final, updated"),
        ):
            span = [[100 * (row.q50 - row.q05)], [100 * (row.q95 - row.q50)]]
            axis.errorbar(x, 100 * row.q50, span, fmt="_", color=colour, capsize=3, label=label)
        axis.set(xlabel="share of training", ylabel="score (%)", title=name[:40])
    axes[0].legend(fontsize="small")
    axis = axes[len(names)]
    looks = monitored.looks
    axis.errorbar(
        looks["training"], looks["behind"], _Z95 * looks["behind_sd"], fmt="o", color=_BLUE, ms=4
    )
    flagged = looks[looks["flag"] != ""]
    axis.plot(flagged["training"], flagged["behind"], "o", color=_ORANGE, label="flagged")
    axis.axhline(0, color=_BLACK, lw=0.8)
    axis.set(xlabel="share of training", ylabel="decades behind", title="run against the model")
    if len(flagged):
        axis.legend(fontsize="small")
    for rest in axes[len(names) + 1 :]:
        rest.axis("off")
    if doubts := monitored.doubts:
        figure.suptitle("; ".join(doubts), color=_ORANGE)
    return figure


@dataclass(frozen=True)
class _Run:
    """Simulated runs.

    Attributes:
        z, y: (draw, cell) as in the module, without and with what measuring adds.
        noise: (draw, cell) sd of measuring, radians.
        rise: (cell,) d, radians per decade.
        target: (draw, benchmark) arcsine root of the finished run's measured score.
    """

    z: np.ndarray
    y: np.ndarray
    noise: np.ndarray
    rise: np.ndarray
    target: np.ndarray

    @classmethod
    def of(
        cls, fit: Fit, cells: pd.DataFrame, target_compute: float, lag: float, lag_sd: float
    ) -> _Run:
        if not 0 < target_compute < np.inf:
            raise ValueError(f"expected target compute > 0 in FLOPs, got {target_compute}")
        moments = np.unique(cells["compute"])
        if moments[-1] > target_compute * (1 + 1e-9):
            raise ValueError(
                f"expected checkpoints up to the target's {target_compute:.4g} FLOPs, got one at "
                f"{moments[-1]:.4g}; give the finished run's compute as the target"
            )
        unfinished = moments < target_compute * (1 - 1e-9)
        at = moments * 10 ** np.where(unfinished, -lag, 0.0)
        grid = np.concatenate([at, at * 10**-_STEP, [target_compute]])
        drawn = _draw(fit, grid, one_run=True)
        t = np.searchsorted(moments, cells["compute"])
        b = np.array([fit.benchmarks.index(name) for name in cells["benchmark"]])
        z = drawn[:, b, t]
        rise = (z - drawn[:, b, len(at) + t]).mean(axis=0) / _STEP
        rng = np.random.default_rng([int(fit.idata.attrs["random_seed"]), 6])
        late = lag_sd * rng.standard_normal(len(z))
        z = z - late[:, None] * (rise * unfinished[t])
        trials = cells["trials"].to_numpy()
        scatter = moment_noise(fit)[:, b]
        y = _measure(z, trials, scatter, rng)
        last = cells.assign(b=b).groupby("b")["trials"].last()
        final = last.reindex(range(len(fit.benchmarks))).fillna(_trials(fit)).to_numpy()
        target = _measure(drawn[:, :, -1], final, fit.spec.constants["evaluation_noise"], rng)
        noise = np.sqrt(scatter**2 + 0.25 / trials)
        return cls(z, y, noise, rise, target)


def moment_noise(fit: Fit) -> np.ndarray:
    """The sd of e_j in each draw, radians. (draw, benchmark)"""
    tau = fit.idata["posterior"]["tau"].transpose("chain", "draw", "benchmark").values
    return np.hypot(fit.spec.constants["evaluation_noise"], tau.reshape(-1, tau.shape[-1]))


def _draw(fit: Fit, compute: np.ndarray, one_run: bool) -> np.ndarray:
    """Arcsine roots of unmeasured scores, (draw, benchmark, compute)."""
    score = fit.draws(compute, one_run=one_run, measured=False)["score"].values
    return radians(score).reshape(-1, *score.shape[2:])


def _measure(
    z: np.ndarray, trials: np.ndarray, scatter: np.ndarray | float, rng: np.random.Generator
) -> np.ndarray:
    """What an evaluation on `trials` (cell,) shows of z (draw, cell)."""
    shaken = z + scatter * rng.standard_normal(z.shape)
    n = trials.round().astype(int)
    return arcsine(rng.binomial(n, _score(shaken)) / n, n)


def _score(z: np.ndarray) -> np.ndarray:
    return np.sin(np.clip(z, 0, np.pi / 2)) ** 2


def _update(
    run: _Run,
    cells: pd.DataFrame,
    observed: np.ndarray,
    moment: np.ndarray,
    benchmarks: list[str],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables `checkpoints` and `forecast`."""
    placed = cells.iloc[: len(observed)].rename(columns={"rate": "observed"}).copy()
    bands, tables = [], []
    for compute in [*np.unique(moment), np.inf]:
        before, now = moment < compute, moment == compute
        ahead = np.concatenate([run.y[:, : len(observed)][:, now], run.target], axis=1)
        drawn = _condition(ahead, run.y[:, : len(observed)][:, before], observed[before])
        here, target = drawn[:, : now.sum()], drawn[:, now.sum() :]
        low, middle, high = _score(np.quantile(here, [0.05, 0.5, 0.95], axis=0))
        pit = (np.mean(here < observed[now], axis=0) + np.mean(here <= observed[now], axis=0)) / 2
        bands.append(np.column_stack([low, middle, high, pit]))
        after = moment[before].max(initial=0.0)
        tables.append(_summary(_score(target), benchmarks).assign(compute=after))
    placed[["q05", "q50", "q95", "pit"]] = np.concatenate(bands)
    forecast = pd.concat(tables, ignore_index=True)
    forecast.insert(1, "compute", forecast.pop("compute"))
    return placed, forecast


def _condition(ahead: np.ndarray, y: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Matheron's rule: draws (draw, cell) moved to where y (draw, seen) is `observed` (seen,)."""
    if y.shape[1] == 0:
        return ahead
    centred = y - y.mean(axis=0)
    covariance = centred.T @ centred
    gain = np.linalg.lstsq(covariance, centred.T @ (ahead - ahead.mean(axis=0)), rcond=1e-12)[0]
    return ahead + (observed - y) @ gain


def _summary(score: np.ndarray, benchmarks: list[str]) -> pd.DataFrame:
    low, middle, high = np.quantile(score, [0.05, 0.5, 0.95], axis=0)
    head = {"benchmark": benchmarks, "mean": score.mean(axis=0), "sd": score.std(axis=0)}
    return pd.DataFrame(head | {"q05": low, "q50": middle, "q95": high})


def _looks(
    run: _Run, observed: np.ndarray, moment: np.ndarray, now: np.ndarray, alpha: float
) -> pd.DataFrame:
    """Both statistics at every look, their p, and the run's."""
    half, others = run.y[::2], run.y[1::2]
    mean = half.mean(axis=0)
    covariance = np.cov(half, rowvar=False).reshape(len(mean), -1)
    rows, extreme = [], []
    last = moment[now].max()
    for compute in np.unique(moment):
        so_far = moment <= compute
        inverse = np.linalg.pinv(covariance[np.ix_(so_far, so_far)], hermitian=True)
        direction = inverse @ run.rise[so_far]
        power = run.rise[so_far] @ direction

        def statistics(
            y: np.ndarray,
            so_far: np.ndarray = so_far,
            inverse: np.ndarray = inverse,
            direction: np.ndarray = direction,
        ) -> np.ndarray:
            away = mean[so_far] - y
            return np.stack([away @ direction, ((away @ inverse) * away).sum(axis=-1)])

        simulated = statistics(others[:, so_far])
        # Rank from the top, among the simulated runs and oneself.
        p_simulated = (len(others) - _rank(simulated)) / len(others)
        extreme.append((p_simulated / _SHARES).min(axis=0))
        if compute <= last:
            seen = statistics(observed[moment[now] <= compute])
            p = (1 + (simulated >= seen[:, None]).sum(axis=1)) / (1 + len(others))
            power = max(power, 1e-12)
            rows.append([compute, seen[0] / power, power**-0.5, *p])
    names = ["compute", "behind", "behind_sd", "p_behind", "p_departs"]
    looks = pd.DataFrame(rows, columns=names)
    smallest = np.sort(np.min(extreme, axis=0))
    least = (looks[["p_behind", "p_departs"]] / _SHARES.T).cummin()
    looks["p_run"] = (1 + np.searchsorted(smallest, least.min(axis=1), side="right")) / (
        1 + len(others)
    )
    why = np.where(least["p_behind"] <= least["p_departs"], "behind", "departs")
    looks["flag"] = np.where(looks["p_run"] <= alpha, why, "")
    return looks


def _rank(values: np.ndarray) -> np.ndarray:
    """0 for the smallest, along the last axis."""
    return np.argsort(np.argsort(values, axis=-1), axis=-1)


def _effective(run: _Run, observed: np.ndarray, so_far: np.ndarray) -> float:
    """Draws that weights by the checkpoints' likelihood would leave in effect."""
    n = len(observed)
    away, sd = (observed - run.z[:, :n])[:, so_far], run.noise[:, :n][:, so_far]
    log_weight = -(0.5 * (away / sd) ** 2 + np.log(sd)).sum(axis=1)
    weight = np.exp(log_weight - log_weight.max())
    return float(weight.sum() ** 2 / (weight**2).sum())


def _with_planned(seen: pd.DataFrame, to_come: np.ndarray) -> pd.DataFrame:
    """The seen cells, then those of looks to come: every benchmark, measured as it last was."""
    last = seen.groupby("benchmark", sort=False).last().reset_index().assign(rate=np.nan)
    return pd.concat([seen, *(last.assign(compute=c) for c in to_come)], ignore_index=True)


def _read(path: Path) -> pd.DataFrame:
    readers = {
        ".parquet": pd.read_parquet,
        ".csv": pd.read_csv,
        ".tsv": lambda p: pd.read_csv(p, sep="\t"),
        ".jsonl": lambda p: pd.read_json(p, lines=True),
    }
    if path.suffix not in readers:
        raise ValueError(f"expected a file {', '.join(readers)}, got {path}")
    try:
        return readers[path.suffix](path)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"{path}: expected a table of checkpoints: {error}") from error
