"""What ingest says of the logs: means against the logs' own scores, unlike tasks, texts as scores,
items that models do not share, files and rows that were not used."""

import bz2
import gzip
import json

import pandas as pd
import pyarrow as pa
import pytest
from log_writers import (
    MODELS,
    RIGHT,
    TIMES,
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
    write_inspect,
    write_lm_eval,
)

from cod_bayes.cli import main
from cod_bayes.ingest import IngestError, ingest


def note(result, text):
    """The one note with the text."""
    (found,) = [one for one in result.notes if text in one]
    return found


def rows_of(right, n, metric="acc", **more):
    return [lm_row(i, {metric: float(i < right)}, **more) for i in range(n)]


# ---------------------------------------------------------------------------------------------
# Means against the logs' own scores


def test_means_that_agree(tmp_path):
    for model, right in zip(RIGHT, (2, 5, 8), strict=True):
        own = {"quiz": {"acc,none": right / 10}}
        lm_run(tmp_path, model, {"quiz": rows_of(right, 10)}, results=own)
    result = ingest(tmp_path, models=MODELS)
    assert has_note(result, "agree with the logs' own scores: 3 of 3")
    checks = result.checks.set_index("model")
    assert checks["table"].to_dict() == {"small": 0.2, "middle": 0.5, "large": 0.8}
    assert (checks["table"] == checks["log"]).all() and set(checks["reason"]) == {""}
    assert set(checks["benchmark"]) == {"quiz"} and set(checks["metric"]) == {"acc"}


def macro_run(folder, model, whole, **about):
    """Two tasks of 20 and 200 items, all right and 40 % right."""
    tasks = {
        "clauses_a": rows_of(20, 20, "exact_match"),
        "clauses_b": rows_of(80, 200, "exact_match"),
    }
    key = "exact_match,none"
    groups = {"clauses": {key: whole}}
    lm_run(
        folder,
        model,
        tasks,
        results={"clauses_a": {key: 1.0}, "clauses_b": {key: 0.4}, **groups},
        groups=groups,
        group_subtasks={"clauses": list(tasks)},
        **{"n-samples": {t: {"effective": len(rows)} for t, rows in tasks.items()}},
        **about,
    )


def test_a_mean_of_tasks_is_no_mean_of_items(tmp_path):
    macro_run(tmp_path, "small", 0.7)
    result = ingest(tmp_path, models=MODELS)
    assert "small 45.5 % where the log has 70.0 %: the log averages its 2 tasks" in note(
        result, "differs"
    )
    whole = result.checks[result.checks["subset"] == ""].iloc[0]
    assert (whole["table"], whole["log"]) == pytest.approx((100 / 220, 0.7))
    result = ingest(tmp_path, models=MODELS, split="clauses")
    means = result.table.groupby("benchmark", observed=True)["score"].mean()
    assert means.to_dict() == pytest.approx({"clauses_a": 1.0, "clauses_b": 0.4})
    assert has_note(result, "own scores: 2 of 2")
    with pytest.raises(IngestError, match="got 'nothing'; there are: clauses"):
        ingest(tmp_path, models=MODELS, split="nothing")


def test_a_mean_of_items_agrees(tmp_path):
    macro_run(tmp_path, "small", 100 / 220)
    assert has_note(ingest(tmp_path, models=MODELS), "own scores: 3 of 3")


def test_a_log_of_more_answers_than_the_samples(tmp_path):
    own = {"quiz": {"acc,none": 0.5}}
    about = {"results": own, "n-samples": {"quiz": {"effective": 20}}}
    lm_run(tmp_path, "small", {"quiz": rows_of(10, 10)}, **about)
    found = note(ingest(tmp_path, models=MODELS), "differs")
    assert (
        "100.0 % where the log has 50.0 %: the log's score is of 20 answers, the table's" in found
    )


def test_a_score_that_is_no_mean(tmp_path):
    about = {"configs": {"quiz": {"metric_list": [{"metric": "acc", "aggregation": "mcc"}]}}}
    own = {"quiz": {"acc,none": 0.31}}
    lm_run(tmp_path, "small", {"quiz": rows_of(5, 10)}, results=own, **about)
    assert "no mean of the items (mcc)" in note(ingest(tmp_path, models=MODELS), "differs")


