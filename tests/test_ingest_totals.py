"""Logs without answers: their own scores become rows of counts, or of scores with a stderr."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from log_writers import (
    MODELS,
    RIGHT,
    TIMES,
    cells,
    dump,
    has_note,
    helm_run,
    helm_stat,
    inspect_head,
    lm_row,
    lm_run,
    write_zip,
)

from cod_bayes.evidence.record import read_table
from cod_bayes.ingest import IngestError, ingest

LOGS = Path(__file__).parent / "data" / "ingest"
TOTALS = Path(__file__).parent / "data" / "ingest_totals"


def stderr(score, n):
    """As lm_eval computes it: the sample standard deviation over the root of n."""
    return (score * (1 - score) / (n - 1)) ** 0.5


def figures(score, n, metric="acc", filter="none"):
    return {f"{metric},{filter}": score, f"{metric}_stderr,{filter}": stderr(score, n)}


def counts(*tasks, effective=None):
    return {task: {"original": n, "effective": effective or n} for task, n in tasks}


def results_of(folder, model, right, n, *, time=TIMES[0], **about):
    """A results file without samples: `right` of `n` items of one task."""
    scores = {"quiz": {"alias": "quiz", **figures(right / n, n)}}
    about = {"results": scores, "n-samples": counts(("quiz", n)), **about}
    about |= {"versions": {"quiz": 1.0}}
    lm_run(folder, model, {}, time=time, **about)


def row(result, model="small", benchmark=None):
    part = result.table[result.table["model"] == model]
    if benchmark:
        part = part[part["benchmark"] == benchmark]
    assert len(part) == 1
    return part.iloc[0]


# ---------------------------------------------------------------------------------------------
# lm-evaluation-harness


def test_counts_from_results(tmp_path):
    for model, right in zip(RIGHT, (30, 61, 117), strict=True):
        results_of(tmp_path, model, right, 120)
    result = ingest(tmp_path, models=MODELS)
    assert cells(result) == {"small": [30], "middle": [61], "large": [117]}
    assert cells(result, "n_trials") == {model: [120] for model in RIGHT}
    assert cells(result, "item")["small"] == ["all"] and "stderr" not in result.table
    assert has_note(result, "quiz: one score per model (acc), of 120 trials")
    evidence = read_table(result.table)
    assert evidence.benchmarks["quiz"]["n_trials"].values.tolist() == [[120.0, 120.0, 120.0]]


def test_the_metric_and_filter_are_chosen_as_for_samples(tmp_path):
    about = {
        "results": {
            "quiz": {**figures(0.5, 40, filter="strict"), **figures(0.75, 40, filter="loose")}
        },
        "n-samples": counts(("quiz", 40)),
    }
    lm_run(tmp_path, "small", {}, **about)
    with pytest.raises(IngestError, match=r"quiz: acc \(loose\), acc \(strict\)"):
        ingest(tmp_path, models=MODELS)
    assert row(ingest(tmp_path, models=MODELS, filter="loose"))["n_correct"] == 30


def test_the_number_of_trials_is_solved_from_the_stderr(tmp_path):
    """Logs before n-samples; a score of 0 or 1 has no spread, and takes the others' number."""
    for model, right in zip(RIGHT, (0, 33, 100), strict=True):
        results_of(tmp_path, model, right, 240, **{"n-samples": {}})
    result = ingest(tmp_path, models=MODELS)
    assert cells(result, "n_trials") == {model: [240] for model in RIGHT}
    assert cells(result) == {"small": [0], "middle": [33], "large": [100]}


def test_partial_credit_keeps_its_stderr(tmp_path):
    about = {
        "results": {"quiz": {"f1,none": 0.4321987, "f1_stderr,none": 0.011}},
        "n-samples": counts(("quiz", 50)),
    }
    lm_run(tmp_path, "small", {}, **about)
    found = row(ingest(tmp_path, models=MODELS))
    assert found["score"] == 0.4321987 and found["stderr"] == 0.011 and "n_trials" not in found


