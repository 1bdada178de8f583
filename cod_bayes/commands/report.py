"""`cod-bayes report`: a saved posterior as one HTML page."""

from __future__ import annotations

import argparse

from cod_bayes.commands import options
from cod_bayes.commands.printing import warnings_printed
from cod_bayes.commands.values import given_indexes, given_targets


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("report", help="write a saved posterior as one HTML page")
    options.posterior(parser)
    options.targets(parser, default="the targets of the saved forecast")
    options.indexes(parser)
    options.out_file(parser, "the page, .html", "report.html")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    if arguments.out.suffix not in (".html", ".htm"):
        raise ValueError(f"expected --out to end in .html, got {arguments.out}")
    from cod_bayes.forecast.outlook import Forecast
    from cod_bayes.forecast.storage import load
    from cod_bayes.show.report import write_report

    fit = load(arguments.posterior)
    if arguments.target_compute or arguments.target_params or arguments.target_tokens:
        with warnings_printed():
            outlook = fit.forecast(given_targets(arguments, fit))
    elif "predictions" in fit.idata.children:
        outlook = Forecast(fit.idata["predictions"].to_dataset(), fit.failed_checks)
    else:
        raise ValueError(
            f"{arguments.posterior}: expected a forecast in the file, got none; "
            "give --target-compute in FLOPs, or --target-params and --target-tokens"
        )
    if arguments.index:
        outlook = outlook.of_benchmarks().with_indexes(given_indexes(arguments))
    write_report(fit, outlook, arguments.out)
    print(f"written: {arguments.out}")
    return 0
