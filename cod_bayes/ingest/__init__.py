"""Evaluation logs in, tidy table out.

    ingest(["logs/"], models="models.csv") -> Ingested

Logs do not record training compute: the user's table of models adds it. There is one module per
format. It describes the format and how its fields give (model, benchmark, item, trial, score).
`table` chooses the score and separates trials from copies; `compute_of_models` joins the compute.

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

__all__ = ["READERS", "IngestError", "Ingested", "ingest"]

READERS = {
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
            compute? (FLOPs), params?, tokens?, family?, role?. Columns marked ? are present where
            any row has a value
    notes   what was chosen, merged or left out, and how many trials there are and why, in sentences
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
    metric      the score to use, by its name in the logs, or several in order of preference: each
                benchmark uses the first that it has. Needed where a benchmark has several scores
    filter      the same for formats that score one answer in several ways (lm-eval, evalplus)
    format      a key of READERS; None: recognised from the files

    Files are read one at a time, and only the score of each answer is kept. Raises IngestError for
    a log that cannot be read (naming file and line), for a metric or filter that must be chosen
    (naming the choices) and for a model that `models` lacks (naming the nearest);
    FileNotFoundError for a missing source.
    """
    name, files = _find([sources] if isinstance(sources, str | Path) else list(sources), format)
    reader = READERS[name]
    compute = read_models(models)
    benchmarks: dict[str, list[Answers]] = {}
    for answers in reader.read(files):
        benchmarks.setdefault(answers.benchmark, []).append(answers)
    logs = [answers for group in benchmarks.values() for answers in group]
    choices, choice_notes = choose(logs, _names(metric), _names(filter))
    model_names = {answers.model for answers in logs}
    notes = [f"Format {name}: files {len(files):,}, models {len(model_names):,}."]
    notes += [note for answers in logs for note in answers.notes] + choice_notes
    tables = []
    for benchmark in sorted(benchmarks):
        table, table_notes = tabulate(benchmark, benchmarks.pop(benchmark), choices, reader.TRIAL)
        tables.append(table)
        notes += table_notes
    return Ingested(join_models(stack(tables), compute), tuple(dict.fromkeys(notes)))


def _names(names: Names) -> Sequence[str]:
    return [names] if isinstance(names, str) else names or ()


def _find(sources: Sequence[str | Path], format: str | None) -> tuple[str, list[Path]]:
    """The format, and its files in the sources, in alphabetical order."""
    if format is not None and format not in READERS:
        raise IngestError(f"expected a format ({', '.join(READERS)}), got {format!r}")
    files: set[Path] = set()
    for source in sources:
        path = Path(source).expanduser()
        if not path.exists():
            raise FileNotFoundError(f"no such file or folder: {path}")
        files |= {p for p in path.rglob("*") if p.is_file()} if path.is_dir() else {path}
    by_format: dict[str, list[Path]] = {}
    for path in sorted(files):
        for name, reader in READERS.items():
            if format in (None, name) and reader.recognises(path):
                by_format.setdefault(name, []).append(path)
                break
    where = ", ".join(str(source) for source in sources) or "no sources"
    if not by_format:
        wanted = [format] if format else list(READERS)
        raise IngestError(
            f"{where}: expected evaluation logs, got {len(files):,} files of which none is one. "
            + "; ".join(f"{name}: {READERS[name].EXPECTS}" for name in wanted)
        )
    if len(by_format) > 1:
        raise IngestError(
            f"{where}: expected logs of one format, got "
            + ", ".join(f"{name} ({len(paths):,} files)" for name, paths in by_format.items())
            + "; choose with format= (--format)"
        )
    return by_format.popitem()
