"""Known clusters on single answers, against one curve.

    python examples/studies/known_clusters.py {simulated,pythia,qwen} [--seeds 1 2 3]

One answer to each item and model of a ladder is set aside and fitted; all other answers make the
labels of the items, as another evaluation of the benchmark would. The same single answers are
fitted twice: with these labels, and as one curve. The largest models are the targets in turn (of a
simulated ladder, its target).
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

import cod_bayes as cb
from cod_bayes.evaluate.scoring import summarise
from cod_bayes.evaluate.simulate import simulate

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"  # beside the repository


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ladder", choices=LADDERS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # the last column names the checks that fail
    rows = []
    for seed in arguments.seeds:
        for table, target in LADDERS[arguments.ladder](seed):
            rows += compared(table, target, seed)
    found = pd.DataFrame(rows)
    means = found.groupby("method")[["error", "crps", "inside", "width"]].mean()
    print((100 * means).round(1).to_string())
    crps = found.pivot(index=["seed", "target", "benchmark"], columns="method", values="crps")
    gain = 100 * (crps["known clusters"] - crps["one curve"])
    print(f"CRPS of known clusters less that of one curve: {gain.mean():+.2f}, ", end="")
    print(f"standard error {gain.std() / np.sqrt(len(gain)):.2f}, over {len(gain)} forecasts")
    print(f"failed checks: {sorted(set(found['failed']) - {''}) or 'none'}")


def compared(table: pd.DataFrame, target: str, seed: int) -> Iterator[dict[str, object]]:
    """A row per benchmark and method. table: the ladder, and the target with all its answers."""
    of_target = table["model"] == target
    rate = table["n_correct"] / table["n_trials"]
    actual = rate[of_target].groupby(table["benchmark"]).mean()
    compute = float(table.loc[of_target, "compute"].iloc[0])
    single, others = parted(table[~of_target], np.random.default_rng(seed))
    labels = cb.label_items(cb.read_table(others))
    evidence = cb.read_table(single)
    for method, options in (
        ("one curve", {"preview": True}),
        ("known clusters", {"clusters": labels}),
    ):
        fitted = cb.fit(evidence, random_seed=seed, progressbar=False, **options)
        score = fitted.forecast(compute).draws["score"].isel(compute=0)
        for name in fitted.benchmarks:
            s = summarise(score.sel(benchmark=name).values.ravel(), actual[name])
            yield {
                "seed": seed,
                "target": target,
                "benchmark": name,
                "method": method,
                "error": abs(s["median"] - actual[name]),
                "crps": s["crps"],
                "inside": s["q05"] <= actual[name] <= s["q95"],
                "width": s["q95"] - s["q05"],
                "failed": ", ".join(fitted.failed_checks),
            }


def parted(table: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One answer of every cell, drawn from its answers, and the others."""
    right, n = (table[name].round().astype(int).to_numpy() for name in ("n_correct", "n_trials"))
    one = rng.hypergeometric(right, n - right, 1)
    table = table.drop(columns="score", errors="ignore")
    others = table.assign(n_correct=right - one, n_trials=n - 1)
    return table.assign(n_correct=one, n_trials=1), others[n > 1]


def simulated(seed: int) -> Iterator[tuple[pd.DataFrame, str]]:
    world = simulate(seed, items_scale=0.1, trials=101, anchors=0)
    models = world.table
    yield models, str(models.loc[models["role"] == "target", "model"].iloc[0])


def pythia(seed: int) -> Iterator[tuple[pd.DataFrame, str]]:
    table = pd.read_parquet(SHARED / "pythia_arithmetic.parquet")
    yield from largest(table[table["step"] == 143_000], 2)


def qwen(seed: int) -> Iterator[tuple[pd.DataFrame, str]]:
    table = pd.read_parquet(SHARED / "qwen15_chat_sampled.parquet")
    trials = table.groupby("benchmark")["n_trials"].transform("median")
    yield from largest(table[trials > 100], 3)


def largest(table: pd.DataFrame, targets: int) -> Iterator[tuple[pd.DataFrame, str]]:
    """Each of the largest models as a target, with the models below it."""
    order = table.groupby("model")["compute"].first().sort_values().index.to_list()
    for k in range(1, targets + 1):
        yield table[table["model"].isin(order[: len(order) - k + 1])], order[-k]


LADDERS = {"simulated": simulated, "pythia": pythia, "qwen": qwen}

if __name__ == "__main__":
    main()
