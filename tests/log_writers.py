"""Writers of evaluation logs: they lay logs out as the programs themselves do.

Checked against lm_eval 0.4.13, inspect_ai 0.3.285, crfm-helm 0.5.16, every_eval_ever 0.3.0,
opencompass 0.5.4 and evalplus 0.3.1.
"""

import json
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

TIMES = [f"2026-01-0{day}T12-00-00.123456" for day in (1, 2, 3)]
RIGHT = {  # model -> (item, trial)
    name: np.random.default_rng(place).random((6, 3)) < 0.2 + 0.3 * place
    for place, name in enumerate(("small", "middle", "large"))
}
MODELS = pd.DataFrame({"model": list(RIGHT), "compute": [1e18, 1e20, 1e22], "family": "toy"})


def dump(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2))
    return path


def dump_lines(path: Path, rows: list) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def lm_row(
    item, scores, *, filter="none", resps=("a",), kept=None, options=0, sampled=False, **more
):
    """A sample row of lm_eval 0.4.13."""
    if options:
        arguments = {f"gen_args_{n}": {"arg_0": "q", "arg_1": f" {n}"} for n in range(options)}
        kept = [[str(-n), "False"] for n in range(options)]
        resps = [[one] for one in kept]
    else:
        settings = {"until": ["\n"], "do_sample": sampled, "temperature": 0.8 if sampled else 0.0}
        arguments = {"gen_args_0": {"arg_0": "q", "arg_1": settings}}
        resps, kept = [list(resps)], [resps[0]] if kept is None else [list(kept)]
    return {
        "doc_id": item,
        "doc": {"q": f"question {item}"},
        "target": "0",
        "arguments": arguments,
        "resps": resps,
        "filtered_resps": kept,
        "filter": filter,
        "metrics": list(scores),
        "doc_hash": f"{item:064x}",
        "prompt_hash": "p",
        "target_hash": "t",
        **scores,
        **more,
    }


def lm_run(folder, model, tasks, *, time=TIMES[0], **results):
    """The files of one run: results_<time>.json and samples_<task>_<time>.jsonl per task."""
    about = {
        "results": {},
        "group_subtasks": {task: [] for task in tasks},
        "versions": dict.fromkeys(tasks, 1.0),
        "n-shot": dict.fromkeys(tasks, 0),
        "config": {"model": "hf", "model_args": {"pretrained": model}},
        "model_name": model,
        **results,
    }
    here = folder / model.replace("/", "__")
    dump(here / f"results_{time}.json", about)
    return [dump_lines(here / f"samples_{t}_{time}.jsonl", rows) for t, rows in tasks.items()]


def write_lm_eval(folder):
    for model, right in RIGHT.items():
        for trial, time in enumerate(TIMES):
            rows = [
                lm_row(i, {"exact_match": float(right[i, trial])}, sampled=True, resps=[f"{trial}"])
                for i in range(len(right))
            ]
            lm_run(folder, model, {"task": rows}, time=time)


def inspect_sample(item, epoch, scores, uuid, **more):
    scored = {
        name: {"value": value, "answer": "a", "history": []} for name, value in scores.items()
    }
    return {"id": item, "epoch": epoch, "input": "q", "target": "a", "metadata": {}} | {
        "scores": scored,
        "uuid": uuid,
        "completed": True,
        **more,
    }


def inspect_head(
    model, *, status="success", task="task", config=None, created="2026-01-01", **more
):
    about = {"eval_id": "e", "run_id": "r", "created": created, "task": task, "task_id": "t"}
    about |= {"task_version": 0, "model": model, "model_generate_config": {}, **more}
    plan = {"name": "plan", "steps": [], "config": config or {}}
    return {"version": 2, "status": status, "eval": about, "plan": plan}


