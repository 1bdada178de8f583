"""How good forecasts are: simulated worlds, rivals, scores.

May import: evidence, ingest, clustering, model, sampling, forecast, decide.
"""
