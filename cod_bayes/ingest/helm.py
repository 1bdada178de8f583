"""Logs of HELM (0.5): per_instance_stats.json beside run_spec.json, one folder per run. Where it is
missing, stats.json gives the run's own scores.

    per_instance_stats   list of {instance_id, perturbation?, train_trial_index,
                         stats: [{name: {name, split, ...}, count, sum, mean}]}
    run_spec             {name: "mmlu:subject=anatomy,model=...", adapter_spec: {model, method,
                         temperature, ...}}

Several entries may belong to one instance and trial, because each metric of the run writes its own.
They are merged. Perturbed instances are left out, and so are the splits other than "test" ("valid"
where a run has no test split).

    model       `adapter_spec.model`
    benchmark   `name` before the colon; the arguments after it are the subset, without the model,
                the perturbations (whose instances are left out) and what the adapter is told
    settings    the other fields of `adapter_spec` (shots, instructions, ..)
    item        `instance_id`
    trial       `train_trial_index` (each draws its own examples for the prompt)
    scores      the `mean` of a stat; bookkeeping (`num_*`, costs, calibration, ..) is left out
    options     `num_references`, under the multiple choice methods
    sampled     temperature > 0
    run         the suite, the folder above
    versions    `scenario_spec` is of the instances

    stats       list of {name: {name, split, perturbation?}, count, sum, mean}; `count` is of train
                trials, and the stat num_instances of the instances of a trial
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

from cod_bayes.ingest.answers import Answers, Rows, Total, number, total_of
from cod_bayes.ingest.json_logs import (
    IngestError,
    OneVersion,
    field,
    head,
    layout,
    plain_name,
    read_json,
)

EXPECTS = "per_instance_stats.json or stats.json beside run_spec.json of HELM"
TRIAL = "train trial"
PARTS = ()
MACRO = "HELM"

_BOOKKEEPING = (
    "num_ finish_reason inference_ training_ prompt_truncated batch_size logprob max_prob "
    "predicted_index perplexity bits_per_byte ece_ platt_ selective_"
).split()
_ELSEWHERE = ("model", "model_deployment", "data_augmentation", "groups")
# What the run is of, and what does not change an answer.
_PLACE = ("model", "model_deployment", "max_eval_instances", "eval_splits", "num_train_trials")


def recognises(path: Path) -> bool:
    if plain_name(path) == "stats.json":  # a name that other programs use too
        return any(path.parent.glob("run_spec.json*")) or b'"sum_squared"' in head(path)
    return plain_name(path) == "per_instance_stats.json"


def read(files: list[Path]) -> Iterator[Answers]:
    """One `Answers` per run folder and kind of file."""
    scenarios = OneVersion()
    specs = {path: _spec(path) for path in files}
    named: dict[str, dict[str, set[str]]] = {}  # benchmark -> argument of names -> values
    for spec in specs.values():
        for key, value in spec.told.items():
            named.setdefault(spec.benchmark, {}).setdefault(key, set()).add(value)
    for path, spec in specs.items():
        of = f"{spec.benchmark}:{spec.subset}" if spec.subset else spec.benchmark
        scenarios.check("scenario_spec", of, spec.scenario, spec.path)
        adapter = spec.adapter
        # A run whose name lacks what others' names tell ran with the default.
        told = {key: spec.told.get(key, "default") for key in named.get(spec.benchmark, ())}
        about = {
            "source": path,
            "model": field(adapter, "model", str, str(spec.path)),
            "benchmark": spec.benchmark,
            "subset": spec.subset,
            "filter": "none",
            "run": path.resolve().parent.parent.name,
            "sampled": False,
            "settings": _settings(adapter) | told,
        }
        with layout(path, EXPECTS):
            if plain_name(path) == "stats.json":
                yield from _own(path, about)
            else:
                about["sampled"] = (adapter.get("temperature") or 0) > 0
                yield _rows(path, adapter).answers(**about)


@dataclass(frozen=True)
class _Spec:
    """A run_spec.json; `told` are the arguments in the run's name that are for the adapter."""

    path: Path
    benchmark: str
    subset: str
    told: dict[str, str]
    adapter: dict[str, Any]
    scenario: Any


