"""What was measured: models, benchmarks, items, compute.

words -> columns, amounts -> files -> rows -> wide -> results, arrays -> missing, checks,
    checkpoints -> record (Evidence, read_table)

May import: no other folder.
"""
