"""The command line: finds the command, turns refusals into one sentence and an exit code."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from cod_bayes import __version__

COMMANDS: tuple[str, ...] = (
    "demo",
    "ingest",
    "forecast",
    "report",
    "plan",
    "compare",
    "next",
    "monitor",
)
COMMANDS += ("register", "settle", "backtest", "datasets", "completion")
_EXIT_CODES = "exit codes: 0 done, 2 input or options refused, 130 interrupted"


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0 on success, 2 on input that was refused, 130 on an interrupt."""
    with _interrupts() as came:
        try:
            arguments = parser().parse_args(argv)
            return arguments.run(arguments)
        except KeyboardInterrupt:
            print("cod-bayes: interrupted", file=sys.stderr)
            return 130
        except Exception as error:
            if came:  # the sampler keeps an interrupt to itself and fails on what it has
                print("cod-bayes: interrupted", file=sys.stderr)
                return 130
            if not isinstance(error, ValueError | OSError):
                raise
            print(f"cod-bayes: {error}", file=sys.stderr)
            return 2


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """The interrupts that came, also those that somebody caught."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def note(number: int, _: object) -> None:
        came.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, before)


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
