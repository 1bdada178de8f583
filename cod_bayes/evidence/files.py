"""Tables from files (.parquet, .csv, .tsv, .jsonl), folders of them, and data frames.

`open_table` is the only reader of tables in the package. It gives the names of the columns, and
reads those that it is asked for by name; the others stay in the file. Text columns may come back
categorical.
"""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from cod_bayes.evidence.words import EvidenceError, shorten

__all__ = ["Table", "TableSource", "open_table"]

TableSource = Any  # a path, or a data frame: pandas, or any that narwhals knows

_SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl")
_CHUNK = 2**20  # rows of text read at once
_NA = ["", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None"]


class Table(NamedTuple):
    """A table that is not read yet.

    columns  the names of all columns, in order
    read     (text, numbers) -> DataFrame with the columns that are named in either, where the
             table has them. Columns of text stay as written in a text file: "007" is not 7, and an
             item may be called "null". In columns of numbers blank cells, "NA", "null" and the like
             are NaN.
    """

    columns: list[Any]
    read: Callable[[Sequence[str], Sequence[str]], pd.DataFrame]


def open_table(source: TableSource) -> Table:
    """The table in a file, in all tables of a folder one below the other, or in a data frame.

    Raises EvidenceError, here or from `read`, for another kind of source and for a broken file;
    FileNotFoundError for a missing one.
    """
    if isinstance(source, pd.DataFrame):
        return _from_frame(source)
    if not isinstance(source, str | Path):
        return _from_any_frame(source)
    path = Path(os.path.expanduser(source))  # unlike Path.expanduser, keeps an unknown user
    if not path.exists():
        raise FileNotFoundError(f"no such table: {path}")
    if path.is_dir():
        return _from_folder(path)
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise EvidenceError(
            f"{path}: expected a .parquet, .csv, .tsv or .jsonl file, or a folder of them"
        )
    with _refusals(path):
        if suffix == ".parquet":
            table = _from_parquet(path)
        elif suffix == ".jsonl":
            form: dict[str, Any] = {"lines": True, "dtype": False, "precise_float": True}
            table = _from_frame(pd.read_json(path, encoding="utf-8-sig", **form))
        else:
            table = _from_csv(path, "\t" if suffix == ".tsv" else ",")

    def read(text: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
        with _refusals(path):
            return table.read(text, numbers)

    return Table(table.columns, read)


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Whatever goes wrong inside is an EvidenceError that names the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", pd.errors.ParserWarning)  # fields beyond the header
            yield
    except EvidenceError as error:
        raise EvidenceError(f"{path}: {error}") from None
    except Exception as error:  # a parser may raise anything on a broken file
        suffix = path.suffix.lower()
        raise EvidenceError(
            f"cannot read {path}: expected an intact {suffix} file"
            f"{'' if suffix == '.parquet' else ' in UTF-8'}, got {shorten(error, 300)}"
        ) from error


def _from_folder(folder: Path) -> Table:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    kinds = sorted({path.suffix.lower() for path in files})
    if len(kinds) != 1:
        raise EvidenceError(
            f"{folder}: expected a folder of tables of one kind ({', '.join(_SUFFIXES)}), got "
            f"{' and '.join(kinds) or 'none'}; name one file, or move the others away"
        )
    tables = [open_table(path) for path in files]
    columns = list(dict.fromkeys(name for table in tables for name in table.columns))

    def read(text: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
        parts = [table.read(text, numbers) for table in tables]
        names = [name for name in columns if any(name in part for part in parts)]
        return pd.DataFrame({name: _joined([_column(p, name) for p in parts]) for name in names})

    return Table(columns, read)


def _column(part: pd.DataFrame, name: str) -> pd.Series:
    """The column, all missing where the part lacks it."""
    return part[name] if name in part else pd.Series([None] * len(part), dtype=object)


def _from_any_frame(source: object) -> Table:
    import narwhals as nw

    frame: Any = nw.from_native(source, pass_through=True)  # type: ignore[call-overload]
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect()
    if not isinstance(frame, nw.DataFrame):
        raise EvidenceError(
            f"expected a data frame, a file or a folder, got {type(source).__name__}"
        )
    return _from_arrow(frame.columns, lambda name: frame.select(name).to_arrow().column(0))


def _from_frame(table: pd.DataFrame) -> Table:
    if table.columns.nlevels > 1:
        raise EvidenceError(
            f"the columns have {table.columns.nlevels} levels: expected one row of plain "
            "names; flatten them (table.columns = [...])"
        )
    # A group-by leaves the keys in the index, and a pivot the models.
    index = table.index
    levels = [name for name in index.names if name is not None and name not in table.columns]
    if levels:
        table = table.reset_index(level=levels)
    elif index.nlevels == 1 and index.name is None and index.inferred_type == "string":
        table = table.reset_index(names="") if "" not in table.columns else table
    columns = list(table.columns)
    return Table(
        columns, lambda text, numbers: table[[c for c in columns if c in {*text, *numbers}]]
    )


def _from_parquet(path: Path) -> Table:
    import pyarrow.parquet as pq

    def column(name: str) -> Any:
        with pq.ParquetFile(path) as file:
            return file.read([name]).column(0)

    with pq.ParquetFile(path) as file:
        return _from_arrow(file.schema_arrow.names, column)


def _from_arrow(columns: Sequence[str], column: Callable[[str], Any]) -> Table:
    """From the names of columns, and a function from a name to an Arrow array."""
    import pyarrow as pa

    def encoded(values: Any) -> Any:
        """Text with one dictionary for all chunks."""
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
        return values.dictionary_encode() if text else values

    def read(text: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
        # Column by column, encoded at once: a quarter of the time and less memory.
        wanted = {*text, *numbers}
        table = pa.table({name: encoded(column(name)) for name in columns if name in wanted})
        frame = table.to_pandas(ignore_metadata=True, split_blocks=True, self_destruct=True)
        # The pool keeps the memory of decoding, which is as much as the table.
        pa.default_memory_pool().release_unused()
        return frame

    return Table(list(columns), read)


def _from_csv(path: Path, separator: str) -> Table:
    form: dict[str, Any] = {"sep": separator, "encoding": "utf-8-sig", "keep_default_na": False}
    # The header is read separately, because pandas renames the second of two equal columns.
    header = pd.read_csv(path, header=None, nrows=1, dtype=str, **form).loc[0].tolist()
    header = [name or f"Unnamed: {k}" for k, name in enumerate(header)]  # as pandas calls them
    if len(header) == 1:
        for other in {";", "\t", ",", "|"} & set(header[0]) - {separator}:
            raise EvidenceError(
                f"its columns seem separated by {other!r}: expected {separator!r}; save it so"
            )

    def read(text: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
        parts = pd.read_csv(
            path,
            index_col=False,
            # As str: pandas would turn categories such as "007" into numbers.
            dtype={name: str for name in header if name in text},
            na_values={name: _NA for name in header if name in numbers},
            float_precision="round_trip",
            low_memory=False,
            chunksize=_CHUNK,
            **form,
        )
        wanted = {*text, *numbers}
        columns: dict[str, list[pd.Series]] = {name: [] for name in header if name in wanted}
        for part in parts:  # text becomes codes chunk by chunk, as from Parquet
            for name, read in columns.items():
                read.append(part[name].astype("category") if name in text else part[name])
        return pd.DataFrame({name: _joined(columns.pop(name)) for name in list(columns)})

    return Table(header, read)


def _joined(parts: list[pd.Series]) -> pd.Series:
    """One column from its chunks, as if it had been read in one piece."""
    categories = [isinstance(part.dtype, pd.CategoricalDtype) for part in parts]
    if all(categories):
        return pd.Series(pd.api.types.union_categoricals(parts))
    parts = [p.astype(object) if c else p for p, c in zip(parts, categories, strict=True)]
    boolean = [pd.api.types.is_bool_dtype(part) for part in parts]
    if any(boolean) and not all(boolean):  # words among numbers
        parts = [part.astype(str) if b else part for part, b in zip(parts, boolean, strict=True)]
    return pd.concat(parts, ignore_index=True)