def write_zip(path, members, method):
    """A zip; method 93 (zstd), which Python's zipfile lacks before 3.14, is written by hand."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if method != 93:
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, value in members.items():
                archive.writestr(name, json.dumps(value))
        return path
    body, directory = b"", b""
    for name, value in members.items():
        data, label = json.dumps(value).encode(), name.encode()
        packed = pa.compress(data, codec="zstd", asbytes=True)
        sizes = zlib.crc32(data), len(packed), len(data), len(label)
        about = struct.pack("<5H3L2H", 20, 0, 93, 0, 33, *sizes, 0)
        directory += b"PK\x01\x02" + struct.pack("<H", 20) + about
        directory += struct.pack("<3H2L", 0, 0, 0, 0, len(body)) + label
        body += b"PK\x03\x04" + about + label + packed
    end = struct.pack("<4H2LH", 0, 0, len(members), len(members), len(directory), len(body), 0)
    path.write_bytes(body + directory + b"PK\x05\x06" + end)
    return path


def inspect_log(path, model, samples, *, method=93, **about):
    members = {"_journal/start.json": inspect_head(model, **about)}
    members |= {"summaries.json": samples, "header.json": inspect_head(model, **about)}
    return write_zip(path, members, method)


def write_inspect(folder):
    for model, right in RIGHT.items():
        samples = [
            inspect_sample(i, epoch + 1, {"match": "C" if right[i, epoch] else "I"}, f"{i}/{epoch}")
            for i in range(len(right))
            for epoch in range(3)
        ]
        inspect_log(folder / f"2026_{model}.eval", model, samples)


def helm_stat(name, value, **more):
    named = {"name": name, "split": "test", **more}
    return {"name": named, "count": 1, "sum": value, "sum_squared": value**2, "mean": value}


def helm_run(folder, model, entries, *, name="task:subject=a", suite="v1", **adapter):
    here = folder / "runs" / suite / f"{name},model={model}"
    adapter = {"method": "generation", "model": model, "temperature": 0.0, **adapter}
    dump(here / "run_spec.json", {"name": f"{name},model={model}", "adapter_spec": adapter})
    return dump(here / "per_instance_stats.json", entries)


def write_helm(folder):
    for model, right in RIGHT.items():
        entries = [
            {
                "instance_id": f"id{i}",
                "train_trial_index": trial,
                "stats": [
                    helm_stat("num_references", 1),
                    helm_stat("exact_match", float(right[i, trial])),
                ],
            }
            for i in range(len(right))
            for trial in range(3)
        ]
        helm_run(folder, model, entries)


def write_opencompass(folder):
    for model, right in RIGHT.items():
        details = [
            {"example_abbr": f"main_{i}", "pred": ["a"] * 3, "correct": [bool(r) for r in right[i]]}
            for i in range(len(right))
        ]
        path = folder / "20260101_120000" / "results" / model / "task.json"
        dump(path, {"accuracy (3 runs average)": 50.0, "details": details})


def evalplus_answer(base, plus, solution="pass"):
    status = {True: "pass", False: "fail", None: None}
    return {
        "task_id": "x",
        "solution": solution,
        "base_status": status[base],
        "plus_status": status[plus],
        "base_fail_tests": [],
        "plus_fail_tests": [],
    }


def write_evalplus(folder):
    for model, right in RIGHT.items():
        answers = {
            f"HumanEval/{i}": [evalplus_answer(bool(r), None) for r in right[i]]
            for i in range(len(right))
        }
        results = {"date": "2026-01-01 12:00", "hash": "h", "eval": answers}
        dump(folder / f"{model}_hf_temp_0.8_eval_results.json", results)


def eee_row(model, item, score, *, run="run", epoch=0, metric="acc", digest=None, **more):
    return {
        "schema_version": "0.3.0",
        "evaluation_id": f"task/{model}/{run}",
        "model_id": model,
        "evaluation_name": "task",
        "evaluation_result_id": metric,
        "sample_id": str(item),
        "sample_hash": digest or f"hash{item}",
        "interaction_type": "single_turn",
        "input": {"raw": "q", "reference": ["a"], "choices": None},
        "output": {"raw": [f"answer {epoch}"]},
        "answer_attribution": [],
        "evaluation": {"score": float(score), "is_correct": bool(score)},
        "error": None,
        "metadata": {"epoch": str(epoch)},
        **more,
    }


def write_every_eval_ever(folder):
    for place, (model, right) in enumerate(RIGHT.items()):
        rows = [
            eee_row(model, i, right[i, epoch], epoch=epoch)
            for i in range(len(right))
            for epoch in range(3)
        ]
        dump_lines(folder / "task" / f"{place}_samples.jsonl", rows)


WRITERS = {
    "lm-eval": write_lm_eval,
    "inspect": write_inspect,
    "helm": write_helm,
    "opencompass": write_opencompass,
    "evalplus": write_evalplus,
    "every-eval-ever": write_every_eval_ever,
}


def cells(result, column="n_correct"):
    """model -> values in the order of items."""
    return {
        str(model): list(part.sort_values("item")[column])
        for model, part in result.table.groupby("model", observed=True)
    }


def has_note(result, text):
    return any(text in note for note in result.notes)


def spots(value, place=(), keys=20):
    """The places of all values inside a value: of a dictionary the first keys, of a list the first
    entry."""
    yield place
    if isinstance(value, dict):
        for key in list(value)[:keys]:
            yield from spots(value[key], (*place, key), keys)
    elif isinstance(value, list) and value:
        yield from spots(value[0], (*place, 0), keys)
