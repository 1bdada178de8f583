"""Breaks the model on purpose, one edit at a time, and lists the tests that fail.

    python examples/studies/mutations.py            # all mutations; each takes minutes
    python examples/studies/mutations.py units      # those whose names begin with "units"

A mutation replaces one text of the package in a temporary copy. The text must occur exactly once
in the package, in whatever file. The exit code is 1 if no test fails for a mutation, and if a test
fails on an unchanged copy.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHOCK = "f = 0.5 * rise * (loss / D) * beta / math.sqrt(y * (1 - y))"
TARGET_SHOCK = 'delta = sigma * own + shared * common - value["delta"][:, top]'
THIN = "feature, rate, n_trials = features(benchmark, checkpoints, rng)"
THIN_WITH_TARGET = """feature, rate, n_trials = features(benchmark, checkpoints, rng)
    extra = benchmark["rate"].values[:, benchmark["role"].values == "target"]
    feature = np.column_stack([feature, extra])"""
NOISE = "sampling = 1 / (4 * np.where(measured, n, 1.0))"

# name -> (text, replacement, tests)
MUTATIONS = {
    "shock, density": (SHOCK, "f = 0.0 * beta", "test_density.py test_statement.py"),
    "shock, forecast": (TARGET_SHOCK, 'delta = -value["delta"][:, top]', "test_target.py"),
    "ceiling, density": ("e = exp(-(log_D / nu) - gamma)", "e = exp(-(log_D / nu))",
                         "test_density.py test_statement.py"),
    "ceiling, curve": ("np.exp(-scaling - gamma)", "np.exp(-scaling)",
                       "test_equations.py test_statement.py"),
    "gradient": ('"log1p": lambda by, v, x: (by / (1 + x),)', '"log1p": lambda by, v, x: (by,)',
                 "test_reverse_mode.py test_density.py"),
    "units": ("x = np.log10(evidence.models", "x = np.log(evidence.models",
              "test_fit.py"),
    "leak": (THIN, THIN_WITH_TARGET, "test_fit.py test_mapping.py test_backtest.py"),
    "trials": (NOISE, "sampling = 1 / (4 * np.where(measured, 100.0, 1.0))",
               "test_fit.py"),
}  # fmt: skip


def copy(folder):
    """Copies the package, its models and its tests, in the layout of a checkout."""
    for name in ("cod_bayes", "models", "tests"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "cod_bayes" / "models").symlink_to("../models")


def package(folder):
    """The Python files of the copied package, without those that the link to `models` repeats."""
    return [p for p in (folder / "cod_bayes").rglob("*.py") if "models" not in p.parts]


def failing(folder, tests):
    """The names of the tests that fail on the copy."""
    environment = os.environ | {"PYTHONPATH": str(folder), "OPENBLAS_NUM_THREADS": "1"}
    where = "import cod_bayes; print(cod_bayes.__file__)"
    options = {"cwd": folder, "env": environment, "capture_output": True, "text": True}
    imported = subprocess.run([sys.executable, "-c", where], **options).stdout
    assert imported.startswith(str(folder)), f"expected an import of the copy, got {imported}"
    files = [f"tests/{name}" for name in tests.split()]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no"]
    run = subprocess.run([*command, "-k", "not demo", *files], **options)
    assert run.returncode in (0, 1), run.stdout + run.stderr
    return re.findall(r"^(?:FAILED|ERROR) \S*?::(\S+)", run.stdout, re.MULTILINE)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="first letters of the names of mutations")
    names = tuple(parser.parse_args().names) or ("",)
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy(Path(folder))
        used = sorted(
            {t for name, m in MUTATIONS.items() if name.startswith(names) for t in m[2].split()}
        )
        before = failing(Path(folder), " ".join(used))
    if before:
        print(f"fail without any mutation: {', '.join(before)}")
        return 1
    for name, (text, replacement, tests) in MUTATIONS.items():
        if not name.startswith(names):
            continue
        with tempfile.TemporaryDirectory() as folder:
            copy(Path(folder))
            sources = {p: p.read_text(encoding="utf-8") for p in package(Path(folder))}
            count = sum(source.count(text) for source in sources.values())
            assert count == 1, f"{name}: expected {text!r} once in the package, got {count} times"
            for path, source in sources.items():
                path.write_text(source.replace(text, replacement), encoding="utf-8")
            caught = failing(Path(folder), tests)
        missed += not caught
        print(f"{name}: {', '.join(caught) or 'NOT CAUGHT'}", flush=True)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
