"""`cod-bayes demo`: the paper's ladder simulated, fitted and forecast, next to its known truth."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cod_bayes.commands.answers import output_options, print_json


def add(commands: argparse._SubParsersAction) -> None:
    demo = commands.add_parser(
        "demo", help="simulate a ladder of known truth, forecast its 70B, compare"
    )
    demo.add_argument("--seed", type=int, default=0)
    demo.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR")
    demo.add_argument(
        "--items-scale",
        type=float,
        default=1.0,
        metavar="F",
        help="a share of the paper's item counts; 0.03 takes a quarter of the time",
    )
    output_options(demo, "no progress and no notes")
    demo.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from cod_bayes.commands.show import (
        COLUMNS,
        forecast_table,
        records,
        routes,
        spoken_warnings,
        write,
    )
    from cod_bayes.evaluate.simulate import simulate
    from cod_bayes.forecast.fitting import fit

    arguments.out.mkdir(parents=True, exist_ok=True)
    world = simulate(arguments.seed, items_scale=arguments.items_scale)
    target = world.truth[world.truth["role"] == "target"]
    said = (
        f"simulated: {len(world.evidence.ladder)} ladder models, one anchor, "
        f"{len(world.evidence.benchmarks)} benchmarks; clustering and sampling"
    )
    if not arguments.quiet:
        print(said, file=sys.stderr)
    with spoken_warnings() as warned:
        fitted = fit(world.evidence, random_seed=arguments.seed, progressbar=not arguments.quiet)
    outlook = fitted.forecast(float(target["compute"].iloc[0]))
    if not arguments.quiet:
        for note in routes(fitted):
            print(f"note: {note}", file=sys.stderr)
    table = outlook.summary()
    truth = dict(zip(target["benchmark"], target["score"], strict=True))
    actual = table["benchmark"].map(truth)
    inside = int(((table["q05"] <= actual) & (actual <= table["q95"])).sum())
    error = float(100 * (table["q50"] - actual).abs().mean())
    files = write(fitted, outlook, arguments.out, target)
    if arguments.json:
        found = {
            "rows": records(table[COLUMNS].assign(truth=actual)),
            "mean_absolute_error_points": error,
            "inside_90": inside,
            "warnings": warned,
            "failed_checks": list(fitted.failed_checks),
            "files": files,
        }
        print_json(found)
        return 0
    forecast_table(table, truth)
    print(
        f"mean absolute error {error:.1f} points; "
        f"{inside} of {len(table)} truths inside their 90 % interval"
    )
    print(f"written: {', '.join(files)} in {arguments.out}")
    return 0
