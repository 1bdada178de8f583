"""A forecast as one HTML page that needs nothing else: no network, no file beside it.

    page(fit, outlook)                 the page as text
    write_report(fit, outlook, path)   the page as a file

The page is the template report.html.j2 with report.css and report.js inside; its charts are the
figures of `cod_bayes.show.plots` as SVG, and pointing at them shows their values. The template
escapes all text (names of benchmarks, models, clusters, reasons of priors). The page's own policy
lets a browser run exactly one script and one style sheet, which it knows by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from cod_bayes.forecast.outlook import Forecast
from cod_bayes.forecast.posterior import Fit
from cod_bayes.model.spec import Prior
from cod_bayes.model.variables import CURVE, PARAMETERS
from cod_bayes.sampling import checks
from cod_bayes.show import plots, words
from cod_bayes.show.hover import svg
from cod_bayes.show.numbers import mapping_bands, placed_cells
from cod_bayes.writing import replacing

_MOST_GOALS = 12  # columns of a decision table
_MARKS = {"forecastable": ("●", "good"), "wide": ("◐", "fair"), "not forecastable": ("○", "poor")}
_ROUTES = {
    "one_cluster": "all items together",
    "mean_shift": "MeanShift on half of the trials, rates from the other half",
    "given": "labels of another ladder, rates from all trials",
}
_SYMBOLS = {"eta": "η", "beta": "β", "gamma": "γ", "g": "g"}


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
        rows: cells are text, or a dictionary of text, css (a class) and a note.
        words: how many of the first columns are words; the others are numbers.
        prose: the last column is running text.
    """

    heads: list[str]
    rows: list[list[Any]]
    words: int = 1
    prose: bool = False
    caption: str = ""


def page(fit: Fit, outlook: Forecast) -> str:
    """The report as HTML.

    Verdicts, forecasts, clusters, mapping, diagnostics, prior and assumptions, decision tables.

    Args:
        fit: a fit or a loaded posterior.
        outlook: its forecast, at one or more computes.
    """
    style, script = (_file(name) for name in ("report.css", "report.js"))
    mapped = [name for name in fit.benchmarks if mapping_bands(fit, name) is not None]
    cells, built_by = _cells(fit), fit.idata.attrs["built_by"]
    content = {
        "policy": f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'",
        "style": Markup(style),
        "script": Markup(script),
        "benchmarks": ", ".join(fit.benchmarks),
        "about": _about(fit),
        "failed_checks": outlook.failed_checks,
        "lead": _lead(outlook),
        "verdicts": _verdicts(fit, outlook),
        "two_forecasts": _two_forecasts(fit, outlook),
        "forecasts": [
            _chart(plots.forecast_figure(fit, outlook, benchmarks=[name]), f"Forecast of {name}")
            for name in [*fit.benchmarks, *(index.name for index in outlook.indexes)]
        ],
        "clusters": [
            _chart(plots.clusters_figure(fit, [name]), f"Clusters of {name}")
            + _chart(plots.predictability_figure(fit, [name]), f"P(predictable) in {name}")
            for name in fit.benchmarks
        ],
        "cluster_table": _cluster_table(fit),
        "mappings": [
            _chart(plots.mapping_figure(fit, name), f"Mapping of {name}") for name in mapped
        ],
        "unmapped": [name for name in fit.benchmarks if name not in mapped],
        "convergence": _diagnostics(fit),
        "cells": cells,
        "pit": _chart(plots.pit_figure(fit), "PIT of the ladder's cells") if cells else None,
        "spec": fit.spec,
        "built_by": built_by,
        "priors": _priors(fit),
        "constants": _constants(fit),
        "routes": _routes(fit),
        "prior_charts": [
            _chart(plots.prior_predictive_figure(fit, [name]), f"Prior of {name}")
            for name in fit.benchmarks
            if not built_by
        ],
        "decisions": _decisions(outlook),
    }
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_file("report.html.j2")).render(content) + "\n"


def write_report(fit: Fit, outlook: Forecast, path: str | Path) -> None:
    """`page` as a file: the old one or the new one, never a half."""
    text = page(fit, outlook)
    with replacing(Path(path)) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def _file(name: str) -> str:
    return resources.files("cod_bayes.show").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _chart(figure: Figure, label: str) -> Markup:
    return Markup(svg(figure, label))


# --- what the sections hold ----------------------------------------------------------------------


