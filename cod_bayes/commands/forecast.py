"""`cod-bayes forecast`: from a table of evidence to a table, a picture, a report, a posterior."""

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
from cod_bayes.commands.values import given_indexes, given_targets, require_target

INTERRUPTED = "interrupted.nc"
ENGINES = ("fast", "pymc", "jax")


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("forecast", help="forecast a target's scores from a table")
    options.evidence(parser)
    options.targets(parser)
    options.benchmarks(parser)
    options.families(parser)
    options.indexes(parser)
    for name, default, meaning in (
        ("--ladder", None, "only these models form the ladder; repeat the option for several"),
        ("--hold-out", [], "models that are targets: shown in figures, never fitted"),
        ("--anchor", [], "models of any family that inform the mapping only"),
    ):
        parser.add_argument(name, action="append", default=default, metavar="GLOB", help=meaning)
    parser.add_argument(
        "--effective-compute",
        action="store_true",
        help="count a model's compute as that of the optimal training with its loss, from params "
        "and tokens",
    )
    parser.add_argument(
        "--model",
        default="cod",
        metavar="NAME",
        help="Bayesian model, by name or TOML file (default: cod)",
    )
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        help="what samples the model: compiled code for the shipped model (fast), PyMC's own "
        "compiler for any model (pymc), or JAX (jax)",
    )
    parser.add_argument(
        "--preview",
        action="store_true",
        help="fit every benchmark as one cluster, in a third of the time",
    )
    options.path(
        parser,
        "--clusters",
        metavar="TABLE",
        help="the items' clusters, of `cod-bayes clusters` on another ladder of these benchmarks",
    )
    options.seed(parser)
    options.out_folder(parser, "forecast.csv, forecast.png, report.html, posterior.nc", "forecast")
    options.json(parser)
    options.quiet(parser, "progress and no notes")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    require_target(arguments)
    for compute in arguments.target_compute or []:
        if not 0 < compute < float("inf"):
            raise ValueError(f"expected --target-compute > 0 in FLOPs, got {compute}")
    from cod_bayes.evidence.checks import check_targets
    from cod_bayes.evidence.effective_compute import on_effective_compute
    from cod_bayes.evidence.record import read_table
    from cod_bayes.forecast.fitting import Interrupted, fit
    from cod_bayes.forecast.index import in_full

    indexes = given_indexes(arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)  # refused before the work, not after
    engine = {} if arguments.engine is None else {"engine": arguments.engine}
    with warnings_printed() as warned:
        evidence = read_table(
            arguments.evidence,
            benchmarks=arguments.benchmark,
            families=arguments.family,
            ladder=arguments.ladder,
            hold_out=arguments.hold_out,
            anchors=arguments.anchor,
        )
        if arguments.effective_compute:
            evidence = on_effective_compute(evidence)
        targets = given_targets(arguments, evidence)
        of_ladder = evidence.models.loc[list(evidence.ladder), "compute"]
        check_targets(targets, of_ladder)  # refused before the work, not after
        in_full(indexes, list(evidence.benchmarks))  # refused before the work, not after
        try:
            fitted = fit(
                evidence,
                arguments.model,
                random_seed=arguments.seed,
                progressbar=not arguments.quiet,
                preview=arguments.preview,
                clusters=arguments.clusters,
                **engine,
            )
        except Interrupted as stopped:
            # Beside the outputs of a run before it, not over them.
            stopped.fit.save(arguments.out / INTERRUPTED)
            kept = f"{stopped.fit.failed_checks[0]}, kept in {arguments.out / INTERRUPTED}"
            print(f"cod-bayes: {kept}", file=sys.stderr)
            return 130
    outlook = fitted.forecast(targets).with_indexes(indexes)
    notes = [*evidence.notes, *clustering_notes(fitted)]
    if not arguments.quiet:
        print_notes(notes)
    files = write_forecast(fitted, outlook, arguments.out)
    if arguments.json:
        found = {
            "rows": records(outlook.summary()[FORECAST_COLUMNS]),
            "notes": notes,
            "warnings": warned,
            "failed_checks": list(fitted.failed_checks),
            "files": files,
        }
        print_json(found)
        return 0
    print_forecast(outlook.summary())
    print_written(files, arguments.out)
    return 0
