"""A forecast as one HTML page that needs nothing else: no network, no file beside it.

    page(fit, outlook)                 the page as text
    write_report(fit, outlook, path)   the page as a file

Charts are SVG drawn here from the numbers of `cod_bayes.show.plots`; pointing at one gives its
values.
Whatever stands in a posterior (names of benchmarks, models, clusters, reasons of priors) is text
and is escaped by `_text`; only what this module writes is `_Markup`. The page's own policy lets a
browser run exactly one script and one style sheet, the two below, by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cod_bayes.forecast.outlook import LIKELY, Forecast
from cod_bayes.forecast.posterior import Fit
from cod_bayes.model.variables import PARAMETERS
from cod_bayes.sampling import checks
from cod_bayes.show.plots import (
    benchmark_mean,
    cluster_curves,
    cluster_rates,
    mapping_bands,
    shown_anchors,
)
from cod_bayes.writing import replacing

_Numbers = Sequence[float] | np.ndarray
_BANDS = (0.05, 0.25, 0.5, 0.75, 0.95)
_GRID = 40  # points of a curve
_LEVELS = 7  # of difficulty, as colours
_MOST_GOALS = 12  # columns of a decision table
_MARKS = {"forecastable": ("●", "good"), "wide": ("◐", "fair"), "not forecastable": ("○", "poor")}
_ROUTES = {
    "one_cluster": "all items together",
    "mean_shift": "MeanShift on half of the trials, rates from the other half",
}
_CONSTANTS = {
    "chance_items": "a cluster's floor is Beta around chance with the weight of this many items",
    "nu_ratio_cluster": "a cluster's items differ by this share of its benchmark's differences",
    "nu_ratio_zero": "the same, of the items without a success on the ladder",
    "nu_ratio_outliers": "the same, of the items in no cluster",
    "mapping_scatter": "radians: how two models of equal subset score differ on the rest",
    "evaluation_noise": "radians: how one model evaluated twice differs",
}
_ASSUMPTIONS = (
    "The target is trained and evaluated like the ladder: same recipe, prompts and scoring.",
    "Compute is the only cause in the curves; all else is a shock, and the target's shocks are "
    "drawn from the same distributions as the ladder's.",
    "Each cluster's accuracy rises smoothly from its floor towards its ceiling; an ability that "
    "no item of the ladder shows a trace of is not foreseen.",
    "The rest of a benchmark follows its predictable subset by one increasing function, the same "
    "for all models; anchors inform this function and nothing else.",
    "The score is the mean over the same items, measured with as many trials as the ladder's "
    "largest model was.",
)


class _Markup(str):
    """HTML that this module wrote."""


class _Cell(_Markup):
    """A whole <td>."""


def _text(value: object) -> str:
    """Escaped, unless it is markup already."""
    return value if isinstance(value, _Markup) else html.escape(str(value))


def _tag(name: str, *inside: object, **attributes: object) -> _Markup:
    """An element; `class_` and `view_box` stand for class and viewBox; None is left out."""
    words = {"class_": "class", "view_box": "viewBox", "aspect": "preserveAspectRatio"}
    listed = "".join(
        f' {words.get(key, key.replace("_", "-"))}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return _Markup(f"<{name}{listed}>{''.join(map(_text, inside))}</{name}>")


def _cell(text: str, css: str | None) -> _Cell:
    return _Cell(_tag("td", text, class_=css))


def _join(parts: Iterable[str]) -> _Markup:
    return _Markup("".join(map(_text, parts)))


# --- numbers as text -----------------------------------------------------------------------------


def _flops(compute: float) -> str:
    """3.8 × 10²⁴"""
    head, power = f"{compute:.2e}".split("e")
    return f"{float(head):g} × {_ten(int(power))}"


def _ten(power: int) -> str:
    return "10" + str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f} %"


def _interval(low: float, high: float) -> str:
    return f"{100 * low:.1f} – {100 * high:.1f} %"


def _spread(q: _Numbers) -> str:
    """Median and 90 % interval of quantiles 5, 50, 95 %, two digits each."""
    low, middle, high = (f"{value:.2g}".replace("-", "−") for value in q)
    return f"{middle} ({low} to {high})"


def _chance(p: float) -> str:
    """A probability in percent; draws are too few to tell 0 or 1."""
    if p < 0.01:
        return "< 1"
    return "> 99" if p > 0.99 else f"{100 * p:.0f}"


def _banded(q: _Numbers) -> str:
    """The lines of a tip: median, 50 % and 90 % of quantiles 5 to 95 %."""
    return f"median {_percent(q[2])}\n50 %: {_interval(q[1], q[3])}\n90 %: {_interval(q[0], q[4])}"


# --- charts --------------------------------------------------------------------------------------


class _Chart:
    """One SVG: two axes and marks in data units, each with a tip.

    Args:
        label: what a screen reader says.
        x, y: ranges; `decades`: x is log10 and its ticks are powers of ten.
    """

    width, left, right, top, bottom = 420, 46, 12, 12, 42

    def __init__(
        self,
        label: str,
        x: tuple[float, float],
        y: tuple[float, float],
        x_label: str,
        y_label: str,
        decades: bool = False,
        height: int = 272,
    ) -> None:
        self._label, self._x, self._y, self.height = label, x, y, height
        self._parts: list[str] = []
        right, floor = self.width - self.right, self.height - self.bottom
        for at in _ticks(*y, most=6 if height > 200 else 2):
            self._add("line", class_="grid", x1=self.left, x2=right, y1=self.v(at), y2=self.v(at))
            self._add("text", f"{at:g}", class_="end", x=self.left - 7, y=self.v(at) + 4)
        whole = np.arange(np.ceil(x[0]), np.floor(x[1]) + 1)
        marks = whole[:: -(-len(whole) // 7)] if decades and len(whole) > 1 else _ticks(*x)
        for at in marks:
            words = _ten(int(at)) if float(at).is_integer() else _flops(10**at)
            self._add("line", class_="grid", x1=self.u(at), x2=self.u(at), y1=self.top, y2=floor)
            self._add("text", words if decades else f"{at:g}", x=self.u(at), y=floor + 17)
        self._add("text", x_label, x=(self.left + right) / 2, y=self.height - 6)
        middle = (self.top + floor) / 2
        turn = f"translate(12 {middle:.0f}) rotate(-90)"
        self._add("text", y_label, transform=turn)

    def u(self, x: Any) -> Any:
        """Data to picture, across."""
        span = self.width - self.left - self.right
        return np.round(self.left + span * (x - self._x[0]) / (self._x[1] - self._x[0]), 1)

    def v(self, y: Any) -> Any:
        """Data to picture, down."""
        span = self.height - self.top - self.bottom
        return np.round(self.top + span * (self._y[1] - y) / (self._y[1] - self._y[0]), 1)

    def band(self, x: np.ndarray, low: np.ndarray, high: np.ndarray, css: str) -> None:
        outline = [*self._path(x, low), *reversed(self._path(x, high))]
        self._add("path", class_=css, d=f"M{'L'.join(outline)}Z")

    def line(self, x: np.ndarray, y: np.ndarray, css: str, tip: str | None = None) -> None:
        d = f"M{'L'.join(self._path(x, y))}"
        self._add("path", class_=css, d=d)
        if tip is not None:
            self._add("path", _tag("title", tip), class_="fat", d=d)

    def dots(self, x: _Numbers, y: _Numbers, css: str, tips: Sequence[str]) -> None:
        """Where y is NaN there is none."""
        for a, b, tip in zip(x, y, tips, strict=True):
            if np.isfinite(b):
                self._add("circle", _tag("title", tip), class_=css, cx=self.u(a), cy=self.v(b))

    def upright(self, x: float, low: float, high: float, css: str, tip: str | None = None) -> None:
        """A vertical line, e.g. an interval."""
        at, ends = self.u(x), (self.v(low), self.v(high))
        self._add("line", class_=css, x1=at, x2=at, y1=ends[0], y2=ends[1])
        if tip is not None:
            self._add(
                "line", _tag("title", tip), class_="fat", x1=at, x2=at, y1=ends[0], y2=ends[1]
            )

    def level(self, y: float, css: str) -> None:
        """A horizontal line across."""
        right = self.width - self.right
        self._add("line", class_=css, x1=self.left, x2=right, y1=self.v(y), y2=self.v(y))

    def bar(self, x0: float, x1: float, y: float, css: str, tip: str | None = None) -> None:
        """From the foot to y; a tip is over the whole height."""
        left, wide = self.u(x0), round(self.u(x1) - self.u(x0), 1)
        foot = self.height - self.bottom
        self._add(
            "rect", class_=css, x=left, width=wide, y=self.v(y), height=round(foot - self.v(y), 1)
        )
        if tip is not None:
            place = {"x": left, "width": wide, "y": self.top, "height": foot - self.top}
            self._add("rect", _tag("title", tip), class_="hit", **place)

    def sweep(self, x: np.ndarray, tips: Sequence[str]) -> None:
        """Invisible columns, one around each x; the one that is pointed at shows a hair line."""
        edges = self.u(np.r_[x[0], (x[1:] + x[:-1]) / 2, x[-1]])
        foot = self.height - self.bottom
        for k, tip in enumerate(tips):
            wide = round(edges[k + 1] - edges[k], 1)
            at = self.u(x[k])
            column = _tag(
                "rect", class_="hit", x=edges[k], width=wide, y=self.top, height=foot - self.top
            )
            hair = _tag("line", class_="hair", x1=at, x2=at, y1=self.top, y2=foot)
            self._add("g", _tag("title", tip), column, hair)

    def svg(self) -> _Markup:
        box = f"0 0 {self.width} {self.height}"
        return _tag(
            "svg", *self._parts, view_box=box, role="img", aria_label=self._label, class_="chart"
        )

    def _path(self, x: np.ndarray, y: np.ndarray) -> list[str]:
        return [f"{a:g} {b:g}" for a, b in zip(self.u(x), self.v(y), strict=True)]

    def _add(self, name: str, *inside: object, **attributes: object) -> None:
        self._parts.append(_tag(name, *inside, **attributes))


def _ticks(low: float, high: float, most: int = 6) -> np.ndarray:
    """Round numbers, at most `most` steps."""
    raw = (high - low) / most
    power = 10 ** np.floor(np.log10(raw))
    step = power * next(s for s in (1, 2, 2.5, 5, 10) if s * power >= raw * 0.999)
    return np.round(np.arange(np.ceil(low / step - 1e-9), high / step + 1e-9) * step, 10) + 0.0


def _top(*values: Any) -> float:
    """The end of an axis of percents: the next ten above everything."""
    most = max(float(np.nanmax(value)) for value in values)
    return float(np.clip(10 * np.ceil(100 * most / 10 + 1e-9), 10, 100))


def _charts(figures: Iterable[tuple[str, _Markup]]) -> _Markup:
    """Charts with their titles, as many in a row as fit."""
    return _tag(
        "div",
        *(
            _tag("figure", _tag("figcaption", title), picture, class_="card")
            for title, picture in figures
        ),
        class_="charts",
    )


def _table(
    heads: Sequence[str],
    rows: Sequence[Sequence[object]],
    words: int = 1,
    prose: bool = False,
    caption: str = "",
) -> _Markup:
    """A table that scrolls within its box.

    Args:
        rows: text, or whole cells as markup.
        words: the first so many columns are words, the others figures; `prose`: the last is text.
    """
    css = ["word" if k < words else None for k in range(len(heads))]
    if prose:
        css[-1] = "prose"
    head = [_tag("th", title, class_=of, scope="col") for title, of in zip(heads, css, strict=True)]
    body = []
    for row in rows:
        cells = [
            cell if isinstance(cell, _Cell) else _tag("th" if k == 0 else "td", cell, class_=of)
            for k, (cell, of) in enumerate(zip(row, css, strict=True))
        ]
        body.append(_tag("tr", *cells))
    inside = [_tag("caption", caption)] if caption else []
    inside += [_tag("thead", _tag("tr", *head)), _tag("tbody", *body)]
    return _tag("div", _tag("table", *inside), class_="scroll", tabindex=0)


def _legend(*entries: tuple[str, str]) -> _Markup:
    """(class of the key, what it means), ..."""
    return _tag(
        "p",
        *(_tag("span", _tag("i", class_=f"key {css}"), words) for css, words in entries),
        class_="legend",
    )


def _decades(fit: Fit, *more: float) -> tuple[np.ndarray, tuple[float, float]]:
    """Computes of curves from the smallest ladder model to the largest of `more`, and the axis."""
    compute = fit.idata["constant_data"].to_dataset()["compute"].values
    low, high = float(np.log10(compute.min())), float(np.log10(max(compute.max(), *more)))
    pad = 0.04 * (high - low)
    return np.logspace(low, high, _GRID), (low - pad, high + pad)


# --- sections ------------------------------------------------------------------------------------


def _verdicts(fit: Fit, outlook: Forecast) -> _Markup:
    table = outlook.summary()
    top = fit.idata["constant_data"].to_dataset()["compute"].values.max()
    rows = []
    for row in table.itertuples():
        mark, css = _MARKS[_kind(row.verdict)]
        css = "bad" if outlook.failed_checks else css
        strip = _tag(
            "svg",
            _tag("rect", class_="rail", x=0, y=8, width=100, height=4),
            _tag(
                "rect",
                class_="q90",
                x=100 * row.q05,
                y=5,
                width=100 * (row.q95 - row.q05),
                height=10,
            ),
            _tag(
                "rect",
                class_="q50",
                x=100 * row.q25,
                y=5,
                width=100 * (row.q75 - row.q25),
                height=10,
            ),
            _tag("rect", class_="q00", x=100 * row.q50 - 0.25, y=2, width=0.5, height=16),
            view_box="0 0 100 20",
            aspect="none",
            role="img",
            aria_label=f"90 % interval {_interval(row.q05, row.q95)}",
        )
        beyond = f"{row.compute / top:.2g} × the ladder's top"
        rows.append(
            _tag(
                "li",
                _tag("b", row.benchmark, class_="name"),
                _tag("span", f"{_flops(row.compute)} FLOPs", _tag("small", beyond), class_="at"),
                _tag("span", strip, class_="strip"),
                _tag(
                    "span",
                    _tag("b", _percent(row.q50)),
                    _tag("small", f"90 %: {_interval(row.q05, row.q95)}"),
                    class_="value",
                ),
                _tag("span", f"{mark} {row.verdict}", class_=f"badge {css}"),
            )
        )
    return _join(
        [
            _tag("p", *_lead(table, bool(outlook.failed_checks)), class_="lead"),
            _tag("ol", *rows, class_="verdicts"),
            _tag(
                "p",
                "Median, and where the score falls with probability 90 % (bar, 0 to 100 %; "
                "darker: 50 %). ● forecastable: the 90 % interval is at most 10 points wide. "
                "◐ wide: wider. ○ not forecastable: over 40 points, or no cluster "
                "of items is more likely predictable than not.",
                class_="note",
            ),
        ]
    )


def _lead(table: pd.DataFrame, failed: bool) -> list[_Markup]:
    """The verdicts counted, a line per compute."""
    lines, end = [], ", from an unconverged posterior." if failed else "."
    for compute, part in table.groupby("compute"):
        kinds = [_kind(verdict) for verdict in part["verdict"]]
        counts = [f"{kinds.count(k)} {k}" for k in _MARKS if k in kinds]
        of = f"{len(part)} benchmark{'s' if len(part) > 1 else ''}"
        lines.append(_tag("span", f"At {_flops(compute)} FLOPs, of {of}: {', '.join(counts)}{end}"))
    return lines


def _kind(verdict: str) -> str:
    return next(k for k in ("not forecastable", "forecastable", "wide") if k in verdict)


def _forecasts(fit: Fit, outlook: Forecast) -> _Markup:
    ladder = fit.idata["constant_data"].to_dataset()
    targets = outlook.draws["compute"].values
    grid, across = _decades(fit, *targets)
    curve = fit.draws(grid)["score"]
    names, flops = ladder["model"].values, ladder["compute"].values
    figures = []
    for name in fit.benchmarks:
        q = np.quantile(curve.sel(benchmark=name), _BANDS, axis=(0, 1))
        at = np.quantile(outlook.draws["score"].sel(benchmark=name), _BANDS, axis=(0, 1))
        score = ladder["score"].sel(benchmark=name).values
        chart = _Chart(
            f"Forecast of {name}",
            across,
            (0, _top(q, at, score)),
            "compute (FLOPs)",
            "score (%)",
            decades=True,
        )
        x = np.log10(grid)
        chart.band(x, 100 * q[0], 100 * q[4], "band90")
        chart.band(x, 100 * q[1], 100 * q[3], "band50")
        chart.line(x, 100 * q[2], "median")
        tips = [f"{_flops(c)} FLOPs\n{_banded(q[:, i])}" for i, c in enumerate(grid)]
        chart.sweep(x, tips)
        for i, compute in enumerate(targets):
            tip = f"target of {_flops(compute)} FLOPs\n{_banded(at[:, i])}"
            chart.upright(np.log10(compute), 100 * at[0, i], 100 * at[4, i], "target", tip)
            chart.dots([np.log10(compute)], [100 * at[2, i]], "goal", [tip])
        tips = [
            f"{m}: {_percent(s)}\n{_flops(c)} FLOPs"
            for m, s, c in zip(names, score, flops, strict=True)
        ]
        chart.dots(np.log10(flops), 100 * score, "ladder", tips)
        figures.append((name, chart.svg()))
    keys = [("ladder", "ladder model"), ("median", "median of a new model"), ("band50", "50 %")]
    keys += [("band90", "90 %"), ("goal", "target, 90 %")]
    return _join([_legend(*keys), _charts(figures), _two_forecasts(fit, outlook)])


def _two_forecasts(fit: Fit, outlook: Forecast) -> _Markup:
    """What the mean is of; nothing for a fit of one posterior."""
    if fit.whole is None:
        return _Markup()
    targets = outlook.draws["compute"].values
    made = [f.draws(targets)["score"] for f in (fit.alone, fit.whole)] + [outlook.draws["score"]]
    clusters = fit.summary()["benchmark"].value_counts()
    rows: list[list[object]] = []
    for name in (name for name in fit.benchmarks if clusters[name] > 1):
        for compute in targets:
            each = (score.sel(benchmark=name, compute=compute).values for score in made)
            q = [100 * np.quantile(y, [0.05, 0.5, 0.95]) for y in each]
            cells = (f"{middle:.1f} ({low:.1f} to {high:.1f})" for low, middle, high in q)
            rows.append([name, _flops(compute), *cells])
    said = (
        "The forecast is the mean of two, each of a posterior of its own, by their precision: of "
        "the clusters, and of the benchmark as one curve. It is widened where the two are further "
        "apart than they say, and where one cluster outweighs all others. Median (90 %), in %."
    )
    return _join(
        [
            _tag("h3", "Two forecasts and their mean"),
            _tag("p", said, class_="note"),
            _table(["benchmark", "FLOPs", "of clusters", "of one curve", "mean"], rows, words=2),
        ]
    )


def _clusters(fit: Fit) -> _Markup:
    compute = fit.idata["constant_data"].to_dataset()["compute"].values
    grid, across = _decades(fit, 10 * compute.max())
    curves = {name: cluster_curves(fit, name, grid) for name in fit.benchmarks}
    hard = np.concatenate([curve["difficulty"].values for curve in curves.values()])
    edges = np.linspace(hard.min(), hard.max() + 1e-9, _LEVELS + 1)[1:-1]
    table = fit.summary()
    figures = []
    for name, curve in curves.items():
        chart = _Chart(
            f"Clusters of {name}", across, (0, 100), "compute (FLOPs)", "accuracy (%)", decades=True
        )
        middle, rates = curve.median(("chain", "draw")).values, cluster_rates(fit, name).values
        for k, cluster in enumerate(curve["cluster"].values):
            row = table.loc[str(cluster)]
            level = f"d{np.searchsorted(edges, float(curve['difficulty'][k]))}"
            style = "curve" if row["p_predictable"] >= LIKELY else "curve dashed"
            tip = (
                f"{cluster} ({row['kind']})\n{100 * row['weight']:.0f} % of the items\n"
                f"P(predictable) {row['p_predictable']:.2f}"
            )
            chart.line(np.log10(grid), 100 * middle[k], f"{style} {level}", tip)
            tips = [
                f"{cluster}, {m}: {_percent(r)}"
                for m, r in zip(
                    fit.idata["constant_data"].to_dataset()["model"].values, rates[k], strict=True
                )
            ]
            chart.dots(np.log10(compute), 100 * rates[k], f"rate {level}", tips)
        figures.append((name, _join([chart.svg(), _shares(table, name)])))
    scale = _tag("span", "easy", *(_tag("i", class_=f"key d{k}") for k in range(_LEVELS)), "hard")
    keys = _legend(
        ("curve", "predictable"),
        ("curve dashed", "not"),
        ("kept", "counted in the subset"),
        ("rest", "in the rest"),
    )
    heads = ["cluster", "kind", "items", "P(predictable)", "η", "β", "γ", "g"]
    rows = [
        [str(i), r["kind"], f"{100 * r['weight']:.1f} %", f"{r['p_predictable']:.2f}"]
        + [f"{r[p]:.2f}" for p in ("eta", "beta", "gamma", "g")]
        for i, r in table.iterrows()
    ]
    listing = _tag(
        "details",
        _tag("summary", f"All {len(table)} clusters, posterior means"),
        _table(heads, rows, words=2),
    )
    said = (
        "Items that grow alike over the ladder, and the posterior median of each cluster's curve. "
        "Easy and hard are meant at the largest ladder model. Below: the probability that a "
        "cluster is predictable (emerged, rising, not capped), as wide as its share of items. With "
        "that probability its items count in the predictable subset, and else in the rest; a "
        "benchmark of one cluster is its own subset."
    )
    scale = _tag("p", scale, class_="legend")
    return _join([_tag("p", said, class_="note"), scale, keys, _charts(figures), listing])


def _shares(table: pd.DataFrame, name: str) -> _Markup:
    """P(predictable) of one benchmark's clusters, each as wide as its share of the items."""
    label = f"P(predictable) of {name}'s clusters"
    chart = _Chart(label, (0, 100), (0, 1), "share of items (%)", "P(pred.)", height=130)
    own = table[table["benchmark"] == name].sort_values("p_predictable", ascending=False)
    start = 0.0
    for cluster, row in own.iterrows():
        end, p = start + 100 * row["weight"], row["p_predictable"]
        tip = f"{cluster}: P(predictable) {p:.2f}\n{100 * row['weight']:.0f} % of the items"
        chart.bar(start, end, 1.0, "rest")
        chart.bar(start, end, p, "kept", tip)
        start = end
    return chart.svg()


