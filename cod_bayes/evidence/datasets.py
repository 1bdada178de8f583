"""Public ladders by name: downloaded on demand, checked, converted to evidence.

    load_dataset("pythia-arithmetic") -> Evidence

Every file is pinned by its commit in a public repository and the SHA-256 of its bytes. Files are
kept in the user's cache (pooch, the extra `cod-bayes[datasets]`). With `folder=` they are read from
a folder instead, without a network. The modules of the ladders say what their files hold.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cod_bayes.evidence.harness_tasks import HARNESS_TASKS
from cod_bayes.evidence.openlm import OPENLM
from cod_bayes.evidence.public_file import Dataset, fetched
from cod_bayes.evidence.pythia_arithmetic import PYTHIA_ARITHMETIC
from cod_bayes.evidence.record import Evidence, read_table

__all__ = ["DATASETS", "Dataset", "dataset_table", "load_dataset"]

DATASETS: dict[str, Dataset] = PYTHIA_ARITHMETIC | HARNESS_TASKS | OPENLM


def load_dataset(name: str, folder: str | Path | None = None) -> Evidence:
    """The evidence of a public ladder.

    name    a key of DATASETS (`cod-bayes datasets` lists them)
    folder  a folder that holds the files; None downloads them to the cache, once

    Raises ValueError for an unknown name or a file other than the published one, FileNotFoundError
    for a file that `folder` lacks, ImportError without pooch, and ConnectionError for a failed
    download.
    """
    return read_table(dataset_table(name, folder))


def dataset_table(name: str, folder: str | Path | None = None) -> pd.DataFrame:
    """The tidy table of a public ladder, as `cod_bayes.read_table` takes it; see `load_dataset`."""
    if name not in DATASETS:
        raise ValueError(f"expected a dataset ({', '.join(DATASETS)}), got {name!r}")
    dataset = DATASETS[name]
    return dataset.convert([fetched(name, dataset, file, folder) for file in dataset.files])
