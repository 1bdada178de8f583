"""From evidence to a forecast in twelve lines; the evidence is a simulated ladder.

python examples/quickstart.py [--draws 1000]
"""

from __future__ import annotations

import argparse

import cod_bayes as cb
from cod_bayes.evaluate.simulate import PAPER_BENCHMARKS, simulate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000)
    arguments = parser.parse_args()

    gsm8k = next(b for b in PAPER_BENCHMARKS if b.name == "GSM8K")
    world = simulate(
        1, benchmarks=[gsm8k], items_scale=0.1, trials=10
    )  # or a file's name in its place
    evidence = cb.read_table(world.table)
    print(f"ladder: {', '.join(evidence.ladder)}")

    fit = cb.fit(evidence, random_seed=1, draws=arguments.draws, progressbar=False)
    outlook = fit.forecast(compute=[1e24, 3.8e24])
    print(outlook.summary()[["benchmark", "compute", "q05", "q50", "q95", "verdict"]])

    chance = outlook.probability("GSM8K", at_least=0.8)
    for compute in chance["compute"].values:
        p = float(chance.sel(compute=compute))
        print(f"P(GSM8K >= 80 % | {compute:.2g} FLOPs) = {p:.2f}")
    truth = world.truth.query("role == 'target'").iloc[0]
    print(f"true score of a model of {truth['compute']:.2g} FLOPs: {truth['score']:.3f}")


if __name__ == "__main__":
    main()
