"""Forecasts the largest model of a real ladder from the smaller ones, and writes the report.

    cod-bayes datasets pythia-arithmetic --out pythia_arithmetic.parquet
    python examples/real_ladder.py pythia_arithmetic.parquet [--out real_ladder] [--draws 1000]

Pythia's arithmetic has 200 items of 50 trials, in several prompts and at several checkpoints of
each model. The example uses one prompt and the fully trained models.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

import cod_bayes as cb
from cod_bayes.show.plots import forecast_figure
from cod_bayes.show.report import write_report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path, nargs="?", default=Path("pythia_arithmetic.parquet"))
    parser.add_argument("--benchmark", default="PythiaArith-2shot")
    parser.add_argument("--out", type=Path, default=Path("real_ladder"))
    parser.add_argument("--draws", type=int, default=1000)
    arguments = parser.parse_args()
    if not arguments.table.exists():
        print(
            f"{arguments.table} is not there; get it with\n"
            "    cod-bayes datasets pythia-arithmetic --out pythia_arithmetic.parquet"
        )
        return

    table = pd.read_parquet(arguments.table)
    final = table["model"].str.endswith("@step143000")
    table = table[final & (table["benchmark"] == arguments.benchmark)]
    models = table.groupby("model")["compute"].first().sort_values()
    target, compute = models.index[-1], models.iloc[-1]
    evidence = cb.read_table(table, hold_out=[target])
    print(f"ladder {', '.join(evidence.ladder)}; hidden: {target}, {compute:.3g} FLOPs")

    fit = cb.fit(evidence, random_seed=1, draws=arguments.draws, progressbar=False)
    outlook = fit.forecast(compute)
    row = outlook.summary().iloc[0]
    (name,) = fit.benchmarks
    actual = float(evidence.benchmarks[name]["rate"].sel(model=target).mean())
    print(
        f"{name}: forecast {100 * row['q50']:.1f} %, 90 % between {100 * row['q05']:.1f} and "
        f"{100 * row['q95']:.1f} %, {row['verdict']}; it scored {100 * actual:.1f} %"
    )

    arguments.out.mkdir(parents=True, exist_ok=True)
    truth = pd.DataFrame({"benchmark": [name], "compute": [compute], "score": [actual]})
    forecast_figure(fit, outlook, truth).savefig(arguments.out / "forecast.png", dpi=150)
    write_report(fit, outlook, arguments.out / "report.html")
    print(f"written: forecast.png, report.html in {arguments.out}")


if __name__ == "__main__":
    main()