def _mappings(fit: Fit) -> _Markup:
    figures, whole = [], []
    for name in fit.benchmarks:
        bands = mapping_bands(fit, name)
        if bands is None:
            whole.append(name)
            continue
        w, s, rest, full = bands.attrs["share"], bands["s"].values, bands["rest"], bands["full"]
        chart = _Chart(
            f"Mapping of {name}",
            (0, 100),
            (0, 100),
            f"predictable subset, {100 * w:.0f} % of items: score (%)",
            "rest: score (%)",
        )
        chart.line(np.array([0, 100]), np.array([0, 100]), "limit")
        q = 100 * rest.values
        chart.band(100 * s, q[0], q[4], "band90")
        chart.band(100 * s, q[1], q[3], "band50")
        chart.line(100 * s, q[2], "median")
        tips = [
            f"subset {_percent(at)}\nrest: {_banded(rest.values[:, i])}\n"
            f"whole: {_banded(full.values[:, i])}"
            for i, at in enumerate(s)
        ]
        chart.sweep(100 * s, tips)
        anchors = shown_anchors(fit, name)
        tips = [
            f"anchor {a}\nsubset {_percent(r['subset'])}, rest {_percent(r['rest'])}"
            for a, r in anchors.iterrows()
        ]
        chart.dots(100 * anchors["subset"], 100 * anchors["rest"], "goal", tips)
        figures.append((name, chart.svg()))
    said = [
        _tag(
            "p",
            "By its clusters, the score of a benchmark is w s + (1 − w) r(s): s its predictable "
            "subset, w the subset's share of the items, r the rest.",
            class_="note",
        )
    ]
    if figures:
        keys = (("median", "median of r"), ("band50", "50 %"), ("band90", "90 %"))
        said += [_legend(*keys, ("goal", "anchor model")), _charts(figures)]
    if whole:
        said.append(
            _tag(
                "p",
                "No mapping, without a rest or a cluster that is likely predictable: "
                f"{', '.join(whole)}.",
            )
        )
    return _join(said)


