"""Bayesian forecasts of LLM benchmark scores from a ladder of small models."""

from importlib.metadata import version

__version__ = version("cod-bayes")
