"""The posterior that a decision is made from: a fit, or the file of a saved one."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from cod_bayes.forecast.posterior import Fit
from cod_bayes.forecast.storage import load


def as_fit(fit: Fit | str | Path) -> Fit:
    """The fit itself, or the one saved in the file of this name."""
    return load(fit) if isinstance(fit, str | Path) else fit


def thinned(fit: Fit, most: int) -> Fit:
    """The fit with every second draw, or every third and so on, so that at most `most` are left."""
    draws = fit.idata["posterior"].to_dataset()
    every = -(-draws.sizes["chain"] * draws.sizes["draw"] // most)
    if every <= 1:
        return fit
    tree = fit.idata.copy()
    tree.attrs = fit.idata.attrs
    tree["posterior"] = xr.DataTree(draws.isel(draw=slice(None, None, every)))
    return Fit(tree, fit.clusters)
