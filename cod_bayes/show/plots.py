"""Figures of fits, forecasts and decisions. Every function returns the matplotlib figure.

A figure of a posterior that failed a convergence check says so at its foot. What can be pointed at
is marked with hover text, which `cod_bayes.show.hover.svg` keeps and other formats ignore.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cod_bayes.evidence.record import ladder_of
from cod_bayes.forecast.index import members, weighted_mean
from cod_bayes.forecast.outlook import LIKELY, Forecast
from cod_bayes.forecast.posterior import Fit
from cod_bayes.show import words
from cod_bayes.show.decisions import (
    compare_figure,
    monitor_figure,
    next_figure,
    plan_figure,
    reliability_figure,
)
from cod_bayes.show.hover import hover, hover_columns
from cod_bayes.show.numbers import (
    cluster_curves,
    cluster_rates,
    known,
    mapping_bands,
    placed_cells,
    prior_scores,
    shown_anchors,
)
from cod_bayes.show.style import (
    BANDS,
    BLACK,
    BLUE,
    DIFFICULTY,
    GREY,
    ORANGE,
    draw_bands,
    finish,
    literal,
    panels,
    say_failed,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from cod_bayes.evidence.record import Evidence

__all__ = [
    "clusters_figure",
    "compare_figure",
    "forecast_figure",
    "items_figure",
    "mapping_figure",
    "monitor_figure",
    "next_figure",
    "pit_figure",
    "plan_figure",
    "predictability_figure",
    "prior_predictive_figure",
    "reliability_figure",
]
_POINTS = 40  # of a curve


def forecast_figure(
    fit: Fit,
    outlook: Forecast,
    truth: pd.DataFrame | None = None,
    benchmarks: Sequence[str] | None = None,
) -> Figure:
    """Per benchmark and index: ladder points, the posterior curve with 50 / 90 % bands, the target.

    Args:
        truth: rows of benchmark, compute, score to show beside the forecast, where they are known.
        benchmarks: which, indexes of the forecast as well; None for all.
    """
    indexes = members(outlook.draws)
    names = [*fit.benchmarks, *indexes] if benchmarks is None else list(benchmarks)
    shares = {name: indexes.get(name) or {known(fit, name): 1.0} for name in names}
    figure, axes = panels(len(names))
    ladder = fit.idata["constant_data"].to_dataset()
    compute, targets = ladder["compute"].values, outlook.draws["compute"].values
    grid = np.geomspace(compute.min(), max(targets.max(), compute.max()), _POINTS)
    score_of = fit.draws(grid, benchmarks=list(dict.fromkeys(chain(*shares.values()))))["score"]
    for axis, name in zip(axes, names, strict=False):
        curve = weighted_mean(score_of, shares[name])
        _draw_curve(axis, grid, np.quantile(curve, BANDS, axis=(0, 1)))
        _draw_ladder(axis, fit, shares[name])
        score = outlook.draws["score"].sel(benchmark=name)
        q = np.quantile(score, BANDS, axis=(0, 1))
        low, middle, high = 100 * q[[0, 2, 4]]
        bars = axis.errorbar(
            targets,
            middle,
            [(middle - low).tolist(), (high - middle).tolist()],
            fmt="_",
            color=ORANGE,
            capsize=3,
            label="forecast, 90 %",
        )
        texts = [
            f"target of {words.flops(at)} FLOPs\n{words.quantiles(q[:, i])}"
            for i, at in enumerate(targets)
        ]
        bars.lines[0].set_zorder(6)  # markers and bars are above the columns of the curve
        bars.lines[2][0].set_zorder(6)
        hover(bars.lines[0], texts)
        hover(bars.lines[2][0], texts)
        if truth is not None:
            rows = truth[truth["benchmark"] == name]
            axis.plot(rows["compute"], 100 * rows["score"], "*", color=ORANGE, label="truth")
        axis.set(xscale="log", xlabel="compute (FLOPs)", ylabel="score (%)")
    finish(figure, axes, names, outlook.failed_checks)
    return figure


def clusters_figure(fit: Fit, benchmarks: Sequence[str] | None = None) -> Figure:
    """Per benchmark: each cluster's posterior median curve and its ladder points.

    Colour is difficulty, the posterior median of the log of the loss -log y at the largest ladder
    model, on one scale for all benchmarks of the fit. Clusters that are more likely unpredictable
    than predictable are dashed.

    Args:
        benchmarks: which; None for all.
    """
    names = _chosen(fit, benchmarks)
    figure, axes = panels(len(names))
    constant = fit.idata["constant_data"].to_dataset()
    compute, models = constant["compute"].values, constant["model"].values
    grid = np.geomspace(compute.min(), compute.max() * 10, _POINTS)
    curves = {name: cluster_curves(fit, name, grid) for name in fit.benchmarks}
    hard = np.concatenate([curve["difficulty"].values for curve in curves.values()])
    scale = Normalize(hard.min(), hard.max() + 1e-9)
    table = fit.summary()
    for axis, name in zip(axes, names, strict=False):
        curve, rates = curves[name], cluster_rates(fit, name).values
        middle = curve.median(("chain", "draw")).values
        for k, cluster in enumerate(curve["cluster"].values):
            row, colour = table.loc[str(cluster)], DIFFICULTY(scale(float(curve["difficulty"][k])))
            style = "-" if row["p_predictable"] >= LIKELY else "--"
            (line,) = axis.plot(grid, 100 * middle[k], style, color=colour, lw=1.4)
            hover(line, f"{cluster} ({row['kind']})\n{_share_and_chance(row)}")
            (dots,) = axis.plot(compute, 100 * rates[k], "o", color=colour, ms=3, zorder=3)
            rated = [(m, r) for m, r in zip(models, rates[k], strict=True) if np.isfinite(r)]
            hover(dots, [f"{cluster}, {m}: {words.percent(r)}" for m, r in rated])
        axis.axvline(compute.max(), color=GREY, lw=0.8, ls=":")
        axis.set(xscale="log", xlabel="compute (FLOPs)", ylabel="accuracy (%)", ylim=(-3, 103))
    axes[0].plot([], [], "-", color=GREY, label="predictable")
    axes[0].plot([], [], "--", color=GREY, label="not")
    figure.colorbar(
        ScalarMappable(scale, DIFFICULTY), ax=list(axes), label="log loss at the top model"
    )
    finish(figure, axes, names, fit.failed_checks)
    return figure


def items_figure(fit: Fit, evidence: Evidence, benchmark: str) -> Figure:
    """Heat map of pass rates, items by ladder models, the items sorted by their clusters.

    Clusters run from easy to hard, as do the items within each by their mean rate. A cell that
    was not measured is hatched.

    Args:
        fit: straight from `cod_bayes.fit`: a saved posterior does not keep the clusters.
        evidence: what was fitted.

    Raises:
        ValueError: a fit read from a file, other evidence, or an unknown benchmark.
    """
    known(fit, benchmark)
    if benchmark not in fit.clusters:
        raise ValueError(
            "expected a fit straight from cod_bayes.fit, got one without clusters: a saved "
            "posterior does not keep which item is in which cluster; fit the evidence again"
        )
    if evidence.digest != fit.idata.attrs["evidence_digest"]:
        raise ValueError(
            "expected the evidence that was fitted, got another one (its digest differs); "
            "read the same table with the same choices"
        )
    data, member = evidence.benchmarks[benchmark], fit.clusters[benchmark].membership
    ladder = ladder_of(data)
    rate = ladder["rate"].values
    label = member.argmax(axis=1)
    with np.errstate(invalid="ignore"):
        mean = np.array([row[np.isfinite(row)].mean() for row in rate])
    level = {k: np.nanmean(mean[label == k]) for k in set(label.tolist())}
    order = np.lexsort((-mean, [-level[k] for k in label]))
    figure = Figure(figsize=(1.6 + 0.55 * rate.shape[1], 6), layout="constrained")
    axis = figure.subplots()
    axis.patch.set(hatch="////", edgecolor=GREY)
    shown = axis.imshow(
        100 * rate[order], aspect="auto", cmap="cividis", vmin=0, vmax=100, interpolation="none"
    )
    edges = np.flatnonzero(np.diff(label[order])) + 1
    for edge in edges:
        axis.axhline(edge - 0.5, color="white", lw=1.2)
    starts, ends = np.r_[0, edges], np.r_[edges, len(order)]
    names = [f"{label[order[at]]}" for at in starts]
    axis.set_yticks((starts + ends - 1) / 2, names)
    axis.set_xticks(range(rate.shape[1]), [literal(str(m)[:24]) for m in ladder["model"].values])
    axis.tick_params(axis="x", rotation=60)
    axis.set(ylabel=f"cluster ({len(order):,} items)", title=literal(benchmark[:40]))
    figure.colorbar(shown, ax=axis, label="pass rate (%)")
    return figure


def predictability_figure(fit: Fit, benchmarks: Sequence[str] | None = None) -> Figure:
    """Per benchmark: P(predictable) of each cluster, as wide as its share of the items.

    The blue area is the predictable subset, in which a cluster counts with its probability; a
    benchmark of one cluster is its own subset.
    """
    names = _chosen(fit, benchmarks)
    figure, axes = panels(len(names), height=2.4)
    table = fit.summary()
    for axis, name in zip(axes, names, strict=False):
        rows = table[table["benchmark"] == name].sort_values("p_predictable", ascending=False)
        width, chance = rows["weight"].to_numpy(), rows["p_predictable"].to_numpy()
        start = np.cumsum(width) - width
        bars = {"align": "edge", "edgecolor": "white"}
        inside = axis.bar(100 * start, chance, 100 * width, color=BLUE, **bars)
        outside = axis.bar(
            100 * start, 1 - chance, 100 * width, chance, color=ORANGE, hatch="///", **bars
        )
        for patches in (inside, outside):
            for patch, (cluster, row) in zip(patches, rows.iterrows(), strict=True):
                hover(patch, f"{cluster}\n{_share_and_chance(row)}")
        axis.set(xlabel="share of items (%)", ylabel="P(predictable)", xlim=(0, 100), ylim=(0, 1))
    finish(figure, axes, names, fit.failed_checks)
    keys = [Patch(facecolor=BLUE, label="predictable subset")]
    keys += [Patch(facecolor=ORANGE, edgecolor="white", hatch="///", label="rest")]
    figure.legend(handles=keys, loc="outside upper center", ncols=2, fontsize="small")
    return figure


def mapping_figure(fit: Fit, benchmark: str) -> Figure:
    """From the predictable subset to the rest and to the whole, with 50 / 90 % bands and anchors.

    Raises:
        ValueError: as `mapping_bands`, so there is nothing to map.
    """
    bands = mapping_bands(fit, benchmark)
    if bands is None:
        raise ValueError(
            "expected a benchmark with a rest and a cluster that is likely predictable, got "
            f"{benchmark!r}; choose another benchmark"
        )
    anchors, w = shown_anchors(fit, benchmark), bands.attrs["share"]
    figure = Figure(figsize=(8.4, 4.1), layout="constrained")
    axes = figure.subplots(1, 2)
    whole = w * anchors["subset"] + (1 - w) * anchors["rest"]
    s, rest, full = bands["s"].values, bands["rest"].values, bands["full"].values
    texts = [
        f"subset {words.percent(at)}\nrest: {words.quantiles(rest[:, i])}\n"
        f"whole: {words.quantiles(full[:, i])}"
        for i, at in enumerate(s)
    ]
    of_anchors = [
        f"anchor {name}\nsubset {words.percent(r['subset'])}, rest {words.percent(r['rest'])}"
        for name, r in anchors.iterrows()
    ]
    for axis, q, at, what in (
        (axes[0], rest, anchors["rest"], f"rest ({100 * (1 - w):.0f} % of the items)"),
        (axes[1], full, whole, "whole benchmark"),
    ):
        axis.plot([0, 100], [0, 100], color=GREY, lw=0.8, ls=":")
        draw_bands(axis, 100 * s, 100 * q)
        hover_columns(axis, 100 * s, texts)
        (dots,) = axis.plot(
            100 * anchors["subset"], 100 * at, "D", color=ORANGE, ms=6, label="anchors", zorder=6
        )
        hover(dots, of_anchors)
        axis.set(xlabel=f"predictable subset ({100 * w:.0f} %), score (%)", ylabel=f"{what} (%)")
        axis.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
    axes[0].legend(fontsize="small")
    figure.suptitle(literal(benchmark[:60]))
    say_failed(figure, fit.failed_checks)
    return figure


def prior_predictive_figure(fit: Fit, benchmarks: Sequence[str] | None = None) -> Figure:
    """Per benchmark: curves that the prior alone allows, beside the ladder.

    Bands and 20 single draws of the benchmark's mean over clusters. The ladder informs only the
    place of the curves' reference, which is its largest model.

    Raises:
        ValueError: as `prior_scores`, so the model is not a named one.
    """
    names = _chosen(fit, benchmarks)
    figure, axes = panels(len(names))
    compute = fit.idata["constant_data"].to_dataset()["compute"].values
    grid = np.geomspace(compute.min(), compute.max() * 10, _POINTS)
    for axis, name in zip(axes, names, strict=False):
        mean = prior_scores(fit, name, grid)
        axis.plot(grid, 100 * mean[:20].T, color=GREY, lw=0.6)
        _draw_curve(axis, grid, np.quantile(mean, BANDS, axis=0))
        _draw_ladder(axis, fit, {name: 1.0})
        axis.set(xscale="log", xlabel="compute (FLOPs)", ylabel="score (%)", ylim=(-3, 103))
    finish(figure, axes, names, ())
    return figure


def pit_figure(fit: Fit) -> Figure:
    """Where the ladder's cells fall in their replicated distributions: a histogram of the PIT.

    Raises:
        ValueError: the posterior lacks the ladder's shocks.
    """
    cells = placed_cells(fit)
    if cells is None:
        raise ValueError(
            "expected a posterior with delta_benchmark and omega, got one without; "
            "keep them in the model"
        )
    figure, (axis,) = panels(1)
    count, _, bars = axis.hist(cells["pit"], bins=10, range=(0, 1), color=BLUE, edgecolor="white")
    for n, bar in zip(count, bars.patches, strict=True):  # type: ignore[union-attr]
        low, high = bar.get_x(), bar.get_x() + bar.get_width()
        hover(bar, f"PIT {low:.1f} – {high:.1f}: {n:.0f} of {len(cells)} cells")
    axis.axhline(len(cells) / 10, color=GREY, lw=0.8)
    axis.set(xlabel="PIT", ylabel="cells", title="Ladder cells in replicated ladders")
    say_failed(figure, fit.failed_checks)
    return figure


def _chosen(fit: Fit, benchmarks: Sequence[str] | None) -> list[str]:
    return [known(fit, name) for name in (fit.benchmarks if benchmarks is None else benchmarks)]


def _draw_curve(axis: Axes, compute: np.ndarray, q: np.ndarray) -> None:
    """Quantiles `BANDS` of a rate as bands, with their values to point at."""
    draw_bands(axis, compute, 100 * q)
    texts = [f"{words.flops(c)} FLOPs\n{words.quantiles(q[:, i])}" for i, c in enumerate(compute)]
    hover_columns(axis, compute, texts)


def _draw_ladder(axis: Axes, fit: Fit, shares: Mapping[str, float]) -> None:
    """The ladder's scores: of models with results on all benchmarks that have a share."""
    ladder = fit.idata["constant_data"].to_dataset()
    score, compute = weighted_mean(ladder["score"], shares).values, ladder["compute"].values
    (dots,) = axis.plot(compute, 100 * score, "o", color=BLACK, ms=4, label="ladder", zorder=6)
    cells = zip(ladder["model"].values, score, compute, strict=True)
    hover(
        dots,
        [f"{m}: {words.percent(s)}\n{words.flops(c)} FLOPs" for m, s, c in cells if s == s],
    )


def _share_and_chance(row: pd.Series) -> str:
    return f"{100 * row['weight']:.0f} % of the items\nP(predictable) {row['p_predictable']:.2f}"
