"""Evidence: the result of every model on every item, checked once, before anything is fitted.

For model j, item i, the evidence is a pass rate and the number of trials behind it,

    rate[i, j] = n_correct[i, j] / n_trials[i, j]      in [0, 1]
    C[j]       = training compute                      FLOPs; 6 * params * tokens where not given

It is read from a tidy table, one row per model and item:

    required   benchmark, model
               compute             or params and tokens (C = 6 N D is then assumed, aloud)
               n_correct, n_trials and/or score (a rate; percent are divided by 100, aloud)
    optional   item, family, subset, role, chance, loss, params, tokens, step, stderr

or from a wide one, a row per model and a column per benchmark (`cod_bayes.evidence.wide`). Without
items, a row is the score of a benchmark. Numbers may be written as in `cod_bayes.evidence.amounts`.

Item names are unique within a benchmark only. Where a row has both counts and a score, the counts
win. A score with a standard error and no count has n = p (1 - p) / stderr^2 trials; scores of 0 and
1 only, of several items, are single answers; behind other scores the model assumes its trials. A
row without a result is a missing cell. Partial credit is a rate without trial count (n_trials NaN):

    an n_correct that is not whole     makes all results of that item partial credit
    a score * n_trials that is not     makes all such scores of that benchmark partial credit,
                                       and so does an n_correct there; otherwise they are counts

Several rows of one model and item with different `step` are checkpoints: the last step is the
model, and the earlier ones are kept apart (`cod_bayes.evidence.checkpoints`).

Roles: "ladder" models are fitted (the default), an "anchor" shows only how the predictable subset
relates to the whole benchmark (COD section 4.4) and needs no compute, a "target" is the model to
forecast. Results of a target in the table score the forecast; they never enter it.

Items that more than two thirds of the ladder models lack are dropped, and so are items whose
chance level is 1. A model that lacks others is scored on all items by how hard the other models
find them (`cod_bayes.evidence.missing`). Where models give an item different chance levels, their
median is taken. `Evidence.notes` says what was assumed or repaired. What can change a forecast is
an `EvidenceWarning` too. What cannot be repaired is an `EvidenceError` that names the rows.
"""

import hashlib
import json
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import xarray as xr

from cod_bayes.evidence.arrays import choose_models, datasets_of, models_of, table_of
from cod_bayes.evidence.checkpoints import (
    checkpoints_of,
    last_steps,
    table_of_checkpoints,
    with_last_steps,
)
from cod_bayes.evidence.checks import drop_items, examine, on_ladder
from cod_bayes.evidence.columns import MODEL_NUMBERS, ROLES
from cod_bayes.evidence.files import TableSource
from cod_bayes.evidence.loss_law import LossLaw
from cod_bayes.evidence.results import with_results
from cod_bayes.evidence.rows import rows_of
from cod_bayes.evidence.wide import read_tidy
from cod_bayes.evidence.words import (
    EvidenceError,
    EvidenceWarning,
    Findings,
    count,
    has_control,
    matching,
    shorten,
)

