"""NUTS over the model's density.

The sampler is nutpie on `cod_bayes.sampling.density`: nothing is compiled but the density itself,
once per
installation.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import nutpie
import xarray as xr
from nutpie.compile_pymc import CompiledPyMCModel

from cod_bayes.model.ladder import LadderData
from cod_bayes.model.spec import Spec
from cod_bayes.model.variables import DIMS, PARAMETERS
from cod_bayes.sampling.checks import convergence, divergences, e_bfmi_of
from cod_bayes.sampling.density import Density
from cod_bayes.sampling.jumps import jump
from cod_bayes.sampling.kernels import copy_c, log_density_c
from cod_bayes.sampling.preconditioner import Preconditioner

_FIRST_RUN = (80, 250)  # tune and draws of every chain, for the preconditioner
_GUESSES = 2000  # draws of the Laplace approximation, for the first run's
_SPREAD = 0.3  # of the first run's starts, over the guesses': further out, chains go astray
_KEPT_DRAWS = 1000  # of every chain
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

    A Laplace approximation and a short run teach the preconditioner. Draws that fail a check teach
    it more and are added to, at most `attempts` runs in all. Chains that diverge are run again,
    with smaller steps, and kept only if there is nothing else. An interrupt ends the sampling with
    the runs so far, or with what the first of them has: the chains and draws that make most of it.

    Returns:
        Groups posterior and sample_stats, with dims chain, draw and those of `DIMS`; the failed
        checks of `cod_bayes.sampling.checks.convergence`, an interrupt first.

    Raises:
        KeyboardInterrupt: it came before there were draws to keep.
    """
    density = Density.of(spec, data)
    guesses = density.laplace(_GUESSES)
    found = Preconditioner.of(guesses, density.shared, density.first)
    start = _one_of(found.phi(density.mode + _SPREAD * (guesses - density.mode)))
    runs = [_FIRST_RUN, *[(tune, draws)] * attempts]
    steps = iter(_TARGET_ACCEPT)
    target_accept = next(steps)
    kept: list[tuple[np.ndarray, xr.Dataset]] = []
    again: tuple[np.ndarray, xr.Dataset] | None = None  # a run of which some chains diverged
    for i, (run_tune, run_draws) in enumerate(runs):
        learning = i == 0
        run_seed = int(np.random.SeedSequence([random_seed, i]).generate_state(1)[0])
        wanted = chains if again is None else int(_diverging(again[1]).sum())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the checks name what failed
            sampler = nutpie.sample(
                _compiled(density, found, start),
                draws=run_draws,
                tune=run_tune,
                chains=wanted,
                cores=wanted,
                seed=run_seed,
                target_accept=target_accept,
                # Gradients would set the scale by a cluster's stiffest region, where it is seldom.
                adaptation="draw_diag",
                progress_bar=progressbar,
                save_warmup=False,
                blocking=False,
            )
        try:
            raw = sampler.wait()
        except KeyboardInterrupt:
            if not kept and again is not None:
                kept = [again]
            if not kept and not learning:
                kept = [_even(found, sampler)]
            if not kept:
                raise
            return _interrupted(density, data, kept)
        theta = found.theta(raw["posterior"]["theta"].values)
        if learning:
            target_accept = next(steps)
        else:
            stats = raw["sample_stats"].to_dataset()
            if again is not None:
                theta, stats = _with_chains(again, theta, stats)
            again = None
            if divergences(stats) and i + 1 < len(runs):
                again = theta, stats
                target_accept = next(steps, target_accept)
            elif not (divergences(stats) and kept):
                kept.append((theta, stats))
                try:
                    kept[-1] = jump(spec, data, density, found, theta, run_seed), stats
                    idata = _named(density, data, kept)
                    failed = convergence(idata)
                except KeyboardInterrupt:
                    return _interrupted(density, data, kept)
                if not failed:
                    break
        # Of each chain around its own mean: chains in different modes are no covariance.
        around = (theta - theta.mean(axis=1, keepdims=True)).reshape(-1, density.size)
        found = Preconditioner.of(around, density.shared, density.first)
        start = _one_of(found.phi(theta.reshape(-1, density.size)))
    return idata, failed, False


