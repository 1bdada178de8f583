"""The user's table of models, with the training compute that logs do not record.

One row per model, as CSV or DataFrame:

    model                       the name that the logs use
    compute | params, tokens    training FLOPs, or parameters and training tokens (C = 6 N D), which
                                may be written 70M, 2.8B or 300B
    family, role                optional: role is "ladder" (default), "target" or "anchor", which
                                needs no compute

Other columns are named in a note.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from cod_bayes.evidence.columns import ROLES
from cod_bayes.ingest.json_logs import IngestError

__all__ = ["join_models", "read_models"]

NUMBERS = ("compute", "params", "tokens")
TEXTS = ("family", "role")
_UNITS = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
# Names that other tables give to the columns, in lower case and without signs.
_HINTS = {
    "model": "modelname modelid models name checkpoint llm",
    "compute": "flops flop trainingcompute traincompute trainflops trainingflops computeflops c",
    "params": "parameters nparams numparams parametercount nparameters size n",
    "tokens": "ntokens numtokens trainingtokens traintokens d",
    "family": "families modelfamily",
    "role": "roles",
}


def read_models(source: str | Path | pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Index "model"; the columns compute, params, tokens, family, role that have any value; and a
    note on columns that are not used.

    Raises IngestError, naming the row, for a missing column, a cell that is no positive number, an
    unknown role, a model without compute, and two rows that differ on one model.
    """
    models: dict[str, dict[str, float | str]] = {}
    unused: list[str] = []
    for where, row in _rows(source):
        unused = [c for c in row if c not in ("model", *NUMBERS, *TEXTS)]
        model = row.get("model", "")
        if not model:
            raise IngestError(f"{where}: expected the name of a model, got an empty cell")
        one: dict[str, float | str] = {c: _positive(row.get(c, ""), c, where) for c in NUMBERS}
        one |= {c: row.get(c, "") for c in TEXTS}
        if one["role"] not in ("", *ROLES):
            raise IngestError(f"{where}: expected a role ({', '.join(ROLES)}), got {one['role']!r}")
        unknown = np.isnan(one["compute"]) and np.isnan([one["params"], one["tokens"]]).any()
        if unknown and one["role"] != "anchor":
            raise IngestError(
                f"{where}: expected compute (training FLOPs), or params and tokens, of model "
                f"{model!r}, got empty cells; fill them in, or make it an anchor, or remove it"
            )
        if repr(models.setdefault(model, one)) != repr(one):
            raise IngestError(f"{where}: model {model!r} has two rows that differ; keep one")
    if not models:
        raise IngestError(f"{_name(source)}: expected one row per model, got none")
    table = pd.DataFrame.from_dict(models, orient="index").rename_axis("model")
    notes = []
    if unused:
        asides = [
            f"{c} (like {like}?)" if (like := _resembles(c)) else c or "(no name)" for c in unused
        ]
        notes.append(f"Columns of {_name(source)} that are not used: {', '.join(asides)}.")
    kept = [bool((table[c].notna() & (table[c] != "")).any()) for c in table]
    return table.loc[:, kept], notes


