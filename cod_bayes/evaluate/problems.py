"""Targets to forecast, each from the ladder below it.

For every benchmark and family of an evidence, models ordered by compute, C_1 < C_2 < ... < C_n,

    problem k:  forecast the score of model n - k from models 1 .. n - k - 1      k = 0 .. K - 1

(a rolling origin: models larger than the target are left out), as long as three different computes
remain below the target. Models of unknown compute take no part; targets with results are models
like the others. Anchors stay what they are, for the methods that use them: the Bayesian models,
`cod_point` and `item_response`. The score is the mean rate over the items that the target answered,
and only these items are forecast. Benchmarks with the same target make one problem.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cod_bayes.evidence.record import Evidence, read_table

if TYPE_CHECKING:
    import xarray as xr

_FEWEST_COMPUTES = 3  # below a target


@dataclass(frozen=True)
class Problem:
    """One target to forecast, on one or more benchmarks, from the ladder below it.

    `evidence` has the ladder and that one target, with its results; `family` is the heading of the
    problem in score tables.
    """

    id: str
    family: str
    evidence: Evidence

    def __post_init__(self) -> None:
        if (count := int((self.evidence.models["role"] == "target").sum())) != 1:
            raise ValueError(
                f"problem {self.id!r}: expected one target, got {count}; make a problem of each"
            )

    @property
    def target(self) -> str:
        models = self.evidence.models
        return str(models.index[models["role"] == "target"][0])

    @property
    def compute(self) -> float:
        """Compute of the target, FLOPs."""
        return float(self.evidence.models.loc[self.target, "compute"])

    def answers(self, benchmark: str) -> xr.DataArray:
        """The target's rates (item,)."""
        return self.evidence.benchmarks[benchmark]["rate"].sel(model=self.target)

    def items(self, benchmark: str) -> float:
        """Items that the target answered; its trials where the benchmark is known by one score."""
        answered = int(self.answers(benchmark).notnull().sum())
        trials = self.evidence.benchmarks[benchmark]["n_trials"].sel(model=self.target)
        return float(trials.sum()) if answered == 1 else float(answered)

    def actual(self, benchmark: str) -> float:
        """The target's score."""
        return float(self.answers(benchmark).mean())


def problems(evidence: Evidence, targets: int = 2) -> list[Problem]:
    """The rolling origin of every benchmark and family: see the module.

    All benchmarks of one target make one problem.

    Raises:
        ValueError: `targets` below 1, or no ladder that is long enough for a target.
    """
    if targets < 1:
        raise ValueError(f"expected at least 1 target, got {targets}")
    models = evidence.models
    models = models[np.isfinite(models["compute"]) & (models["role"] != "anchor")]
    benchmarks: dict[str, list[str]] = {}  # by target
    for name, data in evidence.benchmarks.items():
        measured = models[models.index.isin(data["model"].values)]
        for _, family in measured.groupby("family", sort=False):
            long_enough = [
                target
                for target, compute in family["compute"].items()
                if family["compute"][family["compute"] < compute].nunique() >= _FEWEST_COMPUTES
            ]
            for target in long_enough[-targets:]:
                benchmarks.setdefault(str(target), []).append(name)
    if not benchmarks:
        raise ValueError(
            f"expected a family of at least {_FEWEST_COMPUTES + 1} models of different compute on "
            "one benchmark, got none; a backtest needs three models below the one it hides"
        )
    table = evidence.to_table()
    largest_first = models.loc[models.index.isin(benchmarks)].iloc[::-1]
    ordered = largest_first.sort_values("family", kind="stable").index
    return [_problem(table, evidence, str(target), benchmarks[str(target)]) for target in ordered]


def _problem(
    table: pd.DataFrame, evidence: Evidence, target: str, benchmarks: list[str]
) -> Problem:
    """table: of the evidence."""
    models = evidence.models
    family, compute = str(models.loc[target, "family"]), models.loc[target, "compute"]
    smaller = models.index[(models["family"] == family) & (models["compute"] < compute)]
    of_target = table["model"] == target
    answers = {name: evidence.benchmarks[name]["rate"].sel(model=target) for name in benchmarks}
    answered = [
        (name, item)
        for name, rate in answers.items()
        for item in rate["item"].values[rate.notnull()]
    ]
    is_anchor = table["role"] == "anchor"
    kept = table["model"].isin(smaller) | of_target | is_anchor
    kept &= pd.MultiIndex.from_frame(table[["benchmark", "item"]]).isin(answered)
    role = np.where(of_target, "target", np.where(is_anchor, "anchor", "ladder"))
    with warnings.catch_warnings():  # reading the whole evidence has given these warnings already
        warnings.simplefilter("ignore")
        evidence = read_table(table.assign(role=role)[kept])
    return Problem(f"{family}/{target}", family, evidence)