def test_a_difference_without_a_known_reason(tmp_path):
    lm_run(tmp_path, "small", {"quiz": rows_of(5, 10)}, results={"quiz": {"acc,none": 0.7}})
    assert "no reason is known" in note(ingest(tmp_path, models=MODELS), "differs")


def inspect_with_errors(path, own, *, score_on_error, scored):
    """Ten samples: three right, three wrong, four with an error, scored or not."""
    samples = [inspect_sample(n, 1, {"em": "C" if n < 3 else "I"}, f"u{n}") for n in range(10)]
    for sample in samples[6:]:
        sample["error"] = "RuntimeError('tool broke')"
        if not scored:
            sample["scores"] = {}
    head = inspect_head("small")
    head["eval"]["config"] = {"epochs": 1, "score_on_error": score_on_error}
    metrics = {"accuracy": {"name": "accuracy", "value": own}}
    score = {"name": "em", "scorer": "em", "scored_samples": 10, "metrics": metrics}
    dump(path, head | {"results": {"scores": [score]}, "samples": samples})


def test_errors_that_the_log_scores(tmp_path):
    inspect_with_errors(tmp_path / "a.json", 0.3, score_on_error=True, scored=True)
    result = ingest(tmp_path, models=MODELS)
    assert sum(cells(result)["small"]) == 3 and len(result.table) == 10
    assert has_note(result, "own scores: 1 of 1")


def test_errors_that_the_log_counts_as_wrong(tmp_path):
    inspect_with_errors(tmp_path / "a.json", 0.3, score_on_error=False, scored=False)
    result = ingest(tmp_path, models=MODELS)
    assert len(result.table) == 6
    found = note(result, "differs")
    assert "small 50.0 % where the log has 30.0 %: the log counts 4 answers without a" in found


def test_epochs_that_the_log_reduces_otherwise(tmp_path):
    samples = [
        inspect_sample(n, epoch, {"em": "C" if epoch == 1 else "I"}, f"{n}/{epoch}")
        for n in range(4)
        for epoch in (1, 2)
    ]
    head = inspect_head("small")
    head["eval"]["config"] = {"epochs": 2, "epochs_reducer": ["max"]}
    metrics = {"accuracy": {"name": "accuracy", "value": 1.0}}
    score = {"name": "em", "scorer": "em", "reducer": "max", "metrics": metrics}
    dump(tmp_path / "a.json", head | {"results": {"scores": [score]}, "samples": samples})
    found = note(ingest(tmp_path, models=MODELS), "differs")
    assert "50.0 % where the log has 100.0 %: the log reduces 2 epochs by max" in found


def test_helm_subsets_of_other_sizes(tmp_path):
    for subject, n, right in (("a", 2, 1.0), ("b", 8, 0.0)):
        entries = [
            {"instance_id": f"id{i}", "train_trial_index": 0, "stats": [helm_stat("em", right)]}
            for i in range(n)
        ]
        path = helm_run(tmp_path, "small", entries, name=f"quiz:subject={subject}")
        dump(path.with_name("stats.json"), [helm_stat("em", right)])
    result = ingest(tmp_path, models=MODELS)
    found = note(result, "HELM reports the mean of the 2 tasks")
    assert "small 20.0 % where the log has 50.0 %" in found
    assert has_note(result, "own scores: 2 of 3")
    for options in ({"split": "quiz"}, {"group": ["easy=quiz:*a", "hard=quiz:*b"]}):
        apart = ingest(tmp_path, models=MODELS, **options)
        assert apart.table["benchmark"].nunique() == 2
        assert has_note(apart, "own scores: 2 of 2")


