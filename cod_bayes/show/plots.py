"""Pictures of fits and forecasts. Every function returns the matplotlib figure.

Colours are Okabe and Ito's for categories, viridis for difficulty: both survive colour blindness
and a grey printer. A picture of a posterior that failed a convergence check says so at its foot.
The numbers behind the pictures come from `cluster_curves`, `cluster_rates` and `mapping_bands`,
which the report draws from too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cod_bayes.evidence.record import ladder_of
from cod_bayes.forecast.outlook import LIKELY, Forecast
from cod_bayes.forecast.posterior import Fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from cod_bayes.evidence.record import Evidence

_BLUE, _ORANGE, _BLACK = "#0072B2", "#D55E00", "#000000"  # Okabe-Ito: for colour-blind readers
_GREY = "#999999"
# Without its lightest part, which paper does not show.
_DIFFICULTY = ListedColormap(colormaps["viridis"](np.linspace(0, 0.85, 256)))
_BANDS = (0.05, 0.25, 0.5, 0.75, 0.95)


# --- numbers behind the pictures -----------------------------------------------------------------


def cluster_curves(fit: Fit, benchmark: str, compute: np.ndarray) -> xr.DataArray:
    """Accuracy y_k of one benchmark's clusters, without shocks or noise, in [0, 1].

    Args:
        compute: FLOPs, (compute,).

    Returns:
        (chain, draw, cluster, compute); `difficulty` (cluster,) is the log of the loss
        -log y at the benchmark's largest ladder model, its median over draws.
    """
    constant, posterior = (fit.idata[n].to_dataset() for n in ("constant_data", "posterior"))
    inside = constant["benchmark_of_cluster"].values == _known(fit, benchmark)
    curves, clusters = fit.curves(benchmark), posterior["cluster"].values[inside]
    away = np.log10(compute) - float(constant["x_ref"].sel(benchmark=benchmark))
    y = np.stack([curves.at(k, away) for k in range(len(clusters))], axis=1)
    chains = posterior.sizes["chain"], posterior.sizes["draw"]
    loss = [-np.log(np.maximum(curves.at(k, np.zeros(1)), 1e-300)) for k in range(len(clusters))]
    return xr.DataArray(
        y.reshape(*chains, *y.shape[1:]),
        {
            **{dim: posterior[dim] for dim in ("chain", "draw")},
            "cluster": clusters,
            "compute": compute,
            "difficulty": ("cluster", [float(np.log(np.median(values))) for values in loss]),
        },
        ("chain", "draw", "cluster", "compute"),
    )


def cluster_rates(fit: Fit, benchmark: str) -> xr.DataArray:
    """Pass rates that the curves were fitted to, NaN where nothing was measured: (cluster, model).

    `compute` (model,) is in FLOPs.
    """
    constant = fit.idata["constant_data"].to_dataset()
    rate = np.full(constant["noise"].shape, np.nan)
    rate[np.isfinite(constant["noise"].values)] = (
        np.sin(fit.idata["observed_data"].to_dataset()["z"].values) ** 2
    )
    table = constant["noise"].copy(data=rate).assign_coords(compute=constant["compute"])
    ours = constant["benchmark_of_cluster"].values == _known(fit, benchmark)
    return table.isel(cluster=np.flatnonzero(ours))


def mapping_bands(fit: Fit, benchmark: str, points: int = 51) -> xr.Dataset | None:
    """The latent mapping of one benchmark; None without a rest, or without a cluster that is likely
    predictable.

    Returns:
        `rest`, r(s), and `full`, w s + (1 - w) r(s): (quantile, s), quantiles 5 to 95 % over draws;
        the share w as `.attrs["share"]`.
    """
    mapping = fit.mapping(_known(fit, benchmark))
    if mapping is None:
        return None
    s = np.linspace(0, 1, points)
    rest = np.quantile(mapping.rest(np.tile(s, (len(mapping.s), 1))), _BANDS, axis=0)
    full = mapping.share * s + (1 - mapping.share) * rest
    dims, coords = ("quantile", "s"), {"quantile": list(_BANDS), "s": s}
    return xr.Dataset(
        {"rest": (dims, rest), "full": (dims, full)}, coords, {"share": mapping.share}
    )


def shown_anchors(fit: Fit, benchmark: str) -> pd.DataFrame:
    """Anchors that answered one benchmark: subset and rest (accuracies), by the anchor's name."""
    anchors = fit.idata["anchors"].to_dataset().sel(benchmark=_known(fit, benchmark))
    table = pd.DataFrame(
        {name: anchors[name].values for name in ("subset", "rest")},
        index=pd.Index(anchors["anchor"].values.astype(str), name="anchor"),
    )
    return table.dropna()


