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
    from cod_bayes.evidence.datasets import load_dataset
    from cod_bayes.evidence.effective_compute import effective_compute
    from cod_bayes.evidence.record import Evidence, EvidenceError, EvidenceWarning, read_table
    from cod_bayes.forecast.fitting import ConvergenceWarning, Fit, Forecast, Interrupted, fit, load

__version__ = metadata.version("cod-bayes")
__all__ = [
    "ConvergenceWarning",
    "Evidence",
    "EvidenceError",
    "EvidenceWarning",
    "Fit",
    "Forecast",
    "Interrupted",
    "effective_compute",
    "fit",
    "load",
    "load_dataset",
    "read_table",
]

_HOME = {
    "effective_compute": "evidence.effective_compute",
    "Evidence": "evidence.record",
    "EvidenceError": "evidence.record",
    "EvidenceWarning": "evidence.record",
    "read_table": "evidence.record",
    "ConvergenceWarning": "forecast.fitting",
    "Fit": "forecast.fitting",
    "Forecast": "forecast.fitting",
    "Interrupted": "forecast.fitting",
    "fit": "forecast.fitting",
    "load": "forecast.fitting",
    "load_dataset": "evidence.datasets",
}


def __getattr__(name: str) -> Any:
    # PyMC takes seconds to import: only those who use it pay.
    if name not in _HOME:
        raise AttributeError(f"module 'cod_bayes' has no attribute {name!r}")
    value = getattr(import_module(f"cod_bayes.{_HOME[name]}"), name)
    globals()[name] = value
    return value