def test_evalplus_of_later_versions(tmp_path):
    answers = {
        f"HumanEval/{n}": [evalplus_answer(n < 2, n < 1), evalplus_answer(n < 3, False)]
        for n in range(4)
    }
    own = {"base": {"pass@1": 5 / 8}, "plus": {"pass@1": 0.5}}
    results = {"eval": answers, "pass_at_k": own}
    dump(tmp_path / "small_hf_temp_0.8.eval_results.json", results)
    assert has_note(ingest(tmp_path, models=MODELS, metric="base"), "own scores: 1 of 1")
    found = note(ingest(tmp_path, models=MODELS, metric="plus"), "differs")
    assert "small 12.5 % where the log has 50.0 %" in found


def test_records_of_every_eval_ever(tmp_path):
    rows = [eee_row("small", i, i < 2, run="r") for i in range(8)]
    dump_lines(tmp_path / "a_samples.jsonl", rows)
    result = {
        "evaluation_name": "task",
        "evaluation_result_id": "acc",
        "metric_config": {"lower_is_better": False},
        "score_details": {"score": 0.5, "uncertainty": {"num_samples": 4}},
    }
    record = {"schema_version": "0.3.0", "evaluation_id": "task/small/r"}
    record |= {"model_info": {"id": "small"}, "evaluation_results": [result]}
    dump(tmp_path / "a.json", record)
    found = note(ingest(tmp_path, models=MODELS), "differs")
    assert "small 25.0 % where the log has 50.0 %: the log's score is of 4 answers" in found


# ---------------------------------------------------------------------------------------------
# What is one benchmark


def suite_run(folder, model, tasks, datasets=None, **groups):
    about = {
        "groups": {name: {"acc,none": 0.5} for name in groups},
        "group_subtasks": groups,
        "configs": {task: {"dataset_path": name} for task, name in (datasets or {}).items()},
    }
    lm_run(folder, model, tasks, **about)


def test_a_suite_of_unlike_benchmarks_is_none(tmp_path):
    tasks = {
        "suite_logic_a": rows_of(1, 3, "acc_norm"),
        "suite_logic_b": rows_of(1, 3, "acc_norm"),
        "suite_hard": rows_of(1, 3, "acc_norm"),
        "suite_pro": rows_of(1, 3, "acc"),
    }
    logic = ["suite_logic_a", "suite_logic_b"]
    for model in RIGHT:
        parts = ["suite_logic", "suite_hard", "suite_pro"]
        suite_run(tmp_path, model, tasks, suite=parts, suite_logic=logic)
    result = ingest(tmp_path, models=MODELS)
    assert set(result.table["benchmark"]) == {"suite_logic", "suite_hard", "suite_pro"}
    assert has_note(result, "suite: its tasks have different metrics or data sets")
    assert set(result.table["subset"]) - {""} == set(logic)
    result = ingest(tmp_path, models=MODELS, split="suite_logic")
    assert set(result.table["benchmark"]) == tasks.keys()
    result = ingest(tmp_path, models=MODELS, group="suite=suite_*")
    assert set(result.table["benchmark"]) == {"suite"}
    assert has_note(result, "suite: joins tasks under different metrics (acc, acc_norm)")
    with pytest.raises(IngestError, match=r"expected tasks that match .x_.., got none"):
        ingest(tmp_path, models=MODELS, group="suite=x_*")


def test_tasks_of_other_data_sets_are_other_benchmarks(tmp_path):
    tasks = {name: rows_of(1, 3) for name in ("arc", "boolq", "agi_a", "agi_b")}
    data = {"arc": "allenai/ai2_arc", "boolq": "google/boolq"}
    data |= {"agi_a": "hails/agieval-a", "agi_b": "hails/agieval-b"}
    for model in RIGHT:
        suite_run(tmp_path, model, tasks, data, both=["arc", "boolq"], agi=["agi_a", "agi_b"])
    result = ingest(tmp_path, models=MODELS)
    assert set(result.table["benchmark"]) == {"arc", "boolq", "agi"}


def opencompass_parts(folder, model, sizes, *, same=False):
    for part, size in enumerate(sizes):
        details = {
            str(i): {"prompt": f"{0 if same else part}/{i}", "correct": i % 2 == 0}
            for i in range(size)
        }
        accuracy = 100 * sum(entry["correct"] for entry in details.values()) / size
        path = folder / "20260101_120000" / "results" / model / f"sums_{part}.json"
        dump(path, {"accuracy": accuracy, "details": details})