def _known(fit: Fit, benchmark: str) -> str:
    if benchmark not in fit.benchmarks:
        raise ValueError(
            f"expected a benchmark of the fit, {fit.benchmarks}, got {benchmark!r}; "
            "correct the name"
        )
    return benchmark


# --- pictures ------------------------------------------------------------------------------------


def forecast_figure(fit: Fit, outlook: Forecast, truth: pd.DataFrame | None = None) -> Figure:
    """Per benchmark: ladder points, the posterior curve with 50 / 90 % bands, the target.

    truth: rows of benchmark, compute, score to show beside the forecast, where they are known.
    """
    names = fit.benchmarks
    figure, axes = _panels(len(names))
    ladder = fit.idata["constant_data"].to_dataset()
    compute, targets = ladder["compute"].values, outlook.draws["compute"].values
    grid = np.geomspace(compute.min(), max(targets.max(), compute.max()), 40)
    curve = fit.draws(grid)["score"]
    for axis, name in zip(axes, names, strict=False):
        q = 100 * np.quantile(curve.sel(benchmark=name), _BANDS, axis=(0, 1))
        _draw_bands(axis, grid, q)
        score = 100 * ladder["score"].sel(benchmark=name).values
        axis.plot(compute, score, "o", color=_BLACK, ms=4, label="ladder")
        at = outlook.draws["score"].sel(benchmark=name)
        low, middle, high = 100 * np.quantile(at, [0.05, 0.5, 0.95], axis=(0, 1))
        axis.errorbar(
            targets,
            middle,
            [(middle - low).tolist(), (high - middle).tolist()],
            fmt="_",
            color=_ORANGE,
            capsize=3,
            label="forecast, 90 %",
        )
        if truth is not None:
            known = truth[truth["benchmark"] == name]
            axis.plot(known["compute"], 100 * known["score"], "*", color=_ORANGE, label="truth")
        axis.set(xscale="log", xlabel="compute (FLOPs)", ylabel="score (%)")
    _finish(figure, axes, names, outlook.failed_checks)
    return figure


