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
win. A row with neither is a missing cell. Partial credit is a rate without trial count (n_trials
NaN), like a score without `n_trials`:

    an n_correct that is not whole     makes all results of that item partial credit
    a score * n_trials that is not     makes all such scores of that benchmark partial credit,
                                       and so does an n_correct there; otherwise they are counts

Roles: "ladder" models are fitted (the default), an "anchor" shows only how the predictable subset
relates to the whole benchmark (COD section 4.4) and needs no compute, a "target" is the model to
forecast; its results, where the table has them, serve to score the forecast and never to make it.

Items that more than half of a benchmark's ladder models lack are dropped, and so are items whose
chance level is 1. Where models give an item different chance levels, their median is taken.
Whatever is assumed or repaired is said in `Evidence.notes`, and as an `EvidenceWarning` when it can
change a forecast; what cannot be repaired is an `EvidenceError` that names the rows.

This module imports nothing from the rest of the package.
"""

import difflib
import hashlib
import json
import os
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

__all__ = ["ROLES", "Evidence", "EvidenceError", "EvidenceWarning", "ladder_of", "read_table"]

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

# What NumPy's strings drop (NUL) and what no file can hold (half a surrogate pair).
_UNUSABLE = re.compile("[\x00\ud800-\udfff]")
_CHUNK = 2**20  # rows of text read at once
_LONGEST = 1000  # characters of a name: an array of names is as wide as the longest one

_NA = ["", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None"]


class EvidenceError(ValueError):
    """A table that cannot be turned into evidence: what was expected, what was got, what to do."""


class EvidenceWarning(UserWarning):
    """Something assumed, repaired or doubtful that can change a forecast."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Item-level results of a ladder of models, its anchors and its targets.

    models      index "model" in ascending compute; columns compute (FLOPs; NaN unknown, anchors
                only, which come last), role ("ladder" | "anchor" | "target"), family ("" unknown),
                and params, tokens, step where given.
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

    @property
    def single_scores(self) -> list[str]:
        """Benchmarks known by one score per model. Their slopes are too different to share a prior:
        each is forecast better alone."""
        return [name for name, of in self.benchmarks.items() if of.sizes["item"] == 1]

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
        parts = self.benchmarks
        if benchmarks is not None:
            parts = {name: parts[name] for name in _matches(benchmarks, list(parts), "benchmark")}
        # Before the models, so that a model without results on these benchmarks is an error.
        for what, dim, patterns in (("subset", "item", subsets), ("model", "model", models)):
            if patterns is not None:
                names = set().union(*(data[what].values.tolist() for data in parts.values()))
                kept = _matches(patterns, sorted(names), what)
                parts = {
                    name: data.isel({dim: np.isin(data[what].values, kept)})
                    for name, data in parts.items()
                }
        left = {}
        for name, data in parts.items():
            seen = data["rate"].notnull().values
            columns = seen.any(axis=0)
            seen = seen[:, columns]
            rows = seen.all(axis=1) if shared else seen.any(axis=1)
            if rows.any() and columns.any():
                left[name] = data.isel(item=rows, model=columns)
            elif columns.any():
                raise EvidenceError(
                    f"no item of benchmark {_short(name)!r} has results from all of its "
                    f"{_count(columns, 'model')}: choose fewer models"
                )
        if not left:
            raise EvidenceError("nothing selected: expected at least one benchmark and one model")
        return Evidence(self.models.loc[_present(self.models, left)], left, self.notes)

    def with_target(self, model: str) -> "Evidence":
        """The same evidence with the role of `model` (a name) set to "target"."""
        if model not in self.models.index:
            raise EvidenceError(_nothing("model", model, list(self.models.index)))
        if np.isnan(self.models.loc[model, "compute"]):
            raise EvidenceError(f"the compute of {model!r} is unknown: a target needs it")
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
    anchors: Sequence[str] = (),
) -> Evidence:
    """Read a tidy table (columns: see the module) into checked evidence.

    source      a DataFrame, or a file whose suffix is .parquet, .csv, .tsv or .jsonl
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
    say = _Findings()
    with np.errstate(all="ignore"):  # absurd numbers are for the checks to judge
        rows = _rows(_load(source, say))
        if benchmarks is not None:
            rows = rows.keep_names("benchmark", benchmarks)
        rows, cast = _cast(rows, families, ladder, hold_out, anchors, say)
        rows = _results(rows, say)
        models = _models(rows, cast, say)
        done = ["compute", *_MODEL_NUMBERS]  # columns of a large table are worth their memory
        rows = replace(rows, table=rows.table.drop(columns=done, errors="ignore"))
        parts = _dense(rows, models, say)
        parts = _drop_items(parts, say)
        models = models.loc[_present(models, parts)]
        _examine(models, parts, say)
    for text in say.warned:
        warnings.warn(text, EvidenceWarning, stacklevel=2)
    return Evidence(models, parts, tuple(say.notes))


def ladder_of(benchmark: xr.Dataset) -> xr.Dataset:
    """A benchmark of `Evidence.benchmarks` with its ladder models only, a copy."""
    return benchmark.isel(model=np.flatnonzero(_on_ladder(benchmark)))


def _present(models: pd.DataFrame, parts: dict[str, xr.Dataset]) -> np.ndarray:
    """Which models have results on any of the benchmarks (model,), bool."""
    return models.index.isin(
        set().union(*(data["model"].values.tolist() for data in parts.values()))
    )


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


def _short(name: object, limit: int = 200) -> str:
    """The name on one line, cut where it is very long."""
    text = str(name)
    text = text if len(text) <= limit else f"{text[: limit - 1]}…"
    return text if text.isprintable() else repr(text)[1:-1]


def _some(names: Iterable[object], limit: int = 3) -> str:
    texts = list(names)
    more = f", ... ({len(texts):,} in all)" if len(texts) > limit else ""
    return ", ".join(map(_short, texts[:limit])) + more


def _nothing(what: str, pattern: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(pattern, names, n=3, cutoff=0.5)
    return f"no {what} matches {_short(pattern)!r}; " + (
        f"close names: {_some(close)}" if close else f"there are: {_some(names, 5) or 'none'}"
    )


def _chosen(patterns: Sequence[str], names: Sequence[str] | np.ndarray, what: str) -> np.ndarray:
    """Which names any of the patterns match (names,), bool; every pattern must match some."""
    hit = np.zeros(len(names), dtype=bool)
    for pattern in [patterns] if isinstance(patterns, str) else map(str, patterns):
        one = np.array([n == pattern or fnmatchcase(n, pattern) for n in names], dtype=bool)
        if not one.any():
            raise EvidenceError(_nothing(what, pattern, list(names)))
        hit |= one
    return hit


def _matches(patterns: Sequence[str], names: Sequence[str], what: str) -> list[str]:
    return [n for n, hit in zip(names, _chosen(patterns, names, what), strict=True) if hit]


# ---------------------------------------------------------------------------------------------
# The table: columns


def _load(source: str | Path | pd.DataFrame, say: _Findings) -> pd.DataFrame:
    """The known columns of the table; text columns may be categorical."""
    if isinstance(source, pd.DataFrame):
        if source.columns.nlevels > 1:
            raise EvidenceError(
                f"the columns have {source.columns.nlevels} levels: expected one row of plain "
                "names; flatten them (table.columns = [...])"
            )
        # A group-by leaves the keys in the index.
        levels = [n for n in source.index.names if n in _KNOWN and n not in source.columns]
        return _known(source.reset_index(level=levels) if levels else source, say)
    if not isinstance(source, str | Path):
        raise EvidenceError(f"expected a DataFrame or a file, got {type(source).__name__}")
    path = Path(os.path.expanduser(source))  # leaves an unknown user alone
    if not path.exists():
        raise FileNotFoundError(f"no such table: {path}")
    suffix = path.suffix.lower()
    if suffix not in (".parquet", ".csv", ".tsv", ".jsonl") or path.is_dir():
        raise EvidenceError(f"{path}: expected a .parquet, .csv, .tsv or .jsonl file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", pd.errors.ParserWarning)  # fields beyond the header
            if suffix == ".parquet":
                return _load_parquet(path, say)
            if suffix == ".jsonl":
                table = pd.read_json(
                    path, lines=True, dtype=False, precise_float=True, encoding="utf-8-sig"
                )
                return _known(table, say)
            return _load_csv(path, "\t" if suffix == ".tsv" else ",", say)
    except EvidenceError as error:
        raise EvidenceError(f"{path}: {error}") from None
    except Exception as error:  # whatever a parser raises on a broken file
        raise EvidenceError(
            f"cannot read {path}: expected an intact {suffix} file"
            f"{'' if suffix == '.parquet' else ' in UTF-8'}, got {_short(error, 300)}"
        ) from error


def _load_parquet(path: Path, say: _Findings) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def encoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Text with one dictionary for all chunks."""
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        return column.dictionary_encode() if text else column

    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        _check_columns(names, say)
        # Column by column, encoded at once: a quarter of the time and less memory.
        columns = {name: encoded(file.read([name]).column(0)) for name in names if name in _KNOWN}
    table = pa.table(columns)
    del columns
    frame = table.to_pandas(ignore_metadata=True, split_blocks=True, self_destruct=True)
    pa.default_memory_pool().release_unused()  # it keeps what decoding took: as much as the table
    return frame