def group_run(folder, model, scores, sizes, whole, *, samples=(), **about):
    tasks = {f"mmlu_{name}": score for name, score in scores.items()}
    n = {f"mmlu_{name}": size for name, size in sizes.items()}
    results = {task: figures(score, n[task]) for task, score in tasks.items()}
    results["mmlu"] = {"acc,none": whole, "acc_stderr,none": 0.01}
    lm_run(
        folder,
        model,
        {
            task: [lm_row(i, {"acc": float(i < round(tasks[task] * n[task]))}) for i in range(size)]
            for task, size in n.items()
            if samples
        },
        results=results,
        groups={"mmlu": results["mmlu"]},
        group_subtasks={"mmlu": list(tasks)},
        **{"n-samples": counts(*n.items())},
        **about,
    )


def test_a_group_counts_once(tmp_path):
    """Its own score, of all its items; or its tasks where the user splits it."""
    group_run(tmp_path, "small", {"a": 0.5, "b": 0.25}, {"a": 20, "b": 200}, 60 / 220)
    result = ingest(tmp_path, models=MODELS)
    found = row(result)
    assert (found["benchmark"], found["n_correct"], found["n_trials"]) == ("mmlu", 60, 220)
    result = ingest(tmp_path, models=MODELS, split="mmlu")
    assert row(result, benchmark="mmlu_a")["n_trials"] == 20
    assert row(result, benchmark="mmlu_b")["n_correct"] == 50
    assert len(result.table) == 2


def test_a_group_without_a_table_of_groups(tmp_path):
    """As in the first logs of 0.4; and a tag, which has no score of its own."""
    group_run(tmp_path, "small", {"a": 0.5, "b": 0.25}, {"a": 20, "b": 200}, 60 / 220)
    (path,) = tmp_path.rglob("results_*.json")
    about = json.loads(path.read_text())
    del about["groups"]
    about["group_subtasks"]["tag"] = ["mmlu_a", "mmlu_b"]
    about["results"]["tag"] = {"alias": "tag", " ": " "}
    dump(path, about)
    found = row(ingest(tmp_path, models=MODELS))
    assert (found["benchmark"], found["n_correct"], found["n_trials"]) == ("mmlu", 60, 220)


def test_a_group_that_averages_its_tasks_has_no_number_of_trials(tmp_path):
    group_run(tmp_path, "small", {"a": 0.5, "b": 0.25}, {"a": 20, "b": 200}, 0.375)
    found = row(ingest(tmp_path, models=MODELS))
    assert found["score"] == 0.375 and "n_trials" not in found
    expected = (0.5 * 0.5 / 20 + 0.25 * 0.75 / 200) ** 0.5 / 2
    assert found["stderr"] == pytest.approx(expected)


def test_several_files_of_one_model(tmp_path):
    """Copies count once; of scores that differ, the most answers count, then the latest."""
    results_of(tmp_path, "small", 30, 120)
    results_of(tmp_path, "small", 30, 120, time=TIMES[1])
    result = ingest(tmp_path, models=MODELS)
    assert cells(result) == {"small": [30]} and not has_note(result, "differ")
    results_of(tmp_path, "small", 40, 120, time=TIMES[2])
    result = ingest(tmp_path, models=MODELS)
    assert cells(result) == {"small": [40]}
    assert has_note(result, "quiz: small has 3 results that differ; that of the latest run is used")
    results_of(tmp_path, "small", 11, 20, time=TIMES[2])
    result = ingest(tmp_path, models=MODELS)
    assert cells(result) == {"small": [30]} and has_note(result, "of most answers is used")
    results_of(tmp_path, "small", 99, 120, time=TIMES[2], **{"n-shot": {"quiz": 5}})
    with pytest.raises(IngestError, match=r"quiz of small: .* differ in shots"):
        ingest(tmp_path, models=MODELS)


def test_a_run_on_part_of_the_items_is_said(tmp_path):
    results_of(tmp_path, "small", 5, 10, **{"n-samples": counts(("quiz", 600), effective=10)})
    result = ingest(tmp_path, models=MODELS)
    assert cells(result, "n_trials") == {"small": [10]}
    assert has_note(result, "small was asked part of the items: quiz (10 of 600).")


