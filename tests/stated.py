"""The stated model's log density in the fast engine's coordinates, with the shocks and means
that the engine integrates out."""

from functools import cache
from itertools import pairwise

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from ladders import EVIDENCE, SPEC
from pytensor.gradient import grad
from pytensor.graph.replace import clone_replace

from cod_bayes.model.statement import build
from cod_bayes.sampling.coordinates import (
    curves_of,
    log_jacobian,
    second_model,
    trend_weights,
)
from cod_bayes.sampling.kernels import N_GLOBAL


class Stated:
    """The statement's log density of the fast engine's coordinates theta and of the shocks s that
    the engine integrates out: delta_benchmark below the largest models, omega_step, and, of several
    benchmarks, mu_eta_benchmark and mu_beta_benchmark."""

    def __init__(self, data):
        B, M, K = len(data.benchmark), len(data.model), len(data.cluster)
        of, top = data.of_cluster, data.top
        theta, s = pt.dvector("theta"), pt.dvector("s")
        at = np.cumsum([N_GLOBAL, M, *[B] * 6, *[K] * 4])
        parts = [theta[i:j] for i, j in pairwise(at)]
        raw_delta, log_tau, log_spread, log_nu, log_gamma, log_delta, raw_lead, *probits = parts
        names = ("sigma_eta", "sigma_beta", "sigma_model")
        value = {name: theta[i] for i, name in enumerate(("mu_eta", "mu_beta", "mu_omega"))}
        value |= {f"{name}_log__": theta[3 + i] for i, name in enumerate(names)}
        value |= {"tau_log__": log_tau, "spread_omega_log__": log_spread, "nu_log__": log_nu}
        value |= {"sigma_gamma_log__": log_gamma, "sigma_delta_log__": log_delta}
        several = float(B > 1)
        delta, lead = several * pt.exp(theta[5]) * raw_delta, pt.exp(log_delta) * raw_lead
        weights = trend_weights(data)
        trend = pt.dot(weights, delta) - (delta[top] + lead) * weights.sum(axis=1)
        nu = data.nu_ratio * pt.exp(log_nu)[of]
        distance = second_model(data)[1] * pt.exp(trend[of])
        curves = eta, beta, gamma, g = curves_of(probits, nu, distance)
        value |= {"eta": eta, "log_beta": pt.log(beta), "gamma_log__": pt.log(gamma)}
        value |= {"g_logodds__": pt.log(g) - pt.log1p(-g)}
        below = np.arange(M) != top[:, None]
        shocks = pt.set_subtensor(pt.zeros((B, M))[below.nonzero()], s[: below.sum()])
        value["delta_benchmark"] = pt.set_subtensor(shocks[np.arange(B), top], lead)
        value["omega_step"] = s[below.sum() : below.sum() + B * M].reshape((B, M))
        self.shocks = int(below.sum()) + B * M
        # Of the change from the model's variables to theta.
        scales = log_tau + log_spread + log_nu + log_gamma + 2 * log_delta
        jacobian = pt.sum(theta[3:6]) + pt.sum(scales)
        jacobian += pt.sum(log_jacobian(probits, curves, nu, distance))
        if several:
            value["delta"] = delta
            jacobian += M * theta[5]
            value["mu_eta_benchmark"] = s[self.shocks : self.shocks + B]
            value["mu_beta_benchmark"] = s[self.shocks + B :]
            self.shocks += 2 * B
        else:  # the engine keeps coordinates that nothing depends on
            jacobian += pm.logp(pm.Normal.dist(), raw_delta).sum()
        model = build(data, SPEC)
        assert {v.name for v in model.value_vars} == set(value)
        replace = {v: value[v.name].astype(v.dtype) for v in model.value_vars}
        log_p = clone_replace(model.logp(jacobian=False), replace) + jacobian
        outputs = [log_p, *grad(log_p, [theta, s])]
        self.of = pytensor.function([theta, s], outputs, mode="FAST_COMPILE")

    def shocks_given(self, theta):
        """Mean and precision of s given theta: log_p is quadratic in s, and so s is normal."""
        slope = self.of(theta, np.zeros(self.shocks))[2]
        precision = np.column_stack([slope - self.of(theta, e)[2] for e in np.eye(self.shocks)])
        return np.linalg.solve(precision, slope), precision

    def integrated(self, theta):
        """Value and gradient of log integral exp(log_p) ds. The gradient is the mean of the
        integrand's gradient over s given theta, which 2 n points of the third-degree cubature give
        exactly."""
        n = self.shocks
        mean, precision = self.shocks_given(theta)
        value, _, slope = self.of(theta, np.zeros(n))
        value += slope @ mean / 2 - np.linalg.slogdet(precision)[1] / 2 + n / 2 * np.log(2 * np.pi)
        spread = np.sqrt(n) * np.linalg.cholesky(np.linalg.inv(precision))
        corners = np.concatenate([mean + spread.T, mean - spread.T])
        return value, np.mean([self.of(theta, corner)[1] for corner in corners], axis=0)


stated = cache(lambda key: Stated(EVIDENCE[key]))
