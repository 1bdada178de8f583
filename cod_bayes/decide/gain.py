"""How much compute a recipe is worth: another data mix, architecture or optimiser, in compute of A.

With s_A(C) and s_B(C) the scores that two recipes reach at compute C, the gain of B over A is the
factor m by which A's compute must grow to reach the same,

    s_A(m C) = s_B(C)

in every pair of draws of the two posteriors, and m > 1 where B is better. Scores are those of
models without shocks of their own, because the luck of one run is no merit of a recipe; what no
curve follows is included. They are not measured scores. The two posteriors are independent; B's
draws are permuted, because fits of one seed use the same random numbers. On an index, s is the
weighted mean.

m is looked for within two decades on either side. Where a draw has no m there, it is counted at the
end of the range; a quantile at an end says only that it lies beyond.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from cod_bayes.decide.fits import as_fit, thinned
from cod_bayes.forecast.index import Index, add_indexes, members
from cod_bayes.forecast.posterior import Fit

DECADES = 2.0  # on either side
_PER_DECADE = 8
_MOST_DRAWS = 4000


@dataclass(frozen=True)
class Gain:
    """What recipe B is worth in compute of A; symbols as in the module.

    Attributes:
        table: one row per benchmark that both have, and per index: benchmark, q05, q50, q95 of m,
            p_better (probability that m > 1).
        draws: log10 m, (sample, benchmark).
        compute: C, FLOPs.
        failed_checks: of both fits.
    """

    table: pd.DataFrame
    draws: xr.DataArray
    compute: float
    failed_checks: tuple[str, ...]

    def summary(self) -> pd.DataFrame:
        """The table."""
        return self.table

    def to_dict(self) -> dict[str, object]:
        """All but the draws, ready for JSON."""
        return {
            "compute": self.compute,
            "gains": self.table.to_dict("records"),
            "failed_checks": list(self.failed_checks),
        }


def gain(
    a: Fit | str | Path,
    b: Fit | str | Path,
    compute: float,
    *,
    indexes: Sequence[Index] = (),
    random_seed: int = 0,
) -> Gain:
    """The compute of recipe A that one unit of compute of recipe B is worth.

    Args:
        a, b: fits of two ladders, or files of saved ones.
        compute: C, FLOPs of a model of recipe B.
        indexes: that get a row of their own.

    Raises:
        ValueError: a compute that is not positive and finite, no benchmark that both fits have, or
            an index that `Index.shares` refuses or of which the fits have different benchmarks.
    """
    if not 0 < compute < np.inf:
        raise ValueError(f"expected compute > 0 in FLOPs, got {compute}")
    fit_a, fit_b = (thinned(as_fit(fit), _MOST_DRAWS) for fit in (a, b))
    names = [name for name in fit_a.benchmarks if name in fit_b.benchmarks]
    if not names:
        raise ValueError(
            f"expected fits of the same benchmarks, got {fit_a.benchmarks} and {fit_b.benchmarks}"
        )
    x = np.linspace(-DECADES, DECADES, int(2 * DECADES * _PER_DECADE) + 1)
    reference, shares_a, rows = _scores(fit_a, compute * 10**x, names, indexes)
    reached, shares_b, _ = _scores(fit_b, np.array([compute]), names, indexes)
    if shares_a != shares_b:
        raise ValueError(
            f"expected fits with the same benchmarks in an index, got {shares_a} and {shares_b}; "
            "name benchmarks that both have"
        )
    size = min(len(reference), len(reached))
    order = np.random.default_rng([random_seed, 2]).permutation(len(reached))[:size]
    log_m = _crossing(x, reference[:size], reached[order][..., 0])
    low, middle, high = 10 ** np.quantile(log_m, [0.05, 0.5, 0.95], axis=0)
    table = pd.DataFrame(
        {"benchmark": rows, "q05": low, "q50": middle, "q95": high}
        | {"p_better": ((log_m > 0).mean(axis=0) + (log_m >= 0).mean(axis=0)) / 2}
    )
    draws = xr.DataArray(log_m, {"benchmark": rows}, ("sample", "benchmark"))
    failed = tuple(
        f"{name}: {check}"
        for name, fit in (("A", fit_a), ("B", fit_b))
        for check in fit.failed_checks
    )
    return Gain(table, draws, float(compute), failed)


def _scores(
    fit: Fit, compute: np.ndarray, names: Sequence[str], indexes: Sequence[Index]
) -> tuple[np.ndarray, dict[str, list[str]], list[str]]:
    """Scores (draw, row, compute), the benchmarks of each index, and the names of the rows."""
    drawn = fit.draws(compute, benchmarks=names, measured=False, model_seed=None)
    drawn = add_indexes(drawn, indexes)
    score = drawn["score"].transpose("chain", "draw", "benchmark", "compute")
    of = {name: sorted(share) for name, share in members(drawn).items()} if indexes else {}
    rows = [str(name) for name in drawn["benchmark"].values]
    return score.values.reshape(-1, *score.shape[2:]), of, rows


def _crossing(x: np.ndarray, reference: np.ndarray, reached: np.ndarray) -> np.ndarray:
    """Where the reference (draw, row, point), made to rise, is what was reached (draw, row)."""
    rising = np.maximum.accumulate(reference, axis=-1)
    right = np.clip((rising < reached[..., None]).sum(axis=-1), 1, len(x) - 1)[..., None]
    low, high = (np.take_along_axis(rising, at, axis=-1)[..., 0] for at in (right - 1, right))
    gap = high - low
    share = np.divide(reached - low, gap, out=(reached > low).astype(float), where=gap > 0)
    left = x[right[..., 0] - 1]
    return left + np.clip(share, 0, 1) * (x[1] - x[0])
