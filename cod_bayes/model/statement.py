"""The Bayesian model of one evidence: every cluster's scaling curve, shocks shared by clusters.

    L_k(x) = exp(eta_k - beta_k (x - x_b))                     answer loss,  x = log10 compute
    y_k(x) = g_k + (1 - g_k) exp(-gamma_k) (1 + nu_k L_k(x))^(-1 / nu_k)             accuracy
    f_k(x) = arcsin sqrt y_k(x)
    z_km   = f_k(x'_m) + f_k'(x'_m) delta_bm + omega_bm + eps_km
    x'_m   = x_m + delta_m - delta_b - lead_b,     or x_b with delta_bm = 0 at the largest model

    delta_m  ~ N(0, sigma_model)             the model's own, on every benchmark     decades
    delta_bm ~ N(0, sigma_delta)             the model's own on benchmark b          decades
    lead_b   ~ N(0, sigma_delta)             delta_bm of the largest ladder model    decades
    omega_b(x)  a random walk from omega_b(x_b) = 0, with a spread of sigma_omega_b after a decade:
                what the curves do not follow, omega_bm = omega_b(x_m)               radians
    eps_km   ~ N(0, sqrt(1/(4 n_km) + tau_b^2))      what one cluster does for itself  radians

An item's accuracy is g + (1 - g) exp(-loss) (COD 4.2, Theorem 1). The items of a cluster differ:
their losses are gamma_k + G L_k, with G of a gamma distribution of mean 1 and variance nu_k over
the items, and y_k is the mean over them (Theorem 1 has the same mean to second order; here it is
exact). Without nu a cluster that has hardly emerged, whose few right answers come from its easiest
items, looks as if it rose slowly, and is forecast far too low. nu_k = rho_k nu_b: items that a
clusterer put together differ less than a benchmark's, items that it could not place differ more,
and items that nobody ever answered have shown the least of their differences. rho_k is a constant
of the cluster's kind (`LadderData.nu_ratio`), nu_b is the benchmark's as one cluster.

z is the arcsine root of cluster k's pass rate at ladder model m of benchmark b, n_km its trials,
x_b the log10 compute of the benchmark's largest ladder model and delta_b its delta_m, so that
exp(eta) is the loss that this model shows, shocks and all. Every shock is shared by the clusters of
a benchmark. The curves are trusted most at x_b, where omega sets out in both directions: small
models far below, and targets far above, count for less and are known less. Neighbouring models
share most of omega, so a misfit does not average out over a dense ladder.

delta_bm, omega and eps are integrated out in closed form: per (b, m) the sums over the clusters k

    c = sum f'^2 w + 1 / sigma_delta^2,  b = sum f' w,  a = sum w - b^2 / c,   w = 1 / var(eps)
    h = sum r w - b / c sum f' r w,      r = z - f

leave the likelihood of omega_bm, h omega - a omega^2 / 2, which a Kalman filter down from x_b takes
over the walk. The sampler moves only in curves and scales. eta, log beta and gamma share priors
over clusters and benchmarks.

The curves' coordinates are what the data show whichever way a curve explains them: the accuracy y
at x_b, the share kappa of it that a model v decades smaller keeps, the share s of what is kept
that lies above the floor, and the irreducible share phi of the loss at x_b,

    g = kappa y (1 - s)
    Lambda = log(1 - g) - log(y - g),    Lambda' = log(1 - g) - log(kappa y - g)
    gamma = phi Lambda,    eta = l(Lambda - gamma),    beta v = l(Lambda' - gamma) - eta
    l(R) = log((exp(nu_k R) - 1) / nu_k)       log answer loss, of the loss that compute takes away

v = v_k exp(t_b), where t_b is the slope by which the benchmark's shocks rise with log compute: a
small trend of all shocks then moves nothing but the slopes' priors. v_k is `LadderData.below`, down
to the smallest model with a quarter of the largest one's rate. With
u(R) = (1 - exp(-nu_k R)) / nu_k and t = 1 - kappa + kappa s, so that y - g = y t, the priors on
eta, gamma, log beta and g are kept as stated by

    |d(eta, gamma, log beta, g) / d(kappa, y, s, phi)|
        = Lambda / (u(Lambda - gamma) u(Lambda' - gamma) beta v t s)

Coordinates at x_b alone (accuracy, floor, phi and slope) are as good, but a flat cluster's floor
and slope are then pinned by one explanation and free in another, and steps must be as small as the
tightest asks. gamma is exponential of mean sigma_gamma, or, for the share `capped_share` of the
clusters, of mean `capped_loss`.

All numbers of the evidence are `pm.Data`: the graph is the same for every evidence and every named
model. The sampler does not use it: `cod_bayes.sampling.density` is the same density, compiled
already.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from cod_bayes.model.ladder import (
    CURVE,
    LARGEST_LOG_LOSS,
    PROBIT,
    LadderData,
    curves_of,
    floor_prior,
    log_share,
)
from cod_bayes.model.spec import Spec

SCALES = ("sigma_eta", "sigma_beta", "sigma_gamma", "sigma_model", "sigma_delta")


def _log_slope(probit: Any) -> Any:
    """log d share / d probit."""
    slope = PROBIT[0] + 3 * PROBIT[1] * probit**2
    return log_share(probit) + log_share(-probit) + pt.log(slope)


def build(spec: Spec, data: LadderData) -> pm.Model:
    """The model with its shocks integrated out, as it is sampled."""
    g_a, g_b = floor_prior(data.chance, spec.constants["chance_items"])
    member = (np.arange(len(data.benchmark))[:, None] == data.of_cluster).astype(float)
    priors = np.array([[prior.mu, prior.sigma] for prior in spec.priors.values()])
    row = {name: i for i, name in enumerate(spec.priors)}

    with pm.Model(coords=data.coords) as model:
        x = pm.Data("x", data.x, dims="model")
        top = pm.Data("top", data.top.astype(np.int64), dims="benchmark")
        z = pm.Data("z", data.z, dims=("cluster", "model"))
        noise = pm.Data(
            "noise", np.where(data.measured, data.noise, 1.0), dims=("cluster", "model")
        )
        measured = pm.Data("measured", data.measured.astype(float), dims=("cluster", "model"))
        of_cluster = pm.Data("of_cluster", data.of_cluster.astype(np.int64), dims="cluster")
        nu_ratio = pm.Data("nu_ratio", data.nu_ratio, dims="cluster")
        way = pm.Data("way", data.below[1], dims="cluster")
        lean = pm.Data("lean", data.lean, dims=("benchmark", "model"))
        member = pm.Data("member", member, dims=("benchmark", "cluster"))
        prior = pm.Data("prior", priors)
        g_a, g_b = pm.Data("g_a", g_a, dims="cluster"), pm.Data("g_b", g_b, dims="cluster")
        capped_share = pm.Data("capped_share", spec.constants["capped_share"])
        capped_loss = pm.Data("capped_loss", spec.constants["capped_loss"])
        several = pm.Data("several", float(len(data.benchmark) > 1))

        def normal(name: str) -> Any:
            return pm.Normal(name, prior[row[name], 0], prior[row[name], 1])

        def scale(name: str, dims: str | None = None) -> Any:
            return pm.LogNormal(name, prior[row[name], 0], prior[row[name], 1], dims=dims)

        mu_eta, mu_beta, mu_omega = normal("mu_eta"), normal("mu_beta"), normal("mu_omega")
        sigma_eta, sigma_beta, sigma_gamma, sigma_model, sigma_delta = map(scale, SCALES)
        tau = scale("tau", dims="benchmark")
        spread = scale("spread_omega", dims="benchmark")
        nu = scale("nu", dims="benchmark")
        sigma_omega = pm.Deterministic("sigma_omega", pt.exp(mu_omega) * spread, dims="benchmark")
        raw = pm.Normal("raw_delta", 0, 1, dims="model")
        raw_lead = pm.Normal("raw_lead", 0, 1, dims="benchmark")
        lead = pm.Deterministic("lead", sigma_delta * raw_lead, dims="benchmark")
        delta = pm.Deterministic("delta", several * sigma_model * raw, dims="model")

        probits = [pm.Flat(f"probit_{name}", dims="cluster") for name in ("kept", "y", "s", "phi")]
        trend = pt.dot(lean, delta) - (delta[top] + lead) * pt.sum(lean, axis=1)
        wide = nu_ratio * nu[of_cluster]
        reach = way * pt.exp(trend[of_cluster])
        curves = curves_of(probits, wide, reach)
        eta, beta, gamma, g = (
            pm.Deterministic(name, curve, dims="cluster")
            for name, curve in zip(CURVE, curves, strict=True)
        )
        curve_prior = pm.logp(pm.Normal.dist(mu_eta, sigma_eta), eta)
        curve_prior += pm.logp(pm.Normal.dist(mu_beta, sigma_beta), pt.log(beta))
        few = pt.log1p(-capped_share) + pm.logp(pm.Exponential.dist(scale=sigma_gamma), gamma)
        many = pt.log(capped_share) + pm.logp(pm.Exponential.dist(scale=capped_loss), gamma)
        curve_prior += pt.logaddexp(few, many)
        curve_prior += pm.logp(pm.Beta.dist(g_a, g_b), g)
        log_kept, log_y, log_s = map(log_share, probits[:3])
        log_t = pt.logaddexp(log_share(-probits[0]), log_kept + log_s)
        loss = pt.log1p(-g) - log_y - log_t
        rest = loss - gamma
        below = rest + log_t - log_kept - log_s
        jacobian = pt.log(loss) - log_t - log_s - pt.log(beta * reach)
        for left in (rest, below):
            jacobian -= pt.log(-pt.expm1(-wide * left) / wide)
        for probit in probits:
            jacobian += _log_slope(probit)
        pm.Potential("curve_prior", pt.sum(curve_prior + jacobian))

        effective = x + delta
        own_top = top[of_cluster][:, None]
        other = pt.neq(pt.arange(x.shape[0])[None, :], own_top)
        ahead = effective[None, :] - effective[own_top] - other * lead[of_cluster][:, None]
        fall = pt.exp(pt.minimum(eta[:, None] - beta[:, None] * ahead, LARGEST_LOG_LOSS))
        wide = wide[:, None]
        more = 1 + wide * fall
        rise = (1 - g[:, None]) * pt.exp(-pt.log(more) / wide - gamma[:, None])
        y = pt.clip(g[:, None] + rise, 1e-9, 1 - 1e-9)
        f = pt.arcsin(pt.sqrt(y))
        df = other * rise * fall / more * beta[:, None] / (2 * pt.sqrt(y * (1 - y)))

        variance = noise + pt.square(tau[of_cluster])[:, None]
        w = measured / variance
        r = z - f

        def over_clusters(term: Any) -> Any:
            return pt.dot(member, term)

        c = over_clusters(df**2 * w) + 1 / sigma_delta**2
        b = over_clusters(df * w)
        sr = over_clusters(df * r * w)
        a = over_clusters(w) - b**2 / c
        h = over_clusters(r * w) - b * sr / c
        way = pt.abs(x[None, :] - x[top][:, None])
        way = pt.minimum(way[:, :, None], way[:, None, :])  # that two models share
        walk = pt.square(sigma_omega)[:, None, None] * way
        wider = pt.eye(x.shape[0]) + walk * a[:, None, :]
        quad = over_clusters(r**2 * w) - sr**2 / c
        quad -= h * pt.linalg.solve(wider, pt.sum(walk * h[:, None, :], axis=2), b_ndim=1)
        logdet = over_clusters(measured * pt.log(2 * np.pi * variance)) + pt.log(sigma_delta**2 * c)
        logdet = pt.sum(logdet) + pt.sum(pt.linalg.slogdet(wider)[1])
        pm.Potential("marginal_likelihood", -0.5 * (pt.sum(quad) + logdet))
    return model
