"""`cod-bayes monitor`: checkpoints of the target run against its forecast."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cod_bayes.writing import replacing

if TYPE_CHECKING:
    from cod_bayes.decide.monitor import Monitored


def add(commands: argparse._SubParsersAction) -> None:
    monitor = commands.add_parser(
        "monitor", help="place a run's checkpoints in its forecast, update it, flag departures"
    )
    monitor.add_argument("posterior", type=Path, help="posterior.nc of `forecast`")
    monitor.add_argument(
        "checkpoints",
        type=Path,
        help="one run: benchmark, compute, and n_correct with n_trials or score; "
        ".parquet, .csv, .tsv, .jsonl",
    )
    monitor.add_argument(
        "--target-compute",
        type=float,
        metavar="FLOPS",
        help="of the finished run (default: what `forecast` was asked for)",
    )
    monitor.add_argument(
        "--planned",
        type=float,
        nargs="+",
        default=[],
        metavar="FLOPS",
        help="looks to come; the rate of false alarms then holds over these too",
    )
    monitor.add_argument(
        "--lag",
        type=float,
        nargs="+",
        default=[0.0],
        metavar="DECADES",
        help="an unfinished run scores as a finished one of so many decades less compute: "
        "mean and, optionally, sd (default 0 0)",
    )
    monitor.add_argument(
        "--reference",
        type=Path,
        metavar="TABLE",
        help="take the lag from this earlier run's checkpoints; its last is its finished model",
    )
    monitor.add_argument(
        "--alpha",
        type=float,
        default=0.05,
        help="chance that a run which follows the model is ever flagged (default 0.05)",
    )
    monitor.add_argument("--json", action="store_true", help="print one JSON object")
    monitor.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write checkpoints.csv, looks.csv, forecast.csv, monitor.png",
    )
    monitor.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    if len(arguments.lag) > 2:
        raise ValueError(f"expected --lag MEAN or --lag MEAN SD in decades, got {arguments.lag}")
    from cod_bayes.commands.answers import target_compute
    from cod_bayes.decide.monitor import estimate_lag, monitor, monitor_figure
    from cod_bayes.forecast.storage import load

    fit = load(arguments.posterior)
    lag, lag_sd = (*arguments.lag, 0.0)[:2]
    if arguments.reference is not None:
        if arguments.lag != [0.0]:
            raise ValueError("expected --lag or --reference, got both; leave one out")
        lag, lag_sd = estimate_lag(fit, arguments.reference)
    monitored = monitor(
        fit,
        arguments.checkpoints,
        target_compute(fit, arguments.target_compute),
        planned=arguments.planned,
        lag=lag,
        lag_sd=lag_sd,
        alpha=arguments.alpha,
    )
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        for name in ("checkpoints", "looks", "forecast"):
            with replacing(arguments.out / f"{name}.csv") as part:
                getattr(monitored, name).to_csv(part, index=False)
        with replacing(arguments.out / "monitor.png") as part:
            monitor_figure(monitored).savefig(part, dpi=150, format="png")
    if arguments.json:
        print(monitored.to_json())
        return 0
    show(monitored)
    if arguments.out is not None:
        print(f"written: checkpoints.csv, looks.csv, forecast.csv, monitor.png in {arguments.out}")
    return 0


def show(monitored: Monitored) -> None:
    """Checkpoints, looks and the updated forecast, in percent."""
    from rich.markup import escape
    from rich.table import Table

    from cod_bayes.commands.answers import console, unconverged

    out, doubt = console(), unconverged(monitored.failed_checks)
    placed = Table(title=f"Checkpoints, % correct, given all earlier ones{doubt}")
    for head in ("benchmark", "FLOPs", "observed", "median", "90 %", "position"):
        placed.add_column(head, justify="left" if head == "benchmark" else "right")
    for row in monitored.checkpoints.itertuples():
        placed.add_row(
            escape(row.benchmark),
            f"{row.compute:.3g}",
            f"{100 * row.observed:.1f}",
            f"{100 * row.q50:.1f}",
            f"{100 * row.q05:.1f} – {100 * row.q95:.1f}",
            f"{row.pit:.3f}",
        )
    out.print(placed)

    looks = Table(
        title=f"Run against model; {100 * monitored.alpha:g} % false alarms over "
        f"{monitored.planned} looks{doubt}",
        caption=f"lag of unfinished runs: {monitored.lag:.2f} ± {monitored.lag_sd:.2f} decades",
    )
    for head in ("FLOPs", "training", "decades behind", "p behind", "p departs", "p run", "flag"):
        looks.add_column(head, justify="left" if head == "flag" else "right")
    for row in monitored.looks.itertuples():
        looks.add_row(
            f"{row.compute:.3g}",
            f"{100 * row.training:.0f} %",
            f"{row.behind:+.2f} ± {row.behind_sd:.2f}",
            f"{row.p_behind:.3f}",
            f"{row.p_departs:.3f}",
            f"{row.p_run:.3f}",
            row.flag,
        )
    out.print(looks)

    final = Table(
        title=f"Finished at {monitored.target_compute:.3g} FLOPs, % correct",
        caption="; ".join(monitored.doubts),
    )
    for head in ("benchmark", "before", "90 %", "updated", "90 %"):
        final.add_column(head, justify="left" if head == "benchmark" else "right")
    for name, part in monitored.forecast.groupby("benchmark", sort=False):
        cells = []
        for row in (part.iloc[0], part.iloc[-1]):
            cells += [f"{100 * row.q50:.1f}", f"{100 * row.q05:.1f} – {100 * row.q95:.1f}"]
        final.add_row(escape(str(name)), *cells)
    out.print(final)
