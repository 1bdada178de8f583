"""What was measured: models, benchmarks, items, compute.

May import: no other folder.
"""
