"""Ingesting logs: every format gives back the answers that were written, or says what is wrong.

The writers lay logs out as the programs themselves do (log_writers.py); test_ingest_logs.py reads
logs that these programs wrote, and test_ingest_packages.py has installed programs write new ones.
"""

import itertools
import json
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from log_writers import (
    MODELS,
    RIGHT,
    TIMES,
    WRITERS,
    cells,
    dump,
    dump_lines,
    eee_row,
    evalplus_answer,
    has_note,
    helm_run,
    helm_stat,
    inspect_head,
    inspect_log,
    inspect_sample,
    lm_row,
    lm_run,
    spots,
    write_evalplus,
    write_inspect,
    write_lm_eval,
    write_zip,
)

from cod_bayes.cli import main
from cod_bayes.evidence.record import read_table
from cod_bayes.ingest import READERS, IngestError, ingest

# ---------------------------------------------------------------------------------------------
# All formats


def test_every_format_has_a_writer():
    assert WRITERS.keys() == READERS.keys()


@pytest.mark.parametrize("name", WRITERS)
def test_what_was_written_is_read_back(name, tmp_path):
    WRITERS[name](tmp_path)
    result = ingest(tmp_path, models=MODELS)
    assert len(result.table) == 18
    assert cells(result) == {m: list(right.sum(axis=1)) for m, right in RIGHT.items()}
    assert set(result.table["n_trials"]) == {3.0}
    assert has_note(result, f"Format {name}") and has_note(result, "3 trials per item and model")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evidence = read_table(result.table)
    assert list(evidence.models.index) == list(RIGHT)
    (data,) = evidence.benchmarks.values()
    assert float(data["n_trials"].sum()) == 54


@pytest.mark.parametrize("name", WRITERS)
def test_a_log_that_is_there_twice_counts_once(name, tmp_path):
    """Copied into another folder (under another name where the name is not the model's)."""
    WRITERS[name](tmp_path / "a")
    WRITERS[name](tmp_path / "b")
    result = ingest([tmp_path / "a", tmp_path / "b"], models=MODELS)
    assert cells(result) == {m: list(right.sum(axis=1)) for m, right in RIGHT.items()}
    assert set(result.table["n_trials"]) == {3.0}
    assert has_note(result, "54 rows merged that are copies")


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_cut_anywhere_is_refused_or_shorter(name, tmp_path):
    """Never another error than IngestError, which names a file."""
    WRITERS[name](tmp_path)
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    path = max(files, key=lambda p: p.stat().st_size)
    whole = path.read_bytes()
    refused = 0
    for cut in np.linspace(0, len(whole) - 1, 23).astype(int):
        path.write_bytes(whole[:cut])
        try:
            assert len(ingest(tmp_path, models=MODELS).table) <= 18
        except IngestError as error:
            refused += str(tmp_path) in str(error)
    assert refused >= 15


@pytest.mark.parametrize("name", WRITERS)
def test_a_damaged_file_is_refused_or_read(name, tmp_path):
    """Bytes changed at random, then values of every kind put in: nothing else than IngestError."""
    WRITERS[name](tmp_path)
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    dice = np.random.default_rng(0)
    for _ in range(30):
        path = files[dice.integers(len(files))]
        whole = path.read_bytes()
        raw = bytearray(whole)
        for _ in range(3):
            raw[dice.integers(len(raw))] = dice.integers(256)
        path.write_bytes(bytes(raw))
        try:
            ingest(tmp_path, models=MODELS)
        except IngestError:
            pass
        path.write_bytes(whole)