def _load_csv(path: Path, separator: str, say: _Findings) -> pd.DataFrame:
    form: dict[str, Any] = {"sep": separator, "encoding": "utf-8-sig", "keep_default_na": False}
    # Read apart, because pandas renames the second of two equal columns.
    header = pd.read_csv(path, header=None, nrows=1, dtype=str, **form).loc[0].tolist()
    if len(header) == 1:
        for other in {";", "\t", ",", "|"} & set(header[0]) - {separator}:
            raise EvidenceError(
                f"its columns seem separated by {other!r}: expected {separator!r}; save it so"
            )
    _check_columns(header, say)
    parts = pd.read_csv(
        path,
        index_col=False,
        # Names stay as written: "007" is not 7 (categories would be), an item may be called "null".
        dtype={name: str for name in header if name in _TEXT},
        na_values={name: _NA for name in header if name in _NUMBERS},
        float_precision="round_trip",
        low_memory=False,
        chunksize=_CHUNK,
        **form,
    )
    columns: dict[str, list[pd.Series]] = {name: [] for name in header if name in _KNOWN}
    for part in parts:  # text as codes at once, as from Parquet
        for name, read in columns.items():
            read.append(part[name].astype("category") if name in _TEXT else part[name])
    return pd.DataFrame({name: _joined(columns.pop(name)) for name in list(columns)})


