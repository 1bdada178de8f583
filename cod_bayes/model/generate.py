"""The model run forwards in NumPy: prior draws, replicated data, log prior and log likelihood.

Equations and symbols are those of `cod_bayes.model.statement`. A dict of parameters has leading
draw
dimensions `(..., )`, then (cluster,), (benchmark,) or (model,) as in `cod_bayes.model.ladder.DIMS`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import stats

from cod_bayes.model.ladder import CURVE, LadderData, accuracy, answer_loss, floor_prior
from cod_bayes.model.spec import Spec

Draws = Mapping[str, np.ndarray]


def prior_draws(
    spec: Spec, data: LadderData, rng: np.random.Generator, draws: int
) -> dict[str, np.ndarray]:
    """Parameters from the prior, each (draw, dim)."""
    value = {}
    for name, prior in spec.priors.items():
        own = name in ("tau", "spread_omega", "nu", "sigma_gamma", "sigma_delta")
        dims = (draws, len(data.benchmark)) if own else (draws,)
        normal = rng.normal(prior.mu, prior.sigma, dims)
        value[name] = normal if prior.family == "normal" else np.exp(normal)
    K, M, several = len(data.cluster), len(data.model), len(data.benchmark) > 1
    value["sigma_omega"] = np.exp(value["mu_omega"])[:, None] * value.pop("spread_omega")
    value["delta"] = several * value["sigma_model"][:, None] * rng.standard_normal((draws, M))
    value["lead"] = value["sigma_delta"] * rng.standard_normal(
        (draws, len(data.benchmark))
    )
    shared, between = spec.mean_variances(several)
    for i, name in enumerate(("eta", "beta")):
        mu, prior = value[f"mu_{name}"], spec.priors[f"mu_{name}"]
        value[f"mu_{name}"] = mu = prior.mu + np.sqrt(shared[i]) / prior.sigma * (mu - prior.mu)
        mean = mu + np.sqrt(between[i]) * rng.standard_normal((len(data.benchmark), draws))
        value[name] = rng.normal(mean[data.of_cluster], value[f"sigma_{name}"], (K, draws)).T
    value["beta"] = np.exp(value["beta"])
    capped = rng.random((draws, K)) < spec.constants["capped_share"]
    few = value["sigma_gamma"][:, data.of_cluster]
    mean = np.where(capped, spec.constants["capped_loss"], few)
    value["gamma"] = rng.exponential(mean)
    value["g"] = rng.beta(*floor_prior(data.chance, spec.constants["chance_items"]), (draws, K))
    return value


def log_prior(spec: Spec, data: LadderData, p: Draws) -> dict[str, np.ndarray]:
    """Log density of each parameter under its prior, in the shape of the parameter."""
    value = {}
    shared, between = spec.mean_variances(len(data.benchmark) > 1)
    means = dict(zip(("mu_eta", "mu_beta"), np.sqrt(shared), strict=True))
    spread = p["sigma_omega"] / np.exp(p["mu_omega"])[..., None]
    for name, prior in spec.priors.items():
        at = spread if name == "spread_omega" else p[name]
        sd = means.get(name, prior.sigma)
        if prior.family == "normal":
            value[name] = stats.norm.logpdf(at, prior.mu, sd)
        else:
            value[name] = stats.lognorm.logpdf(at, prior.sigma, scale=np.exp(prior.mu))
    of = data.of_cluster
    value["eta"] = _given_earlier(p["eta"], of, p["mu_eta"], p["sigma_eta"], between[0])
    log_beta = np.log(p["beta"])
    value["beta"] = _given_earlier(log_beta, of, p["mu_beta"], p["sigma_beta"], between[1])
    value["beta"] = value["beta"] - log_beta
    capped, loss = (spec.constants[name] for name in ("capped_share", "capped_loss"))
    few = np.log1p(-capped) + stats.expon.logpdf(p["gamma"], scale=np.asarray(p["sigma_gamma"])[..., of])
    many = np.log(capped) + stats.expon.logpdf(p["gamma"], scale=loss)
    value["gamma"] = np.logaddexp(few, many)
    value["g"] = stats.beta.logpdf(
        p["g"], *floor_prior(data.chance, spec.constants["chance_items"])
    )
    return value


def _given_earlier(
    at: np.ndarray, of: np.ndarray, mu: np.ndarray, sd: np.ndarray, between: float
) -> np.ndarray:
    """Log density of each cluster's value given those of its benchmark's earlier clusters, where
    the benchmark's mean ~ N(mu, sqrt between) is integrated out. (..., cluster)"""
    value = np.empty(at.shape)
    for k in range(at.shape[-1]):
        if k == 0 or of[k] != of[k - 1]:
            mean, variance = mu, between + 0 * sd
        wide = variance + sd**2
        value[..., k] = stats.norm.logpdf(at[..., k], mean, np.sqrt(wide))
        mean = mean + variance / wide * (at[..., k] - mean)
        variance = variance * sd**2 / wide
    return value