@pytest.mark.parametrize("name", [n for n in WRITERS if n != "inspect"])
def test_values_of_another_kind_are_refused_or_read(name, tmp_path):
    """Each field of a log in turn becomes a value that does not belong there."""
    WRITERS[name](tmp_path)
    path = max((p for p in tmp_path.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    text = path.read_text()
    lines = text.splitlines()
    first = json.loads(lines[0]) if path.suffix == ".jsonl" else json.loads(text)

    junk = itertools.cycle(["null", "7", "[[1]]", "{}", '"text"', "[]", '{"a": {}}'])
    for place in [place for place in spots(first, keys=12) for _ in range(2)]:
        changed = json.loads(json.dumps(first))
        if place:
            inner = changed
            for step in place[:-1]:
                inner = inner[step]
            inner[place[-1]] = json.loads(next(junk))
        else:
            changed = json.loads(next(junk))
        rest = "\n".join(lines[1:]) if path.suffix == ".jsonl" else ""
        path.write_text(json.dumps(changed) + "\n" + rest)
        try:
            ingest(tmp_path, models=MODELS)
        except IngestError:
            pass


# ---------------------------------------------------------------------------------------------
# lm-evaluation-harness


def lm_table(folder, tasks, **options):
    for model in RIGHT:
        lm_run(folder, model, tasks)
    return ingest(folder, models=MODELS, **options)


def test_several_filters_are_refused_and_listed(tmp_path):
    rows = [
        lm_row(i, {"exact_match": float(f == "strict-match")}, filter=f)
        for f in ("strict-match", "flexible-extract")
        for i in range(4)
    ]
    with pytest.raises(
        IngestError,
        match=r"gsm8k: exact_match \(flexible-extract\), exact_match \(strict-match\)",
    ):
        lm_table(tmp_path, {"gsm8k": rows})
    result = ingest(tmp_path, models=MODELS, filter="strict-match")
    assert len(result.table) == 12 and set(result.table["n_correct"]) == {1.0}
    assert set(ingest(tmp_path, models=MODELS, filter="flexible-extract").table["score"]) == {0.0}
    with pytest.raises(IngestError, match=r"got 'strict'; there are: flexible-extract, strict"):
        ingest(tmp_path, models=MODELS, filter="strict")


def test_metrics_in_order_of_preference(tmp_path):
    tasks = {
        "arc": [lm_row(i, {"acc": 1.0, "acc_norm": 0.0}, options=4) for i in range(3)],
        "gsm8k": [lm_row(i, {"exact_match": 1.0}) for i in range(3)],
        "squad": [lm_row(i, {"exact": 0.0, "f1": 0.25 * (i + 1)}) for i in range(3)],
    }
    with pytest.raises(IngestError, match=r"arc: acc, acc_norm; squad: exact, f1"):
        lm_table(tmp_path, tasks)
    with pytest.raises(IngestError, match="got 'bleu'; there are: acc, acc_norm, exact"):
        ingest(tmp_path, models=MODELS, metric="bleu")
    result = ingest(tmp_path, models=MODELS, metric=["acc_norm", "f1"])
    part = {name: rows for name, rows in result.table.groupby("benchmark", observed=True)}
    assert set(part["arc"]["n_correct"]) == {0.0} and set(part["arc"]["chance"]) == {0.25}
    assert set(part["gsm8k"]["n_correct"]) == {1.0} and part["gsm8k"]["chance"].isna().all()
    assert part["squad"]["n_trials"].isna().all()  # partial credit: a rate
    assert sorted(set(part["squad"]["score"])) == [0.25, 0.5, 0.75]
    assert has_note(result, "gsm8k: no metric acc_norm, exact_match is used")
    assert has_note(result, "squad: scores with partial credit")


def test_scores_that_are_no_rates_are_not_offered(tmp_path):
    rows = [lm_row(i, {"perplexity": -3.5, "acc": 1.0, "f1": [0, 1]}) for i in range(3)]
    assert set(lm_table(tmp_path, {"lambada": rows}).table["n_correct"]) == {1.0}
    with pytest.raises(
        IngestError, match=r"scores in \[0, 1\] of lambada, .*perplexity: values down"
    ):
        ingest(tmp_path, models=MODELS, metric="perplexity")


def test_a_group_with_scores_is_one_benchmark(tmp_path):
    tasks = {
        f"mmlu_{name}": [lm_row(i, {"acc": 1.0}, options=4) for i in range(2)] for name in "abc"
    }
    groups = {"mmlu": ["mmlu_stem"], "mmlu_stem": list(tasks), "suite": ["mmlu"]}
    for model in RIGHT:
        lm_run(tmp_path, model, tasks, group_subtasks=groups, groups={"mmlu": {}, "mmlu_stem": {}})
    table = ingest(tmp_path, models=MODELS).table
    assert set(table["benchmark"]) == {"mmlu"} and set(table["subset"]) == tasks.keys()
    assert table["item"].nunique() == 6  # the same hash in three tasks is three items
    assert all(item.startswith(subset + "/") for item, subset in table[["item", "subset"]].values)


def test_chance_is_one_of_the_options(tmp_path):
    rows = [lm_row(i, {"acc": 0.0}, options=n) for i, n in enumerate((2, 3, 5))]
    assert cells(lm_table(tmp_path, {"arc": rows}), "chance")["small"] == [1 / 2, 1 / 3, 1 / 5]
    rows = [lm_row(i, {"acc": 1.0, "acc_mutual_info": 0.0}, options=8) for i in range(3)]
    result = lm_table(tmp_path / "other", {"copa": rows}, metric="acc")
    assert set(result.table["chance"]) == {1 / 4}
    rows = [lm_row(i, {"acc": 1.0}, options=1) for i in range(3)]  # lambada: nothing to choose
    assert "chance" not in lm_table(tmp_path / "last", {"lambada": rows}).table


def test_appended_files(tmp_path):
    """A file appended to itself; to a second run that samples; and to one that does not."""
    first = [lm_row(i, {"em": float(i % 2)}, sampled=True, resps=[f"a{i}"]) for i in range(4)]
    second = [lm_row(i, {"em": float(i == 0)}, sampled=True, resps=["b"]) for i in range(4)]
    second[3] = first[3]  # by chance the same answer again: still a trial
    result = lm_table(tmp_path / "self", {"t": first + first})
    assert cells(result)["small"] == [0, 1, 0, 1] and set(result.table["n_trials"]) == {1.0}
    assert has_note(result, "12 rows merged that are copies")
    result = lm_table(tmp_path / "sampled", {"t": first + second + first})
    assert cells(result)["small"] == [1, 1, 0, 2] and set(result.table["n_trials"]) == {2.0}
    assert has_note(result, "2 trials per item and model (2 runs that sample)")
    for row in first + second:
        row["arguments"]["gen_args_0"]["arg_1"] |= {"do_sample": False, "temperature": 0.0}
    result = lm_table(tmp_path / "greedy", {"t": first + second})
    assert cells(result)["small"] == [1, 0, 0, 1] and set(result.table["n_trials"]) == {1.0}
    assert has_note(result, "12 answers replaced by those of a later run")
    assert has_note(result, "(6 had another score)")


def test_later_runs(tmp_path):
    """The latest greedy run counts; a model's checkpoints are models."""
    for model in RIGHT:
        for time, score in zip(TIMES, (0.0, 1.0, 0.0), strict=True):
            rows = [lm_row(i, {"em": score}, resps=[time]) for i in range(4)]
            lm_run(tmp_path, model, {"t": rows}, time=time)
    result = ingest(tmp_path, models=MODELS)
    assert set(result.table["n_correct"]) == {0.0} and set(result.table["n_trials"]) == {1.0}
    for form in ({"pretrained": "p", "revision": "step9"}, "pretrained=p,revision=step9,dtype=x"):
        folder = tmp_path / f"{type(form).__name__}"
        lm_run(folder, "p", {"t": rows}, config={"model_args": form})
        models = pd.DataFrame({"model": ["p@step9"], "compute": [1e20]})
        assert set(ingest(folder, models=models).table["model"]) == {"p@step9"}


def test_repeated_answers(tmp_path):
    """`repeats` keeps all answers but scores one; pass@1 counts all that the filter kept."""
    rows = [lm_row(i, {"em": 1.0}, sampled=True, resps=["a", "b", "c"]) for i in range(3)]
    result = lm_table(tmp_path / "first", {"gsm8k": rows})
    assert set(result.table["n_trials"]) == {1.0}
    assert has_note(result, "keep 3 answers per item, but the filter scores one")
    code = [
        lm_row(i, {"pass@1": i / 4, "pass@2": 1.0}, resps="abcd", kept="abcd", sampled=True)
        for i in range(4)
    ]
    result = lm_table(tmp_path / "code", {"humaneval": code}, metric="pass@1")
    assert cells(result)["small"] == [0, 1, 2, 3] and set(result.table["n_trials"]) == {4.0}
    assert has_note(result, "the score averages 4 answers")
    result = ingest(tmp_path / "code", models=MODELS, metric="pass@2")
    assert set(result.table["n_trials"]) == {1.0}


def test_item_names(tmp_path):
    """doc_hash, made from the document for older logs as lm_eval makes it; #2 for its double."""
    document = {"q": "One?", "choices": ["a", "b", "c", "d"], "gold": 0}
    row = lm_row(0, {"acc": 1.0}, options=4, doc=document)
    for key in ("doc_hash", "metrics", "filter"):
        del row[key]
    result = lm_table(tmp_path / "old", {"t": [row]})
    # Written by lm_eval 0.4.13 for this document.
    real = "fc60158a71e137b8e39d324f891acc664aed1803b0f1baf765dc005b1dea37ff"
    assert set(result.table["item"]) == {real}
    rows = [lm_row(i, {"acc": float(i)}, doc_hash="h") for i in (0, 1)]
    result = lm_table(tmp_path / "double", {"t": rows + rows})
    assert cells(result, "item")["small"] == ["h", "h#2"] and cells(result)["small"] == [0, 1]


def test_damage_of_lm_eval_logs(tmp_path):
    rows = [lm_row(i, {"acc": 1.0}) for i in range(4)]

    def refused(text, folder):
        with pytest.raises(IngestError, match=text):
            ingest(folder, models=MODELS)

    (path,) = lm_run(tmp_path / "cut", "small", {"t": rows})
    path.write_bytes(path.read_bytes()[:-9])
    refused(r"samples_t_.*jsonl, line 4: expected JSON, but it ends early .*cut off", path.parent)
    (path,) = lm_run(tmp_path / "latin", "small", {"t": rows})
    path.write_bytes(path.read_bytes().replace(b"question 2", b"qu\xe9stion"))
    refused(r"line 3: expected UTF-8 text, got byte 0xe9", path.parent)
    (path,) = lm_run(tmp_path / "utf16", "small", {"t": rows})
    path.write_bytes(path.read_text().encode("utf-16"))
    refused(r"line 1: expected UTF-8 text, got byte 0xff", path.parent)
    (path,) = lm_run(tmp_path / "score", "small", {"t": rows})
    path.write_text(path.read_text().replace('"acc": 1.0}', "}").replace(", }", "}"))
    refused(r"line 1: expected the score 'acc' that `metrics` names, got only doc_id", path.parent)
    mixed = [*rows, lm_row(4, {"exact_match": 1.0})]
    (path,) = lm_run(tmp_path / "mixed", "small", {"t": mixed})
    refused(r"line 5: expected the metrics acc of the rows before it, got exact_m", path.parent)
    (path,) = lm_run(tmp_path / "alone", "small", {"t": rows})
    path.with_name(f"results_{TIMES[0]}.json").unlink()
    refused(r"expected results_2026.*json beside it, which names the model, got 0", path.parent)
    (path,) = lm_run(tmp_path / "name", "small", {"t": rows})
    path.rename(path.with_name("samples_t.jsonl"))
    refused(r"expected a name like samples_<task>_<time>.jsonl", path.parent)
    (path,) = lm_run(tmp_path / "empty", "small", {"t": []})
    refused(r"samples_t_.*: expected one row per answer, got an empty file", path.parent)
    lm_run(tmp_path / "versions", "small", {"t": rows})
    lm_run(tmp_path / "versions", "large", {"t": rows}, versions={"t": 2.0})
    refused(r"expected version .* of task 't' as in .*; scores of two ver", tmp_path / "versions")
    lm_run(tmp_path / "metric", "small", {"t": rows})
    lm_run(tmp_path / "metric", "large", {"t": [lm_row(0, {"f1": 0.5})]})
    with pytest.raises(IngestError, match=r"large/samples.*: expected acc of t as other logs have"):
        ingest(tmp_path / "metric", models=MODELS, metric="acc")


def test_other_numbers_of_examples_are_said(tmp_path):
    rows = [lm_row(i, {"acc": 1.0}) for i in range(4)]
    for model, shots in zip(RIGHT, (0, 5, 5), strict=True):
        lm_run(tmp_path, model, {"t": rows}, **{"n-shot": {"t": shots}})
    assert has_note(
        ingest(tmp_path, models=MODELS), "differ in shots (0, 5): such scores do not compare"
    )


# ---------------------------------------------------------------------------------------------
# Inspect


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, 93])
def test_inspect_scores(method, tmp_path):
    values = ["C", "I", "N", 1, 0.0, True, False, "yes"]
    samples = [
        inspect_sample(f"q/{n}", 1, {"s": value}, f"u{n}", choices=["w", "x", "y", "z"])
        for n, value in enumerate(values)
    ]
    samples.append(inspect_sample("q/8", 1, {"s": "C"}, "u8", error="out of memory"))
    for model in RIGHT:
        inspect_log(tmp_path / f"{model}.eval", model, samples, method=method)
    result = ingest(tmp_path, models=MODELS)
    assert cells(result)["small"] == [1, 0, 0, 1, 0, 1, 0, 1]
    assert set(result.table["chance"]) == {0.25}
    assert has_note(result, "3 answers without a score left out")


