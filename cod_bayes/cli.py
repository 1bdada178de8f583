"""The command line: finds the command, turns refusals into one sentence and an exit code."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from cod_bayes import __version__

COMMANDS: tuple[str, ...] = (
    "demo",
    "ingest",
    "clusters",
    "forecast",
    "report",
    "plan",
    "compare",
    "next",
    "monitor",
    "register",
    "settle",
    "backtest",
    "datasets",
    "completion",
)
_EXIT_CODES = "exit codes: 0 done, 2 input or options refused, 3 a monitored run departs, "
_EXIT_CODES += "130 interrupted"


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0 on success, 2 on input that was refused, 3 on a monitored run that
    departs, 130 on an interrupt."""
    try:
        arguments = parser().parse_args(argv)
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
        epilog=_EXIT_CODES,
    )
    top.add_argument("--version", action="version", version=f"cod-bayes {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for name in COMMANDS:
        import_module(f"cod_bayes.commands.{name}").add(commands)
    return top


if __name__ == "__main__":
    sys.exit(main())
