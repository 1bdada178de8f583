"""Named Bayesian models as data: one TOML file is one complete model."""