def test_inspect_partial_credit_and_scores_of_parts(tmp_path):
    samples = [
        inspect_sample(n, 1, {"s": {"a": n / 2, "b": 1}, "t": "CPI"[n]}, f"u{n}") for n in range(3)
    ]
    for model in RIGHT:
        inspect_log(tmp_path / f"{model}.eval", model, samples)
    with pytest.raises(IngestError, match="task: s/a, s/b, t"):
        ingest(tmp_path, models=MODELS)
    result = ingest(tmp_path, models=MODELS, metric="t")
    assert cells(result, "score")["small"] == [1, 0.5, 0] and "n_trials" not in result.table
    assert cells(ingest(tmp_path, models=MODELS, metric="s/a"), "score")["small"] == [0, 0.5, 1]


def test_inspect_runs(tmp_path):
    """Retried runs carry samples over; runs that sample are trials, runs at temperature 0 not."""

    def samples(run, count=4, right="C"):
        return [inspect_sample(n, 1, {"s": right}, f"{run}{n}") for n in range(count)]

    (tmp_path / "a").mkdir()
    for model in RIGHT:
        inspect_log(tmp_path / "a" / f"1{model}.eval", model, samples("x", 2), status="error")
        both = samples("x", 2) + samples("y")[2:]
        inspect_log(tmp_path / "a" / f"2{model}.eval", model, both, created="2026-01-02")
    result = ingest(tmp_path / "a", models=MODELS)
    assert set(result.table["n_trials"]) == {1.0} and len(result.table) == 12
    assert has_note(result, "did not finish (error)")
    for folder, config, trials in (("b", {}, 2.0), ("c", {"temperature": 0.0}, 1.0)):
        for model in RIGHT:
            for day, right in ((1, "I"), (2, "C")):
                path = tmp_path / folder / f"{day}{model}.eval"
                about = {"created": f"2026-01-0{day}", "config": config}
                inspect_log(path, model, samples(f"{day}", right=right), **about)
        result = ingest(tmp_path / folder, models=MODELS)
        assert set(result.table["n_correct"]) == {1.0}
        assert set(result.table["n_trials"]) == {trials}