def _interrupted(
    density: Density, data: LadderData, kept: list[tuple[np.ndarray, xr.Dataset]]
) -> tuple[xr.DataTree, list[str], bool]:
    """What `sample` returns of the runs until then."""
    idata = _named(density, data, kept)
    got = sum(theta.shape[1] for theta, _ in kept)
    said = f"interrupted at {got} draws by each of {len(kept[0][0])} chains"
    return idata, [said, *convergence(idata)], True


def _diverging(stats: xr.Dataset) -> np.ndarray:
    """Which chains diverged. (chain,)"""
    return stats["diverging"].any("draw").values


def _with_chains(
    old: tuple[np.ndarray, xr.Dataset], theta: np.ndarray, stats: xr.Dataset
) -> tuple[np.ndarray, xr.Dataset]:
    """A run with others in the place of its diverging chains."""
    bad = _diverging(old[1])
    whole = old[0].copy()
    whole[bad] = theta
    joined = xr.concat([old[1].isel(chain=~bad), stats], "chain")
    place = np.argsort(np.concatenate([np.flatnonzero(~bad), np.flatnonzero(bad)]))
    return whole, joined.isel(chain=place).assign_coords(chain=np.arange(len(bad)))


def _even(found: Preconditioner, sampler: Any) -> tuple[np.ndarray, xr.Dataset]:
    """Ends a run before its time: as many chains, cut to one length, as make most draws.

    Raises:
        KeyboardInterrupt: too few of them.
    """
    try:
        raw = sampler.abort()
        phi, stats = raw["posterior"]["theta"].values, raw["sample_stats"].to_dataset()
    except Exception:  # the library has no word for a run without draws
        raise KeyboardInterrupt from None
    lengths = np.isfinite(phi[..., 0]).sum(axis=1)
    chains = np.argsort(-lengths, kind="stable")
    count = np.argmax(lengths[chains] * np.arange(1, len(chains) + 1)) + 1
    chains, length = np.sort(chains[:count]), lengths[chains[count - 1]]
    if length < _FEWEST_DRAWS:
        raise KeyboardInterrupt
    stats = stats.isel(chain=chains, draw=slice(0, length)).assign_coords(chain=np.arange(count))
    return found.theta(phi[chains, :length]), stats


def _named(
    density: Density, data: LadderData, runs: list[tuple[np.ndarray, xr.Dataset]]
) -> xr.DataTree:
    """The draws of several runs one after the other, chain by chain, and no more of them than a
    posterior needs: the slow parameters, for which there are several runs, do not miss the rest."""
    every = max(sum(run.shape[1] for run, _ in runs) // _KEPT_DRAWS, 1)
    theta = np.concatenate([run for run, _ in runs], axis=1)[:, ::every]
    chain, draw = (np.arange(size) for size in theta.shape[:2])
    values = density.constrain(theta)
    posterior = xr.Dataset(
        {name: (("chain", "draw", *DIMS.get(name, ())), values[name]) for name in PARAMETERS},
        {"chain": chain, "draw": draw, **data.coords},
    )
    stats = xr.concat([stats for _, stats in runs], "draw").isel(draw=slice(None, None, every))
    # Of neighbouring draws, so before any is left out.
    e_bfmi = np.min([e_bfmi_of(stats) for _, stats in runs], axis=0)
    stats = stats.assign_coords(draw=draw).assign(e_bfmi=("chain", e_bfmi))
    return xr.DataTree.from_dict({"posterior": posterior, "sample_stats": stats})


def _one_of(points: np.ndarray) -> Callable[[int], np.ndarray]:
    """Starts chains at one of the points (point, size), by the chain's seed."""
    return lambda seed: points[np.random.default_rng(seed).integers(len(points))]


def _compiled(
    density: Density, preconditioner: Preconditioner, start: Callable[[int], np.ndarray]
) -> CompiledPyMCModel:
    """By hand, the class that nutpie compiles PyMC models to: the density is there already."""
    size = density.size
    return CompiledPyMCModel(
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
