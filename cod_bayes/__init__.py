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
    from cod_bayes.compute import effective_compute
    from cod_bayes.datasets import load_dataset
    from cod_bayes.evidence import Evidence, EvidenceError, EvidenceWarning, read_table
    from cod_bayes.fitting import ConvergenceWarning, Fit, Forecast, Interrupted, fit, load

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
    "effective_compute": "compute",
    "Evidence": "evidence",
    "EvidenceError": "evidence",
    "EvidenceWarning": "evidence",
    "read_table": "evidence",
    "ConvergenceWarning": "fitting",
    "Fit": "fitting",
    "Forecast": "fitting",
    "Interrupted": "fitting",
    "fit": "fitting",
    "load": "fitting",
    "load_dataset": "datasets",
}


def __getattr__(name: str) -> Any:
    # PyMC takes seconds to import: only those who use it pay.
    if name not in _HOME:
        raise AttributeError(f"module 'cod_bayes' has no attribute {name!r}")
    value = getattr(import_module(f"cod_bayes.{_HOME[name]}"), name)
    globals()[name] = value
    return value
