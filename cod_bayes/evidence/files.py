"""Tables from files (.parquet, .csv, .tsv, .jsonl) and DataFrames: some columns, read sparingly.

`read_columns` is the only reader of tables in the package. It reads the columns it is given by
name and leaves the others in the file. Text columns may come back categorical.
"""

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cod_bayes.evidence.words import EvidenceError, shorten

__all__ = ["read_columns"]

CheckColumns = Callable[[list[Any]], None]

_SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl")
_CHUNK = 2**20  # rows of text read at once
_NA = ["", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None"]


def read_columns(
    source: str | Path | pd.DataFrame,
    text: Sequence[str],
    numbers: Sequence[str],
    check: CheckColumns = lambda columns: None,
) -> pd.DataFrame:
    """The columns of `source` that are named in `text` or `numbers`, where it has them.

    text     columns of names. They stay as written in a text file: "007" is not 7, and an item may
             be called "null".
    numbers  columns of numbers. Blank cells, "NA", "null" and the like become NaN.
    check    called with the names of all columns before any is read; it may refuse them.

    Raises EvidenceError for another kind of file and for a broken one, FileNotFoundError for a
    missing one.
    """
    if isinstance(source, pd.DataFrame):
        return _from_frame(source, text, numbers, check)
    if not isinstance(source, str | Path):
        raise EvidenceError(f"expected a DataFrame or a file, got {type(source).__name__}")
    path = Path(os.path.expanduser(source))  # unlike Path.expanduser, keeps an unknown user
    if not path.exists():
        raise FileNotFoundError(f"no such table: {path}")
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES or path.is_dir():
        raise EvidenceError(f"{path}: expected a .parquet, .csv, .tsv or .jsonl file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", pd.errors.ParserWarning)  # fields beyond the header
            if suffix == ".parquet":
                return _from_parquet(path, {*text, *numbers}, check)
            if suffix == ".jsonl":
                table = pd.read_json(
                    path, lines=True, dtype=False, precise_float=True, encoding="utf-8-sig"
                )
                return _named(table, text, numbers, check)
            return _from_csv(path, "\t" if suffix == ".tsv" else ",", text, numbers, check)
    except EvidenceError as error:
        raise EvidenceError(f"{path}: {error}") from None
    except Exception as error:  # a parser may raise anything on a broken file
        raise EvidenceError(
            f"cannot read {path}: expected an intact {suffix} file"
            f"{'' if suffix == '.parquet' else ' in UTF-8'}, got {shorten(error, 300)}"
        ) from error


def _from_frame(
    table: pd.DataFrame, text: Sequence[str], numbers: Sequence[str], check: CheckColumns
) -> pd.DataFrame:
    if table.columns.nlevels > 1:
        raise EvidenceError(
            f"the columns have {table.columns.nlevels} levels: expected one row of plain "
            "names; flatten them (table.columns = [...])"
        )
    # A group-by leaves the keys in the index.
    wanted = {*text, *numbers}
    levels = [n for n in table.index.names if n in wanted and n not in table.columns]
    return _named(table.reset_index(level=levels) if levels else table, text, numbers, check)


def _named(
    table: pd.DataFrame, text: Sequence[str], numbers: Sequence[str], check: CheckColumns
) -> pd.DataFrame:
    check(list(table.columns))
    return table[[name for name in table.columns if name in {*text, *numbers}]]


def _from_parquet(path: Path, wanted: set[str], check: CheckColumns) -> pd.DataFrame:
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
        check(names)
        # Column by column, encoded at once: a quarter of the time and less memory.
        columns = {name: encoded(file.read([name]).column(0)) for name in names if name in wanted}
    table = pa.table(columns)
    del columns
    frame = table.to_pandas(ignore_metadata=True, split_blocks=True, self_destruct=True)
    # The pool keeps the memory of decoding, which is as much as the table.
    pa.default_memory_pool().release_unused()
    return frame


def _from_csv(
    path: Path, separator: str, text: Sequence[str], numbers: Sequence[str], check: CheckColumns
) -> pd.DataFrame:
    form: dict[str, Any] = {"sep": separator, "encoding": "utf-8-sig", "keep_default_na": False}
    # The header is read separately, because pandas renames the second of two equal columns.
    header = pd.read_csv(path, header=None, nrows=1, dtype=str, **form).loc[0].tolist()
    if len(header) == 1:
        for other in {";", "\t", ",", "|"} & set(header[0]) - {separator}:
            raise EvidenceError(
                f"its columns seem separated by {other!r}: expected {separator!r}; save it so"
            )
    check(header)
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


def _joined(parts: list[pd.Series]) -> pd.Series:
    """One column from its chunks, as if it had been read in one piece."""
    if isinstance(parts[0].dtype, pd.CategoricalDtype):
        return pd.Series(pd.api.types.union_categoricals(parts))
    boolean = [pd.api.types.is_bool_dtype(part) for part in parts]
    if any(boolean) and not all(boolean):  # words among numbers
        parts = [part.astype(str) if b else part for part, b in zip(parts, boolean, strict=True)]
    return pd.concat(parts, ignore_index=True)
