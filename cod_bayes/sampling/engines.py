"""The engines that sample a model: one entry for all of them.

    fast   the shipped model's own density, compiled once per installation (`density`, `nuts`)
    pymc   any PyMC model, by nutpie on PyTensor's Numba backend, compiled in every process
    jax    any PyMC model, by nutpie on JAX, compiled once per shape of model and installation

`fast` samples the coordinates of `cod_bayes.sampling.coordinates`, integrates shocks out and draws
them afterwards. `pymc` and `jax` sample the model as it is stated.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from cod_bayes.model.ladder import LadderData
from cod_bayes.model.spec import POSITIVE, Spec
from cod_bayes.model.variables import CURVE, DIMS, PARAMETERS, SHOCKS
from cod_bayes.sampling.checks import convergence, e_bfmi_of

if TYPE_CHECKING:
    import pymc as pm

ENGINES = ("fast", "pymc", "jax")
_LEAST = (600, 1000)  # tune and draws of each chain, where a model is sampled as it is stated
_TARGET_ACCEPT = (0.9, 0.97)  # of the first run, and of the second where it fails a check
_FEWEST_DRAWS = 20  # of each chain, for an interrupted run to be kept


class ModelError(ValueError):
    """A model that an engine cannot sample, or from which no forecast can be made."""


def check_engine(engine: str, spec: Spec, built: bool) -> None:
    """Refuse an engine that does not exist, and a model that the fast one does not know.

    built: whether the user's own function builds the model.

    Raises:
        ModelError: naming the engine, the model and what to do.
    """
    if engine not in ENGINES:
        raise ModelError(f"expected an engine of {list(ENGINES)}, got {engine!r}")
    if engine == "jax":
        try:
            import jax  # noqa: F401
        except ImportError:
            raise ModelError(
                "the engine 'jax' needs JAX, which is not installed; install cod-bayes[jax], or "
                "use engine='pymc'"
            ) from None
    if engine != "fast":
        return
    if built:
        raise ModelError(
            "the engine 'fast' samples shipped models only, and this model is built by a function; "
            "use engine='pymc' or engine='jax'"
        )
    for name, prior in spec.priors.items():
        if prior.family not in ("normal", POSITIVE[0]):
            raise ModelError(
                f"the engine 'fast' samples normal and lognormal priors only, and the model "
                f"{spec.name!r} has a {prior.family} prior for {name}; use engine='pymc' or 'jax'"
            )


def sample_fast(
    spec: Spec, ladder: LadderData, *, random_seed: int, **options: Any
) -> tuple[xr.DataTree, list[str], bool]:
    """Draws of the shipped model; see `cod_bayes.sampling.nuts.sample`.

    Returns:
        Groups posterior (all variables of the statement) and sample_stats; the failed checks; and
        whether the sampling was interrupted.
    """
    from cod_bayes.sampling.nuts import sample
    from cod_bayes.sampling.shocks import complete

    tree, failed, interrupted = sample(spec, ladder, random_seed=random_seed, **options)
    posterior = tree["posterior"].to_dataset()
    draws = {
        name: posterior[name].transpose("chain", "draw", *DIMS.get(name, ())).values
        for name in PARAMETERS
    }
    rng = np.random.default_rng([random_seed, 8])
    every = complete(ladder, draws, rng)
    new = {
        name: (("chain", "draw", *DIMS.get(name, ())), value)
        for name, value in every.items()
        if name not in posterior
    }
    tree["posterior"] = xr.DataTree(posterior.assign(new))
    return tree, failed, interrupted


def sample_stated(
    model: pm.Model,
    engine: str,
    *,
    random_seed: int,
    draws: int,
    tune: int,
    chains: int,
    progressbar: bool,
) -> tuple[xr.DataTree, list[str], bool]:
    """Draws of any PyMC model, by nutpie. Returns as `sample_fast`.

    A run has at least 600 warm-up steps and 1000 draws in each chain. One that fails a check is
    replaced by a second one, of twice the draws and smaller steps.

    Raises:
        KeyboardInterrupt: an interrupt before there were draws to keep.
    """
    import nutpie

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compilers' own
        compiled = _compiled(model, engine)
    tune, draws = max(tune, _LEAST[0]), max(draws, _LEAST[1])
    free = [variable.name for variable in model.free_RVs]
    for attempt, target_accept in enumerate(_TARGET_ACCEPT):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the checks name what failed
            sampler = nutpie.sample(
                compiled,
                draws=draws * (attempt + 1),
                tune=tune * (attempt + 1),
                chains=chains,
                seed=int(np.random.SeedSequence([random_seed, attempt]).generate_state(1)[0]),
                target_accept=target_accept,
                progress_bar=progressbar,
                save_warmup=False,
                blocking=False,
            )
            try:
                raw = sampler.wait()
            except KeyboardInterrupt:
                tree = _until(sampler, free[0])
                got = tree["posterior"].sizes["draw"]
                said = f"interrupted at {got} draws by each of {chains} chains"
                return tree, [said, *convergence(tree, free)], True
        tree = _tree(raw)
        failed = convergence(tree, free)
        if not failed:
            break
    return tree, failed, False


def require_forecastable(model: pm.Model) -> None:
    """Refuse a model from whose posterior no target can be forecast.

    Raises:
        ModelError: naming the variables that it lacks.
    """
    have = set(model.named_vars)
    curves = "accuracy" in have or {*CURVE, "nu"} <= have
    missing = [name for name in SHOCKS if name not in have]
    if not curves:
        missing.append("accuracy (cluster, ahead)")
    if missing:
        raise ModelError(
            f"expected a model with the variables {[*SHOCKS]} and with `accuracy` (cluster, ahead) "
            f"or {[*CURVE, 'nu']}; it lacks {missing}; build it with cod_bayes.build_model, or add "
            "them as pm.Deterministic"
        )


def _compiled(model: pm.Model, engine: str) -> Any:
    import nutpie

    if engine == "pymc":
        return nutpie.compile_pymc_model(model)
    import jax

    if not jax.config.jax_compilation_cache_dir:
        folder = Path.home() / ".cache" / "cod_bayes" / "jax"
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    return nutpie.compile_pymc_model(model, backend="jax", gradient_backend="jax")


def _tree(raw: xr.DataTree) -> xr.DataTree:
    stats = raw["sample_stats"].to_dataset()
    stats = stats.assign(e_bfmi=("chain", e_bfmi_of(stats)))
    return xr.DataTree.from_dict(
        {"posterior": raw["posterior"].to_dataset(), "sample_stats": stats}
    )


def _until(sampler: Any, name: str) -> xr.DataTree:
    """What an interrupted run has, cut to the shortest chain.

    Raises:
        KeyboardInterrupt: too few draws.
    """
    try:
        raw = sampler.abort()
        first = raw["posterior"].to_dataset()[name]
    except Exception:  # the library has no word for a run without draws
        raise KeyboardInterrupt from None
    finite = np.isfinite(first.transpose("chain", "draw", ...).values)
    length = int(finite.reshape(*finite.shape[:2], -1).all(axis=2).sum(axis=1).min())
    if length < _FEWEST_DRAWS:
        raise KeyboardInterrupt
    return _tree(
        xr.DataTree.from_dict(
            {
                group: raw[group].to_dataset().isel(draw=slice(0, length))
                for group in ("posterior", "sample_stats")
            }
        )
    )
