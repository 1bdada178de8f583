"""Runs of one model that measure different things are told apart, or refused and chosen by name."""

import pandas as pd
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
)

from cod_bayes.cli import main
from cod_bayes.ingest import IngestError, ingest


def lm_rows(score, **more):
    return [lm_row(i, {"acc": score}, **more) for i in range(4)]


def two_lm_runs(folder, first, second, model="small"):
    """Two runs of one model, all wrong and all right, with other contents of the results file."""
    for time, score, about in zip(TIMES, (0.0, 1.0), (first, second), strict=False):
        lm_run(folder, model, {"quiz": lm_rows(score)}, time=time, **about)


def arguments(text):
    return {"config": {"model": "hf", "model_args": text}}


LM_SETTINGS = {
    "shots": ({"n-shot": {"quiz": 0}}, {"n-shot": {"quiz": 5}}, "0", "5"),
    "chat_template": (
        {"chat_template": None, "chat_template_sha": None},
        {"chat_template": "{{m}}", "chat_template_sha": "c0ffee"},
        "none",
        "c0ffee",
    ),
    "system_instruction": ({}, {"system_instruction": "Be brief."}, "none", "Be brief."),
    "fewshot_as_multiturn": ({}, {"fewshot_as_multiturn": True}, "none", "true"),
    "temperature": (
        {"configs": {"quiz": {"generation_kwargs": {"temperature": 0.0}}}},
        {"configs": {"quiz": {"generation_kwargs": {"temperature": 0.7}}}},
        "0.0",
        "0.7",
    ),
    "doc_to_text": (
        {"configs": {"quiz": {"doc_to_text": "Q: {{q}}"}}},
        {"configs": {"quiz": {"doc_to_text": "{{q}}"}}},
        "Q: {{q}}",
        "{{q}}",
    ),
    "dtype": (
        arguments("pretrained=small,dtype=float32"),
        arguments("pretrained=small,dtype=float16"),
        "float32",
        "float16",
    ),
    "backend": (
        {"config": {"model": "hf", "model_args": "pretrained=small"}},
        {"config": {"model": "vllm", "model_args": "pretrained=small"}},
        "hf",
        "vllm",
    ),
}


@pytest.mark.parametrize("name", LM_SETTINGS)
def test_lm_eval_runs_with_other_settings(name, tmp_path):
    first, second, one, other = LM_SETTINGS[name]
    two_lm_runs(tmp_path, first, second)
    with pytest.raises(IngestError, match=f"quiz of small: expected runs that .* differ in {name}"):
        ingest(tmp_path, models=MODELS)
    for value, right in ((one, 0.0), (other, 1.0)):
        result = ingest(tmp_path, models=MODELS, where=f"{name}={value}")
        assert cells(result) == {"small": [right] * 4}
        assert has_note(result, f"{name}={value} leaves out 1 of 2 results")


def test_the_example_of_a_condition_can_be_followed(tmp_path):
    """Whatever the values: a long text gives way to the name of the run."""
    long = {"configs": {"quiz": {"doc_to_text": "Answer 'yes' or [no], please: {{q}} " * 9}}}
    two_lm_runs(tmp_path, {"configs": {"quiz": {"doc_to_text": "{{q}}"}}}, long)
    with pytest.raises(IngestError, match="differ in doc_to_text") as error:
        ingest(tmp_path, models=MODELS)
    condition = str(error.value).partition("such as --where ")[2].partition(", or")[0]
    assert condition == f"run={TIMES[1]}"
    assert cells(ingest(tmp_path, models=MODELS, where=condition)) == {"small": [1.0] * 4}


def test_where_a_model_runs_is_no_setting(tmp_path):
    two_lm_runs(
        tmp_path,
        arguments("pretrained=small,device=cuda:0,tensor_parallel_size=2,trust_remote_code=True"),
        arguments("pretrained=small,device=cuda:1,tensor_parallel_size=1"),
    )
    result = ingest(tmp_path, models=MODELS)
    assert cells(result) == {"small": [1.0] * 4}  # a rerun: the later counts
    assert has_note(result, "replaced by those of a later run")


