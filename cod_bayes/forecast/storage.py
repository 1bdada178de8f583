"""A fit as a file, and the checks that a file is one.

A file is small: draws are in single precision, to which `cod_bayes.fit` has rounded them already,
everything is compressed, and what follows from other variables is left out. So forecasts from a
file are those of the fit. It is read with h5py alone, in about half of xarray's time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from cod_bayes.evidence.words import has_control
from cod_bayes.forecast.groups import ladder_of_tree
from cod_bayes.forecast.posterior import FORMAT, Fit
from cod_bayes.model.spec import check_spec
from cod_bayes.model.variables import CURVE, DIMS, SHOCKS
from cod_bayes.writing import replacing

_LARGEST = 50  # a file of n bytes may claim arrays of at most 50 n bytes
_FEWEST = 100  # values; smaller arrays are written as they are
_LEFT_OUT = ("log_beta", "omega")  # of a shipped model's posterior
_CONSTANT = ("x_ref", "top", "trials", "noise_share", "weight", "benchmark_of_cluster", "nu_ratio")
_OF_CURVES: dict[str, tuple[str, ...]] = {
    "posterior": SHOCKS,
    "constant_data": _CONSTANT,
}  # in every tree
_OF_ITEMS: dict[str, tuple[str, ...]] = {  # in the tree of the clusters as well
    "items": ("subset_weight", "benchmark_of_item"),
    "anchors": ("subset", "rest", "n_rest"),
}
_OF_LAW = {"loss_law": ("constants", "constant_draws", "models", "effective_by")}  # if there is one


def rounded(tree: xr.DataTree) -> xr.Dataset:
    """The tree's posterior as its file will hold it: in single precision, the rest from that."""
    posterior = tree["posterior"].to_dataset()
    values = {
        name: v.astype(np.float32).astype(float) if v.dtype.kind == "f" else v
        for name, v in posterior.data_vars.items()
    }
    posterior = posterior.assign(values)
    return posterior if tree.attrs["built_by"] else _completed(tree, posterior)


def save(tree: xr.DataTree, path: Path) -> None:
    """As netCDF. An error leaves an older file as it was."""
    small = tree.copy()
    for node in _of_shipped(small):
        posterior = node["posterior"].to_dataset()
        node["posterior"] = xr.DataTree(posterior.drop_vars(_LEFT_OUT, errors="ignore"))
    encoding = {
        group.path: {
            name: _packed(variable, single=group.name == "posterior")
            for name, variable in group.to_dataset(inherit=False).variables.items()
        }
        for group in small.subtree
    }
    # In memory first: a full disk is then a refusal, not a crash inside the library. It is copied,
    # because the library's buffer cannot be released while a failed write is reported.
    content = bytes(small.to_netcdf(engine="h5netcdf", encoding=encoding))
    with replacing(path) as part:
        part.write_bytes(content)


def load(path: str | Path) -> Fit:
    """A saved fit, which forecasts identically.

    Raises:
        ValueError: a file of another kind or version.
    """
    try:
        with Path(path).open("rb") as raw, h5py.File(raw) as file:
            claimed = 0

            def add(_: str, node: Any) -> None:
                nonlocal claimed
                claimed += node.nbytes if isinstance(node, h5py.Dataset) else 0

            file.visititems(add)
            if claimed > _LARGEST * Path(path).stat().st_size:
                raise ValueError(f"its groups claim {claimed:.0e} bytes, more than it has")
            tree = _tree_of(file)
        if tree.attrs.get("format") == FORMAT:
            law = _OF_LAW if "loss_law" in tree.children else {}
            _check(Fit(tree), _OF_CURVES | _OF_ITEMS | law)
            for node in _of_shipped(tree):
                posterior = node["posterior"].to_dataset()
                node["posterior"] = xr.DataTree(_completed(node, posterior))
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"{path}: expected a posterior saved by cod_bayes: {error}") from error
    if tree.attrs.get("format") != FORMAT:
        raise ValueError(
            f"{path}: expected a file of the format {FORMAT!r}, got {tree.attrs.get('format')!r}; "
            "make the forecast again with this version"
        )
    return Fit(tree)


def _of_shipped(tree: xr.DataTree) -> list[xr.DataTree]:
    """The tree and its second posterior, if they are of a shipped model."""
    both = [tree, *([tree.children["whole"]] if "whole" in tree.children else [])]
    return [node for node in both if not node.attrs["built_by"]]


def _completed(tree: xr.DataTree, posterior: xr.Dataset) -> xr.Dataset:
    """The posterior of a shipped model with what follows from its other variables."""
    steps, spread = (
        posterior[n].transpose("chain", "draw", *DIMS[n]).values
        for n in ("omega_step", "sigma_omega")
    )
    omega = spread[..., None] * np.einsum("bmj,cdbj->cdbm", ladder_of_tree(tree).walk, steps)
    beta = posterior["beta"].variable
    return posterior.assign(
        log_beta=(beta.dims, np.log(beta.values)),
        omega=(("chain", "draw", *DIMS["omega"]), omega),
    )


def _packed(variable: xr.Variable, single: bool) -> dict[str, Any]:
    """How a variable is written; single: its draws are numbers of single precision."""
    if variable.size < _FEWEST:
        return {}
    how: dict[str, Any] = {"zlib": True, "complevel": 4, "shuffle": True}
    if variable.dtype.kind == "U":
        return how | {"dtype": "S1"}  # as characters, which unlike strings are compressed
    if single and variable.dtype == np.float64:
        how["dtype"] = "float32"
    return how


def _tree_of(group: h5py.Group) -> xr.DataTree:
    """A group of a netCDF file with all it holds."""
    arrays = {n: v for n, v in group.items() if isinstance(v, h5py.Dataset)}
    variables = {n: _variable(v) for n, v in arrays.items() if not _is_bare_dim(v)}
    children = {n: _tree_of(v) for n, v in group.items() if isinstance(v, h5py.Group)}
    coords = {n: v for n, v in variables.items() if v.dims == (n,)}
    values = {n: v for n, v in variables.items() if n not in coords}
    tree = xr.DataTree(xr.Dataset(values, coords), children)
    tree.attrs = {n: _plain(v) for n, v in group.attrs.items() if not n.startswith("_")}
    return tree


def _is_bare_dim(array: h5py.Dataset) -> bool:
    """Whether it only gives a dimension its length."""
    return bytes(array.attrs.get("NAME", b"")).startswith(b"This is a netCDF dimension but not")


def _variable(array: h5py.Dataset) -> xr.Variable:
    if array.attrs.get("CLASS") == b"DIMENSION_SCALE":
        dims = [_last(array.name), *([""] if array.ndim > 1 else [])]  # "": of characters
    else:
        of = array.attrs.get("DIMENSION_LIST", ())
        dims = [_last(array.file[scale[0]].name) for scale in of]
    text = h5py.check_string_dtype(array.dtype)
    values = array[()] if text is None or text.length is not None else array.asstr()[()]
    if array.dtype == "S1" and array.ndim:
        values = np.char.decode(values.view(f"S{array.shape[-1]}")[..., 0], "utf-8")
        dims = dims[:-1]
    elif text is not None:
        values = np.array(values, dtype=str)
    elif values.dtype == np.float32:
        values = values.astype(float)
    if array.attrs.get("dtype") == "bool":
        values = values.astype(bool)
    return xr.Variable(tuple(dims), values)


def _last(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _plain(value: Any) -> Any:
    """An attribute; of one entry, as Python's text or number."""
    return value.item() if np.size(value) == 1 and hasattr(value, "item") else value


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
