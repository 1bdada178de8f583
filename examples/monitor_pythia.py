"""Monitors the 6.9B and 12B Pythia runs with a ladder of the smaller, finished models.

    python examples/monitor_pythia.py [TABLE.parquet] [--out pythia_monitor]

The data are Pythia's arithmetic: 200 items of 50 trials with 0, 2 and 4 examples in the prompt, for
models from 160M to 12B with six checkpoints each. The ladder of a run is the finished smaller
models. Unfinished checkpoints lag behind finished runs of the same compute. The lag is estimated
from the run of the largest ladder model; for comparison, the run is also monitored with a lag of 0.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import pandas as pd

from cod_bayes.commands.monitor import show
from cod_bayes.decide.monitor import estimate_lag, monitor
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
    table["run"] = table["model"].str.split("@").str[0]
    final = table[table["step"] == FINISHED]
    order = final.groupby("run")["compute"].first().sort_values()
    for run in order.index[-2:]:
        smaller = order.index[order < order[run]]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = fit(final[final["run"].isin(smaller)], random_seed=1, progressbar=False)
        lag, lag_sd = estimate_lag(fitted, table[table["run"] == smaller[-1]])
        so_far = table[(table["run"] == run) & (table["step"] < FINISHED)]
        truth = final[final["run"] == run].groupby("benchmark")["score"].mean()
        print(f"\n{run}: lag {lag:.2f} ± {lag_sd:.2f} decades, from the run of {smaller[-1]}")
        for name, assumed in (("reference", (lag, lag_sd)), ("no-lag", (0.0, 0.0))):
            watched = monitor(fitted, so_far, order[run], lag=assumed[0], lag_sd=assumed[1])
            print(f"\n{name}: {'flagged' if watched.flagged else 'not flagged'}")
            show(watched)
            monitor_figure(watched).savefig(arguments.out / f"{run}-{name}.png", dpi=150)
        print("finished in truth: " + ", ".join(f"{b} {100 * s:.1f} %" for b, s in truth.items()))
    print(f"written: pictures in {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
