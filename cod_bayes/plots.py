"""Pictures of fits and forecasts. Every function returns the matplotlib figure."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from cod_bayes.fit import Fit, Forecast

_BLUE, _ORANGE = "#0072B2", "#D55E00"  # Okabe-Ito: told apart by colour-blind readers


def forecast_figure(fit: Fit, outlook: Forecast) -> Figure:
    """Per benchmark: ladder points, the posterior curve with 50 / 90 % bands, the target."""
    names = fit.data.benchmark
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(4.5 * columns, 3.4 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    targets = outlook.draws["compute"].values
    grid = np.logspace(fit.data.x.min(), max(np.log10(targets.max()), fit.data.x.max()), 40)
    curve = fit.forecast(grid).draws["score"]
    for axis, name in zip(axes, names, strict=False):
        q = np.quantile(curve.sel(benchmark=name), [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
        axis.fill_between(grid, q[0], q[4], color=_BLUE, alpha=0.18, lw=0, label="90 %")
        axis.fill_between(grid, q[1], q[3], color=_BLUE, alpha=0.35, lw=0, label="50 %")
        axis.plot(grid, q[2], color=_BLUE, label="median")
        benchmark = fit.evidence.benchmarks[name]
        mean = benchmark["rate"].mean("item")
        for role, mark in {"ladder": "o", "target": "*", "anchor": "D"}.items():
            at = benchmark["role"].values == role
            if at.any() and np.isfinite(benchmark["compute"].values[at]).all():
                colour = "black" if role == "ladder" else _ORANGE
                axis.plot(
                    benchmark["compute"].values[at], mean.values[at], mark, color=colour, label=role
                )
        score = np.quantile(outlook.draws["score"].sel(benchmark=name), [0.05, 0.5, 0.95], axis=0)
        axis.errorbar(
            targets,
            score[1],
            [score[1] - score[0], score[2] - score[1]],
            fmt="_",
            color=_ORANGE,
            capsize=3,
            label="forecast, 90 %",
        )
        axis.set(xscale="log", xlabel="compute (FLOPs)", ylabel="score", title=name)
    for axis in axes[len(names) :]:
        axis.axis("off")
    axes[0].legend(fontsize="small")
    return figure
