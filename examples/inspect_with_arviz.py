"""Inspects a posterior with ArviZ: ranks, calibration, sensitivity to the prior, two models.

    python examples/inspect_with_arviz.py [--out inspect] [--draws 1000]

`fit.idata` is a DataTree for ArviZ, and `fit.with_predictive()` adds predictions and log
densities. `models/schema.md` describes every variable.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import arviz as az
from own_model_spec import steep

import cod_bayes as cb
from cod_bayes.evaluate.simulate import PAPER_BENCHMARKS, simulate

SHARED = ["mu_eta", "sigma_eta", "mu_beta", "sigma_beta"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("inspect"))
    parser.add_argument("--draws", type=int, default=1000)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    names = ("GSM8K", "MBPP")
    benchmarks = [b for b in PAPER_BENCHMARKS if b.name in names]
    world = simulate(3, benchmarks=benchmarks, items_scale=0.1, trials=20)
    own = arguments.out / "steep.toml"
    own.write_text(steep(), encoding="utf-8")
    fits = {
        model: cb.fit(world.table, path, random_seed=1, draws=arguments.draws, progressbar=False)
        for model, path in (("cod", "cod"), ("steep", own))
    }
    trees = {name: fit.with_predictive() for name, fit in fits.items()}
    idata = trees["cod"]

    # The ranks of each chain among all draws are uniform if the chains agree.
    az.plot_rank(idata, var_names=SHARED).savefig(arguments.out / "rank.png")
    # The PIT values of the observed cells in their posterior predictive distributions.
    az.plot_ppc_pit(idata).savefig(arguments.out / "pit.png")
    print(az.summary(idata, var_names=SHARED))
    print("\nsensitivity to powers of prior and likelihood:")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a few cells have a high Pareto k; the table shows it
        print(az.psense_summary(idata, var_names=SHARED))
        # Leaves out one cluster at one model at a time; other clusters still inform its shocks.
        loo = {name: az.loo(tree, var_name="z") for name, tree in trees.items()}
        print("\ntwo models by expected log predictive density:")
        print(az.compare(loo))
    print(f"written: rank.png, pit.png in {arguments.out}")


if __name__ == "__main__":
    main()
