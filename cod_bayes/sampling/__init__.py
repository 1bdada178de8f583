"""From a model to draws of its posterior.

May import: evidence, ingest, clustering, model.
"""
