"""The sampler, and its draws as arrays, without ArviZ, which takes longer to import than a small
ladder to sample."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import xarray as xr


def sampler() -> ModuleType:
    """nutpie. Its `arviz` is imported when it asks something of it, which it seldom does here."""
    if "nutpie" in sys.modules or "arviz" in sys.modules:
        return import_module("nutpie")
    later = ModuleType("arviz")
    later.__getattr__ = lambda name: getattr(import_module("arviz"), name)  # type: ignore[method-assign]
    sys.modules["arviz"] = later
    try:
        return import_module("nutpie")
    finally:
        del sys.modules["arviz"]  # for nutpie alone


def arrays(raw: Any) -> tuple[np.ndarray, xr.Dataset]:
    """The draws after the warm-up, theta (chain, draw, size), and those of the sampler's statistics
    that are a number. NaN, or 0, where a chain was cut short.

    raw: what nutpie returns with `return_raw_trace`, of a model with the variable theta.
    """
    import pyarrow as pa

    draws, stats = raw.get_arrow_trace()
    kept = [~pa.array(stat.column("tuning")).to_numpy(zero_copy_only=False) for stat in stats]
    length = max(int(keep.sum()) for keep in kept)
    theta, found = np.empty((len(stats), length, 0)), {}
    for chain, (batch, stat, keep) in enumerate(zip(draws, stats, kept, strict=True)):
        count = int(keep.sum())
        values = pa.array(batch.column("theta")).flatten().to_numpy().reshape(len(keep), -1)
        if chain == 0:
            theta = np.full((len(stats), length, values.shape[1]), np.nan)
        theta[chain, :count] = values[keep]
        for name in stat.column_names:
            column = pa.array(stat.column(name))
            if name in ("chain", "draw") or pa.types.is_nested(column.type) or column.null_count:
                continue
            values = column.to_numpy(zero_copy_only=False)
            if values.dtype.kind not in "fiub":
                continue
            empty = np.nan if values.dtype.kind == "f" else 0
            if name not in found:
                found[name] = np.full((len(stats), length), empty, values.dtype)
            found[name][chain, :count] = values[keep]
    coords = {"chain": np.arange(len(stats)), "draw": np.arange(length)}
    return theta, xr.Dataset({name: (("chain", "draw"), v) for name, v in found.items()}, coords)
