"""Forecasts of OpenLM models whose tokens per parameter the ladder does not have.

    python examples/studies/n_and_d.py
    python -m uv run --with chinchilla --with simple-scaling-laws \\
        python examples/studies/n_and_d.py --losses

A model's multiple is its tokens per parameter over 20. In each of the three corpora, and for each
way to choose a ladder,

    longer    ladder: multiples up to 2           targets: 8 and more
    shorter   ladder: multiples of 8 and more     targets: 1, from 411M parameters
    larger    ladder: models below 411M           targets: 411M and larger, all multiples

the means over all 46 tasks and six single tasks are forecast from the ladder by three measures of
compute: 6 N D, the effective compute of published constants, and that of the ladder's own law.
`--losses` predicts the targets' losses from the ladder's instead, by the ladder's own law and by
those of the packages chinchilla and simple-scaling-laws that are installed.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

import cod_bayes as cb
from cod_bayes.evaluate.scoring import score_table, summarise
from cod_bayes.evidence.loss_law import PUBLISHED, fit_loss_law

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"  # beside the repository
TASKS = ("hellaswag", "arc_easy", "piqa", "lambada_openai", "boolq", "winograd")
MEAN = "mean of 46 tasks"
FIT = ["corpus", "family", "method"]
MEASURES = ("6 N D", "published law", "own law")


def splits(models: pd.DataFrame) -> Iterator[tuple[str, pd.Series, pd.Series]]:
    """Name, which models are the ladder, which the targets."""
    multiple, large = models["chinchilla_mult"], models["params"] > 4e8
    yield "longer", multiple <= 2, multiple >= 8
    yield "shorter", multiple >= 8, (multiple == 1) & large
    yield "larger", ~large, large


def computes(ladder: pd.DataFrame, models: pd.DataFrame) -> dict[str, np.ndarray]:
    """Each measure of the compute of `models`; the own law is that of `ladder`."""
    law = fit_loss_law(ladder["params"], ladder["tokens"], ladder["loss"])
    N, D = models["params"].to_numpy(), models["tokens"].to_numpy()
    of = 6 * N * D, PUBLISHED.effective_compute(N, D), law.effective_compute(N, D)
    return dict(zip(MEASURES, of, strict=True))


def with_mean(table: pd.DataFrame) -> pd.DataFrame:
    """The chosen tasks, each a benchmark, and the mean over all tasks as one more."""
    mean = table.groupby("model", as_index=False)[["score", "chance"]].mean()
    mean = mean.merge(table.drop(columns=["score", "chance", "item"]).drop_duplicates("model"))
    chosen = table[table["item"].isin(TASKS)]
    tasks = pd.concat([mean.assign(benchmark=MEAN), chosen.assign(benchmark=chosen["item"])])
    return tasks.drop(columns=["item", "subset"])


def forecasts(path: Path) -> pd.DataFrame:
    """A row for each corpus, split, measure, target and benchmark, as `score_table` takes it."""
    rows = []
    for corpus, of_corpus in pd.read_parquet(path).groupby("family"):
        table = with_mean(of_corpus)
        models = table.drop_duplicates("model").set_index("model")
        for split, ladder, target in splits(models):
            measured = computes(models[ladder], models)
            for measure, flops in measured.items():
                by_model = pd.Series(flops, models.index)
                of_ladder = table[table["model"].isin(models.index[ladder])]
                evidence = cb.read_table(
                    of_ladder.assign(compute=of_ladder["model"].map(by_model)).drop(
                        columns=["params", "tokens"]
                    )
                )
                fit = cb.fit(evidence, preview=True, progressbar=False)
                names = models.index[target]
                drawn = fit.draws(by_model[names].to_numpy())["score"]
                drawn = drawn.stack(sample=("chain", "draw"))
                for j, name in enumerate(names):
                    actual = table[table["model"] == name].set_index("benchmark")["score"]
                    for benchmark in fit.benchmarks:
                        x = drawn.sel(benchmark=benchmark).isel(compute=j).values
                        row = summarise(x, float(actual[benchmark]))
                        rows.append(
                            row | {"method": measure, "family": split, "corpus": corpus,
                                   "target": name, "benchmark": benchmark,
                                   "failed": len(fit.failed_checks)}
                        )  # fmt: skip
    return pd.DataFrame(rows)


def losses(path: Path) -> pd.DataFrame:
    """A row for each corpus, split and method: mean absolute error of the targets' log loss, %."""
    rows = []
    for corpus, of_corpus in pd.read_parquet(path).groupby("family"):
        models = of_corpus.drop_duplicates("model")
        for split, ladder, target in splits(models):
            for method, predict in METHODS.items():
                try:
                    predicted = predict(models[ladder], models[target])
                except ImportError:
                    continue
                error = np.log(predicted / models.loc[target, "loss"]).abs().mean()
                rows.append({"corpus": corpus, "split": split, "method": method, "error": error})
    return pd.DataFrame(rows)