def _spec(path: Path) -> _Spec:
    specs = [path.with_name(f"run_spec.json{packed}") for packed in ("", ".gz", ".zst")]
    spec_path = next((spec for spec in specs if spec.exists()), None)
    if spec_path is None:
        raise IngestError(
            f"{path}: expected run_spec.json beside it, which names the model, got none; keep the "
            "files of a run folder together"
        )
    spec = read_json(spec_path)
    adapter = field(spec, "adapter_spec", dict, str(spec_path))
    scenario = spec.get("scenario_spec")
    of_scenario = scenario.get("args") if isinstance(scenario, dict) else None
    of_adapter = adapter.keys() - (of_scenario.keys() if isinstance(of_scenario, dict) else ())
    benchmark, _, arguments = field(spec, "name", str, str(spec_path)).partition(":")
    subset, told = [], {}
    for argument in filter(None, arguments.split(",")):
        key, _, value = argument.partition("=")
        if key in of_adapter and key not in _PLACE:
            told[key] = value
        elif key not in _ELSEWHERE and key not in of_adapter:
            subset.append(argument)
    return _Spec(spec_path, benchmark, ",".join(subset), told, adapter, scenario)


def _settings(adapter: dict[str, Any]) -> dict[str, str]:
    found = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in adapter.items()
        if name not in _PLACE and value not in (None, "", [], {})
    }
    return found | {"model.deployment": str(adapter.get("model_deployment") or "none")}


def _own(path: Path, about: dict[str, Any]) -> Iterator[Answers]:
    """The run's own scores, where stats.json has any."""
    stats = read_json(path)
    if not isinstance(stats, list):
        raise IngestError(f"{path}: expected a list of statistics, got {type(stats).__name__}")
    splits: dict[str, dict[str, float]] = {}
    counts: dict[str, float] = {}
    for position, stat in enumerate(stats, start=1):
        where = f"{path}, entry {position:,}"
        named = field(stat, "name", dict, where)
        if named.get("perturbation") or not stat.get("count"):
            continue
        split, metric = named.get("split") or "test", field(named, "name", str, where)
        mean = number(stat.get("mean", stat.get("sum", nan) / stat["count"]))
        if metric == "num_instances":
            counts[split] = mean * stat["count"]
        elif not metric.startswith(tuple(_BOOKKEEPING)):
            splits.setdefault(split, {})[metric] = mean
    split = "test" if "test" in splits else "valid"
    if split in splits:
        n = {"": counts[split]} if split in counts else {}
        yield total_of(splits[split], Total(n=n), **about)


def _rows(path: Path, adapter: dict[str, Any]) -> Rows:
    entries = read_json(path)
    if not isinstance(entries, list):
        raise IngestError(f"{path}: expected a list of instances, got {type(entries).__name__}")
    merged: dict[tuple[str, int], dict[str, dict[str, float]]] = {}  # cell -> split -> stat
    for position, entry in enumerate(entries, start=1):
        where = f"{path}, entry {position:,}"
        cell = (
            field(entry, "instance_id", str, where),
            field(entry, "train_trial_index", int, where),
        )
        if entry.get("perturbation"):
            continue
        splits = merged.setdefault(cell, {})
        for stat in field(entry, "stats", list, where):
            named = field(stat, "name", dict, where)
            if named.get("perturbation") or not stat.get("count"):
                continue
            scores = splits.setdefault(named.get("split") or "test", {})
            mean = stat.get("mean", stat.get("sum", float("nan")) / stat["count"])
            scores[field(named, "name", str, where)] = number(mean)
    split = "test" if any("test" in splits for splits in merged.values()) else "valid"
    rows = Rows()
    choosing = str(adapter.get("method", "")).startswith("multiple_choice")
    for (instance, trial), splits in merged.items():
        if split not in splits:
            continue
        stats = splits[split]
        scores = {m: s for m, s in stats.items() if not m.startswith(tuple(_BOOKKEEPING))}
        rows.add(
            instance,
            scores,
            hash(tuple(sorted(scores.items()))),
            trial=trial,
            options=int(stats.get("num_references", 0)) if choosing else 0,
        )
    if not rows.item:
        raise IngestError(
            f"{path}: expected unperturbed instances of the test split, got none among "
            f"{len(entries):,} entries; leave this run out"
        )
    return rows
