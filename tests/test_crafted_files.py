"""Files from strangers are data: refused in one line, or read; never run, never followed out."""

import json
import shutil
from importlib import resources

import h5py
import numpy as np
import pytest

from cod_bayes.cli import main

CODE = "__import__('os').system('touch ran')"


def refused(capfd, *command):
    """The one line of a command that refuses its input."""
    assert main([str(word) for word in command]) == 2
    message = capfd.readouterr().err.strip().splitlines()
    assert len(message) == 1 and message[0].startswith("cod-bayes: "), message
    assert "Traceback" not in message[0]
    return message[0]


@pytest.fixture
def copy(posterior_file, tmp_path):
    path = tmp_path / "posterior.nc"
    shutil.copy(posterior_file, path)
    return path


def attribute(name, value):
    def change(path):
        with h5py.File(path, "a") as file:
            file.attrs[name] = value

    return change


def without(group):
    def change(path):
        with h5py.File(path, "a") as file:
            del file[group]

    return change


def claims(path, side):
    """Numbers that take no room in the file."""
    with h5py.File(path, "a") as file:
        file["posterior"].create_dataset("vast", (side, side), "f8", chunks=(1000, 1000))


def rename(path, name):
    """Calls the benchmark "My bench" so, wherever it is."""

    def change(_, result):
        if isinstance(result, h5py.Dataset) and result.dtype.kind == "O":
            values = result[()]
            if np.ndim(values) and b"My bench" in np.ravel(values).tolist():
                result[...] = np.where(values == b"My bench", name.encode(), values)

    with h5py.File(path, "a") as file:
        file.visititems(change)


def cut(path):
    path.write_bytes(path.read_bytes()[:-2000])


def other(path):
    path.write_bytes(b"PK\x03\x04" + CODE.encode() * 100)


POSTERIORS = {
    "cut short": cut,
    "an archive": other,
    "another format": attribute("format", "cod-bayes posterior 999"),
    "code for a specification": attribute("spec", CODE),
    "a specification of other keys": attribute("spec", json.dumps({"priors": {}, "x": 1})),
    "nested beyond reason": attribute("spec", "[" * 60_000),
    "checks that are no list": attribute("failed_checks", CODE),
    "no posterior": without("posterior"),
    "no ladder": without("constant_data"),
    "no anchors": without("anchors"),
    "a terabyte claimed": lambda path: claims(path, 10**6),
    "a gigabyte claimed": lambda path: claims(path, 10**4),
    "an escape in a name": lambda path: rename(path, "\x1b[2Jx"),
}


@pytest.mark.parametrize("change", POSTERIORS.values(), ids=POSTERIORS)
@pytest.mark.parametrize("command", ["plan", "register"])
def test_posterior(change, command, copy, capfd, monkeypatch):
    monkeypatch.chdir(copy.parent)
    change(copy)
    more = ["--goal", "GSM8K>=0.5"] if command == "plan" else ["--target-compute", "1e24"]
    refused(capfd, command, copy, *more, "--out", copy.parent / "out")
    assert not (copy.parent / "ran").exists()
    assert sorted(path.name for path in copy.parent.iterdir()) in (
        ["posterior.nc"],
        ["out", "posterior.nc"],
    )


COSTS = {
    "code": CODE,
    "nested beyond reason": "a = " + "[" * 60_000,
    "a huge number": "peak_flops = 1" + "0" * 5000 + "\nutilisation = 0.4",
    "infinity": "peak_flops = inf\nutilisation = 0.4",
    "a number that is a table": "[peak_flops]\na = 1",
    "a key of another kind": "peak_flops = 1e15\nutilisation = 0.4\n__class__ = 1",
    "no text": "\x00\x01",
}


@pytest.mark.parametrize("text", COSTS.values(), ids=COSTS)
@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_cost_record(text, suffix, posterior_file, tmp_path, capfd):
    path = tmp_path / f"cost{suffix}"
    path.write_text(text)
    message = refused(
        capfd, "plan", posterior_file, "--goal", "GSM8K>=0.5", "--cost", path, "--out", tmp_path
    )
    assert path.name in message


