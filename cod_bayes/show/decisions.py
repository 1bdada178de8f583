"""Figures of decisions and backtests. Every function returns the matplotlib figure."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cod_bayes.decide.compare import Comparison
from cod_bayes.decide.monitor import Monitored
from cod_bayes.decide.next_run import NextRun
from cod_bayes.decide.plan import Plan
from cod_bayes.show.style import BLACK, BLUE, CATEGORIES, GREY, ORANGE, literal, panels

_Z95 = 1.6448536269514722


def plan_figure(plan: Plan) -> Figure:
    """P(goals) against compute, each goal alone where there are several, and C_p."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axis = figure.subplots()
    compute = plan.curve["compute"]
    goals = list(map(str, plan.goals))
    together = "all goals" if len(goals) > 1 else literal(goals[0])
    axis.plot(compute, 100 * plan.curve["probability"], color=BLUE, lw=2.5, label=together)
    for i, goal in enumerate(goals if len(goals) > 1 else [], start=1):
        colour = CATEGORIES[i % len(CATEGORIES)]
        axis.plot(compute, 100 * plan.curve[goal], "--", color=colour, lw=1, label=literal(goal))
    axis.axhline(100 * plan.probability, color=GREY, lw=0.8, ls="--")
    title = f"{100 * plan.probability:g} %: "
    if plan.compute_at_probability is None:
        title += f"not reachable, at most {100 * plan.p_reachable:.1f} %"
    else:
        axis.axvline(plan.compute_at_probability, color=ORANGE, lw=1)
        title += f"{plan.compute_at_probability:.3g} FLOPs"
    if plan.failed_checks:
        _say(figure, f"unconverged: {', '.join(plan.failed_checks)}")
    axis.set(xscale="log", ylim=(0, 102), title=title)
    axis.set(xlabel="compute (FLOPs)", ylabel="probability of reaching the goal (%)")
    axis.legend(fontsize="small")
    return figure


