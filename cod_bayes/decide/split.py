"""The parameters and tokens that reach a goal at least cost.

`cod_bayes.decide.plan` finds C_p, the compute that the goal requires, as the ladder counts it. Of
all trainings with the same loss, the least compute has

    N* = G (C / 6)^(b / (a + b)),      D* = C / (6 N*)           C: effective compute of C_p

parameters and tokens, and under a cap N <= N_max the tokens of L(N_max, D) = L(N*, D*), by the law
of the ladder's own losses (`cod_bayes.evidence.loss_law`). C is C_p itself where the ladder is on
effective compute. Else C_p is the 6 N D of a run with the ladder's median of tokens per parameter,
and C the effective compute of that run.

An interval is that of the law's constants, and of the cost record: each draw of the law gives an N*
and a D*. The doubt about the benchmark's curve is in the probability p of C_p.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cod_bayes.decide.cost import CostRecord, quantiles_of
from cod_bayes.evidence.loss_law import LossLaw
from cod_bayes.forecast.posterior import Fit
from cod_bayes.forecast.size import effective_by, law_of, sizes_of


@dataclass(frozen=True)
class Split:
    """The training of least compute that reaches the goals.

    Attributes:
        quantiles: params, tokens, compute (FLOPs) and the quantities of the cost record, each with
            q05, q50, q95 over the law's draws; inf where no number of tokens suffices.
        max_params: the cap on N; None: none.
        p_within_cap: share of the law's draws in which some number of tokens suffices.
        law: the law.
    """

    quantiles: dict[str, dict[str, float]]
    max_params: float | None
    p_within_cap: float
    law: LossLaw

    def to_dict(self) -> dict[str, object]:
        """All but the law's draws, ready for JSON; None for inf."""
        return {
            "quantiles": {
                name: {q: v if np.isfinite(v) else None for q, v in of.items()}
                for name, of in self.quantiles.items()
            },
            "max_params": self.max_params,
            "p_within_cap": self.p_within_cap,
            "law": {name: float(getattr(self.law, name)) for name in ("E", "A", "B", "a", "b")}
            | {"models": self.law.models},
        }


def least_cost(
    fit: Fit, compute: float, max_params: float | None = None, cost: CostRecord | None = None
) -> Split | None:
    """The split of `compute` FLOPs as the fit's ladder counts them; None where the fit has no law.

    max_params: as `check_cap` lets it pass.
    """
    law = law_of(fit)
    if law is None:
        return None
    drawn = law.draws or law
    optimal = np.asarray(compute, float)
    if effective_by(fit) is None:
        N, D = sizes_of(fit)
        ratio = np.nanmedian(D / N)
        params = np.sqrt(compute / (6 * ratio))
        optimal = drawn.effective_compute(params, ratio * params)
    N, D = map(np.atleast_1d, drawn.split(optimal, max_params or np.inf))
    found = {"params": N, "tokens": D, "compute": 6 * N * D}
    quantiles = {name: quantiles_of(values) for name, values in found.items()}
    bill = {} if cost is None else cost.summary(found["compute"])
    return Split(quantiles | bill, max_params, float(np.isfinite(D).mean()), law)


def check_cap(fit: Fit, max_params: float | None) -> None:
    """Refuse a cap that is no number of parameters, or of a fit without a law.

    Raises:
        ValueError: so.
    """
    if max_params is None:
        return
    if not 0 < max_params < np.inf:
        raise ValueError(f"expected a largest number of parameters > 0, got {max_params:g}")
    if law_of(fit) is None:
        raise ValueError(
            "expected a fit that knows the params and tokens of its ladder, which a cap on "
            "parameters needs; add these columns to the evidence and fit again"
        )