def _diagnostics(fit: Fit) -> _Markup:
    several = fit.whole is not None
    whole = [_convergence("Convergence, whole benchmarks", fit.whole)] if fit.whole else []
    return _join(
        [
            _convergence("Convergence, clusters" if several else "Convergence", fit),
            *whole,
            _tag("h3", "Predictive checks, clusters" if several else "Predictive checks"),
            _predictive(fit),
        ]
    )


def _convergence(title: str, fit: Fit) -> _Markup:
    posterior, stats = (fit.idata[g].to_dataset() for g in ("posterior", "sample_stats"))
    rows: list[list[object]] = []
    for name in PARAMETERS:
        columns = checks.moving(posterior, name)
        if columns:
            r_hat, bulk = checks.worst_r_hat(columns), checks.least_bulk_ess(columns)
            rows.append(
                [
                    name,
                    len(columns),
                    _check(f"{r_hat:.3f}", r_hat < checks.R_HAT),
                    _check(f"{bulk:,.0f}", bulk > checks.BULK_ESS),
                    f"{checks.least_tail_ess(columns):,.0f}",
                ]
            )
    divergent, e_bfmi = checks.divergences(stats), checks.least_e_bfmi(stats)
    chains, draws_each = posterior.sizes["chain"], posterior.sizes["draw"]
    sampler = [
        ["chains × draws", f"{chains} × {draws_each:,}", ""],
        ["divergences", _check(f"{divergent}", divergent == 0), "none"],
        ["smallest E-BFMI", _check(f"{e_bfmi:.2f}", e_bfmi > checks.E_BFMI), f"> {checks.E_BFMI}"],
    ]
    limits = f"worst r̂ (< {checks.R_HAT})", f"least bulk ESS (> {checks.BULK_ESS})"
    heads = ["parameter", "values", *limits]
    return _join(
        [
            _tag("h3", title),
            _table(["sampler", "", "limit"], sampler),
            _table([*heads, "least tail ESS"], rows),
        ]
    )


