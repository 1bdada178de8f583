"""How often `monitor` flags good runs and bad runs, on simulated ladders.

    python examples/studies/check_monitor.py [--ladders 20] [--runs 15] [--items-scale 0.1]
                                             [--refits 4] [--trajectories]

Each ladder has the paper's eight benchmarks and eight models, default shocks and a tenth of the
items, and is fitted once. Three kinds of runs of the 70B with twelve checkpoints are then
monitored: simulated runs with new shocks, the same 0.3 decades of compute behind, and runs drawn
from the posterior. Prints the share of runs that are flagged over the whole run and before 60 % of
the training, and how often the 90 % interval of the final score covers it before and after the
checkpoints. On the first ladders the updated forecast is compared with a refit in which the
checkpoint at 60 % of training is the largest ladder model, which the target continues.

With --trajectories every model has checkpoints, and unfinished ones score below a finished model
of their compute: in radians, a run has risen by the share s^kappa from chance to its end at the
share s of its training, with kappa ~ N(0.6, 0.2^2) for each model and run. The last kind is left
out.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np
import pandas as pd
import xarray as xr
from rich.progress import track

from cod_bayes.decide.monitor import monitor
from cod_bayes.decide.runs import moment_noise
from cod_bayes.evaluate.simulate import PAPER_TARGETS, Simulation, pass_rate, simulate
from cod_bayes.forecast.fitting import fit
from cod_bayes.forecast.posterior import Fit

TARGET = PAPER_TARGETS[0].compute
SHARES = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
TRIALS = 100
SHOCK = BENCHMARK_SHOCK = 0.08  # decades, as `simulate`
ITEM_NOISE = 0.2
BEHIND = 0.3
KAPPA, KAPPA_SPREAD = 0.6, 0.2
AT_REFIT = 8  # of SHARES


def simulated_run(
    world: Simulation, effective: Callable[[np.ndarray], np.ndarray], rng: np.random.Generator
) -> tuple[pd.DataFrame, dict[str, float], pd.DataFrame]:
    """The checkpoints of one run, its true final scores, and its items at 60 % of training.

    effective: log10 of the compute that a run of this log10 compute is worth.
    """
    x = effective(np.log10(TARGET * np.append(SHARES, 1.0))) + SHOCK * rng.standard_normal()
    rows, final, answers = [], {}, []
    for name, items in world.items.groupby("benchmark", sort=False):
        shock = BENCHMARK_SHOCK * rng.standard_normal()
        e = ITEM_NOISE * rng.standard_normal((len(items), 1))  # the same at every checkpoint
        p = pass_rate(x + shock, items, e)
        correct = rng.binomial(TRIALS, p[:, :-1])
        right = correct.sum(axis=0)
        at = {"compute": TARGET * SHARES[AT_REFIT], "n_correct": correct[:, AT_REFIT]}
        answers.append(pd.DataFrame({"benchmark": name, "item": items["item"].to_numpy()} | at))
        final[str(name)] = float(p[:, -1].mean())
        rows += [
            (name, c, k, TRIALS * len(items)) for c, k in zip(TARGET * SHARES, right, strict=True)
        ]
    table = pd.DataFrame(rows, columns=["benchmark", "compute", "n_correct", "n_trials"])
    return table, final, pd.concat(answers)


def risen(end: np.ndarray, chance: np.ndarray, kappa: float, shares: np.ndarray) -> np.ndarray:
    """Expected scores (benchmark, share) of a run with this score at its end (benchmark,)."""
    z0, z = (np.arcsin(np.sqrt(rate))[:, None] for rate in (chance, end))
    return np.sin(z0 + (z - z0) * shares**kappa) ** 2


def with_checkpoints(
    fitted: Fit, chance: np.ndarray, trials: np.ndarray, rng: np.random.Generator
) -> Fit:
    """The same fit, with checkpoints of every ladder model at six shares of its training."""
    constant = fitted.idata["constant_data"].to_dataset()
    models, shares = constant["model"].values, np.array([0.05, 0.1, 0.3, 0.5, 0.7, 0.9])
    parts = []
    for end in constant["score"].values.T:
        rate = risen(end, chance, KAPPA + KAPPA_SPREAD * rng.standard_normal(), shares)
        measured = rng.binomial(trials[:, None], rate) / trials[:, None]
        parts.append(np.column_stack([measured, end]))
    score, training = np.concatenate(parts, axis=1), np.tile(np.append(shares, 1.0), len(models))
    of = np.repeat(models, len(shares) + 1)
    group = xr.Dataset(
        {
            "score": (("benchmark", "checkpoint"), score),
            "trials": (("benchmark", "checkpoint"), np.broadcast_to(trials[:, None], score.shape)),
            "model_of_checkpoint": ("checkpoint", of),
            "training": ("checkpoint", training),
        },
        {"benchmark": fitted.benchmarks},
    )
    tree = fitted.idata.copy()
    tree.attrs = fitted.idata.attrs
    tree["checkpoints"] = xr.DataTree(group)
    return Fit(tree, fitted.clusters)


def rising_run(
    fitted: Fit,
    final: dict[str, float],
    chance: np.ndarray,
    trials: np.ndarray,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """The checkpoints of a run with these true final scores."""
    end = np.array([final[name] for name in fitted.benchmarks])
    rate = risen(end, chance, KAPPA + KAPPA_SPREAD * rng.standard_normal(), SHARES)
    rows = [
        (name, TARGET * share, rng.binomial(trials[b], rate[b, t]), trials[b])
        for b, name in enumerate(fitted.benchmarks)
        for t, share in enumerate(SHARES)
    ]
    return pd.DataFrame(rows, columns=["benchmark", "compute", "n_correct", "n_trials"])


def refitted(world: Simulation, answers: pd.DataFrame, seed: int) -> tuple[Fit, pd.DataFrame]:
    """A refit with the checkpoint as largest ladder model, and its forecast of the final score."""
    items = world.table[["benchmark", "item", "chance"]].drop_duplicates()
    last = answers.merge(items, on=["benchmark", "item"])
    last = last.assign(model="checkpoint", role="ladder", family="ladder", n_trials=TRIALS)
    again = fit(pd.concat([world.table, last]), random_seed=seed, progressbar=False)
    score = again.draws(TARGET, one_run=True, continues=True)["score"].isel(compute=0)
    summary = {
        "refit_mean": score.mean(("chain", "draw")),
        "refit_sd": score.std(("chain", "draw")),
    }
    return again, pd.DataFrame(summary, index=again.benchmarks)


def drawn_runs(fitted: Fit, runs: int, rng: np.random.Generator) -> list[pd.DataFrame]:
    """Runs drawn from the posterior, with shocks that differ from those of its forecasts."""
    compute = TARGET * SHARES
    score = fitted.draws(compute, one_run=True, measured=False, model_seed=7)["score"].values
    z = np.arcsin(np.sqrt(score.reshape(-1, *score.shape[2:])))
    noise = moment_noise(fitted)[..., None]
    tables = []
    for draw in rng.choice(len(z), runs, replace=False):
        rate = np.sin(z[draw] + noise[draw] * rng.standard_normal(z.shape[1:])) ** 2
        rows = [
            (name, c, rng.binomial(10_000, rate[b, t]), 10_000)
            for b, name in enumerate(fitted.benchmarks)
            for t, c in enumerate(compute)
        ]
        names = ["benchmark", "compute", "n_correct", "n_trials"]
        tables.append(pd.DataFrame(rows, columns=names))
    return tables


def one(
    seed: int, runs: int, scale: float, refits: int, trajectories: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row for each run of a ladder; updated forecasts of its first run, with the refit's."""
    world = simulate(seed, items_scale=scale, trials=TRIALS, anchors=0, include_target=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = fit(world.evidence, random_seed=seed, progressbar=False)
    rng = np.random.default_rng([seed, 1])
    kinds = {"follows": lambda x: x, "behind": lambda x: x - BEHIND}
    cases = [
        (kind, *simulated_run(world, effective, rng))
        for kind, effective in kinds.items()
        for _ in range(runs)
    ]
    beside = pd.DataFrame()
    if seed < refits:
        _, table, _, answers = cases[0]
        so_far = table[table["compute"] <= answers["compute"].max()]
        forecasts = monitor(fitted, so_far, TARGET).forecast.groupby("benchmark")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            again, beside = refitted(world, answers, seed)
        beside[["mean", "sd"]] = forecasts.last()[["mean", "sd"]]
        beside["sd_before"] = forecasts.first()["sd"]
        beside["ok"] = not again.failed_checks
    cases = [case[:3] for case in cases]
    if trajectories:
        items = world.items.groupby("benchmark")
        trials = TRIALS * items.size().loc[fitted.benchmarks].to_numpy()
        of_item = world.table.groupby("benchmark")["chance"].mean().fillna(0.0)
        chance = of_item.loc[fitted.benchmarks].to_numpy()
        fitted = with_checkpoints(fitted, chance, trials, rng)
        cases = [
            (kind, rising_run(fitted, final, chance, trials, rng), final)
            for kind, _, final in cases
        ]
    else:
        cases += [("drawn", table, {}) for table in drawn_runs(fitted, runs, rng)]
    rows = []
    for kind, table, final in cases:
        watched = monitor(fitted, table, TARGET)
        looks, forecast = watched.looks, watched.forecast
        row = {
            "seed": seed,
            "kind": kind,
            "ok": not fitted.failed_checks,
            "whole": watched.flagged,
            "early": bool((looks.loc[looks["training"] < 0.6, "flag"] != "").any()),
            "behind_sd": looks["behind_sd"].iloc[-1],
            "effective": looks["effective_draws"].iloc[-1],
            "pit": float(np.mean(np.abs(watched.checkpoints["pit"] - 0.5) < 0.45)),
        }
        if kind == "follows":
            first = forecast[forecast["compute"] == 0].set_index("benchmark")
            last = forecast[forecast["compute"] == TARGET * SHARES[8]].set_index("benchmark")
            truth = pd.Series(final)
            for when, part in (("before", first), ("after", last)):
                part = part.loc[truth.index]
                row[f"covered_{when}"] = truth.between(part["q05"], part["q95"]).mean()
                row[f"error_{when}"] = 100 * (part["q50"] - truth).abs().mean()
        rows.append(row)
    return pd.DataFrame(rows), beside


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ladders", type=int, default=20)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--items-scale", type=float, default=0.1)
    parser.add_argument("--refits", type=int, default=4, help="ladders to refit with a checkpoint")
    parser.add_argument(
        "--trajectories", action="store_true", help="all models have checkpoints that rise late"
    )
    parser.add_argument("--out", metavar="CSV", help="one row per run, written as they come")
    arguments = parser.parse_args()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        work = partial(
            one,
            runs=arguments.runs,
            scale=arguments.items_scale,
            refits=0 if arguments.trajectories else arguments.refits,
            trajectories=arguments.trajectories,
        )
        done = pool.map(work, range(arguments.ladders))
        parts, refits = [], []
        for part, beside in track(done, total=arguments.ladders, description="ladders"):
            parts.append(part)
            refits.append(beside)
            rows = pd.concat(parts, ignore_index=True)
            if arguments.out:
                rows.to_csv(arguments.out, index=False)
    print(
        f"{arguments.ladders} ladders, {arguments.runs} runs of each kind; checks pass on "
        f"{rows['ok'].mean():.0%}; sd of decades behind {rows['behind_sd'].mean():.3f}; weights "
        f"would leave {rows['effective'].median():.1f} draws in effect"
    )
    for kind, part in rows.groupby("kind", sort=False):
        error = part.groupby("seed")["whole"].mean().std() / np.sqrt(arguments.ladders)
        print(
            f"{kind}: flagged {part['whole'].mean():.1%} (s.e. {error:.1%}) over the whole run, "
            f"{part['early'].mean():.1%} before 60 %; in their 90 % band {part['pit'].mean():.1%}"
        )
    good = rows[rows["kind"] == "follows"]
    print(
        f"finished score, before and after 60 % of training: error "
        f"{good['error_before'].mean():.2f} and {good['error_after'].mean():.2f} points, "
        f"in its 90 % interval "
        f"{good['covered_before'].mean():.1%} and {good['covered_after'].mean():.1%}"
    )
    if arguments.refits and not arguments.trajectories:
        both = pd.concat(refits)
        away = 100 * (both["mean"] - both["refit_mean"]).abs().mean()
        sd, refit_sd, before = (100 * both[name].mean() for name in ("sd", "refit_sd", "sd_before"))
        print(
            f"updated without refitting and with it, {len(both)} benchmarks: means {away:.2f} "
            f"points apart, sd {sd:.2f} and {refit_sd:.2f} points, {before:.2f} before; checks "
            f"pass on {both['ok'].mean():.0%}"
        )


if __name__ == "__main__":
    main()
