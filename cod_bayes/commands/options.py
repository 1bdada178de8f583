"""The options that several commands share. Each is declared here, once.

Every function adds one option to a parser; its arguments are what differs between commands.

Options that name a file or a folder carry an attribute `complete`, as shtab expects it. shtab is
slow to import, so FILES and FOLDERS are empty until `cod-bayes completion` fills them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

TABLE_SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl")
TABLES = ", ".join(TABLE_SUFFIXES)

FILES: dict[str, Any] = {}
FOLDERS: dict[str, Any] = {}


def path(parser: argparse.ArgumentParser, name: str, *, folder: bool = False, **more: Any) -> None:
    """An option or argument that names a file or, where `folder`, a folder."""
    action = parser.add_argument(name, type=Path, **more)
    action.complete = FOLDERS if folder else FILES  # type: ignore[attr-defined]


def evidence(parser: argparse.ArgumentParser) -> None:
    path(parser, "evidence", help=f"table of scores: {TABLES}; or a folder")


def posterior(parser: argparse.ArgumentParser) -> None:
    path(parser, "posterior", help="posterior.nc of `cod-bayes forecast`")


def amount(text: str) -> float:
    """A number above 0 with or without a unit, such as 70B."""
    from cod_bayes.evidence.amounts import number_of

    number = number_of(text, "params")
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number such as 70B or 1.5e12, got {text!r}")
    return number


def target_compute(parser: argparse.ArgumentParser, meaning: str) -> None:
    """One target by its compute."""
    parser.add_argument("--target-compute", type=float, metavar="FLOPS", help=meaning)


def target(parser: argparse.ArgumentParser, meaning: str) -> None:
    """One target by its compute or its size; `values.one_target` reads it."""
    target_compute(parser, meaning)
    _target_size(parser)


def targets(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """One target or several, each by its compute or its size; `values.given_targets` reads them.

    default: what happens without the options; None: they are required.
    """
    parser.add_argument(
        "--target-compute",
        type=float,
        action="append",
        metavar="FLOPS",
        help="training compute of the target; repeat the option for several targets"
        + ("" if default is None else f" (default: {default})"),
    )
    _target_size(parser, action="append")


def _target_size(parser: argparse.ArgumentParser, **more: Any) -> None:
    for name, what, example in (("params", "parameters", "70B"), ("tokens", "tokens", "15T")):
        parser.add_argument(
            f"--target-{name}",
            type=amount,
            metavar="N",
            help=f"in place of the compute: {what} of the target, such as {example}",
            **more,
        )


def benchmarks(parser: argparse.ArgumentParser, meaning: str = "use only this benchmark") -> None:
    parser.add_argument(
        "--benchmark",
        action="append",
        metavar="B",
        help=f"{meaning}; repeat the option for several (default: all)",
    )


def families(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--family",
        action="append",
        metavar="F",
        help="use only models of this family; repeat the option for several (default: all)",
    )


def goals(parser: argparse.ArgumentParser, meaning: str, *, required: bool = False) -> None:
    parser.add_argument(
        "--goal", action="append", required=required, metavar="B>=RATE", help=meaning
    )


def indexes(parser: argparse.ArgumentParser) -> None:
    """Weighted means of benchmarks; `values.given_indexes` reads them."""
    parser.add_argument(
        "--index",
        action="append",
        default=[],
        metavar="NAME=GLOB[,GLOB...]",
        help="also the mean over these benchmarks, under this name, such as 'mmlu=mmlu_*'; "
        "repeat the option for several",
    )
    parser.add_argument(
        "--index-weights",
        choices=("equal", "items"),
        default="equal",
        help="weight of each benchmark in an index: equal, or its number of items (default equal)",
    )


def models_table(parser: argparse.ArgumentParser, meaning: str, *, required: bool = False) -> None:
    path(parser, "--models", required=required, metavar="CSV", help=meaning)


def metric(parser: argparse.ArgumentParser, of: str = "") -> None:
    """of: what it is the score of, where that is not plain."""
    parser.add_argument(
        "--metric",
        action="append",
        metavar="M",
        help=f"{of}the score to take; of several, each benchmark takes the first that it has",
    )


def value(parser: argparse.ArgumentParser, meaning: str) -> None:
    parser.add_argument("--value", type=float, metavar="V", help=meaning)


def baseline(parser: argparse.ArgumentParser, meaning: str, default: float | None = None) -> None:
    parser.add_argument("--baseline", type=float, default=default, metavar="U", help=meaning)


def cost_record(parser: argparse.ArgumentParser) -> None:
    path(
        parser,
        "--cost",
        metavar="FILE",
        help="what training costs: throughput, prices, power; .toml or .json",
    )


def cost_of_candidates(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cost",
        type=float,
        nargs="+",
        metavar="X",
        help="cost of each candidate, in any unit (default: its compute)",
    )


def seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of the random numbers (default 0)"
    )


def out_file(parser: argparse.ArgumentParser, meaning: str, default: str | None = None) -> None:
    """The one file that the command writes. default: None where `meaning` says what happens."""
    path(
        parser,
        "--out",
        default=None if default is None else Path(default),
        metavar="FILE",
        help=meaning if default is None else f"{meaning} (default: {default})",
    )


def out_folder(parser: argparse.ArgumentParser, files: str, default: str | None = None) -> None:
    """The folder of the command's files. default: None writes no file without the option."""
    path(
        parser,
        "--out",
        folder=True,
        default=None if default is None else Path(default),
        metavar="DIR",
        help=f"folder for {files} (default: {default or 'no files'})",
    )


def json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object in place of the table"
    )


def quiet(parser: argparse.ArgumentParser, left_out: str) -> None:
    """left_out: what the option silences."""
    parser.add_argument(
        "-q", "--quiet", action="store_true", help=f"print no {left_out}; warnings stay"
    )
