"""`cod-bayes register`: a forecast written down before the training."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add(commands: argparse._SubParsersAction) -> None:
    register = commands.add_parser("register", help="write a forecast down, to be settled later")
    register.add_argument("posterior", type=Path, help="posterior.nc of `cod-bayes forecast`")
    register.add_argument(
        "--target-compute",
        type=float,
        action="append",
        required=True,
        metavar="FLOPS",
        help="may be given several times",
    )
    register.add_argument(
        "--out", type=Path, default=Path("registration.json"), metavar="FILE", help="a new file"
    )
    register.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from cod_bayes.decide.register import register, write
    from cod_bayes.forecast.storage import load

    fit = load(arguments.posterior)
    record = register(fit, arguments.target_compute, arguments.posterior)
    if fit.failed_checks:
        print(f"warning: unconverged: {', '.join(fit.failed_checks)}", file=sys.stderr)
    write(record, arguments.out)
    print(f"registered: {len(record['forecasts'])} forecasts in {arguments.out}")
    print(f"sha256 {record['sha256']}")
    return 0
