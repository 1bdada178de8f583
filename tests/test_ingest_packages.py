"""Logs written by the evaluation programs themselves, read back with exact counts.

The programs are not among the usual dependencies: uv run --group formats pytest -m slow THIS_FILE
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pandas as pd
import pytest

from cod_bayes.ingest import ingest

pytestmark = pytest.mark.slow

INSPECT = """
import sys
from itertools import count
from inspect_ai import Task, eval
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import choice, includes, match
from inspect_ai.solver import generate, multiple_choice

def outputs(name):
    for place in count():  # A B C A B C ..
        output = ModelOutput.from_content(name, "ANSWER: " + "ABC"[place % 3])
        # With usage given, nothing is fetched to count tokens.
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        yield output

asked = [Sample(id=f"q/{n}", input="q", choices=list("wxyz"), target="A") for n in range(4)]
chosen = Task(name="chosen", dataset=MemoryDataset(asked), solver=multiple_choice(),
              scorer=choice(), epochs=3)
said = [Sample(input="q", target="ANSWER: A") for n in range(4)]
free = Task(name="free", dataset=MemoryDataset(said), solver=generate(),
            scorer=[match(location="exact"), includes()])
options = dict(log_dir=sys.argv[1], display="none", max_connections=1, max_samples=1)
for name in ("mockllm/small", "mockllm/large"):
    for task in (chosen, free):
        eval(task, model=get_model(name, custom_outputs=outputs(name)), **options)
