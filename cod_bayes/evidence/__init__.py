"""What was measured: models, benchmarks, items, compute. Imports `writing` alone."""