def test_inspect_logs_of_other_shapes(tmp_path):
    """A killed run has a journal only; .json logs are one object."""
    samples = [inspect_sample(n, 1, {"s": "C"}, f"u{n}") for n in range(3)]
    for model in RIGHT:
        members = {"_journal/start.json": inspect_head(model)}
        members |= {f"_journal/summaries/{n + 1}.json": [samples[n]] for n in range(2)}
        del members["_journal/start.json"]["status"]
        write_zip(tmp_path / "killed" / f"{model}.eval", members, 93)
        dump(tmp_path / "json" / f"{model}.json", inspect_head(model) | {"samples": samples})
    assert len(ingest(tmp_path / "killed", models=MODELS).table) == 6
    assert len(ingest(tmp_path / "json", models=MODELS).table) == 9
    write_zip(tmp_path / "zip" / "x.eval", {"a.json": {}}, zipfile.ZIP_DEFLATED)
    with pytest.raises(IngestError, match=r"expected an Inspect log with header.json in it"):
        ingest(tmp_path / "zip", models=MODELS)


# ---------------------------------------------------------------------------------------------
# HELM, OpenCompass, EvalPlus, Every Eval Ever


def test_helm_entries(tmp_path):
    """Entries of one instance are merged; perturbed ones, other splits, bookkeeping left out."""
    entries = []
    for n, right in enumerate((1.0, 0.0)):
        cell = {"instance_id": f"id{n}", "train_trial_index": 0}
        entries.append({**cell, "stats": [helm_stat("num_references", 4)]})
        scores = [helm_stat("exact_match", right), helm_stat("logprob", -2.0)]
        scores += [helm_stat("quasi_exact_match", 1.0), helm_stat("finish_reason_stop", 1)]
        scores.append(helm_stat("exact_match", 0.0, perturbation={"name": "typos"}))
        entries.append({**cell, "stats": scores})
        entries.append({**cell, "perturbation": {"name": "typos"}, "stats": scores})
    train = {"instance_id": "id9", "train_trial_index": 0}
    entries.append({**train, "stats": [helm_stat("exact_match", 1.0, split="valid")]})
    for model in RIGHT:
        helm_run(tmp_path, model, entries, method="multiple_choice_joint")
        helm_run(tmp_path, model, entries, method="multiple_choice_joint", name="task:subject=b")
    with pytest.raises(IngestError, match=r": exact_match, quasi_exact_match$"):
        ingest(tmp_path, models=MODELS)
    result = ingest(tmp_path, models=MODELS, metric="exact_match")
    assert cells(result)["small"] == [1, 0, 1, 0] and set(result.table["chance"]) == {0.25}
    assert set(result.table["benchmark"]) == {"task"}
    assert set(result.table["subset"]) == {"subject=a", "subject=b"}
    assert set(result.table["item"]) == {f"subject={s}/id{n}" for s in "ab" for n in (0, 1)}
    next(tmp_path.rglob("run_spec.json")).unlink()
    with pytest.raises(IngestError, match=r"per_instance_stats.json: expected run_spec.json besi"):
        ingest(tmp_path, models=MODELS, metric="exact_match")


