"""The stated model's log density in the fast engine's coordinates, with the shocks that the engine
integrates out."""

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
from cod_bayes.model.variables import GLOBAL, SHARED
from cod_bayes.sampling.coordinates import (
    curves_of,
    log_jacobian,
    second_model,
    trend_weights,
)
from cod_bayes.sampling.kernels import N_GLOBAL, PER_BENCHMARK


class Stated:
    """The statement's log density of the fast engine's coordinates theta and of the shocks s that
    the engine integrates out: delta_benchmark below the largest models, then omega_step."""

    def __init__(self, data):
        B, M, K = len(data.benchmark), len(data.model), len(data.cluster)
        of, top = data.of_cluster, data.top
        theta, s = pt.dvector("theta"), pt.dvector("s")
        S = len(SHARED) * int(data.sharing.any())
        at = np.cumsum([N_GLOBAL, M, S, *[B] * (len(PER_BENCHMARK) + 1), *[K] * 4])
        raw_delta, suite, *parts = [theta[i:j] for i, j in pairwise(at)]
        raw_lead, *probits = parts[len(PER_BENCHMARK) :]
        scales = [name for name in (*GLOBAL, *PER_BENCHMARK) if not name.startswith("mu")]
        here = {name: theta[i] for i, name in enumerate(GLOBAL)}
        here |= dict(zip(PER_BENCHMARK, parts, strict=False))
        value = {f"{name}_log__" if name in scales else name: v for name, v in here.items()}
        several = float(B > 1)
        delta = several * pt.exp(here["sigma_model"]) * raw_delta
        lead = pt.exp(here["sigma_delta"]) * raw_lead
        weights = trend_weights(data)
        trend = pt.dot(weights, delta) - (delta[top] + lead) * weights.sum(axis=1)
        nu = data.nu_ratio * pt.exp(here["nu"])[of]
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
        jacobian = pt.sum(here["sigma_delta"]) + sum(pt.sum(here[name]) for name in scales)
        jacobian += pt.sum(log_jacobian(probits, curves, nu, distance))
        if several:
            value["delta"] = delta
            jacobian += M * here["sigma_model"]
        else:  # the engine keeps coordinates that nothing depends on
            jacobian += pm.logp(pm.Normal.dist(), raw_delta).sum()
        if S:
            value["suite"] = suite
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
