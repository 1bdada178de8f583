"""Does it help to average the model's forecast with those of other curves?

    python examples/studies/forms.py [PROBLEMS.json ...] [--with end_to_end logistic item_response]

The problems are those of `score_problems.py`, by default all 75; those with fewer than four ladder
models are left out. Forecasts are averaged by their quantiles, in radians of arcsine root, with the
weight w of the model's:

    half        w = 1/2
    precision   w inversely proportional to the variances of the two forecasts
    held out    w and 1 - w in proportion to the densities that both give the largest ladder model,
                forecast from the smaller ones; each density is a normal of its draws

"pool" takes half of its draws from each.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from score_problems import DATA, load

from cod_bayes.evaluate.backtest import workers
from cod_bayes.evaluate.problems import Problem, problems
from cod_bayes.evaluate.rivals import RIVALS
from cod_bayes.evaluate.scoring import crps
from cod_bayes.evidence.record import EvidenceWarning
from cod_bayes.model.equations import radians, rate_of

DRAWS = 2000
_LEAST_SD = 0.01  # radians: of a density, so that one forecast never has all the weight


def forecasts(problem: Problem, methods: list[str]) -> dict[str, np.ndarray]:
    """Draws in radians of the model ("cod") and of those methods that apply, (draw,)."""
    from cod_bayes.forecast.fitting import fit

    rng = np.random.default_rng(0)
    score = fit(problem.evidence, progressbar=False).draws(problem.compute)["score"].values.ravel()
    found = {"cod": radians(rng.choice(score, DRAWS))}
    (data,) = problem.evidence.benchmarks.values()
    for method in methods:
        try:
            drawn = RIVALS[method](data, np.array([problem.compute]), rng, DRAWS)
        except ValueError:  # it needs more models, or items
            continue
        found[method] = radians(drawn[:, 0])
    return found


def density(z: np.ndarray, actual: float) -> float:
    sd = max(z.std(), _LEAST_SD)
    return float(np.exp(-0.5 * ((actual - z.mean()) / sd) ** 2) / sd)


def averaged(problem: Problem, methods: list[str]) -> list[dict[str, object]]:
    """A row for each other method and way of averaging."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inside = next(
            p for p in problems(problem.evidence, 2) if p.target in problem.evidence.ladder
        )
        now, before = forecasts(problem, methods), forecasts(inside, methods)
    name = next(iter(problem.evidence.benchmarks))
    actual, known = problem.actual(name), float(radians(inside.actual(name)))
    own, rows = now["cod"], []
    for method in now.keys() & before.keys() - {"cod"}:
        other = now[method]
        p, q = (density(before[of], known) + 1e-9 for of in ("cod", method))
        weights = {
            "half": 0.5,
            "precision": other.var() / (own.var() + other.var()),
            "held out": p / (p + q),
        }
        made = {"cod alone": own, "other alone": other}
        made["pool"] = np.concatenate([own[::2], other[::2]])
        made |= {k: w * np.sort(own) + (1 - w) * np.sort(other) for k, w in weights.items()}
        for how, z in made.items():
            score = rate_of(z)
            low, high = np.quantile(score, [0.05, 0.95])
            row = {"problem": problem.id, "other": method, "how": how}
            row |= {"crps": 100 * float(crps(score, actual)), "width": 100 * (high - low)}
            rows.append(row | {"covered": low <= actual <= high})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    both = [DATA / "problems.json", DATA / "problems2.json"]
    parser.add_argument("problems", type=Path, nargs="*", default=both)
    parser.add_argument(
        "--with", dest="methods", nargs="+", default=["end_to_end", "logistic", "item_response"]
    )
    parser.add_argument("--jobs", type=int)
    arguments = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EvidenceWarning)
        todo = [problem for path in arguments.problems for problem in load(path)]
    todo = [p for p in todo if len(p.evidence.ladder) > 3]
    rows: list[dict[str, object]] = []
    with workers(arguments.jobs) as pool:
        for n, found in enumerate(pool.map(averaged, todo, [arguments.methods] * len(todo)), 1):
            rows += found
            print(f"\r{n} of {len(todo)}", end="", file=sys.stderr)
    table = pd.DataFrame(rows)
    means = table.groupby(["other", "how"])[["crps", "width", "covered"]].mean().round(2)
    print("\n" + means.assign(problems=table.groupby(["other", "how"]).size()).to_string())


if __name__ == "__main__":
    main()
