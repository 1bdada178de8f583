"""A posterior whose answers are known in closed form, with the face of a `Fit`."""

import numpy as np
import xarray as xr
from seeds import seed

LADDER = np.logspace(20, 23, 7)
CHAINS, DRAWS = 4, 1000
SCALES = ("sigma_model", "sigma_delta")


class FakeFit:
    """score_b(C) = min(0.5 + slope_b (log10 C - 24) + sd_b e_b, top_b), e_b ~ N(0, 1) per draw.

    benchmarks: name -> (slope, sd, top); e_b are independent, or one for all with shared=True.
    law: of the ladder's losses, known without doubt; its models have 20 tokens per parameter.
    """

    def __init__(self, benchmarks, *, seed=seed(0), failed_checks=(), shared=False, law=None):
        self.of = benchmarks
        self.benchmarks = list(benchmarks)
        self.failed_checks = failed_checks
        rng = np.random.default_rng(seed)
        self.e = rng.standard_normal((CHAINS, DRAWS, 1 if shared else len(benchmarks), 1))
        names = {"benchmark": self.benchmarks, "model": [f"m{i}" for i in range(len(LADDER))]}
        score = np.full((len(benchmarks), len(LADDER)), 0.5)
        ladder = {"compute": ("model", LADDER), "score": (("benchmark", "model"), score)}
        sampled = {"chain": np.arange(CHAINS), "draw": np.arange(DRAWS)}
        scales = {n: (("chain", "draw"), np.full((CHAINS, DRAWS), 0.1)) for n in SCALES}
        self.idata = xr.DataTree.from_dict(
            {
                "constant_data": xr.Dataset(ladder, names),
                "posterior": xr.Dataset(scales, sampled),
            }
        )
        if law is not None:
            params = np.sqrt(LADDER / 120)
            constant = self.idata["constant_data"].to_dataset()
            sizes = {"params": ("model", params), "tokens": ("model", 20 * params)}
            self.idata["constant_data"] = xr.DataTree(constant.assign(sizes))
            row = np.array([law.E, law.A, law.B, law.a, law.b])
            known = {
                "constants": ("constant", row),
                "constant_draws": (("law_draw", "constant"), row[None]),
                "models": ((), len(LADDER)),
                "effective_by": ("constant", np.full(5, np.nan)),
            }
            self.idata["loss_law"] = xr.DataTree(xr.Dataset(known))
        self.idata.attrs = {
            "model": "fake", "spec": "{}", "evidence_digest": "abc", "random_seed": seed,
            "version": "0",
        }  # fmt: skip

    def draws(self, compute, benchmarks=None):
        flops = np.atleast_1d(np.asarray(compute, float))
        slope, sd, top = (np.array(v)[:, None] for v in zip(*self.of.values(), strict=True))
        score = np.minimum(0.5 + slope * (np.log10(flops) - 24) + sd * self.e, top)
        dims = ("chain", "draw", "benchmark", "compute")
        coords = {"chain": np.arange(CHAINS), "draw": np.arange(DRAWS)}
        coords |= {"benchmark": self.benchmarks, "compute": flops}
        drawn = xr.Dataset({"score": (dims, np.clip(score, 0, 1))}, coords)
        return drawn if benchmarks is None else drawn.sel(benchmark=list(benchmarks))
