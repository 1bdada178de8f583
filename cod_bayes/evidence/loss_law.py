"""The loss of a model by its parameters and tokens, fitted to a ladder's own losses.

    L(N, D) = E + A / N^a + B / D^b          N parameters trained on D tokens
    C       = 6 N D                          FLOPs

(Hoffmann et al. 2022, eq. 2). The least L of a C is reached at N = G (C / 6)^(b / (a + b)) and
D = C / (6 N), where G = (a A / (b B))^(1 / (a + b)) (eq. 4), so that

    L - E = K (C / 6)^(-a b / (a + b)),      K = A G^-a + B G^b

The effective compute of (N, D) is the C of its loss. It does not depend on E, nor on the unit of L.

`PUBLISHED` are the constants of Besiroglu et al. 2024 (arXiv 2404.10102), fitted again to the data
of Hoffmann et al. `fit_loss_law` finds those of a ladder. It states the law at C_ref, the geometric
mean of the ladder's 6 N D, where the optimal training has N* parameters and D* = m N* tokens and a
loss E + X:

    L = E + X (b (N / N*)^-a + a (D / D*)^-b) / (a + b)
    log L_j ~ StudentT(nu = 4, log L(N_j, D_j), sigma)       j a ladder model

    log(E + X)         ~ Normal(log of the median L_j, 1)
    logit(X / (E + X)) ~ Normal(published, 0.7)
    log a, log b       ~ Normal(published, 0.2)
    log m              ~ Normal(published, 0.7)               0.7: a factor of two
    log sigma          ~ Normal(log 0.01, 1)

"published" is the value under `PUBLISHED` at C_ref. The priors are as wide as the laws that have
been published differ. A ladder that shows little, because its models are few or have all the same
tokens per parameter, keeps the published constants. The tails of Student's t treat a model that
stands apart as the Huber loss of Besiroglu et al. does; sigma is estimated.

The law's constants are the mode of this density; its draws are sampled from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

Values = float | np.ndarray
DRAWS = 500

_NU = 4.0  # degrees of freedom of the noise
_SPREADS = np.array([1.0, 0.7, 0.2, 0.2, 0.7, 1.0])  # of the priors, in their order above
_STEPS = 500  # of each walker
_SEED = 20221


@dataclass(frozen=True, eq=False)
class LossLaw:
    """L(N, D) = E + A / N^a + B / D^b; the symbols of the module.

    Attributes:
        E, A, B, a, b: floats, or arrays of one shape.
        draws: the same law with arrays (draw,), the uncertainty of its constants; None: unknown.
        models: number of models whose losses it was fitted to.
    """

    E: Values
    A: Values
    B: Values
    a: Values
    b: Values
    draws: LossLaw | None = field(default=None, repr=False)
    models: int = 0

    def __str__(self) -> str:
        origin = f"fitted to the losses of {self.models} models" if self.models else "published"
        return f"a loss law with a = {self.a:.3g} and b = {self.b:.3g} ({origin})"

    def loss(self, params: ArrayLike, tokens: ArrayLike) -> np.ndarray:
        """L of N = `params` and D = `tokens`; shapes broadcast with those of the constants."""
        return np.asarray(self.E + self._excess(np.asarray(params), np.asarray(tokens)))

    def effective_compute(self, params: ArrayLike, tokens: ArrayLike) -> np.ndarray:
        """C of the optimal training that has the loss of N = `params` and D = `tokens`. FLOPs."""
        excess = self._excess(np.asarray(params, float), np.asarray(tokens, float))
        return 6 * (excess / self._scale) ** (-(self.a + self.b) / (self.a * self.b))

    def optimum(self, compute: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """(N, D) of the least loss of C = `compute` FLOPs."""
        product = np.asarray(compute, float) / 6
        params = self._G * product ** (self.b / (self.a + self.b))
        return params, product / params

    def split(self, compute: ArrayLike, max_params: float) -> tuple[np.ndarray, np.ndarray]:
        """(N, D) of least 6 N D with N <= `max_params` and an effective compute of `compute`.

        Where the optimum has more parameters, N = max_params and D solves L(N, D) = L(optimum); D
        is infinite where no number of tokens reaches that loss.
        """
        params, tokens = self.optimum(compute)
        left = self._excess(params, tokens) - self.A / max_params**self.a
        with np.errstate(divide="ignore", invalid="ignore"):
            enough = np.where(left > 0, (self.B / left) ** (1 / self.b), np.inf)
        capped = params > max_params
        return np.where(capped, max_params, params), np.where(capped, enough, tokens)

    @property
    def _G(self) -> np.ndarray:
        return (self.a * self.A / (self.b * self.B)) ** (1 / (self.a + self.b))

    @property
    def _scale(self) -> np.ndarray:
        return self.A * self._G**-self.a + self.B * self._G**self.b

    def _excess(self, params: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        return self.A / params**self.a + self.B / tokens**self.b


PUBLISHED = LossLaw(E=1.8172, A=482.01, B=2085.43, a=0.3478, b=0.3658)


def fit_loss_law(params: ArrayLike, tokens: ArrayLike, loss: ArrayLike) -> LossLaw:
    """The law of these models, with draws of its constants.

    Args:
        params, tokens, loss: N, D and L of each model, (model,). L in any unit that is 0 for a
            perfect model. A model whose loss is NaN adds nothing; without any loss the law is the
            prior, whose mode is `PUBLISHED`.

    Raises:
        ValueError: no models, shapes that differ, or a number that is not positive.
    """
    from scipy.optimize import minimize

    N, D, L = (np.atleast_1d(np.asarray(v, float)) for v in (params, tokens, loss))
    if not N.shape == D.shape == L.shape or N.ndim != 1 or len(N) == 0:
        raise ValueError(
            f"expected params, tokens and loss (model,), got {N.shape}, {D.shape} and {L.shape}"
        )
    for name, value in (("params", N), ("tokens", D), ("loss", L[~np.isnan(L)])):
        if not ((value > 0) & np.isfinite(value)).all():
            raise ValueError(f"expected {name} > 0 of every model: correct the table")
    C_ref = float(np.exp(np.log(6 * N * D).mean()))
    known = ~np.isnan(L)
    N, D, L = N[known], D[known], L[known]
    centre = _centre(C_ref, L)

    def density(theta: np.ndarray) -> np.ndarray:
        """Log density, (...) of theta (parameter, ...)."""
        law, log_sigma = _law(theta[..., None], C_ref), theta[5, ..., None]
        z = (np.log(L) - np.log(law.loss(N, D))) / np.exp(log_sigma)
        fits = -(_NU + 1) / 2 * np.log1p(z**2 / _NU) - log_sigma
        return fits.sum(axis=-1) - 0.5 * ((theta.T - centre) ** 2 / _SPREADS**2).sum(axis=-1)

    rng = np.random.default_rng(_SEED)
    with np.errstate(all="ignore"):  # far from the mode
        found = minimize(lambda u: -density(centre + _SPREADS * u), np.zeros(6), method="BFGS")
        mode = centre + _SPREADS * found.x
        away = 0.1 * _SPREADS[:, None] * rng.standard_normal((len(mode), DRAWS))
        drawn = _sampled(density, mode[:, None] + away, rng)
    return replace(_law(mode, C_ref), draws=_law(drawn, C_ref), models=len(L))


def _centre(C_ref: float, loss: np.ndarray) -> np.ndarray:
    """Means of the priors, (parameter,)."""
    N, D = PUBLISHED.optimum(C_ref)
    level = PUBLISHED.loss(N, D)
    share = 1 - PUBLISHED.E / level
    return np.array(
        [
            np.log(np.median(loss) if len(loss) else level),
            np.log(share / (1 - share)),
            np.log(PUBLISHED.a),
            np.log(PUBLISHED.b),
            np.log(D / N),
            np.log(0.01),
        ]
    )


def _law(theta: np.ndarray, C_ref: float) -> LossLaw:
    """The law of parameters (parameter, ...)."""
    log_level, logit, log_a, log_b, log_m = theta[:5]
    level, share, a, b = np.exp(log_level), 1 / (1 + np.exp(-logit)), np.exp(log_a), np.exp(log_b)
    N, D = np.sqrt(C_ref / 6) * np.exp(-log_m / 2), np.sqrt(C_ref / 6) * np.exp(log_m / 2)
    X = share * level
    return LossLaw(level - X, X * b / (a + b) * N**a, X * a / (a + b) * D**b, a, b)


def _sampled(
    density: Callable[[np.ndarray], np.ndarray], start: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draws (parameter, draw) of a log density: the last places of walkers that begin at `start`.

    A walker moves along the line through it and a walker of the other half (the stretch move,
    Goodman and Weare 2010, eq. 7).
    """
    walkers, half = start.copy(), DRAWS // 2
    log_p = density(walkers)
    for step in range(2 * _STEPS):
        mine = np.arange(half) + half * (step % 2)
        other = rng.permutation(half) + half * (1 - step % 2)
        stretch = (1 + rng.random(half)) ** 2 / 2  # density 1 / sqrt(z) on [1/2, 2]
        proposed = walkers[:, other] + stretch * (walkers[:, mine] - walkers[:, other])
        log_new = density(proposed)
        ratio = (len(walkers) - 1) * np.log(stretch) + log_new - log_p[mine]
        moved = mine[accepted := np.log(rng.random(half)) < ratio]
        walkers[:, moved], log_p[moved] = proposed[:, accepted], log_new[accepted]
    return walkers
