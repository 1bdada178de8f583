"""From evidence to a posterior, and from a posterior to forecasts.

`fit` clusters every benchmark, samples the model of `cod_bayes.model.statement` over all of them
at once, and
checks the result. Where a benchmark has clusters it does so once more with every benchmark as one
curve. `Fit.forecast` draws targets (`cod_bayes.forecast.target`).
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from cod_bayes.evidence.record import Evidence, has_control, ladder_of, read_table
from cod_bayes.forecast.mapping import Mapping
from cod_bayes.forecast.target import Target, random_walk
from cod_bayes.model.ladder import CURVE, DIMS, PARAMETERS, LadderData, accuracy, arcsine
from cod_bayes.model.spec import Spec, check_spec, load_spec
from cod_bayes.writing import replacing

if TYPE_CHECKING:
    from cod_bayes.clustering.clusters import Clusters

FORMAT = "cod-bayes posterior 6"
QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}
FORECASTABLE_WIDTH = 0.10  # of the 90 % interval, in accuracy
HOPELESS_WIDTH = 0.40
LIKELY = 0.5  # P(predictable) of a cluster that is called predictable
_MAX_LOSS = 3.0  # emerged: 5 % of the way from floor to 1 at the largest ladder model
_MIN_SLOPE = 0.1 * np.log(10)  # the paper's b > 0.1, per decade
_MAX_CEILING_LOSS = 1.0  # the paper's c < 1
_PATH = np.linspace(-5, 7, 73)  # decades from x_b: where a mapping's path is traced
_PRIOR_DRAWS = 500
_LARGEST = 4  # times a file's own size is what its numbers may take in memory
_MIN_CLUSTERS_TO_FALL = 3
_AT_ONCE = 2  # benchmarks clustered side by side
_WHOLE = "whole benchmarks"  # the second posterior, in words

_OF_CURVES = {  # of a saved fit, in every tree
    "posterior": PARAMETERS,
    "constant_data": ("x_ref", "top", "trials", "weight", "benchmark_of_cluster", "nu_ratio"),
}
_OF_ITEMS = {  # and beside the clusters' posterior
    "items": ("subset_weight", "benchmark_of_item"),
    "anchors": ("subset", "rest", "n_rest"),
}


class ConvergenceWarning(UserWarning):
    """The posterior of this fit cannot be trusted as it is."""


class Interrupted(KeyboardInterrupt):
    """An interrupt of `fit`; nothing that was sampled is lost.

    Attributes:
        fit: of the draws until then; its failed checks begin with the interrupt.
    """

    def __init__(self, fit: Fit) -> None:
        super().__init__(f"{fit.failed_checks[0]}; they are kept as `fit` of this exception")
        self.fit = fit


@dataclass(frozen=True)
class Forecast:
    """Posterior draws at target computes.

    Attributes:
        draws: `score` and `subset_score` (chain, draw, benchmark, compute), in [0, 1];
            `predictable_share`, of the items' clusters the mean P(predictable), and
            `p_predictable`, the largest of them, both (benchmark,).
        failed_checks: of the fit behind it.
    """

    draws: xr.Dataset
    failed_checks: tuple[str, ...]

    def probability(self, benchmark: str, at_least: float) -> xr.DataArray:
        """P(score >= at_least) at each compute."""
        return (self.draws["score"].sel(benchmark=benchmark) >= at_least).mean(("chain", "draw"))

    def summary(self) -> pd.DataFrame:
        """benchmark, compute, mean, sd, q05 .. q95, predictable_share, verdict."""
        rows = []
        for name in self.draws["benchmark"].values:
            share = float(self.draws["predictable_share"].sel(benchmark=name))
            likeliest = float(self.draws["p_predictable"].sel(benchmark=name))
            for compute in self.draws["compute"].values:
                score = self.draws["score"].sel(benchmark=name, compute=compute).values
                row: dict[str, object] = {"benchmark": str(name), "compute": float(compute)}
                row |= {"mean": score.mean(), "sd": score.std()}
                row |= {key: np.quantile(score, q) for key, q in QUANTILES.items()}
                verdict = self._verdict(np.ptp(np.quantile(score, [0.05, 0.95])), likeliest)
                rows.append(row | {"predictable_share": share, "verdict": verdict})
        return pd.DataFrame(rows)

    def _verdict(self, width: float, likeliest: float) -> str:
        """By the width of the 90 % interval and the likeliest cluster; failed checks are named."""
        if likeliest < LIKELY or width > HOPELESS_WIDTH:
            verdict = "not forecastable"
        else:
            verdict = "forecastable" if width <= FORECASTABLE_WIDTH else "wide"
        if self.failed_checks:
            verdict += f" (unconverged: {', '.join(self.failed_checks)})"
        return verdict


@dataclass(frozen=True)
class Fit:
    """A sampled posterior; all that a forecast needs is in its tree.

    Attributes:
        idata: DataTree with the groups posterior, prior, sample_stats, posterior_predictive,
            observed_data, constant_data, log_likelihood, log_prior, items, anchors and, after a
            forecast, predictions and predictions_constant_data; `whole`, where a benchmark has
            clusters, is a tree of its own with the same but for items and anchors.
        clusters: per benchmark; empty for a fit read from a file.
    """

    idata: xr.DataTree
    clusters: dict[str, Clusters] = field(default_factory=dict)

    @property
    def failed_checks(self) -> tuple[str, ...]:
        """The convergence checks that failed, with their figures; empty when all is well."""
        own = json.loads(self.idata.attrs["failed_checks"])
        whole = () if self.whole is None else self.whole.failed_checks
        return (*(f"{_WHOLE}: {check}" for check in whole), *own)

    @property
    def spec(self) -> Spec:
        """The model that was fitted."""
        return Spec.from_json(self.idata.attrs["spec"])

    @property
    def benchmarks(self) -> list[str]:
        """Names, in the order of the posterior."""
        return [str(name) for name in self.idata["posterior"].to_dataset()["benchmark"].values]

    @cached_property
    def whole(self) -> Fit | None:
        """The fit of every benchmark as one curve, without items and anchors, saved with this one;
        None where no benchmark has clusters, and where an interrupt came before it."""
        beside = self.idata.children.get("whole")
        return None if beside is None else Fit(beside)

    @cached_property
    def alone(self) -> Fit:
        """This fit without `whole`: what the clusters say by themselves."""
        kept = {k: v for k, v in self.idata.children.items() if k != "whole"}
        tree = xr.DataTree(children=kept)
        tree.attrs = self.idata.attrs
        return Fit(tree, self.clusters)

    @cached_property
    def predictable(self) -> xr.DataArray:
        """P(cluster is predictable): emerged, b > 0.1 and c < 1 (COD 4.3). (cluster,)"""
        groups = (self.idata[name].to_dataset() for name in ("posterior", "constant_data"))
        return _predictable(*groups)

    def summary(self) -> pd.DataFrame:
        """One row per cluster: benchmark, kind, items' share, P(predictable), posterior means."""
        p, c = (self.idata[name].to_dataset() for name in ("posterior", "constant_data"))
        head = {name: c[name].values for name in ("benchmark_of_cluster", "kind", "weight")}
        means = {name: p[name].mean(("chain", "draw")).values for name in CURVE}
        chance = {"p_predictable": self.predictable.values}
        return pd.DataFrame(
            head | chance | means, index=pd.Index(p["cluster"].values.astype(str), name="cluster")
        ).rename(columns={"benchmark_of_cluster": "benchmark"})

    def subset_weight(self, benchmark: str) -> np.ndarray:
        """How each item counts in the predictable subset: with P(predictable) of its cluster, or
        with 1 where the benchmark is one cluster; items as in the evidence. (item,)"""
        items = self.idata["items"].to_dataset()
        return items["subset_weight"].values[items["benchmark_of_item"].values == benchmark]

    def forecast(self, compute: float | list[float] | np.ndarray) -> Forecast:
        """Draws of every benchmark's observed score at each compute (FLOPs).

        The draws are also kept in `idata`, as the groups predictions and predictions_constant_data.

        Raises:
            ValueError: a compute that is not positive and finite.
        """
        draws = self.draws(compute)
        flops = draws["compute"].values
        constant = xr.Dataset({"log10_compute": ("compute", np.log10(flops))}, draws.coords)
        for group, data in {"predictions": draws, "predictions_constant_data": constant}.items():
            if group in self.idata.children:
                del self.idata[group]
            self.idata[group] = xr.DataTree(data)
        return Forecast(draws, self.failed_checks)

    def draws(
        self,
        compute: float | list[float] | np.ndarray,
        *,
        benchmarks: Sequence[str] | None = None,
        one_run: bool = False,
        continues: bool = False,
        measured: bool = True,
        model_seed: int = 0,
    ) -> xr.Dataset:
        """As `forecast`, and `idata` stays as it is.

        benchmarks: only these, in their order; their draws are those of all.
        one_run: the computes are moments of one training run. Its shocks are then the same at all
        of them and omega is a random walk from x_b through them; otherwise each compute is a
        target of its own, seen through the same standard draws, so that a forecast is a curve.
        continues: the target is each benchmark's largest ladder model, trained on. The shocks that
        it showed stay: x' = x*.
        measured: with the noise of an evaluation on the ladder's trials.
        model_seed: another number draws another model from the same posterior draws: its shocks
            are its own; a random walk of one run stays, as what no curve follows is shared.

        Returns:
            As `Forecast.draws`; `subset_score` is NaN where a benchmark has several clusters, and
            none is predictable in any draw.
        """
        compute = np.atleast_1d(np.asarray(compute, float))
        if not (np.isfinite(compute).all() and (compute > 0).all()):
            raise ValueError(f"expected compute > 0 in FLOPs, got {compute.tolist()}")
        names = self.benchmarks if benchmarks is None else list(benchmarks)
        check_names(names, self.benchmarks)
        p = self.idata["posterior"].to_dataset()
        shape = (p.sizes["chain"], p.sizes["draw"], len(names), len(compute))
        score, subset = np.empty(shape), np.empty(shape)
        share, likeliest = np.zeros(len(names)), np.zeros(len(names))
        count = shape[0] * shape[1]
        asked: dict[str, Any] = {"one_run": one_run, "continues": continues}
        asked["model_seed"] = model_seed
        for i, name in enumerate(names):
            b = self.benchmarks.index(name)
            target = self._target(b, compute, count, **asked)
            predictable = self.predictable.values[self._ours(b)]
            share[i], likeliest[i] = target.weight @ predictable, predictable.max()
            whole = None
            if self.whole is not None and len(target.weight) > 1:
                whole = self.whole._target(b, compute, count, **asked).scores()[0]
            counted = np.ones_like(target.weight), target.counted
            for into, y, of in zip((score, subset), target.scores(whole), counted, strict=True):
                drawn = target.measured(y, of) if measured else y
                into[:, :, i] = drawn.reshape(*shape[:2], -1)
        dims = ("chain", "draw", "benchmark", "compute")
        coords: dict[str, Any] = {"chain": p["chain"], "draw": p["draw"]}
        coords |= {"benchmark": names, "compute": compute}
        draws = xr.Dataset({"score": (dims, score), "subset_score": (dims, subset)}, coords)
        return draws.assign(
            predictable_share=("benchmark", share), p_predictable=("benchmark", likeliest)
        )

    def _target(
        self,
        b: int,
        compute: np.ndarray,
        draws: int,
        *,
        one_run: bool,
        continues: bool,
        model_seed: int,
    ) -> Target:
        """Benchmark b's, as `draws` says; its own standard draws hang on the fit's seed alone.

        draws: of the target; the posterior's in their order, left out or repeated evenly (of a
        second posterior, which has no mapping of as many rows).
        """
        seed = int(self.idata.attrs["random_seed"])
        model = [model_seed] if model_seed else []
        own = np.random.default_rng([seed, 1, *model]).standard_normal(draws)
        rng = np.random.default_rng([seed, 2, b, *model])
        c = self.idata["constant_data"].to_dataset()
        have = len(self._value["mu_omega"])
        at = slice(None) if have == draws else np.arange(draws) * have // draws
        value = {name: v[at] for name, v in self._value.items()}
        curve, weight, counted = _own(self, b)
        x_ref = float(c["x_ref"].values[b])
        top = int(c["top"].values[b])
        delta = value["sigma_delta"][:, b] * rng.standard_normal(draws) - value["lead"][:, b]
        if len(self.benchmarks) > 1:
            delta = delta + value["sigma_model"] * own - value["delta"][:, top]
        away = np.log10(compute) - x_ref
        if continues:
            delta = np.zeros(draws)
        # Of omega, a part is common to all benchmarks, of other fits of this seed as well.
        common = np.random.default_rng([seed, 6, *model]).standard_normal(draws)
        walks = [v[:, None] * np.sqrt(np.abs(away)) for v in (common, rng.standard_normal(draws))]
        if one_run:
            seeds = [seed, 7], [seed, 5, b]
            walks = [random_walk(away, draws, np.random.default_rng(of)) for of in seeds]
        share = self.spec.constants["shared_omega"]
        walk = np.sqrt(share) * walks[0] + np.sqrt(1 - share) * walks[1]
        eps = rng.standard_normal((draws, len(weight))) * value["tau"][:, b, None]
        return Target(
            {name: v[at] for name, v in curve.items()},
            away[None, :] + delta[:, None],
            walk * value["sigma_omega"][:, b, None],
            eps,
            weight,
            counted,
            float(c["trials"].values[b]),
            [seed, 4, b, *model],
            self._mapping(b) if len(_shown(self, b)) else None,
        )

    def mapping(self, benchmark: str) -> Mapping | None:
        """The latent function from the subset to the benchmark; None without a rest, or without a
        cluster that is likely predictable."""
        return self._mapping(self.benchmarks.index(benchmark))

    def _mapping(self, b: int) -> Mapping | None:
        """Traced once: every question about a posterior needs it again."""
        if b not in self._traced:
            self._traced[b] = _trace(self, b)
        return self._traced[b]

    @cached_property
    def _traced(self) -> dict[int, Mapping | None]:
        return {}

    @cached_property
    def _value(self) -> dict[str, np.ndarray]:
        return _in_one_row(self.idata["posterior"].to_dataset())

    def _ours(self, b: int) -> np.ndarray:
        """Which clusters are benchmark b's."""
        of = self.idata["constant_data"].to_dataset()["benchmark_of_cluster"].values
        return np.flatnonzero(of == self.benchmarks[b])

    def save(self, path: str | Path) -> None:
        """Write everything as netCDF; `load` and `az.from_netcdf` read it. Old file or new, never
        a half."""
        # In memory first: a full disk is then a refusal, not a crash inside the library. A copy of
        # it: the library's own buffer cannot be let go while a failed writing is reported.
        content = bytes(self.idata.to_netcdf(engine="h5netcdf"))
        with replacing(Path(path)) as part:
            part.write_bytes(content)


