"""From statements about accuracy to priors, and from priors to curves.

    python examples/elicit_priors.py [--at-top 0.25] [--one-decade-on 0.45] [--out elicited.toml]

Two statements about a typical cluster of a benchmark without guessing,

    y_0 = its accuracy at the largest ladder model,      L_0 = (y_0^-nu - 1) / nu
    y_1 = its accuracy with ten times the compute,       L_1 = (y_1^-nu - 1) / nu

determine the centres of two priors, since log L falls by beta per decade where no ceiling limits
the accuracy:

    mu_eta = log L_0,      mu_beta = log(log L_0 - log L_1)

The example prints quantiles of the curves under the shipped and under the elicited prior. Change
the statements until the second table agrees with what you believe.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import pymc as pm
from own_model_spec import shipped, with_prior

from cod_bayes.model.equations import accuracy
from cod_bayes.model.ladder import LadderData
from cod_bayes.model.spec import Spec, load_spec
from cod_bayes.model.statement import build
from cod_bayes.model.variables import CURVE

DECADES = np.array([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0])  # from the largest ladder model


def centres(at_top: float, one_decade_on: float, nu: float) -> tuple[float, float]:
    """mu_eta and mu_beta for the two statements; nu is the dispersion of the items."""
    if not 0 < at_top < one_decade_on < 1:
        raise SystemExit(
            f"expected 0 < at-top < one-decade-on < 1, got {at_top} and {one_decade_on}; "
            "a cluster's accuracy rises with compute"
        )
    loss = (np.array([at_top, one_decade_on]) ** -nu - 1) / nu
    return float(np.log(loss[0])), float(np.log(-np.diff(np.log(loss))[0]))


def prior_accuracy(spec: Spec, draws: int) -> np.ndarray:
    """The accuracy of one cluster at `DECADES` in each prior draw: (draw, decade)."""
    one, x = np.zeros(1), np.array([0.0])
    ratio = np.array([spec.constants["nu_ratio_cluster"]])
    ladder = LadderData(
        ["b"], ["b/0"], ["top"], np.array([0]), x, one, one[None], one[None], one, ratio, one
    )
    names = [*CURVE, "nu"]
    with build(ladder, spec):
        drawn = pm.sample_prior_predictive(draws, var_names=names, random_seed=0)
    p = {name: drawn["prior"][name].values[0] for name in names}  # (draw, 1)
    return accuracy(DECADES, **p | {"nu": ratio * p["nu"]})


def table(accuracies: np.ndarray) -> pd.DataFrame:
    """Quantiles in percent; rows are decades from the largest ladder model."""
    q = [0.05, 0.25, 0.5, 0.75, 0.95]
    return pd.DataFrame(
        100 * np.quantile(accuracies, q, axis=0).T,
        index=pd.Index(DECADES, name="decades"),
        columns=[f"{100 * p:g} %" for p in q],
    ).round(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--at-top", type=float, default=0.25)
    parser.add_argument("--one-decade-on", type=float, default=0.45)
    parser.add_argument("--out", type=Path, default=Path("elicited.toml"))
    parser.add_argument("--draws", type=int, default=20_000)
    arguments = parser.parse_args()
    spec = load_spec("cod")
    nu = spec.constants["nu_ratio_cluster"] * float(np.exp(spec.priors["nu"].mu))
    mu_eta, mu_beta = centres(arguments.at_top, arguments.one_decade_on, nu)

    text = shipped().replace('name = "cod"', 'name = "elicited"', 1)
    why = f"a typical cluster: {arguments.at_top} at the top, {arguments.one_decade_on} a decade on"
    text = with_prior(text, "mu_eta", mu=round(mu_eta, 3), why=why)
    text = with_prior(text, "mu_beta", mu=round(mu_beta, 3), why=why)
    arguments.out.write_text(text, encoding="utf-8")

    for model in ("cod", arguments.out):
        spec = load_spec(model)
        eta, beta = (spec.priors[name] for name in ("mu_eta", "mu_beta"))
        print(
            f"{spec.name}: mu_eta {eta.mu:g} ± {eta.sigma:g}, mu_beta {beta.mu:g} ± {beta.sigma:g}"
        )
        print("accuracy of a cluster, %")
        print(table(prior_accuracy(spec, arguments.draws)), "\n")
    print(f"written: {arguments.out}; use it with: cod-bayes forecast ... --model {arguments.out}")


if __name__ == "__main__":
    main()
