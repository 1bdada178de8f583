"""A sampled posterior, and what can be asked of it without sampling again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from cod_bayes.evidence.checks import check_targets
from cod_bayes.forecast.curves import Curves, in_a_row
from cod_bayes.forecast.groups import counted, counts_of, ladder_of_tree, score_trials
from cod_bayes.forecast.mapping import Mapping
from cod_bayes.forecast.outlook import LIKELY, Forecast
from cod_bayes.forecast.target import Target, random_walk, stream, target_numbers, through
from cod_bayes.model.ladder import LadderData
from cod_bayes.model.spec import Spec
from cod_bayes.model.variables import CURVE, DIMS, SHOCKS

if TYPE_CHECKING:
    import pymc as pm

    from cod_bayes.clustering.clusters import Clusters

FORMAT = "cod-bayes posterior 9"
WHOLE = "whole benchmarks"  # the second posterior, in words
_PATH = np.linspace(-5, 7, 73)  # decades from x_b at which a mapping's path is traced
_PRIOR_DRAWS = 500


@dataclass(frozen=True)
class Fit:
    """A sampled posterior. `models/schema.md` describes every group and variable of its tree.

    Where a benchmark has clusters, its forecast is a mean of two posteriors: this tree's, of the
    clusters, and that of `whole`, of every benchmark as one curve (`cod_bayes.forecast.target`).
    Neither posterior alone is then what a forecast is drawn from.

    Attributes:
        idata: DataTree with the groups posterior, sample_stats, observed_data, constant_data,
            items, anchors and, where a benchmark has clusters, the tree `whole`, which has the same
            groups except for items and anchors.
        clusters: per benchmark; empty for a fit read from a file.
    """

    idata: xr.DataTree
    clusters: dict[str, Clusters] = field(default_factory=dict)

    @property
    def failed_checks(self) -> tuple[str, ...]:
        """The convergence checks that failed, with their figures; empty when all passed."""
        failed = json.loads(self.idata.attrs["failed_checks"])
        whole = () if self.whole is None else self.whole.failed_checks
        return (*(f"{WHOLE}: {check}" for check in whole), *failed)

    @property
    def spec(self) -> Spec:
        """The priors and constants of the model that was fitted."""
        return Spec.from_json(self.idata.attrs["spec"])

    @property
    def benchmarks(self) -> list[str]:
        """Names, in the order of the posterior."""
        return [str(name) for name in self._constant["benchmark"].values]

    @cached_property
    def ladder(self) -> LadderData:
        """The ladder that was fitted."""
        return ladder_of_tree(self.idata)

    @cached_property
    def whole(self) -> Fit | None:
        """The fit of every benchmark as one curve, without items and anchors, saved with this one.

        None where no benchmark has clusters, and where an interrupt came before it."""
        beside = self.idata.children.get("whole")
        return None if beside is None else Fit(beside)

    @cached_property
    def alone(self) -> Fit:
        """This fit without `whole`: its forecasts are those of the clusters."""
        kept = {k: v for k, v in self.idata.children.items() if k != "whole"}
        tree = xr.DataTree(children=kept)
        tree.attrs = self.idata.attrs
        return Fit(tree, self.clusters)

    @cached_property
    def predictable(self) -> xr.DataArray:
        """P(cluster is predictable), see `cod_bayes.forecast.curves`. (cluster,)"""
        every = np.arange(self._posterior.sizes["cluster"])
        p = Curves.of(self._posterior, self._constant, every).predictable
        return xr.DataArray(p, {"cluster": self._posterior["cluster"]}, "cluster")

    def curves(self, benchmark: str) -> Curves:
        """The benchmark's curves, one a cluster, draws of all chains in one row."""
        return self._curves_of(self.benchmarks.index(benchmark))[0]

    def summary(self) -> pd.DataFrame:
        """One row per cluster: benchmark, kind, share of items, P(predictable), posterior means."""
        p, c = self._posterior, self._constant
        head = {name: c[name].values for name in ("benchmark_of_cluster", "kind", "weight")}
        head["p_predictable"] = self.predictable.values
        means = {name: p[name].mean(("chain", "draw")).values for name in CURVE if name in p}
        return pd.DataFrame(
            head | means, index=pd.Index(p["cluster"].values.astype(str), name="cluster")
        ).rename(columns={"benchmark_of_cluster": "benchmark"})

    def subset_weight(self, benchmark: str) -> np.ndarray:
        """How each item counts in the predictable subset: with P(predictable) of its cluster, or
        with 1 where the benchmark is one cluster. Items as in the evidence. (item,)"""
        items = self.idata["items"].to_dataset()
        return items["subset_weight"].values[items["benchmark_of_item"].values == benchmark]

    def build_model(self, compute: float | Sequence[float] | None = None) -> pm.Model:
        """The PyMC model of which `idata` holds the posterior (`cod_bayes.model.statement`).

        compute: of targets in FLOPs; adds their `score`.

        Raises:
            ValueError: the model was built by a function, which a file does not keep.
        """
        from cod_bayes.model.statement import build

        if self.idata.attrs["built_by"]:
            raise ValueError(
                f"the model of this fit was built by the function {self.idata.attrs['built_by']!r};"
                " call it with `fit.ladder`"
            )
        flops = None if compute is None else np.atleast_1d(np.asarray(compute, float))
        return build(self.ladder, self.spec, compute=flops)

    def with_predictive(self, draws: int = _PRIOR_DRAWS) -> xr.DataTree:
        """A copy of the tree with PyMC's groups prior, prior_predictive, posterior_predictive,
        log_likelihood and log_prior. Takes some 10 s, most of it compilation.

        draws: of the prior.
        """
        import pymc as pm

        seed = int(self.idata.attrs["random_seed"])
        tree = self.idata.copy()
        with self.build_model():
            prior = pm.sample_prior_predictive(draws, random_seed=seed)
            predictive = pm.sample_posterior_predictive(
                tree, var_names=["z"], random_seed=seed, progressbar=False
            )
            for name in ("prior", "prior_predictive"):
                tree[name] = prior[name]
            tree["posterior_predictive"] = predictive["posterior_predictive"]
            pm.stats.compute_log_likelihood(tree, progressbar=False)
            pm.stats.compute_log_prior(tree, progressbar=False)
        return tree

    def forecast(self, compute: float | list[float] | np.ndarray) -> Forecast:
        """Draws of every benchmark's observed score at each compute (FLOPs).

        Raises:
            ValueError: a compute that is not positive and finite, or over 6 decades away.
        """
        return Forecast(self.draws(compute), self.failed_checks)

    def draws(
        self,
        compute: float | list[float] | np.ndarray,
        *,
        benchmarks: Sequence[str] | None = None,
        one_run: bool = False,
        continues: bool = False,
        measured: bool = True,
        model_seed: int | None = 0,
    ) -> xr.Dataset:
        """The draws of a forecast, `Forecast.draws`.

        Args:
            benchmarks: only these, in their order; their draws are those of all.
            one_run: the computes are moments of one training run: its shocks are the same at all of
                them, and omega is a random walk from x_b through them and the ladder's models.
                Otherwise each compute is a target of its own, seen through the same standard draws,
                so that a forecast is a curve.
            continues: the target is each benchmark's largest ladder model, trained on. The shocks
                that it showed stay.
            measured: with the noise of an evaluation on the ladder's trials.
            model_seed: another number draws another model from the same posterior draws. Its shocks
                differ; the random walk of one run stays, because all models share what no curve
                follows. None: a model without shocks of its own.

        Returns:
            As `Forecast.draws`; `subset_score` is NaN where a benchmark has several clusters and
            none is predictable in any draw. Draws do not depend on what else is asked for, except
            for the other computes of `one_run`.
        """
        compute = np.atleast_1d(np.asarray(compute, float))
        check_targets(compute, self._constant["compute"].values)
        names = self.benchmarks if benchmarks is None else list(benchmarks)
        check_names(names, self.benchmarks)
        p = self._posterior
        shape = (p.sizes["chain"], p.sizes["draw"], len(names), len(compute))
        score, subset = np.empty(shape), np.empty(shape)
        share, likeliest = np.zeros(len(names)), np.zeros(len(names))
        count, seed = shape[0] * shape[1], int(self.idata.attrs["random_seed"])
        options: Any = {"one_run": one_run, "continues": continues, "model_seed": model_seed}
        for i, name in enumerate(names):
            b = self.benchmarks.index(name)
            target = self._target(b, compute, count, **options)
            predictable = self.predictable.values[self._clusters_of(b)]
            share[i], likeliest[i] = target.weight @ predictable, predictable.max()
            whole = None
            if self.whole is not None and len(target.weight) > 1:
                whole = self.whole._target(b, compute, count, **options).scores()[0]
            weights = np.ones_like(target.weight), target.counted
            for into, y, of in zip((score, subset), target.scores(whole), weights, strict=True):
                drawn = target.measured(y, of) if measured else y
                into[:, :, i] = drawn.reshape(*shape[:2], -1)
        numbers = target_numbers(seed, self.benchmarks, count)
        dims = ("chain", "draw", "benchmark", "compute")
        coords: dict[str, Any] = {"chain": p["chain"], "draw": p["draw"]}
        coords |= {"benchmark": names, "compute": compute}
        return xr.Dataset(
            {
                "score": (dims, score),
                "subset_score": (dims, subset),
                "predictable_share": ("benchmark", share),
                "p_predictable": ("benchmark", likeliest),
                **counts_of(self.idata, names),
                "target": (("chain", "draw"), numbers.reshape(shape[:2])),
            },
            coords,
            {"random_seed": seed},
        )

    def _target(
        self,
        b: int,
        compute: np.ndarray,
        draws: int,
        *,
        one_run: bool,
        continues: bool,
        model_seed: int | None,
    ) -> Target:
        """Benchmark b's target, as `draws` says. Its standard normals depend on the seed alone.

        draws: of the target: the posterior's in their order, thinned or repeated evenly where their
        number differs (of the second posterior, whose mapping is never used).
        """
        seed = int(self.idata.attrs["random_seed"])
        model = [model_seed] if model_seed else []
        order, number = target_numbers(seed, self.benchmarks, draws), stream(self.benchmarks[b])
        common, common_step = (
            np.random.default_rng([seed, of, *model]).standard_normal(draws)[order] for of in (1, 6)
        )
        rng = np.random.default_rng([seed, 2, number, *model])
        have = len(self._shocks["sigma_delta"])
        at = slice(None) if have == draws else np.arange(draws) * have // draws
        value = {name: v[at] for name, v in self._shocks.items()}
        curves, weight, part = self._curves_of(b)
        x_ref, top = float(self._constant["x_ref"][b]), int(self._constant["top"][b])
        sigma, shared = value["sigma_delta"][:, b], value["sigma_model"]
        own = rng.standard_normal(draws)
        luck = float(model_seed is not None)
        if len(self.benchmarks) > 1:
            delta = luck * (sigma * own + shared * common) - value["delta"][:, top]
        else:
            delta = luck * sigma * (sigma * own + shared * common) / np.hypot(sigma, shared)
        delta = np.zeros(draws) if continues else delta - value["lead"][:, b]
        away = np.log10(compute) - x_ref
        # A part of omega is common to all benchmarks, those of other fits of this seed as well.
        steps = common_step, rng.standard_normal(draws)
        walks = [step[:, None] * np.sqrt(np.abs(away)) for step in steps]
        knots, known = np.empty(0), np.empty((draws, 0))
        if one_run and "omega" in value:  # below x_b it goes through that of the ladder's models
            knots = np.log10(self._constant["compute"].values) - x_ref
            knots, known = knots[knots < 0], value["omega"][:, b][:, knots < 0]
        if one_run:
            moments, seeds = np.append(away, knots), ([seed, 7], [seed, 5, number])
            walks = [random_walk(moments, draws, np.random.default_rng(of)) for of in seeds]
            walks[0] = walks[0][order]
        rho = self.spec.constants["shared_omega"]
        omega = np.sqrt(rho) * walks[0] + np.sqrt(1 - rho) * walks[1]
        omega *= value["sigma_omega"][:, b, None]
        omega = through(omega, away, knots, known)
        eps = luck * rng.standard_normal((draws, len(weight))) * value["tau"][:, b, None]
        return Target(
            Curves({name: v[at] for name, v in curves.draws.items()}, curves.ahead),
            away[None, :] + delta[:, None],
            omega,
            eps,
            weight,
            part,
            float(score_trials(self.idata)[b]),
            self.spec.constants["evaluation_noise"],
            [seed, 4, number, *model],
            self._mapping(b) if len(self._anchors(b)) else None,
        )

    def mapping(self, benchmark: str) -> Mapping | None:
        """The latent function from the subset to the benchmark; None without a rest, or without a
        cluster that is likely predictable."""
        return self._mapping(self.benchmarks.index(benchmark))

    def _mapping(self, b: int) -> Mapping | None:
        """Traced once: every question about a posterior needs it again."""
        if b not in self._traced:
            self._traced[b] = self._trace(b)
        return self._traced[b]

    @cached_property
    def _traced(self) -> dict[int, Mapping | None]:
        return {}

    def _trace(self, b: int) -> Mapping | None:
        """From the curves' paths and the anchors. None without a rest, and without a cluster that
        is likely predictable: a subset that compute does not move says nothing of the rest."""
        curves, weight, part = self._curves_of(b)
        share = float(weight @ part)
        if share > 1 - 1e-9 or part.max() < LIKELY:
            return None
        inside, outside = weight * part / share, weight * (1 - part) / (1 - share)
        subset, rest = curves.means(_PATH, inside, outside)
        scatter = self.spec.constants["mapping_scatter"]
        seed = int(self.idata.attrs["random_seed"])
        rng = np.random.default_rng([seed, 3, stream(self.benchmarks[b])])
        return Mapping.of(share, subset, rest, self._anchors(b), scatter, rng)

    def _anchors(self, b: int) -> np.ndarray:
        """What anchors show of one benchmark's subset and rest, as `Mapping.of` takes it."""
        if "anchors" not in self.idata.children:
            return np.empty((0, 3))  # of the second posterior
        a = self.idata["anchors"].to_dataset()
        points = np.stack([a[name].values[b] for name in ("subset", "rest", "n_rest")], axis=-1)
        return points[np.isfinite(points).all(axis=1)]

    def _curves_of(self, b: int) -> tuple[Curves, np.ndarray, np.ndarray]:
        """One benchmark's curves, its clusters' shares of the items, and how they count in the
        subset. Put together once, as mappings are."""
        if b not in self._known_curves:
            inside = self._clusters_of(b)
            curves = Curves.of(self._posterior, self._constant, inside)
            part = counted(self.predictable.values[inside])
            self._known_curves[b] = curves, self._constant["weight"].values[inside], part
        return self._known_curves[b]

    @cached_property
    def _known_curves(self) -> dict[int, tuple[Curves, np.ndarray, np.ndarray]]:
        return {}

    def _clusters_of(self, b: int) -> np.ndarray:
        of = self._constant["benchmark_of_cluster"].values
        return np.flatnonzero(of == self.benchmarks[b])

    @cached_property
    def _posterior(self) -> xr.Dataset:
        return self.idata["posterior"].to_dataset()

    @cached_property
    def _constant(self) -> xr.Dataset:
        return self.idata["constant_data"].to_dataset()

    @cached_property
    def _shocks(self) -> dict[str, np.ndarray]:
        """Scales and shocks that a target needs, (draw of any chain, dim)."""
        names = [*SHOCKS, *(name for name in ("omega",) if name in self._posterior)]
        return {name: in_a_row(self._posterior[name], *DIMS.get(name, ())) for name in names}

    def save(self, path: str | Path, forecast: Forecast | None = None) -> None:
        """Write everything as netCDF; `load` and `az.from_netcdf` read it. An error leaves an older
        file as it was.

        forecast: written as the groups predictions and predictions_constant_data, so that
        decisions made from the file know their target.
        """
        from cod_bayes.forecast.storage import save

        tree = self.idata
        if forecast is not None:
            tree = tree.copy()
            flops = forecast.draws["compute"]
            tree["predictions"] = xr.DataTree(forecast.draws)
            constant = xr.Dataset({"log10_compute": np.log10(flops)})
            tree["predictions_constant_data"] = xr.DataTree(constant)
        save(tree, Path(path))


def check_names(names: Sequence[str], known: Sequence[str]) -> None:
    """Refuse benchmarks that a posterior does not have.

    Raises:
        ValueError: naming them, and those it has.
    """
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ValueError(
            f"expected benchmarks of this posterior, {list(known)}, got {unknown}; correct the name"
        )
