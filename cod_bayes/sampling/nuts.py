"""NUTS over the model's density.

The sampler is nutpie on `cod_bayes.sampling.density`. Only the density is compiled, once per
installation.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from cod_bayes.model.ladder import LadderData
from cod_bayes.model.spec import Spec
from cod_bayes.model.variables import DIMS, PARAMETERS, SHARED
from cod_bayes.sampling.checks import convergence, divergences, e_bfmi_of, statistics
from cod_bayes.sampling.density import Density
from cod_bayes.sampling.jumps import jump
from cod_bayes.sampling.kernels import copy_c, log_density_c
from cod_bayes.sampling.preconditioner import Preconditioner
from cod_bayes.sampling.traces import arrays, sampler

nutpie = sampler()

_FIRST_RUN = (80, 250)  # tune and draws of every chain, for the preconditioner
_LAPLACE_DRAWS = 2000  # for the first run's preconditioner
_SPREAD = (
    0.3  # of the first run's starts, relative to those draws: chains from further out get lost
)
_KEPT_DRAWS = 1000  # of every chain, at least, where runs are thinned; less than twice as many
_FEWEST_DRAWS = 20  # of a chain, for an interrupted run to be kept
_TARGET_ACCEPT = (0.9, 0.96, 0.98, 0.995)  # of the first run, of the next, of chains run again


def sample(
    spec: Spec,
    data: LadderData,
    *,
    random_seed: int,
    draws: int = 800,
    tune: int = 100,
    chains: int = 4,
    attempts: int = 4,
    progressbar: bool = True,
) -> tuple[xr.DataTree, list[str], bool]:
    """Posterior, the convergence checks that it fails, and whether it was interrupted.

    The preconditioner is learned from a Laplace approximation, then from a short run, then from
    every run. While the draws fail a check, another run adds to them, up to `attempts` runs.
    Chains that diverge are run again with smaller steps, and kept only if there are no others. An
    interrupt ends the sampling with the runs so far, or with part of the first: the chains and
    their common length that make most draws.

    Returns:
        Groups posterior and sample_stats, with dims chain, draw and those of `DIMS`; the failed
        checks of `cod_bayes.sampling.checks.convergence`, an interrupt first.

    Raises:
        KeyboardInterrupt: it came before there were draws to keep.
    """
    density = Density.of(spec, data)
    laplace = density.laplace(_LAPLACE_DRAWS)
    preconditioner = Preconditioner.of(laplace, density.shared, density.first)
    start = _random_start(preconditioner.phi(density.mode + _SPREAD * (laplace - density.mode)))
    runs = [_FIRST_RUN, *[(tune, draws)] * attempts]
    steps = iter(_TARGET_ACCEPT)
    target_accept = next(steps)
    kept: list[tuple[np.ndarray, xr.Dataset]] = []
    diverged: tuple[np.ndarray, xr.Dataset] | None = None  # a run in which some chains diverged
    for i, (run_tune, run_draws) in enumerate(runs):
        learning = i == 0
        run_seed = int(np.random.SeedSequence([random_seed, i]).generate_state(1)[0])
        run_chains = chains if diverged is None else int(_diverging(diverged[1]).sum())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the checks name what failed
            running = nutpie.sample(
                _compiled(density, preconditioner, start),
                draws=run_draws,
                tune=run_tune,
                chains=run_chains,
                cores=run_chains,
                seed=run_seed,
                target_accept=target_accept,
                # With gradients, a cluster's scale would be that of its stiffest region, which it
                # seldom visits.
                adaptation="draw_diag",
                progress_bar=progressbar,
                save_warmup=False,
                blocking=False,
                return_raw_trace=True,
            )
        try:
            statistics()  # the first time an import, which the chains do not wait for
            theta, stats = arrays(running.wait())
        except KeyboardInterrupt:
            if not kept and diverged is not None:
                kept = [diverged]
            if not kept and not learning:
                kept = [_cut_short(preconditioner, running)]
            if not kept:
                raise
            return _interrupted(density, data, kept)
        theta = preconditioner.theta(theta)
        if learning:
            target_accept = next(steps)
        else:
            if diverged is not None:
                theta, stats = _replace_diverging(diverged, theta, stats)
            diverged = None
            if divergences(stats) and i + 1 < len(runs):
                diverged = theta, stats
                target_accept = next(steps, target_accept)
            elif not (divergences(stats) and kept):
                kept.append((theta, stats))
                try:
                    kept[-1] = jump(spec, data, density, preconditioner, theta, run_seed), stats
                    idata = _data_tree(density, data, kept)
                    failed = convergence(idata)
                except KeyboardInterrupt:
                    return _interrupted(density, data, kept)
                if not failed:
                    break
        # Around each chain's mean: chains in different modes say nothing of covariances.
        centred = (theta - theta.mean(axis=1, keepdims=True)).reshape(-1, density.size)
        preconditioner = Preconditioner.of(centred, density.shared, density.first)
        start = _random_start(preconditioner.phi(theta.reshape(-1, density.size)))
    return idata, failed, False


def _interrupted(
    density: Density, data: LadderData, kept: list[tuple[np.ndarray, xr.Dataset]]
) -> tuple[xr.DataTree, list[str], bool]:
    """What `sample` returns of the runs until then."""
    idata = _data_tree(density, data, kept)
    draws = sum(theta.shape[1] for theta, _ in kept)
    message = f"interrupted at {draws} draws by each of {len(kept[0][0])} chains"
    return idata, [message, *convergence(idata)], True


def _diverging(stats: xr.Dataset) -> np.ndarray:
    """Which chains diverged. (chain,)"""
    return stats["diverging"].any("draw").values


def _replace_diverging(
    run: tuple[np.ndarray, xr.Dataset], theta: np.ndarray, stats: xr.Dataset
) -> tuple[np.ndarray, xr.Dataset]:
    """A run whose diverging chains are replaced by those of another run."""
    bad = _diverging(run[1])
    joined_theta = run[0].copy()
    joined_theta[bad] = theta
    joined = xr.concat([run[1].isel(chain=~bad), stats], "chain")
    place = np.argsort(np.concatenate([np.flatnonzero(~bad), np.flatnonzero(bad)]))
    return joined_theta, joined.isel(chain=place).assign_coords(chain=np.arange(len(bad)))


def _cut_short(preconditioner: Preconditioner, running: Any) -> tuple[np.ndarray, xr.Dataset]:
    """Ends a run early. Keeps as many chains, cut to one length, as make most draws.

    Raises:
        KeyboardInterrupt: too few of them.
    """
    try:
        phi, stats = arrays(running.abort())
    except Exception:  # of a run without draws
        raise KeyboardInterrupt from None
    lengths = np.isfinite(phi[..., 0]).sum(axis=1)
    chains = np.argsort(-lengths, kind="stable")
    count = np.argmax(lengths[chains] * np.arange(1, len(chains) + 1)) + 1
    chains, length = np.sort(chains[:count]), lengths[chains[count - 1]]
    if length < _FEWEST_DRAWS:
        raise KeyboardInterrupt
    stats = stats.isel(chain=chains, draw=slice(0, length)).assign_coords(chain=np.arange(count))
    return preconditioner.theta(phi[chains, :length]), stats


def _data_tree(
    density: Density, data: LadderData, runs: list[tuple[np.ndarray, xr.Dataset]]
) -> xr.DataTree:
    """The draws of several runs, joined along each chain, named, and thinned: `_KEPT_DRAWS` or more
    are left, and less than twice as many. Only slow parameters need several runs, and they lose
    little by thinning."""
    every = max(sum(run.shape[1] for run, _ in runs) // _KEPT_DRAWS, 1)
    theta = np.concatenate([run for run, _ in runs], axis=1)[:, ::every]
    chain, draw = (np.arange(size) for size in theta.shape[:2])
    values = density.constrain(theta)
    posterior = xr.Dataset(
        {name: (("chain", "draw", *DIMS.get(name, ())), values[name]) for name in PARAMETERS},
        {"chain": chain, "draw": draw, "parameter": list(SHARED), **data.coords},
    )
    stats = xr.concat([stats for _, stats in runs], "draw").isel(draw=slice(None, None, every))
    # E-BFMI compares neighbouring draws, so it is taken before thinning.
    e_bfmi = np.min([e_bfmi_of(stats) for _, stats in runs], axis=0)
    stats = stats.assign_coords(draw=draw).assign(e_bfmi=("chain", e_bfmi))
    return xr.DataTree.from_dict({"posterior": posterior, "sample_stats": stats})


def _random_start(points: np.ndarray) -> Callable[[int], np.ndarray]:
    """Starts chains at one of the points (point, size), by the chain's seed."""
    return lambda seed: points[np.random.default_rng(seed).integers(len(points))]


def _compiled(
    density: Density, preconditioner: Preconditioner, start: Callable[[int], np.ndarray]
) -> Any:
    """The density as the class that nutpie makes of PyMC models."""
    size = density.size
    return nutpie.compile_pymc.CompiledPyMCModel(
        dims={"theta": ("coordinate",)},
        reparameterized_names=None,
        compiled_logp_func=log_density_c,
        compiled_expand_func=copy_c,
        initial_point_func=start,
        shared_data={},
        shared_var_keys={},
        user_data=np.concatenate([density.packed, preconditioner.packed]),
        n_expanded=size,
        shape_info=(["theta"], None, [(size,)]),
        logp_func=None,
        expand_func=None,
        _n_dim=size,
        _shapes={"theta": (size,)},
        _coords={"coordinate": np.arange(size)},
    )