def _joined(parts: list[pd.Series]) -> pd.Series:
    """One column, as if it had been read at once."""
    if isinstance(parts[0].dtype, pd.CategoricalDtype):
        return pd.Series(pd.api.types.union_categoricals(parts))
    truths = [pd.api.types.is_bool_dtype(part) for part in parts]
    if any(truths) and not all(truths):  # words among numbers
        parts = [part.astype(str) if t else part for part, t in zip(parts, truths, strict=True)]
    return pd.concat(parts, ignore_index=True)


def _known(table: pd.DataFrame, say: _Findings) -> pd.DataFrame:
    _check_columns(list(table.columns), say)
    return table[[name for name in table.columns if name in _KNOWN]]


def _check_columns(columns: Sequence[object], say: _Findings) -> None:
    names = [str(c) for c in columns]
    has = set(names)
    if twice := sorted(n for n in has if n in _KNOWN and names.count(n) > 1):
        raise EvidenceError(f"column {_some(twice)} appears twice: keep one of each name")
    ignored = [n for n in names if n not in _KNOWN]

    def looks_like(name: str) -> list[str]:
        plain = name.strip().lower().replace(" ", "_").replace("-", "_")
        return [k for k in _KNOWN if plain == k or plain in _NEAR_MISSES.get(k, "").split()]

    def hints(wanted: set[str]) -> list[str]:
        found = []
        for name in ignored:
            if like := [repr(k) for k in looks_like(name) if k in wanted]:
                found.append(f"column {name!r} looks like {' or '.join(like)}: rename it")
        return found

    def require(present: bool, what: str, wanted: set[str]) -> None:
        if not present:
            hint = "; ".join(hints(wanted)) or (
                f"the columns are {_some(names, 20) or 'none at all'}"
            )
            raise EvidenceError(f"the table has no {what}; {hint}")

    for key in _KEYS:
        require(key in has, f"column {key!r}", {key})
    require(
        "compute" in has or {"params", "tokens"} <= has,
        "column 'compute' (training FLOPs; or 'params' and 'tokens')",
        {"compute", "params", "tokens"} - has,
    )
    if "n_correct" in has and "n_trials" not in has:
        add = "the table has n_correct but no n_trials; add n_trials (1 for one greedy answer)"
        raise EvidenceError("; ".join([add, *hints({"n_trials"})]))
    require(
        "score" in has or "n_correct" in has,
        "results: expected columns 'n_correct' and 'n_trials', or 'score'",
        {"n_correct", "n_trials", "score"} - has,
    )
    if ignored:
        asides = [f"{n} (like {' or '.join(k)}?)" if (k := looks_like(n)) else n for n in ignored]
        say.note(f"Columns not used: {_some((a or '(no name)' for a in asides), 20)}.")


# ---------------------------------------------------------------------------------------------
# The table: rows


