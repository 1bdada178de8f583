"""Imports point one way, along the flow from evidence to the command line; files stay short."""

from __future__ import annotations

import ast
from importlib.util import resolve_name
from pathlib import Path

import pytest

import cod_bayes

PACKAGE = Path(cod_bayes.__file__).parent
FLOW = (
    "evidence",
    "ingest",
    "clustering",
    "model",
    "sampling",
    "forecast",
    "decide",
    "evaluate",
    "show",
    "commands",
)
TOP = {"__init__", "cli", "writing"}  # modules beside the folders

EXCEPTIONS = {  # (module, imported module): reason
    ("commands.completion", "cli"): "completes the whole parser, which only cli puts together",
    ("decide.register", "evaluate.scoring"): "a registered forecast is settled by the same scores "
    "as a backtest",
}

MOST_LINES = 400
LONG = {"sampling/kernels.py"}  # all compiled loops, so that Numba's cache notices every change
STILL_LONG: set[str] = set()  # to be split; a file leaves it as soon as it is short enough

MODULES = {
    ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): file
    for file in sorted(PACKAGE.rglob("*.py"))
}


def imports(name: str, source: str) -> set[str]:
    """Modules of the package that a module imports, at its top or inside functions.

    name    "folder.module", as the answer's names are; "" is the package itself
    """
    package = "cod_bayes" if name in TOP else f"cod_bayes.{name.split('.')[0]}"
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = resolve_name("." * node.level + (node.module or ""), package)
            found |= {_module(origin, alias.name) for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            found |= {str(arg.value) for arg in node.args if isinstance(arg, ast.Constant)}
    within = {module for module in found if module.split(".")[0] == "cod_bayes"}
    return {module.removeprefix("cod_bayes").removeprefix(".") for module in within}


def _module(origin: str, name: str) -> str:
    """`from origin import name` imports a module, or a name that `origin` defines."""
    inner = f"{origin}.{name}"
    return inner if inner.removeprefix("cod_bayes.") in MODULES else origin


def is_allowed(name: str, imported: str) -> bool:
    """Whether the direction of the flow allows it, exceptions aside."""
    folder, other = name.split(".")[0], imported.split(".")[0]
    if name == "writing":
        return False
    if folder in ("__init__", "cli") or other == "writing":
        return True
    return other in FLOW and FLOW.index(other) <= FLOW.index(folder)


EDGES = {
    (name, imported)
    for name, file in MODULES.items()
    for imported in imports(name, file.read_text(encoding="utf-8"))
}


def test_the_folders_are_those_of_the_flow():
    assert {name.split(".")[0] for name in MODULES} == {*FLOW, *TOP}


def test_imports_point_one_way():
    wrong = sorted(edge for edge in EDGES if not is_allowed(*edge) and edge not in EXCEPTIONS)
    assert wrong == [], "a folder imports only itself, the folders before it in FLOW, and writing"


def test_every_exception_is_needed():
    needed = {edge for edge in EDGES if not is_allowed(*edge)}
    assert needed == EXCEPTIONS.keys()


@pytest.mark.parametrize("folder", FLOW)
def test_each_folder_states_its_rule(folder):
    earlier = ", ".join(FLOW[: FLOW.index(folder)]) or "no other folder"
    docstring = ast.get_docstring(ast.parse(MODULES[folder].read_text(encoding="utf-8")))
    assert f"May import: {earlier}." in docstring.splitlines()


@pytest.mark.parametrize(
    "source",
    [
        "import cod_bayes.show.plots",
        "from cod_bayes.show.plots import forecast_figure",
        "from cod_bayes.show import plots",
        "from ..show import plots",
        "from ..show.plots import forecast_figure",
        "def f():\n    from cod_bayes.show.plots import forecast_figure",
        "if TYPE_CHECKING:\n    import cod_bayes.show.plots as plots",
        "import_module('cod_bayes.show.plots')",
        "importlib.import_module('cod_bayes.show.plots')",
    ],
)
def test_every_way_to_import_is_seen(source):
    assert imports("model.ladder", source) == {"show.plots"}
    assert not is_allowed("model.ladder", "show.plots")


def test_what_the_flow_allows():
    assert imports("model.ladder", "import numpy\nfrom . import spec") == {"model.spec"}
    assert imports("model.ladder", "from cod_bayes import fit") == {""}
    assert is_allowed("model.ladder", "model.spec")
    assert is_allowed("model.ladder", "evidence.record")
    assert is_allowed("model.ladder", "writing")
    assert not is_allowed("model.ladder", "")  # the package itself imports from everywhere
    assert not is_allowed("model.ladder", "cli")
    assert not is_allowed("writing", "evidence.record")


def test_files_are_short():
    lines = {
        file.relative_to(PACKAGE).as_posix(): len(file.read_text(encoding="utf-8").splitlines())
        for file in MODULES.values()
    }
    over = {name for name, n in lines.items() if n > MOST_LINES}
    assert over - LONG == STILL_LONG, {name: lines[name] for name in over}
