"""The model run forwards in NumPy: prior draws, replicated data, log prior and log likelihood.

Equations and symbols are those of `cod_bayes.model.statement`. A dict of parameters has leading
draw
dimensions `(..., )`, then (cluster,), (benchmark,) or (model,) as in `cod_bayes.model.ladder.DIMS`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import stats

from cod_bayes.model.ladder import CURVE, GLOBAL, LadderData, accuracy, answer_loss, floor_prior
from cod_bayes.model.spec import Spec

Draws = Mapping[str, np.ndarray]


def prior_draws(
    spec: Spec, data: LadderData, rng: np.random.Generator, draws: int
) -> dict[str, np.ndarray]:
    """Parameters from the prior, each (draw, dim)."""
    value = {}
    for name, prior in spec.priors.items():
        own = name not in GLOBAL
        dims = (draws, len(data.benchmark)) if own else (draws,)
        normal = rng.normal(prior.mu, prior.sigma, dims)
        value[name] = normal if prior.family == "normal" else np.exp(normal)
    K, M, several = len(data.cluster), len(data.model), len(data.benchmark) > 1
    value["sigma_omega"] = np.exp(value["mu_omega"])[:, None] * value.pop("spread_omega")
    value["delta"] = several * value["sigma_model"][:, None] * rng.standard_normal((draws, M))
    value["lead"] = value["sigma_delta"] * rng.standard_normal((draws, len(data.benchmark)))
    of = data.of_cluster
    value["eta"] = rng.normal(value["mu_eta"][:, of], value["sigma_eta"][:, of])
    value["beta"] = np.exp(rng.normal(value["mu_beta"][:, of], value["sigma_beta"][:, of]))
    capped = rng.random((draws, K)) < spec.constants["capped_share"]
    few = value["sigma_gamma"][:, of]
    mean = np.where(capped, spec.constants["capped_loss"], few)
    value["gamma"] = rng.exponential(mean)
    value["g"] = rng.beta(*floor_prior(data.chance, spec.constants["chance_items"]), (draws, K))
    return value


def log_prior(spec: Spec, data: LadderData, p: Draws) -> dict[str, np.ndarray]:
    """Log density of each parameter under its prior, in the shape of the parameter."""
    value = {}
    spread = p["sigma_omega"] / np.exp(p["mu_omega"])[..., None]
    for name, prior in spec.priors.items():
        at = spread if name == "spread_omega" else p[name]
        if prior.family == "normal":
            value[name] = stats.norm.logpdf(at, prior.mu, prior.sigma)
        else:
            value[name] = stats.lognorm.logpdf(at, prior.sigma, scale=np.exp(prior.mu))
    of = data.of_cluster
    shared = ("mu_eta", "sigma_eta", "mu_beta", "sigma_beta", "sigma_gamma")
    each = {name: np.asarray(p[name])[..., of] for name in shared}
    value["eta"] = stats.norm.logpdf(p["eta"], each["mu_eta"], each["sigma_eta"])
    log_beta = np.log(p["beta"])
    value["beta"] = stats.norm.logpdf(log_beta, each["mu_beta"], each["sigma_beta"]) - log_beta
    capped, loss = (spec.constants[name] for name in ("capped_share", "capped_loss"))
    few = np.log1p(-capped) + stats.expon.logpdf(p["gamma"], scale=each["sigma_gamma"])
    many = np.log(capped) + stats.expon.logpdf(p["gamma"], scale=loss)
    value["gamma"] = np.logaddexp(few, many)
    value["g"] = stats.beta.logpdf(
        p["g"], *floor_prior(data.chance, spec.constants["chance_items"])
    )
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
