"""How the sampler's loops are compiled, and when what was compiled before no longer holds.

Numba keeps compiled functions beside the sources and knows one stale by its own file alone, yet a
function holds copies of those it calls, wherever they are written.
"""

from __future__ import annotations

import contextlib
import hashlib
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
    """Remove what is kept of the linked modules, unless all their sources are what they were."""
    content = b"".join((sources / f"{name}.py").read_bytes() for name in linked)
    digest = hashlib.sha256(content).hexdigest()
    stamp = kept / "linked.sha256"
    with contextlib.suppress(OSError):  # a folder that is not ours, another process at the same
        if stamp.exists() and stamp.read_text() == digest:
            return
        for name in linked:
            for index in kept.glob(f"{name}.*.nbi"):
                index.unlink(missing_ok=True)
        kept.mkdir(parents=True, exist_ok=True)
        stamp.write_text(digest)


@numba.njit(**FAST)
def _kept_beside_this():
    pass


forget_stale(Path(__file__).parent, Path(_kept_beside_this.stats.cache_path))
