"""A fit as a file, and the checks that a file is one."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from cod_bayes.evidence.record import has_control
from cod_bayes.forecast.posterior import FORMAT, Fit
from cod_bayes.model.spec import check_spec
from cod_bayes.model.variables import CURVE, SHOCKS

_LARGEST = 4  # a file of n bytes may claim arrays of at most 4 n bytes in memory
_CONSTANT = ("x_ref", "top", "trials", "weight", "benchmark_of_cluster", "nu_ratio")
_OF_CURVES: dict[str, tuple[str, ...]] = {
    "posterior": SHOCKS,
    "constant_data": _CONSTANT,
}  # in every tree
_OF_ITEMS: dict[str, tuple[str, ...]] = {  # in the tree of the clusters as well
    "items": ("subset_weight", "benchmark_of_item"),
    "anchors": ("subset", "rest", "n_rest"),
}


def load(path: str | Path) -> Fit:
    """A saved fit, which forecasts identically.

    Raises:
        ValueError: a file of another kind or version.
    """
    try:
        with xr.open_datatree(path, engine="h5netcdf") as opened:
            if opened.nbytes > _LARGEST * Path(path).stat().st_size:
                raise ValueError(f"its groups claim {opened.nbytes:.0e} bytes, more than it has")
            tree = opened.load()
        if tree.attrs.get("format") == FORMAT:
            _check(Fit(tree), _OF_CURVES | _OF_ITEMS)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"{path}: expected a posterior saved by cod_bayes: {error}") from error
    if tree.attrs.get("format") != FORMAT:
        raise ValueError(
            f"{path}: expected a file of the format {FORMAT!r}, got {tree.attrs.get('format')!r}"
        )
    return Fit(tree)


def _check(fit: Fit, required: dict[str, tuple[str, ...]]) -> None:
    """Raise ValueError for what a use of a saved fit needs and the tree lacks."""
    for group, names in required.items():
        have = fit.idata[group].to_dataset() if group in fit.idata.children else {}
        if missing := [name for name in names if name not in have]:
            raise ValueError(f"its group {group!r} lacks {missing}")
    have = fit.idata["posterior"].to_dataset()
    if "accuracy" not in have and (lacks := {*CURVE, "nu"} - set(have)):
        raise ValueError(f"its group 'posterior' lacks {sorted(lacks)}")
    if not all(isinstance(check, str) for check in fit.failed_checks):
        raise ValueError("its failed checks are no text")
    if any(has_control(name) for name in fit.benchmarks):
        raise ValueError("its benchmarks' names have control characters")
    int(fit.idata.attrs["random_seed"])
    check_spec(fit.spec)
    if fit.whole is not None:
        _check(fit.whole, _OF_CURVES)
        curves = fit.whole.idata["constant_data"].to_dataset()["benchmark_of_cluster"].values
        if not list(curves) == fit.whole.benchmarks == fit.benchmarks:
            raise ValueError("its group 'whole' is not of one curve for each benchmark")
        if fit.whole.idata.attrs["random_seed"] != fit.idata.attrs["random_seed"]:
            raise ValueError("its group 'whole' is of another seed")
