"""`cod-bayes report`: a saved posterior as one HTML page."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction) -> None:
    report = commands.add_parser("report", help="write a saved posterior as one HTML page")
    report.add_argument("posterior", type=Path, help="posterior.nc of `cod-bayes forecast`")
    report.add_argument(
        "--target-compute",
        type=float,
        action="append",
        metavar="FLOPS",
        help="may be given several times (default: those forecast when it was saved)",
    )
    report.add_argument(
        "--out",
        type=Path,
        default=Path("report.html"),
        metavar="FILE",
        help="default: report.html",
    )
    report.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    if arguments.out.suffix not in (".html", ".htm"):
        raise ValueError(f"expected --out to end in .html, got {arguments.out}")
    from cod_bayes.forecast.outlook import Forecast
    from cod_bayes.forecast.storage import load
    from cod_bayes.show.report import write_report

    fit = load(arguments.posterior)
    if arguments.target_compute:
        outlook = fit.forecast(arguments.target_compute)
    elif "predictions" in fit.idata.children:
        outlook = Forecast(fit.idata["predictions"].to_dataset(), fit.failed_checks)
    else:
        raise ValueError(
            f"{arguments.posterior}: expected a forecast in the file, got none; "
            "give --target-compute in FLOPs"
        )
    write_report(fit, outlook, arguments.out)
    print(f"written: {arguments.out}")
    return 0
