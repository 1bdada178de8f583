"""Whether a posterior may be used: r_hat < 1.01, bulk ESS > 400, no divergences, E-BFMI > 0.3."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import xarray as xr

from cod_bayes.model.variables import PARAMETERS

R_HAT, BULK_ESS, E_BFMI = 1.01, 400, 0.3
_ARVIZ = ("arviz_base", "arviz_stats")


@cache
def statistics() -> Any:
    """ArviZ's for arrays, as arviz-stats installs them without arviz-base.

    The whole of arviz-stats takes longer to import than a small ladder to sample, and imports JAX
    where it is installed. Imported late: a sampler need not wait for it.
    """
    if "arviz_base" in sys.modules or "arviz_stats" in sys.modules:
        return import_module("arviz_stats.base").array_stats
    sys.modules["arviz_base"] = None  # type: ignore[assignment]  # as if it were not installed
    try:
        return import_module("arviz_stats.base").array_stats
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] in _ARVIZ]:
            del sys.modules[name]  # whoever imports them next gets all of them


def moving(posterior: xr.Dataset, name: str) -> list[np.ndarray]:
    """One parameter's values that vary, each (chain, draw): `delta` of one benchmark is 0."""
    draws = posterior[name].transpose("chain", "draw", ...).values
    columns = draws.reshape(*draws.shape[:2], -1).transpose(2, 0, 1)
    return [column for column in columns if np.ptp(column) > 0]


def worst_r_hat(columns: list[np.ndarray]) -> float:
    return max(float(statistics().rhat(column, method="rank")) for column in columns)


def least_bulk_ess(columns: list[np.ndarray]) -> float:
    return min(float(statistics().ess(column, method="bulk")) for column in columns)


def least_tail_ess(columns: list[np.ndarray]) -> float:
    return min(
        float(statistics().ess(column, method="tail", prob=(0.05, 0.95))) for column in columns
    )


def divergences(stats: xr.Dataset) -> int:
    return int(stats["diverging"].sum())


def e_bfmi_of(stats: xr.Dataset) -> np.ndarray:
    """Of each chain (Betancourt 2016), from draws that follow each other. (chain,)"""
    if "e_bfmi" in stats:
        return stats["e_bfmi"].values
    energy = stats["energy"].transpose("chain", "draw").values
    return (np.diff(energy) ** 2).mean(axis=1) / energy.var(axis=1)


def least_e_bfmi(stats: xr.Dataset) -> float:
    return float(e_bfmi_of(stats).min())


def convergence(idata: xr.DataTree, names: Sequence[str] = PARAMETERS) -> list[str]:
    """The checks that fail, each with its figure; names: the variables that are looked at."""
    posterior, stats = (idata[name].to_dataset() for name in ("posterior", "sample_stats"))
    columns = [column for name in names for column in moving(posterior, name)]
    r_hat, bulk = worst_r_hat(columns), least_bulk_ess(columns)
    divergent, e_bfmi = divergences(stats), least_e_bfmi(stats)
    failed = []
    if not r_hat < R_HAT:
        failed.append(f"r_hat {r_hat:.3f}")
    if not bulk > BULK_ESS:
        failed.append(f"bulk ESS {bulk:.0f}")
    if divergent:
        failed.append(f"{divergent} divergences")
    if not e_bfmi > E_BFMI:
        failed.append(f"E-BFMI {e_bfmi:.2f}")
    return failed
