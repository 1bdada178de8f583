"""Runs of a public ladder, each followed with the trajectories of the smaller models as reference.

    python examples/studies/follow_runs.py [TABLE.parquet] [--out follow_runs.csv]

The data are Pythia's arithmetic (see `checkpoints.py`). Each model that has two or more below it is
a run of five checkpoints, monitored on a fit of all smaller models: on all three benchmarks
together, on each alone (with the same fit), and together on each subset of the items (with a fit of
its own). What is expected of an unfinished run is

    ladder   the trajectories of the smaller models
    largest  a lag in compute, from the run of the largest of them alone
    none     the score of a finished run

Prints each run: its flag and the share of training at which it is flagged first, the share of the
final rise that is expected at 45 % of training, whether the final score lies inside the 90 %
interval of the forecast before the run and after its last checkpoint, and the errors of the two
medians in points. Then shares and means.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from checkpoints import DATA, pythia

from cod_bayes.decide.monitor import estimate_lag, monitor
from cod_bayes.evidence.record import read_table
from cod_bayes.forecast.fitting import fit

RUNS = 5


def parts_of(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """All items, and each subset of them."""
    yield "all", table
    for subset, part in table.groupby("subset"):
        yield str(subset), part


def follow(table: pd.DataFrame, run: str, smaller: list[str], seed: int) -> list[dict[str, object]]:
    """One row for each expectation."""
    ladder = table[table["model"].isin(smaller)]
    fitted = fit(read_table(ladder), random_seed=seed, progressbar=False)
    of_run = table[table["model"] == run]
    so_far, final = of_run[~of_run["last"]], of_run[of_run["last"]]
    truth = final.groupby("benchmark")["score"].mean()
    compute = float(final["compute"].iloc[0])
    rows = []
    for names in (list(truth.index), *([name] for name in truth.index)):
        part, of = so_far[so_far["benchmark"].isin(names)], truth.loc[names]
        of_largest = ladder[(ladder["model"] == smaller[-1]) & ladder["benchmark"].isin(names)]
        reference = estimate_lag(fitted, of_largest)
        for kind, lag in (("ladder", (None, 0.0)), ("largest", reference), ("none", (0.0, 0.0))):
            watched = monitor(fitted, part, compute, lag=lag[0], lag_sd=lag[1])
            looks, order = watched.looks, watched.forecast.groupby("benchmark")
            flagged = looks.loc[looks["flag"] != ""]
            row: dict[str, object] = {"benchmarks": ", ".join(n.split("-")[-1] for n in names)}
            row |= {"run": run, "expected": kind, "flag": looks["flag"].iloc[-1]}
            row["at"] = flagged["training"].iloc[0] if len(flagged) else float("nan")
            row["reached"], row["reached_sd"] = looks.loc[2, ["reached", "reached_sd"]]
            for when, forecast in (("before", order.first()), ("after", order.last())):
                at = forecast.loc[names]
                row[f"inside_{when}"] = of.between(at["q05"], at["q95"]).mean()
                row[f"error_{when}"] = 100 * (at["q50"] - of).abs().mean()
            rows.append(row | {"p_run": looks["p_run"].iloc[-1], "ok": not fitted.failed_checks})
        if len(table["subset"].unique()) == 1:
            break  # each benchmark alone is followed on all items only
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path, nargs="?", default=DATA / "pythia_arithmetic.parquet")
    parser.add_argument("--runs", type=int, default=RUNS, help="largest models that are followed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("follow_runs.csv"), metavar="CSV")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    table = pythia(arguments.table)
    order = table[table["last"]].groupby("model")["compute"].first().sort_values().index.tolist()
    rows = []
    for name, part in parts_of(table):
        for place in range(len(order) - 1, len(order) - 1 - arguments.runs, -1):
            found = follow(part, order[place], order[:place], arguments.seed)
            rows += [{"items": name} | row for row in found]
            pd.DataFrame(rows).to_csv(arguments.out, index=False)
    found = pd.DataFrame(rows)
    with pd.option_context("display.width", 200, "display.max_rows", None, "display.precision", 2):
        print(found.drop(columns="ok").to_string(index=False))
        print(f"checks pass on {found['ok'].mean():.0%} of the fits")
        found["flagged"] = found["flag"] != ""
        columns = ["flagged", "inside_before", "inside_after", "error_before", "error_after"]
        print(found.groupby(["run", "expected"], sort=False)[columns].mean())
        print(found.groupby("expected", sort=False)[columns].mean())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
