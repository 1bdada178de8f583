"""Effective compute: the compute of the optimal training that reaches a model's loss.

It makes models with different tokens per parameter comparable. The equations are in
`cod_bayes.evidence.loss_law`. By the published constants it is 6 N D itself at some 20 tokens per
parameter, 40 % of it at 32 times as many, 60 % at a tenth. Other data give other constants, but the
ratio of effective to spent compute depends on them only a little.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from cod_bayes.evidence.loss_law import PUBLISHED, LossLaw, fit_loss_law
from cod_bayes.evidence.record import Evidence
from cod_bayes.evidence.words import EvidenceError, some

__all__ = ["effective_compute", "loss_law", "on_effective_compute"]


def effective_compute(params: ArrayLike, tokens: ArrayLike, law: LossLaw = PUBLISHED) -> np.ndarray:
    """FLOPs of the optimal training whose loss is that of `params` parameters on `tokens` tokens.

    params: N; of a mixture of experts, the parameters that a token uses. tokens: D. Any shapes that
    broadcast; NaN stays NaN. law: the published constants, or those of `loss_law`.

    Raises:
        ValueError: a number that is not positive.
    """
    N, D = np.asarray(params, dtype=float), np.asarray(tokens, dtype=float)
    if (N <= 0).any() or (D <= 0).any():
        raise ValueError("expected params > 0 and tokens > 0 of every model: correct the table")
    return law.effective_compute(N, D)


def loss_law(evidence: Evidence) -> LossLaw:
    """The law of the ladder's own losses (`fit_loss_law`).

    It is fitted to the ladder models whose params, tokens and loss are known. Without any loss its
    constants are the published ones, and its draws those of the prior.

    Raises:
        EvidenceError: no ladder model has params and tokens, or benchmarks give a model different
            losses.
    """
    models = _with_loss(evidence).loc[list(evidence.ladder)]
    models = models.dropna(subset=["params", "tokens"])
    if models.empty:
        raise EvidenceError(
            "expected params and tokens of the ladder models, got none: add these columns"
        )
    return fit_loss_law(models["params"], models["tokens"], models["loss"])


def on_effective_compute(evidence: Evidence, law: LossLaw = PUBLISHED) -> Evidence:
    """The same evidence with every model's effective compute as its `compute`.

    law: the published constants, or `loss_law(evidence)`, which forecasts no better
        (models/cod.md). The evidence keeps it as `law`.

    An anchor without params and tokens has no compute then.

    Raises:
        EvidenceError: a model of the ladder or a target without params or tokens, or evidence that
            is on effective compute already.
    """
    if evidence.law is not None:
        raise EvidenceError("expected evidence as it was read, got one on effective compute")
    models = _with_sizes(evidence.models)
    unknown = models[_SIZE].isna().any(axis=1)
    if (lost := unknown & (models["role"] != "anchor")).any():
        raise EvidenceError(
            f"expected params and tokens of every model, got none of {some(models.index[lost])}: "
            "add them or leave the models out (ladder=)"
        )
    compute = pd.Series(effective_compute(models["params"], models["tokens"], law), models.index)
    compute = compute.where(~unknown)
    order = np.lexsort((np.arange(len(models)), compute))
    benchmarks = {}
    for name, data in evidence.benchmarks.items():
        data = data.assign_coords(compute=("model", compute[data["model"].values].to_numpy()))
        at = models.index[order].get_indexer(data["model"].values)
        benchmarks[name] = data.isel(model=np.argsort(at))
    note = f"Compute is effective compute, by {law}."
    return replace(
        evidence,
        models=evidence.models.assign(compute=compute).iloc[order],
        benchmarks=benchmarks,
        notes=(*evidence.notes, note),
        law=law,
    )


_SIZE = ["params", "tokens"]


def _with_loss(evidence: Evidence) -> pd.DataFrame:
    """The models with params, tokens and loss; NaN where unknown."""
    columns = {name: data["loss"].to_series() for name, data in evidence.benchmarks.items()}
    losses = pd.DataFrame(columns, index=evidence.models.index)
    low, high = losses.min(axis=1), losses.max(axis=1)
    if (differ := high - low > 1e-6 * high).any():
        raise EvidenceError(
            f"expected one loss of each model, got several of {some(losses.index[differ])}: "
            "choose benchmarks, or correct the column loss"
        )
    return _with_sizes(evidence.models).assign(loss=low)


def _with_sizes(models: pd.DataFrame) -> pd.DataFrame:
    """The models with params and tokens; NaN where unknown."""
    return models.assign(**{name: np.nan for name in _SIZE if name not in models})