def test_other_prompts_are_no_rerun(tmp_path):
    """Whatever changed them: an edited task, or a template that the results do not record."""
    for time, prompt in zip(TIMES, ("aaaaaaaa", "bbbbbbbb"), strict=False):
        rows = lm_rows(1.0, prompt_hash=prompt)
        lm_run(tmp_path, "small", {"quiz": rows}, time=time)
    with pytest.raises(IngestError, match=r"differ in prompt \(aaaaaaaa, bbbbbbbb\)"):
        ingest(tmp_path, models=MODELS)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("pretrained=small,peft=lab/lora", "small+lab/lora"),
        ("pretrained=small,delta=lab/delta", "small+lab/delta"),
        ("pretrained=small,revision=step9", "small@step9"),
        ("pretrained=small,subfolder=inner", "small/inner"),
        ("pretrained=small,subfolder=inner,revision=step9,peft=x", "small/inner@step9+x"),
    ],
)
def test_variants_of_a_model_are_models(text, name, tmp_path):
    two_lm_runs(tmp_path, arguments("pretrained=small"), arguments(text))
    with pytest.raises(IngestError, match=r"none for '.*' \(nearest: 'small'\); add rows \(a rev"):
        ingest(tmp_path, models=MODELS)
    models = pd.concat([MODELS, pd.DataFrame({"model": [name], "compute": [2e18]})])
    result = ingest(tmp_path, models=models)
    assert cells(result) == {"small": [0.0] * 4, name: [1.0] * 4}
    assert cells(ingest(tmp_path, models=MODELS, where=f"model!={name}")) == {"small": [0.0] * 4}


def two_inspect_runs(folder, first, second, **more):
    for day, right, about in ((1, "I", first), (2, "C", second)):
        samples = [inspect_sample(n, 1, {"s": right}, f"{day}{n}") for n in range(4)]
        created = f"2026-01-0{day}"
        inspect_log(folder / f"{day}.eval", "small", samples, created=created, **about, **more)


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("fewshot", {"task_args": {"fewshot": 0}}, {"task_args": {"fewshot": 5}}),
        ("subset", {"task_args": {}}, {"task_args": {"subset": "hard"}}),
        ("solver", {"solver": "generate"}, {"solver": "chain_of_thought"}),
        ("temperature", {"config": {"temperature": 0.1}}, {"config": {"temperature": 1.0}}),
        ("dtype", {"model_args": {"dtype": "a"}}, {"model_args": {"dtype": "b"}}),
    ],
)
def test_inspect_runs_with_other_settings(name, first, second, tmp_path):
    two_inspect_runs(tmp_path, first, second)
    with pytest.raises(IngestError, match=f"task of small: .* differ in {name}"):
        ingest(tmp_path, models=MODELS)


def test_inspect_runs_with_other_limits(tmp_path):
    for day, limit in ((1, 10), (2, 30)):
        head = inspect_head("small", created=f"2026-01-0{day}")
        head["eval"]["config"] = {"message_limit": limit}
        samples = [inspect_sample(n, 1, {"s": "C"}, f"{day}{n}") for n in range(4)]
        dump(tmp_path / f"{day}.json", head | {"samples": samples})
    with pytest.raises(IngestError, match=r"differ in message_limit \(10, 30\)"):
        ingest(tmp_path, models=MODELS)


def test_inspect_variants_of_a_model(tmp_path):
    two_inspect_runs(tmp_path, {}, {"model_args": {"revision": "step9"}})
    models = pd.DataFrame({"model": ["small", "small@step9"], "compute": [1e18, 2e18]})
    assert cells(ingest(tmp_path, models=models)) == {"small": [0.0] * 4, "small@step9": [1.0] * 4}
    result = ingest(tmp_path, models=models, where="revision=step9")
    assert list(cells(result)) == ["small@step9"]
    local = tmp_path / "local"
    two_inspect_runs(
        local, {"model_args": {"model_path": "a"}}, {"model_args": {"model_path": "b"}}
    )
    models = pd.DataFrame({"model": ["small@a", "small@b"], "compute": [1e18, 2e18]})
    assert cells(ingest(local, models=models)) == {"small@a": [0.0] * 4, "small@b": [1.0] * 4}


def helm_entries(right):
    return [
        {"instance_id": f"id{i}", "train_trial_index": 0, "stats": [helm_stat("em", right)]}
        for i in range(4)
    ]


@pytest.mark.parametrize("named", [True, False])
def test_helm_runs_with_other_shots(named, tmp_path):
    """The arguments of the adapter are no subset, in the name of the run or in its run_spec."""
    for model in RIGHT:
        helm_run(tmp_path, model, helm_entries(0.0), max_train_instances=5, temperature=0.0)
        name = "task:subject=a" + ",max_train_instances=0" * named
        suite = "v1" if named else "v2"
        shots = 5 if named else 0
        helm_run(
            tmp_path, model, helm_entries(1.0), name=name, suite=suite, max_train_instances=shots
        )
    with pytest.raises(IngestError, match=r"task/subject=a of .* differ in max_train_instances"):
        ingest(tmp_path, models=MODELS)
    result = ingest(tmp_path, models=MODELS, where="max_train_instances=0")
    assert set(result.table["n_correct"]) == {1.0} and result.table["item"].nunique() == 4


