"""Breaks the model on purpose, one edit at a time, and lists the tests that notice.

    python examples/mutations.py            # all; minutes each
    python examples/mutations.py units      # those named so

Each mutation is an exact replacement in a temporary copy of the package; a text that is not found
exactly once is an error. A mutation that no test notices makes the exit code 1, and so do tests
that fail on an unchanged copy.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
FORECAST = 'delta = value["sigma_delta"] * rng.standard_normal(draws) - value["lead"][:, b]'
THINNED = "feature, rate, n_trials = _thin(rate, n_trials, rng)"
SEEN = """feature, rate, n_trials = _thin(rate, n_trials, rng)
    extra = benchmark["rate"].values[:, benchmark["role"].values == "target"]
    feature = np.column_stack([feature, extra])"""
TRIALS = "sampling = 1 / (4 * np.where(measured, n, 1.0))"

# name -> (file, text, replacement, tests)
MUTATIONS = {
    "shock, density": ("density.py", "v[S + i] = rise * u * v[BETA + i] * q", "v[S + i] = 0.0",
                       "test_model.py"),
    "shock, forecast": ("fitting.py", FORECAST, "delta = np.zeros(draws)", "test_model.py"),
    "ceiling, density": ("density.py", "e = exp(-t - v[GAMMA + i])", "e = exp(-t)",
                         "test_model.py"),
    "ceiling, curve": ("curves.py", "np.exp(-scaling - gamma)", "np.exp(-scaling)",
                       "test_model.py"),
    "units": ("fitting.py", "x = np.log10(evidence.models", "x = np.log(evidence.models",
              "test_fit.py"),
    "leak": ("clusters.py", THINNED, SEEN, "test_fit.py test_mapping.py test_backtest.py"),
    "trials": ("fitting.py", TRIALS, "sampling = 1 / (4 * np.where(measured, 100.0, 1.0))",
               "test_fit.py"),
}  # fmt: skip


def copy(folder):
    """The package, its models and its tests, as a checkout has them."""
    for name in ("cod_bayes", "models", "tests"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "cod_bayes" / "models").symlink_to("../models")


def failing(folder, tests):
    """Names of the tests that fail on the copy."""
    environment = os.environ | {"PYTHONPATH": str(folder), "OPENBLAS_NUM_THREADS": "1"}
    where = "import cod_bayes; print(cod_bayes.__file__)"
    options = {"cwd": folder, "env": environment, "capture_output": True, "text": True}
    found = subprocess.run([sys.executable, "-c", where], **options).stdout
    assert found.startswith(str(folder)), f"expected the copy to be imported, got {found}"
    files = [f"tests/{name}" for name in tests.split()]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no"]
    run = subprocess.run([*command, "-k", "not demo", *files], **options)
    assert run.returncode in (0, 1), run.stdout + run.stderr
    return re.findall(r"^(?:FAILED|ERROR) \S*?::(\S+)", run.stdout, re.MULTILINE)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="beginnings of mutations' names")
    names = tuple(parser.parse_args().names) or ("",)
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy(Path(folder))
        used = sorted(
            {t for name, m in MUTATIONS.items() if name.startswith(names) for t in m[3].split()}
        )
        before = failing(Path(folder), " ".join(used))
    if before:
        print(f"fail without any mutation: {', '.join(before)}")
        return 1
    for name, (file, text, replacement, tests) in MUTATIONS.items():
        if not name.startswith(names):
            continue
        with tempfile.TemporaryDirectory() as folder:
            copy(Path(folder))
            source = Path(folder) / "cod_bayes" / file
            before = source.read_text(encoding="utf-8")
            assert before.count(text) == 1, f"{name}: {text!r} is not once in {file}"
            source.write_text(before.replace(text, replacement), encoding="utf-8")
            caught = failing(Path(folder), tests)
        missed += not caught
        print(f"{name}: {', '.join(caught) or 'NOT CAUGHT'}", flush=True)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
