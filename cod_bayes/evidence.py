"""Evidence: what every model answered on every item, checked once, before anything is fitted.

For model j, item i, the evidence is a pass rate and the number of trials behind it,

    rate[i, j] = n_correct[i, j] / n_trials[i, j]      in [0, 1]
    C[j]       = training compute                      FLOPs; 6 * params * tokens where not given

It is read from a tidy table, one row per model and item:

    required   benchmark, item, model
               compute             or params and tokens (C = 6 N D is then assumed, aloud)
               n_correct, n_trials and/or score (a rate in [0, 1])
    optional   family, subset, role, chance, loss, params, tokens, step

Item names are unique within a benchmark only. Where a row has both counts and a score, the counts
win. A score with `n_trials` is turned back into counts when every such row of the benchmark gives
whole counts; otherwise it is partial credit: a rate without trial count (n_trials NaN), like a
score without `n_trials`. A row with neither is a missing cell.

Roles: "ladder" models are fitted (the default), an "anchor" shows only how the predictable subset
relates to the whole benchmark (COD section 4.4), a "target" is the model to forecast; its results,
where the table has them, serve to score the forecast and never to make it.

Items that more than half of a benchmark's ladder models lack are dropped. Whatever is assumed or
repaired is said in `Evidence.notes`, and as an `EvidenceWarning` when it can change a forecast;
what cannot be repaired is an `EvidenceError` that names the rows.

This module imports nothing from the rest of the package.
"""

import difflib
import hashlib
import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

__all__ = ["ROLES", "Evidence", "EvidenceError", "EvidenceWarning", "read_table"]

ROLES = ("ladder", "anchor", "target")

_KEYS = ("benchmark", "item", "model")
_TEXT = (*_KEYS, "family", "subset", "role")
_MODEL_NUMBERS = ("params", "tokens", "step")
_RESULTS = ("n_correct", "n_trials", "score")
_NUMBERS = ("compute", *_MODEL_NUMBERS, *_RESULTS, "chance", "loss")
_KNOWN = (*_TEXT, *_NUMBERS)

# Names that other tools give to these columns, in lower case.
_NEAR_MISSES = {
    "benchmark": "task dataset bench eval evaluation task_name benchmarks",
    "item": "question question_id doc_id doc_hash problem problem_id item_id instance_id "
    "sample_id task_id id items",
    "model": "model_name model_id checkpoint llm models",
    "compute": "flops flop training_compute train_compute train_flops training_flops "
    "compute_flops c",
    "params": "parameters n_params num_params parameter_count n_parameters",
    "tokens": "n_tokens num_tokens training_tokens train_tokens",
    "n_correct": "k correct num_correct n_passed successes is_correct acc accuracy",
    "n_trials": "n trials num_trials n_samples num_samples attempts epochs",
    "score": "acc accuracy correct is_correct acc_norm rate pass_rate pass@1 exact_match "
    "mean scores",
    "family": "model_family families",
    "subset": "subtask category subject split",
    "chance": "chance_level random_baseline guess",
    "loss": "val_loss validation_loss",
    "role": "roles",
}