def load(path: str | Path) -> Fit:
    """A saved fit, which forecasts identically.

    Raises:
        ValueError: a file of another kind or version.
    """
    try:
        with xr.open_datatree(path, engine="h5netcdf") as opened:
            if opened.nbytes > _LARGEST * Path(path).stat().st_size:
                raise ValueError(f"its groups claim {opened.nbytes:.0e} bytes, more than it has")
            tree = opened.load()
        if tree.attrs.get("format") == FORMAT:
            _check(Fit(tree))
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"{path}: expected a posterior saved by cod_bayes: {error}") from error
    if tree.attrs.get("format") != FORMAT:
        raise ValueError(
            f"{path}: expected a file of the format {FORMAT!r}, got {tree.attrs.get('format')!r}"
        )
    return Fit(tree)


def _check(fit: Fit, held: dict[str, tuple[str, ...]] = _OF_CURVES | _OF_ITEMS) -> None:
    """Reads what every use of a saved fit needs; raises whatever is missing or not so."""
    for group, names in held.items():
        have = fit.idata[group].to_dataset() if group in fit.idata.children else {}
        if missing := [name for name in names if name not in have]:
            raise ValueError(f"its group {group!r} lacks {missing}")
    if not all(isinstance(check, str) for check in fit.failed_checks):
        raise ValueError("its failed checks are no text")
    if any(has_control(name) for name in fit.benchmarks):
        raise ValueError("its benchmarks' names have control characters")
    int(fit.idata.attrs["random_seed"])
    check_spec(fit.spec)
    if fit.whole is not None:
        _check(fit.whole, _OF_CURVES)
        curves = fit.whole.idata["constant_data"].to_dataset()["benchmark_of_cluster"].values
        if not list(curves) == fit.whole.benchmarks == fit.benchmarks:
            raise ValueError("its group 'whole' is not of one curve for each benchmark")
        if fit.whole.idata.attrs["random_seed"] != fit.idata.attrs["random_seed"]:
            raise ValueError("its group 'whole' is of another seed")


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