def _about(fit: Fit) -> list[tuple[str, str]]:
    attrs, constant = fit.idata.attrs, fit.idata["constant_data"].to_dataset()
    flops = constant["compute"].values
    computes = f"{words.flops(flops.min())} to {words.flops(flops.max())} FLOPs"
    clusters = constant.sizes["cluster"]
    return [
        ("Ladder", f"{len(flops)} models, {computes}"),
        ("Benchmarks", f"{len(fit.benchmarks)}, {clusters} clusters of items"),
        ("Model", f"{attrs['model']}, cod-bayes {attrs['version']}, seed {attrs['random_seed']}"),
        ("Evidence", str(attrs["evidence_digest"])[:16]),
    ]


def _lead(outlook: Forecast) -> list[str]:
    """The verdicts counted, a line per compute."""
    lines, end = [], ", from an unconverged posterior." if outlook.failed_checks else "."
    for compute, part in outlook.of_benchmarks().summary().groupby("compute"):
        kinds = [_kind(verdict) for verdict in part["verdict"]]
        counts = [f"{kinds.count(k)} {k}" for k in _MARKS if k in kinds]
        of = f"{len(part)} benchmark{'s' if len(part) > 1 else ''}"
        lines.append(
            f"At {words.flops(float(str(compute)))} FLOPs, of {of}: {', '.join(counts)}{end}"
        )
    return lines


def _verdicts(fit: Fit, outlook: Forecast) -> list[dict[str, Any]]:
    top = fit.idata["constant_data"].to_dataset()["compute"].values.max()
    verdicts = []
    for row in outlook.summary().to_dict("records"):
        mark, css = _MARKS[_kind(row["verdict"])]
        shown = {
            "compute": words.flops(row["compute"]),
            "beyond": f"{row['compute'] / top:.2g} × the compute of the largest ladder model",
            "q": [round(100 * row[q], 2) for q in ("q05", "q25", "q50", "q75", "q95")],
            "median": words.percent(row["q50"]),
            "interval": words.interval(row["q05"], row["q95"]),
            "mark": mark,
            "css": "bad" if outlook.failed_checks else css,
        }
        verdicts.append(row | shown)
    return verdicts


def _kind(verdict: str) -> str:
    return next(k for k in ("not forecastable", "forecastable", "wide") if k in verdict)


def _two_forecasts(fit: Fit, outlook: Forecast) -> Table | None:
    """The two forecasts behind each mean; None for a fit of one posterior."""
    if fit.whole is None:
        return None
    targets = outlook.draws["compute"].values
    made = [f.draws(targets)["score"] for f in (fit.alone, fit.whole)] + [outlook.draws["score"]]
    clusters = fit.summary()["benchmark"].value_counts()
    rows: list[list[Any]] = []
    for name in (name for name in fit.benchmarks if clusters[name] > 1):
        for compute in targets:
            each = (score.sel(benchmark=name, compute=compute).values for score in made)
            q = [100 * np.quantile(y, [0.05, 0.5, 0.95]) for y in each]
            cells = (f"{middle:.1f} ({low:.1f} to {high:.1f})" for low, middle, high in q)
            rows.append([name, words.flops(compute), *cells])
    return Table(["benchmark", "FLOPs", "of clusters", "of one curve", "mean"], rows, words=2)


def _cluster_table(fit: Fit) -> Table:
    table = fit.summary()
    curve = [name for name in CURVE if name in table]
    heads = ["cluster", "kind", "items", "P(predictable)", *(_SYMBOLS[name] for name in curve)]
    rows: list[list[Any]] = [
        [
            str(cluster),
            row["kind"],
            words.percent(row["weight"]),
            f"{row['p_predictable']:.2f}",
            *(f"{row[name]:.2f}" for name in curve),
        ]
        for cluster, row in table.iterrows()
    ]
    return Table(heads, rows, words=2)


def _diagnostics(fit: Fit) -> list[tuple[str, list[Table]]]:
    """Convergence of each posterior."""
    if fit.whole is None:
        return [("Convergence", _convergence(fit))]
    return [
        ("Convergence, clusters", _convergence(fit)),
        ("Convergence, whole benchmarks", _convergence(fit.whole)),
    ]


