"""The Bayesian model of a ladder: equations, priors, statement. Imports `evidence`,
`clustering`."""
