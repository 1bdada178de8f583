"""`cod-bayes demo`: the paper's ladder simulated, fitted and forecast, next to its known truth."""

from __future__ import annotations

import argparse
import sys

from cod_bayes.commands import options
from cod_bayes.commands.outputs import print_written, write_forecast
from cod_bayes.commands.printing import (
    FORECAST_COLUMNS,
    clustering_notes,
    print_forecast,
    print_json,
    print_notes,
    records,
    warnings_printed,
)


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "demo", help="simulate a ladder of known truth, forecast its 70B, compare"
    )
    options.seed(parser)
    options.out_folder(parser, "forecast.csv, forecast.png, report.html, posterior.nc", "demo")
    parser.add_argument(
        "--items-scale",
        type=float,
        default=1.0,
        metavar="F",
        help="share of the paper's item counts; 0.03 takes a quarter of the time (default 1)",
    )
    options.json(parser)
    options.quiet(parser, "progress and no notes")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from cod_bayes.evaluate.simulate import simulate
    from cod_bayes.forecast.fitting import fit

    arguments.out.mkdir(parents=True, exist_ok=True)
    world = simulate(arguments.seed, items_scale=arguments.items_scale)
    target = world.truth[world.truth["role"] == "target"]
    if not arguments.quiet:
        print(
            f"simulated: {len(world.evidence.ladder)} ladder models, one anchor, "
            f"{len(world.evidence.benchmarks)} benchmarks; clustering and sampling",
            file=sys.stderr,
        )
    with warnings_printed() as warned:
        fitted = fit(world.evidence, random_seed=arguments.seed, progressbar=not arguments.quiet)
    outlook = fitted.forecast(float(target["compute"].iloc[0]))
    if not arguments.quiet:
        print_notes(clustering_notes(fitted))
    table = outlook.summary()
    truth = dict(zip(target["benchmark"], target["score"], strict=True))
    actual = table["benchmark"].map(truth)
    inside = int(((table["q05"] <= actual) & (actual <= table["q95"])).sum())
    error = float(100 * (table["q50"] - actual).abs().mean())
    files = write_forecast(fitted, outlook, arguments.out, target)
    if arguments.json:
        found = {
            "rows": records(table[FORECAST_COLUMNS].assign(truth=actual)),
            "mean_absolute_error_points": error,
            "inside_90": inside,
            "warnings": warned,
            "failed_checks": list(fitted.failed_checks),
            "files": files,
        }
        print_json(found)
        return 0
    print_forecast(table, truth)
    print(
        f"mean absolute error {error:.1f} points; "
        f"{inside} of {len(table)} truths inside their 90 % interval"
    )
    print_written(files, arguments.out)
    return 0