def join_models(table: pd.DataFrame, models: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The table with the columns of its models, and a note on models without logs.

    Raises IngestError that names the models that `models` lacks.
    """
    names = table["model"].cat.categories
    missing = [name for name in names if name not in models.index]
    if missing:
        examples = "; ".join(f"{m!r} ({_nearest(m, models.index)})" for m in missing[:5])
        more = f"; and {len(missing) - 5:,} more" if len(missing) > 5 else ""
        raise IngestError(
            f"expected a row in the models table for each model in the logs, got none for "
            f"{examples}{more}; add rows (a revision, subfolder or adapter is a model of its own), "
            "or leave those logs out (where=, --where model!=..)"
        )
    code = table["model"].cat.codes.to_numpy()
    columns = {}
    for column in models:
        values = models[column].reindex(names)
        if column in TEXTS:
            values = values.replace("", "ladder") if column == "role" else values
            columns[column] = pd.Categorical(values.to_numpy()[code])
        else:
            columns[column] = values.to_numpy(dtype=float)[code]
    seen = set(names)
    absent = [str(name) for name in models.index if name not in seen]
    notes = []
    if absent:
        more = f" and {len(absent) - 5:,} more" if len(absent) > 5 else ""
        notes.append(
            f"Rows of the models table that no result belongs to: {', '.join(absent[:5])}{more}."
        )
    return table.assign(**columns), notes


def _resembles(column: str) -> str:
    """The known column that the name is close to."""
    plain = "".join(letter for letter in column.lower() if letter.isalnum())
    return next((k for k, names in _HINTS.items() if plain == k or plain in names.split()), "")


def _rows(source: str | Path | pd.DataFrame) -> Iterable[tuple[str, dict[str, str]]]:
    """The place of each row, as errors name it, and its cells as stripped texts."""
    if isinstance(source, pd.DataFrame):
        table = source.reset_index() if source.index.name == "model" else source
        _check_columns([str(c) for c in table.columns], "models")
        for place, cells in enumerate(table.to_dict("records")):
            texts = {str(k): "" if pd.isna(v) else str(v).strip() for k, v in cells.items()}
            yield f"models, row {place}", texts
        return
    path = Path(source).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"no such table of models: {path}")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True, skipinitialspace=True)
            _check_columns([c.strip() for c in reader.fieldnames or ()], str(path))
            for cells in reader:
                where = f"{path}, line {reader.line_num}"
                if None in cells or None in cells.values():
                    raise IngestError(
                        f"{where}: expected {len(reader.fieldnames or ())} cells as in the header, "
                        "got another number; write an empty cell as ,,"
                    )
                texts = {k.strip(): v.strip() for k, v in cells.items()}
                if any(texts.values()):
                    yield where, texts
    except UnicodeDecodeError as error:
        raise IngestError(f"{path}: expected a CSV file in UTF-8 ({error.reason})") from None
    except csv.Error as error:
        raise IngestError(f"{path}: expected a CSV file ({error})") from None


def _check_columns(columns: list[str], where: str) -> None:
    got = ", ".join(columns) or "nothing"
    if len(columns) == 1 and (sign := next((s for s in ";\t|" if s in columns[0]), None)):
        name = "tabs" if sign == "\t" else f"{sign!r}"
        raise IngestError(
            f"{where}: expected commas between the columns, got {name}; save it as CSV"
        )
    hints = [
        f"column {c!r} looks like {like!r}: rename it"
        for c in columns
        if (like := _resembles(c)) and like not in columns
    ]
    if hints:
        got += f"; {'; '.join(hints)}"
    if "model" not in columns:
        raise IngestError(f"{where}: expected a column 'model', got {got}")
    if "compute" not in columns and not {"params", "tokens"} <= set(columns):
        raise IngestError(
            f"{where}: expected a column 'compute' (training FLOPs), or 'params' and 'tokens', got "
            f"{got}"
        )
    if twice := {c for c in columns if columns.count(c) > 1}:
        raise IngestError(f"{where}: expected each column once, got {twice.pop()!r} twice")


def _positive(text: str, column: str, where: str) -> float:
    if not text:
        return float("nan")
    number, unit = text, 1.0
    if column != "compute" and text[-1:].upper() in _UNITS:
        number, unit = text[:-1], _UNITS[text[-1:].upper()]
    try:
        value = float(number) * unit
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise IngestError(
            f"{where}: expected a positive number as {column}, such as 1.4e9, got {text!r}"
        )
    return value


def _nearest(model: str, names: Iterable[str]) -> str:
    """The nearest names. The part before a slash, the maker's name, does not count."""

    def plain(name: str) -> str:
        name = name.partition("@")[0].partition("+")[0]
        return name.lower().replace("__", "/").rpartition("/")[2].replace("_", "-")

    names = list(names)
    known: dict[str, list[str]] = {}
    for name in names:
        known.setdefault(plain(name), []).append(name)
    close = difflib.get_close_matches(plain(model), known, n=3, cutoff=0.5)
    close = close or difflib.get_close_matches(plain(model.rpartition("/")[0]), known, n=3)
    nearest = [repr(name) for match in close for name in known[match]][:3]
    return f"nearest: {', '.join(nearest)}" if nearest else f"there are: {', '.join(names[:5])}"


def _name(source: object) -> str:
    return "models" if isinstance(source, pd.DataFrame) else str(source)
