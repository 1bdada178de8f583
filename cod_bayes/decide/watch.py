"""A run's checkpoints while they come in: a table, a folder of tables, or a folder of logs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from cod_bayes.decide.checkpoints import read_checkpoints
from cod_bayes.evidence.words import EvidenceError
from cod_bayes.forecast.posterior import Fit

_TABLES = (".parquet", ".csv", ".tsv", ".jsonl")


def gathered(
    source: str | Path,
    models: str | Path | None = None,
    metric: Sequence[str] | None = None,
    fit: Fit | None = None,
) -> pd.DataFrame:
    """The checkpoints of a table, of all tables of a folder, or of a folder of logs.

    Args:
        source: a file or a folder.
        models: of logs: the checkpoints' compute, as `cod_bayes.ingest.ingest` takes it.
        metric: of logs: as of `ingest`.
        fit: as of `read_checkpoints`.

    Raises:
        ValueError: what `read_checkpoints` or `ingest` refuses, or a folder without tables.
        FileNotFoundError: no such file or folder.
    """
    path = Path(source)
    if models is not None:
        from cod_bayes.ingest import ingest

        return read_checkpoints(ingest(path, models, metric).table, fit)
    if not path.is_dir():
        return read_checkpoints(path, fit)
    tables = [file for file in _files(path) if file.suffix in _TABLES]
    if not tables:
        raise EvidenceError(
            f"{path}: expected tables of checkpoints ({', '.join(_TABLES)}), got none; for logs of "
            "an evaluation program give the checkpoints' compute as well (--models)"
        )
    found = pd.concat([read_checkpoints(file, fit) for file in tables])
    twice = found.duplicated(["benchmark", "compute"])
    if twice.any():
        first = found.loc[twice, ["benchmark", "compute"]].iloc[0].to_dict()
        raise EvidenceError(
            f"{path}: expected each checkpoint in one table, got {first} in two; keep one of them"
        )
    return found.sort_values(["compute", "benchmark"], ignore_index=True)


def growing(
    source: str | Path,
    read: Callable[[], pd.DataFrame],
    every: float,
) -> Iterator[pd.DataFrame]:
    """What `read` returns, at first and after every change of the files.

    A file that is missing, empty or cannot be read may be half written: it is read again at the
    next look, `every` seconds later, and refused if it is the same then and not empty.

    Raises:
        ValueError: what `read` refuses twice.
    """
    seen: object = None
    refused: object = None
    while True:
        stamp = _stamp(Path(source))
        if stamp != seen and any(size for _, size, _ in stamp):
            try:
                table = read()
            except FileNotFoundError:
                pass
            except ValueError:
                if stamp == refused:
                    raise
                refused = stamp
            else:
                seen = stamp
                yield table
        time.sleep(every)


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file())


def _stamp(path: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of every file."""
    files = _files(path) if path.is_dir() else [path]
    found = []
    for file in files:
        try:
            state = file.stat()
        except FileNotFoundError:
            continue
        found.append((str(file), state.st_size, state.st_mtime_ns))
    return found
