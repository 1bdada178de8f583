"""Names and dims of the posterior's variables.

`models/schema.md` says what each of them is, with its unit.
"""

GLOBAL = (
    "mu_eta",
    "mu_beta",
    "mu_omega",
    "sigma_eta",
    "sigma_beta",
    "sigma_model",
)
CURVE = ("eta", "beta", "gamma", "g")
_PER_BENCHMARK = ("tau", "nu", "sigma_omega", "sigma_gamma", "sigma_delta", "lead")
DIMS: dict[str, tuple[str, ...]] = {name: ("benchmark",) for name in _PER_BENCHMARK}
DIMS |= {"delta": ("model",)} | {name: ("cluster",) for name in CURVE}
PARAMETERS = (*GLOBAL, *DIMS)  # those that the convergence checks look at
DIMS |= {"log_beta": ("cluster",)}
DIMS |= {name: ("benchmark",) for name in ("spread_omega", "mu_eta_benchmark", "mu_beta_benchmark")}
DIMS |= {name: ("benchmark", "model") for name in ("delta_benchmark", "omega_step", "omega")}
SHOCKS = ("sigma_model", "sigma_delta", "sigma_omega", "tau", "delta", "lead")  # a target needs
