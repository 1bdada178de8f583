"""The command line as a user meets it: speed, help, JSON, completion, and logs to report."""

import json
import resource
import shlex
import shutil
import subprocess
import sys
import tomllib
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from seeds import seed
from small_fit import small_fit, with_checks
from test_ingest import lm_row, lm_run

import cod_bayes
from cod_bayes.cli import COMMANDS, main, parser
from cod_bayes.commands.completion import script
from cod_bayes.evaluate.simulate import PAPER_BENCHMARKS, simulate
from cod_bayes.forecast.fitting import Interrupted, load

COLUMNS = "benchmark compute mean sd q05 q25 q50 q75 q95 predictable_share verdict".split()
COMPUTE = np.logspace(20, 23, 5)


@pytest.fixture
def logs(tmp_path):
    """lm-evaluation-harness logs of five models and the table of their compute."""
    rng = np.random.default_rng(seed(0))
    rows = []
    for k, compute in enumerate(COMPUTE):
        rate = 0.9 * np.exp(-1.2 * (compute / 1e22) ** -0.25)
        right = rng.random(80) < rate
        samples = [lm_row(i, {"exact_match": float(r)}) for i, r in enumerate(right)]
        lm_run(tmp_path / "logs", f"m{k}", {"arithmetic": samples})
        rows.append({"model": f"m{k}", "compute": compute})
    pd.DataFrame(rows).to_csv(tmp_path / "models.csv", index=False)
    return tmp_path


def ingested(folder):
    table = folder / "evidence.parquet"
    command = ["ingest", folder / "logs", "--models", folder / "models.csv", "--out", table, "-q"]
    assert main(list(map(str, command))) == 0
    return table


def test_from_logs_to_report_in_two_commands(logs, capsys):
    command = ["forecast", ingested(logs), "--target-compute", "1e24", "-q", "--out", logs / "out"]
    assert main(list(map(str, command))) == 0
    names = {"forecast.csv", "forecast.png", "posterior.nc", "report.html"}
    assert {file.name for file in (logs / "out").iterdir()} == names
    row = pd.read_csv(logs / "out" / "forecast.csv").iloc[0]
    page = (logs / "out" / "report.html").read_text(encoding="utf-8")
    assert "arithmetic" in page and f"90 %: {100 * row.q05:.1f} – {100 * row.q95:.1f} %" in page
    shown = capsys.readouterr()
    assert "note:" not in shown.err  # -q
    assert "report.html" in shown.out


def test_forecast_as_json_is_one_object_with_the_rows_of_the_file(logs, capsys):
    table = ingested(logs)
    capsys.readouterr()
    command = ["forecast", table, "--target-compute", "1e24", "--target-compute", "1e25"]
    assert main(list(map(str, [*command, "--json", "--out", logs / "out"]))) == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert set(found) == {"rows", "notes", "warnings", "failed_checks", "files"}
    assert [list(row) for row in found["rows"]] == [COLUMNS] * 2
    file = pd.read_csv(found["files"]["forecast.csv"])
    pd.testing.assert_frame_equal(pd.DataFrame(found["rows"]), file)
    assert "arithmetic: one cluster" in found["notes"]
    assert all(f"note: {note}" in shown.err for note in found["notes"])
    for warning in found["warnings"]:
        assert f"warning: {warning}" in shown.err


def test_demo_as_json_has_the_truth(tmp_path, capsys, monkeypatch):
    few = partial(simulate, benchmarks=PAPER_BENCHMARKS[:1])
    monkeypatch.setattr("cod_bayes.evaluate.simulate.simulate", few)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        command = ["demo", "-q", "--json", "--items-scale", "0.01", "--out", str(tmp_path)]
        assert main(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["benchmark"] for row in found["rows"]] == ["GSM8K"]
    error = np.mean([abs(row["q50"] - row["truth"]) for row in found["rows"]])
    assert found["mean_absolute_error_points"] == pytest.approx(100 * error)
    assert found["inside_90"] == sum(r["q05"] <= r["truth"] <= r["q95"] for r in found["rows"])