@pytest.mark.parametrize("ending", ["_eval_results.json", ".eval_results.json"])
def test_evalplus_names(ending, tmp_path):
    """Both endings that the program has written; raw and sanitized are filters, not models."""
    for name, right in (("", True), (".raw", False)):
        results = {"eval": {"HumanEval/0": [evalplus_answer(right, None)]}}
        dump(tmp_path / f"lab--small_vllm_temp_0.0{name}{ending}", results)
    models = pd.DataFrame({"model": ["lab/small"], "compute": [1e20]})
    with pytest.raises(IngestError, match=r"HumanEval: base, base \(raw\)"):
        ingest(tmp_path, models=models)
    assert cells(ingest(tmp_path, models=models, filter="none")) == {"lab/small": [1.0]}
    assert cells(ingest(tmp_path, models=models, filter="raw")) == {"lab/small": [0.0]}


def test_opencompass_runs_with_other_prompts(tmp_path):
    for time, shots in ((1, ""), (2, "Example. ")):
        details = {
            str(n): {"prompt": f"{shots}Question {n}", "correct": bool(shots)} for n in range(3)
        }
        path = tmp_path / f"2026010{time}_120000" / "results" / "small" / "quiz.json"
        dump(path, {"accuracy": 100.0 * bool(shots), "details": details})
    with pytest.raises(IngestError, match=r"quiz of small: .* differ in prompt"):
        ingest(tmp_path, models=MODELS)
    result = ingest(tmp_path, models=MODELS, where="run=20260101_120000")
    assert cells(result) == {"small": [0.0] * 3}


def test_records_from_two_sources(tmp_path):
    for n, (source, score) in enumerate((("paper", 0.25), ("leaderboard", 0.5))):
        record = {
            "schema_version": "0.3.0",
            "evaluation_id": f"quiz/small/{n}",
            "source_metadata": {"source_name": source},
            "model_info": {"id": "small"},
            "evaluation_results": [
                {
                    "evaluation_name": "quiz",
                    "metric_config": {"lower_is_better": False},
                    "score_details": {"score": score},
                }
            ],
        }
        dump(tmp_path / f"{n}.json", record)
    with pytest.raises(IngestError, match=r"differ in source \(leaderboard, paper\)"):
        ingest(tmp_path, models=MODELS)
    result = ingest(tmp_path, models=MODELS, where=["source=paper"])
    assert cells(result, "score") == {"small": [0.25]}


def test_conditions(tmp_path, capsys):
    two_lm_runs(tmp_path / "logs", {"n-shot": {"quiz": 0}}, {"n-shot": {"quiz": 5}})

    def refused(text, **options):
        with pytest.raises(IngestError, match=text):
            ingest(tmp_path / "logs", models=MODELS, **options)

    refused("expected a condition such as shots=5 .* got 'shots'", where="shots")
    refused(r"got 'shot'; those that differ are: shots \(0, 5\)", where="shot=5")
    refused("expected runs with shots=3, got none; the runs have shots 0, 5", where="shots=3")
    refused("differ in shots", where=["shots=0", "shots=5"])  # either will do
    refused("got none of task quizz; the runs have quiz", where="task!=quizz")
    for where, right in ((f"run={TIMES[0]}", 0.0), ("shots!=0", 1.0), ("file=*/*02T12*", 1.0)):
        result = ingest(tmp_path / "logs", models=MODELS, where=where)
        assert cells(result) == {"small": [right] * 4}
    MODELS.to_csv(tmp_path / "models.csv", index=False)
    out = str(tmp_path / "out.csv")
    command = ["ingest", str(tmp_path / "logs"), "--models", str(tmp_path / "models.csv")]
    assert main([*command, "--out", out]) == 2
    assert "such as --where shots=0" in capsys.readouterr().err
    assert main([*command, "--out", out, "--where", "shots=0"]) == 0
    assert set(pd.read_csv(out)["n_correct"]) == {0}


def test_rows_of_one_record_share_its_settings(tmp_path):
    """Samples of Every Eval Ever are told apart by the record with their evaluation_id."""
    for n, temperature in enumerate((0.0, 1.0)):
        rows = [eee_row("small", i, n, run=f"r{n}") for i in range(3)]
        result = {
            "evaluation_name": "task",
            "evaluation_result_id": "acc",
            "metric_config": {"lower_is_better": False},
            "score_details": {"score": float(n)},
            "generation_config": {"generation_args": {"temperature": temperature}},
        }
        record = {
            "schema_version": "0.3.0",
            "evaluation_id": f"task/small/r{n}",
            "model_info": {"id": "small"},
            "evaluation_results": [result],
        }
        dump(tmp_path / f"{n}.json", record)
        dump_lines(tmp_path / f"{n}_samples.jsonl", rows)
    with pytest.raises(IngestError, match=r"task of small: .* differ in temperature \(0.0, 1.0\)"):
        ingest(tmp_path, models=MODELS)
    found = ingest(tmp_path, models=MODELS, where="temperature=1.0")
    assert cells(found) == {"small": [1.0] * 3}
    assert has_note(found, "agree with the logs' own scores: 1 of 1")