__all__ = [
    "ROLES",
    "Evidence",
    "EvidenceError",
    "EvidenceWarning",
    "has_control",
    "ladder_of",
    "read_table",
]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Item-level results of a ladder of models, its anchors and its targets.

    models      index "model" in ascending compute; columns compute (FLOPs; NaN unknown, anchors
                only, which come last), role ("ladder" | "anchor" | "target"), family ("" unknown),
                and params, tokens, step where given (of the last step).
    benchmarks  name -> Dataset with dims (item, model); the models are those with any result on
                it, in ascending compute; items in alphabetical order. Variables
                    rate (item, model)      pass rate in [0, 1]; NaN = missing cell
                    n_trials (item, model)  trials; 0 = missing cell; NaN = rate without trials
                coords item, model, compute (model; FLOPs), role (model), chance (item; NaN
                unknown), subset (item; "" none), loss (model; NaN unknown).
    notes       what was assumed or repaired, in sentences.
    law         the law by which compute is effective compute (`on_effective_compute`); None:
                compute is as it was read.
    checkpoints name -> Dataset of the benchmarks that have any, with dims (item, checkpoint): the
                same items; models in their order, each one's steps ascending. Variables rate and
                n_trials as above; coords item and, of each checkpoint, model, step, and training
                (share of the model's training that is done, in (0, 1)).
    """

    models: pd.DataFrame
    benchmarks: dict[str, xr.Dataset]
    notes: tuple[str, ...] = ()
    law: LossLaw | None = None
    checkpoints: dict[str, xr.Dataset] = field(default_factory=dict)

    @property
    def ladder(self) -> tuple[str, ...]:
        """Names of the ladder models in ascending compute."""
        return tuple(self.models.index[self.models["role"] == "ladder"])

    def select(
        self,
        benchmarks: Sequence[str] | None = None,
        models: Sequence[str] | None = None,
        *,
        subsets: Sequence[str] | None = None,
        shared: bool = False,
    ) -> "Evidence":
        """The same evidence on some benchmarks, models and subsets only (names or glob patterns).

        With `shared`, only the items that every kept model of the benchmark has. Items and models
        without any result left go too. Raises EvidenceError for a pattern that matches nothing,
        for models that share no item, and when nothing is left.
        """
        chosen = self.benchmarks
        if benchmarks is not None:
            chosen = {n: chosen[n] for n in matching(benchmarks, list(chosen), "benchmark")}
        # Before the models, so that a model without results on these benchmarks is an error.
        for what, dim, patterns in (("subset", "item", subsets), ("model", "model", models)):
            if patterns is not None:
                names = set().union(*(data[what].values.tolist() for data in chosen.values()))
                kept = matching(patterns, sorted(names), what)
                chosen = {
                    name: data.isel({dim: np.isin(data[what].values, kept)})
                    for name, data in chosen.items()
                }
        remaining = {}
        for name, data in chosen.items():
            present = data["rate"].notnull().values
            columns = present.any(axis=0)
            present = present[:, columns]
            rows = present.all(axis=1) if shared else present.any(axis=1)
            if rows.any() and columns.any():
                remaining[name] = data.isel(item=rows, model=columns)
            elif columns.any():
                raise EvidenceError(
                    f"no item of benchmark {shorten(name)!r} has results from all of its "
                    f"{count(columns, 'model')}: choose fewer models"
                )
        if not remaining:
            raise EvidenceError("nothing selected: expected at least one benchmark and one model")
        earlier = {}
        for name, data in self.checkpoints.items():
            if name in remaining:
                data = data.sel(item=remaining[name]["item"].values)
                data = data.isel(checkpoint=np.isin(data["model"], remaining[name]["model"]))
                if data.sizes["checkpoint"]:
                    earlier[name] = data
        models = _with_any_result(self.models, remaining)
        return replace(self, models=models, benchmarks=remaining, checkpoints=earlier)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the evidence; the order of rows, items and models does not matter."""
        digest = hashlib.sha256()

        def text(values: Iterable[object]) -> None:
            digest.update(json.dumps([str(v) for v in values]).encode() + b"\n")

        def numbers(values: np.ndarray) -> None:
            values = np.where(np.isnan(values), np.nan, values + 0.0)  # one NaN, one zero
            digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())

        models = self.models.sort_index()
        text(models.index)
        text(models["role"])
        text(models["family"])
        for column in ("compute", *MODEL_NUMBERS):
            if column in models:
                text([column])
                numbers(models[column].to_numpy(dtype=float))
        for name in sorted(self.benchmarks):
            data = self.benchmarks[name]
            i, j = np.argsort(data["item"].values), np.argsort(data["model"].values)
            text([name])
            text(data["item"].values[i])
            text(data["subset"].values[i])
            text(data["model"].values[j])
            numbers(data["chance"].values[i])
            numbers(data["loss"].values[j])
            for variable in ("rate", "n_trials"):
                numbers(data[variable].transpose("item", "model").values[np.ix_(i, j)])
        for name in sorted(self.checkpoints):
            data = self.checkpoints[name]
            i, j = np.argsort(data["item"].values), np.lexsort((data["step"], data["model"]))
            text(["checkpoints", name])
            text(data["model"].values[j])
            for variable in ("step", "training"):
                numbers(data[variable].values[j])
            for variable in ("rate", "n_trials"):
                numbers(data[variable].transpose("item", "checkpoint").values[np.ix_(i, j)])
        return digest.hexdigest()

    def to_table(self) -> pd.DataFrame:
        """The tidy table, one row per model and item with a result, then those of checkpoints;
        `read_table` reads it back."""
        tables = []
        for name, data in self.benchmarks.items():
            table, model = table_of(name, data.transpose("item", "model"))
            tables.append(table.assign(loss=data["loss"].values[model]))
        whole = pd.concat(tables, ignore_index=True).join(self.models, on="model")
        earlier = [
            table_of_checkpoints(name, data.transpose("item", "checkpoint"), self.models)
            for name, data in self.checkpoints.items()
        ]
        return pd.concat([whole, *earlier], ignore_index=True) if earlier else whole


