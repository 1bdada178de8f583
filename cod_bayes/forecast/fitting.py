"""From evidence to a posterior.

`fit` clusters every benchmark, samples the model over all of them at once, and checks the result.
Where a benchmark has clusters it does so once more with every benchmark as one curve.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from cod_bayes.evidence.files import TableSource
from cod_bayes.evidence.record import Evidence, EvidenceWarning, read_table
from cod_bayes.forecast.anchors import anchor_doubts
from cod_bayes.forecast.groups import (
    add_items,
    checkpoints_of_ladder,
    constant_data,
    observed_data,
)
from cod_bayes.forecast.posterior import FORMAT, WHOLE, Fit
from cod_bayes.forecast.size import law_group
from cod_bayes.forecast.storage import rounded
from cod_bayes.model.ladder import LadderData, ladder_data
from cod_bayes.model.spec import Spec, load_spec

if TYPE_CHECKING:
    import pymc as pm

    from cod_bayes.clustering.clusters import Clusters

Builder = Callable[[LadderData], "pm.Model"]
_AT_ONCE = 2  # benchmarks clustered side by side


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


def fit(
    evidence: Evidence | pd.DataFrame | str | Path,
    model: str | Path | Builder = "cod",
    *,
    engine: str | None = None,
    random_seed: int = 0,
    draws: int = 800,
    tune: int = 100,
    chains: int = 4,
    progressbar: bool = True,
    clusterer: object | None = None,
    preview: bool = False,
    clusters: TableSource | None = None,
) -> Fit:
    """Cluster, sample and check.

    Samples the clusters' posterior and, where any benchmark has clusters, that of whole benchmarks.
    One that fails a check gets more draws, at most four times `draws` with the fast engine and
    twice with the others; what then still fails is warned of by name and stays in the verdicts.

    Args:
        evidence: or what `read_table` takes.
        model: a shipped model's name, the path of a TOML file, or a function from the prepared
            ladder (`LadderData`) to a `pm.Model`, see `cod_bayes.build_model`. The function's model
            must have the variables that forecasts need (`models/schema.md`).
        engine: "fast", "pymc" or "jax" (`cod_bayes.sampling.engines`). None: "fast" for a named
            model, "pymc" for a function.
        draws, tune, chains: of one run; see above.
        clusterer: any scikit-learn clusterer in place of the default route.
        preview: the posterior of whole benchmarks alone. The same model and the same checks in a
            third of the time; there are no clusters to look at.
        clusters: the items' clusters where they are known from another ladder, a table as
            `label_items` makes it. Benchmarks that it does not know take the default route.

    Raises:
        EvidenceError, SpecError, ModelError: before anything is sampled.
        Interrupted: an interrupt that came late enough for draws to be kept.
    """
    # What only a fit needs takes seconds to import; decisions on a saved posterior do without.
    from threadpoolctl import threadpool_limits

    from cod_bayes.sampling.engines import check_engine

    builder = model if callable(model) else None
    spec = load_spec("cod" if callable(model) else model)
    engine = engine or ("fast" if builder is None else "pymc")
    check_engine(engine, spec, builder is not None)
    if not isinstance(evidence, Evidence):
        evidence = read_table(evidence)
    groups, whole = clustered(evidence, random_seed, clusterer, preview, clusters)
    sampled = partial(
        _sampled,
        spec,
        builder,
        engine,
        evidence,
        random_seed=random_seed,
        draws=draws,
        tune=tune,
        chains=chains,
        progressbar=progressbar,
    )
    # Several threads would round sums differently, and the draws would depend on their number.
    with threadpool_limits(1, user_api="blas"):
        tree, interrupted = sampled(groups)
        several = [name for name, of in groups.items() if len(of.kind) > 1]
        if not interrupted and several:
            tree.attrs["forecast_of"] = "mean of two posteriors: this one and that of group 'whole'"
            try:
                tree["whole"], interrupted = sampled(whole, with_clusters=several)
            except KeyboardInterrupt:
                failed = json.loads(tree.attrs["failed_checks"])
                tree.attrs["failed_checks"] = json.dumps([f"interrupted before {WHOLE}", *failed])
                interrupted = True
    fitted = Fit(tree, groups)
    if fitted.failed_checks and not interrupted:
        warnings.warn(
            f"the posterior is not to be trusted yet: {', '.join(fitted.failed_checks)}; "
            "give more draws and tune, fewer benchmarks at once, or more ladder models",
            ConvergenceWarning,
            stacklevel=2,
        )
    if interrupted:
        raise Interrupted(fitted)
    for sentence in anchor_doubts(fitted):
        warnings.warn(sentence, EvidenceWarning, stacklevel=2)
    return fitted


def build_model(
    evidence: Evidence | pd.DataFrame | str | Path | LadderData,
    model: str | Path = "cod",
    *,
    random_seed: int = 0,
    **parts: Any,
) -> pm.Model:
    """The PyMC model of an evidence: `cod_bayes.model.statement.build` of its clusters.

    Args:
        evidence: or what `read_table` takes; or a prepared ladder, as a function given to `fit`
            gets it.
        model: a shipped model's name, or the path of a TOML file.
        random_seed: of the clustering, as of `fit`.
        parts: `curves`, `likelihood` and `compute` of `build`, in place of the shipped ones.
    """
    from cod_bayes.model.statement import build

    spec = load_spec(model)
    if not isinstance(evidence, LadderData):
        if not isinstance(evidence, Evidence):
            evidence = read_table(evidence)
        clusters, _ = clustered(evidence, random_seed)
        evidence = ladder_data(evidence, clusters, spec.constants)
    return build(evidence, spec, **parts)


def clustered(
    evidence: Evidence,
    random_seed: int,
    clusterer: object | None = None,
    preview: bool = False,
    given: TableSource | None = None,
) -> tuple[dict[str, Clusters], dict[str, Clusters]]:
    """Each benchmark's clusters, and each benchmark as one cluster; preview: the second twice.

    given: a table of the items' clusters.
    """
    from threadpoolctl import threadpool_limits

    from cod_bayes.clustering.clusters import cluster
    from cod_bayes.clustering.labels import by_labels, given_labels

    labels = {} if given is None else given_labels(given, evidence)

    rng = np.random.default_rng(random_seed)
    seeds = rng.spawn(len(evidence.benchmarks))

    def of_one(name: str, seed: np.random.Generator) -> Clusters:
        benchmark = evidence.benchmarks[name]
        if name in labels:
            return by_labels(benchmark, labels[name])
        return cluster(benchmark, seed, clusterer, checkpoints=evidence.checkpoints.get(name))

    with threadpool_limits(1, user_api="blas"):
        # First, because it copies all cells, and clusters of a million items are large.
        whole = {name: cluster(of, rng, whole=True) for name, of in evidence.benchmarks.items()}
        # One benchmark's climb is compiled code in threads of its own; meanwhile the next is
        # prepared. A user's clusterer is one object, which two threads must not fit at once.
        at_once = 1 if clusterer is not None or len(seeds) == 1 else _AT_ONCE
        clusters = whole
        if not preview:
            with ThreadPoolExecutor(at_once) as pool:
                run = map if at_once == 1 else pool.map
                results = run(of_one, evidence.benchmarks, seeds)
                import_module("cod_bayes.sampling.nuts")  # takes seconds, while threads work
                clusters = dict(zip(evidence.benchmarks, results, strict=True))
        import_module("cod_bayes.sampling.nuts")  # loads another BLAS, before it is limited again
    return clusters, whole


def _sampled(
    spec: Spec,
    builder: Builder | None,
    engine: str,
    evidence: Evidence,
    clusters: dict[str, Clusters],
    *,
    random_seed: int,
    with_clusters: Collection[str] = (),
    **options: Any,
) -> tuple[xr.DataTree, bool]:
    """A posterior with all groups and attributes of a fit, and whether it was interrupted.

    with_clusters: of the second posterior, of whole benchmarks: those that have several clusters in
    the first one. The second has no items and anchors, and its chains have another seed. The
    attribute random_seed is the fit's, because it seeds the target's shocks of both.
    """
    from cod_bayes.sampling.engines import require_forecastable, sample_fast, sample_stated

    ladder = ladder_data(evidence, clusters, spec.constants, clustered=with_clusters)
    seed = random_seed
    if with_clusters:
        seed = int(np.random.SeedSequence([random_seed, 0, 1]).generate_state(1)[0])
    if options["progressbar"] and sys.stderr.isatty():
        what = (
            WHOLE if with_clusters or len(ladder.cluster) == len(ladder.benchmark) else "clusters"
        )
        print(f"sampling the curves of {len(ladder.cluster)} {what}", file=sys.stderr)
    if engine == "fast":
        tree, failed, interrupted = sample_fast(spec, ladder, random_seed=seed, **options)
    else:
        from cod_bayes.model.statement import build

        model = build(ladder, spec) if builder is None else builder(ladder)
        require_forecastable(model)
        tree, failed, interrupted = sample_stated(model, engine, random_seed=seed, **options)
    tree.attrs = {
        "format": FORMAT,
        "version": metadata.version("cod-bayes"),
        "model": spec.name if builder is None else getattr(builder, "__name__", repr(builder)),
        "built_by": "" if builder is None else getattr(builder, "__name__", repr(builder)),
        "engine": engine,
        "forecast_of": "this posterior",
        "spec": spec.to_json(),
        "evidence_digest": evidence.digest,
        "random_seed": random_seed,
        "failed_checks": json.dumps(failed),
    }
    trials = spec.constants["assumed_trials"]
    tree["observed_data"] = xr.DataTree(observed_data(ladder))
    tree["constant_data"] = xr.DataTree(constant_data(evidence, clusters, ladder, trials))
    tree["posterior"] = xr.DataTree(rounded(tree))  # as a file keeps it: it forecasts identically
    if not with_clusters:
        add_items(tree, evidence, clusters, ladder, trials)
        if (law := law_group(evidence)) is not None:
            tree["loss_law"] = xr.DataTree(law)
        if (steps := checkpoints_of_ladder(evidence, trials)) is not None:
            tree["checkpoints"] = xr.DataTree(steps)
    return tree, interrupted