def test_parts_of_one_data_set(tmp_path):
    for model in RIGHT:
        opencompass_parts(tmp_path / "a", model, (4, 4, 3))
        opencompass_parts(tmp_path / "b", model, (4, 3, 4))
        opencompass_parts(tmp_path / "c", model, (4, 4, 4), same=True)
    result = ingest(tmp_path / "a", models=MODELS)
    assert set(result.table["benchmark"]) == {"sums"} and result.table["item"].nunique() == 11
    assert has_note(result, "sums: read from its parts sums_0, sums_1, ..")
    assert has_note(result, "own scores: 9 of 9")
    result = ingest(tmp_path / "a", models=MODELS, split="sums")
    assert set(result.table["benchmark"]) == {"sums_0", "sums_1", "sums_2"}
    for other in "bc":  # data sets that only look alike by their names
        assert ingest(tmp_path / other, models=MODELS).table["benchmark"].nunique() == 3


def test_data_sets_that_a_program_reports_as_one(tmp_path):
    for model in RIGHT:
        for name, size in (("law", 2), ("virology", 6)):
            details = {str(i): {"prompt": f"{i}", "correct": name == "law"} for i in range(size)}
            path = tmp_path / "1" / "results" / model / f"lukaemon_mmlu_{name}.json"
            dump(path, {"accuracy": 100.0 * (name == "law"), "details": details})
    result = ingest(tmp_path, models=MODELS)
    assert set(result.table["benchmark"]) == {"lukaemon_mmlu"}
    assert set(result.table["subset"]) == {"lukaemon_mmlu_law", "lukaemon_mmlu_virology"}
    assert has_note(result, "lukaemon_mmlu: its mean is that of all items of its 2 tasks")
    assert "25.0 % where the log has 50.0 %" in note(result, "OpenCompass reports the mean")


# ---------------------------------------------------------------------------------------------
# Scores that are no numbers, no rates, or better when lower


def test_texts_that_say_right_and_wrong(tmp_path):
    values = ["True", "true", "yes", "1", 1, True, "False", "no", "0.0", 0, False, None]
    for model in RIGHT:
        rows = [lm_row(i, {"acc": value}) for i, value in enumerate(values)]
        lm_run(tmp_path / "a", model, {"quiz": rows})
        samples = [inspect_sample(n, 1, {"s": v}, f"u{n}") for n, v in enumerate(values)]
        inspect_log(tmp_path / "b" / f"{model}.eval", model, samples)
        rows = [eee_row(model, i, 0) for i in range(len(values))]
        for row, value in zip(rows, values, strict=True):
            row["evaluation"] = {"score": value}
        dump_lines(tmp_path / "c" / f"{model}_samples.jsonl", rows)
    for name in "abc":
        result = ingest(tmp_path / name, models=MODELS)
        assert len(result.table) == 33 and sum(cells(result)["small"]) == 6
        assert has_note(result, "3 answers without a score left out")


def test_texts_that_say_neither(tmp_path):
    rows = [lm_row(i, {"acc": 0.0 if i else "mostly"}) for i in range(4)]
    lm_run(tmp_path / "a", "small", {"quiz": rows})
    with pytest.raises(IngestError, match=r"of quiz, .*\(acc: holds 'mostly', which is no number"):
        ingest(tmp_path / "a", models=MODELS)
    for row in rows:
        row |= {"em": 1.0, "metrics": ["acc", "em"]}
    lm_run(tmp_path / "b", "small", {"quiz": rows})
    result = ingest(tmp_path / "b", models=MODELS)
    assert cells(result) == {"small": [1.0] * 4}
    assert has_note(result, "quiz: acc is not offered: holds 'mostly'")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((0, 100, 100), "values up to 100, as percent have, so divide them by 100"),
        ((37.5, 62.5, 50), "values up to 62.5, as percent have"),
        ((1, 3, 5), "values from 1 to 5, as grades have"),
        ((-3.5, -0.1, 0), "values down to -3.5, as logarithms"),
        (([1], [0], [1]), "holds .*, which is no number"),
        ((None, None, None), "no value"),
        ((0, 250, 10), "values up to 250"),
    ],
)
def test_each_cause_has_its_sentence(values, text, tmp_path):
    rows = [lm_row(i, {"acc": value}) for i, value in enumerate(values)]
    lm_run(tmp_path, "small", {"quiz": rows})
    with pytest.raises(IngestError, match=rf"of quiz, .*\(acc: {text}"):
        ingest(tmp_path, models=MODELS)


