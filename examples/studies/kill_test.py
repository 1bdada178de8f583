"""Kills `forecast` and `backtest` at random moments: all files must be whole, and a rerun equal.

    python examples/studies/kill_test.py --kills 20

A server process imports everything first and forks one child per run, so that the kills hit the
work and not the imports. A child has its own process group and is killed by SIGKILL. After each
kill every output file is absent or whole, and the same command, run again, writes the same results
as a run that was not disturbed.
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

OUTPUTS = {"forecast.csv", "forecast.png", "report.html", "posterior.nc"}
OUTPUTS |= {"backtest.csv", "reliability.png"}
METHODS = ["persistence", "krajewski"]


def evidence(path):
    """Six models, one benchmark of 12 items with 8 trials."""
    rng = np.random.default_rng(0)
    rows = []
    for k, compute in enumerate(1e20 * 4.0 ** np.arange(6)):
        right = rng.binomial(8, 0.9 * np.exp(-1.5 * (compute / 1e21) ** -0.3), 12)
        rows += [("b", f"i{i}", f"m{k}", compute, int(c), 8, 0.0) for i, c in enumerate(right)]
    names = ["benchmark", "item", "model", "compute", "n_correct", "n_trials", "chance"]
    pd.DataFrame(rows, columns=names).to_csv(path, index=False)
    return path


def forecast(table, out):
    return ["forecast", str(table), "--target-compute", "1e24", "-q", "--out", str(out)]


def backtest(table, out, methods=METHODS):
    return [
        "backtest",
        str(table),
        "--targets",
        "2",
        "-q",
        "--out",
        str(out),
        "--methods",
        *methods,
    ]


class Launcher:
    """Runs commands as forked children of a process that has done all imports."""

    def __init__(self):
        command = [sys.executable, "-W", "ignore", __file__, "--serve"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
        self.server = subprocess.Popen(command, env=os.environ | threads, **pipes)
        self.answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.stdin.close()
        self.server.wait()
        self.server.stdout.close()

    def answer(self):
        return json.loads(self.server.stdout.readline())

    def run(self, arguments, after=None, how=signal.SIGKILL, largest_file=None, errors=os.devnull):
        """The exit code of a command, or minus the signal that ended it.

        after: seconds until the signal `how` is sent. largest_file: bytes; the kernel refuses to
        write more. errors: the file for stderr.
        """
        order = {"arguments": arguments, "largest_file": largest_file, "errors": str(errors)}
        self.server.stdin.write(json.dumps(order) + "\n")
        self.server.stdin.flush()
        child = self.answer()
        if after is not None:
            time.sleep(after)
            try:
                os.killpg(child, how)
            except ProcessLookupError:  # it has ended already
                pass
        return self.answer()


def serve():
    """For each line of standard input: forks, prints the pid of the child, runs the command in it,
    and prints its exit code."""
    import matplotlib.backends.backend_agg  # noqa: F401

    from cod_bayes.cli import main

    # Background jobs of a shell ignore interrupts, and their children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child:
            os.setpgid(child, child)
            print(json.dumps(child), flush=True)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            print(json.dumps(code), flush=True)
            continue
        os.setpgid(0, 0)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(os.open(order["errors"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        if (limit := order["largest_file"]) is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        sys.exit(main(order["arguments"]))


def check(out):
    """The names of the outputs that exist; raises an error if one of them is not whole."""
    from PIL import Image

    from cod_bayes.evaluate.backtest import COLUMNS
    from cod_bayes.forecast.storage import load

    names = {path.name for path in out.iterdir()} if out.exists() else set()
    for name in sorted(names):
        path = out / name
        if name == "forecast.csv":
            assert len(pd.read_csv(path).dropna()) == 1
        elif name == "backtest.csv":
            rows = pd.read_csv(path)
            assert list(rows.columns) == COLUMNS and rows["crps"].notna().all()
        elif name.endswith(".png"):
            with Image.open(path) as image:
                image.load()
        elif name == "report.html":
            assert path.read_text(encoding="utf-8").endswith("</html>\n")
        elif name in ("posterior.nc", "interrupted.nc"):
            load(path).draws(1e24)
        else:
            assert name.endswith(".part") and name.removesuffix(".part") in OUTPUTS, name
    return names & OUTPUTS


def result(out):
    """What a rerun must repeat: the bytes of forecast.csv, or backtest.csv without the seconds."""
    if (out / "forecast.csv").exists():
        return (out / "forecast.csv").read_bytes()
    rows = pd.read_csv(out / "backtest.csv", keep_default_na=False).drop(columns="seconds")
    return rows.sort_values(["problem", "method"]).to_csv(index=False).encode()


def kills(launcher, command, folder, count, rng):
    """For each kill: its moment (share of the time of an undisturbed run), the outputs that exist
    after it, and whether the run was killed (it may have ended before)."""
    table = evidence(folder / "evidence.csv")
    start = time.perf_counter()
    assert launcher.run(command(table, folder / "undisturbed")) == 0
    length = time.perf_counter() - start
    expected = result(folder / "undisturbed")
    found = []
    for k in range(count):
        out = folder / f"killed{k}"
        moment = rng.uniform(0.05, 0.98)
        code = launcher.run(command(table, out), after=moment * length)
        left = check(out)
        assert launcher.run(command(table, out)) == 0
        assert check(out) == check(folder / "undisturbed")
        assert result(out) == expected
        assert not list(out.glob("*.part"))
        found.append((moment, left, code == -signal.SIGKILL))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="of each command (default 20)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        return serve()
    rng = np.random.default_rng(arguments.seed)
    for command in (forecast, backtest):
        with tempfile.TemporaryDirectory() as folder, Launcher() as launcher:
            found = kills(launcher, command, Path(folder), arguments.kills, rng)
        for moment, left, killed in found:
            state = "killed" if killed else "was done"
            print(f"{command.__name__}: {state} at {100 * moment:.0f} %, left {sorted(left)}")
        print(f"{command.__name__}: {len(found)} of {arguments.kills} whole, and the rerun equal")


if __name__ == "__main__":
    main()
