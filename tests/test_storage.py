"""The file of a posterior: small, exact, read without the slow libraries, and of one format."""

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest
import xarray as xr
from seeds import seed
from small_fit import small_fit

from cod_bayes.cli import main
from cod_bayes.forecast.curves import Curves
from cod_bayes.forecast.storage import load

SLOW = ("arviz", "matplotlib", "numba", "nutpie", "pymc", "sklearn")


@pytest.fixture(scope="module")
def fitted():
    return small_fit()[1]


@pytest.fixture(scope="module")
def saved(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("posterior") / "posterior.nc"
    fitted.save(path, fitted.forecast(1e24))
    return path


def test_every_variable_comes_back_as_it_was(fitted, saved):
    again = load(saved).idata
    assert again.attrs == fitted.idata.attrs
    for path in ("posterior", "items", "anchors", "loss_law", "constant_data", "observed_data"):
        for tree in ("", "whole/"):
            if tree and path in ("items", "anchors", "loss_law"):
                continue
            before, after = (t[tree + path].to_dataset() for t in (fitted.idata, again))
            xr.testing.assert_identical(before.drop_attrs(), after.drop_attrs()[[*before]])


def test_draws_take_four_bytes_and_what_follows_from_others_takes_none(fitted, saved):
    with h5py.File(saved) as file:
        posterior = file["posterior"]
        assert {*fitted.idata["posterior"].data_vars} - {*posterior} == {"log_beta", "omega"}
        for name in ("eta", "delta_benchmark"):
            assert posterior[name].dtype == np.float32 and posterior[name].compression == "gzip"
        assert file["items"]["benchmark_of_item"].dtype == "S1"
    posterior = fitted.idata["posterior"].to_dataset()
    np.testing.assert_array_equal(posterior["log_beta"], np.log(posterior["beta"]))


def test_an_older_file_is_refused_by_the_name_of_its_format(saved, tmp_path, capsys):
    path = tmp_path / "old.nc"
    path.write_bytes(saved.read_bytes())
    with h5py.File(path, "a") as file:
        file.attrs["format"] = "cod-bayes posterior 8"
    assert main(["plan", str(path), "--goal", "b>=0.5"]) == 2
    message = capsys.readouterr().err
    assert (
        "'cod-bayes posterior 9', got 'cod-bayes posterior 8'; make the forecast again" in message
    )


@pytest.mark.parametrize("command", ["plan", "next", "monitor", "compare", "register", "settle"])
def test_a_decision_imports_no_library_that_it_does_not_need(command, fitted, saved, tmp_path):
    name = fitted.benchmarks[0]
    score = float(fitted.draws(3e23)["score"].sel(benchmark=name).median())
    (tmp_path / "run.csv").write_text(f"benchmark,compute,score\n{name},3e23,{score}\n")
    file, record = str(saved), str(tmp_path / "r.json")
    if command == "settle":
        assert main(["register", file, "--target-compute", "1e24", "--out", record]) == 0
    arguments = {
        "plan": [file, "--goal", f"{name}>=0.3"],
        "next": [file, "--candidates", "1e22"],
        "monitor": [file, str(tmp_path / "run.csv")],
        "compare": [f"A={file}@1e24"],
        "register": [file, "--target-compute", "1e24", "--out", record],
        "settle": [record, "--result", f"{name}=0.3"],
    }[command]
    code = (
        "import json, sys\nfrom cod_bayes.cli import main\n"
        f"assert main({[command, *arguments]!r}) == 0\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert not {*loaded} & {*SLOW}


def test_means_in_single_precision_are_those_of_the_curves():
    rng = np.random.default_rng(seed(0))
    draws = {
        "eta": rng.normal(0, 2, (50, 3)),
        "beta": rng.lognormal(0, 1, (50, 3)),
        "gamma": rng.exponential(0.3, (50, 3)),
        "g": rng.uniform(0, 0.5, (50, 3)),
        "nu": rng.lognormal(-0.7, 0.5, (50, 3)),
    }
    draws["beta"][0] = 60.0  # a loss beyond all numbers of single precision
    curves, ahead = Curves(draws), np.linspace(-5, 7, 41)
    weights = rng.dirichlet(np.ones(3), 2)
    expected = [sum(w * curves.at(k, ahead) for k, w in enumerate(of)) for of in weights]
    np.testing.assert_allclose(curves.means(ahead, *weights), expected, atol=2e-6)