def cluster_nu(draws: xr.Dataset, constant: xr.Dataset) -> xr.DataArray:
    """nu_k of a posterior's or a prior's draws, and its constant data. (chain, draw, cluster)"""
    of = constant["benchmark_of_cluster"]
    return draws["nu"].sel(benchmark=of).drop_vars("benchmark") * constant["nu_ratio"]


def _predictable(p: xr.Dataset, constant: xr.Dataset) -> xr.DataArray:
    nu = cluster_nu(p, constant)
    loss = np.log1p(nu * np.exp(p["eta"])) / nu + p["gamma"]
    ok = (loss < _MAX_LOSS) & (p["beta"] > _MIN_SLOPE)
    return (ok & (p["gamma"] < _MAX_CEILING_LOSS)).mean(("chain", "draw"))


def _in_one_row(p: xr.Dataset) -> dict[str, np.ndarray]:
    """Every parameter of the posterior, (draw of any chain, dim)."""
    draws = p.sizes["chain"] * p.sizes["draw"]
    value = {}
    for name in PARAMETERS:
        dims = DIMS.get(name, ())
        ordered = p[name].transpose("chain", "draw", *dims).values
        value[name] = ordered.reshape(draws, *(p.sizes[dim] for dim in dims))
    return value


def _own(fit: Fit, b: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """One benchmark's curves (draw, cluster), its clusters' shares of items, and how these count in
    the subset."""
    c = fit.idata["constant_data"].to_dataset()
    ours = fit._ours(b)
    curve = {name: fit._value[name][:, ours] for name in CURVE}
    curve["nu"] = fit._value["nu"][:, b, None] * c["nu_ratio"].values[ours]
    return curve, c["weight"].values[ours], _counted(fit.predictable.values[ours])


def _counted(predictable: np.ndarray) -> np.ndarray:
    """How a benchmark's clusters count in its subset: one that stands alone is all there is."""
    return predictable if len(predictable) > 1 else np.ones(1)


def _shown(fit: Fit, b: int) -> np.ndarray:
    """What anchors show of one benchmark's subset and rest, (anchor, 3) as `Mapping.of` has it; a
    second posterior, of whole benchmarks, knows of none."""
    if "anchors" not in fit.idata.children:
        return np.empty((0, 3))
    a = fit.idata["anchors"].to_dataset()
    shown = np.stack([a[name].values[b] for name in ("subset", "rest", "n_rest")], axis=-1)
    return shown[np.isfinite(shown).all(axis=1)]


def _trace(fit: Fit, b: int) -> Mapping | None:
    """From the curves' paths and the anchors; None without a rest, and without a cluster that is
    likely predictable: a subset that compute does not move says nothing of the rest."""
    curve, weight, counted = _own(fit, b)
    share = float(weight @ counted)
    if share > 1 - 1e-9 or counted.max() < LIKELY:
        return None
    subset, rest = np.zeros((2, len(curve["eta"]), len(_PATH)))
    for k, p in enumerate(counted):
        y = accuracy(_PATH, 0.0, **{name: v[:, k, None] for name, v in curve.items()})
        subset += weight[k] * p / share * y
        rest += weight[k] * (1 - p) / (1 - share) * y
    return Mapping.of(
        share,
        subset,
        rest,
        _shown(fit, b),
        fit.spec.constants["mapping_scatter"],
        np.random.default_rng([int(fit.idata.attrs["random_seed"]), 3, b]),
    )


def fit(
    evidence: Evidence | pd.DataFrame | str | Path,
    model: str | Path = "cod",
    *,
    random_seed: int = 0,
    draws: int = 800,
    tune: int = 100,
    chains: int = 4,
    progressbar: bool = True,
    clusterer: object | None = None,
    preview: bool = False,
) -> Fit:
    """Cluster, sample and check.

    The clusters' posterior and, where any benchmark has clusters, that of whole benchmarks. One
    that fails a check gets more draws, at most four times `draws`; what then still fails is warned
    of by name and stays in the verdicts.

    Args:
        evidence: or what `read_table` takes.
        model: a shipped model's name, or the path of a TOML file.
        draws, tune, chains: of one run; see above.
        clusterer: any scikit-learn clusterer in place of the default route.
        preview: the posterior of whole benchmarks alone. The same model and the same checks in a
            third of the time; there are no clusters to look at.

    Raises:
        EvidenceError, SpecError: before anything is sampled.
        Interrupted: an interrupt that came late enough for draws to be kept.
    """
    # What only a fit needs takes seconds to import; decisions on a saved posterior do without.
    from threadpoolctl import threadpool_limits

    from cod_bayes.clustering.clusters import cluster

    if not isinstance(evidence, Evidence):
        evidence = read_table(evidence)
    spec = load_spec(model)
    if (alone := len(evidence.single_scores)) > 1:
        warnings.warn(
            f"{alone} benchmarks are known by one score per model; such tasks are forecast "
            "better one by one than together: fit evidence.select(benchmarks=[name]) of each, or "
            "--benchmark NAME",
            UserWarning,
            stacklevel=2,
        )
    rng = np.random.default_rng(random_seed)
    seeds = rng.spawn(len(evidence.benchmarks))
    own = partial(cluster, clusterer=clusterer)
    # Sums by several threads round otherwise, and the draws would hang on their number.
    with threadpool_limits(1, user_api="blas"):
        # First, as it takes a copy of all cells, and clusters of a million items are large.
        whole = {name: cluster(of, rng, whole=True) for name, of in evidence.benchmarks.items()}
        # While one benchmark's climb is in threads, another's places are numbered. A clusterer from
        # elsewhere is one object, and may not be asked twice at a time.
        at_once = 1 if clusterer is not None or len(seeds) == 1 else _AT_ONCE
        clusters = whole
        if not preview:
            with ThreadPoolExecutor(at_once) as pool:
                asked = map if at_once == 1 else pool.map
                found = asked(own, evidence.benchmarks.values(), seeds)
                # Takes seconds; where benchmarks are clustered in threads, this one only waits.
                import_module("cod_bayes.sampling.nuts")
                clusters = dict(zip(evidence.benchmarks, found, strict=True))
        import_module(
            "cod_bayes.sampling.nuts"
        )  # before BLAS is limited again, as it loads another
    sampled = partial(
        _sampled,
        spec,
        evidence,
        random_seed=random_seed,
        draws=draws,
        tune=tune,
        chains=chains,
        progressbar=progressbar,
    )
    with threadpool_limits(1, user_api="blas"):  # of what was imported since, too
        idata, interrupted = sampled(clusters)
        if not interrupted and any(len(found.kind) > 1 for found in clusters.values()):
            try:
                idata["whole"], interrupted = sampled(whole, beside=True)
            except KeyboardInterrupt:
                failed = json.loads(idata.attrs["failed_checks"])
                idata.attrs["failed_checks"] = json.dumps([f"interrupted before {_WHOLE}", *failed])
                interrupted = True
    fitted = Fit(idata, clusters)
    if fitted.failed_checks and not interrupted:
        warnings.warn(
            f"the posterior is not to be trusted yet: {', '.join(fitted.failed_checks)}; "
            "give more draws and tune, fewer benchmarks at once, or more ladder models",
            ConvergenceWarning,
            stacklevel=2,
        )
    if interrupted:
        raise Interrupted(fitted)
    return fitted


def _sampled(
    spec: Spec,
    evidence: Evidence,
    clusters: dict[str, Clusters],
    *,
    random_seed: int,
    beside: bool = False,
    **options: Any,
) -> tuple[xr.DataTree, bool]:
    """A posterior with all groups and attributes of a fit, and whether it was interrupted.

    beside: the second posterior: without items and anchors, and with another seed for its chains.
    The attribute random_seed is the fit's, as the target's shocks of both are drawn by it.
    """
    from cod_bayes.sampling.nuts import sample

    data = ladder_data(evidence, clusters, spec.constants)
    if options["progressbar"] and sys.stderr.isatty():
        what = _WHOLE if beside or len(data.cluster) == len(data.benchmark) else "clusters"
        print(f"sampling the curves of {len(data.cluster)} {what}", file=sys.stderr)
    seed = random_seed
    if beside:
        seed = int(np.random.SeedSequence([random_seed, 0, 1]).generate_state(1)[0])
    idata, failed, interrupted = sample(spec, data, random_seed=seed, **options)
    idata.attrs = {
        "format": FORMAT,
        "version": metadata.version("cod-bayes"),
        "model": spec.name,
        "spec": spec.to_json(),
        "evidence_digest": evidence.digest,
        "random_seed": random_seed,
        "failed_checks": json.dumps(failed),
    }
    _add_groups(idata, spec, evidence, clusters, data, np.random.default_rng([random_seed, 0]))
    if not beside:
        _add_items(idata, spec, evidence, clusters, data)
    return idata, interrupted


def ladder_data(
    evidence: Evidence, clusters: dict[str, Clusters], constants: dict[str, float]
) -> LadderData:
    """All benchmarks' clusters over the union of the ladder models.

    constants: of the model; evaluation_noise, radians of arcsine-root accuracy, comes on top of
    the sampling noise 1/(4 n), assumed_trials is n where trials are not counted.
    """
    models = list(evidence.ladder)
    x = np.log10(evidence.models.loc[models, "compute"].to_numpy(float))
    rate, trials, of_cluster, names, x_ref, chance, ratio = [], [], [], [], [], [], []
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
        whole = found.route == "one_cluster"
        ratio += [1.0 if whole else constants[f"nu_ratio_{kind}"] for kind in found.kind]
    p, n = np.concatenate(rate), np.concatenate(trials)
    n = np.where(np.isposinf(n), constants["assumed_trials"], n)
    measured = np.isfinite(p) & (n > 0)
    sampling = 1 / (4 * np.where(measured, n, 1.0))
    noise = np.where(measured, sampling + constants["evaluation_noise"] ** 2, np.inf)
    z = np.where(measured, arcsine(p, n), 0.0)
    of = np.array(of_cluster)
    for b in range(len(clusters)):
        own = of == b
        noise[own] += _fall(z[own], noise[own])[:, None]
    return LadderData(
        list(clusters),
        names,
        models,
        of,
        x,
        np.array(x_ref),
        z,
        noise,
        np.concatenate(chance),
        np.array(ratio),
    )


def _fall(z: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Variance that no rising curve explains: mean square around the nearest rising line
    (isotonic regression), what its benchmark's clusters have in common taken out, beyond the noise.

    (cluster,); 0 for one or two clusters, where a model's own bad day looks the same. Without it a
    cluster that falls pulls on the slopes of all the others.
    """
    from sklearn.isotonic import isotonic_regression

    if len(z) < _MIN_CLUSTERS_TO_FALL:
        return np.zeros(len(z))
    away = np.full(z.shape, np.nan)
    for k in range(len(z)):
        seen = np.isfinite(noise[k])
        if seen.any():
            line = isotonic_regression(z[k, seen], sample_weight=1 / noise[k, seen])
            away[k, seen] = z[k, seen] - line
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a model or a cluster without a cell
        away = away - np.nanmedian(away, axis=0)
        seen_noise = np.where(np.isfinite(noise), noise, np.nan)
        excess = np.nanmean(away**2 - seen_noise, axis=1)
    return np.fmax(excess, 0.0)


def _add_groups(
    idata: xr.DataTree,
    spec: Spec,
    evidence: Evidence,
    clusters: dict[str, Clusters],
    data: LadderData,
    rng: np.random.Generator,
) -> None:
    """What ArviZ inspects and forecasts need of the curves, beside the posterior."""
    from cod_bayes.model.generate import log_likelihood, log_prior, prior_draws, replicate

    posterior = idata["posterior"].to_dataset()
    p = {name: posterior[name].values for name in PARAMETERS}
    sampled = ("chain", "draw")
    coords = {dim: posterior[dim] for dim in (*sampled, *data.coords)}
    # Measured cells in one row: ArviZ's predictive checks take one dimension without gaps.
    k, m = np.nonzero(data.measured)
    cells = [f"{data.cluster[i]} {data.model[j]}" for i, j in zip(k, m, strict=True)]
    coords["cell"] = xr.DataArray(cells, dims="cell")

    def grouped(values: dict[str, np.ndarray], dims: dict[str, tuple[str, ...]]) -> xr.Dataset:
        used = {dim for name in values for dim in dims[name]}
        return xr.Dataset(
            {name: (dims[name], value) for name, value in values.items()},
            {dim: coords[dim] for dim in used if dim in coords},
        )

    wide = {
        name: (*sampled, *dims) for name, dims in (DIMS | {"spread_omega": DIMS["tau"]}).items()
    }
    prior = prior_draws(spec, data, rng, _PRIOR_DRAWS)
    log_p = log_prior(spec, data, p)
    prior_set = xr.Dataset(
        {n: ((*sampled, *DIMS.get(n, ())), prior[n][None]) for n in PARAMETERS},
        {"chain": [0], "draw": np.arange(_PRIOR_DRAWS), **data.coords},
    )
    groups = {
        "prior": prior_set,
        "posterior_predictive": grouped(
            {"z": replicate(data, p, rng)[..., data.measured]}, {"z": (*sampled, "cell")}
        ),
        "observed_data": grouped({"z": data.z[data.measured]}, {"z": ("cell",)}),
        "log_likelihood": grouped(
            {"z": log_likelihood(data, p)}, {"z": (*sampled, "benchmark", "model")}
        ),
        "log_prior": grouped(log_p, {name: wide.get(name, sampled) for name in log_p}),
        "constant_data": _constants(spec, evidence, clusters, data),
    }
    for name, group in groups.items():
        idata[name] = xr.DataTree(group)


def _add_items(
    idata: xr.DataTree,
    spec: Spec,
    evidence: Evidence,
    clusters: dict[str, Clusters],
    data: LadderData,
) -> None:
    """How items count in the predictable subset, and what the anchors show of it."""
    posterior, constant = (idata[name].to_dataset() for name in ("posterior", "constant_data"))
    predictable = _predictable(posterior, constant).values
    member = {}
    for b, (name, found) in enumerate(clusters.items()):
        member[name] = found.membership @ _counted(predictable[data.of_cluster == b])
    items = xr.Dataset(
        {
            "subset_weight": ("item", np.concatenate(list(member.values()))),
            "benchmark_of_item": (
                "item",
                np.repeat(list(member), [len(v) for v in member.values()]),
            ),
        },
        {"item": np.concatenate([evidence.benchmarks[name]["item"].values for name in member])},
    )
    idata["items"] = xr.DataTree(items)
    idata["anchors"] = xr.DataTree(_anchors(evidence, member, spec.constants["assumed_trials"]))


def _constants(
    spec: Spec, evidence: Evidence, clusters: dict[str, Clusters], data: LadderData
) -> xr.Dataset:
    """The ladder as it was fitted, and what forecasts and pictures need of the evidence."""
    score = np.full((len(data.benchmark), len(data.model)), np.nan)
    trials = spec.constants["assumed_trials"] * np.bincount(data.of_cluster).astype(float)
    for b, name in enumerate(data.benchmark):
        of = evidence.benchmarks[name]
        ladder = ladder_of(of)
        at = [data.model.index(m) for m in ladder["model"].values]
        score[b, at] = ladder["rate"].mean("item").values
        total = float(ladder["n_trials"].isel(model=-1).sum(skipna=False))
        if np.isfinite(total) and total > 0:
            trials[b] = total
    cells = ("cluster", "model")
    values = {
        "compute": ("model", 10**data.x),
        "x_ref": ("benchmark", data.x_ref),
        "top": ("benchmark", data.top),
        "score": (("benchmark", "model"), score),
        "trials": ("benchmark", trials),
        "noise": (cells, np.where(data.measured, data.noise, np.nan)),
        "chance": ("cluster", data.chance),
        "benchmark_of_cluster": ("cluster", np.array(data.benchmark)[data.of_cluster]),
        "weight": ("cluster", np.concatenate([clusters[n].weight for n in data.benchmark])),
        "nu_ratio": ("cluster", data.nu_ratio),
        "kind": ("cluster", np.concatenate([clusters[n].kind for n in data.benchmark])),
        "route": ("benchmark", np.array([clusters[n].route for n in data.benchmark])),
    }
    return xr.Dataset(values, data.coords)


def _anchors(
    evidence: Evidence, member: dict[str, np.ndarray], assumed_trials: float
) -> xr.Dataset:
    """Each anchor's accuracy on the subset and the rest, and the trials whose plain mean is as
    noisy as that of the rest: the assumed ones where any are not counted. NaN where either is worth
    less than an item."""
    names = list(evidence.models.index[evidence.models["role"] == "anchor"])
    table = np.full((3, len(member), len(names)), np.nan)
    for b, (name, weight) in enumerate(member.items()):
        of = evidence.benchmarks[name]
        for j, anchor in enumerate(names):
            if anchor not in of["model"].values:
                continue
            rate = of["rate"].sel(model=anchor).values
            n = of["n_trials"].sel(model=anchor).values
            seen = np.isfinite(rate)
            inside, outside = weight * seen, (1 - weight) * seen
            if inside.sum() < 1 or outside.sum() < 1:
                continue
            rate = np.where(seen, rate, 0.0)
            trials = assumed_trials
            if np.isfinite(n[outside > 0]).all():
                trials = outside.sum() ** 2 / (outside[outside > 0] ** 2 @ (1 / n[outside > 0]))
            # Of an anchor that solves all of them, sums round to a hair above 1.
            means = (min(part @ rate / part.sum(), 1.0) for part in (inside, outside))
            table[:, b, j] = *means, trials
    dims = ("benchmark", "anchor")
    return xr.Dataset(
        {n: (dims, t) for n, t in zip(("subset", "rest", "n_rest"), table, strict=True)},
        {"benchmark": list(member), "anchor": np.array(names, dtype=str)},
    )
