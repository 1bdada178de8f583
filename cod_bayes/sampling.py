"""NUTS over the model's density, and the checks that every posterior carries.

The sampler is nutpie on `cod_bayes.density`: nothing is compiled but the density itself, once per
installation. The checks: r_hat < 1.01, bulk ESS > 400, no divergences, E-BFMI > 0.3.
"""

from __future__ import annotations

import os
import warnings

import numpy as np
import nutpie
import xarray as xr
from arviz_stats.base import array_stats
from nutpie.compile_pymc import CompiledPyMCModel

from cod_bayes.curves import DIMS, PARAMETERS, LadderData
from cod_bayes.density import Density, copy_c, log_density_c
from cod_bayes.spec import Spec


def sample(
    spec: Spec,
    data: LadderData,
    *,
    random_seed: int,
    draws: int = 1000,
    tune: int = 800,
    chains: int = 4,
    target_accept: float = 0.9,
    progressbar: bool = True,
) -> xr.DataTree:
    """Groups posterior and sample_stats; dims chain, draw and those of `DIMS`."""
    density = Density.of(spec, data)
    size = density.size
    # By hand, the class that nutpie compiles PyMC models to: the density is there already.
    model = CompiledPyMCModel(
        dims={"theta": ("coordinate",)},
        reparameterized_names=None,
        compiled_logp_func=log_density_c,
        compiled_expand_func=copy_c,
        initial_point_func=density.start,
        shared_data={},
        shared_var_keys={},
        user_data=density.packed,
        n_expanded=size,
        shape_info=(["theta"], None, [(size,)]),
        logp_func=None,
        expand_func=None,
        _n_dim=size,
        _shapes={"theta": (size,)},
        _coords={"coordinate": np.arange(size)},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the checks name what failed
        raw = nutpie.sample(
            model,
            draws=draws,
            tune=tune,
            chains=chains,
            cores=min(chains, os.cpu_count() or 1),
            seed=random_seed,
            target_accept=target_accept,
            progress_bar=progressbar,
            save_warmup=False,
        )
    values = density.constrain(raw["posterior"]["theta"].values)
    posterior = xr.Dataset(
        {name: (("chain", "draw", *DIMS.get(name, ())), values[name]) for name in PARAMETERS},
        {"chain": np.arange(chains), "draw": np.arange(draws), **data.coords},
    )
    return xr.DataTree.from_dict(
        {"posterior": posterior, "sample_stats": raw["sample_stats"].to_dataset()}
    )


def convergence(idata: xr.DataTree) -> list[str]:
    """The checks that fail, each with its figure."""
    rank, bulk = [], []
    posterior, stats = (idata[name].to_dataset() for name in ("posterior", "sample_stats"))
    for name in PARAMETERS:
        values = posterior[name].values
        for column in values.reshape(*values.shape[:2], -1).transpose(2, 0, 1):
            if np.ptp(column) > 0:  # `delta` of a single benchmark is 0
                rank.append(float(array_stats.rhat(column, method="rank")))
                bulk.append(float(array_stats.ess(column, method="bulk")))
    divergent = int(stats["diverging"].sum())
    energy = stats["energy"].values
    e_bfmi = (np.diff(energy, axis=1) ** 2).mean(axis=1) / energy.var(axis=1)
    failed = []
    if not max(rank) < 1.01:
        failed.append(f"r_hat {max(rank):.3f}")
    if not min(bulk) > 400:
        failed.append(f"bulk ESS {min(bulk):.0f}")
    if divergent:
        failed.append(f"{divergent} divergences")
    if not e_bfmi.min() > 0.3:
        failed.append(f"E-BFMI {e_bfmi.min():.2f}")
    return failed
