"""The files of public ladders: their pins, and how they are had.

Every file is pinned by its commit in a public repository and the SHA-256 of its bytes. Files are
kept in the user's cache (pooch, the extra `cod-bayes[datasets]`), or read from a folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

__all__ = ["Dataset", "File", "fetched"]


@dataclass(frozen=True)
class File:
    """One file of a dataset: its name in a folder, its address and its SHA-256."""

    name: str
    url: str
    sha256: str


@dataclass(frozen=True)
class Dataset:
    """A public ladder: a description, and the function from its files to a tidy table."""

    what: str
    ladder: str
    licence: str
    files: tuple[File, ...]
    convert: Callable[[list[Path]], pd.DataFrame]


def fetched(name: str, dataset: Dataset, file: File, folder: str | Path | None) -> Path:
    """The path of a file of the dataset `name`, with the pinned contents; see `load_dataset`."""
    if folder is not None:
        path = Path(folder).expanduser() / file.name
        if not path.exists():
            raise FileNotFoundError(f"expected {file.name} of {name} in {folder}: {file.url}")
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        if sha256 != file.sha256:
            raise ValueError(
                f"{path}: expected the published file (SHA-256 {file.sha256[:12]}...), got another "
                f"({sha256[:12]}...); download it again from {file.url}"
            )
        return path
    try:
        import pooch
    except ImportError:
        raise ImportError(
            f"downloading {name} needs pooch: install cod-bayes[datasets], or give folder= "
            f"(--folder) with {', '.join(f.name for f in dataset.files)}"
        ) from None
    try:
        kept = pooch.retrieve(
            file.url,
            known_hash=f"sha256:{file.sha256}",
            fname=file.name,
            path=pooch.os_cache("cod-bayes") / name,
        )
    except OSError as error:
        raise ConnectionError(
            f"cannot download {file.url} ({type(error).__name__}); without a network, give "
            f"folder= (--folder) with {', '.join(f.name for f in dataset.files)}"
        ) from error
    return Path(kept)
