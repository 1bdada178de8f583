"""Rivals that other packages make; each is offered where its package is installed."""

import warnings

import numpy as np
import xarray as xr

from cod_bayes.evaluate.bootstrap import REFITS, Array
from cod_bayes.evaluate.series import NotApplicable, as_scores, checked, series

_SCORE, _COMPUTE = "test_metric__accuracy", "model_size__compute"


def simple_scaling_laws(
    dataset: xr.Dataset, compute: Array, rng: np.random.Generator, draws: int
) -> Array:
    """The law `separable-power` of simple-scaling-laws 0.2, its default, (draw, compute).

    logit y = E - A C^-alpha, with the package's wild bootstrap and the scatter of a new run. A
    forecast takes seconds.

    Raises:
        NotApplicable: the package is not installed, or fewer than three ladder models of distinct
            compute.
    """
    try:
        import polars as pl
        from simple_scaling_laws import fit
    except ImportError as error:
        raise NotApplicable(
            "expected the package simple-scaling-laws, which is not installed; install it with "
            "cod-bayes[rivals] or leave this rival out"
        ) from error
    compute, s = checked(compute, draws), series(dataset)
    names = [str(k) for k in range(len(s.score))]
    runs = pl.DataFrame({"training_run_id": names, _COMPUTE: s.compute, _SCORE: s.score})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the target is beyond the ladder
        model = fit(runs, n_draws=REFITS, seed=int(rng.integers(2**31)))
        # Each refit makes several draws, which differ in the scatter of a run.
        copies = -(-draws // REFITS)
        points = pl.DataFrame({_COMPUTE: np.tile(compute, copies)})
        at = model.fitting_predictors(model.prepare_points(points))
        drawn = model.target_draws(_SCORE, at, kind="new-run", rng=rng)
    return as_scores(drawn.reshape(-1, len(compute))[:draws])
