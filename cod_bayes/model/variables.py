"""Names and dims of the posterior's variables.

`models/schema.md` says what each of them is, with its unit.
"""

GLOBAL = ("mu_omega", "sigma_model")  # of all benchmarks
# Of a benchmark; benchmarks that have clusters share part of them.
SHARED = (
    "mu_beta",
    "sigma_eta",
    "sigma_beta",
    "sigma_gamma",
    "sigma_delta",
    "tau",
    "spread_omega",
    "nu",
)
CURVE = ("eta", "beta", "gamma", "g")
_OF_CURVES = ("mu_eta", "sigma_eta", "mu_beta", "sigma_beta", "sigma_gamma", "nu")
_OF_SHOCKS = ("tau", "sigma_omega", "sigma_delta", "lead")
DIMS: dict[str, tuple[str, ...]] = {name: ("benchmark",) for name in (*_OF_CURVES, *_OF_SHOCKS)}
DIMS |= {"suite": ("parameter",), "delta": ("model",)} | {name: ("cluster",) for name in CURVE}
PARAMETERS = (*GLOBAL, *DIMS)  # those that the convergence checks look at
DIMS |= {"log_beta": ("cluster",), "spread_omega": ("benchmark",)}
DIMS |= {name: ("benchmark", "model") for name in ("delta_benchmark", "omega_step", "omega")}
SHOCKS = ("sigma_model", "sigma_delta", "sigma_omega", "tau", "delta", "lead")  # a target needs
