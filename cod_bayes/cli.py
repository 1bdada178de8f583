"""The command line: finds the command, turns refusals into one sentence and an exit code."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

COMMANDS = ("demo", "forecast", "backtest", "ingest", "datasets")


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0 on success, 2 on input that was refused, 130 on an interrupt."""
    arguments = parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except (ValueError, OSError) as error:
        print(f"cod-bayes: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("cod-bayes: interrupted", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    top = argparse.ArgumentParser(
        prog="cod-bayes",
        description="Bayesian forecasts of LLM benchmark scores from a ladder of small models.",
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for name in COMMANDS:
        import_module(f"cod_bayes.commands.{name}").add(commands)
    return top