def opencompass(folder, results):
    for model in RIGHT:
        dump(folder / "20260101" / "results" / model / "arc.json", results)
    return folder


def test_opencompass_layouts(tmp_path):
    labels = {"A": {"PPL": 1.0, "prompt": "p"}, "B": {"PPL": 2.0}, "origin_prompt": "p"}
    details = {
        "type": "PPL",
        "0": {"origin_prediction": labels, "correct": True},
        "1": {"origin_prediction": labels, "is_correct": 0},
    }
    result = ingest(opencompass(tmp_path / "a", {"details": details}), models=MODELS)
    assert cells(result)["small"] == [1, 0] and set(result.table["chance"]) == {0.5}
    assert cells(result, "item")["small"] == ["0", "1"]
    equal = {
        "type": "GEN",
        "0": {"predictions": "A", "references": "A"},
        "1": {"predictions": "B", "references": "A"},
    }
    right = opencompass(tmp_path / "b", {"accuracy": 50.0, "details": equal})
    assert cells(ingest(right, models=MODELS))["small"] == [1, 0]
    wrong = opencompass(tmp_path / "c", {"score": 80.0, "details": equal})
    result = ingest(wrong, models=MODELS)  # the file's own score, without items
    assert cells(result, "score")["small"] == [0.8]
    assert has_note(result, "details '0': expected one of correct, is_correct, ca")
    nothing = opencompass(tmp_path / "d", {"error": "no predictions"})
    with pytest.raises(IngestError, match=r"expected answers or scores in the logs, got none, su"):
        ingest(nothing, models=MODELS)
    dump(tmp_path / "b" / "20260101" / "results" / "small" / "other.json", {"error": "no such"})
    result = ingest(tmp_path / "b", models=MODELS)
    assert len(result.table) == 6 and has_note(result, "other.json holds neither samples nor sc")


