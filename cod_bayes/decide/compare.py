"""Which of several runs to train, and whether to train at all.

A design d is a posterior and a compute. In world w (a posterior draw) its target has the scores
s_dw (benchmark,) and the utility

    U_dw = V u(s_dw) - cost_dw

The user chooses u: a mean score, 1 where goals are met, or any function of the scores. V is the
value of one unit of u in money; without V, u is the utility and the cost only enters as a ratio.

    P(best)      share of worlds in which U_dw is the largest; ties are shared
    regret_dw    max_e U_ew - U_dw
    VaR          quantile `level` of U_d: worse in that share of worlds
    CVaR         mean of U_d over the worst `level` of worlds
    go           E U_d > B, B the utility of doing nothing
    loss         E max(U_d, B) - max(E U_d, B): the mean loss of deciding now, against deciding with
                 the score known (the expected value of perfect information)

VaR and CVaR are utilities, not losses: larger is better.

Designs on one posterior share its worlds, the shocks of the run included: draws are paired, only
the computes differ. Different posteriors are independent. Each is permuted at random, because fits
with the same seed use the same random numbers. All designs share the worlds of costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from cod_bayes.decide.cost import CostRecord
from cod_bayes.decide.fits import as_fit
from cod_bayes.decide.plan import Goal, parse_goals
from cod_bayes.forecast.index import Index, add_indexes, members
from cod_bayes.forecast.posterior import Fit, check_names

Utility = Callable[[xr.DataArray], ArrayLike]


def mean_score(weights: Mapping[str, float] | None = None) -> Utility:
    """u: the mean score, weighted by benchmark; without weights, equally.

    Raises:
        ValueError: weights that are negative, not finite, or sum to 0.
    """
    if weights is None:
        return lambda score: score.mean("benchmark")
    share = np.array(list(weights.values()), float)
    if not (np.isfinite(share).all() and (share >= 0).all() and share.sum() > 0):
        raise ValueError(f"expected weights >= 0 with a sum > 0, got {dict(weights)}")
    names = list(weights)

    def weighted(score: xr.DataArray) -> ArrayLike:
        check_names(names, [str(name) for name in score["benchmark"].values])
        return score.sel(benchmark=names).transpose("sample", "benchmark").values @ (
            share / share.sum()
        )

    return weighted


def reaches(goals: Goal | str | Sequence[Goal | str]) -> Utility:
    """u: 1 where all goals are met, else 0.

    Raises:
        ValueError: no goals, or one that `Goal.parse` refuses.
    """
    parsed = parse_goals(goals)
    if not parsed:
        raise ValueError("expected at least one goal, such as GSM8K>=0.85, got none")

    def met(score: xr.DataArray) -> ArrayLike:
        check_names([g.benchmark for g in parsed], [str(n) for n in score["benchmark"].values])
        return np.logical_and.reduce(
            [score.sel(benchmark=g.benchmark).values >= g.at_least for g in parsed]
        ).astype(float)

    return met


@dataclass(frozen=True)
class Comparison:
    """Designs side by side; symbols as in the module.

    Attributes:
        table: by design: compute (FLOPs), score and score_sd (of u), cost (mean; NaN without a
            record), score_per_cost, utility, utility_sd, p_best, p_regret, value_at_risk,
            conditional_value_at_risk, decision ("go" or "no-go"), wrong_decision_loss.
        utility: U, (sample, design).
        unit: of the utility: "score", or a currency.
        failed_checks: of the designs' fits; only designs with failed checks.
    """

    table: pd.DataFrame
    utility: xr.DataArray
    unit: str
    baseline: float
    regret: float
    level: float
    failed_checks: dict[str, tuple[str, ...]]

    def summary(self) -> pd.DataFrame:
        """The table."""
        return self.table

    def to_dict(self) -> dict[str, object]:
        """All but the draws, ready for JSON; null where there is no cost."""
        rows = self.table.astype(object).where(self.table.notna(), None)
        return {
            "designs": rows.to_dict("index"),
            "unit": self.unit,
            "baseline": self.baseline,
            "regret_over": self.regret,
            "risk_level": self.level,
            "failed_checks": {name: list(failed) for name, failed in self.failed_checks.items()},
        }


def compare(
    designs: Mapping[str, tuple[Fit | str | Path, float]],
    utility: Utility | None = None,
    *,
    indexes: Sequence[Index] = (),
    value: float | None = None,
    cost: CostRecord | None = None,
    baseline: float = 0.0,
    regret: float | None = None,
    level: float = 0.05,
    random_seed: int = 0,
) -> Comparison:
    """Score designs against each other and against doing nothing.

    Args:
        designs: name -> (fit, compute in FLOPs). A fit is a `Fit` or the file of a saved one.
            Designs with the same `Fit` object or file share its worlds.
        utility: u, of scores (sample, benchmark) -> (sample,); default the mean of the `indexes`,
            or `mean_score()` without any.
        indexes: that the utility finds among the benchmarks.
        value: V, money for one unit of u; None: the utility is u itself.
        cost: what compute costs; subtracted where `value` is given. It must have a price.
        baseline: B, in the utility's unit.
        regret: x of P(regret > x), in the utility's unit; default 0.01 of u.
        level: of VaR and CVaR.

    Raises:
        ValueError: no designs; benchmarks that differ under the default utility, or in an index; a
            utility of another shape or not finite; a cost without a price; what `Fit.draws` or
            `Index.shares` refuses.
    """
    _check(designs, value, cost, baseline, regret, level)
    loaded = _loaded(designs)
    if utility is None and indexes:
        utility = mean_score({index.name: 1.0 for index in indexes})
    if utility is None:
        sets = {name: set(fit.benchmarks) for name, (fit, _) in loaded.items()}
        if len({frozenset(s) for s in sets.values()}) > 1:
            raise ValueError(
                "expected designs on the same benchmarks, got "
                f"{ {name: sorted(s) for name, s in sets.items()} }; weigh those that all have"
            )
        utility = mean_score()
    score = _worlds(loaded, indexes, random_seed)
    u = np.column_stack([applied(utility, score[name], name) for name in designs])
    compute = np.array([float(flops) for _, flops in designs.values()])
    money = np.full(u.shape, np.nan)
    if cost is not None:
        # The same seed gives the same world: only the compute differs between columns.
        money = np.column_stack(
            [
                cost.draws(flops, len(u), np.random.default_rng([random_seed, 1]))["money"]
                for flops in compute
            ]
        )
    U = u if value is None else value * u - (0.0 if cost is None else money)
    regret = 0.01 * (1.0 if value is None else value) if regret is None else regret

    best = U.max(axis=1, keepdims=True)
    wins = U == best
    worst = np.sort(U, axis=0)[: max(int(np.ceil(level * len(U))), 1)]
    expected = U.mean(axis=0)
    table = pd.DataFrame(
        {
            "compute": compute,
            "score": u.mean(axis=0),
            "score_sd": u.std(axis=0),
            "cost": money.mean(axis=0),
            "score_per_cost": u.mean(axis=0) / money.mean(axis=0),
            "utility": expected,
            "utility_sd": U.std(axis=0),
            "p_best": (wins / wins.sum(axis=1, keepdims=True)).mean(axis=0),
            "p_regret": (best - U > regret).mean(axis=0),
            "value_at_risk": np.quantile(U, level, axis=0),
            "conditional_value_at_risk": worst.mean(axis=0),
            "decision": np.where(expected > baseline, "go", "no-go"),
            "wrong_decision_loss": np.maximum(U, baseline).mean(axis=0)
            - np.maximum(expected, baseline),
        },
        index=pd.Index(list(designs), name="design"),
    )
    return Comparison(
        table,
        xr.DataArray(U, {"design": list(designs)}, ("sample", "design")),
        cost.currency if value is not None and cost is not None else "score",
        baseline,
        regret,
        level,
        {name: fit.failed_checks for name, (fit, _) in loaded.items() if fit.failed_checks},
    )


def _loaded(
    designs: Mapping[str, tuple[Fit | str | Path, float]],
) -> dict[str, tuple[Fit, float]]:
    """The designs with their fits read, each file once."""
    files = {str(fit) for fit, _ in designs.values() if isinstance(fit, str | Path)}
    fits = {file: as_fit(file) for file in sorted(files)}
    return {
        name: (fits[str(fit)] if isinstance(fit, str | Path) else fit, flops)
        for name, (fit, flops) in designs.items()
    }


def _check(
    designs: Mapping[str, tuple[Fit | str | Path, float]],
    value: float | None,
    cost: CostRecord | None,
    baseline: float,
    regret: float | None,
    level: float,
) -> None:
    if not designs:
        raise ValueError("expected at least one design, name -> (fit, compute), got none")
    if value is not None and not 0 < value < np.inf:
        raise ValueError(f"expected a value > 0 for one unit of score, got {value}")
    if not np.isfinite(baseline):
        raise ValueError(f"expected a finite baseline utility, got {baseline}")
    if regret is not None and not 0 <= regret < np.inf:
        raise ValueError(f"expected a regret >= 0, got {regret}")
    if not 0 < level < 1:
        raise ValueError(f"expected a risk level between 0 and 1, got {level}; 0.05 for 5 %")
    if cost is not None and cost.price_per_gpu_hour is None:
        raise ValueError("expected price_per_gpu_hour in the cost record, got none; add it")


def _worlds(
    designs: Mapping[str, tuple[Fit, float]], indexes: Sequence[Index], random_seed: int
) -> dict[str, xr.DataArray]:
    """Scores (sample, benchmark) by design; a sample is the same world in all designs of a fit."""
    fits = {id(fit): fit for fit, _ in designs.values()}
    drawn, of_indexes = {}, []
    for key, fit in fits.items():
        computes = sorted({float(flops) for f, flops in designs.values() if f is fit})
        draws = add_indexes(fit.draws(computes), indexes)
        of_indexes.append({name: sorted(of) for name, of in members(draws).items()})
        score = draws["score"].transpose("chain", "draw", "benchmark", "compute")
        drawn[key] = xr.DataArray(
            score.values.reshape(-1, *score.shape[2:]),
            {"benchmark": draws["benchmark"].values, "compute": computes},
            ("sample", "benchmark", "compute"),
        )
    if other := [of for of in of_indexes if of != of_indexes[0]]:
        raise ValueError(
            f"expected designs with the same benchmarks in an index, got {of_indexes[0]} and "
            f"{other[0]}; name benchmarks that all designs have"
        )
    size = min(score.sizes["sample"] for score in drawn.values())
    for k, (key, score) in enumerate(drawn.items()):
        order = np.random.default_rng([random_seed, 0, k]).permutation(score.sizes["sample"])
        drawn[key] = score.isel(sample=order[:size])
    return {
        name: drawn[id(fit)].sel(compute=float(flops)).transpose("sample", "benchmark")
        for name, (fit, flops) in designs.items()
    }


def applied(utility: Utility, score: xr.DataArray, name: str) -> np.ndarray:
    """The utility of every sample (sample,).

    Raises ValueError for a utility of another shape or that is not finite.
    """
    values = np.asarray(utility(score), float)
    if values.shape != (score.sizes["sample"],) or not np.isfinite(values).all():
        raise ValueError(
            f"design {name!r}: expected a utility of finite values ({score.sizes['sample']},), "
            f"got shape {values.shape}, {np.isnan(values).sum()} of them NaN; "
            "reduce the dimension benchmark and no other"
        )
    return values
