"""The numbers behind the figures of a fit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from cod_bayes.forecast.posterior import Fit
from cod_bayes.model.equations import accuracy, floor_prior, radians, rate_of
from cod_bayes.show.style import BANDS

_PRIOR_DRAWS = 500
_LEAST = 1e-300  # so that a logarithm is finite


def cluster_curves(fit: Fit, benchmark: str, compute: np.ndarray) -> xr.DataArray:
    """Accuracy y_k of one benchmark's clusters, without shocks or noise, in [0, 1].

    Args:
        compute: FLOPs, (compute,).

    Returns:
        (chain, draw, cluster, compute); `difficulty` (cluster,) is the log of the loss
        -log y at the benchmark's largest ladder model, its median over draws.
    """
    constant, posterior = (fit.idata[n].to_dataset() for n in ("constant_data", "posterior"))
    inside = constant["benchmark_of_cluster"].values == known(fit, benchmark)
    curves, clusters = fit.curves(benchmark), posterior["cluster"].values[inside]
    away = np.log10(compute) - float(constant["x_ref"].sel(benchmark=benchmark))
    y = np.stack([curves.at(k, away) for k in range(len(clusters))], axis=1)
    chains = posterior.sizes["chain"], posterior.sizes["draw"]
    loss = [-np.log(np.maximum(curves.at(k, np.zeros(1)), _LEAST)) for k in range(len(clusters))]
    return xr.DataArray(
        y.reshape(*chains, *y.shape[1:]),
        {
            **{dim: posterior[dim] for dim in ("chain", "draw")},
            "cluster": clusters,
            "compute": compute,
            "difficulty": ("cluster", [float(np.log(np.median(values))) for values in loss]),
        },
        ("chain", "draw", "cluster", "compute"),
    )


def cluster_rates(fit: Fit, benchmark: str) -> xr.DataArray:
    """Pass rates that the curves were fitted to, NaN where nothing was measured: (cluster, model).

    `compute` (model,) is in FLOPs.
    """
    constant = fit.idata["constant_data"].to_dataset()
    rate = np.full(constant["noise"].shape, np.nan)
    rate[np.isfinite(constant["noise"].values)] = (
        np.sin(fit.idata["observed_data"].to_dataset()["z"].values) ** 2
    )
    table = constant["noise"].copy(data=rate).assign_coords(compute=constant["compute"])
    inside = constant["benchmark_of_cluster"].values == known(fit, benchmark)
    return table.isel(cluster=np.flatnonzero(inside))


def mapping_bands(fit: Fit, benchmark: str, points: int = 51) -> xr.Dataset | None:
    """The latent mapping of one benchmark; None without a rest, or without a cluster that is likely
    predictable.

    Returns:
        `rest`, r(s), and `full`, w s + (1 - w) r(s): (quantile, s), quantiles 5 to 95 % over draws;
        the share w as `.attrs["share"]`.
    """
    mapping = fit.mapping(known(fit, benchmark))
    if mapping is None:
        return None
    s = np.linspace(0, 1, points)
    rest = np.quantile(mapping.rest(np.tile(s, (len(mapping.s), 1))), BANDS, axis=0)
    full = mapping.share * s + (1 - mapping.share) * rest
    dims, coords = ("quantile", "s"), {"quantile": list(BANDS), "s": s}
    return xr.Dataset(
        {"rest": (dims, rest), "full": (dims, full)}, coords, {"share": mapping.share}
    )


def shown_anchors(fit: Fit, benchmark: str) -> pd.DataFrame:
    """Anchors that answered one benchmark: subset and rest (accuracies), by the anchor's name."""
    anchors = fit.idata["anchors"].to_dataset().sel(benchmark=known(fit, benchmark))
    table = pd.DataFrame(
        {name: anchors[name].values for name in ("subset", "rest")},
        index=pd.Index(anchors["anchor"].values.astype(str), name="anchor"),
    )
    return table.dropna()


