"""Scores a Bayesian model and its rivals on a file of forecasting problems, in one command.

    python examples/studies/score_problems.py [PROBLEMS.json ...] [--methods cod ...] [--jobs N]
    python examples/studies/score_problems.py --openlm [all | effective]

A PROBLEMS.json is a list of objects. Each has `id`, `file` (a table in the folder of the JSON),
`benchmark`, `subset` (null for the whole benchmark), `ladder` (names of models) and `target`. A
problem uses the items that all its models answered. The family of a problem is the first part of
its id. The default is `problems.json` in `shared/data` beside the repository; with `problems2.json`
there are 75 problems.

`--openlm` scores the 46 single tasks of `openlm_benchmarks.parquet` in the same folder instead.

Rows are kept in --out, and a run that was interrupted resumes.
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
from cod_bayes.evaluate.backtest import Problem, problems, run, scores, workers
from cod_bayes.evaluate.rivals import INSTALLED, RIVALS
from cod_bayes.evidence.effective_compute import effective_compute
from cod_bayes.evidence.record import EvidenceWarning, read_table
from cod_bayes.show.plots import reliability_figure

RENAMED = {"noise_sampled.parquet": "qwen15_chat_sampled.parquet"}  # since a list was made
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"  # beside the repository


def load(path: Path) -> list[Problem]:
    """The problems listed in a JSON file."""
    loaded = []
    for entry in json.loads(path.read_text(encoding="utf-8")):
        evidence = read_table(
            path.parent / RENAMED.get(entry["file"], entry["file"]),
            benchmarks=[entry["benchmark"]],
            ladder=entry["ladder"],
            hold_out=[entry["target"]],
        )
        subsets = None if entry["subset"] is None else [entry["subset"]]
        evidence = evidence.select(subsets=subsets, shared=True)
        loaded.append(Problem(entry["id"], entry["id"].split("/")[0], evidence))
    return loaded


def load_openlm(path: Path, ladder: str) -> list[Problem]:
    """Each of the 46 tasks is a benchmark of one item. The targets are the two largest
    compute-optimal models of each corpus.

    ladder: "optimal" takes the smaller compute-optimal models, "all" takes every model of less
    compute, "effective" takes the same models by their effective compute.
    """
    table = pd.read_parquet(path)
    table = table.assign(benchmark=table["item"])
    optimal = problems(read_table(table[table["chinchilla_mult"] == 1]), targets=2)
    if ladder == "optimal":
        return optimal
    selected = []
    for problem in optimal:
        used = table["family"].eq(problem.family)
        used &= table["benchmark"].isin(problem.evidence.benchmarks)
        used &= table["compute"].lt(problem.compute) | table["model"].eq(problem.target)
        rows = table[used]
        if ladder == "effective":
            rows = rows.assign(compute=effective_compute(rows["params"], rows["tokens"]))
        evidence = read_table(rows, hold_out=[problem.target])
        selected.append(replace(problem, evidence=evidence))
    return selected


def report(rows: pd.DataFrame, models: list[str]) -> None:
    """Prints failures, the table of scores, and the main figures of each Bayesian model."""
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
        families = table[table["method"] == model]
        inside = ", ".join(f"{r.family} {100 * r.coverage90:.0f} %" for r in families.itertuples())
        print(f"coverage of 90 % intervals: {inside}")
        print(f"mean width of 90 % intervals: {pooled.loc[model, 'width90']:.1f} points")
        error = 100 * (made["median"] - made["actual"]).abs()
        for known, part in error.groupby(made["verdict"] == "forecastable"):
            verdict = "forecastable" if known else "other verdicts"
            print(f"mean absolute error, {verdict}: {part.mean():.1f} points (n = {len(part)})")
        promised = made[made["verdict"] == "forecastable"]
        if len(promised):
            inside = promised["actual"].between(promised["q05"], promised["q95"]).mean()
            half = 50 * (promised["q95"] - promised["q05"])
            beyond = (error[promised.index] > 2 * half).mean()
            print(
                f"forecastable: 90 % intervals cover {100 * inside:.0f} %, errors over twice the "
                f"half-width {100 * beyond:.0f} %"
            )
        print(f"fits whose checks pass: {100 * (made['failed_checks'] == '').mean():.0f} %")
        bias = (100 * (made["subset_mean"] - made["subset_actual"])).dropna()
        print(f"subset, forecast - actual: {bias.mean():+.1f} points (n = {len(bias)})")
        clean = bias[made.loc[bias.index, "target"] == "BIG-G T=0 27b"]
        if len(clean):
            print(f"the same, BIG-G 27B: {clean.mean():+.1f} points (n = {len(clean)})")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Score methods on forecasting problems.")
    parser.add_argument("problems", type=Path, nargs="*", default=[DATA / "problems.json"])
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
    methods = arguments.methods or (["cod"] if arguments.openlm else ["cod", *INSTALLED])
    name = "_".join(["scores", *(["openlm", arguments.openlm] if arguments.openlm else [])])
    out = arguments.out or Path(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EvidenceWarning)
        if arguments.openlm:
            path = arguments.problems[0].parent / "openlm_benchmarks.parquet"
            todo = load_openlm(path, arguments.openlm)
        else:
            todo = [problem for path in arguments.problems for problem in load(path)]
    with workers(arguments.jobs) as pool:
        rows = run(todo, methods, pool, arguments.seed, progressbar=sys.stderr.isatty(), out=out)
    report(rows, [method for method in methods if method not in RIVALS])
    reliability_figure(rows).savefig(out / "reliability.png", dpi=120)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