@dataclass(frozen=True)
class _Rows:
    """The table with its keys as codes (row,) into sorted arrays of names."""

    table: pd.DataFrame
    codes: dict[str, np.ndarray]
    names: dict[str, np.ndarray]

    def keep(self, which: np.ndarray) -> "_Rows":
        """Some rows, by mask or by place."""
        if which.dtype == bool and which.all():
            return self
        codes, names = {}, {}
        for key in _KEYS:
            codes[key], names[key] = _compact(self.codes[key][which], self.names[key])
        return _Rows(self.table.iloc[which], codes, names)

    def keep_names(self, key: str, patterns: Sequence[str]) -> "_Rows":
        chosen = _chosen(patterns, self.names[key], key)
        if not chosen.any():
            raise EvidenceError(f"no {key} is left")
        return self.keep(chosen[self.codes[key]])

    def by_benchmark(self) -> Iterator[tuple[str, "_Rows"]]:
        names, code = self.names["benchmark"], self.codes["benchmark"]
        if len(names) == 1:
            yield names[0], self
            return
        order = np.argsort(code, kind="stable")
        ends = np.searchsorted(code[order], np.arange(1, len(names)))
        for name, place in zip(names, np.split(order, ends), strict=True):
            yield name, self.keep(place)

    def cells(self, *keys: str) -> np.ndarray:
        """One number per combination of the keys (row,)."""
        cell = np.zeros(len(self.table), dtype=np.int64)
        for key in keys:
            cell = cell * len(self.names[key]) + self.codes[key]
        return cell

    def show(self, mask: np.ndarray, *values: np.ndarray) -> str:
        """The first few rows of the mask as benchmark/item/model (values), and their number."""
        where = np.flatnonzero(mask)
        shown = []
        for row in where[:3]:
            codes = ((key, self.codes[key][row]) for key in _KEYS)
            name = "/".join("NaN" if c < 0 else _short(self.names[key][c]) for key, c in codes)
            value = " of ".join(
                f"{v[row]:g}" if isinstance(v[row], float | np.floating) else _short(repr(v[row]))
                for v in values
            )
            shown.append(f"{name} ({value})" if value else name)
        tail = ", ..." if len(where) > 3 else ""
        return f"{_count(len(where), 'row')}: {', '.join(shown)}{tail}"

    def refuse(self, bad: np.ndarray, problem: str, *values: np.ndarray) -> None:
        if bad.any():
            raise EvidenceError(f"{problem}; {self.show(bad, *values)}")

    def number(self, column: str) -> np.ndarray:
        """A numeric column as float64 (row,), NaN where absent or missing."""
        if column not in self.table:
            return np.broadcast_to(np.nan, len(self.table))  # takes no memory
        raw = self.table[column]
        known = raw.notna().to_numpy(dtype=bool)
        values = _floats(raw)
        odd = known & np.isnan(values)
        if odd.any():
            shown = self.show(odd, raw.to_numpy(dtype=object))
            raise EvidenceError(f"{column} must be a number, got {shown}")
        if (infinite := np.isinf(values)).any():
            raise EvidenceError(f"{column} is infinite in {self.show(infinite)}")
        return values

    def one_number(self, column: str, key: str, where: str = "") -> np.ndarray:
        """The number of each model or item (name,), NaN where none is known."""
        return self._one(self.number(column), key, f"values of {column}", where, float, 1e-6)

    def one_text(self, column: str, key: str, what: str, where: str = "") -> np.ndarray:
        """The text of each model or item (name,), "" where none is known."""
        if column not in self.table:
            return np.full(len(self.names[key]), "", dtype=object)
        codes, texts = _factor(self.table[column])
        blank = 0 if len(texts) and texts[0] == "" else -1  # sorted: "" comes first
        values = np.where((codes < 0) | (codes == blank), np.nan, codes)
        one = self._one(values, key, what, where, lambda code: _short(texts[int(code)]), 0.0)
        return np.append(texts, "")[np.where(np.isnan(one), -1, one).astype(int)]

    def _one(
        self,
        values: np.ndarray,
        key: str,
        what: str,
        where: str,
        shown: Callable[[float], object],
        rtol: float,
    ) -> np.ndarray:
        """The one value of each name; two values, as `shown`, are an error."""
        names = self.names[key]
        low, high, apart = _extent(values, self.codes[key], len(names), rtol)
        if apart.any():
            g = int(np.argmax(apart))
            more = f" (and {apart.sum() - 1:,} more like it)" if apart.sum() > 1 else ""
            raise EvidenceError(
                f"{key} {_short(names[g])!r}{where} has two {what}, {shown(low[g])!r} and "
                f"{shown(high[g])!r}: give it one{more}"
            )
        return low


