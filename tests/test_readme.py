"""What the documents promise: links lead to files, commands have their options, code is valid."""

import re
from pathlib import Path

import pytest

import cod_bayes as cb

ROOT = Path(__file__).parents[1]
DOCUMENTS = ["README.md", "models/cod.md", "models/schema.md", "examples/RESULTS.md"]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_and_named_files_exist(document):
    path = ROOT / document
    text = path.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("https://") or (path.parent / link).exists(), link
    named = re.findall(r"(?:examples|models|cod_bayes)/[\w/]+\.(?:py|toml|md|png)", text)
    for name in named:
        assert (ROOT / name).exists(), name


def test_named_examples_exist():
    (listed,) = re.findall(r"Examples to start from(.*?)\. The", README, re.DOTALL)
    for name in re.findall(r"`(\w+)`", listed):
        assert (ROOT / "examples" / f"{name}.py").exists(), name


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_have_the_options_that_documents_use(document, capsys):
    from cod_bayes.cli import main

    text = (ROOT / document).read_text(encoding="utf-8")
    for command, rest in re.findall(r"(?:    |run |`|\()cod-bayes ([a-z]+)([^`\n]*)", text):
        with pytest.raises(SystemExit) as done:
            main([command, "--help"])
        assert done.value.code == 0
        help_text = capsys.readouterr().out
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in help_text, f"{command} {option}"


def test_names_that_the_readme_imports_exist():
    for name in set(re.findall(r"\bcb\.(\w+)", README)):
        assert getattr(cb, name) is not None


def test_the_python_example_compiles():
    (code,) = re.findall(r"^    import cod_bayes as cb\n(?:    .*\n|\n)*", README, re.MULTILINE)
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 12
    compile("\n".join(line.removeprefix("    ") for line in lines), "README.md", "exec")