def test_backtest_as_json(logs, capsys):
    command = ["backtest", ingested(logs), "--targets", "1", "--methods", "persistence", "-q"]
    capsys.readouterr()
    assert main(list(map(str, [*command, "--json", "--out", logs / "back"]))) == 0
    found = json.loads(capsys.readouterr().out)
    assert (
        [row["method"] for row in found["scores"]] == ["persistence"] * len(found["scores"]) != []
    )
    assert found["failures"] == [] and Path(found["files"]["reliability.png"]).exists()


@pytest.mark.parametrize("arguments", [["--help"], ["forecast", "--help"], ["report", "--help"]])
def test_help_loads_nothing_heavy(arguments):
    code = (
        "import sys\nfrom cod_bayes.cli import main\n"
        f"try: main({arguments})\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'pandas', 'matplotlib', 'pymc', 'xarray', 'rich'} & set(sys.modules)\n"
        "print('heavy', sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "heavy []" in done.stdout


def test_help_takes_less_than_half_a_second_of_work():
    """Processor time, as the machine may be busy; the best of three."""
    taken = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        code = "from cod_bayes.cli import parser; parser().format_help()"
        subprocess.run([sys.executable, "-c", code], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(taken) < 0.5


def test_version_and_exit_codes_are_told(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"cod-bayes {cod_bayes.__version__}\n"
    assert "0 done, 2 input or options refused, 130 interrupted" in parser().format_help()


def test_an_interrupt_is_130(monkeypatch, capsys):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("cod_bayes.commands.datasets.run", interrupted)
    assert main(["datasets"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_an_interrupted_forecast_keeps_its_draws_beside_the_old_outputs(
    monkeypatch, capsys, tmp_path
):
    _, small = small_fit()
    stopped = with_checks(small, ["interrupted at 70 draws by each of 2 chains", "bulk ESS 81"])

    def fit(*args, **options):
        raise Interrupted(stopped)

    monkeypatch.setattr("cod_bayes.forecast.fitting.fit", fit)
    table, out = tmp_path / "e.csv", tmp_path / "out"
    simulate(seed(0), benchmarks=PAPER_BENCHMARKS[:1], items_scale=0.01).table.to_csv(table)
    out.mkdir()
    (out / "posterior.nc").write_text("old")
    assert main(["forecast", str(table), "--target-compute", "1e24", "--out", str(out)]) == 130
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("cod-bayes: interrupted at 70 draws by each of 2 chains, kept in ")
    assert {path.name for path in out.iterdir()} == {"posterior.nc", "interrupted.nc"}
    assert (out / "posterior.nc").read_text() == "old"
    outlook = load(out / "interrupted.nc").forecast(1e24)
    assert outlook.summary()["verdict"].str.contains("unconverged: interrupted at 70 draws").all()


def test_refused_computes_are_2(tmp_path, capsys):
    assert main(["forecast", str(tmp_path / "e.csv"), "--target-compute", "-1"]) == 2
    assert "expected --target-compute > 0" in capsys.readouterr().err


def completed(*words):
    """What bash offers for the last word."""
    ask = f"{script(parser())}\nCOMP_WORDS=({shlex.join(['cod-bayes', *words])})\n"
    ask += 'COMP_CWORD=$((${#COMP_WORDS[@]}-1))\n_cod_bayes\necho "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_commands_options_and_choices():
    assert completed("fore") == ["forecast"]
    assert sorted(completed("")) == sorted(COMMANDS)
    assert completed("forecast", "--target") == ["--target-compute"]
    assert completed("ingest", "--format", "lm") == ["lm-eval"]
    assert completed("completion", "z") == ["zsh"]
    assert completed("report", "post") == []  # then bash completes file names


def test_completion_is_printed_for_each_shell(capsys):
    for shell in ("bash", "zsh"):
        assert main(["completion", shell]) == 0
        out = capsys.readouterr().out
        assert out.endswith("complete -o default -F _cod_bayes cod-bayes\n")
        assert out.startswith("autoload") == (shell == "zsh")


def test_licence_and_citation_are_in_the_package():
    here = Path(cod_bayes.__file__).parent
    root = tomllib.loads((here.parent / "pyproject.toml").read_text())
    assert "Apache License" in (here / "LICENSE").read_text()
    assert f"version: {root['project']['version']}\n" in (here / "CITATION.cff").read_text()
    packed = root["tool"]["setuptools"]["package-data"]["cod_bayes"]
    assert {"LICENSE", "CITATION.cff"} <= set(packed)
