"""Logs that the released programs wrote (data/ingest/README.md), read back with exact counts; and
what becomes of them when they are damaged."""

import json
import shutil
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from cod_bayes.cli import main
from cod_bayes.ingest import READERS, IngestError, ingest
from cod_bayes.ingest.inspect import _bytes

LOGS = Path(__file__).parent / "data" / "ingest"
FOLDER = {path.name.rpartition("-")[0]: path for path in LOGS.iterdir() if path.is_dir()}
NAMES = (
    "org/small org/large mockllm/small mockllm/large simple/model1 org/toy-large org/small-7b "
    "org/medium-7b org/large_70b toy-small toy-large"
).split()
MODELS = pd.DataFrame({"model": NAMES, "compute": [1e18 * 4**n for n in range(len(NAMES))]})


def read(name, part="", **options):
    return ingest(FOLDER[name] / part, models=MODELS, **options)


def totals(result):
    """(benchmark, model) -> items, right answers, trials."""
    cells = result.table.groupby(["benchmark", "model"], observed=True)
    return {
        key: (len(rows), int(rows["n_correct"].sum()), int(rows["n_trials"].sum()))
        for key, rows in cells
    }


def has_note(result, text):
    return any(text in note for note in result.notes)


def test_every_format_is_there():
    assert FOLDER.keys() == READERS.keys()


# ---------------------------------------------------------------------------------------------
# As the programs count


def test_lm_eval():
    result = read("lm-eval", metric="acc", filter="strict")
    # The tasks of the group `both` have different metrics, so they are two benchmarks.
    assert totals(result) == {
        (task, model): (4, right, 4)
        for task, right in (("choose", 1), ("write", 4))
        for model in ("org/small", "org/large")
    }
    assert has_note(result, "both: its tasks have different metrics or data sets")
    assert has_note(result, "agree with the logs' own scores: 4 of 4")
    chance = result.table.query("benchmark == 'choose' and model == 'org/small'")["chance"]
    assert sorted(chance) == [1 / 5, 1 / 4, 1 / 3, 1 / 2]
    assert set(read("lm-eval", metric="acc", filter="loose").table["n_correct"]) == {0.0, 1.0}
    with pytest.raises(IngestError, match=r"choose: acc, acc_norm; write: exact_match \(loose\)"):
        read("lm-eval")


def test_inspect():
    # Answers go A B C A: right where they are A.
    result = read("inspect", metric="match")
    for model in ("mockllm/small", "mockllm/large"):
        assert totals(result)["chosen", model] == (2, 2, 4)
        assert totals(result)["free", model] == (2, 1, 2)
    assert set(result.table.query("benchmark == 'chosen'")["chance"]) == {0.25}
    assert has_note(result, "chosen: 2 trials per item and model (2 epochs in a run)")


def test_helm():
    result = read("helm", metric="exact_match")
    # Two train trials; the perturbed copies are left out.
    assert totals(result) == {
        ("simple_mcqa", "simple/model1"): (2, 0, 4),
        ("simple_mcqa", "org/toy-large"): (2, 2, 4),
    }
    assert set(result.table["item"]) == {"id60", "id38"} and set(result.table["chance"]) == {0.5}
    assert "subset" not in result.table  # the perturbation is no part of the benchmark


def test_evalplus():
    # evalplus.evaluate prints pass@1 0.667 and 0.556 for small and medium, 0.778 twice for large.
    for metric, small, large in (("base", 6, 7), ("plus", 5, 7)):
        assert totals(read("evalplus", metric=metric, filter="none")) == {
            (benchmark, model): (3, right, 9)
            for benchmark in ("HumanEval", "Mbpp")
            for model, right in (
                ("org/small-7b", small),
                ("org/medium-7b", small),
                ("org/large_70b", large),
            )
        }
    result = read("evalplus", metric="plus", filter="none")
    small = result.table.query("benchmark == 'HumanEval' and model == 'org/small-7b'")
    assert dict(zip(small["item"], small["n_correct"], strict=True)) == {
        "HumanEval/0": 2,
        "HumanEval/1": 1,
        "HumanEval/2": 2,
    }