def _check(figure: str, passed: bool) -> _Cell:
    return _cell(figure if passed else f"✗ {figure}", None if passed else "fail")


def _predictive(fit: Fit) -> _Markup:
    """The ladder's own cells, in replicated ladders."""
    constant = fit.idata["constant_data"].to_dataset()
    cluster, _ = np.nonzero(np.isfinite(constant["noise"].values))
    of = constant["benchmark_of_cluster"].values[cluster]
    seen = fit.idata["observed_data"].to_dataset()["z"].values
    again = (
        fit.idata["posterior_predictive"]
        .to_dataset()["z"]
        .transpose("chain", "draw", "cell")
        .values
    )
    again = again.reshape(-1, len(seen))
    pit = (again < seen).mean(axis=0) + 0.5 * (again == seen).mean(axis=0)
    away = np.abs(np.sin(seen) ** 2 - np.sin(np.median(again, axis=0)) ** 2)
    rows = []
    for name in fit.benchmarks:
        mine = of == name
        inside = [f"{100 * (np.abs(pit[mine] - 0.5) <= p / 2).mean():.0f} %" for p in (0.5, 0.9)]
        rows.append([name, int(mine.sum()), *inside, f"{100 * away[mine].mean():.1f}"])
    count, edges = np.histogram(pit, bins=10, range=(0, 1))
    tallest = max(count.max(), 2 * len(pit) / 10)
    chart = _Chart("PIT of the ladder's cells", (0, 1), (0, tallest), "PIT", "cells")
    for n, low, high in zip(count, edges[:-1], edges[1:], strict=True):
        chart.bar(low, high, n, "kept", f"PIT {low:.1f} – {high:.1f}: {n} of {len(pit)} cells")
    chart.level(len(pit) / 10, "limit")
    heads = ["benchmark", "cells", "in 50 %", "in 90 %", "mean error, points"]
    said = (
        "A cell is a cluster's rate at a ladder model; shown is how many fall into the intervals "
        "of replicated ladders. They were fitted and the replicated shocks are fresh, so more than "
        "50 % and 90 % is right; less says that the curves do not follow the ladder."
    )
    return _join(
        [
            _tag("p", said, class_="note"),
            _table(heads, rows),
            _charts([("Where cells fall in their predictive distributions", chart.svg())]),
        ]
    )


