"""The rows of the table: keys as codes into sorted names, and columns checked row by row."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cod_bayes.evidence.amounts import number_of
from cod_bayes.evidence.columns import KEYS
from cod_bayes.evidence.words import EvidenceError, count, has_control, shorten, which_match

__all__ = ["Rows", "code_type", "floats", "range_by_group", "rows_of"]

_UNUSABLE = re.compile("[\x00\ud800-\udfff]")  # NUL, which NumPy drops; half a surrogate pair
_OF_MOMENTS = ("values of compute", "values of tokens")  # which checkpoints of a model differ in
_LONGEST = 1000  # characters of a name: an array of names is as wide as the longest one


@dataclass(frozen=True)
class Rows:
    """The table with its keys as codes (row,) into sorted arrays of names."""

    table: pd.DataFrame
    codes: dict[str, np.ndarray]
    names: dict[str, np.ndarray]

    def keep(self, which: np.ndarray) -> "Rows":
        """Some rows, by mask or by position."""
        if which.dtype == bool and which.all():
            return self
        codes, names = {}, {}
        for key in KEYS:
            codes[key], names[key] = _used_names(self.codes[key][which], self.names[key])
        return Rows(self.table.iloc[which], codes, names)

    def keep_names(self, key: str, patterns: Sequence[str]) -> "Rows":
        """The rows whose name of `key` any of the patterns match."""
        matched = which_match(patterns, self.names[key], key)
        if not matched.any():
            raise EvidenceError(f"no {key} is left")
        return self.keep(matched[self.codes[key]])

    def by_benchmark(self) -> Iterator[tuple[str, "Rows"]]:
        """The rows of each benchmark, with its name."""
        names, code = self.names["benchmark"], self.codes["benchmark"]
        if len(names) == 1:
            yield names[0], self
            return
        order = np.argsort(code, kind="stable")
        ends = np.searchsorted(code[order], np.arange(1, len(names)))
        for name, positions in zip(names, np.split(order, ends), strict=True):
            yield name, self.keep(positions)

    def cells(self, *keys: str) -> np.ndarray:
        """One number per combination of the keys (row,)."""
        cell = np.zeros(len(self.table), dtype=np.int64)
        for key in keys:
            cell = cell * len(self.names[key]) + self.codes[key]
        return cell

    def show(self, mask: np.ndarray, *values: np.ndarray) -> str:
        """The first few rows of the mask as benchmark/item/model (values), and their number."""
        positions = np.flatnonzero(mask)
        examples = []
        for row in positions[:3]:
            codes = ((key, self.codes[key][row]) for key in KEYS)
            name = "/".join("NaN" if c < 0 else shorten(self.names[key][c]) for key, c in codes)
            value = " of ".join(
                f"{v[row]:g}" if isinstance(v[row], float | np.floating) else shorten(repr(v[row]))
                for v in values
            )
            examples.append(f"{name} ({value})" if value else name)
        tail = ", ..." if len(positions) > 3 else ""
        return f"{count(len(positions), 'row')}: {', '.join(examples)}{tail}"

    def refuse(self, bad: np.ndarray, problem: str, *values: np.ndarray) -> None:
        """Raise EvidenceError for the rows of the mask, if there are any."""
        if bad.any():
            raise EvidenceError(f"{problem}; {self.show(bad, *values)}")

    def number(self, column: str) -> np.ndarray:
        """A numeric column as float64 (row,), NaN where absent or missing."""
        if column not in self.table:
            return np.broadcast_to(np.nan, len(self.table))  # takes no memory
        raw = self.table[column]
        known = raw.notna().to_numpy(dtype=bool)
        values = floats(raw)
        unparsed = known & np.isnan(values)
        if unparsed.any():
            values = np.array(values)
            values[unparsed] = _written(raw[unparsed], column)
            unparsed = known & np.isnan(values)
        if unparsed.any():
            examples = self.show(unparsed, raw.to_numpy(dtype=object))
            raise EvidenceError(f"{column} must be a number, got {examples}")
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
        codes, texts = _codes_and_names(self.table[column])
        blank = 0 if len(texts) and texts[0] == "" else -1  # sorted: "" comes first
        values = np.where((codes < 0) | (codes == blank), np.nan, codes)
        one = self._one(values, key, what, where, lambda code: shorten(texts[int(code)]), 0.0)
        return np.append(texts, "")[np.where(np.isnan(one), -1, one).astype(int)]

    def _one(
        self,
        values: np.ndarray,
        key: str,
        what: str,
        where: str,
        printed: Callable[[float], object],
        rtol: float,
    ) -> np.ndarray:
        """The one value of each name. Two values are an error, which prints them by `printed`."""
        names = self.names[key]
        low, high, differ = range_by_group(values, self.codes[key], len(names), rtol)
        if differ.any():
            g = int(np.argmax(differ))
            more = f" (and {differ.sum() - 1:,} more like it)" if differ.sum() > 1 else ""
            raise EvidenceError(
                f"{key} {shorten(names[g])!r}{where} has two {what}, {printed(low[g])!r} and "
                f"{printed(high[g])!r}: give it one{more}"
                + ("; give checkpoints of one model a column step" if what in _OF_MOMENTS else "")
            )
        return low


def rows_of(table: pd.DataFrame) -> Rows:
    """The table as `Rows`.

    Raises EvidenceError for an empty table and for a key that is missing, empty or unusable.
    """
    if not len(table):
        raise EvidenceError("the table is empty: expected one row per model and item")
    codes, names = {}, {}
    for key in KEYS:
        codes[key], names[key] = _codes_and_names(table[key])
    rows = Rows(table.drop(columns=list(KEYS)), codes, names)
    for key in KEYS:
        if (missing := codes[key] < 0).any():
            raise EvidenceError(f"{key} is missing (NaN) in {rows.show(missing)}")
        if names[key][0] == "":  # sorted: "" comes first
            raise EvidenceError(f"{key} is an empty string in {rows.show(codes[key] == 0)}")
        if key == "item":  # items are never printed whole
            continue
        if control := [i for i, name in enumerate(names[key]) if has_control(str(name))]:
            raise EvidenceError(
                f"{key} has control characters in {rows.show(np.isin(codes[key], control))}"
            )
    return rows


def range_by_group(
    values: np.ndarray, group: np.ndarray, size: int, rtol: float = 1e-6
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least and largest value of each group (size,), NaN where none is known; which differ."""
    low, high = np.full(size, np.nan), np.full(size, np.nan)
    np.fmin.at(low, group, values)
    np.fmax.at(high, group, values)
    return low, high, (high > low) & ~np.isclose(high, low, rtol=rtol, atol=0.0)