_NA = ["", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None"]


class EvidenceError(ValueError):
    """A table that cannot be turned into evidence: what was expected, what was got, what to do."""


class EvidenceWarning(UserWarning):
    """Something assumed, repaired or doubtful that can change a forecast."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Item-level results of a ladder of models, its anchors and its targets.

    models      index "model" in ascending compute; columns compute (FLOPs), role ("ladder" |
                "anchor" | "target"), family ("" unknown), and params, tokens, step where given.
    benchmarks  name -> Dataset with dims (item, model); the models are those with any result on
                it, in ascending compute; items in alphabetical order. Variables
                    rate (item, model)      pass rate in [0, 1]; NaN = missing cell
                    n_trials (item, model)  trials; 0 = missing cell; NaN = rate without trials
                coords item, model, compute (model; FLOPs), role (model), chance (item; NaN
                unknown), subset (item; "" none), loss (model; NaN unknown).
    notes       what was assumed or repaired, in sentences.
    """

    models: pd.DataFrame
    benchmarks: dict[str, xr.Dataset]
    notes: tuple[str, ...] = ()

    @property
    def ladder(self) -> tuple[str, ...]:
        """Names of the ladder models in ascending compute."""
        return tuple(self.models.index[self.models["role"] == "ladder"])

    def select(
        self,
        benchmarks: Sequence[str] | None = None,
        models: Sequence[str] | None = None,
    ) -> "Evidence":
        """The same evidence on some benchmarks and models only (names or glob patterns).

        Items and models without any result left go too. Raises EvidenceError for a pattern that
        matches nothing, and when nothing is left.
        """
        names = list(self.benchmarks)
        kept = names if benchmarks is None else _matches(benchmarks, names, "benchmark")
        # Before the models, so that a model without results on these benchmarks is an error.
        present = set().union(*(set(self.benchmarks[name]["model"].values) for name in kept))
        known = [model for model in self.models.index if model in present]
        wanted = known if models is None else _matches(models, known, "model")
        parts = {}
        for name in kept:
            data = self.benchmarks[name]
            data = data.isel(model=np.flatnonzero(np.isin(data["model"].values, wanted)))
            seen = data["rate"].notnull().values
            if seen.any():
                parts[name] = data.isel(
                    item=np.flatnonzero(seen.any(1)), model=np.flatnonzero(seen.any(0))
                )
        if not parts:
            raise EvidenceError("nothing selected: expected at least one benchmark and one model")
        left = set().union(*(set(data["model"].values) for data in parts.values()))
        return Evidence(self.models.loc[[m in left for m in self.models.index]], parts, self.notes)

    def with_target(self, model: str) -> "Evidence":
        """The same evidence with the role of `model` (a name) set to "target"."""
        if model not in self.models.index:
            raise EvidenceError(_nothing("model", model, list(self.models.index)))
        roles = self.models["role"].where(self.models.index != model, "target")
        parts = {
            name: data.assign_coords(
                role=("model", np.array([roles[m] for m in data["model"].values], dtype=str))
            )
            for name, data in self.benchmarks.items()
        }
        return replace(self, models=self.models.assign(role=roles), benchmarks=parts)

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
        for column in ("compute", *_MODEL_NUMBERS):
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
        return digest.hexdigest()

    def to_table(self) -> pd.DataFrame:
        """The tidy table, one row per model and item with a result; `read_table` reads it back."""
        parts = []
        for name, data in self.benchmarks.items():
            rate, trials = (
                data[variable].transpose("item", "model").values
                for variable in ("rate", "n_trials")
            )
            i, j = np.nonzero(~np.isnan(rate))
            parts.append(
                pd.DataFrame(
                    {
                        "benchmark": name,
                        "subset": data["subset"].values[i],
                        "item": data["item"].values[i],
                        "model": data["model"].values[j],
                        "n_correct": np.rint(rate[i, j] * trials[i, j]),
                        "n_trials": trials[i, j],
                        "score": rate[i, j],
                        "chance": data["chance"].values[i],
                        "loss": data["loss"].values[j],
                    }
                )
            )
        return pd.concat(parts, ignore_index=True).join(self.models, on="model")


def read_table(
    source: str | Path | pd.DataFrame,
    *,
    benchmarks: Sequence[str] | None = None,
    families: Sequence[str] | None = None,
    ladder: Sequence[str] | None = None,
    hold_out: Sequence[str] = (),
) -> Evidence:
    """Read a tidy table (columns: see the module) into checked evidence.

    source      a DataFrame, or a file whose suffix is .parquet, .csv, .tsv or .jsonl
    benchmarks  keep these benchmarks
    families    keep the models of these families, whatever their role
    hold_out    models that become targets
    ladder      keep these ladder models; anchors and targets stay
    Each is a list of names or glob patterns (`*`, `?`, `[..]`), applied in this order; rows that
    they leave out are not checked further.

    Raises EvidenceError (naming the rows) for what cannot be used, FileNotFoundError for a missing
    file; warns with EvidenceWarning, once per finding. Memory is a few times the dense
    (item, model) arrays; there is no Python loop over rows.
    """
    say = _Findings()
    rows = _rows(_load(source, say))
    if benchmarks is not None:
        rows = rows.keep_names(
            "benchmark", _chosen(benchmarks, rows.names["benchmark"], "benchmark")
        )
    rows, roles, family = _cast(rows, families, ladder, hold_out, say)

    rate, trials = _results(rows, say)
    rows = replace(rows, table=rows.table.drop(columns=list(_RESULTS), errors="ignore"))
    seen = ~np.isnan(rate)
    if not seen.any():
        raise EvidenceError("no row has a result: expected n_correct and n_trials, or score")
    if not seen.all():
        say.note(f"{_count(~seen, 'row')} without a result taken as missing.")
        rows, rate, trials = rows.keep(seen), rate[seen], trials[seen]
    _refuse_duplicates(rows)

    models = _models(rows, roles, family, say)
    parts = _dense(rows, rate, trials, models)
    parts = _drop_sparse_items(parts, say)
    left = set().union(*(set(data["model"].values) for data in parts.values()))
    models = models.loc[[m in left for m in models.index]]
    _examine(models, parts, say)
    for text in say.warned:
        warnings.warn(text, EvidenceWarning, stacklevel=2)
    return Evidence(models, parts, tuple(say.notes))


# ---------------------------------------------------------------------------------------------
# Sentences


@dataclass(frozen=True)
class _Findings:
    notes: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.notes.append(text)
        self.warned.append(text)


def _count(number: object, noun: str) -> str:
    total = int(np.sum(np.asarray(number)))
    return f"{total:,} {noun}{'' if total == 1 else 's'}"


def _some(names: Iterable[object], limit: int = 3) -> str:
    texts = [str(name) for name in names]
    more = f", ... ({len(texts):,} in all)" if len(texts) > limit else ""
    return ", ".join(texts[:limit]) + more


def _nothing(what: str, pattern: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(pattern, names, n=3, cutoff=0.5)
    return f"no {what} matches {pattern!r}; " + (
        f"close names: {_some(close)}" if close else f"there are: {_some(names, 5) or 'none'}"
    )


def _chosen(patterns: Sequence[str], names: Sequence[str] | np.ndarray, what: str) -> np.ndarray:
    """Which names any of the patterns match (names,), bool; every pattern must match some."""
    hit = np.zeros(len(names), dtype=bool)
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        one = np.array([n == pattern or fnmatchcase(n, pattern) for n in names], dtype=bool)
        if not one.any():
            raise EvidenceError(_nothing(what, pattern, list(names)))
        hit |= one
    return hit


def _matches(patterns: Sequence[str], names: Sequence[str], what: str) -> list[str]:
    return [n for n, hit in zip(names, _chosen(patterns, names, what), strict=True) if hit]


# ---------------------------------------------------------------------------------------------
# The table: columns and rows


def _load(source: str | Path | pd.DataFrame, say: _Findings) -> pd.DataFrame:
    """The known columns of the table; text columns may be categorical."""
    if isinstance(source, pd.DataFrame):
        columns = list(source.columns)
        _check_columns(columns, say)
        return source[[c for c in columns if c in _KNOWN]]
    path = Path(source).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"no such table: {path}")
    suffix = path.suffix.lower()
    if suffix not in (".parquet", ".csv", ".tsv", ".jsonl"):
        raise EvidenceError(f"{path}: expected a .parquet, .csv, .tsv or .jsonl file")
    try:
        if suffix == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            schema = pq.read_schema(path)
            _check_columns(schema.names, say)
            known = [c for c in schema.names if c in _KNOWN]
            strings = (pa.string(), pa.large_string())
            return pq.read_table(
                path,
                columns=known,
                read_dictionary=[c for c in known if schema.field(c).type in strings],
            ).to_pandas(ignore_metadata=True, split_blocks=True, self_destruct=True)
        if suffix == ".jsonl":
            table = pd.read_json(path, lines=True, dtype=False)
            return _load(table, say)
        separator = "\t" if suffix == ".tsv" else ","
        columns = list(pd.read_csv(path, sep=separator, nrows=0, encoding="utf-8-sig").columns)
        _check_columns(columns, say)
        known = [c for c in columns if c in _KNOWN]
        return pd.read_csv(
            path,
            sep=separator,
            usecols=known,
            encoding="utf-8-sig",
            # Names stay as written: "007" is not 7, and an item may be called "null".
            dtype={c: "category" for c in known if c in _TEXT},
            na_values={c: _NA for c in known if c in _NUMBERS},
            keep_default_na=False,
            low_memory=False,
        )
    except EvidenceError:
        raise
    except ValueError as error:
        raise EvidenceError(f"cannot read {path}: {error}") from error


def _check_columns(columns: Sequence[object], say: _Findings) -> None:
    names = [str(c) for c in columns]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise EvidenceError(f"column {_some(twice)} appears twice: keep one of each name")
    has = set(names)
    ignored = [n for n in names if n not in _KNOWN]

    def looks_like(name: str) -> list[str]:
        plain = name.strip().lower().replace(" ", "_").replace("-", "_")
        return [k for k in _KNOWN if plain == k or plain in _NEAR_MISSES.get(k, "").split()]

    def missing(what: str, wanted: set[str]) -> EvidenceError:
        hints = []
        for name in ignored:
            like = [repr(k) for k in looks_like(name) if k in wanted]
            if like:
                hints.append(f"column {name!r} looks like {' or '.join(like)}: rename it")
        hint = "; ".join(hints) or "the columns are " + (_some(names, 20) or "none at all")
        return EvidenceError(f"the table has no {what}; {hint}")

    for key in _KEYS:
        if key not in has:
            raise missing(f"column {key!r}", {key})
    if "compute" not in has and not {"params", "tokens"} <= has:
        raise missing(
            "column 'compute' (training FLOPs; or 'params' and 'tokens')",
            {"compute", "params", "tokens"} - has,
        )
    if "n_correct" in has and "n_trials" not in has:
        raise EvidenceError(
            "the table has n_correct but no n_trials; add n_trials (1 for one greedy answer)"
            + "".join(
                f"; column {n!r} looks like 'n_trials': rename it"
                for n in ignored
                if "n_trials" in looks_like(n)
            )
        )
    if "score" not in has and "n_correct" not in has:
        raise missing(
            "results: expected columns 'n_correct' and 'n_trials', or 'score'",
            {"n_correct", "n_trials", "score"} - has,
        )
    if ignored:
        asides = [f"{n} (like {' or '.join(k)}?)" if (k := looks_like(n)) else n for n in ignored]
        say.note(f"Columns not used: {_some(asides, 20)}.")


@dataclass(frozen=True)
class _Rows:
    """The table with its keys as codes (row,) into sorted arrays of names."""

    table: pd.DataFrame
    codes: dict[str, np.ndarray]
    names: dict[str, np.ndarray]

    def keep(self, mask: np.ndarray) -> "_Rows":
        if mask.all():
            return self
        codes, names = {}, {}
        for key in _KEYS:
            codes[key], names[key] = _compact(self.codes[key][mask], self.names[key])
        return _Rows(self.table[mask], codes, names)

    def keep_names(self, key: str, chosen: np.ndarray) -> "_Rows":
        if not chosen.any():
            raise EvidenceError(f"no {key} is left")
        return self.keep(chosen[self.codes[key]])

    def show(self, mask: np.ndarray, values: Sequence[np.ndarray] = ()) -> str:
        """The first few rows of the mask as benchmark/item/model (values), and their number."""
        where = np.flatnonzero(mask)
        shown = []
        for row in where[:3]:
            keys = (self.codes[k][row] for k in _KEYS)
            name = "/".join(
                "NaN" if c < 0 else str(self.names[k][c]) for k, c in zip(_KEYS, keys, strict=True)
            )
            value = " of ".join(
                f"{v[row]:g}" if isinstance(v[row], float | np.floating) else repr(v[row])
                for v in values
            )
            shown.append(f"{name} ({value})" if value else name)
        tail = ", ..." if len(where) > 3 else ""
        return f"{_count(len(where), 'row')}: {', '.join(shown)}{tail}"

    def number(self, column: str) -> np.ndarray:
        """A numeric column as float64 (row,), NaN where absent or missing."""
        if column not in self.table:
            return np.broadcast_to(np.nan, len(self.table))  # takes no memory
        raw = self.table[column]
        if isinstance(raw.dtype, pd.CategoricalDtype):
            raw = raw.astype(object)
        if pd.api.types.is_numeric_dtype(raw) or pd.api.types.is_bool_dtype(raw):
            values = raw.to_numpy(dtype=float, na_value=np.nan)
        elif pd.api.types.is_object_dtype(raw) or pd.api.types.is_string_dtype(raw):
            values = pd.to_numeric(raw, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        else:
            values = np.full(len(raw), np.nan)
        odd = np.isnan(values)
        if odd.any() and (odd := odd & raw.notna().to_numpy(dtype=bool)).any():
            raise EvidenceError(
                f"{column} must be a number, got {self.show(odd, [raw.to_numpy(dtype=object)])}"
            )
        if np.isinf(values).any():
            raise EvidenceError(f"{column} is infinite in {self.show(np.isinf(values))}")
        return values

    def text(self, column: str) -> tuple[np.ndarray, np.ndarray]:
        """A text column as codes (row,), -1 where absent, missing or "", and their names."""
        if column not in self.table:
            return np.broadcast_to(np.int32(-1), len(self.table)), np.array([], dtype=object)
        codes, names = _factor(self.table[column])
        if len(names) and names[0] == "":  # sorted: "" comes first
            codes, names = codes - 1, names[1:]
            codes = np.maximum(codes, -1)
        return codes, names


def _factor(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Codes (row,) into sorted distinct names str(value); -1 = NaN."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, values = column.cat.codes.to_numpy(), column.cat.categories
    else:
        codes, values = pd.factorize(column)
    # Distinct values may share a name (1 and "1").
    order, names = pd.factorize(
        np.array([str(v) for v in values.tolist()], dtype=object), sort=True
    )
    order = np.append(order, -1).astype(np.int32)  # code -1 reads the last entry
    return _compact(order[codes], np.asarray(names, dtype=object))


def _compact(codes: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leave out the names that no row uses."""
    used = np.zeros(len(names) + 1, dtype=bool)
    used[codes] = True
    used[-1] = False  # where code -1 (NaN) has landed
    if used[:-1].all():
        return codes, names
    remap = np.append(np.cumsum(used[:-1]) - 1, -1).astype(np.int32)
    return remap[codes], names[used[:-1]]


def _rows(table: pd.DataFrame) -> _Rows:
    if not len(table):
        raise EvidenceError("the table is empty: expected one row per model and item")
    codes, names = {}, {}
    for key in _KEYS:
        codes[key], names[key] = _factor(table[key])
    rows = _Rows(table.drop(columns=list(_KEYS)), codes, names)
    for key in _KEYS:
        if (lost := codes[key] < 0).any():
            raise EvidenceError(f"{key} is missing (NaN) in {rows.show(lost)}")
        if names[key][0] == "" and (lost := codes[key] == 0).any():
            raise EvidenceError(f"{key} is an empty string in {rows.show(lost)}")
    return rows


def _one_each(
    values: np.ndarray,
    group: np.ndarray,
    size: int,
    clash: Callable[[int, float, float], str],
    rtol: float = 1e-6,
) -> np.ndarray:
    """The one value of each group (size,), NaN where none is known; two values are an error."""
    known = ~np.isnan(values)
    low, high = np.full(size, np.inf), np.full(size, -np.inf)
    np.minimum.at(low, group[known], values[known])
    np.maximum.at(high, group[known], values[known])
    bad = np.flatnonzero((high > low) & ~np.isclose(high, low, rtol=rtol, atol=0.0))
    if bad.size:
        g = int(bad[0])
        more = f" (and {bad.size - 1:,} more like it)" if bad.size > 1 else ""
        raise EvidenceError(clash(g, float(low[g]), float(high[g])) + more)
    return np.where(np.isinf(low), np.nan, low)


def _one_text(
    codes: np.ndarray,
    names: np.ndarray,
    group: np.ndarray,
    size: int,
    clash: Callable[[int, str, str], str],
) -> np.ndarray:
    """The one text of each group (size,), "" where none is known; two texts are an error."""
    one = _one_each(
        np.where(codes < 0, np.nan, codes),
        group,
        size,
        lambda g, a, b: clash(g, names[int(a)], names[int(b)]),
        rtol=0.0,
    )
    return np.append(names, "")[np.where(np.isnan(one), -1, one).astype(int)]


# ---------------------------------------------------------------------------------------------
# From rows to arrays


def _cast(
    rows: _Rows,
    families: Sequence[str] | None,
    ladder: Sequence[str] | None,
    hold_out: Sequence[str],
    say: _Findings,
) -> tuple[_Rows, dict[str, str], dict[str, str]]:
    """Give every model its role and family, and leave out the models that are not asked for."""
    names, group = rows.names["model"], rows.codes["model"]

    def per_model(column: str, plural: str) -> np.ndarray:
        return _one_text(
            *rows.text(column),
            group,
            len(names),
            lambda g, a, b: f"model {names[g]!r} has two {plural}, {a!r} and {b!r}: give it one",
        )

    family, role = per_model("family", "families"), per_model("role", "roles")
    role = np.where(role == "", "ladder", role)
    if (odd := ~np.isin(role, ROLES)).any():
        raise EvidenceError(
            f"unknown role {role[odd][0]!r} of model {_some(names[odd])}: expected {_some(ROLES)}"
        )
    kept = np.ones(len(names), dtype=bool)
    if families is not None:
        of = _matches(families, sorted(set(family) - {""}), "family")
        kept = np.isin(family, of)
        lost = names[~kept & (role != "ladder")]
        if len(lost):
            say.warn(
                f"The choice of families leaves out {_some(lost)}, marked as anchor or target; "
                "choose their family too to keep them."
            )
    held = np.zeros(len(names), dtype=bool)
    held[kept] = _chosen(hold_out, names[kept], "model (to hold out)")
    role = np.where(held, "target", role)
    if ladder is not None:
        rungs = kept & (role == "ladder")
        on = np.zeros(len(names), dtype=bool)
        on[rungs] = _chosen(ladder, names[rungs], "ladder model")
        kept &= on | (role != "ladder")
    if (count := int((kept & (role == "ladder")).sum())) < 2:
        raise EvidenceError(
            f"expected at least 2 ladder models, got {count}; the models are "
            + _some((f"{n} ({r})" for n, r in zip(names[kept], role[kept], strict=True)), 6)
        )
    rows = rows.keep_names("model", kept)
    return (
        rows,
        dict(zip(names, role.tolist(), strict=True)),
        dict(zip(names, family.tolist(), strict=True)),
    )


def _results(rows: _Rows, say: _Findings) -> tuple[np.ndarray, np.ndarray]:
    """rate and n_trials (row,); rate NaN = no result, n_trials NaN = no trial count."""
    k, n, score = (rows.number(column) for column in ("n_correct", "n_trials", "score"))

    def refuse(bad: np.ndarray, problem: str, *values: np.ndarray) -> None:
        if bad.any():
            raise EvidenceError(f"{problem}; {rows.show(bad, values)}")

    refuse(k < 0, "n_correct is negative", k)
    refuse(n < 0, "n_trials is negative", n)
    refuse(n == 0, "n_trials = 0: leave out rows without a trial", k, n)
    refuse(np.abs(n - np.rint(n)) > 1e-6, "n_trials must be a whole number", n)
    refuse(
        np.abs(k - np.rint(k)) > 1e-6,
        "n_correct must be a whole number: put partial credit, as a rate, in `score`",
        k,
    )
    refuse(np.rint(k) > np.rint(n), "n_correct > n_trials", k, n)
    bad = (score < -1e-9) | (score > 1 + 1e-9)
    if bad.any():
        percent = score[bad].min() >= 0 and score[bad].max() <= 100
        hint = " (these look like percent: divide by 100)" if percent else ""
        refuse(bad, f"score must be in [0, 1]{hint}", score)
    refuse(
        ~np.isnan(k) & np.isnan(n) & np.isnan(score),
        "n_correct without n_trials: add n_trials (1 for one greedy answer)",
        k,
    )
    k, n, score = np.rint(k), np.rint(n), np.clip(score, 0.0, 1.0)

    counted = ~np.isnan(k) & ~np.isnan(n)
    apart = counted & (np.abs(score - k / n) > 0.01)
    if apart.any():
        say.note(
            f"{_count(apart, 'row')} where score is not n_correct / n_trials: the counts are used."
        )
    # A score with trials is a count unless the benchmark gives partial credit anywhere.
    implied = ~counted & ~np.isnan(score) & ~np.isnan(n)
    if implied.any():
        code, names = rows.codes["benchmark"], rows.names["benchmark"]
        partial = np.zeros(len(names), dtype=bool)
        partial[code[implied & (np.abs(score * n - np.rint(score * n)) > 1e-6 * n)]] = True
        if partial.any():
            say.note(
                f"score * n_trials is not whole on {_some(names[partial])}: taken as rates "
                "without trial count."
            )
        whole = implied & ~partial[code]
        k = np.where(whole, np.rint(score * n), k)
        counted |= whole
    return np.where(counted, k / n, score), np.where(counted, n, np.nan)


def _refuse_duplicates(rows: _Rows) -> None:
    cell = rows.codes["benchmark"].astype(np.int64)
    for key in ("item", "model"):
        cell *= len(rows.names[key])
        cell += rows.codes[key]
    ordered = np.sort(cell)
    again = ordered[1:] == ordered[:-1]
    if again.any():
        cells = np.unique(ordered[1:][again])
        raise EvidenceError(
            f"{_count(len(cells), 'cell')} with more than one row, {_count(again, 'row')} too "
            "many: expected one row per benchmark, item and model; if they are repeated trials, "
            f"sum their n_correct and n_trials; {rows.show(np.isin(cell, cells))}"
        )


def _models(
    rows: _Rows, roles: dict[str, str], family: dict[str, str], say: _Findings
) -> pd.DataFrame:
    """The models with results, in ascending compute (ties by name)."""
    names, group = rows.names["model"], rows.codes["model"]

    def per_model(column: str) -> np.ndarray:
        return _one_each(
            rows.number(column),
            group,
            len(names),
            lambda g, a, b: (
                f"model {names[g]!r} has two values of {column}, {a:.10g} and {b:.10g}:"
                " give it one, or give each checkpoint its own model name"
            ),
        )

    raw = rows.number("compute")
    if (bad := raw <= 0).any():
        raise EvidenceError(f"compute must be positive (training FLOPs); {rows.show(bad, [raw])}")
    compute = per_model("compute")
    extra = {c: per_model(c) for c in _MODEL_NUMBERS if c in rows.table}
    assumed = np.isnan(compute)
    if assumed.any() and {"params", "tokens"} <= extra.keys():
        compute = np.where(assumed, 6 * extra["params"] * extra["tokens"], compute)
    bad = ~(compute > 0) | np.isinf(compute)
    if bad.any():
        raise EvidenceError(
            "compute is missing, zero, negative or infinite and cannot be had from params and "
            f"tokens for model {_some(names[bad])}; give its training FLOPs or leave it out "
            f"(families=, ladder=); {rows.show(bad[group])}"
        )
    if assumed.any():
        say.warn(
            f"compute = 6 * params * tokens assumed for {_count(assumed, 'model')}: "
            f"{_some(names[assumed])}."
        )
    models = pd.DataFrame(
        {
            "compute": compute,
            "role": [roles[name] for name in names],
            "family": [family[name] for name in names],
            **extra,
        },
        index=pd.Index(names, name="model"),
    )
    return models.iloc[np.lexsort((np.arange(len(names)), compute))]


def _dense(
    rows: _Rows, rate: np.ndarray, trials: np.ndarray, models: pd.DataFrame
) -> dict[str, xr.Dataset]:
    """Scatter the rows into one (item, model) Dataset per benchmark."""
    names = rows.names["benchmark"]
    rank = np.empty(len(models), dtype=np.int32)  # alphabetical code -> place by compute
    rank[np.searchsorted(rows.names["model"], models.index.to_numpy(dtype=object))] = np.arange(
        len(models), dtype=np.int32
    )
    code = rows.codes["benchmark"]
    chance, loss = rows.number("chance"), rows.number("loss")
    if (bad := (chance < 0) | (chance >= 1)).any():
        raise EvidenceError(
            "chance, the rate of a guess, must be in [0, 1) (an item with one possible answer "
            f"measures nothing: leave it out); {rows.show(bad, [chance])}"
        )
    subset, subsets = rows.text("subset")
    pieces: list[np.ndarray | slice] = [slice(None)]  # one benchmark: no copies
    if len(names) > 1:
        order = np.argsort(code, kind="stable")
        pieces = list(np.split(order, np.searchsorted(code[order], np.arange(1, len(names)))))
    parts = {}
    for name, at in zip(names, pieces, strict=True):
        item, items = _compact(rows.codes["item"][at], rows.names["item"])
        model, place = _compact(rank[rows.codes["model"][at]], np.arange(len(models)))
        here = models.iloc[place]
        these = here.index.to_numpy(dtype=object)
        shape = (len(items), len(here))
        dense_rate, dense_trials = np.full(shape, np.nan), np.zeros(shape)
        dense_rate[item, model] = rate[at]
        dense_trials[item, model] = trials[at]

        def one(what: str, names: np.ndarray, where: str = name) -> Callable[..., str]:
            return lambda g, a, b: (
                f"{what.split()[0]} {names[g]!r} of benchmark {where!r} has two values of "
                f"{what.split()[1]}, {a!r} and {b!r}: give it one"
            )

        parts[str(name)] = xr.Dataset(
            {
                "rate": (("item", "model"), dense_rate),
                "n_trials": (("item", "model"), dense_trials),
            },
            coords={
                "item": items.astype(str),
                "model": here.index.to_numpy(dtype=str),
                "compute": ("model", here["compute"].to_numpy(dtype=float)),
                "role": ("model", here["role"].to_numpy(dtype=str)),
                "chance": (
                    "item",
                    _one_each(chance[at], item, len(items), one("item chance", items)),
                ),
                "subset": (
                    "item",
                    _one_text(
                        subset[at], subsets, item, len(items), one("item subset", items)
                    ).astype(str),
                ),
                "loss": (
                    "model",
                    _one_each(loss[at], model, len(here), one("model loss", these)),
                ),
            },
        )
    return parts


# ---------------------------------------------------------------------------------------------
# What the evidence can bear


def _on_ladder(data: xr.Dataset) -> np.ndarray:
    return data["role"].values == "ladder"


def _drop_sparse_items(parts: dict[str, xr.Dataset], say: _Findings) -> dict[str, xr.Dataset]:
    """Drop the items that more than half of a benchmark's ladder models lack."""
    dropped, missing, thin, kept_parts = [], [], [], {}
    for name, data in parts.items():
        seen = data["rate"].notnull().values
        ladder = _on_ladder(data)
        lacking = (
            (~seen[:, ladder]).mean(axis=1) > 0.5 if ladder.any() else np.zeros(len(seen), bool)
        )
        if lacking.all():
            raise EvidenceError(
                f"no item of benchmark {name!r} has results from half of its {int(ladder.sum())} "
                "ladder models: check that all models use the same item names"
            )
        if lacking.any():
            examples = _some(data["item"].values[lacking])
            dropped.append(f"{name}: {_count(lacking, 'item')} ({examples})")
            models = np.flatnonzero(seen[~lacking].any(axis=0))
            data = data.isel(item=np.flatnonzero(~lacking), model=models)
            seen, ladder = seen[~lacking][:, models], ladder[models]
        if not seen.all():
            missing.append(f"{name}: {_count(~seen, 'cell')} of {seen.size:,}")
            few = ladder & (seen.mean(axis=0) < 0.5)
            thin += [f"{m} on {name}" for m in data["model"].values[few]]
        kept_parts[name] = data
    if dropped:
        say.warn(f"Items that more than half of the ladder lacks are dropped. {_some(dropped)}.")
    if missing:
        say.warn(f"Missing cells are kept as missing. {_some(missing)}.")
    if thin:
        say.warn(f"Ladder models with results on fewer than half of the items: {_some(thin)}.")
    return kept_parts


def _examine(models: pd.DataFrame, parts: dict[str, xr.Dataset], say: _Findings) -> None:
    """Refuse ladders that carry no forecast, and say what is doubtful about the others."""
    rungs = models[models["role"] == "ladder"]
    compute = {name: data["compute"].values[_on_ladder(data)] for name, data in parts.items()}

    few = [f"{name} ({len(c)})" for name, c in compute.items() if len(c) < 2]
    if few:
        raise EvidenceError(
            f"expected at least 2 ladder models on every benchmark, got {_some(few)}; "
            "add results or leave such benchmarks out (benchmarks=)"
        )
    if flat := [name for name, c in compute.items() if np.isclose(c[0], c[-1], rtol=1e-6, atol=0)]:
        raise EvidenceError(
            f"all ladder models have the same compute on {_some(flat)}: a forecast over compute "
            "needs at least two different values"
        )

    if len(rungs) == 2:
        say.warn(
            "The ladder has only 2 models: a curve through two points cannot be checked; expect "
            "wide forecasts."
        )
    elif thin := [name for name, c in compute.items() if len(c) < 3]:
        say.warn(
            f"Fewer than 3 ladder models have results on {_some(thin)}: expect wide forecasts."
        )
    if narrow := [name for name, c in compute.items() if c[-1] < 10 * c[0]]:
        say.warn(f"The ladder spans less than one decade of compute on {_some(narrow)}.")
    mixed, inside = [], {}
    for name, data in parts.items():
        at = data["model"].values
        families = sorted(set(rungs["family"][at[_on_ladder(data)]]) - {""})
        if len(families) > 1:
            mixed.append(f"{name} ({_some(families)})")
        low = (data["role"].values == "target") & (data["compute"].values <= compute[name][-1])
        inside.update(dict.fromkeys(at[low], at[_on_ladder(data)][-1]))
    if mixed:
        say.warn(
            f"The ladder mixes families, which need not share one curve, on {_some(mixed)}: choose "
            "with families= (--family)."
        )
    if inside:
        say.warn(
            "Target inside the ladder: "
            + _some(f"{target} has no more compute than {top}" for target, top in inside.items())
            + "."
        )
    if models["compute"].max() < 1e15:
        say.warn(
            f"compute does not look like FLOPs (the largest is {models['compute'].max():.3g}): the "
            "thresholds on curves assume FLOPs; forecasts only need one common unit."
        )

    below = []
    for name, data in parts.items():
        ladder = np.flatnonzero(_on_ladder(data))
        rate, chance = data["rate"].values, data["chance"].values
        seen = ~np.isnan(rate)
        margin = (rate[:, ladder[-1]] - chance)[seen[:, ladder[-1]] & ~np.isnan(chance)]
        if margin.size and margin.mean() < -0.10:
            below.append(f"{name} ({100 * margin.mean():.0f} points)")
        count = seen[:, ladder].sum(axis=0)
        mean = np.where(seen[:, ladder], rate[:, ladder], 0.0).sum(axis=0) / count
        best = int(np.argmax(mean))
        if mean[-1] < mean[best] - 0.10:
            at = data["model"].values[ladder]
            say.note(
                f"{name} falls along the ladder: {at[best]} scores {100 * mean[best]:.1f}, the "
                f"largest, {at[-1]}, {100 * mean[-1]:.1f}."
            )
    if below:
        say.warn(
            f"The largest ladder model is more than 10 points below chance on {_some(below)}: "
            "check the scoring and the chance level."
        )
