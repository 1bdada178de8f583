"""Scores joint forecasts of whole suites, beside each benchmark fitted alone.

    python examples/studies/suites.py [SUITES.json] [--only KIND-OR-ID ...] [--every N] [--jobs 2]

A suite is an object with `id`, `file` (a table beside the json), `filter` (column: values), `task`
(the column that names the benchmark), `ladder` (models), `target` and `target_compute`. Benchmarks
that a named model lacks are left out; the answers are the target's mean rates. The kind of a suite
is the first part of its id.

One pooled fit per suite, and one fit of each benchmark alone. The suite's plain mean is forecast by

    joint         the mean of each joint draw of the pooled fit
    independent   the same draws, shuffled benchmark by benchmark: the sum of the marginals
    persistence   the largest ladder model's mean: a point

Rows are kept in `--out` as they finish and an interrupted run resumes. The fits alone depend on
no pooling: `--alone FILE` keeps them where several runs can share them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Iterable
from concurrent.futures import as_completed
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cod_bayes.evaluate.backtest import workers
from cod_bayes.evaluate.scoring import crps
from cod_bayes.evidence.record import Evidence, read_table

DATA = Path(__file__).parents[3] / "shared" / "data"
MEAN = "(mean)"  # the row of a suite's plain mean
LEVELS = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}
CHUNK = 8  # benchmarks fitted alone by one task of a worker

Row = dict[str, Any]


@dataclass(frozen=True)
class Suite:
    """Many benchmarks of one ladder. `evidence` has the ladder and the target."""

    id: str
    target: str
    compute: float
    evidence: Evidence

    @property
    def kind(self) -> str:
        return self.id.split("/")[0]

    @property
    def benchmarks(self) -> list[str]:
        return list(self.evidence.benchmarks)

    def actual(self, benchmark: str) -> float:
        return float(self.evidence.benchmarks[benchmark]["rate"].sel(model=self.target).mean())

    def largest(self, benchmark: str) -> float:
        """The mean rate of the largest ladder model."""
        data = self.evidence.benchmarks[benchmark]
        rates = data["rate"].sel(model=data["model"].values[data["role"].values == "ladder"])
        return float(rates.isel(model=-1).mean())


@lru_cache(maxsize=2)
def load(path: Path, suite: str) -> Suite:
    """One suite of a json file by its id."""
    entry = next(e for e in json.loads(path.read_text(encoding="utf-8")) if e["id"] == suite)
    table = pd.read_parquet(path.parent / entry["file"])
    for column, values in entry["filter"].items():
        table = table[table[column].isin(values)]
    models = {*entry["ladder"], entry["target"]}
    table = table[table["model"].isin(models)]
    table = table.assign(benchmark=table[entry["task"]].astype(str))
    counts = table.groupby("benchmark")["model"].nunique()
    table = table[table["benchmark"].isin(counts.index[counts == len(models)])]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evidence = read_table(table, ladder=entry["ladder"], hold_out=[entry["target"]])
        evidence = evidence.select(shared=True)
    return Suite(suite, entry["target"], float(entry["target_compute"]), evidence)


def described(draws: np.ndarray, actual: float) -> Row:
    """Mean, quantiles and CRPS of draws (draw,)."""
    levels = np.quantile(draws, list(LEVELS.values()))
    row: Row = {"actual": actual, "mean": draws.mean()} | dict(zip(LEVELS, levels, strict=True))
    return row | {"crps": float(crps(draws, actual))}


def energy_score(draws: np.ndarray, actual: np.ndarray) -> float:
    """E|X - y| - E|X - X'| / 2 over the root of the number of benchmarks: the CRPS of a vector
    (Gneiting and Raftery 2007, 4.3). draws (draw, benchmark)."""
    rng = np.random.default_rng(0)
    other = draws[rng.permutation(len(draws))]
    off = np.linalg.norm(draws - actual, axis=1).mean()
    return (off - np.linalg.norm(draws - other, axis=1).mean() / 2) / np.sqrt(len(actual))


def forecast(
    suite: Suite, evidence: Evidence, model: str, draws: int
) -> tuple[np.ndarray, str, float]:
    """Draws (draw, benchmark) of the target's scores, the failed checks, and CPU seconds."""
    from cod_bayes.forecast.fitting import fit

    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the checks that failed are in the rows
        fitted = fit(evidence, model=model, draws=draws, progressbar=False)
        drawn = fitted.draws([suite.compute])["score"].isel(compute=0)
    score = drawn.stack(sample=("chain", "draw")).transpose("sample", "benchmark").values
    return score, ", ".join(fitted.failed_checks), time.process_time() - start


