"""What was compiled from older sources is not used."""

import subprocess
import sys
from pathlib import Path

import cod_bayes
from cod_bayes.compiled import LINKED, forget_stale

PACKAGE = Path(cod_bayes.__file__).parent


def test_what_holds_copies_of_a_changed_function_is_compiled_again(tmp_path):
    """A module calls a compiled function of another one, which alone changes."""
    rules = (PACKAGE / "compiled.py").read_text()
    (tmp_path / "compiled.py").write_text(
        rules.replace(f"LINKED = {LINKED!r}".replace("'", '"'), 'LINKED = ("called", "caller")')
    )
    (tmp_path / "caller.py").write_text(
        "import numba\nfrom compiled import FAST\nfrom called import called\n"
        "@numba.njit(**FAST)\ndef caller():\n    return 2 * called()\nprint(caller())\n"
    )
    for value, answer in [(1, 2), (3, 6)]:
        (tmp_path / "called.py").write_text(
            "import numba\nfrom compiled import FAST\n"
            f"@numba.njit(**FAST)\ndef called():\n    return {value}\n"
        )
        run = [sys.executable, "-c", "import caller"]
        done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert int(done.stdout) == answer


def test_nothing_is_compiled_again_without_need(tmp_path):
    (tmp_path / "called.py").write_text("1")
    forget_stale(tmp_path, tmp_path, ["called"])
    for name in ("called.f-1.py313.nbi", "other.h-1.py313.nbi"):
        (tmp_path / name).touch()
    forget_stale(tmp_path, tmp_path, ["called"])
    assert len(list(tmp_path.glob("*.nbi"))) == 2
    (tmp_path / "called.py").write_text("2")
    forget_stale(tmp_path, tmp_path, ["called"])
    assert [index.name for index in tmp_path.glob("*.nbi")] == ["other.h-1.py313.nbi"]


def test_every_module_that_may_hold_such_copies_is_known():
    linked = {file.stem for file in PACKAGE.glob("*.py") if "@numba." in file.read_text()}
    assert linked and linked <= set(LINKED)
