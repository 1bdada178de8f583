"""Which files are logs, and of which program; and what the others look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from cod_bayes.ingest.json_logs import IngestError, head, plain_name

__all__ = ["find"]

# Files that programs write beside their logs, and that say nothing about answers.
_BESIDE = (
    "run_spec.json scenario_state.json scenario.json per_instance_stats.json stats.json "
    "instances.json display_requests.json display_predictions.json logs.json eval-set.json"
).split()
_UNREAD = (".json", ".jsonl", ".eval", ".csv", ".gz", ".zst", ".xz", ".bz2", ".zip", ".parquet")
_PACKED = (".zip", ".tar", ".tgz", ".xz", ".bz2", ".7z")


def find(
    sources: Sequence[str | Path], format: str | None, readers: Mapping[str, ModuleType]
) -> tuple[str, list[Path], list[str]]:
    """The format, its files in the sources in alphabetical order, and a note on files not read."""
    if format is not None and format not in readers:
        raise IngestError(f"expected a format ({', '.join(readers)}), got {format!r}")
    files: set[Path] = set()
    for source in sources:
        path = Path(source).expanduser()
        if not path.exists():
            raise FileNotFoundError(f"no such file or folder: {path}")
        files |= {p for p in path.rglob("*") if p.is_file()} if path.is_dir() else {path}
    by_format: dict[str, list[Path]] = {}
    others = []
    for path in sorted(files):
        for name, reader in readers.items():
            if format in (None, name) and reader.recognises(path):
                by_format.setdefault(name, []).append(path)
                break
        else:
            others.append(path)
    where = ", ".join(str(source) for source in sources) or "no sources"
    misses = [(path, miss) for path in others if (miss := _near_miss(path))]
    if not by_format:
        wanted = [format] if format else list(readers)
        hints = [f"{path}: {miss}" for path, miss in misses[:2]]
        raise IngestError(
            f"{where}: expected evaluation logs, got {len(files):,} files of which none is one. "
            + "; ".join(hints or (f"{name}: {readers[name].EXPECTS}" for name in wanted))
        )
    if len(by_format) > 1:
        raise IngestError(
            f"{where}: expected logs of one format, got "
            + ", ".join(f"{name} ({len(paths):,} files)" for name, paths in by_format.items())
            + "; choose with format= (--format)"
        )
    name, found = by_format.popitem()
    folders = {path.parent for path in found}
    misses += [
        (path, "is of a run without per_instance_stats.json or stats.json")
        for path in others
        if name == "helm" and path.name == "run_spec.json" and path.parent not in folders
    ]
    notes = [f"Not read: {path}, which {miss}." for path, miss in misses[:3]]
    missed = {path for path, _ in misses[:3]}
    unread = [path for path in others if path not in missed and _could_be_a_log(path, found)]
    if unread:
        more = f" and {len(unread) - 3:,} more" if len(unread) > 3 else ""
        names = ", ".join(str(path) for path in unread[:3])
        notes.append(f"Not read, because they are no {name} logs: {names}{more}.")
    return name, found, notes


def _could_be_a_log(path: Path, found: Sequence[Path]) -> bool:
    name = plain_name(path)
    if name in _BESIDE or "_replica" in name or name.startswith((".", "summaries")):
        return False
    if "predictions" in path.parts[-3:]:  # of OpenCompass, each beside its results
        return not (path.parents[2] / "results" / path.parent.name / path.name).exists()
    return path.suffix in _UNREAD and path.parent.name != "configs"


def _near_miss(path: Path) -> str:
    """What a file looks like that is no log under its name; "" for nothing known."""
    name = path.name
    if name.endswith(_PACKED):
        kinds = ("samples", "results", "stats", "eval", ".json")
        packed = any(kind in name for kind in kinds) or name.endswith((".zip", ".tar", ".tgz"))
        return "is an archive or compressed in a way that is not read: unpack it" if packed else ""
    if not plain_name(path).endswith((".json", ".jsonl")) or plain_name(path) in _BESIDE:
        return ""
    start = head(path, 16384)
    if b'"config_general"' in start and b'"results"' in start:
        return "looks like results of lighteval, whose logs are not read"
    if b'"doc_id"' in start and (b'"resps"' in start or b'"filtered_resps"' in start):
        return (
            "looks like samples of lm_eval under another name: name it "
            "samples_<task>_<time>.jsonl beside results_<time>.json"
        )
    if b'"base_status"' in start:
        return "looks like results of EvalPlus: let its name end in eval_results.json"
    if b'"details"' in start and (b'"predictions"' in start or b'"example_abbr"' in start):
        return "looks like results of OpenCompass: keep it as results/<model>/<dataset>.json"
    if b'"instance_id"' in start and b'"train_trial_index"' in start:
        return "looks like logs of HELM: name it per_instance_stats.json beside run_spec.json"
    return ""