def _assumptions(fit: Fit) -> _Markup:
    spec, posterior = fit.spec, fit.idata["posterior"].to_dataset()
    rows = []
    for name, prior in spec.priors.items():
        q = prior.mu + prior.sigma * np.array([-1.645, 0, 1.645])
        before = q if prior.family == "normal" else np.exp(q)
        after = "–"
        if name in posterior:
            after = _spread(np.quantile(posterior[name], [0.05, 0.5, 0.95]))
        law = f"{prior.family}({prior.mu:g}, {prior.sigma:g})".replace("-", "−")
        why = _join([prior.why, _tag("small", prior.unit)])
        rows.append([name, law, _spread(before), after, why])
    constants = [
        [name, f"{value:g}", _CONSTANTS.get(name, "")] for name, value in spec.constants.items()
    ]
    constant = fit.idata["constant_data"].to_dataset()
    grouped = [
        [
            name,
            int((constant["benchmark_of_cluster"].values == name).sum()),
            _ROUTES.get(str(route), route),
        ]
        for name, route in zip(fit.benchmarks, constant["route"].values, strict=True)
    ]
    heads = ["parameter", "prior", "prior median (90 %)", "posterior (90 %)", "why, and unit"]
    equations = (
        "L(x) = exp(η − β (x − x_b))                           answer loss, x = log10 compute\n"
        "y(x) = g + (1 − g) exp(−γ) (1 + ν L(x))^(−1/ν)        accuracy of a cluster"
    )
    if fit.whole is not None:
        equations += (
            "\narcsin √score = a (of its clusters) + (1 − a) (of its one curve)"
            "    of two posteriors, a by their precision"
        )
    return _join(
        [
            _tag("p", spec.description),
            _tag("pre", equations),
            _tag("ul", *(_tag("li", words) for words in _ASSUMPTIONS)),
            _tag("h3", f"Priors of the model “{spec.name}”"),
            _table(heads, rows, prose=True),
            _tag("h3", "Constants"),
            _table(["constant", "value", "what"], constants, prose=True),
            _tag("h3", "How items were grouped"),
            _table(["benchmark", "clusters", "route"], grouped, prose=True),
            _tag("h3", "What the prior alone says"),
            _legend(
                ("median", "median"), ("band50", "50 %"), ("band90", "90 %"), ("ladder", "ladder")
            ),
            _charts(_priors(fit)),
        ]
    )


