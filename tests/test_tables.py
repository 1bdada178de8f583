"""Tables as people have them: wide ones, amounts in words, other data frames, folders."""

import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from cod_bayes.evidence.amounts import number_of
from cod_bayes.evidence.record import EvidenceError, EvidenceWarning, read_table

MODELS = ["70M", "410M", "1B", "2.8B"]


def wide(**columns) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model": [f"lab-{size}" for size in MODELS],
            "params": MODELS,
            "tokens": "300B",
            "mmlu": [25.1, 26.0, 31.5, 40.2],
            "arc easy": [30.0, 38.5, 47.0, 60.1],
        }
        | columns
    )


def tidy(items=4) -> pd.DataFrame:
    j, i = (a.ravel() for a in np.meshgrid(np.arange(4), np.arange(items)))
    return pd.DataFrame(
        {
            "benchmark": "A",
            "item": [f"q{k}" for k in i],
            "model": [f"m{k}" for k in j],
            "compute": 10.0 ** (20 + j),
            "n_correct": i + j,
            "n_trials": 20,
        }
    )


def read(source, **options):
    """The evidence, and all sentences about it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EvidenceWarning)
        evidence = read_table(source, **options)
    return evidence, " ".join(evidence.notes)


# -- numbers in words


@pytest.mark.parametrize(
    ("text", "column", "number"),
    [
        ("70M", "params", 70e6),
        ("2.8B", "params", 2.8e9),
        ("2.8 bn", "params", 2.8e9),
        ("300b", "tokens", 300e9),
        ("1.4T", "tokens", 1.4e12),
        ("1,011,781,632", "params", 1_011_781_632),
        ("1,400M", "params", 1.4e9),
        ("2.1 ZFLOPs", "compute", 2.1e21),
        ("3.8e24 FLOP", "compute", 3.8e24),
        ("1,319", "n_trials", 1319),
        ("1_319", "n_correct", 1319),
        ("63.2 %", "score", 0.632),
        ("25%", "chance", 0.25),
    ],
)
def test_numbers_as_people_write_them(text, column, number):
    assert number_of(text, column) == pytest.approx(number, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("70M", "score"),
        ("12,345", "score"),  # thousands, or a decimal comma
        ("0,512", "n_trials"),
        ("1,31", "n_trials"),
        ("1,319,5", "params"),
        ("70X", "params"),
        ("2 PFLOPs", "params"),
        ("63 %", "n_trials"),
        ("about 7B", "params"),
        ("", "params"),
    ],
)
def test_what_is_no_number_in_a_column(text, column):
    assert np.isnan(number_of(text, column))


def test_amounts_in_a_tidy_table(tmp_path):
    table = tidy().drop(columns="compute")
    size = table["model"].map(dict(zip(["m0", "m1", "m2", "m3"], MODELS, strict=True)))
    table = table.assign(params=size, tokens="300B", n_trials="1,000")
    table.to_csv(tmp_path / "t.csv", index=False)
    for source in (table, tmp_path / "t.csv"):
        evidence, _ = read(source)
        params = np.array([70e6, 410e6, 1e9, 2.8e9])
        np.testing.assert_allclose(evidence.models["compute"], 6 * params * 300e9)
        assert (evidence.benchmarks["A"]["n_trials"] == 1000).all()


# -- wide tables


@pytest.mark.parametrize(
    "form", ["frame", "index", "unnamed index", "csv", "csv with index", "tsv"]
)
def test_a_wide_table(form, tmp_path):
    table, path = wide(), tmp_path / ("t.tsv" if form == "tsv" else "t.csv")
    by_model = table.set_index("model")
    source = {"frame": table, "index": by_model, "unnamed index": by_model.rename_axis(None)}
    if form not in source:
        written = by_model.rename_axis(None) if form == "csv with index" else table
        written.to_csv(path, index=form == "csv with index", sep="\t" if form == "tsv" else ",")
    evidence, said = read(source.get(form, path))
    assert list(evidence.models.index) == list(table["model"])
    assert list(evidence.benchmarks) == ["arc easy", "mmlu"]
    np.testing.assert_allclose(evidence.benchmarks["mmlu"]["rate"][0], table["mmlu"] / 100)
    assert "columns read as benchmarks: mmlu, arc easy" in said
    assert "percent, and divided by 100, on arc easy, mmlu" in said


def test_a_wide_table_of_fractions_stays_as_it_is():
    table = wide(mmlu=[0.25, 0.26, 0.31, 0.4], **{"arc easy": [0.3, 0.38, 0.47, 0.6]})
    evidence, said = read(table)
    np.testing.assert_allclose(evidence.benchmarks["mmlu"]["rate"][0], table["mmlu"])
    assert "percent" not in said


def test_names_that_stand_for_one_column_are_read_in_a_wide_table(tmp_path):
    table = wide().rename(columns={"model": "Model", "params": "Parameters"})
    table.to_csv(tmp_path / "t.csv", index=False)
    for source in (table, tmp_path / "t.csv"):
        evidence, said = read(source)
        assert evidence.digest == read(wide())[0].digest
        assert "read under other names: Model as model, Parameters as params" in said


def test_percent_beside_fractions_is_refused_unless_one_is_chosen():
    table = wide(mmlu=[0.25, 0.26, 0.31, 0.4])
    with pytest.raises(EvidenceError, match="percent on arc easy and like fractions on mmlu"):
        read_table(table)
    assert list(read(table, benchmarks=["mmlu"])[0].benchmarks) == ["mmlu"]


def test_percent_signs_need_no_guess():
    table = wide(mmlu=["25.1%", "26 %", "31.5%", "40.2%"]).drop(columns="arc easy")
    evidence, said = read(table)
    np.testing.assert_allclose(evidence.benchmarks["mmlu"]["rate"][0], [0.251, 0.26, 0.315, 0.402])
    assert "percent" not in said


def test_columns_beside_a_benchmark_and_cells_without_a_result():
    table = wide(
        mmlu=[25.1, "-", 31.5, ""], mmlu_stderr=[2.0, "", 2.0, ""], n_layers=[100, 120, 240, 320]
    )
    table["arc easy,n"] = 500
    table["organisation"] = "lab"
    evidence, said = read(table)
    assert list(evidence.benchmarks["mmlu"]["model"].values) == ["lab-70M", "lab-1B"]
    p = np.array([0.251, 0.315])
    np.testing.assert_allclose(evidence.benchmarks["mmlu"]["n_trials"][0], p * (1 - p) / 0.02**2)
    assert (evidence.benchmarks["arc easy"]["n_trials"] == 500).all()
    assert "Columns not used: n_layers, organisation" in said


def test_a_wide_table_that_lacks_something_says_what():
    for table, text in (
        (wide().drop(columns="tokens"), "no column 'compute' (training FLOPs"),
        (
            wide(n_params=1, num_params=2).drop(columns="params"),
            "'n_params' looks like 'params': rename",
        ),
        (wide().drop(columns=["mmlu", "arc easy"]), "or one column per benchmark; got model,"),
        (
            wide(mmlu=[1, "two", 3, 4]),
            "expected scores in column 'mmlu', or empty cells, got 'two'",
        ),
    ):
        with pytest.raises(EvidenceError, match=re.escape(text)):
            read_table(table)


def test_a_tidy_table_without_items():
    table = tidy(1).drop(columns="item")
    evidence, said = read(table)
    assert evidence.benchmarks["A"]["item"].values.tolist() == ["all"]
    assert "No column item: each row is the score of a benchmark" in said


# -- standard errors, single answers


def singles(score, **columns) -> pd.DataFrame:
    """One score per model."""
    j = np.arange(len(score))
    form = {"benchmark": "aime", "item": "all", "model": [f"m{k}" for k in j]}
    return pd.DataFrame(form | {"compute": 10.0 ** (20 + j), "score": score} | columns)


@pytest.mark.parametrize("name", ["stderr", "acc_stderr", "se"])
def test_trials_are_solved_from_a_standard_error(name):
    score = np.array([0.0, 0.1, 0.2, 0.3])
    evidence, said = read(singles(score, **{name: np.sqrt(score * (1 - score) / 30)}))
    np.testing.assert_allclose(evidence.benchmarks["aime"]["n_trials"], 30)  # 0.0 as the others
    assert "solved from its stderr: aime (about 30)" in said and "assumed" not in said


def test_a_standard_error_in_percent():
    evidence, _ = read(singles([10.0, 20, 30], stderr=[5.0, 7, 8]))
    p = np.array([0.1, 0.2, 0.3])
    n = p * (1 - p) / np.array([0.05, 0.07, 0.08]) ** 2
    np.testing.assert_allclose(evidence.benchmarks["aime"]["n_trials"][0], n)


def test_counts_come_before_standard_errors():
    evidence, _ = read(singles([0.1, 0.2, 0.3], stderr=0.01, n_trials=30))
    assert (evidence.benchmarks["aime"]["n_trials"] == 30).all()


def test_solved_trials_survive_a_round_trip():
    evidence, _ = read(singles([0.03, 0.07, 0.13], stderr=[0.03, 0.045, 0.06]))
    again, _ = read(evidence.to_table())
    np.testing.assert_allclose(
        again.benchmarks["aime"]["n_trials"], evidence.benchmarks["aime"]["n_trials"]
    )
    np.testing.assert_allclose(
        again.benchmarks["aime"]["rate"], evidence.benchmarks["aime"]["rate"]
    )


def test_without_a_count_the_assumption_is_said():
    with pytest.warns(EvidenceWarning, match="No number of trials behind scores on aime"):
        read_table(singles([0.1, 0.2, 0.3]))


def test_scores_of_0_and_1_are_single_answers():
    table = tidy(20)
    table["score"] = ((table.index * 7) % 3 == 0).astype(float)
    table = table.drop(columns=["n_correct", "n_trials"])
    evidence, said = read(table)
    assert (evidence.benchmarks["A"]["n_trials"] == 1).all() and "single answers on A" in said
    evidence, said = read(table.assign(score=table["score"].replace(1.0, 0.5)))
    assert evidence.benchmarks["A"]["n_trials"].isnull().all() and "single answers" not in said


# -- other data frames, folders


@pytest.mark.parametrize("make", [pl.from_pandas, lambda t: pl.from_pandas(t).lazy(), pa.table])
def test_any_data_frame(make):
    table = tidy().assign(note="x")
    if make is pa.table:
        made = pa.table({name: pa.array(table[name]) for name in table})
    else:
        made = make(table)
    evidence, said = read(made)
    assert evidence.digest == read(table)[0].digest
    assert "Columns not used: note." in said
    assert list(read(pl.from_pandas(wide()))[0].benchmarks) == ["arc easy", "mmlu"]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_folder_of_tables(suffix, tmp_path):
    table = tidy()
    for model, part in table.groupby("model"):
        (tmp_path / model).mkdir()
        path = tmp_path / model / f"part.{suffix}"
        part = part.assign(chance=0.25) if model == "m1" else part
        part.to_parquet(path) if suffix == "parquet" else part.to_csv(path, index=False)
    evidence, _ = read(tmp_path)
    assert evidence.digest == read(table.assign(chance=0.25))[0].digest


def test_a_folder_that_is_no_table(tmp_path):
    with pytest.raises(EvidenceError, match=r"of one kind .*got none; name one file"):
        read_table(tmp_path)
    tidy().to_csv(tmp_path / "a.csv")
    tidy().to_parquet(tmp_path / "b.parquet")
    with pytest.raises(EvidenceError, match=r"got \.csv and \.parquet; name one file"):
        read_table(tmp_path)
    (tmp_path / "b.parquet").write_bytes(b"x")
    (tmp_path / "a.csv").unlink()
    with pytest.raises(EvidenceError, match=r"cannot read .*b\.parquet"):
        read_table(tmp_path)