def test_the_layout_of_lm_eval_0_3(tmp_path):
    subjects = {"anatomy": (27, 135), "virology": (83, 166)}
    results = {
        f"hendrycksTest-{name}": {"acc": k / n, "acc_stderr": stderr(k / n, n)}
        for name, (k, n) in subjects.items()
    }
    results["arc_easy"] = {"acc": 0.5, "acc_stderr": stderr(0.5, 2376)}
    about = {
        "results": results,
        "versions": dict.fromkeys(results, 0),
        "config": {"model": "hf-causal", "model_args": "pretrained=small", "num_fewshot": 5},
    }
    dump(tmp_path / "small-5shot.json", about)
    result = ingest(tmp_path, models=MODELS)
    part = result.table.set_index("item")
    assert row(result, benchmark="arc_easy")[["n_correct", "n_trials"]].tolist() == [1188, 2376]
    test = part[part["benchmark"] == "hendrycksTest"]
    assert sorted(test["n_trials"]) == [135, 166] and sorted(test["n_correct"]) == [27, 83]
    assert has_note(result, "hendrycksTest: 2 tasks in one benchmark")
    assert has_note(result, "hendrycksTest: its 2 tasks count alike")


def test_results_that_the_program_wrote(tmp_path):
    for path in (LOGS / "lm-eval-0.4.13").rglob("results_*.json"):
        shutil.copy(path, tmp_path)
    models = pd.DataFrame({"model": ["org/small", "org/large"], "compute": [1e18, 1e20]})
    result = ingest(tmp_path, models=models, metric="acc", filter="strict")
    table = result.table.set_index(["benchmark", "model"])
    assert table.loc[("choose", "org/small"), ["n_correct", "n_trials"]].tolist() == [1, 4]
    assert table.loc[("write", "org/large"), ["n_correct", "n_trials"]].tolist() == [4, 4]
    assert len(table) == 4


# ---------------------------------------------------------------------------------------------
# Mixed folders


def answers_of(folder, model, right, n, **about):
    rows = [lm_row(i, {"acc": float(i < right)}) for i in range(n)]
    scores = {"results": {"quiz": figures(right / n, n)}, "n-samples": counts(("quiz", n))}
    lm_run(folder, model, {"quiz": rows}, **scores | about)


def test_samples_win(tmp_path):
    answers_of(tmp_path, "small", 3, 12)
    answers_of(tmp_path, "middle", 6, 12)
    results_of(tmp_path, "large", 9, 12)
    result = ingest(tmp_path, models=MODELS)
    assert {m: len(part) for m, part in cells(result).items()} == {"small": 12, "middle": 12}
    assert has_note(result, "quiz: large has results without samples and no place beside the items")
    result = ingest(tmp_path, models=MODELS, aggregates=True)
    assert cells(result) == {"small": [3], "middle": [6], "large": [9]}
    assert has_note(result, "quiz: the logs' own scores are used, as asked")


def test_few_samples_give_way(tmp_path):
    answers_of(tmp_path, "small", 3, 12)
    results_of(tmp_path, "middle", 6, 12)
    results_of(tmp_path, "large", 9, 12)
    result = ingest(tmp_path, models=MODELS)
    assert cells(result) == {"small": [3], "middle": [6], "large": [9]}
    assert has_note(result, "own scores are used, because most models have no samples")


def test_answers_without_an_own_score_give_their_mean(tmp_path):
    answers_of(tmp_path, "small", 3, 12, results={})
    results_of(tmp_path, "middle", 6, 12)
    results_of(tmp_path, "large", 9, 12)
    result = ingest(tmp_path, models=MODELS)
    assert cells(result) == {"small": [3], "middle": [6], "large": [9]}
    assert has_note(result, "quiz: of small the logs hold no own score; the mean of the answers")


def test_each_benchmark_uses_what_it_has(tmp_path):
    answers_of(tmp_path, "small", 3, 12)
    results = {"other": figures(0.25, 40)}
    about = {"results": results, "n-samples": counts(("other", 40))}
    lm_run(tmp_path, "small", {}, time=TIMES[1], **about)
    result = ingest(tmp_path, models=MODELS)
    assert result.table.groupby("benchmark", observed=True).size().to_dict() == {
        "quiz": 12,
        "other": 1,
    }


