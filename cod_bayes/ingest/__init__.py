"""Evaluation logs in, tidy table out.

    ingest(["logs/"], models="models.csv") -> Ingested

Logs do not record training compute: `models` adds it. One module per format says what the format
is and how its fields give (model, benchmark, item, trial, score); `table` chooses the score and
tells trials from copies; `compute_of_models` joins the compute.

May import: evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cod_bayes.ingest import evalplus, every_eval_ever, helm, inspect, lm_eval, opencompass
from cod_bayes.ingest.answers import Answers
from cod_bayes.ingest.compute_of_models import join_models, read_models
from cod_bayes.ingest.json_logs import IngestError
from cod_bayes.ingest.table import choose, stack, tabulate

__all__ = ["FORMATS", "IngestError", "Ingested", "ingest"]

FORMATS = {
    "lm-eval": lm_eval,
    "inspect": inspect,
    "helm": helm,
    "evalplus": evalplus,
    "opencompass": opencompass,
    "every-eval-ever": every_eval_ever,
}

Names = str | Sequence[str] | None


@dataclass(frozen=True, eq=False)
class Ingested:
    """A tidy table from logs.

    table   one row per model and item, as `cod_bayes.read_table` takes it: benchmark, subset?,
            item, model, n_correct? and n_trials? (counts; NaN on benchmarks with partial credit),
            score (rate in [0, 1]), chance? (1 / options; NaN where the logs do not show them),
            compute? (FLOPs), params?, tokens?, family?, role?. Columns marked ? are there where
            any row has a value
    notes   what was chosen, merged, left out, and how many trials there are and why, in sentences
    """

    table: pd.DataFrame
    notes: tuple[str, ...]


def ingest(
    sources: str | Path | Sequence[str | Path],
    models: str | Path | pd.DataFrame,
    metric: Names = None,
    filter: Names = None,
    *,
    format: str | None = None,
) -> Ingested:
    """Read the logs of one evaluation program into a tidy table.

    sources     files, or folders that are searched for logs
    models      the models' compute, a CSV file or DataFrame: columns model, compute (training
                FLOPs) or params and tokens (C = 6 N D), and optionally family, role
    metric      the score to take, by its name in the logs; several in order of preference, of
                which each benchmark takes the first that it has. Needed where a benchmark has
                several
    filter      likewise, for formats that score one answer in several ways (lm-eval, evalplus)
    format      a key of FORMATS; found out from the files where None

    Files are read one at a time, and of each answer only its score is kept. Raises IngestError
    for what cannot be read (naming file and line), for a choice that is missing (naming the
    choices) and for a model that `models` lacks (naming the nearest); FileNotFoundError for a
    missing source.
    """
    name, files = _find([sources] if isinstance(sources, str | Path) else list(sources), format)
    reader = FORMATS[name]
    known = read_models(models)
    benchmarks: dict[str, list[Answers]] = {}
    for answers in reader.read(files):
        benchmarks.setdefault(answers.benchmark, []).append(answers)
    every = [answers for group in benchmarks.values() for answers in group]
    choices, chosen_notes = choose(every, _names(metric), _names(filter))
    models_seen = {answers.model for answers in every}
    notes = [f"Format {name}: files {len(files):,}, models {len(models_seen):,}."]
    notes += [note for answers in every for note in answers.notes] + chosen_notes
    tables = []
    for benchmark in sorted(benchmarks):
        table, said = tabulate(benchmark, benchmarks.pop(benchmark), choices, reader.TRIAL)
        tables.append(table)
        notes += said
    return Ingested(join_models(stack(tables), known), tuple(dict.fromkeys(notes)))


def _names(names: Names) -> Sequence[str]:
    return [names] if isinstance(names, str) else names or ()


def _find(sources: Sequence[str | Path], format: str | None) -> tuple[str, list[Path]]:
    """The format, and its files in the sources, in alphabetical order."""
    if format is not None and format not in FORMATS:
        raise IngestError(f"expected a format ({', '.join(FORMATS)}), got {format!r}")
    files: set[Path] = set()
    for source in sources:
        path = Path(source).expanduser()
        if not path.exists():
            raise FileNotFoundError(f"no such file or folder: {path}")
        files |= {p for p in path.rglob("*") if p.is_file()} if path.is_dir() else {path}
    found: dict[str, list[Path]] = {}
    for path in sorted(files):
        for name, reader in FORMATS.items():
            if format in (None, name) and reader.recognises(path):
                found.setdefault(name, []).append(path)
                break
    shown = ", ".join(str(source) for source in sources) or "no sources"
    if not found:
        wanted = [format] if format else list(FORMATS)
        raise IngestError(
            f"{shown}: expected evaluation logs, got {len(files):,} files of which none is one. "
            + "; ".join(f"{name}: {FORMATS[name].EXPECTS}" for name in wanted)
        )
    if len(found) > 1:
        raise IngestError(
            f"{shown}: expected logs of one format, got "
            + ", ".join(f"{name} ({len(paths):,} files)" for name, paths in found.items())
            + "; choose with format= (--format)"
        )
    return found.popitem()
