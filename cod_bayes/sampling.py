"""NUTS over the model's density.

The sampler is nutpie on `cod_bayes.density`: nothing is compiled but the density itself, once per
installation.
"""

from __future__ import annotations

import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import numpy as np
import nutpie
import xarray as xr
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
    """Groups posterior and sample_stats; dims chain, draw and those of `DIMS`.

    Raises:
        KeyboardInterrupt: it came before the last draw.
    """
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
    with _interruptible(), warnings.catch_warnings():
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


@contextmanager
def _interruptible() -> Iterator[None]:
    """An interrupt that the sampler keeps to itself, with half a trace or none, is raised again."""
    before, came = signal.getsignal(signal.SIGINT), False
    main = threading.current_thread() is threading.main_thread()
    if not main or not callable(before):  # no interrupt comes here, or it is ignored
        yield
        return

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        before(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    except Exception:
        if not came:
            raise
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt
