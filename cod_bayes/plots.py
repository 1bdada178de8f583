"""Pictures of fits and forecasts. Every function returns the matplotlib figure."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cod_bayes.fitting import Fit, Forecast

_BLUE, _ORANGE, _BLACK = "#0072B2", "#D55E00", "#000000"  # Okabe-Ito: for colour-blind readers


def forecast_figure(fit: Fit, outlook: Forecast, truth: pd.DataFrame | None = None) -> Figure:
    """Per benchmark: ladder points, the posterior curve with 50 / 90 % bands, the target.

    truth: rows of benchmark, compute, score to show beside the forecast, where they are known.
    """
    names = fit.benchmarks
    columns = min(len(names), 4)
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.3 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    ladder = fit.idata["constant_data"].to_dataset()
    compute, targets = ladder["compute"].values, outlook.draws["compute"].values
    grid = np.geomspace(compute.min(), max(targets.max(), compute.max()), 40)
    curve = fit.draws(grid)["score"]
    for axis, name in zip(axes, names, strict=False):
        q = 100 * np.quantile(curve.sel(benchmark=name), [0.05, 0.25, 0.5, 0.75, 0.95], axis=(0, 1))
        axis.fill_between(grid, q[0], q[4], color=_BLUE, alpha=0.18, lw=0, label="90 %")
        axis.fill_between(grid, q[1], q[3], color=_BLUE, alpha=0.35, lw=0, label="50 %")
        axis.plot(grid, q[2], color=_BLUE, label="median")
        score = 100 * ladder["score"].sel(benchmark=name).values
        axis.plot(compute, score, "o", color=_BLACK, ms=4, label="ladder")
        at = outlook.draws["score"].sel(benchmark=name)
        low, middle, high = 100 * np.quantile(at, [0.05, 0.5, 0.95], axis=(0, 1))
        axis.errorbar(
            targets,
            middle,
            [middle - low, high - middle],
            fmt="_",
            color=_ORANGE,
            capsize=3,
            label="forecast, 90 %",
        )
        if truth is not None:
            known = truth[truth["benchmark"] == name]
            axis.plot(known["compute"], 100 * known["score"], "*", color=_ORANGE, label="truth")
        axis.set(xscale="log", xlabel="compute (FLOPs)", ylabel="score (%)", title=name[:40])
    for axis in axes[len(names) :]:
        axis.axis("off")
    axes[0].legend(fontsize="small")
    return figure
