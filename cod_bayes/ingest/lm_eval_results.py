"""Results files of lm-evaluation-harness: what a run measured, and its own scores.

0.4     results_<time>.json: results {task: {"acc,none": .., "acc_stderr,none": ..}}, groups,
        group_subtasks, configs, versions, n-shot, n-samples, higher_is_better, config
0.3     any name: results {task: {"acc": .., "acc_stderr": ..}}, versions, config {model,
        model_args, num_fewshot}

model       `model_name`, or `pretrained` of `model_args`; @revision where it has one other than
            main, /subfolder and +adapter (`peft`, `delta`), because these share the name
settings    n-shot, chat template, system instruction, the prompt and generation settings of the
            task; "model.<argument>" for model arguments that can change answers
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

from cod_bayes.ingest.answers import Answers, Total, number, total_of
from cod_bayes.ingest.choosing import first_of
from cod_bayes.ingest.json_logs import IngestError, field, head, layout, plain_name, read_json

__all__ = ["Results", "is_results", "load", "totals"]

_TIME = re.compile(r"results_(?P<time>\d{4}-\d\d-\d\dT[\d.:-]+)\.json")
_START = re.compile(rb'\s*\{\s*"results"\s*:\s*\{')
_NAMES = ("pretrained", "model", "engine", "path")
_PROMPT = (
    "description doc_to_text doc_to_choice doc_to_target fewshot_split fewshot_delimiter "
    "target_delimiter dataset_name test_split repeats gen_prefix"
).split()
# Arguments that tell where and how fast a model runs, not what it answers.
_PLACE = re.compile(
    r"pretrained|model|engine|path|revision|subfolder|peft|delta|lora_local_path|device.*|parallelize|"
    r".*batch.*|.*_parallel_size|gpu_memory_utilization|max_num_.*|swap_space|num_concurrent|"
    r"max_retries|timeout|base_url|.*cache.*|token|.*offload.*|max_.*memory.*|download_dir|"
    r"enforce_eager|seed|trust_remote_code|low_cpu_mem_usage|num_processes|verify_certificate"
)


@dataclass(frozen=True)
class Results:
    """A results file. `parents` maps tasks and groups to the group, of groups with scores."""

    path: Path
    time: str
    model: str
    about: dict[str, Any]
    arguments: dict[str, str]
    parents: dict[str, str]

    def of(self, table: str, task: str) -> Any:
        """about[table][task]; None where there is none."""
        return (self.about.get(table) or {}).get(task)

    def groups(self, task: str) -> tuple[str, ...]:
        """The groups of a task that have scores, from the innermost."""
        found: list[str] = []
        while (task := self.parents.get(task, "")) and task not in found:
            found.append(task)
        return tuple(found)

    def items(self, task: str) -> int | None:
        """The number of items that the task was asked."""
        n = (self.of("n-samples", task) or {}).get("effective")
        if n is None:
            n = (self.of("results", task) or {}).get("sample_len")
        return n if isinstance(n, int) and n > 0 else None

    @cached_property
    def limited(self) -> tuple[str, ...]:
        """A note where the run was asked only part of the items of its tasks."""
        part = []
        for task, counts in (self.about.get("n-samples") or {}).items():
            asked, original = self.items(task), (counts or {}).get("original")
            if isinstance(original, int) and asked is not None and asked < original:
                part.append(f"{task} ({asked:,} of {original:,})")
        return (f"{self.model} was asked part of the items: {first_of(part)}.",) if part else ()

    def worse(self, task: str) -> frozenset[str]:
        """The metrics of which lower is better."""
        better = self.of("higher_is_better", task)
        better = better if isinstance(better, dict) else {}
        return frozenset(metric for metric, higher in better.items() if higher is False)

    def settings(self, task: str) -> dict[str, str]:
        """What the scores of the task depend on."""
        config = self.of("configs", task) or {}
        shots = self.of("n-shot", task)
        for other in (
            config.get("num_fewshot"),
            (self.about.get("config") or {}).get("num_fewshot"),
        ):
            shots = other if shots is None else shots
        found = {"shots": _text(shots)}
        found |= {name: _text(config[name]) for name in _PROMPT if config.get(name) is not None}
        generation = config.get("generation_kwargs")
        if isinstance(generation, dict):
            found |= {f"generation.{name}": _text(value) for name, value in generation.items()}
        return found | self._of_all_tasks

    @cached_property
    def _of_all_tasks(self) -> dict[str, str]:
        """The settings of the run."""
        overall = self.about.get("config") or {}
        found = {}
        for name in ("chat_template", "system_instruction"):
            value = self.about.get(f"{name}_sha") or self.about.get(name) or overall.get(name)
            found[name] = _text(value)[:12]
        found["fewshot_as_multiturn"] = _text(self.about.get("fewshot_as_multiturn") or None)
        if overall.get("gen_kwargs"):
            found["gen_kwargs"] = _text(overall["gen_kwargs"])
        found["model.backend"] = _text(overall.get("model"))
        for name in ("model_sha", "peft_sha", "delta_sha"):
            if overall.get(name):
                found[f"model.{name}"] = _text(overall[name])
        for name in ("revision", "subfolder", "peft", "delta", "lora_local_path"):
            found[f"model.{name}"] = self.arguments.get(name) or (
                "main" if name == "revision" else "none"
            )
        return found | {
            f"model.{name}": value
            for name, value in self.arguments.items()
            if not _PLACE.fullmatch(name)
        }


def is_results(path: Path) -> bool:
    """Whether the file looks like a results file of lm_eval, by its name, beginning and end."""
    name = plain_name(path)
    if not name.endswith(".json") or name.startswith("samples_"):
        return False
    start = head(path)
    if b'"config_general"' in start:  # lighteval
        return False
    if _TIME.fullmatch(name):
        return True
    if not _START.match(start) and not (name.startswith("results") and b'"results"' in start):
        return False
    if path == path.with_name(name) and path.stat().st_size > len(start):
        with path.open("rb") as file:
            file.seek(-len(start), 2)
            start += file.read()
    return any(word in start for word in (b'"model_name"', b'"model_args"', b'"n-shot"'))


def load(path: Path) -> Results:
    about = read_json(path)
    with layout(path, "results_<time>.json of lm_eval"):
        field(about, "results", dict, str(path)) if "results" in about else None
        config = about.get("config") or {}
        arguments = _arguments(config.get("model_args"))
        if config.get("model_revision"):
            arguments.setdefault("revision", _text(config["model_revision"]))
        base = about.get("model_name") or next(
            (arguments[name] for name in _NAMES if arguments.get(name)), config.get("model")
        )
        if not isinstance(base, str):
            raise IngestError(
                f"{path}: expected 'model_name', or model_args with pretrained=, which name the "
                f"model; got only {', '.join(about)}; leave the file out"
            )
        time = _TIME.fullmatch(plain_name(path))
        return Results(
            path=path,
            time=time["time"] if time else _text(about.get("date"))[:20],
            model=_full_name(base, arguments),
            about=about,
            arguments=arguments,
            parents={
                part: group
                for group, parts in (about.get("group_subtasks") or {}).items()
                if group in (about.get("groups") or {})
                or _figures((about.get("results") or {}).get(group))[0]
                for part in parts
            },
        )


def totals(
    results: Results, settings: dict[tuple[tuple[str, str], ...], dict[str, str]]
) -> Iterator[Answers]:
    """The scores of every task and group in the file, by filter.

    `settings` collects the settings found so far, so that equal ones are kept once.
    """
    scored = {**(results.about.get("results") or {}), **(results.about.get("groups") or {})}
    for task, figures in scored.items():
        parts = _leaves(results, task)
        scores, stderr = _figures(figures)
        for filter, by_metric in scores.items():
            errors = stderr.get(filter, {})
            found = results.settings(parts[0] if parts else task)
            if parts:
                total = _of_group(results, parts, filter, by_metric, errors)
            else:
                size = results.items(task)
                n = {} if size is None else {"": float(size)}
                total = Total(n=n, stderr=errors, rule=_rules(results, task))
            yield total_of(
                by_metric,
                total,
                options=_options(results, parts or (task,)),
                source=results.path,
                model=results.model,
                benchmark=task,
                subset="",
                filter=filter,
                run=results.time,
                sampled=False,
                settings=settings.setdefault(tuple(found.items()), found),
                groups=results.groups(task),
                dataset=_text((results.of("configs", task) or {}).get("dataset_path") or ""),
                worse=results.worse(task),
                notes=results.limited,
            )


def _options(results: Results, tasks: tuple[str, ...]) -> int:
    """The number of choices, where all tasks have the same; else 0."""
    choices = [(results.of("configs", task) or {}).get("doc_to_choice") for task in tasks]
    numbers = {len(one) if isinstance(one, list) else 0 for one in choices}
    return numbers.pop() if len(numbers) == 1 else 0


def _full_name(base: str, arguments: Mapping[str, str]) -> str:
    name = base
    if (subfolder := arguments.get("subfolder")) not in (None, "", "None"):
        name += f"/{subfolder}"
    if (revision := arguments.get("revision")) not in (None, "", "None", "main"):
        name += f"@{revision}"
    for kind in ("peft", "delta", "lora_local_path"):
        if (adapter := arguments.get(kind)) not in (None, "", "None"):
            name += f"+{adapter}"
    return name


def _arguments(arguments: Any) -> dict[str, str]:
    if isinstance(arguments, str):
        return dict(pair.split("=", 1) for pair in arguments.split(",") if "=" in pair)
    return {str(name): _text(value) for name, value in (arguments or {}).items()}


def _text(value: Any) -> str:
    """A setting as a text; the addresses of functions differ between runs and are left out."""
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return re.sub(r" at 0x[0-9a-f]+", "", text) if " at 0x" in text else text


def _figures(figures: Any) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, float]]]:
    """Scores and standard errors: filter -> metric -> value."""
    scores: dict[str, dict[str, Any]] = {}
    errors: dict[str, dict[str, float]] = {}
    for key, value in figures.items() if isinstance(figures, dict) else ():
        if isinstance(value, dict | list) or key in ("alias", "name", "sample_len"):
            continue
        if not isfinite(number(value)):  # " ", "N/A"
            continue
        metric, _, filter = key.rpartition(",") if "," in key else (key, "", "none")
        if metric.endswith("_stderr"):
            error = number(value)
            if 0 <= error < 1:
                errors.setdefault(filter, {})[metric.removesuffix("_stderr")] = error
        else:
            scores.setdefault(filter, {})[metric] = value
    return scores, errors


def _leaves(results: Results, group: str) -> tuple[str, ...]:
    """The tasks of a group and of the groups in it."""
    children = results.about.get("group_subtasks") or {}
    found: list[str] = []
    seen: set[str] = set()
    waiting = [group]
    while waiting:
        one = waiting.pop(0)
        if one in seen:
            continue
        seen.add(one)
        if children.get(one):
            waiting += children[one]
        elif one != group:
            found.append(one)
    return tuple(found)


def _of_group(
    results: Results,
    parts: tuple[str, ...],
    filter: str,
    scores: Mapping[str, Any],
    stderr: Mapping[str, float],
) -> Total:
    """What the scores of a group are of: the mean of the items of its tasks, or of its tasks.

    The latter has no number of answers; its standard error follows from those of the tasks.
    """
    n: dict[str, float] = {}
    errors, equal = dict(stderr), False
    for metric, value in scores.items():
        key = f"{metric},{filter}"
        having = [part for part in parts if key in (results.of("results", part) or {})]
        own = [number(results.of("results", part)[key]) for part in having]
        sizes = [results.items(part) or 0 for part in having]
        if not having or 0 in sizes:
            continue
        weighed = sum(s * k for s, k in zip(own, sizes, strict=True)) / sum(sizes)
        plain = sum(own) / len(own)
        if abs(plain - number(value)) < 1e-6 < abs(weighed - number(value)):
            equal = True
            variance = sum(max(s * (1 - s), 0) / k for s, k in zip(own, sizes, strict=True))
            errors[metric] = variance**0.5 / len(own)
        else:
            n[metric] = float(sum(sizes))
    return Total(n=n, stderr=errors, parts=parts, equal=equal)


def _rules(results: Results, task: str) -> dict[str, str]:
    """How the log makes the scores that are no mean of the items', in words."""
    metrics = (results.of("configs", task) or {}).get("metric_list")
    rules = {}
    for one in metrics if isinstance(metrics, list) else ():
        rule = one.get("aggregation") if isinstance(one, dict) else None
        if rule is not None and rule not in ("mean", "nanmean"):
            rules[_text(one.get("metric"))] = (
                f"the log's is no mean of the items ({_text(rule)[:40]})"
            )
    return rules