SHIPPED = (resources.files("cod_bayes.models") / "cod.toml").read_text(encoding="utf-8")
SPECS = COSTS | {
    "an empty model": "",
    "a name that is a number": SHIPPED.replace('name = "cod"', "name = 1"),
    "priors that are a number": "priors = 1\n" + SHIPPED.split("[priors")[0],
    "a scale that is text": SHIPPED.replace("sigma = 0.3", 'sigma = "0.3"'),
    "an infinite location": SHIPPED.replace("mu = 0.4", "mu = inf"),
    "a constant that is a list": SHIPPED.replace("value = 0.7", "value = [0.7]"),
}


@pytest.mark.parametrize("text", SPECS.values(), ids=SPECS)
def test_model_specification(text, tmp_path, capfd):
    (tmp_path / "model.toml").write_text(text)
    table = "benchmark,item,model,compute,n_correct,n_trials\n"
    table += "".join(f"b,{i},m{m},1e{20 + m},{i % 3},3\n" for m in range(3) for i in range(4))
    (tmp_path / "ladder.csv").write_text(table)
    command = ["forecast", tmp_path / "ladder.csv", "--target-compute", "1e24"]
    message = refused(
        capfd, *command, "--model", tmp_path / "model.toml", "--out", tmp_path / "out"
    )
    assert "model.toml" in message


REGISTRATIONS = COSTS | {
    "a list": "[]",
    "the format alone": '{"format": "cod-bayes registration 1"}',
    "a hash of nothing": '{"format": "cod-bayes registration 1", "sha256": {}}',
}


@pytest.mark.parametrize("text", REGISTRATIONS.values(), ids=REGISTRATIONS)
def test_registration(text, tmp_path, capfd):
    (tmp_path / "registration.json").write_text(text)
    message = refused(capfd, "settle", tmp_path / "registration.json", "--result", "GSM8K=0.5")
    assert "registration.json" in message


def test_a_name_is_no_path_no_markup_and_no_command(posterior_file, tmp_path, capfd, monkeypatch):
    """Every command on a benchmark whose name tries each of them."""
    name = "../../[/bold][link=x]{0}%s$(touch ran)"
    path = tmp_path / "a" / "b" / "posterior.nc"
    path.parent.mkdir(parents=True)
    shutil.copy(posterior_file, path)
    monkeypatch.chdir(path.parent)
    rename(path, name)
    goal = ["--goal", f"{name}>=0.2"]
    out = path.parent / "out"
    assert main(["plan", str(path), *goal, "--out", str(out)]) == 0
    assert main(["next", str(path), "--target-compute", "1e24", "--out", str(out)]) == 0
    page = str(out / "report.html")
    assert main(["report", str(path), "--target-compute", "1e24", "--out", page]) == 0
    record = str(out / "r.json")
    assert main(["register", str(path), "--target-compute", "1e24", "--out", record]) == 0
    assert main(["settle", record, "--result", f"{name}=0.5"]) == 0
    assert "../../[/bold][link=x]" in capfd.readouterr().out
    assert {p.name for p in tmp_path.iterdir()} == {"a"}
    assert {p.name for p in (tmp_path / "a").iterdir()} == {"b"}
    assert {p.name for p in path.parent.iterdir()} == {"posterior.nc", "out"}


def test_a_log_nested_beyond_reason(tmp_path, capfd):
    (tmp_path / "samples_task_2026-01-01T00-00-00.jsonl").write_text("[" * 200_000)
    (tmp_path / "models.csv").write_text("model,compute\nm,1e20\n")
    refused(capfd, "ingest", tmp_path, "--models", tmp_path / "models.csv")


@pytest.mark.parametrize("column", ["benchmark", "model"])
def test_names_that_a_terminal_would_obey_are_refused(column, tmp_path, capfd):
    of = {"benchmark": "b", "model": "m0"} | {column: "\x1b[2Jx"}
    lines = [f"{of['benchmark']},{i},{of['model']},1e20,1,3" for i in range(4)]
    table = "benchmark,item,model,compute,n_correct,n_trials\n" + "\n".join(lines)
    (tmp_path / "ladder.csv").write_text(table)
    message = refused(capfd, "forecast", tmp_path / "ladder.csv", "--target-compute", "1e24")
    assert f"{column} has control characters" in message and "\x1b" not in message
