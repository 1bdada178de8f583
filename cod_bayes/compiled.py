"""How the sampler's loops are compiled, and when what was compiled before no longer holds.

Numba keeps compiled functions beside the sources and knows one stale by its own file alone, yet a
function holds copies of those it calls, wherever they are written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numba

# Division by zero is infinite rather than an exception, without which loops stay one number at a
# time. Sums keep their order: a draw must not hang on what a compiler made of its neighbours. A
# product and the sum that takes it are rounded once.
FAST: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract"},
}
# Each may call those before it.
LINKED = ("compiled", "curves", "vector_math", "preconditioner", "density", "jumps")


def forget_stale(sources: Path, kept: Path, linked: Sequence[str] = LINKED) -> None:
    """Remove what is kept of the linked modules from before the newest of their sources."""
    newest = max((sources / f"{name}.py").stat().st_mtime for name in linked)
    for name in linked:
        for index in kept.glob(f"{name}.*.nbi"):
            with contextlib.suppress(OSError):  # another process was faster
                if index.stat().st_mtime < newest:
                    index.unlink()


@numba.njit(**FAST)
def _kept_beside_this():
    pass


forget_stale(Path(__file__).parent, Path(_kept_beside_this.stats.cache_path))
