"""`cod-bayes completion`: a script that completes commands and options in bash or zsh."""

from __future__ import annotations

import argparse
import shlex

_SCRIPT = """\
_cod_bayes() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    words={commands}
  else
    case "${{COMP_WORDS[1]}} ${{COMP_WORDS[COMP_CWORD-1]}}" in
{choices}
    esac
    case "${{COMP_WORDS[1]}} $word" in
{options}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _cod_bayes cod-bayes"""


def add(commands: argparse._SubParsersAction) -> None:
    completion = commands.add_parser(
        "completion",
        help="print a completion script for a shell",
        description='In ~/.bashrc or ~/.zshrc: eval "$(cod-bayes completion bash)", or zsh.',
    )
    completion.add_argument("shell", choices=("bash", "zsh"))
    completion.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from cod_bayes.cli import parser

    if arguments.shell == "zsh":
        print("autoload -U +X compinit bashcompinit && compinit && bashcompinit")
    print(script(parser()))
    return 0


def script(parser: argparse.ArgumentParser) -> str:
    """For bash, or zsh after bashcompinit, of a parser whose first argument is a command.

    Options where a word begins with a dash, the values of an argument that has choices, and the
    shell's own completion of file names for the rest.
    """
    known = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction)).choices
    options, choices = [], []
    for name, command in known.items():
        words = [word for action in command._actions for word in action.option_strings]
        options.append(f'      "{name} -"*) words={shlex.quote(" ".join(words))} ;;')
        for action in command._actions:
            if action.choices:
                values = shlex.quote(" ".join(map(str, action.choices)))
                choices += [
                    f'      "{name} {word}") words={values} ;;'
                    for word in action.option_strings or [name]
                ]
    return _SCRIPT.format(
        commands=shlex.quote(" ".join(known)),
        choices="\n".join(choices),
        options="\n".join(options),
    )
