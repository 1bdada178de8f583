"""Broken and extreme evidence: it loads with a stated warning, or is refused in one sentence.

The first part is a catalogue, the second holds laws over generated tables, valid and corrupted.
"""

import datetime
import json
import warnings
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cod_bayes.evidence.record import Evidence, EvidenceError, EvidenceWarning, read_table

MODELS = ("s", "m", "l", "xl")


NULLABLE = {"n_correct": "Int64", "n_trials": "Int64", "compute": "Float64", "model": "string"}
ARROW = {"n_correct": "int64[pyarrow]", "compute": "double[pyarrow]", "model": "string[pyarrow]"}


def table(models=MODELS, items=6, trials=10, **columns) -> pd.DataFrame:
    """A clean ladder: the model j answers item i min(trials, i + j) times of `trials`."""
    j, i = (a.ravel() for a in np.meshgrid(np.arange(len(models)), np.arange(items)))
    return pd.DataFrame(
        {
            "benchmark": "A",
            "item": [f"q{k}" for k in i],
            "model": np.asarray(models, dtype=object)[j],
            "compute": 1e18 * 10.0**j,
            "n_correct": np.minimum(trials, i + j).astype(float),
            "n_trials": float(trials),
        }
    ).assign(**columns)


def put(column: str, value: object, frame: pd.DataFrame | None = None) -> pd.DataFrame:
    """The table with one cell changed: row 5, which is A/q1/m."""
    frame = table() if frame is None else frame
    values = frame[column].astype(object).tolist()
    values[5] = value
    return frame.assign(**{column: pd.Series(values, dtype=object)})


def scores(**columns) -> pd.DataFrame:
    frame = table().assign(score=lambda t: t.n_correct / t.n_trials)
    return frame.drop(columns=["n_correct", "n_trials"]).assign(**columns)


def of(model: str, frame: pd.DataFrame | None = None, **columns) -> pd.DataFrame:
    """The table with columns changed in the rows of one model."""
    frame = table() if frame is None else frame
    for column, value in columns.items():
        old = frame[column] if column in frame else pd.Series(np.nan, index=frame.index)
        frame = frame.assign(**{column: old.where(frame.model != model, value)})
    return frame