def test_a_score_that_is_better_when_lower(tmp_path):
    rows = [lm_row(i, {"pct_stereotype": float(i % 2)}, options=2) for i in range(4)]
    worse = {"pairs": {"pct_stereotype": False}}
    lm_run(tmp_path, "small", {"pairs": rows}, higher_is_better=worse)
    for metric in (None, "pct_stereotype"):
        with pytest.raises(IngestError, match="pct_stereotype: better when lower, as the log says"):
            ingest(tmp_path, models=MODELS, metric=metric)
    lm_run(tmp_path, "small", {"pairs": rows}, higher_is_better={})
    assert sum(cells(ingest(tmp_path, models=MODELS))["small"]) == 2


def test_a_task_without_any_score_is_left_out(tmp_path):
    tasks = {"mmlu_a": rows_of(2, 4), "mmlu_b": [lm_row(i, {}) for i in range(2)]}
    about = {"groups": {"mmlu": {"acc,none": 0.5}}, "group_subtasks": {"mmlu": list(tasks)}}
    lm_run(tmp_path, "small", tasks, **about)
    result = ingest(tmp_path, models=MODELS)
    assert set(result.table["benchmark"]) == {"mmlu_a"} and has_note(result, "mmlu_b: left out")


@pytest.mark.parametrize("metric", [None, "acc"])
def test_a_task_without_a_usable_score_is_left_out(metric, tmp_path):
    tasks = {
        "swag": rows_of(2, 4),
        "wikitext": [lm_row(i, {"word_perplexity": [-9.5, 3]}) for i in range(2)],
    }
    lm_run(tmp_path, "small", tasks)
    result = ingest(tmp_path, models=MODELS, metric=metric)
    assert set(result.table["benchmark"]) == {"swag"}
    assert has_note(result, "wikitext: left out, having no score in [0, 1]")


# ---------------------------------------------------------------------------------------------
# Items


def shuffled(model, places, *, question="Which planet is number"):
    """Rows whose documents hold the same choices, in another order for each model."""
    rows = []
    for i in range(12):
        choices = [f"planet {(i + n * places) % 12}" for n in (1, 5, 7, 11)]
        if places % 2:
            choices.reverse()
        document = {"question": f"{question} {i}?", "choices": choices, "answer": "AB"[places % 2]}
        row = lm_row(i, {"acc": float(i % 2)}, options=4, doc=document)
        rows.append(row | {"doc_hash": f"{places}{i:063x}"})
    return rows


def test_documents_with_shuffled_choices(tmp_path):
    same = shuffled("x", 1)
    for place, model in enumerate(RIGHT):
        rows = [dict(row, doc_hash=f"{place}{n:063x}") for n, row in enumerate(same)]
        for row in rows:
            choices = row["doc"]["choices"]
            choices = choices[place:] + choices[:place]
            prompt = row["doc"]["question"] + " ".join(choices)
            row["doc"] = row["doc"] | {"choices": choices, "prompt": prompt}
        lm_run(tmp_path / "a", model, {"quiz": rows})
    result = ingest(tmp_path / "a", models=MODELS)
    assert result.table["item"].nunique() == 12 and len(result.table) == 36
    assert has_note(result, "36 documents are 12 questions")
    for place, model in enumerate(RIGHT):  # other questions altogether
        lm_run(tmp_path / "b", model, {"quiz": shuffled(model, place, question=f"{place}: which")})
    result = ingest(tmp_path / "b", models=MODELS)
    assert result.table["item"].nunique() == 36
    assert has_note(result, "quiz: models share few items: of 36 items, 0 are of half")


