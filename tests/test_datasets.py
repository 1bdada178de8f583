"""Public ladders: the conversion of the published files, their pins, and the download."""

import dataclasses
import hashlib
import json
import threading
import warnings
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest

from cod_bayes.cli import main
from cod_bayes.evidence.datasets import DATASETS, dataset_table, load_dataset
from cod_bayes.evidence.public_file import Dataset, File
from cod_bayes.evidence.record import read_table

SHARED = Path(__file__).parents[2] / "shared" / "data"
RAW = SHARED / "raw" / "pythia_arithmetic"
needs_files = pytest.mark.skipif(not RAW.exists(), reason="the published files are not here")


@needs_files
def test_pythia_arithmetic_is_converted_exactly():
    keys = ["benchmark", "item", "model"]
    result = dataset_table("pythia-arithmetic", RAW).sort_values(keys, ignore_index=True)
    known = pd.read_parquet(SHARED / "pythia_arithmetic.parquet")
    known = known.sort_values(keys, ignore_index=True)
    pd.testing.assert_frame_equal(result, known, check_exact=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evidence = load_dataset("pythia-arithmetic", folder=RAW)
        assert evidence.digest == read_table(known).digest
    assert len(evidence.ladder) == 42 and len(evidence.benchmarks) == 3


@needs_files
def test_another_file_is_refused(tmp_path):
    for path in RAW.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with (tmp_path / "pythia-13b-deduped.csv").open("a") as file:
        file.write("\n")
    with pytest.raises(ValueError, match=r"pythia-13b-deduped.csv: expected the published file"):
        load_dataset("pythia-arithmetic", tmp_path)


def test_what_cannot_be_had(tmp_path):
    with pytest.raises(ValueError, match=r"expected a dataset \(pythia-arithmetic, .*got 'pile'"):
        load_dataset("pile")
    with pytest.raises(FileNotFoundError, match=r"expected pythia-125m-deduped.csv of pythia-ari"):
        load_dataset("pythia-arithmetic", tmp_path)


def made_up(name, monkeypatch, folder, content):
    """The table of a public ladder whose files hold `content(file name)`."""
    files = []
    for file in DATASETS[name].files:
        text = content(file.name).encode()
        (folder / file.name).write_bytes(text)
        files.append(dataclasses.replace(file, sha256=hashlib.sha256(text).hexdigest()))
    dataset = dataclasses.replace(DATASETS[name], files=tuple(files))
    monkeypatch.setitem(DATASETS, name, dataset)
    return dataset_table(name, folder), load_dataset(name, folder)


@pytest.mark.parametrize("name", ["pythia-tasks", "opt-tasks", "bloom-tasks"])
def test_tasks_of_the_harness_are_converted(name, monkeypatch, tmp_path):
    first = DATASETS[name].files[0].name

    def content(file):
        correct = {"piqa": (120, 200), "hendrycksTest-anatomy": (30, 100)}
        correct["hendrycksTest-virology"] = (0 if file == first else 20, 50)
        results = {
            task: {"acc": k / n, "acc_stderr": (k / n * (1 - k / n) / (n - 1)) ** 0.5}
            for task, (k, n) in correct.items()
        }
        results["crows_pairs_english"] = {"pct_stereotype": 0.6}
        return json.dumps({"results": results})

    table, evidence = made_up(name, monkeypatch, tmp_path, content)
    assert len(table) == 3 * len(DATASETS[name].files)
    of = table[table["model"] == table["model"][0]].set_index(["benchmark", "item"])
    assert of.loc[("piqa", "all"), ["n_correct", "n_trials", "chance"]].tolist() == [120, 200, 0.5]
    assert of.loc[("mmlu", "anatomy"), ["n_correct", "n_trials"]].tolist() == [30, 100]
    assert of.loc[("mmlu", "virology"), ["n_correct", "n_trials"]].tolist() == [0, 50]
    assert (table["compute"] == 6 * table["params"] * table["tokens"]).all()
    assert len(evidence.ladder) == len(DATASETS[name].files)
    assert list(evidence.benchmarks) == ["mmlu", "piqa"]


def test_openlm_is_converted(monkeypatch, tmp_path):
    def content(name):
        if name.endswith(".csv"):
            return "Eval Task,#datapoints,Random baseline\npiqa,200,50\narc_challenge,2376,25\n"
        if name.startswith("evaluation_"):
            return json.dumps({"eval_metrics": {"icl": {"piqa": 0.6, "arc_challenge": 0.25}}})
        size = {"params": 10.0 ** (len(name) - 24), "tokens": 2e9}
        results = [
            {"loss": 9.0, "val_data": ["eval_data/other/1.tar"]},
            {"loss": 3.5, "val_data": ["eval_data/c4_val/1.tar"]},
        ]
        return json.dumps({"name": name, "hyperparameters": size, "results": results})

    table, evidence = made_up("openlm-c4", monkeypatch, tmp_path, content)
    assert len(table) == 30 and set(table["loss"]) == {3.5}
    of = table.set_index("benchmark")
    assert set(of.loc["piqa", "n_trials"]) == {200} and set(of.loc["piqa", "chance"]) == {0.5}
    assert set(of.loc["arc_challenge", "n_trials"]) == {1172}
    assert (table["compute"] == 6 * table["params"] * table["tokens"]).all()
    assert len(evidence.ladder) == 15
    assert (evidence.benchmarks["piqa"]["n_trials"] == 200).all()


def test_every_file_is_pinned():
    assert len(DATASETS) >= 5
    for dataset in DATASETS.values():
        for file in dataset.files:
            assert len(file.sha256) == 64 and file.url.startswith("https://")
            assert any(len(part) == 40 for part in file.url.split("/"))  # a commit
        assert len({file.name for file in dataset.files}) == len(dataset.files)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A small dataset on a server of this machine, and a cache of its own: (url, cache)."""
    pooch = pytest.importorskip("pooch")
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "a.csv").write_text("x\n1\n")
    handler = partial(Quiet, directory=str(tmp_path / "site"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/a.csv"
        digest = pooch.file_hash(tmp_path / "site" / "a.csv")
        file = File("a.csv", url, digest)
        small = Dataset("w", "l", "MIT", (file,), lambda paths: pd.read_csv(paths[0]))
        monkeypatch.setitem(DATASETS, "small", small)
        yield tmp_path, small
        server.shutdown()


def test_files_are_downloaded_once_and_checked(served, monkeypatch):
    folder, small = served
    assert list(dataset_table("small")["x"]) == [1]
    (folder / "site" / "a.csv").write_text("x\n2\n")
    assert list(dataset_table("small")["x"]) == [1]  # from the cache
    (folder / "cache" / "small" / "a.csv").unlink()
    with pytest.raises(ValueError, match="hash"):
        dataset_table("small")
    gone = dataclasses.replace(small.files[0], url=small.files[0].url.replace("a.csv", "b.csv"))
    monkeypatch.setitem(DATASETS, "small", dataclasses.replace(small, files=(gone,)))
    with pytest.raises(ConnectionError, match=r"cannot download .*give folder= .* with a.csv"):
        dataset_table("small")


def test_without_pooch(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "pooch", None)
    with pytest.raises(ImportError, match=r"install cod-bayes\[datasets\], or give folder="):
        load_dataset("pythia-arithmetic")
    assert main(["datasets", "pythia-arithmetic", "--out", str(tmp_path / "t.csv")]) == 2
    assert "cod-bayes[datasets]" in capsys.readouterr().err


def test_command_lists(capsys):
    assert main(["datasets"]) == 0
    listed = capsys.readouterr().out
    assert "pythia-arithmetic" in listed and "Apache-2.0" in listed
    assert main(["datasets", "--json"]) == 0
    assert '"ladder": "Pythia 160M to 12B' in capsys.readouterr().out


@needs_files
def test_command_writes_a_table(capsys, tmp_path):
    out = tmp_path / "ladder.parquet"
    assert main(["datasets", "pythia-arithmetic", "--folder", str(RAW), "--out", str(out)]) == 0
    assert "25,200 rows" in capsys.readouterr().out
    assert len(pd.read_parquet(out)) == 25200
    assert main(["datasets", "pythia-arithmetic", "--out", str(tmp_path / "x.xlsx")]) == 2