def read_warned(source, **options) -> tuple[Evidence, list[str]]:
    """The evidence and its warnings; a warning other than EvidenceWarning fails the test."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        evidence = read_table(source, **options)
    assert {w.category for w in caught} <= {EvidenceWarning}, [str(w.message) for w in caught]
    return evidence, [str(w.message) for w in caught]


def refused(source, text: str, **options) -> None:
    with warnings.catch_warnings(), pytest.raises(EvidenceError, match=text) as error:
        warnings.simplefilter("error")
        read_table(source, **options)
    assert "\n" not in str(error.value) and len(str(error.value)) < 1200


def arrow(column: str, kind: str) -> pd.DataFrame:
    import pyarrow as pa

    kinds = {
        "decimal": (pa.decimal128(12, 2), lambda v: Decimal(str(v))),
        "half": (pa.float16(), np.float16),
        "text": (pa.string(), str),
        "dictionary": (pa.dictionary(pa.int8(), pa.float64()), float),
        "timestamp": (pa.timestamp("s"), lambda v: datetime.datetime(2020, 1, 1)),
        "list": (pa.list_(pa.int64()), lambda v: [1]),
        "null": (pa.null(), lambda v: None),
    }
    dtype, cast = kinds[kind]
    values = pa.array([cast(v) for v in table()[column]], type=dtype)
    return table().assign(**{column: pd.Series(pd.arrays.ArrowExtensionArray(values))})


# -- the catalogue: tables that are refused

ROWS = "A/q1/m"
REFUSED: dict[str, tuple[pd.DataFrame, str]] = {
    # shapes
    "nothing at all": (pd.DataFrame(), "no column 'benchmark'; the columns are none at all"),
    "no rows": (table().iloc[:0], "the table is empty: expected one row per model and item"),
    "wide, one column per model": (
        pd.DataFrame({"item": ["q0"], "s": [1], "m": [1]}),
        "no column 'benchmark'; the columns are item, s, m",
    ),
    "columns of two levels": (
        table().set_axis(pd.MultiIndex.from_product([["x"], table().columns]), axis=1),
        r"columns have 2 levels: expected one row of plain names; flatten",
    ),
    "numbered columns": (table().set_axis(range(6), axis=1), "columns are 0, 1, 2, 3, 4, 5"),
    "a column twice": (
        pd.concat([table(), table()["model"]], axis=1),
        "column model appears twice: keep one",
    ),
    "a model twice": (
        pd.concat([table(), table(models=("s",))]),
        "6 cells with more than one row, 6 rows too many: expected one row .* sum their",
    ),
    "one model": (table(models=("s",)), r"at least 2 ladder models, got 1; the models are s"),
    "no item in common": (
        table().assign(item=lambda t: t.item + t.model),
        "no item of benchmark 'A' has results .* same item names",
    ),
    "an index that is no column": (
        table().set_index("model").rename_axis("llm"),
        "no column 'model'",
    ),
    # names
    "a missing benchmark": (put("benchmark", None), r"benchmark is missing \(NaN\) in 1 row: NaN/"),
    "pd.NA as an item": (put("item", pd.NA), r"item is missing \(NaN\) in 1 row: A/NaN/m"),
    "NaT as a model": (put("model", pd.NaT), r"model is missing \(NaN\) in 1 row: A/q1/NaN"),
    "an empty name": (put("item", ""), "item is an empty string in 1 row: A//m"),
    "a name of a million characters": (
        put("item", "x" * 10**6),
        "a name in column 'item' has 1,000,000 characters: expected at most 1,000; use a short id",
    ),
    "NUL in a name": (put("model", "m\0"), r"holds a NUL character .*: remove it \('m\\x00'\)"),
    "half a surrogate pair": (put("item", "q\ud800"), "half a surrogate pair: remove it"),
    "every model with long names": (
        table(models=[c * 900 for c in "abcd"], role="judge"),
        "unknown role 'judge' of model a{199}…, b{199}…, ",
    ),
    "lists as names": (table().assign(item=[[1]] * 24), "4 cells with more than one row, 20 rows"),
    # types
    "a text number": (
        put("n_correct", "two"),
        rf"n_correct must be a number, got .*{ROWS} \('two'\)",
    ),
    "a decimal comma": (scores(score="0,45"), "score must be a number.*'0,45'"),
    "a comma that parts no thousands": (put("n_trials", "1,00"), "n_trials must be a number"),
    "a unit of nothing": (put("compute", "3 X"), "compute must be a number.*'3 X'"),
    "an empty text": (
        put("n_correct", ""),
        rf"n_correct must be a number, got 1 row: {ROWS} \(''\)",
    ),
    "a list": (put("n_correct", [1]), rf"n_correct must be a number.*{ROWS} \(\[1\]\)"),
    "a dictionary": (put("compute", {"flops": 1}), "compute must be a number, got 1 row"),
    "a timestamp among numbers": (put("n_correct", pd.Timestamp(0)), "must be a number.*Timestamp"),
    "datetime columns": (table(chance=pd.Timestamp(0)), "chance must be a number, got 24 rows"),
    "durations": (table(loss=pd.Timedelta(1)), "loss must be a number, got 24 rows"),
    "complex numbers": (scores(score=0.5 + 0j), "score must be a number, got 24 rows"),
    "complex among numbers": (put("n_correct", 1 + 1j), "n_correct must be a number"),
    "intervals": (table(chance=pd.Interval(0, 1)), "chance must be a number, got 24 rows"),
    "a category of texts": (
        table(chance=pd.Categorical(["low"] * 24)),
        "chance must be a number, got 24 rows",
    ),
    "Arrow lists": (arrow("n_correct", "list"), "n_correct must be a number, got 24 rows"),
    "Arrow timestamps": (arrow("compute", "timestamp"), "compute must be a number, got 24 rows"),
    # ranges
    "infinite compute": (put("compute", np.inf), f"compute is infinite in 1 row: {ROWS}"),
    "minus infinity": (put("n_correct", -np.inf), f"n_correct is infinite in 1 row: {ROWS}"),
    "infinity as text": (scores(score="inf"), "score is infinite in 24 rows"),
    "an integer beyond any float": (
        put("n_trials", 10**400),
        f"n_trials is infinite in 1 row: {ROWS}",
    ),
    "no compute": (of("m", compute=np.nan), r"compute is missing .* model m; give its training"),
    "zero compute": (of("s", compute=0.0), r"compute must be positive \(training FLOPs\); 6 rows"),
    "compute that is minus zero": (of("s", compute=-0.0), r"compute must be positive"),
    "negative compute": (table(compute=-1e20), "compute must be positive .*24 rows"),
    "negative params and tokens": (
        table(params=-1e9, tokens=-1e9).drop(columns="compute"),
        "params must be positive; 24 rows",
    ),
    "6 N D beyond any float": (
        table(params=1e200, tokens=1e200).drop(columns="compute"),
        "compute is missing or not finite",
    ),
    "two computes": (put("compute", 2e19), r"'m' has two values of compute, 1e\+19 and 2e\+19"),
    "checkpoints under one name": (
        table(step=np.arange(1, 25)),
        r"the last step of a model .* lacks most items of its earlier steps.*20 rows: A/q0/s",
    ),
    "two losses from one end of the floats to the other": (
        put("loss", -1.7e308, table(loss=1.7e308)),
        r"model 'm' of benchmark 'A' has two values of loss, -1.7e\+308 and 1.7e\+308",
    ),
    "identical compute": (table(compute=1e20), "same compute on A: .*at least two different"),
    "more right than trials": (
        put("n_correct", 11),
        rf"n_correct > n_trials; .*{ROWS} \(11 of 10\)",
    ),
    "a little more right than trials": (
        put("n_correct", 10.4),
        r"n_correct > n_trials; .*10.4 of 10",
    ),
    "negative counts": (put("n_correct", -1), rf"n_correct is negative; 1 row: {ROWS} \(-1\)"),
    "no trials": (put("n_trials", 0), "n_trials = 0: leave out rows without a trial; 1 row"),
    "hardly any trials": (put("n_trials", 1e-7), "n_trials = 0: leave out"),
    "a fraction of a trial": (put("n_trials", 0.3), "n_trials must be a whole number; 1 row"),
    "negative trials": (put("n_trials", -10), "n_trials is negative; 1 row"),
    "10^18 trials": (table(n_trials=10**18), "n_trials is no plausible count .*24 rows"),
    "counts without trials": (put("n_trials", np.nan), "n_correct without n_trials: add n_trials"),
    "one score above 1": (
        scores().assign(score=lambda t: t.score.where(t.index != 5, 1.2)),
        r"score must be in \[0, 1\]; 1 row",
    ),
    "scores above 100": (scores(score=145.0), r"score must be in \[0, 1\]; 24 rows"),
    "percent and fractions": (
        pd.concat([scores(), scores(score=45.0, benchmark="B")]),
        "scores look like percent on B and like fractions on A: give all in one unit",
    ),
    "a standard error above any rate's": (scores(stderr=3.0), r"stderr must be in \[0, 0.75\]"),
    "scores below zero": (scores(score=-0.2), r"score must be in \[0, 1\]; 24 rows"),
    "no results": (table(n_correct=np.nan), "no row has a result: expected n_correct and n_trials"),
    "chance above 1": (put("chance", 25.0, table(chance=0.25)), r"in \[0, 1\) .*; 1 row: .*\(25\)"),
    "negative chance": (table(chance=-0.1), r"chance, .* must be in \[0, 1\).*24 rows"),
    "chance 1 everywhere": (table(chance=1.0), "measures nothing: leave it out.*24 rows"),
    "an unknown role": (
        table(role="teacher"),
        "unknown role 'teacher' .*: expected ladder, anchor",
    ),
    "anchors only": (table(role="anchor"), r"at least 2 ladder models, got 0; .*l \(anchor\)"),
    "two families": (put("family", "G", table(family="F")), "has two families, 'F' and 'G': give"),
    "two subsets": (
        put("subset", "y", table(subset="x")),
        "'q1' of benchmark 'A' has two values of",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    refused(*REFUSED[case])


# -- the catalogue: tables that load, and the warning (None: none)

LOADS: dict[str, tuple[pd.DataFrame, str | None]] = {
    # degenerate ladders
    "one item": (table(items=1), None),
    "two models": (table(models=("s", "m")), "The ladder has only 2 models"),
    "one item, two models": (table(models=("s", "m"), items=1), "The ladder has only 2 models"),
    "all wrong": (table(n_correct=0), "Every answer of the ladder is wrong on A"),
    "all right": (table(n_correct=10), "Every answer of the ladder is right on A"),
    "decreasing accuracy": (table().assign(n_correct=lambda t: 10 - t.n_correct), None),
    "chance above accuracy": (table(chance=0.95), "more than 10 points below chance on A"),
    "nearly identical compute": (
        table().assign(compute=lambda t: t.compute**0.001),
        "less than one decade of compute on A",
    ),
    "compute in GFLOPs": (
        table().assign(compute=lambda t: t.compute / 1e9),
        "compute does not look like FLOPs (the largest is 1e+12)",
    ),
    "compute 1e9 too large": (
        table().assign(compute=lambda t: t.compute * 1e9),
        "compute does not look like FLOPs (the largest is 1e+30)",
    ),
    "one model in GFLOPs": (of("m", compute=1e10), "a gap of over 6 decades of compute on A"),
    "compute at the end of the floats": (of("xl", compute=1.7e308), "does not look like FLOPs"),
    "compute at the other end": (of("s", compute=5e-324), "a gap of over 6 decades"),
    "a target below the ladder": (
        of("s", table(role="ladder"), role="target"),
        "Target inside the ladder: s has no more compute than xl",
    ),
    "an anchor without compute": (
        of("m", table(role="ladder"), role="anchor", compute=np.nan),
        None,
    ),
    # results
    "10^6 trials": (table(trials=10**6), None),
    "10^15 trials": (table(trials=10**15), None),
    "fractional counts": (put("n_correct", 2.5), "n_correct is not whole on A (items q1)"),
    "conflicting chance": (
        put("chance", 0.5, table(chance=0.25)),
        "the chance of 1 item of A (q1)",
    ),
    "chance 1 of one item": (
        table(chance=0.25).assign(chance=lambda t: t.chance.where(t.item != "q0", 1)),
        "Items with chance 1 measure nothing and are dropped. A: 1 item (q0).",
    ),
    "negative zero": (scores(score=-0.0), "Every answer of the ladder is wrong"),
    "a missing result": (put("n_correct", None), "m lacks 1 of 6 items of A"),
    "results missing in most of the ladder": (
        table()[lambda t: (t.item != "q1") | (t.model == "s")],
        "Items that over two thirds of the ladder lack are dropped; the forecast is of the others. "
        "A: 1 item (q1).",
    ),
    # types
    "booleans": (table(trials=1).assign(n_correct=lambda t: t.n_correct == 1, n_trials=True), None),
    "text numbers": (table().astype({"n_correct": str, "compute": str}), None),
    "mixed numbers": (put("n_correct", Decimal("2")), None),
    "bytes": (put("n_correct", b"2"), None),
    "small integers": (table().astype({"n_correct": "int8", "n_trials": "uint8"}), None),
    "half precision": (scores().astype({"score": "float16"}), "No number of trials behind"),
    "categories": (table().astype("category"), None),
    "nullable": (table().astype(NULLABLE), None),
    "nullable with pd.NA": (
        table().astype(NULLABLE).assign(n_correct=lambda t: t.n_correct.where(t.index != 5)),
        "m lacks 1 of 6 items of A",
    ),
    "sparse": (table().assign(n_correct=lambda t: pd.arrays.SparseArray(t.n_correct)), None),
    "Arrow": (table().astype(ARROW), None),
    "Arrow decimals": (arrow("n_correct", "decimal"), None),
    "Arrow halves": (arrow("n_correct", "half"), None),
    "Arrow texts": (arrow("n_correct", "text"), None),
    "Arrow nulls": (table(chance=arrow("n_correct", "null")["n_correct"]), None),
    "huge integers as names": (
        table().assign(item=lambda t: [10**30 + int(q[1:]) for q in t["item"]]),
        None,
    ),
    "dates as names": (
        table().assign(
            item=lambda t: pd.Timestamp(0) + pd.to_timedelta(t.item.str[1:].map(int), "D")
        ),
        None,
    ),
    "numbers as names": (table().assign(model=lambda t: t.model.map(len) + t.compute), None),
    # names
    "unicode": (table(models=("小", "ß", "‮אב", "🤖👩‍🔬")), None),
    "names of 1,000 characters": (table(models=[c * 1000 for c in "abcd"]), None),
    "lines and tabs in names": (table().assign(item=lambda t: t.item + "\n\t\r"), None),
    "names like missing values": (table(models=("nan", "None", "NA", "null")), None),
    "keys in the index": (table().set_index(["benchmark", "item", "model"]), None),
    "a useless index": (table().set_axis([0] * 24, axis=0), None),
    "columns nobody knows": (table(**{"": 1, "seed": [[1]] * 24}), None),
}


@pytest.mark.parametrize("case", LOADS)
def test_loads(case: str) -> None:
    frame, expected = LOADS[case]
    before = frame.copy(deep=True)
    evidence, warned = read_warned(frame)
    pd.testing.assert_frame_equal(frame, before)
    if expected is None:
        assert warned == []
    else:
        assert any(expected in text for text in warned), warned
    assert set(warned) <= set(evidence.notes)
    again, _ = read_warned(evidence.to_table())
    same(evidence, again)
    for data in evidence.benchmarks.values():
        assert not np.signbit(data["rate"]).any()


def test_the_name_of_a_mixed_column_does_not_depend_on_the_order() -> None:
    items = pd.Series([1, True, 1.0, "1", None], dtype=object)
    frame = table(items=5).drop(columns="item").assign(item=items.loc[np.arange(20) // 4].values)
    for order in (frame, frame[::-1]):
        refused(order, "item is missing")
        refused(order.dropna(), "4 cells with more than one row")  # 1 and "1" are one name


# -- the catalogue: files


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def csv(**options) -> str:
    return table().to_csv(index=False, **options)


def parquet(frame: pd.DataFrame | None = None) -> bytes:
    return (table() if frame is None else frame).to_parquet()


def jsonl() -> str:
    return table().to_json(orient="records", lines=True)


def lines(*changed: str) -> str:
    return "\n".join([*csv().splitlines(), *changed])


FILES_REFUSED: dict[str, tuple[str, Callable[[], str | bytes], str]] = {
    "empty csv": ("csv", str, "cannot read .*: expected an intact .csv file in UTF-8, got"),
    "blank csv": ("csv", lambda: "\n\n\n", "cannot read"),
    "empty parquet": ("parquet", bytes, "cannot read .*: expected an intact .parquet file, got"),
    "empty jsonl": ("jsonl", str, "no column 'benchmark'; the columns are none at all"),
    "header only": ("csv", lambda: csv().split("\n")[0], "the table is empty"),
    "no header": ("csv", lambda: csv(header=False), "no column 'benchmark'; the columns are A, q0"),
    "cut parquet": ("parquet", lambda: parquet()[:-40], "cannot read"),
    "parquet without its head": ("parquet", lambda: parquet()[40:], "cannot read"),
    "parquet with a hole": (
        "parquet",
        lambda: parquet()[:4] + bytes(400) + parquet()[404:],
        "cannot read",
    ),
    "csv named parquet": ("parquet", csv, "cannot read"),
    "parquet named csv": ("csv", parquet, "cannot read|no column"),
    "parquet named jsonl": ("jsonl", parquet, "cannot read"),
    "wrong suffix": ("xlsx", csv, "expected a .parquet, .csv, .tsv or .jsonl file"),
    "no suffix": ("", csv, "expected a .parquet, .csv, .tsv or .jsonl file"),
    "semicolons": ("csv", lambda: csv(sep=";"), "columns seem separated by ';': expected ','"),
    "tabs in csv": ("csv", lambda: csv(sep="\t"), r"separated by '\\t': expected ','"),
    "commas in tsv": ("tsv", csv, r"separated by ',': expected '\\t'"),
    "decimal commas": (
        "csv",
        lambda: csv(sep=";", decimal=","),
        "columns seem separated by ';'",
    ),
    "a column twice": (
        "csv",
        lambda: "\n".join(f"{line},{line.split(',')[2]}" for line in csv().splitlines()),
        "column model appears twice",
    ),
    "header twice": (
        "csv",
        lambda: lines(*csv().splitlines()),
        r"n_correct must be a number, got 1 row: benchmark/item/model \('n_correct'\)",
    ),
    "one long row": ("csv", lambda: lines("A,q6,s,1e18,1,10,extra"), "cannot read .*line 26"),
    "only long rows": (
        "csv",
        lambda: csv().replace("\n", ",x\n").replace(",x\n", "\n", 1),
        "cannot read",
    ),
    "an open quote": ("csv", lambda: lines('A,"q6,s,1e18,1,10'), "cannot read"),
    "UTF-16": ("csv", lambda: csv().encode("utf-16"), "expected an intact .csv file in UTF-8"),
    "Latin-1": ("csv", lambda: csv().replace("xl", "xä").encode("latin-1"), "in UTF-8"),
    "NUL bytes": ("csv", lambda: csv().replace("q1", "q\0"), "NUL|cannot read|cells"),
    "cut jsonl": ("jsonl", lambda: jsonl()[:-20], "cannot read"),
    "numbers for rows": ("jsonl", lambda: "1\n2\n", "no column 'benchmark'"),
    "lists for rows": ("jsonl", lambda: "[1, 2]\n[3, 4]\n", "no column 'benchmark'"),
    "null for a row": ("jsonl", lambda: "null\n", "no column 'benchmark'"),
    "nested cells": (
        "jsonl",
        lambda: jsonl().replace('"n_correct":0.0', '"n_correct":{"k":0}'),
        r"n_correct must be a number, got 1 row: A/q0/s \(\{'k': 0\}\)",
    ),
    "a huge integer": ("jsonl", lambda: jsonl().replace("10.0", "1" * 400), "cannot read"),
}


@pytest.mark.parametrize("case", FILES_REFUSED)
def test_files_refused(tmp_path: Path, case: str) -> None:
    suffix, content, text = FILES_REFUSED[case]
    refused(write(tmp_path / f"t.{suffix}".rstrip("."), content()), text)


FILES_LOAD: dict[str, tuple[str, Callable[[], str | bytes]]] = {
    "BOM": ("csv", lambda: csv().encode("utf-8-sig")),
    "upper-case suffix": ("CSV", csv),
    "CRLF": ("csv", lambda: csv(lineterminator="\r\n")),
    "quotes everywhere": ("csv", lambda: csv(quoting=1)),
    "blank lines": ("csv", lambda: csv().replace("\n", "\n\n")),
    "an index column": ("csv", lambda: table().to_csv()),
    "trailing separators": ("csv", lambda: csv().replace("\n", ",\n")),
    "BOM in jsonl": ("jsonl", lambda: jsonl().encode("utf-8-sig")),
    "booleans as text": (
        "csv",
        lambda: csv().replace(",0.0,10.0", ",0.0,1e1").replace(",10.0", ", 10"),
    ),
    "Parquet categories": ("parquet", lambda: parquet(table().astype("category"))),
    "Parquet with an index": ("parquet", lambda: parquet(table().set_index(["item", "model"]))),
    "Parquet decimals": ("parquet", lambda: parquet(arrow("n_correct", "decimal"))),
}


@pytest.mark.parametrize("case", FILES_LOAD)
def test_files_load(tmp_path: Path, case: str) -> None:
    suffix, content = FILES_LOAD[case]
    evidence, warned = read_warned(write(tmp_path / f"t.{suffix}", content()))
    assert warned == []
    same(evidence, read_table(table()))


def test_a_short_row_lacks_its_results(tmp_path: Path) -> None:
    evidence, _ = read_warned(write(tmp_path / "t.csv", lines("A,q6,s")))
    assert evidence.notes == ("1 row without a result taken as missing.",)
    same(evidence, read_table(table()))


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_names_that_look_like_numbers_stay_apart(tmp_path: Path, suffix: str) -> None:
    frame = table(models=("1", "01", "1.0", "1e0"), items=4).assign(benchmark="007")
    path = tmp_path / f"t.{suffix}"
    if suffix == "parquet":
        frame.astype("category").to_parquet(path)
    elif suffix == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="," if suffix == "csv" else "\t")
    same(read_table(path), read_table(frame))
    assert list(read_table(path).models.index) == ["1", "01", "1.0", "1e0"]


def test_what_is_no_table(tmp_path: Path) -> None:
    for source in ({"benchmark": ["A"]}, [1], None, table()["model"], 7):
        refused(source, f"a data frame, a file or a folder, got {type(source).__name__}")
    (tmp_path / "t.csv").mkdir()
    for folder in (tmp_path, tmp_path / "t.csv"):
        refused(folder, "expected a folder of tables of one kind .*, got none")
    for missing in ("none.csv", "https://example.org/t.csv", "~nobody-here/t.csv"):
        with pytest.raises(FileNotFoundError, match="no such table"):
            read_table(missing)


def test_damaged_parquet_never_escapes(tmp_path: Path) -> None:
    whole, rng = parquet(), np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 60):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        outcome(write(tmp_path / "t.parquet", bytes(damaged)))


# -- laws over generated tables

SETTINGS = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
ITEMS = st.text(min_size=1, max_size=6).filter(lambda t: "\0" not in t)
NAMES = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=6)
SCORES = st.floats(0, 1, allow_subnormal=False)
STRANGE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=4),
    st.binary(max_size=3),
    st.complex_numbers(),
    st.decimals().filter(lambda d: not d.is_snan()),  # pandas itself cannot print these
    st.datetimes(),
    st.lists(st.integers(), max_size=2),
    st.sampled_from([pd.NA, pd.NaT, pd.Timestamp(0), 10**400, np.float32(1), np.int8(1), ()]),
)


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """A valid table: 2-4 models, 1-2 benchmarks of 1-4 items, counts and/or scores."""
    models = draw(st.lists(NAMES, min_size=2, max_size=4, unique=True))
    size = len(models)
    steps = draw(st.lists(st.integers(0, 100), min_size=size, max_size=size, unique=True))
    compute = [10 ** (15 + step / 10) for step in steps]
    rows = []
    for benchmark in draw(st.lists(NAMES, min_size=1, max_size=2, unique=True)):
        items = draw(st.lists(ITEMS, min_size=1, max_size=4, unique=True))
        kind = draw(st.sampled_from(["counts", "scores", "both"]))
        for item in items:
            chance = draw(st.sampled_from([None, 0.0, 0.25]))
            for model, c in zip(models, compute, strict=True):
                n = draw(st.integers(1, 10**6))
                k = draw(st.integers(0, n))
                row = dict(benchmark=benchmark, item=item, model=model, compute=c, chance=chance)
                if kind != "scores":
                    row |= dict(n_correct=k, n_trials=n)
                if kind != "counts":
                    row |= dict(score=k / n if kind == "both" else draw(SCORES))
                rows.append(row)
    frame = pd.DataFrame(rows)
    family = draw(st.sampled_from([None, "F"]))
    return frame if family is None else frame.assign(family=family, params=1e9)


@st.composite
def corrupted(draw: st.DrawFn) -> pd.DataFrame:
    """A valid table with strange cells, lost or repeated rows, lost or doubled columns."""
    frame = draw(tables()).astype(object)
    for _ in range(draw(st.integers(1, 3))):
        row = draw(st.integers(0, len(frame) - 1))
        column = draw(st.integers(0, frame.shape[1] - 1))
        match draw(st.sampled_from(["cell", "cell", "column", "row", "drop", "lose", "double"])):
            case "cell":
                values = frame.iloc[:, column].tolist()
                values[row] = draw(STRANGE)
                frame.isetitem(column, pd.Series(values, index=frame.index, dtype=object))
            case "column":
                value = draw(STRANGE)
                same = pd.Series([value] * len(frame), index=frame.index, dtype=object)
                frame.isetitem(column, draw(st.sampled_from([same, same.infer_objects()])))
            case "row":
                frame = pd.concat([frame, frame.iloc[[row]]])
            case "drop" if len(frame) > 1:
                frame = frame.iloc[np.arange(len(frame)) != row]
            case "lose" if frame.shape[1] > 1:
                frame = frame.iloc[:, np.arange(frame.shape[1]) != column]
            case "double":
                frame = pd.concat([frame, frame.iloc[:, [column]]], axis=1)
    return frame


def outcome(source) -> Evidence | None:
    """What is read; None where it is refused. Anything else that happens fails the test."""
    try:
        return read_warned(source)[0]
    except EvidenceError as error:
        assert "\n" not in str(error)
        return None


def same(a: Evidence, b: Evidence) -> None:
    pd.testing.assert_frame_equal(a.models, b.models)
    assert list(a.benchmarks) == list(b.benchmarks)
    for name, data in a.benchmarks.items():
        xr.testing.assert_identical(data, b.benchmarks[name])
    assert a.digest == b.digest


def shuffled(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    return frame.iloc[np.random.default_rng(seed).permutation(len(frame))]


@SETTINGS
@given(tables(), st.integers(0, 2**32 - 1))
def test_valid_tables(frame: pd.DataFrame, seed: int) -> None:
    evidence = outcome(frame)
    assert evidence is not None
    other, _ = read_warned(shuffled(frame, seed))
    same(evidence, other)
    assert evidence.notes == other.notes
    same(evidence, read_warned(evidence.to_table())[0])
    for data in evidence.benchmarks.values():
        rate, trials = data["rate"].values, data["n_trials"].values
        assert ((rate >= 0) & (rate <= 1) | np.isnan(rate)).all()
        np.testing.assert_array_equal(trials == 0, np.isnan(rate))
        assert (np.diff(data["compute"]) >= 0).all()


@SETTINGS
@given(tables(), st.data())
def test_the_digest_changes_with_any_cell(frame: pd.DataFrame, data: st.DataObject) -> None:
    evidence = outcome(frame)
    assert evidence is not None
    row = data.draw(st.integers(0, len(frame) - 1), "row")
    column = data.draw(st.sampled_from([c for c in frame if c != "score"]), "column")
    if column in ("n_correct", "n_trials") and pd.isna(frame.loc[row, column]):
        return
    # Compute, params and family belong to a model, chance to an item: all of its rows change.
    mine = frame.index == row
    if column in ("compute", "params", "family"):
        mine = frame["model"] == frame.loc[row, "model"]
    elif column == "chance":
        mine = (frame[["benchmark", "item"]] == frame.loc[row, ["benchmark", "item"]]).all(axis=1)
    old = frame.loc[row, column]
    new = {
        "compute": lambda: old * 1.001,
        "params": lambda: 2e9,
        "chance": lambda: 0.125,
        "n_correct": lambda: old - 1 if old else frame.loc[row, "n_trials"],
        "n_trials": lambda: old + 1,
    }.get(column, lambda: f"{old}+")()
    changed = frame.assign(**{column: frame[column].where(~mine, new)})
    if (again := outcome(changed)) is not None:
        assert again.digest != evidence.digest


@SETTINGS
@given(tables(), st.data())
def test_the_digest_changes_with_any_score(frame: pd.DataFrame, data: st.DataObject) -> None:
    frame = frame.drop(columns=["n_correct", "n_trials"], errors="ignore").assign(score=0.5)
    row = data.draw(st.integers(0, len(frame) - 1), "row")
    score = data.draw(st.floats(0, 1).filter(lambda x: x != 0.5))
    changed = frame.assign(score=frame["score"].where(frame.index != row, score))
    assert read_warned(changed)[0].digest != read_warned(frame)[0].digest


@SETTINGS
@given(corrupted(), st.integers(0, 2**32 - 1))
def test_corrupted_tables_load_or_are_refused(frame: pd.DataFrame, seed: int) -> None:
    evidence = outcome(frame)
    other = outcome(shuffled(frame, seed))
    assert (evidence is None) == (other is None)
    if evidence is not None and other is not None:
        same(evidence, other)
        assert evidence.notes == other.notes
        same(evidence, read_warned(evidence.to_table())[0])


@settings(SETTINGS, max_examples=30)
@given(tables(), st.sampled_from(["csv", "tsv", "jsonl", "parquet"]))
def test_files_of_valid_tables(
    tmp_path_factory: pytest.TempPathFactory, frame: pd.DataFrame, suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"generated.{suffix}"
    evidence, _ = read_warned(frame)
    if suffix == "parquet":
        evidence.to_table().to_parquet(path)
    elif suffix == "jsonl":
        rows = evidence.to_table().to_dict("records")  # pandas would write 15 digits
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        # Quoted: a lone carriage return would end the line.
        evidence.to_table().to_csv(
            path, sep="," if suffix == "csv" else "\t", quoting=1, index=False
        )
    again, _ = read_warned(path)
    same(evidence, again)


@settings(SETTINGS, max_examples=60)
@given(st.binary(max_size=60), st.sampled_from(["csv", "tsv", "jsonl", "parquet"]))
def test_files_of_noise(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"noise.{suffix}"
    path.write_bytes(content)
    assert outcome(path) is None
