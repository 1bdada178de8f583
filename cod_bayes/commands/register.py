"""`cod-bayes register`: a forecast written down before the training."""

from __future__ import annotations

import argparse
import sys

from cod_bayes.commands import options
from cod_bayes.commands.values import given_indexes


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("register", help="write a forecast down, to be settled later")
    options.posterior(parser)
    options.target_computes(parser)
    options.indexes(parser)
    options.out_file(parser, "the record; the file must not exist yet", "registration.json")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from cod_bayes.decide.register import register, write
    from cod_bayes.forecast.storage import load

    fit = load(arguments.posterior)
    record = register(
        fit, arguments.target_compute, arguments.posterior, indexes=given_indexes(arguments)
    )
    if fit.failed_checks:
        print(f"warning: unconverged: {', '.join(fit.failed_checks)}", file=sys.stderr)
    write(record, arguments.out)
    print(f"registered: {len(record['forecasts'])} forecasts in {arguments.out}")
    print(f"sha256 {record['sha256']}")
    return 0