def test_ids_of_a_shuffled_data_set(tmp_path):
    """Inspect numbers the samples of a data set that was shuffled for each model."""
    for place, model in enumerate(RIGHT):
        samples = [
            inspect_sample((n + place) % 6, 1, {"s": "CI"[n % 2]}, f"{model}{n}", input=f"asks {n}")
            for n in range(6)
        ]
        inspect_log(tmp_path / f"{model}.eval", model, samples)
    result = ingest(tmp_path, models=MODELS)
    assert has_note(result, "an id does not name the same question in all logs")
    right = result.table.groupby("item", observed=True)["n_correct"].agg(["sum", "count"])
    assert sorted(right["sum"]) == [0, 0, 0, 3, 3, 3] and set(right["count"]) == {3}


# ---------------------------------------------------------------------------------------------
# Files


@pytest.mark.parametrize("packed", ["gz", "zst"])
@pytest.mark.parametrize("write", [write_lm_eval, write_inspect])
def test_compressed_files(packed, write, tmp_path):
    write(tmp_path)
    for path in list(tmp_path.rglob("*.json*")):
        raw = path.read_bytes()
        if packed == "gz":
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(raw))
        else:
            zst = pa.compress(raw, codec="zstd", asbytes=True)
            path.with_name(path.name + ".zst").write_bytes(zst)
        path.unlink()
    result = ingest(tmp_path, models=MODELS)
    assert cells(result) == {m: list(right.sum(axis=1)) for m, right in RIGHT.items()}
    for path in sorted(tmp_path.rglob(f"samples*.{packed}"))[:1]:
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(IngestError, match=f"{path.name}.*"):
            ingest(tmp_path, models=MODELS)


def test_samples_named_json(tmp_path):
    """As lm_eval wrote them in mid-2024; and as one list, as it wrote them before."""
    for model in RIGHT:
        (path,) = lm_run(tmp_path, model, {"swag": rows_of(2, 5)})
        text = path.read_text()
        path.unlink()
        if model == "large":
            path.write_text(json.dumps([json.loads(line) for line in text.splitlines()], indent=2))
        else:
            path.with_suffix(".json").write_text(text)
    result = ingest(tmp_path, models=MODELS)
    assert cells(result) == {model: [1, 1, 0, 0, 0] for model in RIGHT}


def test_near_misses_are_named(tmp_path):
    def refused(name, raw, text):
        folder = tmp_path / name.replace("/", "_")
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(raw)
        with pytest.raises(IngestError, match=text):
            ingest(folder, models=MODELS)

    row = json.dumps(lm_row(0, {"acc": 1.0})).encode()
    refused("swag.jsonl", row, r"swag.jsonl: looks like samples of lm_eval under another name")
    refused(f"samples_swag_{TIMES[0]}.jsonl.bz2", bz2.compress(row), r"bz2: is an archive or comp")
    refused("logs.zip", b"PK", r"logs.zip: is an archive")
    lighteval = {"config_general": {"model_name": "x"}, "results": {"a|b|0": {"acc": 1}}}
    refused("results_x.json", json.dumps(lighteval).encode(), "looks like results of lighteval")
    oc = {"accuracy": 1, "details": {"0": {"predictions": "A", "references": "A"}}}
    refused("quiz.json", json.dumps(oc).encode(), "looks like results of OpenCompass: keep it as")


def test_files_of_other_programs_with_such_names(tmp_path):
    """They are no logs, and do not stop the ingestion of those beside them."""
    write_lm_eval(tmp_path)
    dump(tmp_path / "stats.json", {"bytes": 7})
    dump(tmp_path / "retrieval_results.json", {"recall": 0.5})
    dump(tmp_path / "all_eval_results.json", {"loss": 0.5})
    dump(tmp_path / "results.json", {"results": [1, 2]})
    result = ingest(tmp_path, models=MODELS)
    assert len(result.table) == 18
    found = note(result, "Not read, because they are no lm-eval logs")
    assert "all_eval_results.json" in found and "results.json" in found


