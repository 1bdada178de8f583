"""What every rival reads: the benchmark-mean series of a ladder, checked; and what it returns."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from cod_bayes.evaluate.bootstrap import Array
from cod_bayes.evidence.missing import rates_on_all
from cod_bayes.evidence.record import ladder_of

Rival = Callable[[xr.Dataset, Array, np.random.Generator, int], Array]


class NotApplicable(ValueError):
    """The dataset lacks what this rival needs (enough ladder models, a loss)."""


@dataclass(frozen=True)
class Series:
    """The data of the rivals: one row per ladder model, ascending compute."""

    compute: Array  # (model,) FLOPs
    score: Array  # (model,) mean rate over the items
    trials: float  # behind a score (`cod_bayes.evidence.trials`), the median; NaN unknown
    chance: float  # 0 if unknown
    loss: Array  # (model,) validation loss; NaN unknown

    def u(self, compute: Array) -> Array:
        """log(C / C_top), the variable of the curves."""
        return np.log(compute / self.compute[-1])

    def noise(self, p: Array) -> Array:
        """Variance p (1 - p) / N of an observed score; 0 if N is unknown.

        One pseudo-trial at 1/2 keeps a score of 0 of N from being certain.
        """
        if not np.isfinite(self.trials):
            return np.zeros_like(p)
        q = (np.clip(p, 0, 1) * self.trials + 0.5) / (self.trials + 1)
        return q * (1 - q) / self.trials


def series(dataset: xr.Dataset, models: int = 3) -> Series:
    """The benchmark-mean series of the ladder models.

    Means are over all items, as in `cod_bayes.evidence.missing` where a model lacks some.

    Raises:
        NotApplicable: fewer than `models` ladder models of distinct compute.
    """
    ladder = ladder_of(dataset).sortby("compute")
    rate = ladder["rate"].transpose("item", "model").values
    answered = np.isfinite(rate).any(axis=0)
    ladder, rate = ladder.isel(model=answered), rate[:, answered]

    compute = ladder["compute"].values.astype(float)
    if len(np.unique(compute)) < models:
        raise NotApplicable(
            f"expected at least {models} ladder models of distinct compute, "
            f"got {len(np.unique(compute))}; add models to the ladder"
        )
    used = np.isfinite(rate).any(axis=1)
    chance = dataset["chance"].values[used] if "chance" in dataset.coords else np.array(np.nan)
    n_trials = ladder["n_trials"].transpose("item", "model").values
    rates = rates_on_all(rate[used], n_trials[used], np.ones((int(used.sum()), 1)))
    return Series(
        compute=compute,
        score=rates.rate[0],
        trials=float(np.median(rates.trials[0])),
        chance=float(chance.mean()) if np.isfinite(chance).all() else 0.0,
        loss=ladder["loss"].values.astype(float)
        if "loss" in ladder.coords
        else np.full(len(compute), np.nan),
    )


def as_scores(draws: Array) -> Array:
    """Draws of an observed score, cut to [0, 1]."""
    return np.clip(draws, 0, 1)


def checked(compute: Array, draws: int) -> Array:
    compute = np.atleast_1d(np.asarray(compute, dtype=float))
    if compute.ndim != 1 or not (np.isfinite(compute) & (compute > 0)).all() or draws < 1:
        raise ValueError(
            "expected compute (compute,) in FLOPs, positive and finite, and at least one draw; "
            f"got {compute} and {draws} draws"
        )
    return compute