def test_evalplus_tells_raw_from_sanitized_code(tmp_path):
    with pytest.raises(IngestError, match=r"HumanEval: base, base \(raw\), plus, plus \(raw\)"):
        read("evalplus", "humaneval")
    for path in (FOLDER["evalplus"] / "humaneval").glob("*.raw_eval_results.json"):
        shutil.copy(path, tmp_path)
    result = ingest(tmp_path, models=MODELS, metric="base", filter="raw")
    assert set(totals(result).values()) == {(3, 0, 9)}
    path = FOLDER["evalplus"] / "humaneval" / "org--small-7b_vllm_temp_0.8_eval_results.json"
    for name in ("x-sanitized", "x.raw-sanitized"):
        shutil.copy(path, tmp_path / f"{name}_eval_results.json")
    models = pd.concat([MODELS, pd.DataFrame({"model": ["x"], "compute": 1.0})])
    for raw in tmp_path.glob("*.raw_eval*"):
        raw.unlink()
    result = ingest(tmp_path, models=models, metric="plus", filter="sanitized")
    assert totals(result) == {("HumanEval", "x"): (3, 5, 9)}


def test_evalplus_temperatures(tmp_path):
    path = FOLDER["evalplus"] / "humaneval" / "org--small-7b_vllm_temp_0.8_eval_results.json"
    shutil.copy(path, tmp_path)
    greedy = json.loads(path.read_text())
    greedy["eval"] = {task: answers[:1] for task, answers in greedy["eval"].items()}
    (tmp_path / "org--small-7b_hf_temp_0.0_eval_results.json").write_text(json.dumps(greedy))
    with pytest.raises(IngestError, match=r"of org/small-7b: .* differ in temperature \(0.0, 0.8"):
        ingest(tmp_path, models=MODELS, metric="base")
    result = ingest(tmp_path, models=MODELS, metric="base", where="temperature=0.8")
    assert set(result.table["n_trials"]) == {3.0}


def test_opencompass():
    result = read("opencompass")
    assert totals(result) == {
        (benchmark, f"toy-{model}"): counts
        for benchmark, small, large in (
            ("plain", (5, 3, 5), (5, 4, 5)),
            ("plain_3", (5, 8, 15), (5, 11, 15)),  # the file's accuracy is of the last 5 only
            ("details_3", (5, 7, 15), (5, 12, 15)),
            ("ppl_3", (5, 2, 5), (5, 3, 5)),
            ("judged", (5, 2, 5), (5, 4, 5)),
            ("cascade", (5, 3, 5), (5, 4, 5)),
        )
        for model, counts in (("small", small), ("large", large))
    }
    table = result.table.set_index("benchmark")
    assert set(table.loc["plain_3", "item"]) == set("01234")
    assert set(table.loc["details_3", "item"]) == {f"details_3_test_{n}" for n in range(5)}
    assert set(table.loc["ppl_3", "chance"]) == {0.25}
    assert has_note(result, "plain_3: 3 trials per item and model (3 replicas in a run)")
    assert has_note(result, "ppl_3: 20 rows merged that are copies")  # a perplexity is no draw


def test_opencompass_infers_no_more_than_the_accuracy_bears_out(tmp_path):
    shutil.copytree(FOLDER["opencompass"], tmp_path, dirs_exist_ok=True)
    for name in ("plain", "judged"):
        for path in tmp_path.rglob(f"{name}.json"):
            results = json.loads(path.read_text())
            path.write_text(json.dumps(results | {"accuracy": 99.0}))
            result = ingest(path, models=MODELS)
            assert has_note(result, "expected one of correct") and len(result.table) == 1


