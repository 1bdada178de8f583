"""From a forecast to a decision: how much compute, which run, whether a run is on course.

plan       compute for a goal                next_run   the run that narrows a forecast most
compare    one run against another           monitor    checkpoints of a run against its forecast
register   a forecast before the training    cost       from compute to money, energy and days
gain       a recipe in compute of another

May import: evidence, ingest, clustering, model, sampling, forecast.
"""