def clusters_figure(fit: Fit, benchmarks: Sequence[str] | None = None) -> Figure:
    """Per benchmark: each cluster's posterior median curve and its ladder points.

    Colour is difficulty, the posterior median of log answer loss at the largest ladder model.
    Clusters that are more likely unpredictable than not are dashed.

    Args:
        benchmarks: which; None for all.
    """
    names = _chosen(fit, benchmarks)
    figure, axes = _panels(len(names))
    compute = fit.idata["constant_data"].to_dataset()["compute"].values
    grid = np.geomspace(compute.min(), compute.max() * 10, 40)
    curves = [cluster_curves(fit, name, grid) for name in names]
    hard = np.concatenate([curve["difficulty"].values for curve in curves])
    scale = Normalize(hard.min(), hard.max() + 1e-9)
    predictable = fit.predictable
    for axis, name, curve in zip(axes, names, curves, strict=False):
        rates, middle = cluster_rates(fit, name), curve.median(("chain", "draw"))
        for k, cluster in enumerate(curve["cluster"].values):
            colour = _DIFFICULTY(scale(float(curve["difficulty"][k])))
            style = "-" if float(predictable.sel(cluster=cluster)) >= LIKELY else "--"
            axis.plot(grid, 100 * middle[k], style, color=colour, lw=1.4)
            axis.plot(compute, 100 * rates[k], "o", color=colour, ms=3)
        axis.axvline(compute.max(), color=_GREY, lw=0.8, ls=":")
        axis.set(xscale="log", xlabel="compute (FLOPs)", ylabel="accuracy (%)", ylim=(-3, 103))
    axes[0].plot([], [], "-", color=_GREY, label="predictable")
    axes[0].plot([], [], "--", color=_GREY, label="not")
    figure.colorbar(
        ScalarMappable(scale, _DIFFICULTY),
        ax=list(axes),
        label="log answer loss at the top model",
    )
    _finish(figure, axes, names, fit.failed_checks)
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
    _known(fit, benchmark)
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
    axis.patch.set(hatch="////", edgecolor=_GREY)
    shown = axis.imshow(
        100 * rate[order], aspect="auto", cmap="cividis", vmin=0, vmax=100, interpolation="none"
    )
    edges = np.flatnonzero(np.diff(label[order])) + 1
    for edge in edges:
        axis.axhline(edge - 0.5, color="white", lw=1.2)
    starts, ends = np.r_[0, edges], np.r_[edges, len(order)]
    names = [f"{label[order[at]]}" for at in starts]
    axis.set_yticks((starts + ends - 1) / 2, names)
    axis.set_xticks(range(rate.shape[1]), [_plain(str(m)[:24]) for m in ladder["model"].values])
    axis.tick_params(axis="x", rotation=60)
    axis.set(ylabel=f"cluster ({len(order):,} items)", title=_plain(benchmark[:40]))
    figure.colorbar(shown, ax=axis, label="pass rate (%)")
    return figure


def predictability_figure(fit: Fit, benchmarks: Sequence[str] | None = None) -> Figure:
    """Per benchmark: P(predictable) of each cluster, as wide as its share of the items.

    The blue area is the predictable subset, in which a cluster counts with its probability; a
    benchmark of one cluster is its own subset.
    """
    names = _chosen(fit, benchmarks)
    figure, axes = _panels(len(names))
    table = fit.summary()
    for axis, name in zip(axes, names, strict=False):
        own = table[table["benchmark"] == name].sort_values("p_predictable", ascending=False)
        width, chance = own["weight"].to_numpy(), own["p_predictable"].to_numpy()
        start = np.cumsum(width) - width
        bars = {"align": "edge", "edgecolor": "white"}
        axis.bar(100 * start, chance, 100 * width, color=_BLUE, **bars)
        axis.bar(100 * start, 1 - chance, 100 * width, chance, color=_ORANGE, hatch="///", **bars)
        axis.set(xlabel="share of items (%)", ylabel="P(predictable)", xlim=(0, 100), ylim=(0, 1))
    _finish(figure, axes, names, fit.failed_checks)
    words = [Patch(facecolor=_BLUE, label="predictable subset")]
    words += [Patch(facecolor=_ORANGE, edgecolor="white", hatch="///", label="rest")]
    figure.legend(handles=words, loc="outside upper center", ncols=2, fontsize="small")
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
    for axis, y, at, what in (
        (axes[0], "rest", anchors["rest"], f"rest ({100 * (1 - w):.0f} % of the items)"),
        (axes[1], "full", whole, "whole benchmark"),
    ):
        axis.plot([0, 100], [0, 100], color=_GREY, lw=0.8, ls=":")
        _draw_bands(axis, 100 * bands["s"].values, 100 * bands[y].values)
        axis.plot(100 * anchors["subset"], 100 * at, "D", color=_ORANGE, ms=6, label="anchors")
        axis.set(xlabel=f"predictable subset ({100 * w:.0f} %), score (%)", ylabel=f"{what} (%)")
        axis.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
    axes[0].legend(fontsize="small")
    figure.suptitle(_plain(benchmark[:60]))
    _say_failed(figure, fit.failed_checks)
    return figure


