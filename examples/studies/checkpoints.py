"""What checkpoints of the ladder's models are worth: forecasts without and with them.

    python examples/studies/checkpoints.py [TABLE.parquet] [--jobs 2] [--out DIR]

The data are Pythia's arithmetic: three benchmarks of 200 items in two subsets, 50 trials, models
from 160M to 12B, each with its last step and five checkpoints. The three largest models are
forecast, each from all smaller ones, on each benchmark and on each of its subsets. The ladder is

    last steps         the finished models
    with checkpoints   the same, with their checkpoints in the column `step`
    all as models      every checkpoint as one more model of the ladder, for comparison

Rows are kept in --out, and a run that was interrupted resumes.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import pandas as pd

from cod_bayes.commands.backtest import show
from cod_bayes.evaluate.backtest import Problem, run, scores, workers
from cod_bayes.evidence.record import EvidenceWarning, read_table

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"  # beside the repository
TARGETS = 3


def pythia(path: Path) -> pd.DataFrame:
    """The table with one name for all steps of a model; `last` marks its last step."""
    table = pd.read_parquet(path)
    table["model"] = table["model"].str.split("@").str[0].str.removesuffix("-deduped")
    return table.assign(last=table["step"] == table.groupby("model")["step"].transform("max"))


def ladders(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The three ladders, as tables."""
    apart = table["model"].where(table["last"], table["model"] + "@" + table["step"].astype(str))
    return {
        "last steps": table[table["last"]],
        "with checkpoints": table,
        "all as models": table.assign(model=apart),
    }


def problems_of(table: pd.DataFrame) -> list[Problem]:
    """Every target on every benchmark and subset, from every ladder."""
    compute = table[table["last"]].groupby("model")["compute"].first().sort_values()
    found = []
    for target in compute.index[: -TARGETS - 1 : -1]:
        smaller = table["model"].isin(compute.index[compute < compute[target]])
        used = table[smaller | (table["model"].eq(target) & table["last"])]
        for ladder, rows in ladders(used).items():
            evidence = read_table(rows, hold_out=[target])
            for name in evidence.benchmarks:
                for subset in (None, *rows["subset"].unique()):
                    chosen = None if subset is None else [subset]
                    part = evidence.select([name], subsets=chosen)
                    where = f"{name}/{subset or 'all'}"
                    found.append(Problem(f"{ladder}/{where}/{target}", ladder, part))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path, nargs="?", default=DATA / "pythia_arithmetic.parquet")
    parser.add_argument("--jobs", type=int, metavar="N", help="processes (default: one per core)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("checkpoints"), metavar="DIR")
    arguments = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EvidenceWarning)
        todo = problems_of(pythia(arguments.table))
    with workers(arguments.jobs) as pool:
        progress = sys.stderr.isatty()
        rows = run(todo, ["cod"], pool, arguments.seed, progressbar=progress, out=arguments.out)
    largest_first = list(dict.fromkeys(problem.target for problem in todo))
    for number in (2, TARGETS):
        print(f"targets: {', '.join(largest_first[:number])}")
        table = scores(rows[rows["target"].isin(largest_first[:number])])
        show(table[table["family"] != "pooled"])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
