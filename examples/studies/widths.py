"""Where the width of forecasts comes from: shares of their variance, by kind of problem.

    python examples/studies/widths.py [PROBLEMS.json ...] [--jobs 2] [--out widths.csv]

The problems are those of `score_problems.py`, by default all 75. Variances are of the arcsine root
of a target's score. Each column is what the next draws lack:

    noise   of the evaluation          against draws of the expected score
    shocks  of the target and tau      against a target without shocks of its own
    walk    omega                      against a posterior whose sigma_omega is 0
    curve   what is left: the curves' parameters, and the shocks of the ladder's largest model
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from score_problems import DATA, load

from cod_bayes.evaluate.backtest import workers
from cod_bayes.evaluate.problems import Problem
from cod_bayes.evidence.record import EvidenceWarning
from cod_bayes.forecast.posterior import Fit
from cod_bayes.model.equations import radians


def without_walk(tree: xr.DataTree) -> xr.DataTree:
    """A copy of a fit's tree in which omega is 0."""
    tree = tree.copy()
    for group in ("posterior", "whole/posterior"):
        if group.split("/")[0] in tree.children:
            posterior = tree[group].to_dataset()
            tree[group] = xr.DataTree(posterior.assign(sigma_omega=0 * posterior["sigma_omega"]))
    return tree


def decomposed(problem: Problem) -> dict[str, Any]:
    """One row: shares of the variance, the width of the 90 % interval, and whether it covers."""
    from cod_bayes.forecast.fitting import fit

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = fit(problem.evidence, progressbar=False)
    still = Fit(without_walk(fitted.idata))

    def z(of: Fit, **options: Any) -> np.ndarray:
        return radians(of.draws(problem.compute, **options)["score"].values.ravel())

    measured, expected = z(fitted), z(fitted, measured=False)
    plain = z(fitted, measured=False, model_seed=None)
    curve = z(still, measured=False, model_seed=None)
    total, all_shocks, walk, least = (v.var() for v in (measured, expected, plain, curve))
    low, high = np.quantile(np.sin(measured) ** 2, [0.05, 0.95])
    actual = problem.actual(next(iter(problem.evidence.benchmarks)))
    return {
        "problem": problem.id,
        "kind": problem.family,
        "curve": least / total,
        "walk": (walk - least) / total,
        "shocks": (all_shocks - walk) / total,
        "noise": (total - all_shocks) / total,
        "width": 100 * (high - low),
        "covered": low <= actual <= high,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    both = [DATA / "problems.json", DATA / "problems2.json"]
    parser.add_argument("problems", type=Path, nargs="*", default=both)
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--out", type=Path, default=Path("widths.csv"))
    arguments = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EvidenceWarning)
        todo = [problem for path in arguments.problems for problem in load(path)]
    rows = []
    with workers(arguments.jobs) as pool:
        for row in pool.map(decomposed, todo):
            rows.append(row)
            print(f"\r{len(rows)} of {len(todo)}", end="", file=sys.stderr)
    table = pd.DataFrame(rows)
    table.to_csv(arguments.out, index=False)
    columns = ["curve", "walk", "shocks", "noise", "width", "covered"]
    every = pd.concat([table, table.assign(kind="all")])
    means = every.groupby("kind", sort=False)[columns].mean().round(2)
    print("\n" + means.assign(problems=every.groupby("kind").size()).to_string())


if __name__ == "__main__":
    main()
