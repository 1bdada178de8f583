"""The compute that reaches a goal.

With goals s_b on benchmarks b, the probability that a target of compute C reaches them all is

    P(C) = share of posterior draws in which score_b(C) >= s_b for every b

A draw of `Fit.draws` is one world, the same at every compute and on every benchmark, so all goals
are compared within a world. A goal may also be on an index, a weighted mean of benchmarks. Where P
rises with C it is the distribution function of the compute that the goals require, and its quantile
p is

    C_p = the smallest C of the range with P(C) >= p

A ceiling, or an uncertainty that grows with distance, can keep P below p. Then there is no C_p, and
max P is the largest probability in the range. P may also fall again beyond C_p: the smallest P at
any larger compute is reported.

The range goes from the smallest ladder compute to `decades` (default 5) beyond the largest. Scores
are drawn at four computes per decade and interpolated linearly in log10 C, draw by draw; P is then
taken at 40 computes per decade.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cod_bayes.decide.cost import CostRecord
from cod_bayes.decide.fits import as_fit
from cod_bayes.decide.split import Split, check_cap, least_cost
from cod_bayes.forecast.index import Index, add_indexes
from cod_bayes.forecast.outlook import QUANTILES
from cod_bayes.forecast.posterior import Fit, check_names

_PER_DECADE = 4  # drawn computes; the error of interpolation is below half a point of score
_FINE = 10  # interpolated computes from one drawn compute to the next
_SLACK = 0.02  # tolerance on P beyond C_p, for Monte Carlo noise


@dataclass(frozen=True)
class Goal:
    """score >= at_least on a benchmark or an index; at_least is a rate in (0, 1)."""

    benchmark: str
    at_least: float

    def __post_init__(self) -> None:
        if not 0 < self.at_least < 1:
            raise ValueError(
                f"expected a goal between 0 and 1 on {self.benchmark!r}, got {self.at_least}; "
                "write 0.85 for 85 %"
            )

    def __str__(self) -> str:
        return f"{self.benchmark}>={self.at_least:g}"

    @classmethod
    def parse(cls, text: str) -> Goal:
        """ "GSM8K>=0.85"; the name may have any characters.

        Raises:
            ValueError: no ">=", no name, or no rate in (0, 1).
        """
        name, _, rate = (part.strip() for part in text.rpartition(">="))
        try:
            at_least = float(rate)
        except ValueError:
            at_least = np.nan
        if not name or np.isnan(at_least):
            raise ValueError(f"expected a goal such as GSM8K>=0.85, a rate, got {text!r}")
        return cls(name, at_least)


@dataclass(frozen=True)
class Plan:
    """The compute for the goals; symbols as in the module, computes in FLOPs.

    Attributes:
        curve: compute, probability (of all goals), and P of each goal alone under its text.
        compute_at_probability: C_p; None where P stays below p in the range.
        lowest_beyond: the smallest P at any larger compute of the range; None without C_p.
        quantiles: q05 .. q95 of the compute required; None where not reached.
        p_reachable: max P in the range.
        cost: of C_p, as `CostRecord.summary`; None without a record or without C_p.
        split: parameters, tokens and cost of the cheapest training that reaches the goals; None
            without C_p, or where the fit does not know the params and tokens of its ladder.
        failed_checks: of the fit.
    """

    goals: tuple[Goal, ...]
    probability: float
    curve: pd.DataFrame
    compute_at_probability: float | None
    lowest_beyond: float | None
    quantiles: dict[str, float | None]
    p_reachable: float
    record: CostRecord | None
    cost: dict[str, dict[str, float]] | None
    split: Split | None
    failed_checks: tuple[str, ...]

    @property
    def holds_beyond(self) -> bool | None:
        """Whether P stays at p, up to 0.02, at all larger computes; None without C_p."""
        return (
            None if self.lowest_beyond is None else self.lowest_beyond >= self.probability - _SLACK
        )

    @property
    def compute_range(self) -> tuple[float, float]:
        """First and last compute of the range."""
        return float(self.curve["compute"].iloc[0]), float(self.curve["compute"].iloc[-1])

    def summary(self) -> pd.DataFrame:
        """C_p and the largest P in the range, of each goal and then of all."""
        columns = {str(goal): str(goal) for goal in self.goals}
        if len(columns) > 1:
            columns["all goals"] = "probability"
        flops = self.curve["compute"].to_numpy()
        rows = []
        for goal, column in columns.items():
            chance = self.curve[column].to_numpy()
            at = _first(flops, chance, self.probability)
            rows.append((goal, self.probability, np.nan if at is None else at, chance.max()))
        names = ["goal", "probability", "compute_at_probability", "p_reachable"]
        return pd.DataFrame(rows, columns=names)

    def to_dict(self) -> dict[str, object]:
        """All but the curve, ready for JSON."""
        return {
            "goals": [asdict(goal) for goal in self.goals],
            "probability": self.probability,
            "compute_at_probability": self.compute_at_probability,
            "holds_beyond": self.holds_beyond,
            "lowest_beyond": self.lowest_beyond,
            "quantiles": self.quantiles,
            "p_reachable": self.p_reachable,
            "compute_range": list(self.compute_range),
            "cost": self.cost,
            "split": None if self.split is None else self.split.to_dict(),
            "cost_record": None if self.record is None else self.record.to_dict(),
            "failed_checks": list(self.failed_checks),
        }


def plan(
    fit: Fit | str | Path,
    goals: Goal | str | Sequence[Goal | str],
    probability: float = 0.9,
    *,
    indexes: Sequence[Index] = (),
    cost: CostRecord | None = None,
    decades: float = 5.0,
    max_params: float | None = None,
) -> Plan:
    """The compute that reaches all goals with the given probability.

    Args:
        fit: a fit, or the file of a saved one.
        goals: one or several; `Goal`, or text as "GSM8K>=0.85".
        probability: p, in (0, 1).
        indexes: that goals may name, as they name benchmarks.
        cost: what compute costs.
        decades: the length of the range beyond the largest ladder model.
        max_params: of the split, the largest number of parameters.

    Raises:
        ValueError: no goals, an unknown benchmark, a goal or p outside (0, 1), decades or
            max_params <= 0, max_params of a fit without a split, or an index that `Index.shares`
            refuses.
    """
    parsed = parse_goals(goals)
    if not parsed:
        raise ValueError("expected at least one goal, such as GSM8K>=0.85, got none")
    if not 0 < probability < 1:
        raise ValueError(f"expected a probability between 0 and 1, got {probability}")
    if not 0 < decades < np.inf:
        raise ValueError(f"expected decades > 0 beyond the ladder, got {decades}")
    fit = as_fit(fit)
    check_cap(fit, max_params)
    known = [*fit.benchmarks, *(index.name for index in indexes)]
    check_names([goal.benchmark for goal in parsed], known)

    ladder = np.log10(fit.idata["constant_data"].to_dataset()["compute"].values)
    low, high = ladder.min(), ladder.max() + decades
    x = np.linspace(low, high, int(np.ceil((high - low) * _PER_DECADE)) + 1)
    benchmarks = list(dict.fromkeys(goal.benchmark for goal in parsed))
    if indexes:
        drawn = add_indexes(fit.draws(10**x), indexes)
    else:
        drawn = fit.draws(10**x, benchmarks=benchmarks)
    score = drawn["score"].stack(sample=("chain", "draw"))
    met = [
        _refined(score.sel(benchmark=goal.benchmark).transpose("sample", "compute").values)
        >= goal.at_least
        for goal in parsed
    ]
    flops = 10 ** _refined(x[None])[0]
    together = np.logical_and.reduce(met).mean(axis=0)
    alone = {str(goal): m.mean(axis=0) for goal, m in zip(parsed, met, strict=True)}
    at = _first(flops, together, probability)
    return Plan(
        goals=parsed,
        probability=probability,
        curve=pd.DataFrame({"compute": flops, "probability": together} | alone),
        compute_at_probability=at,
        lowest_beyond=None if at is None else float(together[flops >= at].min()),
        quantiles={name: _first(flops, together, q) for name, q in QUANTILES.items()},
        p_reachable=float(together.max()),
        record=cost,
        cost=None if cost is None or at is None else cost.summary(at),
        split=None if at is None else least_cost(fit, at, max_params, cost),
        failed_checks=fit.failed_checks,
    )


def parse_goals(goals: Goal | str | Sequence[Goal | str]) -> tuple[Goal, ...]:
    """One or several goals as `Goal`.

    Raises:
        ValueError: a text that `Goal.parse` refuses.
    """
    several = [goals] if isinstance(goals, str | Goal) else goals
    return tuple(Goal.parse(goal) if isinstance(goal, str) else goal for goal in several)


def _refined(values: np.ndarray) -> np.ndarray:
    """(row, point) -> (row, _FINE (point - 1) + 1), linear between neighbours."""
    share = np.arange(_FINE) / _FINE
    steps = values[:, :-1, None] + share * np.diff(values, axis=1)[:, :, None]
    return np.concatenate([steps.reshape(len(values), -1), values[:, -1:]], axis=1)


def _first(flops: np.ndarray, chance: np.ndarray, p: float) -> float | None:
    """The smallest compute with chance >= p, linear in log10 compute between neighbours."""
    reached = np.flatnonzero(chance >= p)
    if len(reached) == 0:
        return None
    i = reached[0]
    if i == 0:
        return float(flops[0])
    share = (p - chance[i - 1]) / (chance[i] - chance[i - 1])
    return float(flops[i - 1] * (flops[i] / flops[i - 1]) ** share)
