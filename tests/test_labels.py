"""Clusters as a property of a benchmark: labels of one ladder, used to fit another."""

import warnings

import numpy as np
import pandas as pd
import pytest
from seeds import seed

import cod_bayes as cb
from cod_bayes.cli import main
from cod_bayes.clustering.labels import OUTLIERS, by_labels, given_labels
from cod_bayes.evidence.record import EvidenceError, EvidenceWarning, read_table

RISE = np.array([[0.9, 0.95, 0.97, 0.99], [0.02, 0.1, 0.4, 0.8], [0.0, 0.0, 0.0, 0.0]])
GROUP = np.repeat([0, 1, 2], 30)  # easy, emerging, never solved


def table(trials, which=0, benchmark="b") -> pd.DataFrame:
    """Three groups of 30 items; the ladder of this number gives other answers."""
    rng = np.random.default_rng(seed(10 + which))
    i, j = (a.ravel() for a in np.meshgrid(np.arange(90), np.arange(4), indexing="ij"))
    return pd.DataFrame(
        {
            "benchmark": benchmark,
            "item": [f"q{k:02d}" for k in i],
            "model": [f"ladder{which}-{k}" for k in j],
            "compute": 10.0 ** (20 + j),
            "n_correct": rng.binomial(trials, RISE[GROUP[i], j]),
            "n_trials": trials,
        }
    )


@pytest.fixture(scope="module")
def labels():
    return cb.label_items(read_table(table(100)))


def test_items_are_labelled_by_how_they_grow(labels):
    assert list(labels.columns) == ["benchmark", "item", "cluster", "made_from"]
    assert (labels["item"] == [f"q{k:02d}" for k in range(90)]).all()
    by_group = labels.groupby(GROUP)["cluster"]
    assert by_group.agg(lambda c: c.mode()[0]).nunique() == 3
    assert (by_group.agg(lambda c: (c == c.mode()[0]).mean()) > 0.4).all()
    assert set(labels["cluster"][GROUP == 2]) == {"zero"}


def test_the_labels_group_another_ladder_of_single_answers(labels):
    evidence = read_table(table(1, which=1))
    found = by_labels(evidence.benchmarks["b"], given_labels(labels, evidence)["b"])
    assert found.route == "given" and "zero" in found.kind
    emerging = found.membership[GROUP == 1].sum(axis=0).argmax()
    # All answers are fitted, one per item.
    np.testing.assert_array_equal(
        found.n_trials[emerging, 0], found.membership[:, emerging].sum(axis=0)
    )
    assert found.rate[emerging, 3] - found.rate[emerging, 0] > 0.1
    np.testing.assert_allclose(
        found.weight @ found.rate, evidence.benchmarks["b"]["rate"].mean("item")
    )


def test_items_never_solved_elsewhere_are_outliers_where_they_are_solved(labels):
    right = table(1, which=1).assign(n_correct=1)
    with pytest.warns(EvidenceWarning, match="right on b"):
        evidence = read_table(right)
    found = by_labels(evidence.benchmarks["b"], given_labels(labels, evidence)["b"])
    assert "zero" not in found.kind and OUTLIERS in found.kind


@pytest.mark.parametrize("form", ["table", "parquet", "csv"])
def test_a_fit_takes_labels_from_a_table_or_a_file(form, labels, tmp_path):
    path = tmp_path / f"labels.{form}"
    if form != "table":
        labels.to_parquet(path) if form == "parquet" else labels.to_csv(path, index=False)
    evidence = read_table(pd.concat([table(1, which=1), table(1, which=1, benchmark="other")]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = cb.fit(
            evidence,
            clusters=labels if form == "table" else path,
            draws=60,
            tune=60,
            chains=2,
            progressbar=False,
        )
    routes = fit.idata["constant_data"]["route"].values.tolist()
    assert routes == ["given", "one_cluster"]  # of `other` the labels know nothing
    assert fit.whole is not None


def test_labels_of_other_items_or_benchmarks_are_refused(labels):
    evidence = read_table(table(1, which=1))
    for changed, text in (
        (labels.assign(item="x" + labels["item"]), "know 0 of its 90 items, expected nine in ten"),
        (labels.assign(benchmark="c"), "are of c, and the evidence of b: expected a benchmark in"),
        (labels.drop(columns="cluster"), "columns benchmark, item, cluster, got no cluster"),
        (pd.concat([labels, labels.head(1)]), "one cluster of each item, got two of q00 of b"),
    ):
        with pytest.raises(EvidenceError, match=text):
            given_labels(changed, evidence)
    few = given_labels(labels.iloc[4:], evidence)["b"]
    assert (few[:4] == OUTLIERS).all()


def test_labels_from_the_same_answers_are_warned_of(labels):
    with pytest.warns(EvidenceWarning, match="made from the same answers"):
        given_labels(labels, read_table(table(100)))


def test_single_answers_make_no_labels():
    with pytest.raises(EvidenceError, match=r"17 or more trials .* and differ, got none"):
        cb.label_items(read_table(table(1)))


def test_the_commands(tmp_path, capsys):
    many = pd.concat([table(100), table(1, benchmark="single")])
    many.to_csv(tmp_path / "many.csv", index=False)
    table(1, which=1).to_csv(tmp_path / "few.csv", index=False)
    out = tmp_path / "labels.parquet"
    assert main(["clusters", str(tmp_path / "many.csv"), "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert "written: 90 items" in said.out and "single: one cluster, left out" in said.err
    command = ["forecast", str(tmp_path / "few.csv"), "--target-compute", "1e24", "--out"]
    assert main([*command, str(tmp_path / "out"), "--clusters", str(out)]) == 0
    assert "clusters as given" in capsys.readouterr().err