def prior_predictive_figure(fit: Fit, benchmarks: Sequence[str] | None = None) -> Figure:
    """Per benchmark: curves that the prior alone allows, beside the ladder.

    Bands and 20 single draws of the benchmark's mean over clusters; no ladder model informed them
    but by its place: the curves' reference is the largest one.
    """
    names = _chosen(fit, benchmarks)
    figure, axes = _panels(len(names))
    constant = fit.idata["constant_data"].to_dataset()
    compute = constant["compute"].values
    grid = np.geomspace(compute.min(), compute.max() * 10, 40)
    for axis, name in zip(axes, names, strict=False):
        mean = 100 * benchmark_mean(fit, cluster_curves(fit, name, grid, "prior"))
        axis.plot(grid, mean[0, :20].T, color=_GREY, lw=0.6)
        _draw_bands(axis, grid, np.quantile(mean, _BANDS, axis=(0, 1)))
        score = 100 * constant["score"].sel(benchmark=name).values
        axis.plot(compute, score, "o", color=_BLACK, ms=4, label="ladder")
        axis.set(xscale="log", xlabel="compute (FLOPs)", ylabel="score (%)", ylim=(-3, 103))
    _finish(figure, axes, names, ())
    return figure


def benchmark_mean(fit: Fit, curves: xr.DataArray) -> np.ndarray:
    """Mean over items of one benchmark's `cluster_curves`: (chain, draw, compute)."""
    weight = fit.idata["constant_data"].to_dataset()["weight"].sel(cluster=curves["cluster"]).values
    return np.einsum("cdkx,k->cdx", curves.values, weight / weight.sum())


# --- shared by the pictures ----------------------------------------------------------------------


def _chosen(fit: Fit, benchmarks: Sequence[str] | None) -> list[str]:
    return [_known(fit, name) for name in (fit.benchmarks if benchmarks is None else benchmarks)]


def _panels(count: int) -> tuple[Figure, np.ndarray]:
    """A figure of at most four columns, and its axes in reading order; some may be left over."""
    columns = min(count, 4)
    rows = -(-count // columns)
    figure = Figure(figsize=(4.2 * columns, 3.3 * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False).ravel()


def _draw_bands(axis: Axes, x: np.ndarray, q: np.ndarray) -> None:
    """Quantiles (5, point), 5 to 95 %, as two bands and the median."""
    axis.fill_between(x, q[0], q[4], color=_BLUE, alpha=0.18, lw=0, label="90 %")
    axis.fill_between(x, q[1], q[3], color=_BLUE, alpha=0.35, lw=0, label="50 %")
    axis.plot(x, q[2], color=_BLUE, label="median")


def _finish(
    figure: Figure, axes: np.ndarray, names: Sequence[str], failed_checks: Sequence[str]
) -> None:
    """Titles, one legend, no empty axes, and the warning."""
    for axis, name in zip(axes, names, strict=False):
        axis.set_title(_plain(name[:40]))
    for axis in axes[len(names) :]:
        axis.axis("off")
    if axes[0].get_legend_handles_labels()[0]:
        axes[0].legend(fontsize="small")
    _say_failed(figure, failed_checks)


def _say_failed(figure: Figure, failed_checks: Sequence[str]) -> None:
    if failed_checks:
        figure.supxlabel(
            f"unconverged, not to be used: {', '.join(failed_checks)}", color=_ORANGE, weight="bold"
        )


def _plain(text: str) -> str:
    """As it is: matplotlib reads what stands between dollar signs as mathematics."""
    return text.replace("$", r"\$")
