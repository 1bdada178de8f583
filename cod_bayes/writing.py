"""Files that are old or new, never a half. Every folder may import this module."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The path to write to; it becomes `path` at the end, and vanishes if the writing fails.

    Raises:
        OSError: the writing failed; it names the file.
    """
    part = path.with_name(path.name + ".part")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        part.unlink(missing_ok=True)


def write_once(path: Path, text: str) -> None:
    """A new file, whole; one that exists stays as it is.

    Raises:
        FileExistsError: `path` exists.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        os.link(part, path)  # unlike a rename, refuses to replace
    except FileExistsError:
        raise FileExistsError(
            f"{path} exists and is a record; expected a new file: give another name with --out"
        ) from None
    finally:
        part.unlink(missing_ok=True)
