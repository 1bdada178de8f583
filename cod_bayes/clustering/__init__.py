"""Items of similar difficulty together.

May import: evidence, ingest.
"""
