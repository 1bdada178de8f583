"""Pictures and the report.

May import: evidence, ingest, clustering, model, sampling, forecast, decide, evaluate.
"""