def pooled(path: Path, name: str, model: str, draws: int) -> list[Row]:
    """Rows of one pooled fit: each benchmark, and the suite's mean three ways."""
    suite = load(path, name)
    drawn, failed, cpu = forecast(suite, suite.evidence, model, draws)
    head = {"suite": suite.id, "kind": suite.kind}
    actual = np.array([suite.actual(b) for b in suite.benchmarks])
    rows = [
        head | {"benchmark": b, "method": "pooled"} | described(drawn[:, i], actual[i])
        for i, b in enumerate(suite.benchmarks)
    ]
    rng = np.random.default_rng(0)
    shuffled = np.column_stack([rng.permutation(column) for column in drawn.T])
    last = np.mean([suite.largest(b) for b in suite.benchmarks])
    means = {"joint": drawn, "independent": shuffled, "persistence": np.full((2, 1), last)}
    for method, values in means.items():
        row = described(values.mean(axis=1), float(actual.mean()))
        if len(values) > 2:
            row["energy"] = energy_score(values, actual)
        if method == "joint":
            row |= {"failed_checks": failed, "cpu": cpu}
        rows.append(head | {"benchmark": MEAN, "method": method} | row)
    return rows


def alone(path: Path, name: str, benchmarks: list[str], model: str, draws: int) -> list[Row]:
    """Rows of benchmarks that are fitted one by one."""
    suite = load(path, name)
    rows = []
    for b in benchmarks:
        drawn, failed, cpu = forecast(suite, suite.evidence.select(benchmarks=[b]), model, draws)
        row = {"suite": suite.id, "kind": suite.kind, "benchmark": b, "method": "alone"}
        row |= described(drawn[:, 0], suite.actual(b))
        rows.append(row | {"failed_checks": failed, "cpu": cpu})
    return rows


def run(
    path: Path,
    suites: list[str],
    out: Path,
    alone_file: Path,
    *,
    every: int,
    model: str,
    draws: int,
    jobs: int,
    skip: Iterable[str] = (),
) -> pd.DataFrame:
    """All rows of the suites, those that exist already included. skip: "pooled" or "alone"."""
    files = {"pooled": out, "alone": alone_file}
    kept = {kind: pd.read_csv(f) if f.exists() else pd.DataFrame() for kind, f in files.items()}
    have = {kind: _keys(table) for kind, table in kept.items()}
    with workers(jobs) as pool:
        tasks = {}
        for name in suites:
            if "pooled" not in skip and (name, MEAN) not in have["pooled"]:
                tasks[pool.submit(pooled, path, name, model, draws)] = ("pooled", name)
            if "alone" in skip:
                continue
            names = load(path, name).benchmarks[::every]
            todo = [b for b in names if (name, b) not in have["alone"]]
            for i in range(0, len(todo), CHUNK):
                part = todo[i : i + CHUNK]
                tasks[pool.submit(alone, path, name, part, model, draws)] = ("alone", name)
        for done, task in enumerate(as_completed(tasks), 1):
            kind, name = tasks[task]
            kept[kind] = pd.concat([kept[kind], pd.DataFrame(task.result())], ignore_index=True)
            files[kind].parent.mkdir(parents=True, exist_ok=True)
            kept[kind].to_csv(files[kind], index=False)
            print(f"{done}/{len(tasks)} {kind} {name}", file=sys.stderr, flush=True)
    table = pd.concat(kept.values(), ignore_index=True)
    return table[table["suite"].isin(suites)]


def _keys(rows: pd.DataFrame) -> set[tuple[str, str]]:
    if rows.empty:
        return set()
    return set(zip(rows["suite"], rows["benchmark"].astype(str), strict=True))


