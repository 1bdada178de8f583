"""Kills, interrupts and full disks for real: outputs are old or new, and a rerun is as good."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cod_bayes.cli import main

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "studies"))
from kill_test import Launcher, backtest, check, evidence, forecast, kills

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
OUTPUTS = {"forecast.csv", "forecast.png", "report.html", "posterior.nc"}


@pytest.fixture(scope="module")
def launcher():
    with Launcher() as launcher:
        yield launcher


@pytest.fixture(scope="module")
def done(launcher, tmp_path_factory):
    """A folder with evidence.csv and `out`, an undisturbed run, and its seconds."""
    folder = tmp_path_factory.mktemp("done")
    start = time.perf_counter()
    assert launcher.run(forecast(evidence(folder / "evidence.csv"), folder / "out")) == 0
    return folder, time.perf_counter() - start


@pytest.mark.slow  # some ten whole fits
@pytest.mark.parametrize("command", [forecast, backtest])
def test_a_killed_run_leaves_whole_files_and_its_rerun_is_undisturbed(launcher, command, tmp_path):
    found = kills(launcher, command, tmp_path, 3, np.random.default_rng(4))
    assert any(killed for *_, killed in found)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.02, 0.05, 0.1, 0.2, 0.3])
def test_an_interrupt_is_130_and_one_line(launcher, done, share, tmp_path):
    folder, seconds = done
    command = forecast(folder / "evidence.csv", tmp_path / "out")
    code = launcher.run(command, share * seconds, signal.SIGINT, errors=tmp_path / "errors")
    assert code == 130
    (line,) = (tmp_path / "errors").read_text().splitlines()
    kept = (tmp_path / "out" / "interrupted.nc").exists()
    assert line == "cod-bayes: interrupted" if not kept else "draws by each of" in line
    assert check(tmp_path / "out") < OUTPUTS
    assert not list((tmp_path / "out").glob("*.part"))


@pytest.mark.slow
@pytest.mark.parametrize("size", [100, 40_000, 300_000])  # .csv, .png, report.html, posterior.nc
def test_a_file_that_cannot_be_written_leaves_the_old_ones(launcher, done, size, tmp_path):
    folder, _ = done
    out = folder / "out"
    old = {path.name: path.read_bytes() for path in out.iterdir()}
    command = [*forecast(folder / "evidence.csv", out), "--seed", "1"]
    assert launcher.run(command, largest_file=size, errors=tmp_path / "errors") == 2
    (line,) = (tmp_path / "errors").read_text().splitlines()
    assert line.startswith("cod-bayes: [Errno 27] File too large: ")
    failed = Path(line.split(": ")[-1].strip("'"))
    assert failed.parent == out and len(old[failed.name]) > size
    assert check(out) == OUTPUTS and {path.name for path in out.iterdir()} == OUTPUTS
    for name, content in old.items():
        if len(content) > size:
            assert (out / name).read_bytes() == content


def test_a_file_in_place_of_the_folder_is_refused_before_any_work(tmp_path, capsys):
    (tmp_path / "out").write_text("mine")
    assert main(forecast(evidence(tmp_path / "e.csv"), tmp_path / "out")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("cod-bayes: ") and "out" in line
    assert (tmp_path / "out").read_text() == "mine"
