"""From evidence to a posterior, and from a posterior to forecasts.

`fit` clusters every benchmark, samples the model of `cod_bayes.model` over all of them at once, and
checks the result. `Fit.forecast` draws the target: its curve at the target's compute, moved by a
fresh shock in compute whose spread grows with the distance beyond the ladder,

    delta* ~ N(0, sigma_delta^2 + (drift d)^2),   d = max(x* - x_b, 0),

a fresh shift of the score, what each cluster does for itself, and the noise of the evaluation.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pymc as pm
import xarray as xr

from cod_bayes.clusters import Clusters, cluster
from cod_bayes.evidence import Evidence, read_table
from cod_bayes.model import LadderData, accuracy, build
from cod_bayes.spec import Spec, load_spec

QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}
_PREDICTABLE_MAX_LOSS = 3.0  # emerged: 5 % above the floor at the largest ladder model
_PREDICTABLE_MIN_SLOPE = 0.1 * np.log(10)  # the paper's b > 0.1, per decade
_PREDICTABLE_MAX_CEILING_LOSS = 1.0  # the paper's c < 1


class ConvergenceWarning(UserWarning):
    """The posterior of this fit cannot be trusted as it is."""


@dataclass(frozen=True)
class Fit:
    """A sampled posterior with what it was made from.

    Attributes:
        idata: DataTree with posterior, sample_stats, observed_data and constant_data.
        clusters: per benchmark.
        failed_checks: names of the convergence checks that failed; empty when all is well.
    """

    idata: xr.DataTree
    evidence: Evidence
    clusters: dict[str, Clusters]
    data: LadderData
    spec: Spec
    random_seed: int
    failed_checks: tuple[str, ...]

    @property
    def predictable(self) -> xr.DataArray:
        """P(cluster is predictable): emerged, b > 0.1 and c < 1 (COD 4.3). (cluster,)"""
        p = self.idata["posterior"]
        loss = np.exp(p["eta"]) + p["gamma"]
        ok = (loss < _PREDICTABLE_MAX_LOSS) & (p["beta"] > _PREDICTABLE_MIN_SLOPE)
        return (ok & (p["gamma"] < _PREDICTABLE_MAX_CEILING_LOSS)).mean(("chain", "draw"))

    def summary(self) -> pd.DataFrame:
        """One row per cluster: benchmark, items' share, P(predictable), posterior means."""
        p = self.idata["posterior"]
        table = {name: p[name].mean(("chain", "draw")).values for name in CURVE}
        weight = np.concatenate([self.clusters[b].weight for b in self.data.benchmark])
        head = {
            "benchmark": np.array(self.data.benchmark)[self.data.of_cluster],
            "share": weight,
            "p_predictable": self.predictable.values,
        }
        return pd.DataFrame(head | table, index=pd.Index(self.data.cluster, name="cluster"))

    def forecast(self, compute: float | list[float] | np.ndarray) -> Forecast:
        """Draws of every benchmark's observed score at each compute (FLOPs)."""
        compute = np.atleast_1d(np.asarray(compute, float))
        if not (np.isfinite(compute).all() and (compute > 0).all()):
            raise ValueError(f"expected compute > 0 in FLOPs, got {compute.tolist()}")
        rng = np.random.default_rng(self.random_seed)
        p = self.idata["posterior"].to_dataset().stack(sample=("chain", "draw"))
        predictable = self.predictable.values
        threshold = self.spec.constants["predictable_probability"]
        full, subset, share = [], [], []
        for b, name in enumerate(self.data.benchmark):
            own = self.data.of_cluster == b
            curve = {k: p[k].transpose("sample", "cluster").values[:, own] for k in CURVE}
            scale = {
                "delta": p["sigma_delta"].values,
                "u": p["sigma_u"].transpose("sample", "benchmark").values[:, b],
                "tau": p["tau"].transpose("sample", "benchmark").values[:, b],
            }
            y = self._draw_clusters(curve, scale, np.log10(compute), self.data.x_ref[b], rng)
            weight = self.clusters[name].weight
            kept = predictable[own] >= threshold
            full.append(self._evaluate(name, y @ weight, rng))
            subset.append(
                y @ (weight * kept) / max(weight[kept].sum(), 1e-12)
                if kept.any()
                else np.full(y.shape[:2], np.nan)
            )
            share.append(weight[kept].sum())
        dims = ("benchmark", "draw", "compute")
        coords = {"benchmark": self.data.benchmark, "compute": compute}
        draws = xr.Dataset(
            {"score": (dims, np.array(full)), "subset_score": (dims, np.array(subset))}, coords
        )
        draws["predictable_share"] = ("benchmark", np.array(share))
        return Forecast(draws, self.failed_checks)

    def _draw_clusters(
        self,
        curve: dict[str, np.ndarray],
        scale: dict[str, np.ndarray],
        x: np.ndarray,
        x_ref: float,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """(draw, compute, cluster) rates of a fresh model at each compute."""
        n, k = curve["eta"].shape
        distance = np.maximum(x - x_ref, 0.0)
        drift = self.spec.constants["drift"] * distance
        # One standard draw serves all computes: a forecast is a curve, not a cloud of points.
        delta = rng.standard_normal((n, 1)) * np.sqrt(scale["delta"][:, None] ** 2 + drift**2)
        u = rng.standard_normal((n, 1, 1)) * scale["u"][:, None, None]
        eps = rng.standard_normal((n, 1, k)) * scale["tau"][:, None, None]
        each = {name: value[:, None, :] for name, value in curve.items()}
        y = accuracy((x + delta)[:, :, None], x_ref, **each)
        z = np.arcsin(np.sqrt(np.clip(y, 0, 1))) + u + eps
        return np.sin(np.clip(z, 0, np.pi / 2)) ** 2

    def _evaluate(self, name: str, score: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The score as it will be measured: same items, trials as at the last ladder model."""
        trials = self.evidence.benchmarks[name]["n_trials"]
        trials = trials.isel(model=np.flatnonzero(trials["role"].values == "ladder")[-1])
        total = float(trials.sum(skipna=False))
        if not np.isfinite(total) or total <= 0:
            return score
        return rng.binomial(round(total), np.clip(score, 0, 1)) / round(total)

    def save(self, path: str | Path) -> None:
        """Write the DataTree as netCDF."""
        self.idata.to_netcdf(path, engine="h5netcdf")


CURVE = ("eta", "beta", "gamma", "g")


@dataclass(frozen=True)
class Forecast:
    """Posterior draws at target computes.

    Attributes:
        draws: `score` and `subset_score` (benchmark, draw, compute), in [0, 1];
            `predictable_share` (benchmark,).
        failed_checks: of the fit behind it.
    """

    draws: xr.Dataset
    failed_checks: tuple[str, ...]

    def probability(self, benchmark: str, at_least: float) -> xr.DataArray:
        """P(score >= at_least) at each compute."""
        return (self.draws["score"].sel(benchmark=benchmark) >= at_least).mean("draw")

    def summary(self) -> pd.DataFrame:
        """benchmark, compute, mean, sd, q05 .. q95, predictable_share, verdict."""
        rows = []
        for name in self.draws["benchmark"].values:
            share = float(self.draws["predictable_share"].sel(benchmark=name))
            for compute in self.draws["compute"].values:
                score = self.draws["score"].sel(benchmark=name, compute=compute).values
                row: dict[str, object] = {"benchmark": str(name), "compute": float(compute)}
                row |= {"mean": score.mean(), "sd": score.std()}
                row |= {key: np.quantile(score, q) for key, q in QUANTILES.items()}
                verdict = self._verdict(np.ptp(np.quantile(score, [0.05, 0.95])), share)
                rows.append(row | {"predictable_share": share, "verdict": verdict})
        return pd.DataFrame(rows)

    def _verdict(self, width: float, share: float) -> str:
        """By the width of the 90 % interval and the predictable share; failed checks are named."""
        if share == 0 or width > 0.4:
            verdict = "not forecastable"
        else:
            verdict = "forecastable" if width <= 0.15 else "wide"
        if self.failed_checks:
            verdict += f" (unconverged: {', '.join(self.failed_checks)})"
        return verdict


def fit(
    evidence: Evidence | pd.DataFrame | str | Path,
    model: str | Path = "cod",
    *,
    random_seed: int = 0,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    progressbar: bool = True,
) -> Fit:
    """Cluster, sample and check.

    Raises:
        EvidenceError, SpecError: before anything is sampled.
    """
    if not isinstance(evidence, Evidence):
        evidence = read_table(evidence)
    spec = load_spec(model)
    rng = np.random.default_rng(random_seed)
    clusters = {name: cluster(b, rng) for name, b in evidence.benchmarks.items()}
    data = ladder_data(evidence, clusters)
    with build(spec, data), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the checks below name what failed
        idata = pm.sample(
            draws=draws,
            tune=tune,
            chains=chains,
            nuts_sampler="nutpie",
            target_accept=0.95,
            random_seed=random_seed,
            progressbar=progressbar,
            quiet=not progressbar,
        )
    failed = _failed_checks(idata)
    if failed:
        warnings.warn(
            f"the posterior is not to be trusted yet: {', '.join(failed)}; "
            "sample longer (draws=, tune=)",
            ConvergenceWarning,
            stacklevel=2,
        )
    _add_data(idata, data)
    idata.attrs |= {
        "model": spec.name,
        "evidence_digest": evidence.digest,
        "random_seed": random_seed,
        "failed_checks": json.dumps(failed),
    }
    return Fit(idata, evidence, clusters, data, spec, random_seed, tuple(failed))


def ladder_data(evidence: Evidence, clusters: dict[str, Clusters]) -> LadderData:
    """All benchmarks' clusters over the union of the ladder models."""
    models = list(evidence.ladder)
    x = np.log10(evidence.models.loc[models, "compute"].to_numpy(float))
    rate, trials, of_cluster, names, x_ref, chance = [], [], [], [], [], []
    for b, (name, found) in enumerate(clusters.items()):
        benchmark = evidence.benchmarks[name]
        own = benchmark["model"].values[benchmark["role"].values == "ladder"]
        at = [models.index(m) for m in own]
        wide = np.full((2, len(found.kind), len(models)), np.nan)
        wide[0][:, at], wide[1][:, at] = found.rate, found.n_trials
        rate.append(wide[0])
        trials.append(wide[1])
        of_cluster += [b] * len(found.kind)
        names += [f"{name}/{j}" for j in range(len(found.kind))]
        x_ref.append(x[at].max())
        chance.append(found.chance)
    p, n = np.concatenate(rate), np.concatenate(trials)
    measured = np.isfinite(p) & (n > 0)
    # Anscombe's correction keeps zero counts off the edge; without a count the rate stands.
    with np.errstate(invalid="ignore"):
        shrunk = np.where(np.isfinite(n), (p * n + 0.375) / (n + 0.75), p)
        z = np.arcsin(np.sqrt(np.clip(shrunk, 0, 1)))
        noise = np.where(measured, 1 / (4 * np.where(measured, n, 1.0)), np.inf)
    return LadderData(
        list(clusters),
        names,
        models,
        np.array(of_cluster),
        x,
        np.array(x_ref),
        np.where(measured, z, 0.0),
        noise,
        np.concatenate(chance),
    )


def _failed_checks(idata: xr.DataTree) -> list[str]:
    """r_hat < 1.01, bulk ESS > 400, no divergences."""
    table = pm.stats.summary(idata, kind="diagnostics", round_to="none")
    failed = []
    if not table["r_hat"].max() < 1.01:
        failed.append(f"r_hat {table['r_hat'].max():.3f}")
    if not table["ess_bulk"].min() > 400:
        failed.append(f"bulk ESS {table['ess_bulk'].min():.0f}")
    divergent = int(idata["sample_stats"]["diverging"].sum())
    if divergent:
        failed.append(f"{divergent} divergences")
    return failed


def _add_data(idata: xr.DataTree, data: LadderData) -> None:
    coords = {"cluster": data.cluster, "model": data.model, "benchmark": data.benchmark}
    dims = ("cluster", "model")
    measured = np.isfinite(data.noise)
    observed = xr.Dataset({"z": (dims, np.where(measured, data.z, np.nan))}, coords)
    constant = xr.Dataset(
        {
            "compute": ("model", 10**data.x),
            "x_ref": ("benchmark", data.x_ref),
            "noise": (dims, np.where(measured, data.noise, np.nan)),
            "chance": ("cluster", data.chance),
            "benchmark_of_cluster": ("cluster", np.array(data.benchmark)[data.of_cluster]),
        },
        coords,
    )
    for name, group in {"observed_data": observed, "constant_data": constant}.items():
        if name in idata.children:
            del idata[name]
        idata[name] = xr.DataTree(group)