eval(free, model=get_model(name, custom_outputs=outputs(name)), log_format="json", **options)
"""


@pytest.mark.skipif(not find_spec("inspect_ai"), reason="inspect_ai is not installed")
def test_inspect(tmp_path):
    subprocess.run([sys.executable, "-c", INSPECT, str(tmp_path)], check=True, timeout=300)
    models = pd.DataFrame({"model": ["mockllm/small", "mockllm/large"], "compute": [1e18, 1e20]})
    found = ingest(tmp_path, models=models, metric="match")
    part = {name: rows for name, rows in found.table.groupby("benchmark", observed=True)}
    chosen = part["chosen"]
    # 12 answers of which every third is A, whatever the order; 4 options.
    assert set(chosen["n_trials"]) == {3.0} and set(chosen["chance"]) == {0.25}
    assert list(chosen.groupby("model", observed=True)["n_correct"].sum()) == [4, 4]
    free = part["free"].set_index("model")
    assert set(free.loc["mockllm/small", "n_trials"]) == {1.0}
    assert set(free.loc["mockllm/large", "n_trials"]) == {2.0}  # two runs that sample
    assert free.loc["mockllm/small", "n_correct"].sum() == 2
    assert free.loc["mockllm/large", "n_correct"].sum() == 4
    assert set(part["free"]["item"]) == {"1", "2", "3", "4"}


TASKS = {
    "choose": {
        "output_type": "multiple_choice",
        "doc_to_choice": "choices",
        "doc_to_target": "gold",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    },
    "write": {
        "output_type": "generate_until",
        "repeats": 3,
        "doc_to_target": "lol",  # what the dummy model always says
        "generation_kwargs": {"until": ["\n"], "do_sample": True, "temperature": 1.0},
        "metric_list": [{"metric": "exact_match"}],
        "filter_list": [
            {
                "name": name,
                "filter": [
                    {"function": "regex", "regex_pattern": pattern},
                    {"function": "take_first"},
                ],
            }
            for name, pattern in (("strict", "(l.l)"), ("loose", "(o)"))
        ],
    },
}


@pytest.mark.skipif(not find_spec("lm_eval"), reason="lm_eval is not installed")
def test_lm_eval(tmp_path):
    questions = [{"q": f"{n}?", "choices": list("abcde"[: n + 2]), "gold": n % 2} for n in range(4)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(q) + "\n" for q in questions))
    for name, task in TASKS.items():
        task = {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(tmp_path / "data.jsonl")}},
            "test_split": "test",
            "doc_to_text": "{{q}}",
            **task,
        }
        (tmp_path / f"{name}.yaml").write_text(json.dumps(task))  # JSON is YAML
    group = {"group": "both", "task": list(TASKS), "aggregate_metric_list": [{"metric": "acc"}]}
    (tmp_path / "both.yaml").write_text(json.dumps(group))
    options = {"model": "dummy", "tasks": "both", "include_path": tmp_path}
    options["output_path"] = tmp_path / "out"
    flags = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    subprocess.run(
        [sys.executable, "-m", "lm_eval", "run", *flags, "--log_samples"],
        check=True,
        timeout=600,
        env={**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"},
    )
    (path,) = (tmp_path / "out").rglob("results_*.json")
    results = json.loads(path.read_text())
    models = pd.DataFrame({"model": [results["model_name"]], "compute": [1e20]})
    found = ingest(tmp_path / "out", models=models, metric=["acc"], filter=["strict"])
    assert set(found.table["benchmark"]) == set(TASKS) and len(found.table) == 8
    part = {name: rows for name, rows in found.table.groupby("benchmark", observed=True)}
    assert sorted(part["choose"]["chance"]) == [1 / 5, 1 / 4, 1 / 3, 1 / 2]
    accuracy = results["results"]["choose"]["acc,none"]
    assert part["choose"]["n_correct"].sum() == 4 * accuracy
    assert set(part["write"]["n_correct"]) == {1.0} and set(part["write"]["n_trials"]) == {1.0}
    assert any("keep 3 answers per item" in note for note in found.notes)
    assert set(found.checks["reason"]) == {""} and len(found.checks) == 2
    own = ingest(
        tmp_path / "out", models=models, metric=["acc"], filter=["strict"], aggregates=True
    )
    scores = own.table.set_index("benchmark")
    assert scores.loc["choose", ["n_correct", "n_trials"]].tolist() == [4 * accuracy, 4]
    assert scores.loc["write", ["n_correct", "n_trials"]].tolist() == [4, 4]
    loose = ingest(tmp_path / "out", models=models, metric=["acc"], filter=["loose"]).table
    assert loose.loc[loose["benchmark"] == "write", "n_correct"].sum() == 0


@pytest.mark.skipif(not find_spec("evalplus"), reason="evalplus is not installed")
def test_evalplus(tmp_path):
    """Two models on three problems, four samples each; every sample of f1 fails an added test."""
    problems, bodies = tmp_path / "problems.jsonl", ("x + 1", "abs(x)", "x * x")
    problems.write_text(
        "".join(
            json.dumps(
                {
                    "task_id": f"HumanEval/{n}",
                    "prompt": f"def f{n}(x):\n",
                    "contract": "",
                    "canonical_solution": f"    return {body}\n",
                    "entry_point": f"f{n}",
                    "base_input": [[1], [2]],
                    "plus_input": [[-1], [0]],
                    "atol": 0,
                }
            )
            + "\n"
            for n, body in enumerate(bodies)
        )
    )
    environment = os.environ | {
        "HUMANEVAL_OVERRIDE_PATH": str(problems),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    tried = {"small": ("x + 1", "x", "0"), "large": ("x + 1", "x", "x ** 2")}
    for model, codes in tried.items():
        samples = tmp_path / "logs" / f"org--{model}_vllm_temp_0.8.jsonl"
        samples.parent.mkdir(exist_ok=True)
        rows = [
            {"task_id": f"HumanEval/{n}", "solution": f"def f{n}(x):\n    return {code}\n"}
            for n, code in enumerate(codes)
            for code in (code, code, code, "None")
        ]
        samples.write_text("".join(json.dumps(row) + "\n" for row in rows))
        flags = ["--dataset", "humaneval", "--samples", str(samples), "--parallel", "1"]
        evaluate = [sys.executable, "-m", "evalplus.evaluate", *flags]
        subprocess.run(evaluate, check=True, timeout=300, env=environment)
    models = pd.DataFrame({"model": ["org/small", "org/large"], "compute": [1e18, 1e20]})
    for metric, small, large in (("base", [3, 3, 0], [3, 3, 3]), ("plus", [3, 0, 0], [3, 0, 3])):
        table = ingest(tmp_path / "logs", models=models, metric=metric).table.sort_values("item")
        assert set(table["n_trials"]) == {4.0}
        assert list(table.query("model == 'org/small'")["n_correct"]) == small
        assert list(table.query("model == 'org/large'")["n_correct"]) == large
