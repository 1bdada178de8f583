"""A forecast: draws of every benchmark's score at target computes, and the verdict on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}
FORECASTABLE_WIDTH = 0.10  # of the 90 % interval, in accuracy
HOPELESS_WIDTH = 0.40
LIKELY = 0.5  # P(predictable) of a cluster that is called predictable


@dataclass(frozen=True)
class Forecast:
    """Posterior draws at target computes. Draw i of every benchmark is of the same target model.

    Attributes:
        draws: `score` and `subset_score` (chain, draw, benchmark, compute), in [0, 1];
            `predictable_share`, the items' mean P(predictable), and `p_predictable`, the largest
            P(predictable) of a cluster, both (benchmark,).
        failed_checks: of the fit behind it.
    """

    draws: xr.Dataset
    failed_checks: tuple[str, ...]

    def probability(self, benchmark: str, at_least: float) -> xr.DataArray:
        """P(score >= at_least) at each compute."""
        return (self.draws["score"].sel(benchmark=benchmark) >= at_least).mean(("chain", "draw"))

    def summary(self) -> pd.DataFrame:
        """benchmark, compute, mean, sd, q05 .. q95, predictable_share, verdict."""
        rows = []
        for name in self.draws["benchmark"].values:
            share = float(self.draws["predictable_share"].sel(benchmark=name))
            likeliest = float(self.draws["p_predictable"].sel(benchmark=name))
            for compute in self.draws["compute"].values:
                score = self.draws["score"].sel(benchmark=name, compute=compute).values
                row: dict[str, object] = {"benchmark": str(name), "compute": float(compute)}
                row |= {"mean": score.mean(), "sd": score.std()}
                row |= {key: np.quantile(score, q) for key, q in QUANTILES.items()}
                verdict = self._verdict(np.ptp(np.quantile(score, [0.05, 0.95])), likeliest)
                rows.append(row | {"predictable_share": share, "verdict": verdict})
        return pd.DataFrame(rows)

    def _verdict(self, width: float, likeliest: float) -> str:
        """By the width of the 90 % interval and the likeliest cluster; failed checks are named."""
        if likeliest < LIKELY or width > HOPELESS_WIDTH:
            verdict = "not forecastable"
        else:
            verdict = "forecastable" if width <= FORECASTABLE_WIDTH else "wide"
        if self.failed_checks:
            verdict += f" (unconverged: {', '.join(self.failed_checks)})"
        return verdict
