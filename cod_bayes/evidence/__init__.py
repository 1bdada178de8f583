"""What was measured: models, benchmarks, items, compute.

words -> columns -> files -> rows -> arrays -> missing, checks -> record (Evidence, read_table)

May import: no other folder.
"""