def test_every_eval_ever():
    result = read("every-eval-ever", "from-lm-eval", metric="acc", filter="strict")
    for model in ("org/small", "org/large"):
        assert totals(result)["choose", model] == (4, 1, 4)
        assert totals(result)["write", model] == (4, 4, 4)
    # Four rows per sample, all with the score of the first, are one trial.
    result = read("every-eval-ever", "from-helm")
    assert {key[1]: value for key, value in totals(result).items()} == {
        "simple/model1": (2, 0, 2),
        "org/toy-large": (2, 1, 2),
    }
    assert has_note(
        result, "rows of org/toy-large that only repeat the score of a sample count once"
    )


# ---------------------------------------------------------------------------------------------
# Damage: one error that names the file and the place


FILES = {
    "lm-eval": "org__large/samples_choose_*.jsonl",
    "inspect": "*_free_*.eval",
    "helm": "runs/v1/*toy-large*/per_instance_stats.json",
    "evalplus": "mbpp/org--large_70b_vllm_temp_0.8_eval_results.json",
    "opencompass": "*/results/toy-large/plain_3.json",
    "every-eval-ever": "from-lm-eval/choose/org/large/*.jsonl",
}
OPTIONS = {
    "lm-eval": ["--metric", "acc", "--filter", "strict"],
    "inspect": ["--metric", "match"],
    "helm": ["--metric", "exact_match"],
    "evalplus": ["--metric", "plus", "--filter", "none"],
    "opencompass": [],
    "every-eval-ever": ["--metric", "acc", "--metric", "exact_match:test", "--filter", "strict"],
}


@pytest.fixture
def logs(tmp_path):
    """name -> (a copy of its logs, the file in it to damage)."""
    MODELS.to_csv(tmp_path / "models.csv", index=False)

    def copied(name):
        folder = shutil.copytree(FOLDER[name], tmp_path / "logs")
        return folder, sorted(folder.glob(FILES[name]))[-1]

    return copied


def command(folder, name):
    models, out = folder.parent / "models.csv", folder.parent / "out.parquet"
    paths = ["ingest", str(folder), "--models", str(models), "--out", str(out)]
    return main([*paths, *OPTIONS[name]])


def refused(folder, name, capsys, path, *texts):
    """The command ends with one line of error, which names the path."""
    assert command(folder, name) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"cod-bayes: {path}") and error.count("\n") == 1, error
    for text in texts:
        assert text in error
    assert not (folder.parent / "out.parquet").exists()


