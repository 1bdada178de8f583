"""Targets given by parameters and tokens, and the loss law that a fit keeps.

    C = 6 N D                 where the evidence's compute is what was spent
    C = effective(N, D)       where it is effective compute, by the law that it was counted by

for N parameters and D tokens of the target (`cod_bayes.evidence.loss_law`).
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import xarray as xr

from cod_bayes.evidence.effective_compute import effective_compute, loss_law
from cod_bayes.evidence.loss_law import LossLaw, fit_loss_law
from cod_bayes.evidence.record import Evidence, EvidenceWarning
from cod_bayes.forecast.posterior import Fit
from cod_bayes.forecast.storage import load

CONSTANTS = ("E", "A", "B", "a", "b")
_SLACK = 1.05  # tokens per parameter may be this far outside the ladder's range
_UNIT = 1.2  # compute may differ from 6 N D by this factor


def law_group(evidence: Evidence) -> xr.Dataset | None:
    """The group `loss_law` of a fit's tree; None without params and tokens of ladder models.

    Losses that `loss_law` refuses are left out, because a fit does without them.
    """
    models = evidence.models.reindex(index=list(evidence.ladder), columns=["params", "tokens"])
    N, D = models.dropna().to_numpy(dtype=float).T
    if len(N) == 0:
        return None
    try:
        law = loss_law(evidence)
    except ValueError:
        law = fit_loss_law(N, D, np.full(len(N), np.nan))
    effective = np.full(len(CONSTANTS), np.nan) if evidence.law is None else _row(evidence.law)
    values = {
        "constants": ("constant", _row(law)),
        "constant_draws": (("law_draw", "constant"), _row(law.draws or law)),
        "models": ((), law.models),
        "effective_by": ("constant", effective),
    }
    return xr.Dataset(values, {"constant": list(CONSTANTS)})


def law_of(fit: Fit) -> LossLaw | None:
    """The law of the ladder's own losses, as the fit keeps it; None where it has none."""
    group = _group(fit)
    if group is None:
        return None
    draws = LossLaw(*group["constant_draws"].transpose("constant", "law_draw").values)
    E, A, B, a, b = map(float, group["constants"].values)
    return LossLaw(E, A, B, a, b, draws, int(group["models"]))


def effective_by(fit: Fit) -> LossLaw | None:
    """The law by which the fit's compute is effective compute; None: it is as it was read."""
    group = _group(fit)
    if group is None or np.isnan(group["effective_by"].values).any():
        return None
    E, A, B, a, b = map(float, group["effective_by"].values)
    return LossLaw(E, A, B, a, b)


def _group(fit: Fit) -> xr.Dataset | None:
    return fit.idata["loss_law"].to_dataset() if "loss_law" in fit.idata.children else None


def _row(law: LossLaw) -> np.ndarray:
    """The constants in the last axis."""
    return np.stack([np.asarray(getattr(law, name), float) for name in CONSTANTS], axis=-1)


def sizes_of(fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """(N, D) of the ladder models, NaN where unknown. (model,)"""
    constant = fit.idata["constant_data"].to_dataset()
    unknown = np.full(constant.sizes["model"], np.nan)
    N, D = (constant[n].values if n in constant else unknown for n in ("params", "tokens"))
    return N, D


def target_compute(of: Fit | Evidence | str | Path, params: float, tokens: float) -> float:
    """The compute of a target of `params` parameters and `tokens` tokens, as `of` counts it. FLOPs.

    Warns (EvidenceWarning) where the target's tokens per parameter are outside the ladder's range
    and compute is what was spent, and where the ladder's compute is not 6 N D.

    Args:
        of: a fit, the file of a saved one, or evidence.

    Raises:
        ValueError: a number that is not positive and finite.
    """
    if not all(0 < size < np.inf for size in (params, tokens)):
        raise ValueError(f"expected params > 0 and tokens > 0, got {params:g} and {tokens:g}")
    if isinstance(of, Evidence):
        models = of.models.loc[list(of.ladder)].reindex(columns=["compute", "params", "tokens"])
        C, N, D = models.to_numpy(dtype=float).T
        law = of.law
    else:
        of = load(of) if isinstance(of, str | Path) else of
        C, (N, D) = of.idata["constant_data"]["compute"].values, sizes_of(of)
        law = effective_by(of)
    if law is not None:
        return float(effective_compute(params, tokens, law))
    for sentence in _doubts(C, N, D, tokens / params):
        warnings.warn(sentence, EvidenceWarning, stacklevel=2)
    return 6 * params * tokens


def _doubts(C: np.ndarray, N: np.ndarray, D: np.ndarray, ratio: float) -> list[str]:
    """What is doubtful of 6 N D of a target with these tokens per parameter, in sentences."""
    known = np.isfinite(N) & np.isfinite(D)
    if not known.any():
        return []
    doubts = []
    of_ladder, spent = (D / N)[known], (C / (6 * N * D))[known]
    low, high = of_ladder.min(), of_ladder.max()
    if not low / _SLACK <= ratio <= high * _SLACK:
        doubts.append(
            f"the target has {ratio:.3g} tokens per parameter, the ladder {low:.3g} to {high:.3g}: "
            "with another ratio the same compute reaches another loss; put the evidence on "
            "effective compute (--effective-compute, on_effective_compute)"
        )
    if not 1 / _UNIT <= spent.min() <= spent.max() <= _UNIT:
        doubts.append(
            f"the target's compute is taken as 6 N D, but the ladder's is {spent.min():.2g} to "
            f"{spent.max():.2g} times that; give the target's compute as the ladder's was counted"
        )
    return doubts
