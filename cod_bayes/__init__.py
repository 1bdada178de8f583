"""Bayesian forecasts of LLM benchmark scores from a ladder of small models.

import cod_bayes as cb
evidence = cb.read_table("ladder.parquet")
fit = cb.fit(evidence, random_seed=1)
outlook = fit.forecast(compute=[1e24, 3.8e24])
outlook.summary()
"""

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cod_bayes.clustering.labels import label_items
    from cod_bayes.decide.compare import compare
    from cod_bayes.decide.gain import gain
    from cod_bayes.decide.monitor import monitor
    from cod_bayes.decide.next_run import next_run
    from cod_bayes.decide.plan import Goal, plan
    from cod_bayes.decide.register import register, settle
    from cod_bayes.evaluate.backtest import backtest
    from cod_bayes.evaluate.simulate import simulate
    from cod_bayes.evidence.datasets import load_dataset
    from cod_bayes.evidence.effective_compute import (
        effective_compute,
        loss_law,
        on_effective_compute,
    )
    from cod_bayes.evidence.loss_law import LossLaw
    from cod_bayes.evidence.record import Evidence, EvidenceError, EvidenceWarning, read_table
    from cod_bayes.forecast.fitting import ConvergenceWarning, Interrupted, build_model, fit
    from cod_bayes.forecast.index import Index
    from cod_bayes.forecast.outlook import Forecast, join
    from cod_bayes.forecast.posterior import Fit
    from cod_bayes.forecast.size import target_compute
    from cod_bayes.forecast.storage import load
    from cod_bayes.model.ladder import LadderData
    from cod_bayes.model.spec import SpecError
    from cod_bayes.model.statement import answer_loss_curves
    from cod_bayes.sampling.engines import ModelError
    from cod_bayes.show import plots

__version__ = metadata.version("cod-bayes")
_HOME = {
    "ConvergenceWarning": "forecast.fitting",
    "Evidence": "evidence.record",
    "EvidenceError": "evidence.record",
    "EvidenceWarning": "evidence.record",
    "Fit": "forecast.posterior",
    "Forecast": "forecast.outlook",
    "Goal": "decide.plan",
    "Index": "forecast.index",
    "Interrupted": "forecast.fitting",
    "LadderData": "model.ladder",
    "LossLaw": "evidence.loss_law",
    "ModelError": "sampling.engines",
    "SpecError": "model.spec",
    "answer_loss_curves": "model.statement",
    "backtest": "evaluate.backtest",
    "build_model": "forecast.fitting",
    "compare": "decide.compare",
    "effective_compute": "evidence.effective_compute",
    "fit": "forecast.fitting",
    "gain": "decide.gain",
    "join": "forecast.outlook",
    "label_items": "clustering.labels",
    "load": "forecast.storage",
    "load_dataset": "evidence.datasets",
    "loss_law": "evidence.effective_compute",
    "monitor": "decide.monitor",
    "next_run": "decide.next_run",
    "on_effective_compute": "evidence.effective_compute",
    "plan": "decide.plan",
    "plots": "show.plots",
    "read_table": "evidence.record",
    "register": "decide.register",
    "settle": "decide.register",
    "simulate": "evaluate.simulate",
    "target_compute": "forecast.size",
}
__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    # PyMC and matplotlib take seconds to import: only those who use them pay.
    if name not in _HOME:
        raise AttributeError(f"module 'cod_bayes' has no attribute {name!r}")
    module = import_module(f"cod_bayes.{_HOME[name]}")
    value = module if name == _HOME[name].split(".")[-1] == "plots" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