def by_benchmark(rows: pd.DataFrame) -> pd.DataFrame:
    """Per kind, of the benchmarks that both fits have: CRPS and bias in points, coverage in
    per cent, and the standard error of the difference in CRPS over suites."""
    both = rows[rows["benchmark"] != MEAN].copy()
    both = both.drop_duplicates(["suite", "benchmark", "method"], keep="last")
    count = both.groupby(["suite", "benchmark"])["method"].transform("nunique")
    both = both[count == 2]
    both["bias"] = 100 * (both["mean"] - both["actual"])
    for level, (low, high) in {"50": ("q25", "q75"), "90": ("q05", "q95")}.items():
        both[f"in{level}"] = 100 * both["actual"].between(both[low], both[high])
    both["crps"] *= 100
    table = []
    for kind, part in [*both.groupby("kind", sort=False), ("all", both)]:
        row: Row = {"kind": kind, "n": len(part) // 2}
        for method, of in part.groupby("method"):
            short = method[0]
            means = of[["crps", "bias", "in50", "in90"]].mean()
            row |= {f"{name}_{short}": means[name] for name in means.index}
        if {"crps_p", "crps_a"} <= set(row):
            wide = part.pivot_table(index=["suite", "benchmark"], columns="method", values="crps")
            gap = wide["pooled"] - wide["alone"]
            row["ratio"] = row["crps_p"] / row["crps_a"]
            row["se"] = gap.std() / np.sqrt(len(gap)) / row["crps_a"]
        table.append(row)
    return pd.DataFrame(table)


def by_mean(rows: pd.DataFrame) -> pd.DataFrame:
    """Per kind, of the suites' means: CRPS in points, how many 50 and 90 % intervals cover, the
    90 % intervals' width in points, and the energy score."""
    means = rows[rows["benchmark"] == MEAN].drop_duplicates(["suite", "method"], keep="last").copy()
    means["width"] = 100 * (means["q95"] - means["q05"])
    means["error"] = 100 * (means["mean"] - means["actual"])
    means["in90"] = means["actual"].between(means["q05"], means["q95"])
    means["in50"] = means["actual"].between(means["q25"], means["q75"])
    means["crps"] *= 100
    means["energy"] = 100 * means.get("energy", np.nan)
    table: list[Row] = []
    if means.empty:
        return pd.DataFrame(table)
    for (kind, method), of in [
        *means.groupby(["kind", "method"], sort=False),
        *((("all", method), of) for method, of in means.groupby("method", sort=False)),
    ]:
        row: Row = {"kind": kind, "method": method, "suites": len(of), "crps": of["crps"].mean()}
        row |= {"error": of["error"].mean(), "in50": of["in50"].sum(), "in90": of["in90"].sum()}
        row |= {"width": of["width"].mean(), "energy": of["energy"].mean()}
        if method == "joint":
            row["passed"] = of["failed_checks"].fillna("").eq("").sum()
            row["cpu"] = of["cpu"].mean()
        table.append(row)
    return pd.DataFrame(table)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Score joint forecasts of suites.")
    parser.add_argument("suites", type=Path, nargs="?", default=DATA / "suites.json")
    parser.add_argument("--only", nargs="+", default=["*"], metavar="KIND", help="or ids, globs")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="alone: every N-th task")
    parser.add_argument("--skip", nargs="+", default=[], choices=["pooled", "alone"])
    parser.add_argument("--model", default="cod", help="a shipped model or a TOML file")
    parser.add_argument("--draws", type=int, default=800, help="of one chain")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("suites.csv"))
    parser.add_argument("--alone", type=Path, default=Path("suites_alone.csv"))
    arguments = parser.parse_args(argv)
    known = [e["id"] for e in json.loads(arguments.suites.read_text(encoding="utf-8"))]
    chosen = [
        name
        for name in known
        if any(fnmatchcase(name, p) or name.split("/")[0] == p for p in arguments.only)
    ]
    rows = run(
        arguments.suites.resolve(),
        chosen,
        arguments.out,
        arguments.alone,
        every=arguments.every,
        model=arguments.model,
        draws=arguments.draws,
        jobs=arguments.jobs,
        skip=arguments.skip,
    )
    with pd.option_context("display.width", 200, "display.max_columns", 30):
        print(by_benchmark(rows).round(2).to_string(index=False))
        print(by_mean(rows).round(2).to_string(index=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
