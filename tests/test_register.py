"""Forecasts written down and scored."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
from fake_fit import LADDER, FakeFit
from scipy import stats

from cod_bayes import load
from cod_bayes.cli import main
from cod_bayes.decide.ledger import enter, read_ledger, running
from cod_bayes.decide.register import LEVELS, digest, read, register, settle, settlement, write
from cod_bayes.evaluate import scoring
from cod_bayes.forecast.index import Index

FIT = FakeFit({"a": (0.1, 0.05, 1.0), "b c": (0.1, 0.02, 1.0)})  # at 1e24: N(0.5, sd)


@pytest.fixture
def record(tmp_path):
    (tmp_path / "p.nc").write_bytes(b"posterior")
    return register(FIT, 1e24, tmp_path / "p.nc")


def test_record_says_where_it_comes_from(record):
    assert record["posterior_sha256"] == hashlib.sha256(b"posterior").hexdigest()
    assert record["evidence_digest"] == "abc" and record["model"] == "fake"
    assert [row["benchmark"] for row in record["forecasts"]] == ["a", "b c"]
    q = record["forecasts"][0]["quantiles"]
    np.testing.assert_allclose(q, stats.norm.ppf(LEVELS, 0.5, 0.05), atol=0.02)


@pytest.mark.parametrize("y", [0.4, 0.5, 0.53])
def test_scores_agree_with_those_of_the_draws(record, y):
    row = settle(record, {"a": y}).iloc[0]
    draws = FIT.draws(1e24)["score"].sel(benchmark="a").values.ravel()
    expected = scoring.summarise(draws, y)
    assert row["crps"] == pytest.approx(expected["crps"], rel=0.01)
    assert row["pit"] == pytest.approx(expected["pit"], abs=0.01)
    assert row["log_score"] == pytest.approx(expected["log_score"], abs=0.25)
    assert row["error"] == pytest.approx(expected["median"] - y, abs=1e-9)
    assert row["in50"] == (expected["q25"] <= y <= expected["q75"])
    assert row["in90"] == (expected["q05"] <= y <= expected["q95"])


def test_crps_is_that_of_the_normal_distribution(record):
    y, z = 0.53, 0.6
    known = 0.05 * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - np.pi**-0.5)
    assert settle(record, {"a": y}).loc[0, "crps"] == pytest.approx(known, rel=0.05)


def test_a_registration_is_never_overwritten(record, tmp_path):
    path = tmp_path / "r.json"
    write(record, path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="is a record"):
        write(record | {"model": "other"}, path)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.nc", "r.json", "r.md"]
    (tmp_path / "other.md").write_text("notes")
    with pytest.raises(FileExistsError, match=r"other.md exists"):
        write(record, tmp_path / "other.json")
    assert not (tmp_path / "other.json").exists()


def test_record_and_page_say_what_is_assumed_and_of_which_ladder(tmp_path):
    (tmp_path / "p.nc").write_bytes(b"posterior")
    given = ["the mix is | as before"]
    record = register(FIT, [1e24, 1e25], tmp_path / "p.nc", assumptions=given)
    assert record["assumptions"]["given"] == given
    said = " ".join(record["assumptions"]["of_the_model"])
    assert "+1.00 and +2.00 decades from its largest model (1e+23 FLOPs)" in said
    assert [model["compute"] for model in record["ladder"]] == pytest.approx(LADDER)
    assert record["ladder"][0]["benchmarks"] == ["a", "b c"]
    assert {"cod_bayes", "cod_bayes of the fit", "numpy", "nutpie"} <= record["versions"].keys()
    write(record, tmp_path / "r.json")
    page = (tmp_path / "r.md").read_text()
    assert record["sha256"] in page and "- the mix is \\| as before" in page
    assert all(text.split("(")[0] in page for text in record["assumptions"]["of_the_model"])
    median = 100 * np.interp(0.5, LEVELS, record["forecasts"][0]["quantiles"])
    assert "| a | 1e+24 |" in page and f" {median:.1f} |" in page


def test_an_older_registration_without_them_is_settled(record):
    older = {name: v for name, v in record.items() if name not in ("assumptions", "ladder")}
    assert len(settle(older, {"a": 0.5})) == 1


def test_a_ledger_keeps_the_running_figures_of_several_registrations(tmp_path):
    (tmp_path / "p.nc").write_bytes(b"posterior")
    path = tmp_path / "ledger.csv"
    results = [{"a": 0.5, "b c": 0.505}, {"a": 0.53, "b c": 0.9}]
    scored = []
    for number, result in enumerate(results):
        fit = FakeFit({"a": (0.1, 0.05, 1.0), "b c": (0.1, 0.02, 1.0)}, seed=number)
        record = register(fit, 1e24, tmp_path / "p.nc", indexes=[Index("mean")])
        scored.append(settle(record, result))
        enter(path, record, scored[-1])
    with pytest.raises(ValueError, match=r"'a' of the registration .* is settled once"):
        enter(path, record, scored[-1])
    ledger = read_ledger(path)
    assert len(ledger) == 6 and ledger["is_index"].sum() == 2
    first, second = running(ledger).itertuples()
    every = pd.concat(scored).query("benchmark != 'mean'")
    assert (first.n, second.n) == (2, 4)
    assert first.crps == pytest.approx(scored[0].query("benchmark != 'mean'")["crps"].mean())
    assert second.crps == pytest.approx(every["crps"].mean())
    assert second.mae == pytest.approx(every["error"].abs().mean())
    assert (first.coverage90, second.coverage90) == (1.0, 0.75)
    assert second.coverage50 == every["in50"].mean()
    assert second.pit_mean == pytest.approx(every["pit"].mean())
    assert second.pit_ks == pytest.approx(stats.kstest(every["pit"], "uniform").statistic)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="a ledger with the columns"):
        read_ledger(path)
    with pytest.raises(ValueError, match="got none"):
        running(read_ledger(tmp_path / "new.csv"))


def test_the_command_keeps_a_ledger_and_settles_nothing_twice(record, tmp_path, capsys):
    write(record, tmp_path / "r.json")
    ledger, out = str(tmp_path / "ledger.csv"), tmp_path / "again.json"
    arguments = ["settle", str(tmp_path / "r.json"), "--result", "a=0.5", "--ledger", ledger]
    assert main(arguments) == 0
    assert "Ledger so far" in capsys.readouterr().out
    assert main([*arguments, "--out", str(out)]) == 2
    assert "is settled once" in capsys.readouterr().err and not out.exists()


def test_an_altered_registration_is_refused(record, tmp_path):
    path = tmp_path / "r.json"
    write(record, path)
    assert read(path) == record
    record["forecasts"][0]["quantiles"][3] += 1e-9
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match="was altered"):
        read(path)
    for text, match in (("{", "in JSON"), ("[]", "list"), ('{"format": "x"}', "'x'")):
        path.write_text(text)
        with pytest.raises(ValueError, match=match):
            read(path)


@pytest.mark.parametrize(
    ("results", "compute", "match"),
    [
        ({}, None, "got none"),
        ({"MMLU": 0.5}, None, r"\['a', 'b c'\], got \['MMLU'\]"),
        ({"a": 87.1}, None, "0.85 for 85 %"),
        ({"a": np.nan}, None, r"in \[0, 1\]"),
        ({"a": 0.5}, 2e24, "registered computes"),
    ],
)
def test_bad_results_are_refused(record, results, compute, match):
    with pytest.raises(ValueError, match=match):
        settle(record, results, compute)


def test_of_several_computes_one_is_told(tmp_path):
    (tmp_path / "p.nc").write_bytes(b"")
    record = register(FIT, [1e24, 1e25], tmp_path / "p.nc")
    with pytest.raises(ValueError, match="got None"):
        settle(record, {"a": 0.6})
    row = settle(record, {"a": 0.6}, 1e25).iloc[0]
    assert row["compute"] == 1e25 and row["median"] == pytest.approx(0.6, abs=0.005)


def test_settlement_carries_failed_checks(tmp_path, capsys):
    from cod_bayes.commands.settle import show

    (tmp_path / "p.nc").write_bytes(b"")
    fit = FakeFit({"a": (0.1, 0.05, 1.0)}, failed_checks=("r_hat 1.3",))
    record = register(fit, 1e24, tmp_path / "p.nc")
    table = settle(record, {"a": 0.5})
    assert settlement(record, table)["failed_checks"] == ["r_hat 1.3"]
    show(table, record)
    assert "unconverged: r_hat 1.3" in " ".join(capsys.readouterr().out.split())


def test_commands_register_and_settle(posterior_file, tmp_path, capsys):
    path = tmp_path / "r.json"
    arguments = ["register", str(posterior_file), "--target-compute", "1e24", "--out", str(path)]
    arguments += ["--assume", "the same data"]
    assert main([*arguments[:4], "--out", str(tmp_path / "x.md")]) == 2
    assert "expected --out of a JSON file" in capsys.readouterr().err
    assert main(arguments) == 0
    assert "- the same data" in (tmp_path / "r.md").read_text()
    record = read(path)
    assert digest(record) in capsys.readouterr().out
    draws = load(posterior_file).draws(1e24)["score"]
    medians = [np.interp(0.5, LEVELS, row["quantiles"]) for row in record["forecasts"]]
    np.testing.assert_allclose(medians, draws.median(("chain", "draw")).values[:, 0])
    assert main(arguments) == 2
    assert "is a record" in capsys.readouterr().err

    (tmp_path / "results.csv").write_text("benchmark,score\nMy bench,0.5\n")
    more = ["--result", "GSM8K=0.871", "--results", str(tmp_path / "results.csv")]
    assert main(["settle", str(path), *more]) == 0
    assert "CRPS" in capsys.readouterr().out
    settled = json.loads((tmp_path / "r.settled.json").read_text())
    assert settled["registration_sha256"] == record["sha256"]
    assert [row["actual"] for row in settled["scores"]] == [0.871, 0.5]
    assert main(["settle", str(path), "--result", "GSM8K=0.871"]) == 2


@pytest.mark.parametrize(
    ("extra", "match"),
    [
        (["--result", "GSM8K"], "expected --result"),
        (["--result", "a=0.5", "--result", "a=0.6"], "'a' twice"),
        (["--results", "wrong.csv"], "columns benchmark and score"),
    ],
)
def test_settle_refuses_in_a_sentence(record, tmp_path, capsys, monkeypatch, extra, match):
    monkeypatch.chdir(tmp_path)
    write(record, "r.json")
    (tmp_path / "wrong.csv").write_text("name,score\na,0.5\n")
    assert main(["settle", "r.json", *extra]) == 2
    assert match in capsys.readouterr().err
