"""Evidence: what is read, refused, repaired and warned of."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from cod_bayes.cli import main
from cod_bayes.evidence.checks import check_targets
from cod_bayes.evidence.record import Evidence, EvidenceError, EvidenceWarning, read_table
from cod_bayes.forecast.storage import load

DATA = Path(__file__).parents[2] / "shared" / "data"
MODELS = ("s", "m", "l", "xl")


def table(models=MODELS, items=6, benchmark="A", trials=10, **columns) -> pd.DataFrame:
    """A clean ladder: the model j answers item i min(trials, i + j) times of `trials`."""
    j, i = (a.ravel() for a in np.meshgrid(np.arange(len(models)), np.arange(items)))
    frame = pd.DataFrame(
        {
            "benchmark": benchmark,
            "item": [f"q{k}" for k in i],
            "model": np.asarray(models)[j],
            "compute": 1e18 * 10.0**j,
            "n_correct": np.minimum(trials, i + j).astype(float),
            "n_trials": float(trials),
        }
    )
    return frame.assign(**columns)


def put(frame: pd.DataFrame, row: int, **values) -> pd.DataFrame:
    frame = frame.astype({c: object for c, v in values.items() if isinstance(v, str | None)})
    for column, value in values.items():
        frame.loc[row, column] = value
    return frame


def scores(frame: pd.DataFrame, **columns) -> pd.DataFrame:
    rate = frame["n_correct"] / frame["n_trials"]
    return frame.drop(columns=["n_correct", "n_trials"]).assign(score=rate).assign(**columns)


def read_warned(source, **options) -> tuple[Evidence, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        evidence = read_table(source, **options)
    assert all(w.category is EvidenceWarning for w in caught)
    assert all(w.filename == __file__ for w in caught)  # they point at the caller
    return evidence, [str(w.message) for w in caught]


def same(a: Evidence, b: Evidence) -> None:
    pd.testing.assert_frame_equal(a.models, b.models)
    assert list(a.benchmarks) == list(b.benchmarks)
    for name, data in a.benchmarks.items():
        xr.testing.assert_identical(data, b.benchmarks[name])
    assert a.digest == b.digest


# -- what is read


def test_arrays_and_coords() -> None:
    frame = table(chance=0.25, subset="easy", family="F", params=1e9, role="ladder", loss=2.0)
    frame.loc[frame.model == "xl", "role"] = "target"
    evidence = read_table(frame.sample(frac=1, random_state=1))
    data = evidence.benchmarks["A"]
    assert data["rate"].dims == data["n_trials"].dims == ("item", "model")
    assert list(data["item"].values) == [f"q{i}" for i in range(6)]
    assert list(data["model"].values) == list(evidence.models.index) == list(MODELS)
    expected = (np.arange(6)[:, None] + np.arange(4)) / 10
    np.testing.assert_array_equal(data["rate"], expected)
    np.testing.assert_array_equal(data["n_trials"], 10.0)
    np.testing.assert_array_equal(data["compute"], [1e18, 1e19, 1e20, 1e21])
    np.testing.assert_array_equal(data["chance"], 0.25)
    np.testing.assert_array_equal(data["loss"], 2.0)
    assert list(data["role"].values) == ["ladder"] * 3 + ["target"]
    assert set(data["subset"].values) == {"easy"}
    assert data["chance"].dims == data["subset"].dims == ("item",)
    assert data["loss"].dims == data["compute"].dims == data["role"].dims == ("model",)
    assert evidence.models.index.name == "model"
    assert list(evidence.models.columns) == ["compute", "role", "family", "params"]
    assert evidence.ladder == ("s", "m", "l")
    assert evidence.notes == ()


def test_defaults_of_optional_columns() -> None:
    evidence = read_table(table())
    data = evidence.benchmarks["A"]
    assert set(data["role"].values) == {"ladder"} and set(data["subset"].values) == {""}
    assert data["chance"].isnull().all() and data["loss"].isnull().all()
    assert set(evidence.models["family"]) == {""}


def test_partly_known_optional_columns_are_completed() -> None:
    frame = put(table(chance=0.25, subset="easy", family="F", role="anchor"), 0, subset=None)
    frame.loc[frame.model != "xl", "role"] = None
    frame.loc[0, ["chance"]] = np.nan
    frame.loc[2, "family"] = ""
    frame.loc[1, "compute"] = np.nan
    evidence = read_table(frame)
    assert list(evidence.models["role"]) == ["ladder"] * 3 + ["anchor"]
    assert set(evidence.models["family"]) == {"F"}
    assert list(evidence.models["compute"]) == [1e18, 1e19, 1e20, 1e21]
    assert evidence.benchmarks["A"]["chance"].notnull().all()
    assert set(evidence.benchmarks["A"]["subset"].values) == {"easy"}


def test_models_ascend_in_compute_not_in_name() -> None:
    evidence = read_table(table(models=("z", "b", "y", "a")))
    assert evidence.ladder == ("z", "b", "y", "a")
    np.testing.assert_array_equal(evidence.benchmarks["A"]["rate"][0], [0.0, 0.1, 0.2, 0.3])


def test_same_item_name_in_two_benchmarks_and_different_models() -> None:
    both = pd.concat([table(), table(models=("m", "l", "xl"), benchmark="B", items=2)])
    both.loc[both.benchmark == "B", "compute"] *= 10
    evidence = read_table(both)
    assert dict(evidence.benchmarks["A"].sizes) == {"item": 6, "model": 4}
    assert list(evidence.benchmarks["B"]["model"].values) == ["m", "l", "xl"]
    np.testing.assert_array_equal(evidence.benchmarks["B"]["rate"][1], [0.1, 0.2, 0.3])


def test_names_become_strings_and_merge() -> None:
    frame = table().assign(item=lambda t: t.item.str[1:].astype(int))
    frame["item"] = frame["item"].astype(object)
    frame.loc[frame.index[:2], "item"] = "0"  # "0" and 0 are one item
    same(read_table(frame), read_table(table().assign(item=lambda t: t.item.str[1:])))


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow", "category", "bool"])
def test_dtypes(backend: str) -> None:
    frame = table(chance=0.25, trials=1)
    if backend == "category":
        other = frame.astype({c: "category" for c in ("benchmark", "item", "model")})
    elif backend == "bool":
        other = frame.assign(n_correct=frame["n_correct"] == 1, n_trials=1)
    else:
        other = frame.convert_dtypes(dtype_backend=backend)  # type: ignore[call-overload]
    other.index = other.index * 0  # the index plays no part
    same(read_table(frame), read_table(other))


def test_counts_win_over_scores_and_scores_fill_in() -> None:
    frame = put(table(score=0.5), 0, n_correct=np.nan, n_trials=np.nan)
    evidence, warned = read_warned(frame)
    assert len(warned) == 1 and "No number of trials behind scores on A" in warned[0]
    data = evidence.benchmarks["A"]
    assert data["rate"][0, 0] == 0.5 and np.isnan(data["n_trials"][0, 0])
    assert data["rate"][0, 1] == 0.1 and data["n_trials"][0, 1] == 10
    assert any("the counts are used" in note for note in evidence.notes)


def test_scores_without_trials() -> None:
    evidence, warned = read_warned(scores(table()))
    assert len(warned) == 1 and "(1,000 in cod) is assumed behind each score" in warned[0]
    data = evidence.benchmarks["A"]
    assert data["n_trials"].isnull().all()
    np.testing.assert_allclose(data["rate"], read_table(table()).benchmarks["A"]["rate"])


def test_score_with_trials_is_a_count_unless_credit_is_partial() -> None:
    whole = scores(table(), n_trials=10)
    same(read_table(whole), read_table(table()))
    evidence = read_table(put(whole, 0, score=0.123))
    assert evidence.benchmarks["A"]["n_trials"].isnull().all()
    assert any("without trial count" in note for note in evidence.notes)


def test_partial_credit_in_counts() -> None:
    frame = put(table(), 5, n_correct=2.5)
    evidence, warned = read_warned(frame)
    data = evidence.benchmarks["A"]
    assert len(warned) == 1 and data["rate"][1, 1] == 0.25
    # The other models' whole counts of that item are not counts either; other items keep theirs.
    np.testing.assert_array_equal(data["n_trials"].isnull().all("model"), np.arange(6) == 1)
    assert int(data["n_trials"].isnull().sum()) == 4
    # Partial credit anywhere speaks against reading the benchmark's scores as counts.
    frame = pd.concat(
        [frame[frame.item < "q3"], scores(table(), n_trials=10)[lambda t: t.item >= "q3"]]
    )
    data = read_warned(frame)[0].benchmarks["A"]
    np.testing.assert_array_equal(data["n_trials"].isnull().all("model"), [0, 1, 0, 1, 1, 1])


def test_conflicting_chance_is_the_median_of_the_rows() -> None:
    frame = put(table(chance=0.25), 5, chance=1.0)
    evidence, warned = read_warned(frame)
    assert len(warned) == 1 and (evidence.benchmarks["A"]["chance"] == 0.25).all()
    frame.loc[frame.item == "q1", "chance"] = [0.1, 0.2, 0.4, np.nan]
    chance = read_warned(frame)[0].benchmarks["A"]["chance"]
    np.testing.assert_array_equal(chance, [0.25, 0.2, 0.25, 0.25, 0.25, 0.25])


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_files(tmp_path: Path, suffix: str) -> None:
    # Names that parsers like to change, and a column nobody knows.
    frame = table(items=3, chance=0.25, zip="x")
    frame["item"] = frame["item"].map({"q0": "007", "q1": "null", "q2": "1e3"})
    frame.loc[0, "chance"] = np.nan
    path = tmp_path / f"t.{suffix}"
    if suffix == "parquet":
        frame.set_index(["benchmark", "item"]).to_parquet(path)  # an index is columns too
    elif suffix == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, sep="," if suffix == "csv" else "\t", index=False)
    evidence = read_table(str(path))
    same(evidence, read_table(frame))
    assert list(evidence.benchmarks["A"]["item"].values) == ["007", "1e3", "null"]
    assert "Columns not used: zip." in evidence.notes


@pytest.mark.parametrize("count", [127, 128, 129, 130])
def test_codes_are_wide_enough_for_all_names(count: int) -> None:
    """129 names are one more than codes of one byte can tell apart."""
    names = [f"m{k:03d}" for k in range(count)]
    frame = table(models=names, items=2, compute=1e20).assign(
        n_correct=lambda t: t["model"].str[1:].astype(int), n_trials=1000
    )
    frame["compute"] = 1e20 * (1 + frame["n_correct"])
    rate = read_table(frame).benchmarks["A"]["rate"]
    np.testing.assert_allclose(rate, np.tile(np.arange(count) / 1000, (2, 1)))


def test_a_long_file_of_text_is_read_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "cod_bayes.evidence.files._CHUNK", 4
    )  # models of an item in several of them
    frame = table(items=5, chance=0.25, family="f")
    frame["n_correct"] = frame["n_correct"].astype(float)
    frame.loc[[0, 5], ["n_correct", "family"]] = [[np.nan, None], [1.5, "f"]]  # whole, then not
    frame.to_csv(tmp_path / "t.csv", index=False)
    same(read_warned(tmp_path / "t.csv")[0], read_warned(frame)[0])
    truths = scores(table(items=3)).assign(score=[True] * 8 + [0.5] * 4)
    truths.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(EvidenceError, match="score must be a number, got 8 rows: "):
        read_table(tmp_path / "t.csv")
    frame["n_correct"] = frame["n_correct"].astype(object)
    frame.loc[7, "n_correct"] = "many"
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(EvidenceError, match=r"n_correct must be a number, got 1 row: .*'many'"):
        read_table(tmp_path / "t.csv")


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such table"):
        read_table(tmp_path / "none.csv")
    for name, text in [("a.txt", "x"), ("a.csv", ""), ("a.jsonl", "{"), ("a.parquet", "x")]:
        (tmp_path / name).write_text(text)
        with pytest.raises(EvidenceError, match=name):
            read_table(tmp_path / name)


# -- invariances


def mixed() -> pd.DataFrame:
    """Two benchmarks, counts and rates, missing cells, every optional column."""
    a = table(items=9, chance=0.25, subset="s1", family="F", params=1e9, tokens=2e9, step=7)
    b = table(benchmark="B", items=5, score=0.37, loss=1.5, role="ladder", family="F")
    b[["n_correct", "n_trials"]] = np.nan
    frame = pd.concat([a, b], ignore_index=True).drop(index=[0, 7, 38])
    frame["role"] = np.where(frame.model == "xl", "target", "ladder")
    return frame


def test_row_order_does_not_matter() -> None:
    first, _ = read_warned(mixed())
    for seed in range(3):
        shuffled, _ = read_warned(mixed().sample(frac=1, random_state=seed))
        same(first, shuffled)


def test_round_trip() -> None:
    first, warned = read_warned(mixed())
    second, warned_again = read_warned(first.to_table())
    same(first, second)
    assert warned == warned_again
    assert len(first.to_table()) == len(mixed())


def test_round_trip_of_counts_is_exact(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = table(items=500, trials=997)
    frame["n_correct"] = rng.integers(0, 998, len(frame))
    first = read_table(frame)
    first.to_table().to_csv(tmp_path / "t.csv", index=False)
    same(first, read_table(tmp_path / "t.csv"))


@pytest.mark.parametrize(
    "change",
    [
        {"n_correct": 9.0},
        {"n_trials": 11.0},
        {"item": "other"},
        {"benchmark": "other"},
    ],
)
def test_digest_sees_every_change_of_a_row(change: dict) -> None:
    first = read_table(table())
    assert len(first.digest) == 64 and int(first.digest, 16)
    if "benchmark" in change:
        second, _ = read_warned(table(**change))
    else:
        second, _ = read_warned(put(table(), 3, **change))
    assert first.digest != second.digest


@pytest.mark.parametrize("column", ["family", "subset", "chance", "loss", "params", "role"])
def test_digest_sees_every_column(column: str) -> None:
    value = {"family": "F", "subset": "S", "role": "ladder"}.get(column, 0.5)
    frame = table(**{column: value})
    if column == "role":
        frame.loc[frame.model == "xl", "role"] = "anchor"
    assert read_table(frame).digest != read_table(table()).digest


def test_digest_ignores_order_inside_the_arrays() -> None:
    evidence = read_table(table())
    turned = {k: d.isel(item=slice(None, None, -1)) for k, d in evidence.benchmarks.items()}
    assert Evidence(evidence.models, turned).digest == evidence.digest


def test_digest_tells_a_target_from_a_ladder_model() -> None:
    evidence, (held_out, _) = read_table(table()), read_warned(table(), hold_out=["l"])
    assert evidence.digest != held_out.digest
    assert evidence.ladder == MODELS and held_out.ladder == ("s", "m", "xl")
    assert list(held_out.benchmarks["A"]["role"].values) == ["ladder", "ladder", "target", "ladder"]


def test_select() -> None:
    evidence = read_table(pd.concat([table(), table(benchmark="B")]))
    before = evidence.digest
    assert list(evidence.select(benchmarks=["B"]).benchmarks) == ["B"]
    few = evidence.select(models=["s", "x*"])
    assert few.ladder == ("s", "xl") == tuple(few.benchmarks["A"]["model"].values)
    np.testing.assert_array_equal(few.benchmarks["A"]["rate"][0], [0.0, 0.3])
    same(evidence.select(), evidence)
    assert evidence.digest == before
    for wrong in ({"benchmarks": ["C"]}, {"models": ["q"]}):
        with pytest.raises(EvidenceError, match="matches"):
            evidence.select(**wrong)  # type: ignore[arg-type]


def test_select_leaves_no_empty_items_or_models() -> None:
    frame = table()
    frame = frame[~((frame.item == "q0") & frame.model.isin(["s", "m"]))]
    evidence, _ = read_warned(frame)
    assert dict(evidence.select(models=["s", "m"]).benchmarks["A"].sizes) == {"item": 5, "model": 2}


def test_select_subsets() -> None:
    a = table(items=6).assign(subset=lambda t: np.where(t.item < "q2", "x/1", "y"))
    evidence = read_table(pd.concat([a, table(benchmark="B")]))
    few = evidence.select(subsets=["x*"])
    assert list(few.benchmarks) == ["A"]
    assert list(few.benchmarks["A"]["item"].values) == ["q0", "q1"]
    same(evidence.select(subsets=["x/1", "y", ""]), evidence)
    with pytest.raises(EvidenceError, match="no subset matches 'z'; there are: , x/1, y"):
        evidence.select(subsets=["z"])


def test_select_the_items_that_all_kept_models_share() -> None:
    frame = table()
    frame = frame[~((frame.item == "q0") & (frame.model == "s"))]
    frame = frame[~((frame.item == "q1") & (frame.model == "m"))]
    evidence, _ = read_warned(pd.concat([frame, table(models=("s", "m"), benchmark="B")]))
    shared = evidence.select(shared=True)
    assert list(shared.benchmarks["A"]["item"].values) == ["q2", "q3", "q4", "q5"]
    assert shared.benchmarks["B"].sizes["item"] == 6  # only of the models that have results on it
    few = evidence.select(["A"], ["m", "l", "xl"], shared=True)
    assert list(few.benchmarks["A"]["item"].values) == ["q0", "q2", "q3", "q4", "q5"]
    one = table(items=2)
    one = one[(one.item == "q0") ^ one.model.isin(["s", "m"])]
    with pytest.raises(EvidenceError, match=r"no item of benchmark 'A' .* all of its 4 models"):
        read_warned(one)[0].select(shared=True)


# -- which models


def families() -> pd.DataFrame:
    b = table(models=("S", "M", "L", "XL"), family="G")
    return pd.concat([table(family="F"), b])


def test_families_ladder_and_hold_out() -> None:
    assert read_table(families(), families=["F"]).ladder == MODELS
    evidence = read_table(families(), families=["F"], hold_out=["x*"])
    assert evidence.ladder == ("s", "m", "l")
    assert evidence.models["role"]["xl"] == "target"
    evidence = read_table(families(), families=["F"], ladder=["[sml]"], hold_out=["xl"])
    assert evidence.ladder == ("s", "m", "l") and "xl" in evidence.models.index
    held = read_table(families(), ladder=["s", "m", "l"], hold_out="XL")  # type: ignore[arg-type]
    assert list(held.models.index) == ["s", "m", "l", "XL"]


def test_ladder_leaves_anchors() -> None:
    frame = families().assign(role=lambda t: np.where(t.model == "XL", "anchor", "ladder"))
    evidence = read_table(frame, ladder=["s", "m", "l"])
    assert list(evidence.models["role"]) == ["ladder"] * 3 + ["anchor"]
    evidence, warned = read_warned(frame, families=["F"])
    assert "XL" not in evidence.models.index
    assert any("leaves out XL, marked as anchor" in text for text in warned)


def test_anchors() -> None:
    frame = table().assign(compute=lambda t: t.compute.where(t.model != "m"))
    frame.loc[frame.model == "m", ["n_correct"]] = 10.0
    for evidence in (
        read_table(frame, anchors=["m"]),
        read_table(frame, ladder=["s", "*l"], anchors=["*"]),
        read_table(frame.assign(role=lambda t: np.where(t.model == "m", "anchor", ""))),
    ):
        assert list(evidence.models.index) == ["s", "l", "xl", "m"]
        assert list(evidence.models["role"]) == ["ladder"] * 3 + ["anchor"]
        data = evidence.benchmarks["A"]
        np.testing.assert_array_equal(data["compute"], [1e18, 1e20, 1e21, np.nan])
        np.testing.assert_array_equal(data["rate"].sel(model="m"), 1.0)
        same(read_table(evidence.to_table()), evidence)
    with pytest.raises(EvidenceError, match=r"compute is missing.* for model m; .*anchors="):
        read_table(frame, hold_out=["m"])
    with pytest.raises(EvidenceError, match=r"no model \(as anchor\) matches 'l'"):
        read_table(frame, ladder=["s", "l"], anchors=["l"])


def test_a_name_with_glob_characters_is_its_own_pattern() -> None:
    evidence = read_table(table(models=("s[1]", "m[1]", "l", "xl")), hold_out=["xl"])
    assert evidence.ladder == ("s[1]", "m[1]", "l")
    assert read_table(table(models=("s", "m", "l", "x[1]")), hold_out=["x[1]"]).ladder[-1] == "l"


def test_rows_left_out_are_not_checked() -> None:
    frame = families()
    frame.loc[frame.family == "G", "compute"] = np.nan
    assert read_table(frame, families=["F"]).ladder == MODELS
    both = pd.concat([table(), table(benchmark="B", trials=-1)])
    assert list(read_table(both, benchmarks=["A"]).benchmarks) == ["A"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"benchmarks": ["AA"]}, "no benchmark matches 'AA'; close names: A"),
        ({"benchmarks": []}, "no benchmark is left"),
        ({"families": ["H"]}, "no family matches 'H'; there are: F, G"),
        ({"ladder": ["small"]}, "no ladder model matches 'small'; there are: L, M, S, XL, l, ..."),
        ({"hold_out": ["xll*"]}, r"no model \(to hold out\) matches 'xll\*'; close names: xl"),
        ({"hold_out": ["xl"], "ladder": ["xl"]}, "no ladder model matches 'xl'"),
        ({"families": ["F"], "hold_out": ["XL"]}, "no model"),
    ],
)
def test_choices_that_match_nothing(options: dict, text: str) -> None:
    with pytest.raises(EvidenceError, match=text):
        read_table(families(), **options)


# -- errors

COLUMN_ERRORS = [
    *[
        (
            table().rename(columns={real: near}),
            f"column '{near}' looks like .*'{real}'.*: rename it",
        )
        for real, near in [
            ("compute", "flops"),
            ("compute", "FLOPs"),
            ("compute", "training_compute"),
            ("compute", "Compute"),
            ("benchmark", "task"),
            ("benchmark", "dataset"),
            ("item", "question"),
            ("item", "question_id"),
            ("item", "doc_id"),
            ("item", "problem"),
            ("model", "Model Name"),
            ("n_trials", "n"),
        ]
    ],
    *[
        (
            scores(table()).rename(columns={"score": near}),
            f"column '{near}' looks like 'n_correct' or 'score': rename it",
        )
        for near in ("acc", "accuracy", "correct")
    ],
    (
        table().rename(columns={"n_correct": "k", "n_trials": "n"}),
        "'k' looks like 'n_correct': rename it; column 'n' looks like 'n_trials': rename it",
    ),
    (
        table(tokens=1e9, n_params=1e9).drop(columns="compute"),
        "'n_params' looks like 'params': rename it",
    ),
    (table().drop(columns="model"), "no column 'model'; the columns are benchmark, item"),
    (table().drop(columns="compute"), "no column 'compute' .*or 'params' and 'tokens'"),
    (table().drop(columns=["n_correct", "n_trials"]), "no results: expected"),
    (
        table().drop(columns="n_trials"),
        r"n_correct but no n_trials; add n_trials \(1 for one greedy answer\)",
    ),
    (pd.concat([table(), table()["model"]], axis=1), "column model appears twice"),
    (pd.DataFrame(), "no column 'benchmark'; the columns are none at all"),
    (table().iloc[:0], "the table is empty"),
]

ROW_ERRORS = [
    (put(table(), 5, n_correct=11.0), r"n_correct > n_trials; 1 row: A/q1/m \(11 of 10\)"),
    (put(table(), 5, n_correct=-1.0), r"n_correct is negative; 1 row: A/q1/m \(-1\)"),
    (put(table(), 5, n_trials=-1.0), "n_trials is negative; 1 row: A/q1/m"),
    (put(table(), 5, n_trials=0.0), "n_trials = 0.*; 1 row: A/q1/m"),
    (put(table(), 5, n_trials=9.5), "n_trials must be a whole number; 1 row: A/q1/m"),
    (put(table(), 5, n_trials=np.nan), "n_correct without n_trials: add n_trials.*A/q1/m"),
    (table(trials=-1), r"24 rows: A/q0/s .*, A/q0/m .*, A/q0/l .*, \.\.\."),
    (scores(table(), score=145.0), r"score must be in \[0, 1\]; 24 rows"),
    (put(scores(table()), 5, score=-0.1), r"score must be in \[0, 1\]; 1 row: A/q1/m \(-0.1\)"),
    (put(table(), 5, n_correct="two"), r"n_correct must be a number, got 1 row: A/q1/m \('two'\)"),
    (put(table(), 5, compute="big"), "compute must be a number, got 1 row: A/q1/m"),
    (table(chance=pd.Timestamp(0)), "chance must be a number, got 24 rows"),
    (put(table(), 5, n_correct=np.inf), "n_correct is infinite in 1 row: A/q1/m"),
    (table(score=np.nan, n_correct=np.nan), "no row has a result"),
    (put(table(), 5, benchmark=None), "benchmark is missing .NaN. in 1 row: NaN/q1/m"),
    (put(table(), 5, item=None), "item is missing .NaN. in 1 row: A/NaN/m"),
    (put(table(), 5, model=None), "model is missing .NaN. in 1 row: A/q1/NaN"),
    (put(table(), 5, benchmark=""), "benchmark is an empty string in 1 row: /q1/m"),
    (put(table(), 5, item=""), "item is an empty string in 1 row: A//m"),
    (put(table(), 5, model=""), "model is an empty string in 1 row: A/q1/"),
    (
        pd.concat([table(), table().iloc[[5, 5, 7]]]),
        "2 cells with more than one row, 3 rows too many: .*sum their.*5 rows: A/q1/m",
    ),
    (put(table(), 5, compute=0.0), r"compute must be positive .*1 row: A/q1/m \(0\)"),
    (put(table(), 5, compute=-1.0), "compute must be positive .*1 row: A/q1/m"),
    (put(table(), 5, compute=np.inf), "compute is infinite in 1 row: A/q1/m"),
    (
        table().assign(compute=lambda t: t.compute.where(t.model != "m")),
        "compute is missing.* for model m; .*6 rows: A/q0/m",
    ),
    (
        table(params=np.nan, tokens=1e9).drop(columns="compute"),
        r"compute is missing.* for model l, m, s, \.\.\. \(4 in all\)",
    ),
    (
        put(table(), 5, compute=2e19),
        r"model 'm' has two values of compute, 1e\+19 and 2e\+19",
    ),
    (put(table(params=1e9), 5, params=2e9), "model 'm' has two values of params"),
    (put(table(role="ladder"), 5, role="judge"), "model 'm' has two roles, 'judge' and 'ladder'"),
    (table(role="judge"), "unknown role 'judge' of model .*: expected ladder, anchor, target"),
    (put(table(family="F"), 5, family="G"), "model 'm' has two families, 'F' and 'G'"),
    (table(role="anchor"), r"at least 2 ladder models, got 0; the models are .*l \(anchor\)"),
    (table(models=("s",)), "at least 2 ladder models, got 1; the models are s"),
    (
        pd.concat([table(), table(models=("s",), benchmark="B")]),
        r"at least 2 ladder models on every benchmark, got B \(1\); .*benchmarks=",
    ),
    (table(compute=1e20), "all ladder models have the same compute on A"),
    (table(chance=1.0), r"chance.* must be in \[0, 1\).*24 rows"),
    (put(table(chance=0.2), 5, chance=-0.2), r"chance.* must be in \[0, 1\).*A/q1/m \(-0.2\)"),
    (
        put(table(subset="x"), 5, subset="y"),
        "item 'q1' of benchmark 'A' has two values of subset, 'x' and 'y'",
    ),
    (
        put(table(loss=2.0), 5, loss=3.0),
        "model 'm' of benchmark 'A' has two values of loss, 2.0 and 3.0",
    ),
    (
        table().assign(item=lambda t: t.item + t.model),
        "no item of benchmark 'A' has results from a third of its 4 ladder models",
    ),
]


@pytest.mark.parametrize(("frame", "text"), COLUMN_ERRORS + ROW_ERRORS)
def test_errors(frame: pd.DataFrame, text: str) -> None:
    with pytest.raises(EvidenceError, match=text):
        read_table(frame)


def test_floating_point_dust_is_no_error() -> None:
    dusty = put(table(chance=1 / 3), 5, chance=0.33333333334, compute=1e19 * (1 + 1e-9))
    dusty.loc[6, "n_correct"] += 1e-9
    same(
        read_table(dusty).select(models=["s", "l"]),
        read_table(table(chance=1 / 3)).select(models=["s", "l"]),
    )


# -- warnings


def gaps(share: float, models=MODELS, lacking=("m", "l", "xl")) -> pd.DataFrame:
    """The first share of 10 items is lacking in some models."""
    frame = table(models=models, items=10)
    first = frame.item.isin([f"q{i}" for i in range(round(10 * share))])
    return frame[~(first & frame.model.isin(lacking))]


WARNINGS = [
    (table(models=("s", "m")), "The ladder has only 2 models"),
    (
        pd.concat([table(), table(models=("s", "m"), benchmark="B")]),
        "Fewer than 3 ladder models have results on B:",
    ),
    (
        table().assign(compute=lambda t: t.compute**0.25 * 1e15),
        "less than one decade of compute on A",
    ),
    (
        table(family="F").assign(family=lambda t: t.family + t.model.str[:1]),
        "mixes families, which need not share one curve, on A (Fl, Fm, Fs, ... (4 in all))",
    ),
    (
        table(role="ladder").assign(role=lambda t: t.role.where(t.model != "l", "target")),
        "Target inside the ladder: l has no more compute than xl",
    ),
    (table().assign(compute=lambda t: t.compute * 1e-12), "compute does not look like FLOPs"),
    (
        table(params=1e9).assign(tokens=lambda t: t.compute / 6e9).drop(columns="compute"),
        "compute = 6 * params * tokens assumed for 4 models: l, m, s, ... (4 in all)",
    ),
    (gaps(0.4), "A: 4 items (q0, q1, q2, ... (4 in all))"),
    (gaps(0.4, lacking=("m",)), "from how the other ladder models score on those items: m lacks 4"),
    (
        gaps(0.4, lacking=("m",)).assign(role=lambda t: t.model.map({"m": "target"})),
        "The results of targets that lack items are over their own items, the forecast is over "
        "all: m lacks 4 of 10 items of A",
    ),
    (put(table(items=60), 30, n_correct=None), "A few cells are missing. A: 1 cell of 240 (l 1)."),
    (
        pd.concat([gaps(0.4, tuple("abcdef"), tuple("bcdef")), table(models=("z",), items=4)]),
        "Models without a result on the items that remain are left out: z on A",
    ),
    (
        put(table(), 5, n_correct=0.5),
        "n_correct is not whole on A (items q1): partial credit, all results of these items",
    ),
    (
        put(table(chance=0.2), 5, chance=0.3),
        "Rows differ on the chance of 1 item of A (q1): the median is taken.",
    ),
    (
        table(chance=0.2).assign(chance=lambda t: t.chance.where(t.item != "q1", 1.0)),
        "Items with chance 1 measure nothing and are dropped. A: 1 item (q1).",
    ),
    (table(n_correct=0.0), "Every answer of the ladder is wrong on A"),
    (table(n_correct=10.0), "Every answer of the ladder is right on A"),
    (
        table().assign(compute=lambda t: t.compute.where(t.model != "s", 1e9)),
        "a gap of over 6 decades of compute on A",
    ),
    (table().assign(compute=lambda t: t.compute * 1e9), "compute does not look like FLOPs"),
    (
        table(chance=0.95, items=4),
        "The largest ladder model is more than 10 points below chance on A (-50 points)",
    ),
]


@pytest.mark.parametrize(("frame", "text"), WARNINGS)
def test_warnings_are_notes_too(frame: pd.DataFrame, text: str) -> None:
    evidence, warned = read_warned(frame)
    assert sum(text in s for s in warned) == 1, warned
    assert any(text in note for note in evidence.notes)
    assert len(warned) == len(set(warned))


def test_a_clean_table_is_silent() -> None:
    evidence, warned = read_warned(table(role="ladder", family="F", chance=0.0))
    assert warned == [] and evidence.notes == ()


def test_one_family_per_benchmark_is_no_mixture() -> None:
    b = table(models=("S", "M", "L"), benchmark="B", family="G")
    assert read_warned(pd.concat([table(family="F"), b]))[1] == []


def test_target_is_compared_with_the_ladder_of_its_own_benchmark() -> None:
    b = table(models=("S", "M", "L"), benchmark="B").assign(compute=lambda t: t.compute * 1e3)
    assert read_warned(pd.concat([table(), b]), hold_out=["xl"])[1] == []


def test_a_target_in_another_unit_than_the_ladder_is_doubted() -> None:
    far = table().assign(compute=lambda t: t.compute.where(t.model != "xl", 1e27))
    warned = read_warned(far, hold_out=["xl"])[1]
    assert any(
        "over 6 decades more compute than the ladder: check the unit of xl" in s for s in warned
    )


@pytest.mark.parametrize("target", [3.8e9, 3.8e30])
def test_a_target_compute_in_another_unit_is_refused(target, tmp_path, capsys, posterior_file):
    """The ladder's compute is 1e18 to 1e21, and the paper's."""
    table().to_csv(tmp_path / "t.csv", index=False)
    command = ["forecast", str(tmp_path / "t.csv"), "--target-compute", str(target)]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    assert "in the unit of the ladder (1e+18 to 1e+21), got 3.8e" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"decades (above|below) it: give it in FLOPs"):
        load(posterior_file).forecast(target)
    check_targets([1e12, 1e27], [1e18, 1e21])


def test_a_target_above_the_ladder_is_silent() -> None:
    assert read_warned(table(), hold_out=["xl"])[1] == []


def test_6nd() -> None:
    n, d = np.array([1e8, 1e9, 1e10, 1e11]), np.array([2e9, 2e10, 2e11, 2e12])
    j = table()["model"].map(dict(zip(MODELS, range(4), strict=True)))
    frame = table(params=n[j], tokens=d[j])
    frame.loc[frame.model != "s", "compute"] = np.nan  # s keeps its own
    evidence, warned = read_warned(frame)
    np.testing.assert_allclose(evidence.models["compute"], [1e18, *(6 * n[1:] * d[1:])])
    assert len(warned) == 1 and "assumed for 3 models" in warned[0]


def test_sparse_items_go_and_other_gaps_stay() -> None:
    evidence, warned = read_warned(gaps(0.4))
    assert list(evidence.benchmarks["A"]["item"].values) == [f"q{i}" for i in range(4, 10)]
    assert evidence.benchmarks["A"]["rate"].notnull().all()
    assert len(warned) == 1

    # Lacking in half of the ladder is not more than two thirds.
    data = read_warned(gaps(0.4, lacking=("m", "l")))[0].benchmarks["A"]
    gap = np.zeros((10, 4), bool)
    gap[:4, 1:3] = True
    np.testing.assert_array_equal(data["rate"].isnull(), gap)
    np.testing.assert_array_equal(data["n_trials"] == 0, gap)


def test_targets_do_not_vote_on_items() -> None:
    frame = gaps(0.4)
    assert read_warned(frame)[0].benchmarks["A"].sizes["item"] == 6
    assert read_warned(frame, hold_out=["xl"])[0].benchmarks["A"].sizes["item"] == 10
    assert read_warned(frame, hold_out=["s"])[0].benchmarks["A"].sizes["item"] == 6


def test_a_row_without_result_is_a_missing_cell() -> None:
    evidence, warned = read_warned(put(table(), 5, n_correct=np.nan, n_trials=np.nan))
    data = evidence.benchmarks["A"]
    assert np.isnan(data["rate"][1, 1]) and data["n_trials"][1, 1] == 0
    assert "1 row without a result taken as missing." in evidence.notes
    assert len(warned) == 1 and "m lacks 1 of 6 items of A" in warned[0]


def test_a_falling_benchmark_is_a_note_only() -> None:
    frame = table(items=4)
    frame.loc[frame.model == "xl", "n_correct"] = 0
    evidence, warned = read_warned(frame)
    assert warned == []
    assert evidence.notes == ("A falls along the ladder: l scores 35.0, the largest, xl, 0.0.",)


# -- real tables and scale


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
@pytest.mark.parametrize(
    ("name", "benchmarks"),
    [
        ("bigbench_0shot", None),
        ("gpt3_lambada_boolq", None),
        ("openlm_benchmarks", None),
        ("opt_bloom_xglm_subtasks", ["opt-*", "xglm-*"]),
        ("pythia_arithmetic", None),
        ("pythia_math", None),
    ],
)
def test_real_tables_agree_with_a_pivot(name: str, benchmarks: list[str] | None) -> None:
    path = DATA / f"{name}.parquet"
    evidence, _ = read_warned(path, benchmarks=benchmarks)
    frame = pd.read_parquet(path)
    frame = frame[frame.benchmark.isin(list(evidence.benchmarks))]
    rate = frame["score"]
    if "n_correct" in frame:
        rate = (frame["n_correct"] / frame["n_trials"]).fillna(frame["score"])
    pivot = frame.assign(rate=rate).pivot(
        index=["benchmark", "item"], columns="model", values="rate"
    )
    assert set(evidence.benchmarks) == set(frame.benchmark)
    for benchmark, data in evidence.benchmarks.items():
        table = pivot.loc[benchmark].dropna(axis="columns", how="all")
        table = table[table.isna().mean(axis="columns") <= 0.5]
        assert dict(data.sizes) == {"item": table.shape[0], "model": table.shape[1]}
        assert int(data["rate"].isnull().sum()) == int(table.isna().to_numpy().sum())
        means = table.mean()[data["model"].values].to_numpy(dtype=float)
        np.testing.assert_allclose(data["rate"].mean("item"), means, rtol=1e-12)
        assert (np.diff(data["compute"]) >= 0).all()
    again, _ = read_warned(evidence.to_table())
    assert again.digest == evidence.digest


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
def test_every_problem_loads() -> None:
    problems = json.loads((DATA / "problems.json").read_text())
    assert len(problems) == 60
    for problem in problems:
        evidence, _ = read_warned(
            DATA / problem["file"],
            benchmarks=[problem["benchmark"]],
            ladder=problem["ladder"],
            hold_out=[problem["target"]],
        )
        subsets = None if problem["subset"] is None else [problem["subset"]]
        evidence = evidence.select(subsets=subsets, shared=True)
        data = evidence.benchmarks[problem["benchmark"]]
        assert list(evidence.ladder) == problem["ladder"], problem["id"]
        assert evidence.models.loc[problem["target"], "compute"] == problem["target_compute"]
        assert set(data["model"].values) == {*problem["ladder"], problem["target"]}
        assert data["rate"].notnull().all() and data.sizes["item"] >= 15
        if subsets:
            assert set(data["subset"].values) == set(subsets)


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
def test_every_item_may_be_a_benchmark() -> None:
    frame = pd.read_parquet(DATA / "openlm_benchmarks.parquet")
    frame = frame[frame.family == "openlm-rpj"]
    evidence, _ = read_warned(frame.assign(benchmark=frame["item"]))
    assert len(evidence.benchmarks) == 46
    assert {data.sizes["item"] for data in evidence.benchmarks.values()} == {1}
    together, _ = read_warned(frame)
    for item in together.benchmarks["OpenLM-46"]["item"].values.tolist():
        xr.testing.assert_identical(
            together.benchmarks["OpenLM-46"].sel(item=[item]), evidence.benchmarks[item]
        )


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
def test_a_real_table_of_many_families_gives_anchors() -> None:
    evidence, warned = read_warned(
        DATA / "mmlu_pro_families.parquet",
        ladder=["Llama-2-*"],
        hold_out=["Meta-Llama-3-70B"],
        anchors=["*"],
    )
    assert evidence.ladder == ("Llama-2-7b-hf", "Llama-2-13b-hf", "Llama-2-70b-hf")
    assert list(evidence.models["role"]).count("anchor") == 25
    unknown = evidence.models["compute"].isna()
    assert unknown.sum() == 14 and not unknown.iloc[:-14].any()
    data = evidence.benchmarks["MMLU-Pro-5shotCoT"]
    assert data.sizes["item"] == 12032 - 5 and data["chance"].max() == 0.5
    assert sum("the chance of 7 items of" in text for text in warned) == 1
    assert sum("Items with chance 1 measure nothing" in text for text in warned) == 1


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
def test_a_real_table_with_fractional_counts() -> None:
    evidence, warned = read_warned(DATA / "opt_bloom_xglm_subtasks.parquet", benchmarks=["bloom*"])
    data = evidence.benchmarks["bloom-lmevalrepo-0shot"]
    unknown = data["n_trials"].isnull().any("model")
    assert set(data["item"].values[unknown]) == {"coqa|em", "mc_taco|em"}
    np.testing.assert_allclose(data["rate"].sel(item="coqa|em", model="bloom-560m"), 0.174)
    assert warned[0] == (
        "n_correct is not whole on bloom-lmevalrepo-0shot (items coqa|em): partial credit, all "
        "results of these items are taken as rates without trial count."
    )


def test_many_rows_without_a_loop() -> None:
    rng = np.random.default_rng(0)
    models = [f"m{j:02d}" for j in range(12)]
    k = rng.integers(0, 2, (20_000, 12))
    frame = pd.DataFrame(
        {
            "benchmark": "A",
            "item": np.repeat([f"q{i:05d}" for i in range(20_000)], 12),
            "model": np.tile(models, 20_000),
            "compute": np.tile(10.0 ** np.arange(18, 24, 0.5), 20_000),
            "n_correct": k.ravel(),
            "n_trials": 1,
        }
    ).sample(frac=1, random_state=0)
    np.testing.assert_array_equal(read_table(frame).benchmarks["A"]["rate"], k)