def by_own_law(ladder: pd.DataFrame, target: pd.DataFrame) -> np.ndarray:
    law = fit_loss_law(ladder["params"], ladder["tokens"], ladder["loss"])
    return law.loss(target["params"], target["tokens"])


def by_chinchilla(ladder: pd.DataFrame, target: pd.DataFrame) -> np.ndarray:
    """Its default loss function, from a grid of 32 starts."""
    from chinchilla import Chinchilla

    starts = {"E": (1, 2), "a": (3, 8), "b": (3, 8), "alpha": (0.2, 0.5), "beta": (0.2, 0.5)}
    grid = {name: np.array(ends) for name, ends in starts.items()}
    with tempfile.TemporaryDirectory() as folder:
        runs = {"C": ladder["compute"], "N": ladder["params"], "D": ladder["tokens"]}
        pd.DataFrame(runs | {"loss": ladder["loss"]}).to_csv(f"{folder}/df.csv", index=False)
        law = Chinchilla(folder, param_grid=grid, log_level=50)
        law.visualizer.optim = lambda *_, **__: None  # no pictures
        law.fit()
    predicted = law.predict_loss(target["params"].to_numpy(), target["tokens"].to_numpy())
    return np.asarray(predicted, dtype=float)


def by_simple_scaling_laws(ladder: pd.DataFrame, target: pd.DataFrame) -> np.ndarray:
    import polars
    from simple_scaling_laws import fit

    def sizes(models: pd.DataFrame) -> dict[str, list[float]]:
        return {
            "model_size__params": list(models["params"]),
            "dataset_size__tokens": list(models["tokens"]),
        }

    runs = {"training_run_id": list(ladder["model"]), "test_loss__ce": list(ladder["loss"])}
    law = fit(polars.DataFrame(runs | sizes(ladder)), law="separable-power", n_draws=50, seed=0)
    points = polars.DataFrame({"point_id": list(target["model"])} | sizes(target))
    return law.predict(points, quantiles=[0.5])["test_loss__ce__median"].to_numpy()


METHODS = {
    "own law": by_own_law,
    "chinchilla": by_chinchilla,
    "simple-scaling-laws": by_simple_scaling_laws,
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Targets of other tokens per parameter.")
    parser.add_argument("table", type=Path, nargs="?", default=DATA / "openlm_benchmarks.parquet")
    parser.add_argument("--losses", action="store_true", help="predict losses, not scores")
    arguments = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    if arguments.losses:
        found = losses(arguments.table)
        table = found.pivot_table(index="method", columns="split", values="error")
        print((100 * table).round(2).to_string())
        return 0
    rows = forecasts(arguments.table)
    for mean, part in rows.groupby(rows["benchmark"] == MEAN):
        print(MEAN if mean else "single tasks")
        print(score_table(part).round(2).to_string(index=False))
    print(f"fits that fail a check: {rows.groupby(FIT)['failed'].first().gt(0).sum()}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
