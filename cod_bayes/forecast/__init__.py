"""From a posterior to draws of a target's score.

May import: evidence, ingest, clustering, model, sampling.
"""