def test_evalplus_names_and_scores(tmp_path):
    answers = {
        "Mbpp/2": [evalplus_answer(True, True), evalplus_answer(True, False)],
        "Mbpp/3": [evalplus_answer(False, True), evalplus_answer(False, False)],
    }
    results = {"date": "2026-01-01 12:00", "eval": answers}
    dump(tmp_path / "mbpp" / "org--small-7b_vllm_temp_0.2_eval_results.json", results)
    dump(tmp_path / "mbpp" / "my_model_eval_results.json", results)
    dump(tmp_path / "folder" / "eval_results.json", results)
    models = pd.DataFrame(
        {"model": ["org/small-7b", "my_model", "folder"], "compute": [1e20, 1e21, 1e22]}
    )
    with pytest.raises(IngestError, match="Mbpp: base, plus"):
        ingest(tmp_path, models=models)
    assert cells(ingest(tmp_path, models=models, metric="base"))["org/small-7b"] == [2, 0]
    result = ingest(tmp_path, models=models, metric="plus")
    assert cells(result) == {model: [1, 0] for model in models["model"]}  # plus needs base
    dump(tmp_path / "old_eval_results.json", {"eval": {"HumanEval/0": {"nfiles": 1, "base": []}}})
    with pytest.raises(IngestError, match=r"old_eval_results.json, HumanEval/0: expected a list"):
        ingest(tmp_path, models=models, metric="plus")


