"""The Bayesian model of a ladder, stated once.

For cluster k of benchmark b, ladder model m, x = log10 compute (FLOPs), x_b the log10 compute of
the benchmark's largest ladder model:

    z_km     = f_k(a_bm) + f_k'(a_bm) delta_bm + omega_bm + eps_km               radians
    f_k(a)   = arcsin sqrt y_k(a)                           y_k: `cod_bayes.model.equations`
    a_bm     = (x_m + delta_m) - (x_b + delta_b) - lead_b   decades; 0 at the largest model

    delta_m  ~ N(0, sigma_model)     decades  the model trains as if it had more or less compute,
                                              on every benchmark; 0 where there is one benchmark
    delta_bm ~ N(0, sigma_delta_b)   decades  the same on benchmark b alone
    omega_bm = sigma_omega_b W_b(x_m)       radians: what no curve follows, a random walk in log
                                              compute that starts at the largest model, both ways
    eps_km   ~ N(0, sqrt(noise_km + tau_b^2)) radians: trials, and what one cluster does alone

    eta_k ~ N(mu_eta_b, sigma_eta_b)          log answer loss that the largest model shows
    log beta_k ~ N(mu_beta_b + s_k, sigma_beta_b)   log of its fall per decade; s_k is the constant
                                              free_answer_slope where the chance level is 0, else 0
    gamma_k ~ Exponential of mean sigma_gamma_b, or, for a share capped_share of the clusters,
              of mean capped_loss             answer loss that compute does not take away
    g_k ~ Beta around the chance level        floor
    nu_k = rho_k nu_b                         how far a cluster's items differ

z is the arcsine root of a cluster's pass rate, noise its sampling variance 1 / (4 n). delta_b and
lead_b are delta_m and delta_bm of the benchmark's largest model: exp(eta) is the loss that this
model showed, its shocks included, so eta is known best of all. The shock delta_bm enters by its
first-order effect f' delta_bm, so that delta_bm, omega and eps can be integrated out in closed form
(`cod_bayes.sampling.density`). Neighbouring models share most of omega: a misfit does not average
out over a dense ladder, and small models far below x_b count for less.

A target of compute C* is a model that has not been evaluated. It has shocks of its own, of the same
distributions:

    z_k*     = f_k(x* + delta_* - x_b - delta_b - lead_b + delta_b*) + omega_b* + eps_k*
    omega_b* = sigma_omega_b sqrt|x* - x_b| (sqrt(rho) u + sqrt(1 - rho) u_b),      u, u_b ~ N(0, 1)
    score_b  = sum_k weight_k sin^2 z_k*,          weight_k: the cluster's share of the items

rho is the constant shared_omega: a target that beats its curve on one benchmark does so on others.

The priors have three levels. For each parameter h of a benchmark but mu_eta (on its log scale
where it is positive), with mu_h and s_h the mean and standard deviation of its prior,

    h_b ~ N(mu_h + s_h sqrt(kappa) suite_h, s_h sqrt(1 - kappa)),     suite_h ~ N(0, 1)

with kappa the constant shared_priors for the benchmarks that have clusters, if there are two or
more of them, and 0 for all others: one curve does not tell a steep slope from a near ceiling, and
what many such tasks show together does not hold beyond the ladder, see `models/cod.md`. kappa is
the correlation of the parameter between two benchmarks; suite_h is what they have in common. All
benchmarks of a suite share the models' shocks delta_m and the scale of omega.

Every prior, with its unit and reason, stands in `models/*.toml`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.gradient import grad

from cod_bayes.model.equations import EDGE, accuracy, floor_prior
from cod_bayes.model.ladder import AHEAD, LadderData
from cod_bayes.model.spec import Spec, load_spec
from cod_bayes.model.variables import SHARED

Curve = Callable[[Any, Any], Any]  # (ahead, cluster indices) -> accuracy, elementwise


@dataclass(frozen=True)
class Priors:
    """`prior("mu_eta")` is the free variable mu_eta with the prior that the specification names.

    Of the parameters `SHARED`, clustered benchmarks share a part: `suite`, (parameter,). Those with
    a gamma prior are not shared.
    """

    spec: Spec
    sharing: np.ndarray
    suite: Any

    @classmethod
    def of(cls, spec: Spec, ladder: LadderData) -> Priors:
        if ladder.sharing.any():
            suite = pm.Normal("suite", dims="parameter")
        else:
            suite = pm.Deterministic("suite", pt.zeros(len(SHARED)), dims="parameter")
        return cls(spec, ladder.sharing, suite)

    def __call__(self, name: str, dims: str | None = None) -> Any:
        families = {"normal": pm.Normal, "lognormal": pm.LogNormal, "gamma": pm.Gamma}
        prior = self.spec.priors[name]
        mu: Any = prior.mu
        sigma: Any = prior.sigma
        if name in SHARED and prior.family != "gamma" and self.sharing.any():
            kappa = self.spec.constants["shared_priors"] * self.sharing
            mu += sigma * np.sqrt(kappa) * self.suite[SHARED.index(name)]
            sigma *= np.sqrt(1 - kappa)
        return families[prior.family](name, mu=mu, sigma=sigma, dims=dims)


def answer_loss_curves(ladder: LadderData, prior: Priors, log_slope: Any = 0.0) -> Curve:
    """The curves of `cod_bayes.model.equations`, one a cluster, with priors that they share.

    log_slope: added to the mean of log beta, (cluster,).
    """
    constants, of = prior.spec.constants, ladder.of_cluster
    a, b = floor_prior(ladder.chance, constants["chance_items"])
    capped = constants["capped_share"]

    def of_benchmark(name: str) -> Any:
        return prior(name, dims="benchmark")[of]

    eta = pm.Normal("eta", of_benchmark("mu_eta"), of_benchmark("sigma_eta"), dims="cluster")
    free = constants["free_answer_slope"] * ladder.free_answer
    mu_beta = of_benchmark("mu_beta") + free + log_slope
    log_beta = pm.Normal("log_beta", mu_beta, of_benchmark("sigma_beta"), dims="cluster")
    beta = pm.Deterministic("beta", pt.exp(log_beta), dims="cluster")
    scaling = pm.Exponential.dist(scale=of_benchmark("sigma_gamma"))
    flat = pm.Exponential.dist(scale=pt.full(len(of), constants["capped_loss"]))
    gamma = pm.Mixture("gamma", [1 - capped, capped], [scaling, flat], dims="cluster")
    g = pm.Beta("g", a, b, dims="cluster")
    nu = ladder.nu_ratio * of_benchmark("nu")
    return lambda ahead, k: accuracy(ahead, eta[k], beta[k], gamma[k], g[k], nu[k])


def normal(name: str, mean: Any, sd: Any, **options: Any) -> Any:
    """The likelihood of z."""
    return pm.Normal(name, mean, sd, **options)


def build(
    ladder: LadderData,
    spec: Spec | None = None,
    *,
    curves: Callable[[LadderData, Priors], Curve] = answer_loss_curves,
    likelihood: Callable[..., Any] = normal,
    compute: np.ndarray | None = None,
) -> pm.Model:
    """The model of one ladder, generative: `z` is observed, all else is free or derived.

    Args:
        spec: priors and constants; the shipped model "cod" where None.
        curves: draws the curves' parameters and returns the curves as one function.
        likelihood: of z, called as `normal` is.
        compute: of targets, FLOPs; adds `score` (benchmark, compute) of one target model at each.
    """
    spec = load_spec("cod") if spec is None else spec
    B, M = len(ladder.benchmark), len(ladder.model)
    k, m = np.nonzero(ladder.measured)  # one row of measured cells
    b, top = ladder.of_cluster[k], ladder.top
    several = float(B > 1)

    coords = ladder.coords | {"cell": ladder.cells, "parameter": list(SHARED)}
    with pm.Model(coords=coords) as model:
        prior = Priors.of(spec, ladder)
        curve = curves(ladder, prior)

        def f(ahead: Any, cluster: Any) -> Any:
            return pt.arcsin(pt.sqrt(pt.clip(curve(ahead, cluster), EDGE, 1 - EDGE)))

        # Shocks of the ladder's models.
        sigma_model, sigma_delta = prior("sigma_model"), prior("sigma_delta", dims="benchmark")
        spread, tau = prior("spread_omega", dims="benchmark"), prior("tau", dims="benchmark")
        sigma_omega = pt.exp(prior("mu_omega")) * spread
        sigma_omega = pm.Deterministic("sigma_omega", sigma_omega, dims="benchmark")
        if B > 1:
            delta = pm.Normal("delta", 0, sigma_model, dims="model")
        else:
            delta = pm.Deterministic("delta", pt.zeros(M), dims="model")
        delta_b = pm.Normal("delta_benchmark", 0, sigma_delta[:, None], dims=("benchmark", "model"))
        lead = pm.Deterministic("lead", delta_b[np.arange(B), top], dims="benchmark")
        step = pm.Normal("omega_step", dims=("benchmark", "model"))
        walk = pt.sum(ladder.walk * step[:, None, :], axis=2)
        omega = pm.Deterministic("omega", sigma_omega[:, None] * walk, dims=("benchmark", "model"))

        # Pass rates of clusters at ladder models.
        smaller = m != top[b]
        ahead = ladder.x[m] - ladder.x_ref[b] + delta[m] - delta[top][b] - smaller * lead[b]
        at = f(ahead, k)
        slope = smaller * grad(pt.sum(at), ahead)
        mean = at + slope * delta_b[b, m] + omega[b, m]
        sd = pt.sqrt(ladder.noise[k, m] + tau[b] ** 2)
        likelihood("z", mean, sd, observed=ladder.z[k, m], dims="cell")
        if curves is not answer_loss_curves:  # forecasts then read the curves from this table
            grid, every = AHEAD[None, :], np.arange(len(ladder.cluster))[:, None]
            model.add_coord("ahead", AHEAD)
            pm.Deterministic("accuracy", curve(grid, every), dims=("cluster", "ahead"))

        # Targets.
        if compute is not None:
            model.add_coord("compute", compute)
            away = np.log10(compute) - ladder.x_ref[:, None]
            own = pm.Normal("delta_target")
            own_b = pm.Normal("delta_benchmark_target", dims="benchmark")
            rho = spec.constants["shared_omega"]
            own_omega = rho**0.5 * pm.Normal("omega_target")
            own_omega += (1 - rho) ** 0.5 * pm.Normal("omega_benchmark_target", dims="benchmark")
            own_eps = pm.Normal("eps_target", dims="cluster")
            shock = several * (sigma_model * own - delta[top]) + sigma_delta * own_b - lead
            of, every = ladder.of_cluster, np.arange(len(ladder.cluster))[:, None]
            z = f(away[of] + shock[of][:, None], every)
            z += (sigma_omega * own_omega)[of][:, None] * np.sqrt(abs(away[of]))
            z += (tau[of] * own_eps)[:, None]
            member = ladder.weight * (np.arange(B)[:, None] == of)
            score = pt.dot(member, pt.sin(pt.clip(z, 0, np.pi / 2)) ** 2)
            pm.Deterministic("score", score, dims=("benchmark", "compute"))
    return model