# ---------------------------------------------------------------------------------------------
# The other programs


def test_helm_statistics(tmp_path):
    for model, score in zip(RIGHT, (0.25, 0.5, 0.75), strict=True):
        path = helm_run(tmp_path, model, [])
        path.unlink()
        stats = [
            helm_stat("exact_match", score),
            helm_stat("num_instances", 40),
            helm_stat("exact_match", 0.0, perturbation={"name": "typos"}),
            helm_stat("exact_match", 1.0, split="valid"),
        ]
        dump(path.with_name("stats.json"), stats)
    result = ingest(tmp_path, models=MODELS)
    assert cells(result) == {"small": [10], "middle": [20], "large": [30]}
    for path in tmp_path.rglob("stats.json"):
        stats = [s for s in json.loads(path.read_text()) if s["name"]["name"] != "num_instances"]
        dump(path, stats)
    result = ingest(tmp_path, models=MODELS)
    assert cells(result, "score")["small"] == [0.25] and "n_trials" not in result.table
    assert has_note(result, "holds neither a number of answers nor a standard error")


def test_inspect_headers(tmp_path):
    """Epochs are trials; a header alone is a .json file, or a .eval file without samples."""
    for model, score in zip(RIGHT, (0.25, 0.5, 0.75), strict=True):
        head = inspect_head(model)
        head["eval"]["config"] = {"epochs": 2}
        about = {"name": "match", "scorer": "match", "scored_samples": 10}
        metrics = {"accuracy": {"name": "accuracy", "value": score}}
        head["results"] = {"completed_samples": 20, "scores": [about | {"metrics": metrics}]}
        if model == "small":
            write_zip(tmp_path / f"{model}.eval", {"header.json": head}, 93)
        else:
            dump(tmp_path / f"{model}.json", head)
    result = ingest(tmp_path, models=MODELS)
    assert cells(result) == {"small": [5], "middle": [10], "large": [15]}
    assert cells(result, "n_trials") == {model: [20] for model in RIGHT}
    dump(tmp_path / "empty.json", inspect_head("small", status="error") | {"samples": []})
    result = ingest(tmp_path, models=MODELS)
    assert has_note(result, "empty.json holds neither samples nor scores: left out")
    with pytest.raises(IngestError, match=r"expected answers or scores in the logs, got none, su"):
        ingest(tmp_path / "empty.json", models=MODELS)


def test_opencompass_scores(tmp_path):
    """In percent; with as many trials as there are predictions."""
    for model, right in zip(RIGHT, (1, 2, 3), strict=True):
        here = tmp_path / "20260101_120000"
        dump(here / "results" / model / "quiz.json", {"accuracy": 25.0 * right})
        dump(here / "predictions" / model / "quiz.json", {str(n): {} for n in range(4)})
    result = ingest(tmp_path, models=MODELS)
    assert cells(result) == {"small": [1], "middle": [2], "large": [3]}
    assert cells(result, "n_trials") == {model: [4] for model in RIGHT}


def test_opencompass_summaries(tmp_path):
    """A table per run: a row of averages is left out where the rows it averages are there."""
    path = tmp_path / "20260101_120000" / "summary" / "summary_20260101_120000.csv"
    path.parent.mkdir(parents=True)
    text = (
        "dataset,version,metric,mode,small,middle,large\n"
        "gsm8k,1d7fe4,accuracy,gen,10.00,-,50.00\n"
        "mmlu,-,naive_average,gen,30.00,40.00,60.00\n"
        "lukaemon_mmlu_law,ae7e5d,accuracy,gen,20.00,30.00,40.00\n"
        "lukaemon_mmlu_anatomy,ae7e5d,accuracy,gen,40.00,50.00,80.00\n"
        "--------- others ---------,-,-,-,-,-,-\n"
    )
    path.write_text(text)
    result = ingest(tmp_path, models=MODELS)
    part = {name: rows for name, rows in result.table.groupby("benchmark", observed=True)}
    assert set(part) == {"gsm8k", "lukaemon_mmlu"} and len(part["gsm8k"]) == 2
    means = part["lukaemon_mmlu"].groupby("model", observed=True)["score"].mean()
    assert means.to_dict() == pytest.approx({"small": 0.3, "middle": 0.4, "large": 0.6})
    path.write_text(text.replace(",gen,10.00,-,50.00", ",gen,10.00"))
    with pytest.raises(IngestError, match=r"summary_.*csv, line 2: expected 7 cells"):
        ingest(tmp_path, models=MODELS)