def _priors(fit: Fit) -> list[tuple[str, _Markup]]:
    ladder = fit.idata["constant_data"].to_dataset()
    flops = ladder["compute"].values
    grid, across = _decades(fit, 10 * flops.max())
    figures = []
    for name in fit.benchmarks:
        mean = benchmark_mean(fit, cluster_curves(fit, name, grid, "prior"))
        q = np.quantile(mean, _BANDS, axis=(0, 1))
        chart = _Chart(
            f"Prior of {name}", across, (0, 100), "compute (FLOPs)", "score (%)", decades=True
        )
        x = np.log10(grid)
        chart.band(x, 100 * q[0], 100 * q[4], "band90")
        chart.band(x, 100 * q[1], 100 * q[3], "band50")
        chart.line(x, 100 * q[2], "median")
        chart.sweep(x, [f"{_flops(c)} FLOPs\n{_banded(q[:, i])}" for i, c in enumerate(grid)])
        score = ladder["score"].sel(benchmark=name).values
        tips = [f"{m}: {_percent(s)}" for m, s in zip(ladder["model"].values, score, strict=True)]
        chart.dots(np.log10(flops), 100 * score, "ladder", tips)
        figures.append((name, chart.svg()))
    return figures


def _decisions(outlook: Forecast) -> _Markup:
    """Per benchmark: P(score >= s) at each compute, for goals s around where the score may fall."""
    tables = []
    for name in outlook.draws["benchmark"].values:
        score = outlook.draws["score"].sel(benchmark=name)
        goals = _goals(*np.quantile(score, [0.01, 0.99]))
        rows = []
        for compute in outlook.draws["compute"].values:
            at = score.sel(compute=compute).values
            chances = [float((at >= goal / 100 - 1e-9).mean()) for goal in goals]
            cells = [_cell(_chance(p), f"p{round(10 * p)}") for p in chances]
            rows.append([_flops(float(compute)), *cells])
        heads = ["FLOPs", *(f"≥ {goal:g} %" for goal in goals)]
        tables.append(_table(heads, rows, caption=str(name)))
    said = "Probability, in percent, that the measured score reaches a goal."
    return _join([_tag("p", said, class_="note"), *tables])


def _goals(low: float, high: float) -> np.ndarray:
    """Round goals in percent that the score may reach or miss."""
    low, high = 100 * low, 100 * high
    for step in (1, 2, 5, 10):
        goals = np.arange(np.floor(low / step), np.ceil(high / step) + 1) * step
        goals = goals[(goals > 0) & (goals <= 100)]
        if len(goals) <= _MOST_GOALS:
            break
    return goals


# --- style and script ----------------------------------------------------------------------------

_EASY_TO_HARD = {
    "light": ("#440154", "#472f7d", "#38588c", "#297a8e", "#1e9b8a", "#3bbb75", "#86d549"),
    "dark": ("#6a8fc9", "#4f9db0", "#3fae9f", "#4fc17c", "#82d060", "#bade45", "#fde725"),
}  # viridis, without the end that the background would swallow


def _colours(theme: str) -> str:
    return "".join(f"--d{k}:{c};" for k, c in enumerate(_EASY_TO_HARD[theme]))


