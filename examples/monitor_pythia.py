"""The 6.9B and 12B Pythia runs, watched by a ladder of the smaller finished models.

    python examples/monitor_pythia.py [--out pythia_monitor]

Arithmetic with 0, 2 and 4 examples shown, 200 items of 50 trials, Pythia 160M to 12B with six
checkpoints each. For each run the ladder is the finished smaller models; the lag of unfinished
checkpoints is taken from the run of the largest of them, and, for comparison, assumed to be 0.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import pandas as pd

from cod_bayes.commands.monitor import show
from cod_bayes.decide.monitor import estimate_lag, monitor, monitor_figure
from cod_bayes.forecast.fitting import fit

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "pythia_arithmetic.parquet"
FINISHED = 143_000  # steps


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("pythia_monitor"), metavar="DIR")
    asked = parser.parse_args()
    if not DATA.exists():
        print(f"skipped: {DATA} is absent; put the Pythia arithmetic table there")
        return 0
    asked.out.mkdir(parents=True, exist_ok=True)
    table = pd.read_parquet(DATA)
    table["run"] = table["model"].str.split("@").str[0]
    final = table[table["step"] == FINISHED]
    order = final.groupby("run")["compute"].first().sort_values()
    for run in order.index[-2:]:
        smaller = order.index[order < order[run]]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = fit(final[final["run"].isin(smaller)], random_seed=1, progressbar=False)
        lag, lag_sd = estimate_lag(fitted, table[table["run"] == smaller[-1]])
        seen = table[(table["run"] == run) & (table["step"] < FINISHED)]
        truth = final[final["run"] == run].groupby("benchmark")["score"].mean()
        print(f"\n{run}: lag {lag:.2f} ± {lag_sd:.2f} decades, from the run of {smaller[-1]}")
        for name, assumed in (("reference", (lag, lag_sd)), ("no-lag", (0.0, 0.0))):
            watched = monitor(fitted, seen, order[run], lag=assumed[0], lag_sd=assumed[1])
            print(f"\n{name}: {'flagged' if watched.flagged else 'not flagged'}")
            show(watched)
            monitor_figure(watched).savefig(asked.out / f"{run}-{name}.png", dpi=150)
        print("finished in truth: " + ", ".join(f"{b} {100 * s:.1f} %" for b, s in truth.items()))
    print(f"written: pictures in {asked.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