def test_every_eval_ever_rows(tmp_path):
    """A row per metric; ids that differ between models give way to hashes; errors have no score."""
    for place, model in enumerate(RIGHT):
        rows = []
        for n in range(4):
            about = {"digest": f"h{n}", "epoch": 0}
            question = {"raw": "q", "reference": ["a"], "choices": ["a", "b", "c", "d"]}
            identity = (n + place) % 4
            rows.append(eee_row(model, identity, n < 2, input=question, **about))
            rows.append(eee_row(model, identity, 0, metric="acc_norm", input=question, **about))
        rows[-2]["error"] = "refused"
        dump_lines(tmp_path / f"{place}_samples.jsonl", rows)
    with pytest.raises(IngestError, match="task: acc, acc_norm"):
        ingest(tmp_path, models=MODELS)
    result = ingest(tmp_path, models=MODELS, metric="acc")
    assert cells(result, "item")["large"] == ["h0", "h1", "h2"]
    assert cells(result)["large"] == [1, 1, 0] and set(result.table["chance"]) == {0.25}
    assert has_note(result, "items are named by sample_hash")
    assert has_note(result, "3 answers without a score")


# ---------------------------------------------------------------------------------------------
# Models, formats, command


def models_file(folder, text):
    path = folder / "models.csv"
    path.write_text(text)
    return path


def test_models_are_joined(tmp_path):
    write_lm_eval(tmp_path / "logs")
    path = models_file(
        tmp_path,
        "\ufeffmodel, compute, params, tokens, family, role, note\n"
        "small,,100M,2B,toy,ladder,x\nmiddle, 1e20 ,,,toy,,\nlarge,1e22,,,toy,target,\n\n"
        "unused,,,,,anchor,\n",
    )
    table = ingest(tmp_path / "logs", models=path).table
    row = {m: part.iloc[0] for m, part in table.groupby("model", observed=True)}
    assert np.isnan(row["small"]["compute"]) and row["small"]["tokens"] == 2e9
    assert row["middle"]["compute"] == 1e20
    assert [row[m]["role"] for m in RIGHT] == ["ladder", "ladder", "target"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evidence = read_table(table)
    assert evidence.models.loc["small", "compute"] == pytest.approx(6 * 1e8 * 2e9)
    assert evidence.ladder == ("small", "middle")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("name,compute\nsmall,1\n", r"models.csv: expected a column 'model', got name, compute"),
        ("model,flops\nsmall,1\n", r"expected a column 'compute' \(training FLOPs\), or 'params'"),
        ("model,compute\nsmall,1B\n", r"line 2: expected a positive number as compute.*got '1B'"),
        ("model,compute\nsmall,-1\n", r"line 2: expected a positive number as compute"),
        ("model,compute\nsmall,\n", r"line 2: expected compute .* of model 'small', got empty"),
        ("model,compute\nsmall\n", r"line 2: expected 2 cells as in the header"),
        ("model,compute\n,1e20\n", r"line 2: expected the name of a model"),
        ("model,compute\na,1\na,2\n", r"line 3: model 'a' has two rows that differ"),
        ("model,compute,role\na,1,rung\n", r"line 2: expected a role \(ladder, anchor, target\)"),
        ("model,compute\n", r"models.csv: expected one row per model, got none"),
        ("", r"models.csv: expected a column 'model', got nothing"),
    ],
)
def test_models_that_are_wrong(text, error, tmp_path):
    write_lm_eval(tmp_path / "logs")
    with pytest.raises(IngestError, match=error):
        ingest(tmp_path / "logs", models=models_file(tmp_path, text))


