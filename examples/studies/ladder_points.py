"""The width of a forecast as models are added to a ladder, largest first: 2, 4, 6, 8 models.

    python examples/studies/ladder_points.py [--seed 1] [--items-scale 0.05] [--shock 0.04]

The ladder is simulated with eight benchmarks, so the truth is known. The largest model is always
part of the ladder. Smaller ones are added in descending order, so only the length of the observed
curve changes.
"""

from __future__ import annotations

import argparse
import warnings

from rich.progress import track

from cod_bayes.evaluate.simulate import simulate
from cod_bayes.forecast.fitting import fit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--items-scale", type=float, default=0.05)
    parser.add_argument("--shock", type=float, default=0.04)
    parser.add_argument("--draws", type=int, default=800)
    arguments = parser.parse_args()
    shocks = {"shock": arguments.shock, "benchmark_shock": arguments.shock}
    world = simulate(arguments.seed, items_scale=arguments.items_scale, **shocks)
    truth = world.truth[world.truth["role"] == "target"].set_index("benchmark")
    compute = float(truth["compute"].iloc[0])
    ladder = list(world.evidence.ladder)
    rows = []
    for count in track(range(2, len(ladder) + 1, 2), description="ladders"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the last column names the checks that fail
            evidence = world.evidence.select(models=ladder[-count:])
            fitted = fit(
                evidence, random_seed=arguments.seed, draws=arguments.draws, progressbar=False
            )
        summary = fitted.forecast(compute).summary().set_index("benchmark")
        slope = fitted.idata["posterior"]["mu_beta"]
        width = 100 * (summary["q95"] - summary["q05"]).mean()
        error = 100 * (summary["q50"] - truth["score"]).abs().mean()
        failed = ", ".join(fitted.failed_checks) or "none"
        rows.append((count, width, error, float(slope.std()), failed))
    prior = fitted.spec.priors["mu_beta"].sigma
    print(f"sd of mu_beta in the prior: {prior:.2f}")
    print(f"{'models':>6} {'90 % width':>10} {'error':>6} {'sd of mu_beta':>13}  checks that fail")
    for count, width, error, sd, failed in rows:
        print(f"{count:>6} {width:>10.1f} {error:>6.1f} {sd:>13.2f}  {failed}")


if __name__ == "__main__":
    main()