def test_runs_without_results_are_named(tmp_path):
    entries = [{"instance_id": "a", "train_trial_index": 0, "stats": [helm_stat("em", 1.0)]}]
    for model in ("small", "large"):
        path = helm_run(tmp_path / "a", model, entries)
    path.unlink()
    result = ingest(tmp_path / "a", models=MODELS)
    assert "model=large/run_spec.json, which is of a run without" in note(result, "Not read")
    for model in ("small", "large"):
        here = tmp_path / "b" / "1"
        dump(here / "predictions" / model / "quiz.json", {"0": {}})
    details = {"0": {"prompt": "q", "correct": True}}
    dump(here / "results" / "small" / "quiz.json", {"accuracy": 100.0, "details": details})
    found = note(ingest(tmp_path / "b", models=MODELS), "Not read")
    assert "predictions/large/quiz.json" in found and "predictions/small" not in found


def test_files_that_are_not_read_are_named(tmp_path):
    write_lm_eval(tmp_path)
    (tmp_path / "other.json").write_text('{"some": "thing"}')
    (tmp_path / "README.md").write_text("what this is")
    dump_lines(tmp_path / "swag.jsonl", [lm_row(0, {"acc": 1.0})])
    result = ingest(tmp_path, models=MODELS)
    assert "swag.jsonl, which looks like samples" in note(result, "Not read: ")
    assert "other.json" in note(result, "are no lm-eval logs")
    assert not has_note(result, "README")


def test_benchmarks_that_a_model_lacks_are_named(tmp_path):
    for model in RIGHT:
        tasks = {"swag": rows_of(1, 3), "arc": rows_of(1, 3)}
        if model == "large":
            del tasks["arc"]
        lm_run(tmp_path, model, tasks)
    assert note(ingest(tmp_path, models=MODELS), "no results of") == "arc: no results of large."


def test_models_that_no_log_is_of(tmp_path):
    write_lm_eval(tmp_path)
    models = pd.concat([MODELS, pd.DataFrame({"model": ["huge"], "compute": [1e24]})])
    result = ingest(tmp_path, models=models.assign(Note="x", flops=1.0))
    assert "belongs to: huge." in note(result, "Rows of the models table")
    found = note(result, "that are not used")
    assert "Note, flops (like compute?)" in found


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Model,Compute\nsmall,1\n", "column 'Model' looks like 'model': rename it"),
        ("model,FLOPs\nsmall,1\n", "column 'FLOPs' looks like 'compute': rename it"),
        ("model;compute\nsmall;1\n", "expected commas between the columns, got ';'"),
        ("model\tcompute\nsmall\t1\n", "expected commas between the columns, got tabs"),
        ("model,N params,tokens\nsmall,1,2\n", "column 'N params' looks like 'params'"),
    ],
)
def test_hints_on_the_table_of_models(text, error, tmp_path):
    write_lm_eval(tmp_path / "logs")
    (tmp_path / "models.csv").write_text(text)
    with pytest.raises(IngestError, match=error):
        ingest(tmp_path / "logs", models=tmp_path / "models.csv")


def test_the_command_prints_the_comparison(tmp_path, capsys):
    macro_run(tmp_path / "logs", "small", 0.7)
    MODELS.to_csv(tmp_path / "models.csv", index=False)
    command = ["ingest", str(tmp_path / "logs"), "--models", str(tmp_path / "models.csv")]
    command += ["--out", str(tmp_path / "out.parquet")]
    assert main(command) == 0
    listed = capsys.readouterr().err
    assert "small 45.5 % where the log has 70.0 %: the log averages its 2 tasks" in listed
    assert main([*command, "--json"]) == 0
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert [check["log"] for check in checks] == [1.0, 0.4, 0.7]
    for option in (["--split", "clauses"], ["--aggregates"], ["--group", "all=clauses_*"]):
        assert main([*command, *option]) == 0
    assert set(pd.read_parquet(tmp_path / "out.parquet")["benchmark"]) == {"all"}
