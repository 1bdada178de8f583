"""The Bayesian model of a ladder: equations, priors, statement.

May import: evidence, ingest, clustering.
"""