def record(model, score, *, low=0, high=1, uncertainty=None, lower=False, name="quiz", data="d"):
    return {
        "schema_version": "0.2.2",
        "evaluation_id": f"{name}/{model}",
        "source_metadata": {"source_type": "documentation"},
        "model_info": {"id": model},
        "evaluation_results": [
            {
                "evaluation_name": name,
                "source_data": {"dataset_name": data},
                "metric_config": {"lower_is_better": lower, "min_score": low, "max_score": high},
                "score_details": {"score": score, "uncertainty": uncertainty},
            }
        ],
    }


def test_records_of_every_eval_ever(tmp_path):
    known = {"num_samples": 50, "standard_error": {"value": 0.07}}
    dump(tmp_path / "a.json", record("small", 0.24, uncertainty=known))
    dump(tmp_path / "b.json", record("middle", 50.0, high=100, uncertainty={"num_samples": 50}))
    dump(tmp_path / "c.json", record("large", 0.77, uncertainty=None))
    result = ingest(tmp_path, models=MODELS)
    assert row(result)[["n_correct", "n_trials"]].tolist() == [12, 50]
    assert row(result, "middle")["n_correct"] == 25 and row(result, "large")["score"] == 0.77
    assert np.isnan(row(result, "large")["n_trials"])
    assert has_note(result, "the log of large holds neither")
    dump(tmp_path / "d.json", record("small", 0.9, name="quiz", data="other"))
    result = ingest(tmp_path, models=MODELS)
    assert set(result.table["benchmark"]) == {"d/quiz", "other/quiz"}
    dump(tmp_path / "e.json", record("small", 0.1, name="errors", lower=True))
    result = ingest(tmp_path, models=MODELS)
    assert has_note(result, "errors: left out") and has_note(result, "better when lower")
    dump(tmp_path / "a.json", record("small", 0.24) | {"schema_version": "1.0"})
    with pytest.raises(IngestError, match=r"a.json: expected schema_version 0.2 or 0.3, got '1.0'"):
        ingest(tmp_path, models=MODELS)


@pytest.mark.parametrize(
    ("name", "metric", "expected"),
    [
        (
            "inspect-0.3.285",
            ["match", "choice"],
            {
                ("chosen", "mockllm/small"): (2, 4),  # two items, two epochs
                ("chosen", "mockllm/large"): (2, 4),
                ("free", "mockllm/small"): (1, 2),
                ("free", "mockllm/large"): (1, 2),
            },
        ),
        ("helm-0.5.16", "exact_match", {("simple_mcqa", "simple/model1"): (0, 20)}),
        (
            "every-eval-ever-0.3.0",
            "acc",
            {("choose", "org/small"): (1, 4), ("choose", "org/large"): (1, 4)},
        ),
    ],
)
def test_totals_that_the_programs_wrote(name, metric, expected):
    names = sorted({model for _, model in expected})
    models = pd.DataFrame({"model": names, "compute": [1e18 * 4**n for n in range(len(names))]})
    table = ingest(TOTALS / name, models=models, metric=metric).table
    cells = table.set_index(["benchmark", "model"])[["n_correct", "n_trials"]]
    assert {key: tuple(found) for key, found in cells.T.items()} == expected


def test_chance_from_the_choices_of_the_task(tmp_path):
    letters = {"doc_to_choice": ["A", "B", "C", "D"]}
    group_run(
        tmp_path,
        "small",
        {"a": 0.5, "b": 0.25},
        {"a": 20, "b": 200},
        60 / 220,
        configs={"mmlu_a": letters, "mmlu_b": letters},
    )
    assert row(ingest(tmp_path, models=MODELS))["chance"] == 0.25
