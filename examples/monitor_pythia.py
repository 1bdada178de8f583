"""Monitors the 6.9B and 12B Pythia runs with a ladder of the smaller, finished models.

    python examples/monitor_pythia.py [TABLE.parquet] [--out pythia_monitor]

The data are Pythia's arithmetic: 200 items of 50 trials with 0, 2 and 4 examples in the prompt, for
models from 160M to 12B with six checkpoints each. The ladder of a run is the smaller models, with
their checkpoints in the column `step`: these show how a run rises to its end. For comparison, the
run is also monitored as if an unfinished run scored like a finished one of its compute.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import pandas as pd

from cod_bayes.commands.monitor import show
from cod_bayes.decide.monitor import monitor
from cod_bayes.forecast.fitting import fit
from cod_bayes.show.plots import monitor_figure

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"  # beside the repository
FINISHED = 143_000  # steps


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path, nargs="?", default=SHARED / "pythia_arithmetic.parquet")
    parser.add_argument("--out", type=Path, default=Path("pythia_monitor"), metavar="DIR")
    arguments = parser.parse_args()
    if not arguments.table.exists():
        print(f"skipped: expected a table of Pythia's arithmetic, got no file {arguments.table}")
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    table = pd.read_parquet(arguments.table)
    table["model"] = table["model"].str.split("@").str[0]
    final = table[table["step"] == FINISHED]
    order = final.groupby("model")["compute"].first().sort_values()
    for run in order.index[-2:]:
        smaller = order.index[order < order[run]]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = fit(table[table["model"].isin(smaller)], random_seed=1, progressbar=False)
        so_far = table[(table["model"] == run) & (table["step"] < FINISHED)]
        truth = final[final["model"] == run].groupby("benchmark")["score"].mean()
        print(f"\n{run}, on a ladder from {smaller[0]} to {smaller[-1]}")
        for name, lag in (("trajectories", None), ("no-lag", 0.0)):
            watched = monitor(fitted, so_far, order[run], lag=lag)
            print(f"\n{name}: {'flagged' if watched.flagged else 'not flagged'}")
            show(watched)
            monitor_figure(watched).savefig(arguments.out / f"{run}-{name}.png", dpi=150)
        print("finished in truth: " + ", ".join(f"{b} {100 * s:.1f} %" for b, s in truth.items()))
    print(f"written: pictures in {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