def compare_figure(comparison: Comparison) -> Figure:
    """Per design: the utility's mean, 50 and 90 % intervals, and P(best)."""
    table, names = comparison.table, list(comparison.table.index)
    figure = Figure(figsize=(8.4, 1.6 + 0.5 * len(names)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    q = np.quantile(comparison.utility, [0.05, 0.25, 0.75, 0.95], axis=0)
    at = np.arange(len(names))
    left.hlines(at, q[0], q[3], color=BLUE, lw=2, label="90 %")
    left.hlines(at, q[1], q[2], color=BLUE, lw=6, label="50 %")
    left.plot(table["utility"], at, "o", color=BLACK, label="mean")
    left.axvline(comparison.baseline, color=ORANGE, lw=1, ls="--", label="doing nothing")
    left.set(
        yticks=at,
        yticklabels=[literal(str(name)) for name in names],
        xlabel=f"utility ({comparison.unit})",
    )
    left.invert_yaxis()
    left.legend(fontsize="small")
    right.barh(at, 100 * table["p_best"], color=BLUE)
    right.set(xlim=(0, 100), xlabel="P(best) (%)")
    if comparison.failed_checks:
        failed = (f"{name}: {', '.join(c)}" for name, c in comparison.failed_checks.items())
        _say(figure, f"unconverged: {'; '.join(failed)}")
    return figure


def next_figure(found: NextRun) -> Figure:
    """Expected sd of the target's score after each candidate, and the reduction per cost."""
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    runs = found.table[found.table["kind"] == "run"].sort_values("compute")
    for (seeds, part), colour in zip(runs.groupby("seeds"), CATEGORIES, strict=False):
        label = f"after {seeds} runs" if seeds > 1 else "after a run"
        left.plot(part["compute"], 100 * part["sd_after"], "o-", color=colour, label=label)
        error = 2 * part["reduction_se"] / part["cost"] / runs["per_cost"].max()
        height = part["per_cost"] / runs["per_cost"].max()
        right.errorbar(part["compute"], height, error, fmt="o-", color=colour, capsize=3)
    left.axhline(100 * found.table["sd_before"].iloc[0], color=GREY, ls="--", label="now")
    others = found.table[(found.table["kind"] != "run") & found.table["counts"]]
    for row in others.itertuples():
        of = f"anchor on {row.benchmark}" if row.kind == "anchor" else f"{row.factor:g}x {row.kind}"
        left.axhline(100 * row.sd_after, color=ORANGE, ls=":", label=literal(of))
    left.set(xscale="log", xlabel="compute of the run (FLOPs)", ylabel="sd of the target (points)")
    left.legend(fontsize="small")
    right.set(
        xscale="log",
        xlabel="compute of the run (FLOPs)",
        ylabel="reduction per cost, ± 2 s.e., best = 1",
        ylim=(-0.05, 1.4),
    )
    if found.failed_checks:
        _say(figure, f"unconverged: {', '.join(found.failed_checks)}")
    return figure


def monitor_figure(monitored: Monitored) -> Figure:
    """Per benchmark: checkpoints in their bands and the forecast after each; then the looks."""
    names = list(dict.fromkeys(monitored.checkpoints["benchmark"]))
    figure, axes = panels(len(names) + 1)
    for axis, name in zip(axes, names, strict=False):
        rows = monitored.checkpoints[monitored.checkpoints["benchmark"] == name]
        at = rows["compute"] / monitored.target_compute
        low, middle, high = (100 * rows[q] for q in ("q05", "q50", "q95"))
        axis.fill_between(at, low, high, color=BLUE, alpha=0.25, lw=0)
        axis.errorbar(
            at, middle, [middle - low, high - middle], fmt="_", color=BLUE, label="predicted, 90 %"
        )
        axis.plot(at, 100 * rows["observed"], "o", color=BLACK, ms=4, label="observed")
        after = monitored.forecast[monitored.forecast["benchmark"] == name]
        for row, x, colour, label in (
            (after.iloc[0], 1.04, BLUE, "final, before"),
            (after.iloc[-1], 1.09, ORANGE, "final, updated"),
        ):
            span = [[100 * (row.q50 - row.q05)], [100 * (row.q95 - row.q50)]]
            axis.errorbar(x, 100 * row.q50, span, fmt="_", color=colour, capsize=3, label=label)
        axis.set(xlabel="share of training", ylabel="score (%)", title=literal(name[:40]))
    axes[0].legend(fontsize="small")
    axis = axes[len(names)]
    looks = monitored.looks
    axis.errorbar(
        looks["training"], looks["behind"], _Z95 * looks["behind_sd"], fmt="o", color=BLUE, ms=4
    )
    flagged = looks[looks["flag"] != ""]
    axis.plot(flagged["training"], flagged["behind"], "o", color=ORANGE, label="flagged")
    axis.axhline(0, color=BLACK, lw=0.8)
    axis.set(xlabel="share of training", ylabel="decades behind", title="run against the model")
    if len(flagged):
        axis.legend(fontsize="small")
    if doubts := monitored.doubts:
        _say(figure, "; ".join(doubts))
    return figure


def reliability_figure(rows: pd.DataFrame) -> Figure:
    """Coverage of central intervals against their nominal level, and a PIT histogram per method.

    A central interval of level p holds the outcome where |PIT - 1/2| <= p / 2.
    """
    lines = ["-", "--", ":"]  # of all colours, before the next
    made = rows[rows["crps"].notna() & (rows["kind"] == "benchmark")]
    methods = list(made["method"].unique())
    figure, axes = panels(len(methods) + 1)
    nominal = np.linspace(0, 1, 101)
    axes[0].plot([0, 1], [0, 1], color=GREY, lw=0.8)
    for k, method in enumerate(methods):
        pit = made.loc[made["method"] == method, "pit"].to_numpy()
        colour = CATEGORIES[k % len(CATEGORIES)]
        coverage = (np.abs(pit - 0.5)[:, None] <= nominal / 2).mean(axis=0)
        style = lines[k // len(CATEGORIES) % len(lines)]
        axes[0].plot(nominal, coverage, style, color=colour, label=f"{method} ({len(pit)})")
        axes[k + 1].hist(pit, bins=10, range=(0, 1), color=colour, edgecolor="white")
        axes[k + 1].axhline(len(pit) / 10, color=GREY, lw=0.8)
        axes[k + 1].set(title=literal(method), xlabel="PIT", ylabel="forecasts")
    axes[0].set(xlabel="nominal level of the interval", ylabel="share of outcomes inside")
    axes[0].legend(fontsize="small")
    return figure


def _say(figure: Figure, doubts: str) -> None:
    """Above the figure: why it is not to be relied on."""
    figure.suptitle(literal(doubts), color=ORANGE, fontsize="small")
