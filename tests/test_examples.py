"""Every example that a reader would start with runs, with few draws, and says what it promises."""

import re
import runpy
import sys
import tomllib
import warnings
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
PYTHIA = Path(__file__).parents[2] / "shared" / "data" / "pythia_arithmetic.parquet"


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Runs one as a script would be, in an empty folder; what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(EXAMPLES))

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # so few draws do not converge
            runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_quickstart(run):
    out = run("quickstart.py", "--draws", 500)
    assert re.search(r"P\(GSM8K >= 80 % \| 3.8e\+24 FLOPs\) = [01]\.\d\d", out)
    assert "true score" in out


def test_real_ladder_says_where_to_get_it(run):
    out = run("real_ladder.py", "nothing.parquet")
    assert "nothing.parquet is not there; get it with" in out


@pytest.mark.slow
@pytest.mark.skipif(not PYTHIA.exists(), reason="Pythia's arithmetic is not here")
def test_real_ladder(run, tmp_path):
    out = run("real_ladder.py", PYTHIA, "--draws", 800)
    assert "hidden: pythia-12B" in out and "it scored" in out
    assert (tmp_path / "real_ladder" / "report.html").exists()


@pytest.mark.slow
def test_the_posterior_contracts_as_ladder_points_are_added(run):
    out = run("studies/ladder_points.py", "--items-scale", 0.02, "--draws", 200)
    prior = float(re.search(r"in the prior: (\S+)", out)[1])
    rows = re.findall(r"^ +(\d) +(\S+) +\S+ +(\S+)  ", out, re.MULTILINE)
    assert [row[0] for row in rows] == list("2468")
    (_, wide, sd_of_two), *_, (_, narrow, sd_of_eight) = rows
    assert float(narrow) < float(wide)
    assert float(sd_of_eight) < float(sd_of_two) < prior


def test_own_model_spec(run, tmp_path):
    out = run("own_model_spec.py", "--draws", 300)
    assert re.search(r"^cod: \d.*\nsteep: \d.*\ntruth: ", out, re.MULTILINE)
    own = tomllib.loads((tmp_path / "own.toml").read_text())
    assert (own["name"], own["priors"]["mu_beta"]["mu"]) == ("steep", 0.0)


def test_inspect_with_arviz(run, tmp_path):
    out = run("inspect_with_arviz.py", "--draws", 500)
    assert "elpd" in out and "steep" in out and "diagnosis" in out
    for name in ("rank.png", "pit.png"):
        assert (tmp_path / "inspect" / name).stat().st_size > 5_000


def test_elicited_priors_say_what_was_stated(run, tmp_path):
    """The statements hold exactly for the curve of the two centres."""
    out = run("elicit_priors.py", "--at-top", 0.3, "--one-decade-on", 0.6, "--draws", 500)
    assert out.count("accuracy of a cluster, %") == 2
    written = tomllib.loads((tmp_path / "elicited.toml").read_text())
    priors, ratio = written["priors"], written["constants"]["nu_ratio_cluster"]["value"]
    from cod_bayes.model.equations import accuracy

    eta, log_beta = priors["mu_eta"]["mu"], priors["mu_beta"]["mu"]
    nu = ratio * 2.718282 ** priors["nu"]["mu"]
    for decade, stated in ((0, 0.3), (1, 0.6)):
        assert accuracy(decade, eta, 2.718282**log_beta, 0, 0, nu) == pytest.approx(
            stated, abs=1e-3
        )


def test_elicitation_refuses_accuracies_that_fall(run):
    with pytest.raises(SystemExit, match="expected 0 < at-top < one-decade-on < 1"):
        run("elicit_priors.py", "--at-top", 0.6, "--one-decade-on", 0.5)