def code_type(names: np.ndarray) -> np.dtype:
    """The smallest type of codes into the names, or -1: a large table has three of them a row."""
    return np.min_scalar_type(-max(len(names), 1))


def floats(raw: pd.Series) -> np.ndarray:
    """float64 (row,); NaN for what is no number."""
    none = np.broadcast_to(np.nan, len(raw))
    if isinstance(raw.dtype, pd.CategoricalDtype):
        raw = raw.astype(object)
    kind = pd.api.types
    if kind.is_complex_dtype(raw):
        return none
    if kind.is_numeric_dtype(raw) or kind.is_bool_dtype(raw):
        return raw.to_numpy(dtype=float, na_value=np.nan)
    if not (kind.is_object_dtype(raw) or kind.is_string_dtype(raw)):
        return none
    try:
        parsed = pd.to_numeric(raw, errors="coerce")
        return none if kind.is_complex_dtype(parsed) else parsed.to_numpy(float, na_value=np.nan)
    except (TypeError, OverflowError):  # lists; integers beyond any float
        return pd.to_numeric(raw.astype(str), errors="coerce").to_numpy(float, na_value=np.nan)


def _written(raw: pd.Series, column: str) -> np.ndarray:
    """The numbers of texts such as "2.8B" or "1,319" (row,); NaN for what is none."""
    codes, texts = pd.factorize(raw.map(str))
    return np.array([number_of(text, column) for text in texts], dtype=float)[codes]


def _codes_and_names(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Codes (row,) into sorted distinct names str(value); -1 = NaN."""
    if column.dtype == object and pd.api.types.infer_dtype(column) not in ("string", "empty"):
        # As text first, because 1, 1.0 and True are equal.
        column = column.map(str, na_action="ignore")
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
                f"{_LONGEST:,}; use a short id ({shorten(text)})"
            )
        if _UNUSABLE.search(text):
            raise EvidenceError(
                f"a name in column {column.name!r} holds a NUL character or half a surrogate pair: "
                f"remove it ({text[:100]!r})"
            )
    # Distinct values may share a name (1 and "1").
    order, names = pd.factorize(np.array(texts, dtype=object), sort=True)
    order = np.append(order, -1).astype(code_type(names))  # code -1 reads the last entry
    return _used_names(order[codes], np.asarray(names, dtype=object))


def _used_names(codes: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same codes and names, without the names that no row uses."""
    used = np.zeros(len(names) + 1, dtype=bool)
    used[codes] = True
    used[-1] = False  # code -1 (NaN) has set the last entry
    if used[:-1].all():
        return codes, names
    new_code = np.append(np.cumsum(used[:-1]) - 1, -1).astype(code_type(names))
    return new_code[codes], names[used[:-1]]