def rewrite_zip(path, change):
    """Change the texts of a .eval file: `change` maps (name, bytes) to bytes."""
    with zipfile.ZipFile(path) as archive:
        members = {name: _bytes(archive, name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in members.items():
            archive.writestr(name, change(name, raw))


def rewrite(path, change):
    """Change the JSON values of a file."""
    if path.suffix == ".eval":
        rewrite_zip(path, lambda name, raw: json.dumps(change(name, json.loads(raw))).encode())
    elif path.suffix == ".jsonl":
        rows = [
            change(n, json.loads(line)) for n, line in enumerate(path.read_text().split("\n")[:-1])
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text(json.dumps(change(None, json.loads(path.read_text()))))


@pytest.mark.parametrize("name", READERS)
def test_the_command_reads_several_models(name, logs, capsys):
    folder, _ = logs(name)
    assert command(folder, name) == 0
    listed = capsys.readouterr()
    assert f"note: Format {name}" in listed.err and "written: " in listed.out
    table = pd.read_parquet(folder.parent / "out.parquet")
    assert table["model"].nunique() == {"evalplus": 3, "every-eval-ever": 4}.get(name, 2)


@pytest.mark.parametrize("name", READERS)
def test_a_cut_file(name, logs, capsys):
    folder, path = logs(name)
    path.write_bytes(path.read_bytes()[:-20])
    place = "" if name == "inspect" else ", line "
    refused(folder, name, capsys, f"{path}{place}", "cut off")


@pytest.mark.parametrize("name", READERS)
def test_a_wrong_encoding(name, logs, capsys):
    folder, path = logs(name)
    if name == "inspect":
        rewrite_zip(path, lambda name, raw: raw.replace(b"1", b"\xe9"))
        refused(folder, name, capsys, f"{path}!header.json, line 1", "expected UTF-8 text")
    else:
        path.write_bytes(path.read_bytes().replace(b"a", b"\xe9"))
        refused(folder, name, capsys, f"{path}, line ", "expected UTF-8 text, got byte 0xe9")


def without_acc(_, row):
    return {key: value for key, value in row.items() if key != "acc"}


def without_match(name, value):
    if name == "summaries.json":
        for sample in value:
            del sample["scores"]["match"]
    return value


def without_exact_match(_, entries):
    for entry in entries:
        entry["stats"] = [s for s in entry["stats"] if s["name"]["name"] != "exact_match"]
    return entries


def base_only(_, results):
    for answers in results["eval"].values():
        for answer in answers:
            answer["plus_status"] = None
    return results


def without_evaluation(_, row):
    return {key: value for key, value in row.items() if key != "evaluation"}


@pytest.mark.parametrize(
    ("name", "change", "place", "text"),
    [
        ("lm-eval", without_acc, ", line 1", "expected the score 'acc' that `metrics` names"),
        (
            "inspect",
            without_match,
            "",
            "expected match of free as other logs have it, got includes",
        ),
        ("helm", without_exact_match, "", "expected exact_match of simple_mcqa as other logs"),
        ("evalplus", base_only, "", "expected plus of Mbpp as other logs have it, got base"),
        ("every-eval-ever", without_evaluation, ", line 1", "expected 'evaluation', an object"),
    ],
)
def test_a_missing_metric(name, change, place, text, logs, capsys):
    folder, path = logs(name)
    rewrite(path, change)
    refused(folder, name, capsys, f"{path}{place}: {text}")


def test_evalplus_answers_without_a_status(logs, capsys):
    folder, path = logs("evalplus")
    path.write_text(path.read_text().replace('"base_status"', '"status"', 1))
    refused(folder, "evalplus", capsys, f"{path}, Mbpp/600: expected 'base_status', a text")


def other_version(name, value):
    if name == "header.json":
        value["eval"]["task_version"] = 1
    return value


def named_items(_, results):
    details = [
        {"example_abbr": f"plain_3_test_{key}", "correct": [True]}
        for key in results["details"]
        if key != "type"
    ]
    return results | {"details": details}


@pytest.mark.parametrize(
    ("name", "beside", "change", "text"),
    [
        (
            "lm-eval",
            "results_*.json",
            lambda _, about: about | {"versions": {"choose": 2.0, "write": 2.0}},
            "expected version 2.0 of task",
        ),
        ("inspect", None, other_version, "expected version 0 of task 'free'"),
        (
            "helm",
            "run_spec.json",
            lambda _, spec: spec | {"scenario_spec": {"class_name": "x"}},
            "expected scenario_spec { ... of simple_mcqa as in ",
        ),
        (
            "evalplus",
            None,
            lambda _, r: r | {"hash": "x"},
            "expected hash  ... of the problems of Mbpp as in ",
        ),
        ("opencompass", None, named_items, "expected items with names like those in"),
        (
            "every-eval-ever",
            None,
            lambda line, row: row | {"schema_version": "0.2.2" if line else "0.3.0"},
            "expected schema_version '0.3.0' as in the rows before it, got '0.2.2'",
        ),
    ],
)
def test_mixed_versions(name, beside, change, text, logs, capsys):
    folder, path = logs(name)
    rewrite(next(path.parent.glob(beside)) if beside else path, change)
    refused(folder, name, capsys, folder, *text.split(" ... "))


def test_a_schema_of_every_eval_ever_that_is_not_known(logs, capsys):
    folder, path = logs("every-eval-ever")
    rewrite(path, lambda _, row: row | {"schema_version": "1.0.0"})
    refused(
        folder, "every-eval-ever", capsys, f"{path}, line 1: expected schema_version 0.2 or 0.3"
    )