_STYLE = (
    """
:root{--paper:#f6f7f9;--card:#fff;--ink:#1a1f26;--soft:#5b6470;--line:#dde1e6;--blue:#0072b2;
--orange:#c04f00;--good:#00694d;--good-bg:#dcf3ea;--fair:#7a4b00;--fair-bg:#fdeccb;--poor:#5b3b47;
--poor-bg:#f0e3e8;--bad:#a3170f;--bad-bg:#fde5e1;"""
    + _colours("light")
    + """}
@media (prefers-color-scheme:dark){:root{--paper:#101418;--card:#181d23;--ink:#e6e9ed;
--soft:#9aa5b1;--line:#2d353e;--blue:#56b4e9;--orange:#f0a03c;--good:#7fe0bd;--good-bg:#12352b;
--fair:#f6cf83;--fair-bg:#3a2c0f;--poor:#e0b8c8;--poor-bg:#36252d;--bad:#ffb4a8;--bad-bg:#46150f;"""
    + _colours("dark")
    + """}}
*{box-sizing:border-box}
html{scroll-behavior:smooth;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);line-height:1.5;
font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
header,nav,main{max-width:72rem;margin:0 auto;padding:0 1.25rem}
h1{font-size:1.7rem;line-height:1.2;margin:2rem 0 .75rem;letter-spacing:-.01em}
h2{font-size:1.25rem;margin:0 0 .9rem;letter-spacing:-.005em}
h3{font-size:1rem;margin:1.75rem 0 .6rem}
section{padding:2.25rem 0 .5rem;scroll-margin-top:2rem}
dl{display:flex;flex-wrap:wrap;gap:.5rem 2rem;margin:0 0 1rem}
dt{font-size:.75rem;color:var(--soft)}
dd{margin:0;font-size:.92rem}
nav{position:sticky;top:0;z-index:2;display:flex;gap:1.25rem;overflow-x:auto;white-space:nowrap;
background:var(--paper);border-bottom:1px solid var(--line);scrollbar-width:none}
nav a{padding:.6rem 0;font-size:.875rem;color:var(--soft);text-decoration:none}
nav a:hover,nav a:focus{color:var(--blue)}
small{display:block;font-size:.78rem;color:var(--soft)}
.note,.legend{color:var(--soft);font-size:.875rem;max-width:46rem}
.lead{margin:0 0 1rem}.lead span{display:block}
.alarm{margin:1.25rem 0 0;padding:.9rem 1.1rem;border-radius:8px;color:var(--bad);
background:var(--bad-bg);border:1px solid currentColor}
.verdicts{list-style:none;margin:0;padding:0;background:var(--card);border:1px solid var(--line);
border-radius:10px}
.verdicts li{display:grid;align-items:center;gap:.35rem 1.25rem;padding:.7rem 1.1rem;
grid-template-columns:minmax(6rem,1fr) minmax(9.5rem,1fr) minmax(8rem,2fr) 9.5rem 9.5rem}
.verdicts li+li{border-top:1px solid var(--line)}
.name{overflow-wrap:anywhere}
.value,.at,td{font-variant-numeric:tabular-nums}
.at{font-size:.9rem}
.strip svg{display:block;width:100%;height:22px}
.rail{fill:var(--line)}.q90{fill:var(--blue);opacity:.3}.q50{fill:var(--blue);opacity:.6}
.q00{fill:var(--ink)}
.badge{justify-self:start;padding:.15rem .65rem;border-radius:1rem;font-size:.85rem}
.good{color:var(--good);background:var(--good-bg)}.fair{color:var(--fair);background:var(--fair-bg)}
.poor{color:var(--poor);background:var(--poor-bg)}.bad{color:var(--bad);background:var(--bad-bg)}
.charts{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,21rem),1fr))}
.card{margin:0;padding:.8rem .8rem .5rem;background:var(--card);border:1px solid var(--line);
border-radius:10px;min-width:0}
figcaption{font-weight:600;font-size:.92rem;margin:0 0 .35rem;overflow-wrap:anywhere}
.chart{display:block;width:100%;height:auto;touch-action:pan-y}
.chart text{font-size:12px;fill:var(--soft);text-anchor:middle}
.chart text.end{text-anchor:end}
.chart path,.chart line{fill:none}
.grid{stroke:var(--line);stroke-width:1}
.chart .band90{fill:var(--blue);opacity:.18}.chart .band50{fill:var(--blue);opacity:.32}
.median{stroke:var(--blue);stroke-width:2}
.ladder{fill:var(--ink);r:4px}
.target{stroke:var(--orange);stroke-width:3}
.goal{fill:var(--orange);stroke:var(--card);stroke-width:1.5;r:5.5px}
.limit{stroke:var(--soft);stroke-width:1.2;stroke-dasharray:2 4}
.curve{stroke-width:2;stroke:var(--soft)}.dashed{stroke-dasharray:6 4}
.rate{r:3.2px}
.kept{fill:var(--blue);stroke:var(--card)}.rest{fill:var(--orange);stroke:var(--card)}
.fat{stroke:transparent;stroke-width:14;pointer-events:stroke}
.hit{fill:transparent}.hair{stroke:var(--soft);stroke-width:1;opacity:0;pointer-events:none}
g:hover>.hair{opacity:.8}
.kept+.hit:hover{fill:var(--ink);fill-opacity:.06}
.legend{display:flex;flex-wrap:wrap;gap:.3rem 1.1rem;margin:0 0 .8rem}
.legend span{display:inline-flex;align-items:center;gap:.4rem}
.key{display:inline-block;width:1.1rem;height:.7rem;border-radius:2px}
.legend .key+.key{margin-left:-.4rem}.key.kept{background:var(--blue)}
.key.rest{background:var(--orange)}
.key.ladder,.key.goal{width:.65rem;height:.65rem;border-radius:50%;background:var(--ink)}
.key.goal{background:var(--orange)}
.key.median,.key.curve{height:0;border-top:2px solid var(--blue);border-radius:0}
.key.curve{border-color:var(--soft)}.key.dashed{border-top-style:dashed}
.key.band90{background:var(--blue);opacity:.18}.key.band50{background:var(--blue);opacity:.45}
.scroll{overflow-x:auto;width:fit-content;max-width:100%;margin:0 0 1rem;
background:var(--card);border:1px solid var(--line);
border-radius:10px}
table{border-collapse:collapse;width:100%;font-size:.875rem}
caption{font-weight:600;padding:.7rem .9rem .2rem;overflow-wrap:anywhere}
th,td{padding:.42rem .9rem;text-align:right;white-space:nowrap;font-weight:400}
thead th{color:var(--soft);font-size:.78rem;border-bottom:1px solid var(--line)}
tbody th{position:sticky;left:0;background:var(--card);max-width:45vw;overflow:hidden;
text-overflow:ellipsis}
tbody tr+tr>*{border-top:1px solid var(--line)}
.word,.prose,caption{text-align:left}
td.prose{white-space:normal;min-width:20rem}
td.fail{color:var(--bad);background:var(--bad-bg);font-weight:600}
details{margin:1rem 0}summary{cursor:pointer;color:var(--blue);padding:.4rem 0}
pre{overflow-x:auto;padding:.9rem 1.1rem;background:var(--card);border:1px solid var(--line);
border-radius:10px;font-size:.85rem}
#tip{position:fixed;z-index:3;max-width:min(20rem,90vw);padding:.4rem .65rem;border-radius:6px;
font-size:.8rem;line-height:1.4;white-space:pre-line;overflow-wrap:anywhere;pointer-events:none;
color:var(--paper);background:var(--ink);font-variant-numeric:tabular-nums}
#tip[hidden]{display:none}
@media (max-width:60rem){.verdicts li{grid-template-columns:minmax(50%,1fr) auto;
grid-template-areas:"name badge" "at value" "strip strip"}
.name{grid-area:name}.at{grid-area:at}.badge{grid-area:badge;justify-self:end}
.value{grid-area:value;text-align:right}.strip{grid-area:strip}}
@media (max-width:34rem){header,nav,main{padding:0 .9rem}h1{font-size:1.4rem;margin-top:1.25rem}
.card{padding:.65rem .4rem .3rem}figcaption{padding:0 .4rem}.chart text{font-size:14px}}
@media print{nav,#tip{display:none}body{background:#fff}.card,li,tr{break-inside:avoid}}
"""
    + "".join(
        f".chart .d{k}{{stroke:var(--d{k})}}.chart .rate.d{k}{{fill:var(--d{k});stroke:none}}"
        f".key.d{k}{{background:var(--d{k})}}"
        for k in range(_LEVELS)
    )
    + "".join(
        f".p{k}{{background:color-mix(in srgb,var(--blue) {5 * k}%,transparent)}}"
        for k in range(11)
    )
)

