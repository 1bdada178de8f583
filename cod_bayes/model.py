"""The Bayesian model of one evidence: every cluster's scaling curve, shocks shared by clusters.

    L_k(x) = exp(eta_k - beta_k (x - x_b)) + gamma_k             answer loss,  x = log10 compute
    y_k(x) = g_k + (1 - g_k) exp(-L_k(x))                        accuracy (COD eq. of 4.2)
    f_k(x) = arcsin sqrt y_k(x)
    z_km   = f_k(x_m) + f_k'(x_m) delta_bm + u_bm + eps_km
    delta_bm ~ N(0, sigma_delta),  u_bm ~ N(0, sigma_u_b),  eps_km ~ N(0, 1/(4 n_km) + tau_b^2)

z is the arcsine-root of cluster k's pass rate at ladder model m of benchmark b, x_b the log10
compute of the benchmark's largest ladder model. delta is a shift of compute (to first order), u a
shift of the score; both are shared by the clusters of a benchmark. eta, beta, gamma share priors.

delta, u and eps are integrated out in closed form: per (b, m) the sums over the clusters k of b

    A = sum w,  Bm = sum f' w,  Cm = sum f'^2 w + 1 / sigma_delta^2,  w = 1 / var(eps)

are all that is needed, so the sampler moves only in curves and scales. The curves' coordinates are
the answer loss at x_b, Lambda = exp(eta) + gamma, and its irreducible share phi = gamma / Lambda;
d(eta, gamma) = Lambda / (1 - phi) d(log Lambda, phi) keeps the priors on eta and gamma as stated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from cod_bayes.spec import Prior, Spec


@dataclass(frozen=True)
class LadderData:
    """Clusters of all benchmarks in one row of arrays.

    Attributes:
        benchmark: (benchmark,) names; cluster: (cluster,) names; model: (model,) names.
        of_cluster: (cluster,) index of each cluster's benchmark.
        x: (model,) log10 FLOPs, ascending. x_ref: (benchmark,) of the largest ladder model.
        z: (cluster, model) arcsine-root pass rate; 0 where nothing was measured.
        noise: (cluster, model) sampling variance 1/(4 n); inf where nothing was measured.
        chance: (cluster,) chance level, NaN unknown.
    """

    benchmark: list[str]
    cluster: list[str]
    model: list[str]
    of_cluster: np.ndarray
    x: np.ndarray
    x_ref: np.ndarray
    z: np.ndarray
    noise: np.ndarray
    chance: np.ndarray


def accuracy(x: Any, x_ref: Any, eta: Any, beta: Any, gamma: Any, g: Any, exp: Any = np.exp) -> Any:
    """y(x) = g + (1 - g) exp(-exp(eta - beta (x - x_ref)) - gamma); NumPy, xarray, PyTensor."""
    return g + (1 - g) * exp(-exp(eta - beta * (x - x_ref)) - gamma)


def floor_prior(chance: np.ndarray, pseudo_items: float) -> tuple[np.ndarray, np.ndarray]:
    """Beta parameters of g: around the chance level, or Beta(1, 4) where it is unknown."""
    known = np.isfinite(chance)
    c = np.where(known, chance, 0.0)
    a = np.where(known, 1 + pseudo_items * c, 1.0)
    # At chance 0 there is nothing to guess: a tighter floor.
    b = np.where(known, np.where(c > 0, 1 + pseudo_items * (1 - c), 1.5 * pseudo_items), 4.0)
    return a, b


def build(spec: Spec, data: LadderData) -> pm.Model:
    """The model with its shocks integrated out, as it is sampled."""
    x = data.x[None, :]
    x_ref = data.x_ref[data.of_cluster][:, None]
    member = (np.arange(len(data.benchmark))[:, None] == data.of_cluster).astype(float)
    measured = np.isfinite(data.noise)
    noise = np.where(measured, data.noise, 1.0)
    coords = {"benchmark": data.benchmark, "cluster": data.cluster, "model": data.model}
    n_clusters = len(data.cluster)

    with pm.Model(coords=coords) as model:
        hyper = {name: _prior(name, spec.priors[name]) for name in _SHARED}
        sigma_u = _prior("sigma_u", spec.priors["sigma_u"], dims="benchmark")[:, None]
        tau = _prior("tau", spec.priors["tau"], dims="benchmark")

        log_beta = pm.Normal("log_beta", hyper["mu_beta"], hyper["sigma_beta"], dims="cluster")
        beta = pm.Deterministic("beta", pt.exp(log_beta), dims="cluster")
        g = pm.Beta("g", *floor_prior(data.chance, spec.constants["chance_items"]), dims="cluster")
        log_loss = pm.Flat("log_loss", dims="cluster", initval=np.zeros(n_clusters))
        phi = pm.Uniform("phi", 0, 1, dims="cluster", initval=np.full(n_clusters, 0.1))
        gamma = pm.Deterministic("gamma", phi * pt.exp(log_loss), dims="cluster")
        eta = pm.Deterministic("eta", log_loss + pt.log1p(-phi), dims="cluster")
        prior = pm.logp(pm.Normal.dist(hyper["mu_eta"], hyper["sigma_eta"]), eta)
        prior += pm.logp(pm.Exponential.dist(scale=hyper["sigma_gamma"]), gamma)
        pm.Potential("curve_prior", pt.sum(prior + log_loss - pt.log1p(-phi)))

        fall = pt.exp(eta[:, None] - beta[:, None] * (x - x_ref))
        rise = (1 - g[:, None]) * pt.exp(-fall - gamma[:, None])
        y = pt.clip(g[:, None] + rise, 1e-9, 1 - 1e-9)
        f = pt.arcsin(pt.sqrt(y))
        df = rise * fall * beta[:, None] / (2 * pt.sqrt(y * (1 - y)))

        variance = noise + pt.dot(member.T, tau[:, None]) ** 2
        w = measured / variance
        r = data.z - f

        def over_clusters(term: Any) -> Any:
            return pt.dot(member, term)

        c = over_clusters(df**2 * w) + 1 / hyper["sigma_delta"] ** 2
        b = over_clusters(df * w)
        s = over_clusters(df * r * w)
        a = over_clusters(w) - b**2 / c
        h = over_clusters(r * w) - b * s / c
        quad = over_clusters(r**2 * w) - s**2 / c - h**2 / (a + 1 / sigma_u**2)
        logdet = over_clusters(measured * pt.log(2 * np.pi * variance))
        logdet += pt.log(hyper["sigma_delta"] ** 2 * c) + pt.log1p(sigma_u**2 * a)
        pm.Potential("marginal_likelihood", -0.5 * pt.sum(quad + logdet))
    return model


_SHARED = ("mu_eta", "sigma_eta", "mu_beta", "sigma_beta", "sigma_gamma", "sigma_delta")


def _prior(name: str, prior: Prior, dims: str | None = None) -> Any:
    family = {"normal": pm.Normal, "lognormal": pm.LogNormal}[prior.family]
    return family(name, prior.mu, prior.sigma, dims=dims)