def test_a_model_without_compute_is_named_with_the_nearest(tmp_path):
    rows = [lm_row(0, {"acc": 1.0})]
    lm_run(tmp_path, "EleutherAI/pythia-160m", {"t": rows})
    models = pd.DataFrame({"model": ["pythia_160M", "gpt2", "opt-1.3b"], "compute": 1e20})
    with pytest.raises(IngestError, match=r"none for 'EleutherAI/pythia-160m' \(nearest: 'pythia_"):
        ingest(tmp_path, models=models)


def test_sources(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        ingest(tmp_path / "nowhere", models=MODELS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(IngestError, match=r"empty: expected evaluation logs, got 0 files .*lm-eva"):
        ingest(tmp_path / "empty", models=MODELS)
    write_lm_eval(tmp_path / "both")
    write_evalplus(tmp_path / "both")
    with pytest.raises(
        IngestError, match=r"got lm-eval \(18 files\), evalplus \(3 files\); choose"
    ):
        ingest(tmp_path / "both", models=MODELS)
    assert len(ingest(tmp_path / "both", models=MODELS, format="evalplus").table) == 18
    with pytest.raises(IngestError, match="expected a format"):
        ingest(tmp_path / "both", models=MODELS, format="lmeval")
    write_lm_eval(tmp_path / "results")  # not OpenCompass, whose folder has this name
    assert len(ingest(tmp_path / "results", models=MODELS).table) == 18
    one = sorted((tmp_path / "both").rglob("samples*.jsonl"))[0]
    assert len(ingest(one, models=MODELS).table) == 6
    with pytest.raises(FileNotFoundError, match="no such table of models"):
        ingest(one, models=tmp_path / "none.csv")


@pytest.mark.parametrize("suffix", ["parquet", "csv", "tsv", "jsonl"])
def test_command(suffix, tmp_path, capsys):
    write_inspect(tmp_path / "logs")
    MODELS.to_csv(tmp_path / "models.csv", index=False)
    out = tmp_path / "new" / f"evidence.{suffix}"
    options = ["ingest", str(tmp_path / "logs"), "--models", str(tmp_path / "models.csv")]
    assert main([*options, "--out", str(out)]) == 0
    listed = capsys.readouterr()
    assert "written: 18 rows" in listed.out and "note: task: 3 trials per item" in listed.err
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (data,) = read_table(out).benchmarks.values()
    right = np.array([RIGHT[m].mean(axis=1) for m in data["model"].values]).T
    np.testing.assert_allclose(data["rate"].transpose("item", "model"), right)
    assert main([*options, "--out", str(out), "-q"]) == 0
    assert "note" not in capsys.readouterr().err
    assert main([*options, "--out", str(out), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["rows"] == 18 and summary["benchmarks"][0]["trials"] == 3.0
    assert main([*options, "--out", str(tmp_path / "evidence.xlsx")]) == 2
    assert "expected --out to end in .parquet" in capsys.readouterr().err
    assert main([*options, "--metric", "acc"]) == 2
    assert "got 'acc'; there are: match" in capsys.readouterr().err


def test_the_benchmark_runs():
    script = Path(__file__).parents[1] / "examples" / "studies" / "benchmark_ingest.py"
    done = subprocess.run(
        [sys.executable, str(script), "--rows", "400"], check=True, capture_output=True, text=True
    )
    assert "ingested  400 rows in" in done.stdout and "peak memory" in done.stdout
