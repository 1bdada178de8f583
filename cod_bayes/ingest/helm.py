"""Logs of HELM (0.5): per_instance_stats.json beside run_spec.json, one folder per run.

    per_instance_stats   list of {instance_id, perturbation?, train_trial_index,
                         stats: [{name: {name, split, ...}, count, sum, mean}]}
    run_spec             {name: "mmlu:subject=anatomy,model=...", adapter_spec: {model, method,
                         temperature, ...}}

Several entries may belong to one instance and trial, because each metric of the run writes its own.
They are merged. Perturbed instances are left out, and so are the splits other than "test" ("valid"
where a run has no test split).

    model       `adapter_spec.model`
    benchmark   `name` before the colon; the arguments after it are the subset, without the model
                and the perturbations (whose instances are left out)
    item        `instance_id`
    trial       `train_trial_index` (each draws its own examples for the prompt)
    scores      the `mean` of a stat; bookkeeping (`num_*`, costs, calibration, ..) is left out
    options     `num_references`, under the multiple choice methods
    sampled     temperature > 0
    run         the suite, the folder above
    versions    `scenario_spec` is of the instances
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cod_bayes.ingest.answers import Answers, Rows, number
from cod_bayes.ingest.json_logs import IngestError, OneVersion, field, layout, read_json

EXPECTS = "per_instance_stats.json beside run_spec.json of HELM"
TRIAL = "train trial"

_BOOKKEEPING = (
    "num_ finish_reason inference_ training_ prompt_truncated batch_size logprob max_prob "
    "predicted_index perplexity bits_per_byte ece_ platt_ selective_"
).split()
_ELSEWHERE = ("model=", "model_deployment=", "data_augmentation=")


def recognises(path: Path) -> bool:
    return path.name == "per_instance_stats.json"


def read(files: list[Path]) -> Iterator[Answers]:
    """One `Answers` per run folder."""
    scenarios = OneVersion()
    for path in files:
        spec_path = path.with_name("run_spec.json")
        if not spec_path.exists():
            raise IngestError(
                f"{path}: expected run_spec.json beside it, which names the model, got none; keep "
                "the files of a run folder together"
            )
        spec = read_json(spec_path)
        adapter = field(spec, "adapter_spec", dict, str(spec_path))
        name = field(spec, "name", str, str(spec_path))
        benchmark, _, arguments = name.partition(":")
        subset = ",".join(a for a in arguments.split(",") if a and not a.startswith(_ELSEWHERE))
        scenario = spec.get("scenario_spec")
        of = f"{benchmark}:{subset}" if subset else benchmark
        scenarios.check("scenario_spec", of, scenario, spec_path)
        with layout(path, EXPECTS):
            yield _rows(path, adapter).answers(
                source=path,
                model=field(adapter, "model", str, str(spec_path)),
                benchmark=benchmark,
                subset=subset,
                filter="none",
                run=path.resolve().parent.parent.name,
                sampled=(adapter.get("temperature") or 0) > 0,
            )


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
