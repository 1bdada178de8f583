"""`cod-bayes completion`: a script by which a shell completes commands, options and file names."""

from __future__ import annotations

import argparse

from cod_bayes.commands import options

SHELLS = ("bash", "zsh", "tcsh")


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "completion",
        help="print a completion script for a shell",
        description='Add to ~/.bashrc: eval "$(cod-bayes completion bash)". '
        "Likewise in ~/.zshrc, after compinit, with zsh. "
        "For tcsh, source the script from a file in ~/.tcshrc.",
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell that is to complete")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from cod_bayes.cli import parser

    print(script(parser(), arguments.shell))
    return 0


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script for one of SHELLS."""
    import shtab

    options.FILES.update(shtab.FILE)
    options.FOLDERS.update(shtab.DIRECTORY)
    return shtab.complete(parser, shell)
