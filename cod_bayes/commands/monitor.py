"""`cod-bayes monitor`: checkpoints of the target run against its forecast."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from cod_bayes.commands import options
from cod_bayes.commands.outputs import picture, write_answer
from cod_bayes.commands.printing import percent, percents, print_table, unconverged
from cod_bayes.commands.values import one_target

if TYPE_CHECKING:
    import pandas as pd

    from cod_bayes.decide.monitor import Monitored
    from cod_bayes.forecast.posterior import Fit

DEPARTS = 3  # exit code


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "monitor",
        help="place a run's checkpoints in its forecast, update it, flag departures",
        epilog="exit codes: 0 follows the model, 3 departs from it, 2 input or options refused",
    )
    options.posterior(parser)
    options.path(
        parser,
        "checkpoints",
        help="table of one run's checkpoints: benchmark, compute, and score or n_correct with "
        f"n_trials; {options.TABLES}; or a folder of such tables, or of logs with --models",
    )
    options.models_table(
        parser, "of logs: table of the checkpoints' compute, as `cod-bayes ingest` takes it"
    )
    options.metric(parser, "of logs: ")
    parser.add_argument(
        "--watch",
        type=float,
        metavar="SECONDS",
        help="look at the checkpoints this often until the run departs or reaches its target; "
        "needs --planned",
    )
    options.target(
        parser, "training compute of the finished run (default: that of the saved forecast)"
    )
    parser.add_argument(
        "--planned",
        type=float,
        nargs="+",
        default=[],
        metavar="FLOPS",
        help="compute of checkpoints still to come; alpha then holds over these too",
    )
    parser.add_argument(
        "--lag",
        type=float,
        nargs="+",
        metavar="DECADES",
        help="an unfinished run scores like a finished run with this much less compute, in powers "
        "of ten: mean and, optionally, sd (default: the checkpoints of the ladder's models show "
        "how a run rises; where they have none, 0 0)",
    )
    options.path(
        parser,
        "--reference",
        metavar="TABLE",
        help="estimate the lag from the checkpoints of an earlier run; the last is its end",
    )
    parser.add_argument(
        "--alpha",
        type=float,
        default=0.05,
        metavar="P",
        help="probability that a run which follows the model is ever flagged (default 0.05)",
    )
    options.json(parser)
    options.out_folder(parser, "checkpoints.csv, looks.csv, forecast.csv and monitor.png")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    if arguments.lag is not None and len(arguments.lag) > 2:
        raise ValueError(f"expected --lag MEAN or --lag MEAN SD in decades, got {arguments.lag}")
    if arguments.watch is not None and not (arguments.watch > 0 and arguments.planned):
        raise ValueError(
            "expected --watch SECONDS above 0 with --planned, the compute of all later looks; "
            "without it each new look is one more chance of a false alarm"
        )
    from cod_bayes.decide.monitor import estimate_lag
    from cod_bayes.decide.watch import gathered, growing
    from cod_bayes.forecast.storage import load

    fit = load(arguments.posterior)
    target = one_target(fit, arguments)
    lag, lag_sd = (*(arguments.lag or [None]), 0.0)[:2]
    if arguments.reference is not None:
        if arguments.lag is not None:
            raise ValueError("expected --lag or --reference, got both; leave one out")
        lag, lag_sd = estimate_lag(fit, arguments.reference)
    read = partial(gathered, arguments.checkpoints, arguments.models, arguments.metric, fit)
    if arguments.watch is None:
        return _answer(arguments, fit, read(), target, lag, lag_sd, arguments.planned)
    print(f"watching {arguments.checkpoints}", file=sys.stderr)
    for table in growing(arguments.checkpoints, read, arguments.watch):
        last = table["compute"].max()
        later = [compute for compute in arguments.planned if compute > last]
        code = _answer(arguments, fit, table, target, lag, lag_sd, later)
        if code or last >= target * (1 - 1e-9):
            return code
    return 0


def _answer(
    arguments: argparse.Namespace,
    fit: Fit,
    table: pd.DataFrame,
    target: float,
    lag: float | None,
    lag_sd: float,
    planned: Sequence[float],
) -> int:
    """Prints and writes what these checkpoints say. DEPARTS if the run is flagged, else 0."""
    from cod_bayes.decide.monitor import monitor

    monitored = monitor(
        fit, table, target, planned=planned, lag=lag, lag_sd=lag_sd, alpha=arguments.alpha
    )
    if arguments.json:
        print(monitored.to_json())
    else:
        show(monitored)
    files = {
        "checkpoints.csv": monitored.checkpoints,
        "looks.csv": monitored.looks,
        "forecast.csv": monitored.forecast,
        "monitor.png": picture("monitor_figure", monitored),
    }
    write_answer(arguments, files)
    return DEPARTS if monitored.flagged else 0


def show(monitored: Monitored) -> None:
    """Checkpoints, looks and the updated forecast, in percent."""
    doubt = unconverged(monitored.failed_checks)
    print_table(
        f"Checkpoints, % correct, given all earlier ones{doubt}",
        ("benchmark", "FLOPs", "observed", "median", "90 %", "position"),
        [
            (
                str(row.benchmark),
                f"{row.compute:.3g}",
                percent(row.observed),
                percent(row.q50),
                percents(row.q05, row.q95),
                f"{row.pit:.3f}",
            )
            for row in monitored.checkpoints.itertuples()
        ],
    )
    caption = "unfinished runs are expected to rise as those of the ladder's models did"
    if monitored.lag is not None:
        caption = f"lag of unfinished runs: {monitored.lag:.2f} ± {monitored.lag_sd:.2f} decades"
    print_table(
        f"Run against model; {100 * monitored.alpha:g} % false alarms over "
        f"{monitored.planned} looks{doubt}",
        (
            "FLOPs",
            "training",
            "decades behind",
            "p behind",
            "p slows",
            "p departs",
            "p run",
            "flag",
        ),
        [
            (
                f"{row.compute:.3g}",
                f"{100 * row.training:.0f} %",
                f"{row.behind:+.2f} ± {row.behind_sd:.2f}",
                f"{row.p_behind:.3f}",
                f"{row.p_slows:.3f}",
                f"{row.p_departs:.3f}",
                f"{row.p_run:.3f}",
                row.flag,
            )
            for row in monitored.looks.itertuples()
        ],
        left=("flag",),
        caption=caption,
    )
    final = []
    for name, part in monitored.forecast.groupby("benchmark", sort=False):
        cells = [str(name)]
        for row in (part.iloc[0], part.iloc[-1]):
            cells += [percent(row.q50), percents(row.q05, row.q95)]
        final.append(cells)
    print_table(
        f"Finished at {monitored.target_compute:.3g} FLOPs, % correct",
        ("benchmark", "before", "90 %", "updated", "90 %"),
        final,
        caption="; ".join(monitored.doubts),
    )
    if monitored.flagged:
        print(f"departs: {monitored.check_first}")