def _extent(
    values: np.ndarray, group: np.ndarray, size: int, rtol: float = 1e-6
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least and largest value of each group (size,), NaN where none is known; which differ."""
    low, high = np.full(size, np.nan), np.full(size, np.nan)
    np.fmin.at(low, group, values)
    np.fmax.at(high, group, values)
    return low, high, (high > low) & ~np.isclose(high, low, rtol=rtol, atol=0.0)


def _floats(raw: pd.Series) -> np.ndarray:
    """float64 (row,); NaN for what is no number."""
    nothing = np.broadcast_to(np.nan, len(raw))
    if isinstance(raw.dtype, pd.CategoricalDtype):
        raw = raw.astype(object)
    kind = pd.api.types
    if kind.is_complex_dtype(raw):
        return nothing
    if kind.is_numeric_dtype(raw) or kind.is_bool_dtype(raw):
        return raw.to_numpy(dtype=float, na_value=np.nan)
    if not (kind.is_object_dtype(raw) or kind.is_string_dtype(raw)):
        return nothing
    try:
        parsed = pd.to_numeric(raw, errors="coerce")
        return nothing if kind.is_complex_dtype(parsed) else parsed.to_numpy(float, na_value=np.nan)
    except (TypeError, OverflowError):  # lists; integers beyond any float
        return pd.to_numeric(raw.astype(str), errors="coerce").to_numpy(float, na_value=np.nan)


def _factor(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Codes (row,) into sorted distinct names str(value); -1 = NaN."""
    if column.dtype == object and pd.api.types.infer_dtype(column) not in ("string", "empty"):
        column = column.map(str, na_action="ignore")  # before 1, 1.0 and True count as equal
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, values = column.cat.codes.to_numpy(), column.cat.categories
    else:
        try:
            codes, values = pd.factorize(column)
        except (TypeError, NotImplementedError):  # lists and the like
            codes, values = pd.factorize(column.map(str, na_action="ignore"))
    texts = [str(v) for v in values.tolist()]
    for text in texts:
        if len(text) > _LONGEST:
            raise EvidenceError(
                f"a name in column {column.name!r} has {len(text):,} characters: expected at most "
                f"{_LONGEST:,}; use a short id ({_short(text)})"
            )
        if _UNUSABLE.search(text):
            raise EvidenceError(
                f"a name in column {column.name!r} holds a NUL character or half a surrogate pair: "
                f"remove it ({text[:100]!r})"
            )
    # Distinct values may share a name (1 and "1").
    order, names = pd.factorize(np.array(texts, dtype=object), sort=True)
    order = np.append(order, -1).astype(_code_type(names))  # code -1 reads the last entry
    return _compact(order[codes], np.asarray(names, dtype=object))


def _compact(codes: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leave out the names that no row uses."""
    used = np.zeros(len(names) + 1, dtype=bool)
    used[codes] = True
    used[-1] = False  # where code -1 (NaN) has landed
    if used[:-1].all():
        return codes, names
    remap = np.append(np.cumsum(used[:-1]) - 1, -1).astype(_code_type(names))
    return remap[codes], names[used[:-1]]


def _code_type(names: np.ndarray) -> np.dtype:
    """The smallest type of codes into the names, or -1: a large table has three of them a row."""
    return np.min_scalar_type(-max(len(names), 1))


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
        if names[key][0] == "":  # sorted: "" comes first
            raise EvidenceError(f"{key} is an empty string in {rows.show(codes[key] == 0)}")
        if key == "item":  # never printed whole
            continue
        if control := [i for i, name in enumerate(names[key]) if has_control(str(name))]:
            raise EvidenceError(
                f"{key} has control characters in {rows.show(np.isin(codes[key], control))}"
            )
    return rows


def has_control(name: str) -> bool:
    """Whether a terminal would obey a part of the name: escapes, line ends, tabs."""
    return any(unicodedata.category(character) == "Cc" for character in name)


# ---------------------------------------------------------------------------------------------
# From rows to arrays


def _cast(
    rows: _Rows,
    families: Sequence[str] | None,
    ladder: Sequence[str] | None,
    hold_out: Sequence[str],
    anchors: Sequence[str],
    say: _Findings,
) -> tuple[_Rows, pd.DataFrame]:
    """The rows of the models that are asked for, and role and family of each (index: model)."""
    names = rows.names["model"]
    family = rows.one_text("family", "model", "families")
    role = rows.one_text("role", "model", "roles")
    role = np.where(role == "", "ladder", role)
    if (odd := ~np.isin(role, ROLES)).any():
        raise EvidenceError(
            f"unknown role {_short(role[odd][0])!r} of model {_some(names[odd])}: expected "
            f"{_some(ROLES)}"
        )
    kept = np.ones(len(names), dtype=bool)
    if families is not None:
        kept = np.isin(family, _matches(families, sorted(set(family) - {""}), "family"))
        if len(lost := names[~kept & (role != "ladder")]):
            say.warn(
                f"The choice of families leaves out {_some(lost)}, marked as anchor or target; "
                "choose their family too to keep them."
            )

    def among(some: np.ndarray, patterns: Sequence[str], what: str) -> np.ndarray:
        hit = np.zeros(len(names), dtype=bool)
        hit[some] = _chosen(patterns, names[some], what)
        return hit

    role[among(kept, hold_out, "model (to hold out)")] = "target"
    rungs = kept & (role == "ladder")
    chosen = rungs if ladder is None else among(rungs, ladder, "ladder model")
    spare = rungs if ladder is None else rungs & ~chosen
    role[among(spare, anchors, "model (as anchor)")] = "anchor"
    kept &= chosen | (role != "ladder")
    if (count := int((kept & (role == "ladder")).sum())) < 2:
        raise EvidenceError(
            f"expected at least 2 ladder models, got {count}; the models are "
            + _some((f"{n} ({r})" for n, r in zip(names[kept], role[kept], strict=True)), 6)
        )
    cast = pd.DataFrame({"role": role, "family": family}, index=pd.Index(names, name="model"))
    return rows.keep(kept[rows.codes["model"]]), cast


def _results(rows: _Rows, say: _Findings) -> _Rows:
    """The rows with a result, their counts and scores replaced by columns rate and trials.

    trials NaN = no trial count.
    """
    k, n, score = (rows.number(column) for column in _RESULTS)
    rows.refuse(k < 0, "n_correct is negative", k)
    rows.refuse(n < 0, "n_trials is negative", n)
    rows.refuse(n < 1e-6, "n_trials = 0: leave out rows without a trial", k, n)
    rows.refuse(np.abs(n - np.rint(n)) > 1e-6, "n_trials must be a whole number", n)
    rows.refuse(n > 1e15, "n_trials is no plausible count (over 1e15)", n)
    rows.refuse(k > n + 1e-6, "n_correct > n_trials", k, n)
    if (bad := (score < -1e-9) | (score > 1 + 1e-9)).any():
        percent = score[bad].min() >= 0 and score[bad].max() <= 100
        hint = " (these look like percent: divide by 100)" if percent else ""
        rows.refuse(bad, f"score must be in [0, 1]{hint}", score)
    rows.refuse(
        ~np.isnan(k) & np.isnan(n) & np.isnan(score),
        "n_correct without n_trials: add n_trials (1 for one greedy answer)",
        k,
    )
    n = np.rint(n)
    if scored := "score" in rows.table:
        score = np.clip(score, 0.0, 1.0)
    counted = ~np.isnan(k) & ~np.isnan(n)
    whole = np.abs(k - np.rint(k)) <= 1e-6
    k = np.where(whole, np.rint(k), k)
    # Arrays of a row each are what a large table takes memory for: none without need.
    if scored and (apart := counted & (np.abs(score - k / n) > 0.01)).any():
        say.note(
            f"{_count(apart, 'row')} where score is not n_correct / n_trials: the counts are used."
        )

    code, names = rows.codes["benchmark"], rows.names["benchmark"]
    partial = np.zeros(len(names), dtype=bool)  # benchmarks that give partial credit
    counts = counted
    if (broken := counted & ~whole).any():
        partial[code[broken]] = True
        items = rows.cells("benchmark", "item")
        counts = counted & ~np.isin(items, items[broken])
        say.warn(
            f"n_correct is not whole on {_some(names[partial])} (items "
            f"{_some(rows.names['item'][np.unique(rows.codes['item'][broken])])}): partial credit, "
            "all results of these items are taken as rates without trial count."
        )
    # A score with trials is a count unless the benchmark gives partial credit anywhere.
    implied = ~counted & ~np.isnan(score) & ~np.isnan(n)
    if implied.any():
        partial[code[implied & (np.abs(score * n - np.rint(score * n)) > 1e-6 * n)]] = True
        soft = implied & partial[code]
        if soft.any():
            say.note(
                f"score * n_trials is not whole on {_some(names[np.unique(code[soft])])}: taken as "
                "rates without trial count."
            )
        whole = implied & ~soft
        score = np.where(whole, np.rint(score * n) / n, score)
        counts = counts | whole
    rate = k / n
    np.clip(rate, 0.0, 1.0, out=rate)
    np.copyto(rate, score, where=~counted)
    rate += 0.0  # no negative zeros
    trials = np.where(counts, n, np.nan)
    del k, n, score
    seen = ~np.isnan(rate)
    if not seen.any():
        raise EvidenceError("no row has a result: expected n_correct and n_trials, or score")
    if not seen.all():
        say.note(f"{_count(~seen, 'row')} without a result taken as missing.")
    table = rows.table.drop(columns=list(_RESULTS), errors="ignore")
    return replace(rows, table=table.assign(rate=rate, trials=trials)).keep(seen)


def _models(rows: _Rows, cast: pd.DataFrame, say: _Findings) -> pd.DataFrame:
    """The models with results, in ascending compute (ties by name; unknown last)."""
    names, group = rows.names["model"], rows.codes["model"]
    for column in ("compute", "params", "tokens"):
        value = rows.number(column)
        unit = " (training FLOPs)" if column == "compute" else ""
        rows.refuse(value <= 0, f"{column} must be positive{unit}", value)
    compute = rows.one_number("compute", "model")
    extra = {c: rows.one_number(c, "model") for c in _MODEL_NUMBERS if c in rows.table}
    assumed = np.isnan(compute)
    if {"params", "tokens"} <= extra.keys():
        compute = np.where(assumed, 6 * extra["params"] * extra["tokens"], compute)
    assumed &= ~np.isnan(compute)
    models = cast.loc[names]
    role = models["role"].to_numpy(dtype=object)
    bad = ~((compute > 0) & np.isfinite(compute) | np.isnan(compute) & (role == "anchor"))
    if bad.any():
        raise EvidenceError(
            "compute is missing or not finite and cannot be had from params and tokens for model "
            f"{_some(names[bad])}; give its training FLOPs, make it an anchor (role, anchors=) or "
            f"leave it out (families=, ladder=); {rows.show(bad[group])}"
        )
    if assumed.any():
        say.warn(
            f"compute = 6 * params * tokens assumed for {_count(assumed, 'model')}: "
            f"{_some(names[assumed])}."
        )
    models.insert(0, "compute", compute)
    models = models.assign(**extra)
    return models.iloc[np.lexsort((np.arange(len(names)), compute))]


def _dense(rows: _Rows, models: pd.DataFrame, say: _Findings) -> dict[str, xr.Dataset]:
    """Scatter the rows into one (item, model) Dataset per benchmark."""
    parts, unsure = {}, []
    for name, part in rows.by_benchmark():
        where = f" of benchmark {_short(name)!r}"
        items = part.names["item"]
        place = models.index.get_indexer(part.names["model"])
        by_compute = np.argsort(place)
        # alphabetical code -> place by compute
        column = np.argsort(by_compute).astype(_code_type(by_compute))
        here = models.iloc[place[by_compute]]
        at = part.codes["item"], column[part.codes["model"]]
        rate = np.full((len(items), len(here)), np.nan)
        trials = np.zeros_like(rate)
        rate[at], trials[at] = part.table["rate"], part.table["trials"]
        if np.count_nonzero(~np.isnan(rate)) < len(part.table):
            _refuse_duplicates(part)
        chance, conflicting = _chances(part)
        if len(conflicting):
            unsure.append(f"{_count(len(conflicting), 'item')} of {name} ({_some(conflicting)})")
        parts[str(name)] = xr.Dataset(
            {"rate": (("item", "model"), rate), "n_trials": (("item", "model"), trials)},
            coords={
                "item": items.astype(str),
                "model": here.index.to_numpy(dtype=str),
                "compute": ("model", here["compute"].to_numpy(dtype=float)),
                "role": ("model", here["role"].to_numpy(dtype=str)),
                "chance": ("item", chance),
                "subset": (
                    "item",
                    part.one_text("subset", "item", "values of subset", where).astype(str),
                ),
                "loss": ("model", part.one_number("loss", "model", where)[by_compute]),
            },
        )
    if unsure:
        say.warn(f"Rows differ on the chance of {_some(unsure)}: the median is taken.")
    return parts


def _refuse_duplicates(rows: _Rows) -> None:
    cell = rows.cells(*_KEYS)
    cells, times = np.unique(cell, return_counts=True)
    again = np.isin(cell, cells[times > 1])
    raise EvidenceError(
        f"{_count(times > 1, 'cell')} with more than one row, "
        f"{_count(len(cell) - len(cells), 'row')} too many: expected one row per benchmark, item "
        "and model; if they are repeated trials, sum their n_correct and n_trials; "
        f"{rows.show(again)}"
    )


def _chances(rows: _Rows) -> tuple[np.ndarray, np.ndarray]:
    """The chance of each item (item,), the median where rows differ, and the items that differ."""
    values, code = rows.number("chance"), rows.codes["item"]
    chance, _, apart = _extent(values, code, len(rows.names["item"]))
    if apart.any():
        mine = apart[code]
        median = pd.Series(values[mine]).groupby(code[mine]).median()
        chance[median.index] = median
    # A few items with chance 1 are dropped later.
    bad = (values < 0) | (values > 1) | bool((chance == 1).all())
    rows.refuse(
        bad,
        "chance, the rate of a guess, must be in [0, 1) (an item with one possible answer "
        "measures nothing: leave it out)",
        values,
    )
    return chance, rows.names["item"][apart]


# ---------------------------------------------------------------------------------------------
# What the evidence can bear


def _on_ladder(data: xr.Dataset) -> np.ndarray:
    return data["role"].values == "ladder"


def _drop_items(parts: dict[str, xr.Dataset], say: _Findings) -> dict[str, xr.Dataset]:
    """Drop the items that more than half of a benchmark's ladder models lack, or with chance 1."""
    idle: list[str] = []
    dropped: list[str] = []
    missing, thin, kept_parts = [], [], {}
    for name, data in parts.items():
        seen = data["rate"].notnull().values
        ladder = _on_ladder(data)
        certain = data["chance"].values == 1
        lacking = np.zeros(len(seen), dtype=bool)
        if ladder.any():
            lacking = (~seen[:, ladder]).mean(axis=1) > 0.5
        if (out := lacking | certain).all():
            raise EvidenceError(
                f"no item of benchmark {_short(name)!r} has results from half of its "
                f"{int(ladder.sum())} ladder models (and a chance below 1): check that all models "
                "use the same item names"
            )
        if out.any():
            for which, found in ((certain, idle), (lacking & ~certain, dropped)):
                if which.any():
                    examples = _some(data["item"].values[which])
                    found.append(f"{name}: {_count(which, 'item')} ({examples})")
            models = np.flatnonzero(seen[~out].any(axis=0))
            data = data.isel(item=np.flatnonzero(~out), model=models)
            seen, ladder = seen[~out][:, models], ladder[models]
        if not seen.all():
            missing.append(f"{name}: {_count(~seen, 'cell')} of {seen.size:,}")
            few = ladder & (seen.mean(axis=0) < 0.5)
            thin += [f"{m} on {name}" for m in data["model"].values[few]]
        kept_parts[name] = data
    for found, sentence in (
        (idle, "Items with chance 1 measure nothing and are dropped. {}."),
        (dropped, "Items that more than half of the ladder lacks are dropped. {}."),
        (missing, "Missing cells are kept as missing. {}."),
        (thin, "Ladder models with results on fewer than half of the items: {}."),
    ):
        if found:
            say.warn(sentence.format(_some(found)))
    return kept_parts


def _examine(models: pd.DataFrame, parts: dict[str, xr.Dataset], say: _Findings) -> None:
    """Refuse ladders that carry no forecast, and say what is doubtful about the others."""
    compute = {name: data["compute"].values[_on_ladder(data)] for name, data in parts.items()}
    few = [f"{_short(name)} ({len(c)})" for name, c in compute.items() if len(c) < 2]
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

    doubts: dict[str, dict[str, None]] = {}  # sentence -> places, in order

    def doubt(sentence: str, *places: str) -> None:
        doubts.setdefault(sentence, {}).update(dict.fromkeys(places))

    two = int((models["role"] == "ladder").sum()) == 2
    if two:
        doubt(
            "The ladder has only 2 models: a curve through two points cannot be checked; expect "
            "wide forecasts."
        )
    top = models["compute"].max()
    if not 1e15 <= top <= 1e28:
        doubt(
            f"compute does not look like FLOPs (the largest is {top:.3g}): the thresholds on "
            "curves assume FLOPs; forecasts only need one common unit."
        )
    for name, data in parts.items():
        c, at = compute[name], data["model"].values
        ladder = np.flatnonzero(_on_ladder(data))
        last = ladder[-1]
        if len(c) < 3 and not two:
            doubt("Fewer than 3 ladder models have results on {}: expect wide forecasts.", name)
        if c[-1] / 10 < c[0]:
            doubt("The ladder spans less than one decade of compute on {}.", name)
        if (c[1:] / 1e6 > c[:-1]).any():
            doubt("The ladder has a gap of over 6 decades of compute on {}: check its unit.", name)
        families = sorted(set(models["family"][at[ladder]]) - {""})
        if len(families) > 1:
            doubt(
                "The ladder mixes families, which need not share one curve, on {}: choose with "
                "families= (--family).",
                f"{name} ({_some(families)})",
            )
        low = (data["role"].values == "target") & (data["compute"].values <= c[-1])
        doubt(
            "Target inside the ladder: {}.",
            *(f"{target} has no more compute than {at[last]}" for target in at[low]),
        )

        rate, chance = data["rate"].values, data["chance"].values
        margin = rate[:, last] - chance
        if (known := ~np.isnan(margin)).any() and margin[known].mean() < -0.10:
            doubt(
                "The largest ladder model is more than 10 points below chance on {}: check the "
                "scoring and the chance level.",
                f"{name} ({100 * margin[known].mean():.0f} points)",
            )
        mean = np.nanmean(rate[:, ladder], axis=0)
        best = int(np.argmax(mean))
        if mean.max() == 0 or mean.min() == 1:
            doubt(
                "Every answer of the ladder is {}: there is no growth to extrapolate.",
                f"{'wrong' if mean[0] == 0 else 'right'} on {name}",
            )
        if mean[-1] < mean[best] - 0.10:
            say.note(
                f"{name} falls along the ladder: {at[ladder[best]]} scores {100 * mean[best]:.1f}, "
                f"the largest, {at[last]}, {100 * mean[-1]:.1f}."
            )
    for sentence, places in doubts.items():
        if places or "{}" not in sentence:
            say.warn(sentence.format(_some(places)))
