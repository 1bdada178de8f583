"""A linear change of coordinates, learned from draws, after which a posterior looks round.

Precise data tie a benchmark's coordinates together, and to those that all benchmarks share; a
sampler that scales one coordinate at a time then takes steps as small as the narrowest direction.
With theta the density's coordinates, h the G shared ones and b all those of one benchmark,

    theta_h = A phi_h,      theta_b = W_b phi_b + C_b phi_h,      A and W_b lower unit triangular

has determinant 1, so that log densities need no correction. A is the Cholesky factor of the draws'
covariance of theta_h, C_b their regression of theta_b on phi_h,
and W_b the factor of the residuals' covariance. A few draws have large correlations by chance, so
correlations and regressions are shrunk towards 0. Matrices are in single precision: any change of
coordinates is valid, and half the memory is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import solve_triangular

from cod_bayes.sampling.density import blocks_of
from cod_bayes.sampling.kernels import N_BENCHMARK

_RIDGE = 20.0  # ridge penalty of the regression on shared coordinates, in draws


@dataclass(frozen=True)
class Preconditioner:
    """All numbers are exact in single precision.

    Attributes:
        A: (G, G).
        C_W: per benchmark C_b beside W_b, (n_b, G + n_b), in the order of `blocks_of`.
        first: (B + 1,) where each benchmark's clusters begin.
    """

    A: np.ndarray
    C_W: list[np.ndarray]
    first: np.ndarray

    @classmethod
    def none(cls, shared: int, first: np.ndarray) -> Preconditioner:
        """phi = theta. shared: G."""
        sizes = [len(block) for block in blocks_of(shared, first)]
        C_W = [np.hstack([np.zeros((n, shared)), np.eye(n)]) for n in sizes]
        return cls(np.eye(shared), C_W, np.asarray(first))

    @classmethod
    def of(cls, theta: np.ndarray, shared: int, first: np.ndarray) -> Preconditioner:
        """From draws theta (draw, size), and `shared` and `first` as of `none`."""
        n, G = len(theta), shared
        result = cls.none(G, first)
        result.A[:] = _rounded(_factor(theta[:, :G], n / (n + G)))
        phi_h = result.phi_h(theta - theta.mean(axis=0))
        scale = phi_h.std(axis=0) + 1e-12
        regressors = phi_h / scale
        gram = regressors.T @ regressors + _RIDGE * np.eye(G)
        for C_W, block in zip(result.C_W, result.blocks, strict=True):
            theta_b = theta[:, block] - theta[:, block].mean(axis=0)
            slope = np.linalg.solve(gram, regressors.T @ theta_b)
            factor = _factor(theta_b - regressors @ slope, n / (n + len(block)))
            C_W[:] = _rounded(np.hstack([(slope / scale[:, None]).T, factor]))
        return result

    @property
    def blocks(self) -> list[np.ndarray]:
        """Each benchmark's places among all coordinates."""
        return blocks_of(len(self.A), self.first)

    @cached_property
    def packed(self) -> np.ndarray:
        """All numbers in one row, for `unpack_preconditioner`."""
        parts = [self.A, self.A.T, *self.C_W, *(C_W.T for C_W in self.C_W)]
        single = np.concatenate([part.ravel() for part in parts]).astype(np.float32)
        return np.append(single, single[: len(single) % 2]).view(np.float64)

    def theta(self, phi: np.ndarray) -> np.ndarray:
        """(..., size)"""
        G = len(self.A)
        theta = np.empty_like(phi)
        theta[..., :G] = phi[..., :G] @ self.A.T
        for C_W, block in zip(self.C_W, self.blocks, strict=True):
            theta[..., block] = phi[..., :G] @ C_W[:, :G].T + phi[..., block] @ C_W[:, G:].T
        return theta

    def phi(self, theta: np.ndarray) -> np.ndarray:
        """The inverse of `theta`."""
        G = len(self.A)
        phi = np.empty_like(theta)
        phi[..., :G] = self.phi_h(theta)
        for C_W, block in zip(self.C_W, self.blocks, strict=True):
            residual = theta[..., block] - phi[..., :G] @ C_W[:, :G].T
            phi[..., block] = _solve(C_W[:, G:], residual)
        return phi

    def phi_h(self, theta: np.ndarray) -> np.ndarray:
        """The shared coordinates alone, (..., G)."""
        return _solve(self.A, theta[..., : len(self.A)])

    def predict_clusters(self, theta: np.ndarray, b: int) -> np.ndarray:
        """The coordinates of benchmark b's clusters as C_b and W_b predict them from all others.
        theta (..., size); (..., 4 K_b)."""
        G, C_W, block = len(self.A), self.C_W[b], self.blocks[b]
        phi_h = self.phi_h(theta)
        residual = theta[..., block[:N_BENCHMARK]] - phi_h @ C_W[:N_BENCHMARK, :G].T
        phi_b = _solve(C_W[:N_BENCHMARK, G : G + N_BENCHMARK], residual)
        return phi_h @ C_W[N_BENCHMARK:, :G].T + phi_b @ C_W[N_BENCHMARK:, G : G + N_BENCHMARK].T


def _solve(factor: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """factor^-1 of each row (..., n)."""
    columns = rows.reshape(-1, len(factor)).T
    return solve_triangular(factor, columns, lower=True, unit_diagonal=True).T.reshape(rows.shape)


def _factor(draws: np.ndarray, shrinkage: float) -> np.ndarray:
    """Lower unit triangular factor of their covariance, correlations multiplied by `shrinkage`."""
    sd = draws.std(axis=0) + 1e-12
    correlation = shrinkage * np.atleast_2d(np.cov((draws / sd).T, ddof=0))
    np.fill_diagonal(correlation, 1.0)
    factor = np.linalg.cholesky(correlation) * sd[:, None]
    return factor / np.diag(factor)


def _rounded(matrix: np.ndarray) -> np.ndarray:
    return matrix.astype(np.float32).astype(np.float64)
