"""Generates thousands of evidences: each must give a forecast or one clear error.

    python examples/studies/generated_evidence.py [--count 10000] [--draws 30]

An evidence has one to eight models and one to three benchmarks of one to thirty items, with the
oddities of real logs: single answers or a million, a chance level above the accuracy, equal
computes, falling or constant ladders, missing cells, anchors. A third of them are then broken in
one place. Each is read, fitted with few draws and forecast; a tenth of them are reported as well.
The expected outcome is finite scores in [0, 1] or a `ValueError` of one line, within a minute. Any
other outcome is printed with its seed, and the exit code is then 1.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from rich.progress import track

from cod_bayes.evidence.record import read_table
from cod_bayes.forecast.fitting import fit
from cod_bayes.show.report import write_report

SECONDS = 60
REPORTED = 10  # every tenth evidence
BROKEN = ["", None, np.nan, np.inf, -1, -0.5, 2.5, 10**400, "12%", "1e24", "é" * 300, b"\xff", [1]]
NAMES = ["b", "GSM8K", "日本語", "a/b", "<b>", "x" * 200, "=1+1", " b "]


def evidence(seed: int) -> tuple[pd.DataFrame, list[str]]:
    """A table, and the names of its anchors."""
    rng = np.random.default_rng(seed)
    models = int(rng.choice([1, 2, 3, 4, 5, 6, 8], p=[0.03, 0.07, 0.2, 0.2, 0.2, 0.2, 0.1]))
    compute = 10 ** np.sort(rng.uniform(17, 24, models))
    if rng.random() < 0.05:
        compute[:] = compute[0]
    if rng.random() < 0.05:
        compute *= 10.0 ** rng.choice([-9, 9])
    anchors = int(rng.random() < 0.2)
    name = [f"m{m}" for m in range(models)] + ["other"] * anchors
    compute = np.append(compute, [compute[-1] * 3] * anchors)
    place = np.linspace(-1, 1, models + anchors) if models + anchors > 1 else np.zeros(1)
    rows = []
    for benchmark in rng.choice(NAMES, rng.integers(1, 4), replace=False):
        items = int(rng.integers(1, 31))
        kind = rng.choice(["rise", "flat", "right", "wrong", "fall", "noise"], p=[0.5] + [0.1] * 5)
        chance = rng.choice([np.nan, 0.0, 0.25, 0.9], p=[0.3, 0.4, 0.2, 0.1])
        g = 0.0 if np.isnan(chance) else chance
        ease = rng.normal(0, 1.5, (items, 1))
        steep = {"rise": rng.uniform(0.3, 4), "fall": -1.5}.get(str(kind), 0.0)
        p = g + (1 - g) / (1 + np.exp(-(steep * place - ease)))
        p = {"right": np.ones_like(p), "wrong": np.zeros_like(p), "noise": rng.random(p.shape)}.get(
            str(kind), p
        )
        trials = rng.choice([1, 4, 8, 100, 10**6], p=[0.3, 0.1, 0.2, 0.3, 0.1])
        n = np.full(p.shape, trials) if rng.random() < 0.8 else rng.integers(1, 20, p.shape)
        k = rng.binomial(n, p)
        scored = rng.random() < 0.15  # rates without counts
        kept = rng.random(p.shape) > rng.choice([0.0, 0.02, 0.3], p=[0.7, 0.2, 0.1])
        for i, m in zip(*np.nonzero(kept), strict=True):
            row = {"benchmark": benchmark, "item": f"i{i}", "model": name[m], "compute": compute[m]}
            row |= {"chance": chance, "family": "other" if name[m] == "other" else "f"}
            answer = {"score": p[i, m]} if scored else {"n_correct": k[i, m], "n_trials": n[i, m]}
            rows.append(row | answer)
    columns = ["benchmark", "item", "model", "compute", "chance", "family"]
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=[*columns, "score"])
    if rng.random() < 1 / 3 and len(table):
        table = broken(table.astype(object), rng)
    return table, ["other"] * anchors


def broken(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The table with one fault: a bad cell or column, duplicate rows, a lost column, lost rows."""
    row, column = rng.integers(len(table)), rng.integers(table.shape[1])
    value = BROKEN[rng.integers(len(BROKEN))]
    match rng.choice(["cell", "column", "rows", "lost", "half"], p=[0.4, 0.2, 0.15, 0.15, 0.1]):
        case "cell":
            values = table.iloc[:, column].tolist()
            values[row] = value
            table.isetitem(column, pd.Series(values, index=table.index, dtype=object))
        case "column":
            same = pd.Series([value] * len(table), index=table.index, dtype=object)
            table.isetitem(column, same)
        case "rows":
            table = pd.concat([table, table.sample(frac=0.3, random_state=int(row))])
        case "lost":
            table = table.drop(columns=table.columns[column])
        case "half":
            table = table.sample(frac=0.5, random_state=int(row))
    return table


def outcome(seed: int, draws: int) -> tuple[int, str]:
    """The seed, and "forecast", "refused" or a description of the fault."""

    def too_late(*_: object) -> None:
        raise TimeoutError(f"no answer within {SECONDS} s")

    signal.signal(signal.SIGALRM, too_late)
    signal.alarm(SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # a hidden NaN or overflow
            warnings.filterwarnings("ignore", category=UserWarning)
            return seed, _forecast(seed, draws)
    except Exception as error:
        return seed, f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)


def _forecast(seed: int, draws: int) -> str:
    table, anchors = evidence(seed)
    try:
        read = read_table(table, anchors=anchors)
        fitted = fit(read, random_seed=seed, draws=draws, tune=draws, chains=2, progressbar=False)
    except ValueError as error:
        if "\n" in str(error) or not str(error):
            return f"an error that is not one line: {error}"
        return "refused"
    largest = fitted.idata["constant_data"].to_dataset()["compute"].values.max()
    outlook = fitted.forecast([largest, 30 * largest])
    score = outlook.draws["score"].values
    if not (np.isfinite(score).all() and (score >= 0).all() and (score <= 1).all()):
        return "a score that is no rate"
    if not outlook.summary().drop(columns=["benchmark", "verdict"]).notna().all(axis=None):
        return "a summary with a gap"
    if seed % REPORTED == 0:
        with tempfile.TemporaryDirectory() as folder:
            write_report(fitted, outlook, Path(folder) / "report.html")
    return "forecast"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--draws", type=int, default=30)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args(argv)
    seeds = range(arguments.first, arguments.first + arguments.count)
    outcomes: Counter[str] = Counter()
    with ProcessPoolExecutor(arguments.processes, mp_context=get_context("spawn")) as pool:
        done = pool.map(partial(outcome, draws=arguments.draws), seeds, chunksize=8)
        for seed, what in track(done, total=arguments.count, description="evidences"):
            outcomes[what if what in ("forecast", "refused") else "wrong"] += 1
            if what not in ("forecast", "refused"):
                print(f"seed {seed}: {what}")
    print(", ".join(f"{what} {count}" for what, count in outcomes.most_common()))
    return int(outcomes["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