def read_table(
    source: TableSource,
    *,
    benchmarks: Sequence[str] | None = None,
    families: Sequence[str] | None = None,
    ladder: Sequence[str] | None = None,
    hold_out: Sequence[str] = (),
    anchors: Sequence[str] = (),
) -> Evidence:
    """Read a table (columns: see the module) into checked evidence.

    source      a file whose suffix is .parquet, .csv, .tsv or .jsonl, a folder of such files, or a
                data frame of pandas, Polars, PyArrow or another library that narwhals knows
    benchmarks  keep these benchmarks
    families    keep the models of these families, whatever their role
    hold_out    models that become targets
    ladder      keep these ladder models; anchors and targets stay
    anchors     models that become anchors; with `ladder`, of those that it leaves out
    Each is a list of names or glob patterns (`*`, `?`, `[..]`), applied in this order; rows that
    they leave out are not checked further.

    Raises EvidenceError (naming the rows) for what cannot be used, FileNotFoundError for a missing
    file; warns with EvidenceWarning, once per finding. Memory is a few times the dense
    (item, model) arrays; there is no Python loop over rows.
    """
    findings = Findings()
    with np.errstate(all="ignore"):  # absurd numbers are for the checks to judge
        table = read_tidy(source, findings)
        rows = rows_of(table)
        del table  # the rows hold what is needed of it
        if benchmarks is not None:
            rows = rows.keep_names("benchmark", benchmarks)
        rows, roles = choose_models(rows, families, ladder, hold_out, anchors, findings)
        rows, earlier = last_steps(with_results(with_last_steps(rows), findings))
        models = models_of(rows, roles, findings)
        # The columns of models are not needed any more, and large tables need the memory.
        model_columns = ["compute", *MODEL_NUMBERS]
        rows = replace(rows, table=rows.table.drop(columns=model_columns, errors="ignore"))
        datasets = drop_items(datasets_of(rows, models, findings), findings)
        models = _with_any_result(models, datasets)
        examine(models, datasets, findings)
        checkpoints = {} if earlier is None else checkpoints_of(earlier, models, datasets)
    for sentence in findings.warnings:
        warnings.warn(sentence, EvidenceWarning, stacklevel=2)
    return Evidence(models, datasets, tuple(findings.notes), checkpoints=checkpoints)


def ladder_of(benchmark: xr.Dataset) -> xr.Dataset:
    """A benchmark of `Evidence.benchmarks` with its ladder models only, a copy."""
    return benchmark.isel(model=np.flatnonzero(on_ladder(benchmark)))


def _with_any_result(models: pd.DataFrame, datasets: dict[str, xr.Dataset]) -> pd.DataFrame:
    """The models with a result on any of the benchmarks."""
    names = set().union(*(data["model"].values.tolist() for data in datasets.values()))
    return models.loc[models.index.isin(names)]
