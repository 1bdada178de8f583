"""A forecast: draws of every benchmark's score at target computes, and the verdict on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr

from cod_bayes.forecast.index import Index, add_indexes, indexes_of, with_record

QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}
FORECASTABLE_WIDTH = 0.10  # of the 90 % interval, in accuracy
FORECASTABLE_MODELS = 5  # of the ladder: fewer do not show whether their recipe differs by size
HOPELESS_WIDTH = 0.40
LIKELY = 0.5  # P(predictable) of a cluster that is called predictable


@dataclass(frozen=True)
class Forecast:
    """Posterior draws at target computes.

    Draw i of every benchmark is of the same target model, and so are its computes. Whatever is
    computed draw by draw, a mean, a difference, a goal on several benchmarks, is therefore a
    quantity of one model, with its own distribution. The noise of an evaluation is independent
    between benchmarks. A draw at one compute does not depend on the other computes.

    Attributes:
        draws: `score` and `subset_score` (chain, draw, benchmark, compute), in [0, 1];
            `predictable_share`, the items' mean P(predictable), `p_predictable`, the largest
            P(predictable) of a cluster, `items`, the number of items, and `ladder_models`, the
            number of ladder models with a result, all (benchmark,);
            `target` (chain, draw), the number of the target model, see `join`.
        failed_checks: of the fit behind it.
    """

    draws: xr.Dataset
    failed_checks: tuple[str, ...]

    @property
    def indexes(self) -> tuple[Index, ...]:
        """Those among the benchmarks of `draws` that are indexes."""
        return indexes_of(self.draws)

    def index(
        self,
        name: str,
        weights: str | Mapping[str, float] = "equal",
        benchmarks: str | Sequence[str] = "*",
    ) -> Forecast:
        """This forecast with an index as one more benchmark, which has this name.

        Its verdict follows from its own 90 % interval and from its `p_predictable` and
        `ladder_models`, the weighted means over its benchmarks: an index is "not forecastable"
        where most of its weight is on benchmarks that are not.

        Args:
            weights, benchmarks: as of `cod_bayes.forecast.index.Index`.

        Raises:
            ValueError: as `Index.shares`.
        """
        return self.with_indexes([Index(name, benchmarks, weights)])

    def with_indexes(self, indexes: Sequence[Index]) -> Forecast:
        """This forecast with these indexes, each as one more benchmark."""
        return replace(self, draws=add_indexes(self.draws, indexes))

    def of_benchmarks(self) -> Forecast:
        """This forecast without its indexes."""
        apart = [index.name for index in self.indexes]
        draws = self.draws.drop_sel(benchmark=apart)
        return replace(self, draws=with_record(draws, []))

    def probability(self, benchmark: str, at_least: float) -> xr.DataArray:
        """P(score >= at_least) at each compute."""
        return (self.draws["score"].sel(benchmark=benchmark) >= at_least).mean(("chain", "draw"))

    def summary(self) -> pd.DataFrame:
        """benchmark, compute, mean, sd, q05 .. q95, predictable_share, verdict."""
        rows = []
        for name in self.draws["benchmark"].values:
            share = float(self.draws["predictable_share"].sel(benchmark=name))
            known = self.draws[["p_predictable", "ladder_models"]].sel(benchmark=name)
            for compute in self.draws["compute"].values:
                score = self.draws["score"].sel(benchmark=name, compute=compute).values
                row: dict[str, object] = {"benchmark": str(name), "compute": float(compute)}
                row |= {"mean": score.mean(), "sd": score.std()}
                row |= {key: np.quantile(score, q) for key, q in QUANTILES.items()}
                width = np.ptp(np.quantile(score, [0.05, 0.95]))
                verdict = self._verdict(width, *(v.item() for v in known.data_vars.values()))
                rows.append(row | {"predictable_share": share, "verdict": verdict})
        return pd.DataFrame(rows)

    def _verdict(self, width: float, likeliest: float, ladder_models: float) -> str:
        """By the width of the 90 % interval, P(predictable) of the likeliest cluster and the number
        of ladder models; failed checks are named."""
        if likeliest < LIKELY or width > HOPELESS_WIDTH:
            verdict = "not forecastable"
        elif width <= FORECASTABLE_WIDTH and ladder_models >= FORECASTABLE_MODELS:
            verdict = "forecastable"
        else:
            verdict = "wide"
        if self.failed_checks:
            verdict += f" (unconverged: {', '.join(self.failed_checks)})"
        return verdict


def join(forecasts: Sequence[Forecast]) -> Forecast:
    """One forecast of all benchmarks of ladders that were fitted apart.

    Draws are put together by the number of their target model. The shock that a target has on all
    benchmarks comes from this number and the seed, so it is the same in all of them; what the fits
    have learnt is independent. Of fits with different numbers of draws, the fewest are kept.

    Args:
        forecasts: at the same computes, of fits with the same `random_seed` and of different
            benchmarks.

    Raises:
        ValueError: none, or forecasts that differ in computes or seeds, or share a benchmark.
    """
    if not forecasts:
        raise ValueError("expected at least one forecast to join, got none")
    first = min((f.draws for f in forecasts), key=lambda draws: draws["target"].size)
    for draws in (f.draws for f in forecasts):
        computes, seed = draws["compute"].values, draws.attrs["random_seed"]
        if not np.array_equal(computes, first["compute"].values):
            raise ValueError(
                "expected forecasts at the same computes, got "
                f"{first['compute'].values.tolist()} and {computes.tolist()}"
            )
        if seed != first.attrs["random_seed"]:
            raise ValueError(
                "expected forecasts of fits with the same random_seed, got "
                f"{first.attrs['random_seed']} and {seed}; fit again with one seed"
            )
    names = [str(name) for f in forecasts for name in f.draws["benchmark"].values]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"expected forecasts of different benchmarks, got {twice} more than once; rename them"
        )
    shape, at = (first.sizes["chain"], first.sizes["draw"]), first["target"].values.ravel()
    parts = []
    for draws in (f.draws.transpose("chain", "draw", ...) for f in forecasts):
        order = np.argsort(draws["target"].values.ravel())[at]  # the draw of each target of `first`
        parts.append(
            xr.Dataset(
                {
                    name: (
                        v.dims,
                        v.values.reshape(-1, *v.shape[2:])[order].reshape(shape + v.shape[2:]),
                    )
                    if "draw" in v.dims
                    else v
                    for name, v in draws.drop_vars("target").items()
                },
                {"benchmark": draws["benchmark"], "compute": draws["compute"]},
            )
        )
    joined = xr.concat(parts, "benchmark", join="exact")
    joined = joined.assign_coords({dim: first[dim] for dim in ("chain", "draw")})
    joined = with_record(
        joined.assign(target=first["target"]).assign_attrs(first.attrs),
        [index for f in forecasts for index in f.indexes],
    )
    checks = dict.fromkeys(check for f in forecasts for check in f.failed_checks)
    return Forecast(joined, tuple(checks))
