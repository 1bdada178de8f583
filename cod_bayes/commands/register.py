"""`cod-bayes register`: a forecast written down before the training."""

from __future__ import annotations

import argparse
import sys

from cod_bayes.commands import options
from cod_bayes.commands.printing import warnings_printed
from cod_bayes.commands.values import given_indexes, given_targets, require_target


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("register", help="write a forecast down, to be settled later")
    options.posterior(parser)
    options.targets(parser)
    options.indexes(parser)
    parser.add_argument(
        "--assume",
        action="append",
        default=[],
        metavar="TEXT",
        help="an assumption that is registered beside those of the model; repeat the option for "
        "several",
    )
    options.out_file(
        parser,
        "the record, with a page .md beside it; neither may exist yet",
        "registration.json",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from cod_bayes.decide.register import register, write
    from cod_bayes.forecast.storage import load

    require_target(arguments)
    fit = load(arguments.posterior)
    if arguments.out.suffix == ".md":
        raise ValueError(f"expected --out of a JSON file, got {arguments.out}; the page is beside")
    with warnings_printed():
        targets = given_targets(arguments, fit)
    record = register(
        fit,
        targets,
        arguments.posterior,
        indexes=given_indexes(arguments),
        assumptions=arguments.assume,
    )
    if fit.failed_checks:
        print(f"warning: unconverged: {', '.join(fit.failed_checks)}", file=sys.stderr)
    write(record, arguments.out)
    page = arguments.out.with_suffix(".md")
    print(f"registered: {len(record['forecasts'])} forecasts in {arguments.out}, {page}")
    print(f"sha256 {record['sha256']}")
    return 0
