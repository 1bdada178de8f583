"""The posterior that a decision is made from: a fit, or the file of a saved one."""

from __future__ import annotations

from pathlib import Path

from cod_bayes.forecast.posterior import Fit
from cod_bayes.forecast.storage import load


def as_fit(fit: Fit | str | Path) -> Fit:
    """The fit itself, or the one saved in the file of this name."""
    return load(fit) if isinstance(fit, str | Path) else fit
