"""Scores a Bayesian model and its rivals on a file of forecasting problems, in one command.

    python examples/score_problems.py [PROBLEMS.json] [--methods cod end_to_end ...] [--jobs N]
    python examples/score_problems.py --openlm [all | effective]    OpenLM's single tasks

A problem is an object with `id`, `file` (a table beside the json), `benchmark`, `subset` (null: all
of it), `ladder` (models) and `target`; its items are those that all these models answered. Results
are kept in --out and an interrupted run resumes. Families are the first part of the ids.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pandas as pd

from cod_bayes.commands.backtest import show
from cod_bayes.evaluate.backtest import Problem, problems, reliability_figure, run, scores, workers
from cod_bayes.evaluate.rivals import RIVALS
from cod_bayes.evidence.effective_compute import effective_compute
from cod_bayes.evidence.record import EvidenceWarning, read_table

DATA = Path(__file__).parents[2] / "shared" / "data"


def load(path: Path) -> list[Problem]:
    """The problems of a json file."""
    loaded = []
    for entry in json.loads(path.read_text(encoding="utf-8")):
        evidence = read_table(
            path.parent / entry["file"],
            benchmarks=[entry["benchmark"]],
            ladder=entry["ladder"],
            hold_out=[entry["target"]],
        )
        subsets = None if entry["subset"] is None else [entry["subset"]]
        evidence = evidence.select(subsets=subsets, shared=True)
        loaded.append(Problem(entry["id"], entry["id"].split("/")[0], evidence))
    return loaded


def load_openlm(path: Path, ladder: str) -> list[Problem]:
    """46 tasks as 46 benchmarks of one item; per corpus, the two largest compute-optimal models.

    ladder: the smaller compute-optimal models ("optimal"), or all models of less compute ("all"),
    by their effective compute ("effective").
    """
    table = pd.read_parquet(path)
    table = table.assign(benchmark=table["item"])
    optimal = problems(read_table(table[table["chinchilla_mult"] == 1]), targets=2)
    if ladder == "optimal":
        return optimal
    found = []
    for problem in optimal:
        own = table["family"].eq(problem.family)
        own &= table["benchmark"].isin(problem.evidence.benchmarks)
        own &= table["compute"].lt(problem.compute) | table["model"].eq(problem.target)
        rows = table[own]
        if ladder == "effective":
            rows = rows.assign(compute=effective_compute(rows["params"], rows["tokens"]))
        evidence = read_table(rows, hold_out=[problem.target])
        found.append(replace(problem, evidence=evidence))
    return found


def report(rows: pd.DataFrame, models: list[str]) -> None:
    """Failures, the table of scores, and what is asked of each Bayesian model."""
    for (method, reason), part in rows[rows["error"] != ""].groupby(["method", "error"]):
        print(f"{method}: no forecast on {len(part)}: {reason}")
    table = scores(rows)
    show(table)
    pooled = table[table["family"] == "pooled"].set_index("method")
    for model in models:
        if model not in pooled.index:
            continue
        made = rows[(rows["method"] == model) & rows["crps"].notna()]
        print(f"\n{model}: {len(made)} forecasts")
        whole = pooled[~pooled.index.isin(models) & (pooled["n"] == len(made))]
        if len(whole):
            best = whole["crps"].idxmin()
            ratio = pooled.loc[model, "crps"] / whole.loc[best, "crps"]
            print(f"CRPS / CRPS of the best rival on all of them ({best}): {ratio:.2f}")
        ours = table[table["method"] == model]
        inside = ", ".join(f"{r.family} {100 * r.coverage90:.0f} %" for r in ours.itertuples())
        print(f"coverage of 90 % intervals: {inside}")
        print(f"mean width of 90 % intervals: {pooled.loc[model, 'width90']:.1f} points")
        error = 100 * (made["median"] - made["actual"]).abs()
        for known, part in error.groupby(made["verdict"] == "forecastable"):
            verdict = "forecastable" if known else "other verdicts"
            print(f"mean absolute error, {verdict}: {part.mean():.1f} points (n = {len(part)})")
        print(f"fits whose checks pass: {100 * (made['failed_checks'] == '').mean():.0f} %")
        bias = (100 * (made["subset_mean"] - made["subset_actual"])).dropna()
        print(f"subset, forecast - actual: {bias.mean():+.1f} points (n = {len(bias)})")
        clean = bias[made.loc[bias.index, "target"] == "BIG-G T=0 27b"]
        if len(clean):
            print(f"the same, BIG-G 27B: {clean.mean():+.1f} points (n = {len(clean)})")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Score methods on forecasting problems.")
    parser.add_argument("problems", type=Path, nargs="?", default=DATA / "problems.json")
    parser.add_argument("--methods", nargs="+", metavar="M", help="default: cod and all rivals")
    parser.add_argument(
        "--openlm",
        nargs="?",
        const="optimal",
        choices=["optimal", "all", "effective"],
        help="OpenLM's single tasks instead, from compute-optimal or from all smaller models, the "
        "latter by compute or by effective compute",
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="processes (default: one per core)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="default: scores, or scores_openlm_LADDER"
    )
    arguments = parser.parse_args(argv)
    methods = arguments.methods or (["cod"] if arguments.openlm else ["cod", *RIVALS])
    name = "_".join(["scores", *(["openlm", arguments.openlm] if arguments.openlm else [])])
    out = arguments.out or Path(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EvidenceWarning)
        if arguments.openlm:
            path = arguments.problems.parent / "openlm_benchmarks.parquet"
            todo = load_openlm(path, arguments.openlm)
        else:
            todo = load(arguments.problems)
    with workers(arguments.jobs) as pool:
        rows = run(todo, methods, pool, arguments.seed, progressbar=sys.stderr.isatty(), out=out)
    report(rows, [method for method in methods if method not in RIVALS])
    reliability_figure(rows).savefig(out / "reliability.png", dpi=120)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
