"""Three changes of the model, each a few lines, compared with the shipped one by a held-out score.

    python examples/change_the_model.py [--engine pymc] [--trials 4] [--draws 1000]

1. A covariate on the slope: benchmarks of multiple choice may rise more slowly or faster than
   those that generate an answer.
2. A Student likelihood: one odd evaluation bends no curve.
3. Another curve family: accuracy is logistic in log compute between a floor and a ceiling.

A model is a function from the prepared ladder (`cb.LadderData`) to a `pm.Model`. `cb.build_model`
states the shipped one; its parts can be replaced. Forecasts, decisions, figures, the report and
saving work from the posterior of any of them.
"""

import argparse

import numpy as np
import pymc as pm

import cod_bayes as cb
from cod_bayes.evaluate.scoring import crps
from cod_bayes.evaluate.simulate import PAPER_BENCHMARKS, simulate


def slope_by_kind(ladder):
    """log beta_k ~ N(mu_beta + kappa c_k, sigma_beta), c_k = 1 for multiple choice."""

    def curves(ladder, prior):
        kappa = pm.Normal("kappa", 0, 0.5)  # log slope: a factor of 1.6 either way
        chance = ladder.chance
        return cb.answer_loss_curves(ladder, prior, log_slope=kappa * (chance > 0))

    return cb.build_model(ladder, curves=curves)


def student(ladder):
    """z ~ StudentT(4, mean, sd) in place of a normal."""

    def likelihood(name, mean, sd, **options):
        return pm.StudentT(name, nu=4, mu=mean, sigma=sd, **options)

    return cb.build_model(ladder, likelihood=likelihood)


def logistic(ladder):
    """y(a) = g + (c - g) / (1 + exp(-r (a - m))), a in decades from the largest ladder model."""

    def curves(ladder, prior):
        middle = pm.Normal("middle", 0, 1.5, dims="cluster")
        log_rate = pm.Normal("log_rate", pm.Normal("mu_rate", 0.5, 0.5), 0.4, dims="cluster")
        ceiling = pm.Beta("ceiling", 6, 1.5, dims="cluster")
        floor = np.nan_to_num(ladder.chance)
        top = floor + (1 - floor) * ceiling
        rate = pm.math.exp(log_rate)
        return lambda a, k: floor[k] + (top - floor)[k] * pm.math.sigmoid(rate[k] * (a - middle[k]))

    return cb.build_model(ladder, curves=curves)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", default="pymc", choices=["pymc", "jax"])
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--draws", type=int, default=1000)
    arguments = parser.parse_args()

    names = ("MATH", "DROP", "AGIEval", "MMLU-pro")
    benchmarks = [b for b in PAPER_BENCHMARKS if b.name in names]
    world = simulate(3, benchmarks=benchmarks, items_scale=0.05, trials=arguments.trials)
    target = world.truth.query("role == 'target'").set_index("benchmark")
    compute = target["compute"].iloc[0]
    print(f"{'model':16} {'CRPS':>6}  90 % intervals of the 70B, and the truth, in percent")
    for model in ("cod", slope_by_kind, student, logistic):
        options = {} if model == "cod" else {"engine": arguments.engine}
        fit = cb.fit(world.table, model, draws=arguments.draws, progressbar=False, **options)
        rows = fit.forecast(compute)
        score = rows.draws["score"].isel(compute=0).stack(sample=("chain", "draw"))
        truth = target["score"].loc[score["benchmark"].values].to_numpy()
        error = crps(score.transpose("sample", "benchmark").values, truth).mean()
        intervals = (
            f"{row.benchmark} {100 * row.q05:.0f}-{100 * row.q95:.0f} ({100 * actual:.0f})"
            for row, actual in zip(rows.summary().itertuples(), truth, strict=True)
        )
        name = model if model == "cod" else model.__name__
        print(f"{name:16} {100 * error:6.2f}  {', '.join(intervals)}")


if __name__ == "__main__":
    main()