# Without it the browser's own tooltips show the same titles.
_SCRIPT = """
(() => {
  const tip = document.getElementById("tip");
  for (const title of document.querySelectorAll("svg title")) {
    title.parentNode.dataset.tip = title.textContent;
    title.remove();
  }
  const show = (event) => {
    const mark = event.target instanceof Element && event.target.closest("[data-tip]");
    tip.hidden = !mark;
    if (!mark) return;
    tip.textContent = mark.dataset.tip;
    const box = tip.getBoundingClientRect(), room = document.documentElement.clientWidth;
    const above = event.clientY - box.height - 14;
    tip.style.left = Math.max(6, Math.min(event.clientX + 12, room - box.width - 6)) + "px";
    tip.style.top = (above < 6 ? event.clientY + 22 : above) + "px";
  };
  addEventListener("pointermove", show);
  addEventListener("pointerdown", show);
  addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
})();
"""


# --- the page ------------------------------------------------------------------------------------


def page(fit: Fit, outlook: Forecast) -> str:
    """The report as HTML.

    Verdicts, forecasts, clusters, mapping, diagnostics, prior and assumptions, decision tables.

    Args:
        fit: a fit or a loaded posterior.
        outlook: its forecast, at one or more computes.
    """
    attrs = fit.idata.attrs
    constant = fit.idata["constant_data"].to_dataset()
    flops = constant["compute"].values
    about = [
        ("Ladder", f"{len(flops)} models, {_flops(flops.min())} to {_flops(flops.max())} FLOPs"),
        ("Benchmarks", f"{len(fit.benchmarks)}, {constant.sizes['cluster']} clusters of items"),
        ("Model", f"{attrs['model']}, cod-bayes {attrs['version']}, seed {attrs['random_seed']}"),
        ("Evidence", str(attrs["evidence_digest"])[:16]),
    ]
    sections = [
        ("verdicts", "Verdicts", _verdicts(fit, outlook)),
        ("forecasts", "Forecasts", _forecasts(fit, outlook)),
        ("clusters", "Clusters", _clusters(fit)),
        ("mapping", "From subset to benchmark", _mappings(fit)),
        ("diagnostics", "Diagnostics", _diagnostics(fit)),
        ("prior", "Prior and assumptions", _assumptions(fit)),
        ("decisions", "Decision tables", _decisions(outlook)),
    ]
    warning = ""
    if outlook.failed_checks:
        warning = _tag(
            "p",
            _tag("b", "The posterior did not converge: "),
            f"{', '.join(outlook.failed_checks)}. Nothing on this page is to be used; sample again "
            "with more draws, fewer benchmarks at once, or more ladder models.",
            class_="alarm",
            role="alert",
        )
    links = [_tag("a", title, href=f"#{key}") for key, title, _ in sections]
    body = _join(
        [
            _tag(
                "header",
                _tag("h1", "Benchmark score forecast"),
                _tag("dl", *(_tag("div", _tag("dt", k), _tag("dd", v)) for k, v in about)),
            ),
            _tag("nav", *links, aria_label="Sections"),
            _tag(
                "main",
                _Markup(warning),
                *(
                    _tag("section", _tag("h2", title), inside, id=key)
                    for key, title, inside in sections
                ),
            ),
            _Markup('<div id="tip" role="status" hidden></div>'),
        ]
    )
    policy = f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; "
    policy += "base-uri 'none'; form-action 'none'"
    title = f"Forecast: {', '.join(fit.benchmarks)}"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{html.escape(title[:120])}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )


def write_report(fit: Fit, outlook: Forecast, path: str | Path) -> None:
    """`page` as a file: the old one or the new one, never a half."""
    text = page(fit, outlook)
    with replacing(Path(path)) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