def _convergence(fit: Fit) -> list[Table]:
    posterior, stats = (fit.idata[g].to_dataset() for g in ("posterior", "sample_stats"))
    rows: list[list[Any]] = []
    for name in PARAMETERS:
        columns = checks.moving(posterior, name) if name in posterior else []
        if columns:
            r_hat, bulk = checks.worst_r_hat(columns), checks.least_bulk_ess(columns)
            passed = (
                _check(f"{r_hat:.3f}", r_hat < checks.R_HAT),
                _check(f"{bulk:,.0f}", bulk > checks.BULK_ESS),
            )
            rows.append([name, len(columns), *passed, f"{checks.least_tail_ess(columns):,.0f}"])
    divergent, e_bfmi = checks.divergences(stats), checks.least_e_bfmi(stats)
    chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
    sampler: list[list[Any]] = [
        ["chains × draws", f"{chains} × {draws:,}", ""],
        ["divergences", _check(f"{divergent}", divergent == 0), "none"],
        ["smallest E-BFMI", _check(f"{e_bfmi:.2f}", e_bfmi > checks.E_BFMI), f"> {checks.E_BFMI}"],
    ]
    limits = f"worst r̂ (< {checks.R_HAT})", f"least bulk ESS (> {checks.BULK_ESS})"
    heads = ["parameter", "values", *limits, "least tail ESS"]
    return [Table(["sampler", "", "limit"], sampler), Table(heads, rows)]


def _check(value: str, passed: bool) -> Any:
    return value if passed else {"text": f"✗ {value}", "css": "fail"}


def _cells(fit: Fit) -> Table | None:
    """How many ladder cells fall into their replicated intervals; None as `placed_cells`."""
    cells = placed_cells(fit)
    if cells is None:
        return None
    rows: list[list[Any]] = []
    for name in fit.benchmarks:
        part = cells[cells["benchmark"] == name]
        away = (part["pit"] - 0.5).abs()
        inside = [f"{100 * (away <= p / 2).mean():.0f} %" for p in (0.5, 0.9)]
        rows.append([name, len(part), *inside, f"{100 * part['error'].mean():.1f}"])
    return Table(["benchmark", "cells", "in 50 %", "in 90 %", "mean error, points"], rows)


def _priors(fit: Fit) -> Table:
    posterior = fit.idata["posterior"].to_dataset()
    rows: list[list[Any]] = []
    for name, prior in fit.spec.priors.items():
        before, after = prior.distribution.ppf([0.05, 0.5, 0.95]), "–"
        if name in posterior:
            after = words.spread(np.quantile(posterior[name], [0.05, 0.5, 0.95]))
        rows.append([name, _law(prior), words.spread(before), after, _why(prior)])
    heads = ["parameter", "prior", "prior median (90 %)", "posterior (90 %)", "why, and unit"]
    return Table(heads, rows, prose=True)


def _constants(fit: Fit) -> Table:
    described = fit.spec.described.items()
    rows: list[list[Any]] = [[name, f"{c.value:g}", _why(c)] for name, c in described]
    return Table(["constant", "value", "why, and unit"], rows, prose=True)


def _law(prior: Prior) -> str:
    return f"{prior.family}({prior.mu:g}, {prior.sigma:g})".replace("-", "−")


def _why(described: Any) -> dict[str, str]:
    return {"text": described.why, "css": "prose", "note": described.unit}


def _routes(fit: Fit) -> Table:
    constant = fit.idata["constant_data"].to_dataset()
    count = pd.Series(constant["benchmark_of_cluster"].values).value_counts()
    rows: list[list[Any]] = [
        [name, int(count[name]), _ROUTES.get(str(route), str(route))]
        for name, route in zip(fit.benchmarks, constant["route"].values, strict=True)
    ]
    return Table(["benchmark", "clusters", "route"], rows, prose=True)


def _decisions(outlook: Forecast) -> list[Table]:
    """Per benchmark: P(score >= s) at each compute, for goals s around where the score may fall."""
    tables = []
    for name in outlook.draws["benchmark"].values:
        score = outlook.draws["score"].sel(benchmark=name)
        goals = _goals(*np.quantile(score, [0.01, 0.99]))
        rows: list[list[Any]] = []
        for compute in outlook.draws["compute"].values:
            at = score.sel(compute=compute).values
            chances = [float((at >= goal / 100 - 1e-9).mean()) for goal in goals]
            cells = [{"text": words.chance(p), "css": f"p{round(10 * p)}"} for p in chances]
            rows.append([words.flops(float(compute)), *cells])
        heads = ["FLOPs", *(f"≥ {goal:g} %" for goal in goals)]
        tables.append(Table(heads, rows, caption=str(name)))
    return tables


def _goals(low: float, high: float) -> np.ndarray:
    """Round goals in percent that the score may reach or miss."""
    low, high = 100 * low, 100 * high
    for step in (1, 2, 5, 10):
        goals = np.arange(np.floor(low / step), np.ceil(high / step) + 1) * step
        goals = goals[(goals > 0) & (goals <= 100)]
        if len(goals) <= _MOST_GOALS:
            break
    return goals