def prior_scores(fit: Fit, benchmark: str, compute: np.ndarray) -> np.ndarray:
    """Draws of a benchmark's mean over clusters from the prior alone: (draw, compute).

    The priors are those of `cod_bayes.model.statement.answer_loss_curves`.

    Raises:
        ValueError: the model of the fit was built by a function, so its prior is not known.
    """
    if fit.idata.attrs["built_by"]:
        raise ValueError(
            "expected a fit of a named model, got one that was built by the function "
            f"{fit.idata.attrs['built_by']!r}; draw its prior with pm.sample_prior_predictive"
        )
    spec, ladder = fit.spec, fit.ladder
    b = fit.benchmarks.index(known(fit, benchmark))
    inside = np.flatnonzero(ladder.of_cluster == b)
    rng = np.random.default_rng([int(fit.idata.attrs["random_seed"]), 6, b])

    def prior(name: str) -> np.ndarray:
        return spec.priors[name].distribution.rvs((_PRIOR_DRAWS, 1), random_state=rng)

    shape = _PRIOR_DRAWS, len(inside)
    eta = rng.normal(prior("mu_eta"), prior("sigma_eta"), shape)
    free = spec.constants["free_answer_slope"] * ladder.free_answer[inside]
    beta = np.exp(rng.normal(prior("mu_beta") + free, prior("sigma_beta"), shape))
    capped = rng.random(shape) < spec.constants["capped_share"]
    gamma = rng.exponential(np.where(capped, spec.constants["capped_loss"], prior("sigma_gamma")))
    g = rng.beta(*floor_prior(ladder.chance[inside], spec.constants["chance_items"]), shape)
    nu = ladder.nu_ratio[inside] * prior("nu")
    ahead = np.log10(compute) - ladder.x_ref[b]
    y = accuracy(ahead, *(value[..., None] for value in (eta, beta, gamma, g, nu)))
    weight = ladder.weight[inside] / ladder.weight[inside].sum()
    return np.einsum("skx,k->sx", y, weight)


def replicated_cells(fit: Fit) -> np.ndarray | None:
    """Replicated z of the ladder's cells, radians: (draw, cell). None where the posterior lacks the
    ladder's shocks.

        z_km ~ N(arcsin sqrt y_k(x_m - x_b + delta_m - delta_top + delta_bm - lead_b) + omega_bm,
                 sqrt(noise_km + tau_b^2)),    delta_bm - lead_b = 0 at the largest model

    The shocks are those of the posterior, as in `pm.sample_posterior_predictive`.
    """
    posterior = fit.idata["posterior"].to_dataset()
    if not {"delta_benchmark", "omega", "delta", "tau"} <= set(posterior):
        return None
    p, ladder = posterior.stack(sample=("chain", "draw")), fit.ladder
    delta, tau = (p[n].transpose("sample", ...).values for n in ("delta", "tau"))
    delta_b, omega = (
        p[n].transpose("sample", "benchmark", "model").values for n in ("delta_benchmark", "omega")
    )
    z = np.empty((p.sizes["sample"], *ladder.noise.shape))
    for b, name in enumerate(fit.benchmarks):
        top, curves = int(ladder.top[b]), fit.curves(name)
        shock = delta - delta[:, [top]] + delta_b[:, b] - delta_b[:, b, [top]]
        ahead = ladder.x - ladder.x_ref[b] + shock
        for k, cluster in enumerate(np.flatnonzero(ladder.of_cluster == b)):
            noise = np.where(ladder.measured[cluster], ladder.noise[cluster], 0.0)
            sd = np.sqrt(noise + tau[:, [b]] ** 2)
            rng = np.random.default_rng([int(fit.idata.attrs["random_seed"]), 7, int(cluster)])
            mean = radians(curves.at(k, ahead)) + omega[:, b]
            z[:, cluster] = rng.normal(mean, sd)
    return z[:, ladder.measured]


def placed_cells(fit: Fit) -> pd.DataFrame | None:
    """The ladder's cells in their replicated distributions: benchmark, pit, and error, the distance
    of the pass rate from the median. None as `replicated_cells`.
    """
    replicated = replicated_cells(fit)
    if replicated is None:
        return None
    ladder = fit.ladder
    observed = ladder.z[ladder.measured]
    cluster, _ = np.nonzero(ladder.measured)
    error = np.abs(rate_of(observed) - rate_of(np.median(replicated, axis=0)))
    return pd.DataFrame(
        {
            "benchmark": np.array(ladder.benchmark)[ladder.of_cluster[cluster]],
            "pit": (replicated < observed).mean(axis=0),
            "error": error,
        }
    )


def known(fit: Fit, benchmark: str) -> str:
    """The benchmark's name.

    Raises:
        ValueError: the fit has no such benchmark.
    """
    if benchmark not in fit.benchmarks:
        raise ValueError(
            f"expected a benchmark of the fit, {fit.benchmarks}, got {benchmark!r}; "
            "correct the name"
        )
    return benchmark