def curves(data: LadderData, p: Draws, m: int) -> tuple[np.ndarray, np.ndarray]:
    """f_k and its slope per decade at ladder model m, (..., cluster); no slope where m is the
    benchmark's largest, whose shocks are in the curve and the lead."""
    top = data.top[data.of_cluster]
    ahead = data.x[m] - data.x[top] + p["delta"][..., m, None] - p["delta"][..., top]
    ahead = ahead - (m != top) * p["lead"][..., data.of_cluster]
    nu = data.nu_ratio * p["nu"][..., data.of_cluster]
    y = accuracy(ahead, 0.0, **{name: p[name] for name in CURVE}, nu=nu)
    y = np.clip(y, 1e-9, 1 - 1e-9)
    fall = answer_loss(ahead, p["eta"], p["beta"])
    fall = fall / (1 + nu * fall)
    slope = (y - p["g"]) * fall * p["beta"] / (2 * np.sqrt(y * (1 - y)))
    return np.arcsin(np.sqrt(y)), (m != top) * slope


def replicate(data: LadderData, p: Draws, rng: np.random.Generator) -> np.ndarray:
    """z of a fresh ladder with fresh shocks but `delta`, (..., cluster, model)."""
    z = np.full((*p["eta"].shape, len(data.model)), np.nan)
    benchmarks = p["tau"].shape
    walk = _steps(data) * p["sigma_omega"][..., None]
    walk = walk * rng.standard_normal(walk.shape)
    walk = np.cumsum(walk[..., ::-1], axis=-1)[..., ::-1]  # from the largest model down
    for m in range(len(data.model)):
        f, slope = curves(data, p, m)
        delta = p["sigma_delta"] * rng.standard_normal(benchmarks)
        noise = np.where(data.measured[:, m], data.noise[:, m], 0.0)
        eps = np.sqrt(noise + p["tau"][..., data.of_cluster] ** 2) * rng.standard_normal(f.shape)
        shocks = slope * delta[..., data.of_cluster] + walk[..., data.of_cluster, m]
        z[..., m] = f + shocks + eps
    return np.where(data.measured, z, np.nan)


def _steps(data: LadderData) -> np.ndarray:
    """Root of the way to the next larger model, decades; 0 from x_b on. (benchmark, model)"""
    below = np.minimum(data.x, data.x_ref[:, None])
    return np.sqrt(np.diff(below, axis=1, append=below[:, -1:]))


def log_likelihood(data: LadderData, p: Draws) -> np.ndarray:
    """Log density of one benchmark's clusters at one model given those at larger models, shocks
    integrated out.

    (..., benchmark, model); 0 where the benchmark lacks the model. Their sum is the likelihood.
    """
    member = (np.arange(len(data.benchmark))[:, None] == data.of_cluster).astype(float)
    total = np.zeros((*p["tau"].shape, len(data.model)))
    steps = _steps(data)
    mean, variance = np.zeros(p["tau"].shape), np.zeros(p["tau"].shape)  # of omega
    for m in reversed(range(len(data.model))):
        f, slope = curves(data, p, m)
        seen = data.measured[:, m]
        noise = np.where(seen, data.noise[:, m], 1.0) + p["tau"][..., data.of_cluster] ** 2
        w, r = seen / noise, data.z[:, m] - f - mean[..., data.of_cluster]

        def over(term: np.ndarray) -> np.ndarray:
            return term @ member.T

        inverse = 1 / p["sigma_delta"] ** 2
        c, b, s = over(slope**2 * w) + inverse, over(slope * w), over(slope * r * w)
        a, h = over(w) - b**2 / c, over(r * w) - b * s / c
        variance = variance + (p["sigma_omega"] * steps[:, m]) ** 2
        n = 1 + a * variance
        quad = over(r**2 * w) - s**2 / c - h**2 * variance / n
        logdet = over(seen * np.log(2 * np.pi * noise)) + np.log(c / inverse) + np.log(n)
        total[..., m] = -0.5 * (quad + logdet)
        mean, variance = mean + variance * h / n, variance / n
    return total
