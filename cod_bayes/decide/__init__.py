"""From a forecast to a decision.

May import: evidence, ingest, clustering, model, sampling, forecast.
"""
