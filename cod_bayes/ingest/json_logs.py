"""Reading JSON logs. A file that cannot be read is refused with its name and the line.

Files that end in .gz or .zst are read as they are; `plain_name` is the name without that ending.

Logs are data only: nothing in them is run, imported or followed, and nothing is written beside
them.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

__all__ = [
    "IngestError",
    "OneVersion",
    "at",
    "field",
    "head",
    "layout",
    "opened",
    "parse",
    "plain_name",
    "read_json",
    "read_lines",
]

_ARCHIVES = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ": "xz",
    b"BZh": "bzip2",
}
_PACKED = (".gz", ".zst")
_KINDS = {dict: "an object", list: "a list", str: "a text", int: "a whole number"}


class IngestError(ValueError):
    """A log that cannot be read: the file and line, what was expected, what was got, what to do."""


class OneVersion:
    """Checks that all logs of a task have the version of the first one."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[object, Path]] = {}

    def check(self, what: str, of: str, version: object, path: Path) -> None:
        """Raise IngestError for another version. `what` is its name in the log, `of` the task."""
        known, where = self._first.setdefault(of, (version, path))
        if known != version:
            raise IngestError(
                f"{path}: expected {what} {known!r} of {of} as in {where}, got {version!r}; scores "
                "of two versions do not compare: ingest them apart, or evaluate one again"
            )


def at(path: Path, line: int | None = None) -> str:
    """A place in a file as errors name it."""
    return f"{path}" if line is None else f"{path}, line {line:,}"


def plain_name(path: Path) -> str:
    """The file's name without .gz or .zst."""
    return path.stem if path.suffix in _PACKED else path.name


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes to read, unpacked where its name ends in .gz or .zst."""
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as file:
                yield cast(IO[bytes], file)
        elif path.suffix == ".zst":
            import io

            import pyarrow as pa

            with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
                yield cast(IO[bytes], io.BufferedReader(stream))
        else:
            with path.open("rb") as file:
                yield file
    except (EOFError, OSError, zlib.error) as error:
        if path.suffix not in _PACKED or isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise IngestError(
            f"{path}: expected a compressed file ({path.suffix[1:]}), but it is damaged or cut off "
            f"({error}); copy it again"
        ) from None


def read_json(path: Path) -> Any:
    """The one JSON value of a file."""
    with opened(path) as file:
        return parse(file.read(), path)


def read_lines(path: Path) -> Iterator[tuple[int, bytes, dict[str, Any]]]:
    """Line number, raw line and object of every line of a JSON Lines file that is not blank.

    A file that holds one JSON list, as old programs wrote under the name .jsonl, gives its entries.
    """
    with opened(path) as file:
        for number, raw in enumerate(file, start=1):
            if raw.isspace():
                continue
            if number == 1 and raw.strip() in (b"[", b"[{"):
                for place, value in enumerate(parse(raw + file.read(), path), start=1):
                    if type(value) is not dict:
                        raise IngestError(
                            f"{path}, entry {place:,}: expected an object, got {_short(value)}"
                        )
                    yield place, json.dumps(value).encode(), value
                return
            value = parse(raw, path, number)
            if type(value) is not dict:
                raise IngestError(f"{at(path, number)}: expected an object, got {_short(value)}")
            yield number, raw, value


def parse(raw: bytes, path: Path, line: int | None = None) -> Any:
    """The JSON value of some bytes of a file; `line` is where they begin in a JSON Lines file."""
    try:
        return json.loads(raw.decode("utf-8-sig" if line in (None, 1) else "utf-8"))
    except UnicodeDecodeError as error:
        kind = next((k for magic, k in _ARCHIVES.items() if raw.startswith(magic)), None)
        if kind:
            raise IngestError(
                f"{path}: expected JSON text, got a {kind} archive; unpack it first"
            ) from None
        where = at(path, line if line is not None else raw[: error.start].count(b"\n") + 1)
        raise IngestError(
            f"{where}: expected UTF-8 text, got byte 0x{raw[error.start]:02x} "
            f"({error.reason}); copy the log again or convert it to UTF-8"
        ) from None
    except json.JSONDecodeError as error:
        where = at(path, line if line is not None else error.lineno)
        rest = error.doc[error.pos :].rstrip()
        # Part of a number, of `true`, ..
        cut_off = error.pos > 0 and re.fullmatch(r"[\w.+-]{,5}", rest)
        if not rest or cut_off or error.msg.startswith("Unterminated string"):
            raise IngestError(
                f"{where}: expected JSON, but it ends early (column {error.colno:,}): the file is "
                "empty or cut off; copy it again, or leave out what an interrupted run wrote"
            ) from None
        raise IngestError(
            f"{where}: expected JSON, got something else at column {error.colno:,} ({error.msg}); "
            "the file is damaged or is no log"
        ) from None
    except (RecursionError, ValueError) as error:  # too deep nesting, too long numbers
        raise IngestError(f"{at(path, line)}: JSON that no log holds ({error})") from None


def field(record: Any, key: str, kind: type, where: str) -> Any:
    """`record[key]`. Raises IngestError unless it is of the kind (dict, list, str, int)."""
    if not isinstance(record, dict):
        raise IngestError(f"{where}: expected an object with {key!r}, got {_short(record)}")
    value = record.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        got = f"{_short(value)}" if key in record else f"only {_short(', '.join(record), 80)}"
        raise IngestError(f"{where}: expected {key!r}, {_KINDS[kind]}; got {got}")
    return value


@contextmanager
def layout(path: Path, expected: str) -> Iterator[None]:
    """Turn errors of a reader on unexpected values (an object for a text) into IngestError."""
    try:
        yield
    except IngestError:
        raise
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise IngestError(
            f"{path}: expected {expected}, got another layout ({type(error).__name__}: {error}); "
            "leave the file out, or write it again with the program that makes such logs"
        ) from error


def head(path: Path, size: int = 65536) -> bytes:
    """The first bytes of a file, to recognise it by."""
    try:
        with opened(path) as file:
            return file.read(size)
    except IngestError:
        return b""


def _short(value: object, limit: int = 60) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
