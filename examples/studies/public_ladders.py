"""A forecast of the largest model of every public ladder, from the smaller ones.

    python examples/studies/public_ladders.py [NAME ...] [--folder DIR]

Preview fits: each benchmark is one curve. With checkpoints, the target is the largest model's last
one and its earlier ones are left out. The target's compute is its own. OpenLM's ladder has several
tokens per parameter and is forecast by effective compute too; six of its tasks are taken, because a
fit of all takes long. `--folder` holds a folder of original files for each ladder, under its name;
without it they are downloaded.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import cod_bayes as cb
from cod_bayes.evaluate.scoring import score_table, summarise
from cod_bayes.evidence.datasets import DATASETS, dataset_table

TASKS = ("arc_easy", "boolq", "hellaswag", "lambada_openai", "piqa", "winograd")


def forecast(table: pd.DataFrame, name: str, effective: bool = False) -> list[dict[str, object]]:
    """A row for each benchmark, as `score_table` takes it."""
    models = table.drop_duplicates("model").set_index("model")
    target = models.sort_values(["params", "compute"]).index[-1]
    used = (models["params"] < models["params"].max()) | (models.index == target)
    evidence = cb.read_table(table[table["model"].isin(models.index[used])], hold_out=[target])
    if effective:
        evidence = cb.on_effective_compute(evidence)
    fit = cb.fit(evidence, preview=True, progressbar=False)
    drawn = fit.draws(evidence.models.loc[target, "compute"])["score"]
    drawn = drawn.stack(sample=("chain", "draw")).isel(compute=0)
    return [
        summarise(drawn.sel(benchmark=b).values, _actual(evidence, b, target))
        | {"method": name, "family": "", "failed": len(fit.failed_checks)}
        for b in fit.benchmarks
    ]


def _actual(evidence: cb.Evidence, benchmark: str, target: str) -> float:
    return float(np.nanmean(evidence.benchmarks[benchmark]["rate"].sel(model=target)))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Forecast the largest model of public ladders.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all public ladders")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="holds NAME/ for each ladder")
    arguments = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    rows = []
    for name in arguments.names or DATASETS:
        table = dataset_table(name, arguments.folder and arguments.folder / name)
        if name == "openlm-c4":
            table = table[table["benchmark"].isin(TASKS)]
        rows += forecast(table, name)
        if name == "openlm-c4":
            rows += forecast(table, f"{name}, effective compute", effective=True)
    scores = score_table(pd.DataFrame(rows))
    print(scores[scores["family"] == "pooled"].round(2).to_string(index=False))
    print(f"benchmarks whose fit fails a check: {sum(row['failed'] > 0 for row in rows)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
