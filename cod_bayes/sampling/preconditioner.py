"""A linear change of coordinates, learned from draws, after which a posterior looks round.

Precise data tie a benchmark's coordinates together, and to those that all benchmarks share; a
sampler that scales one coordinate at a time then takes steps as small as the narrowest direction.
With theta the density's coordinates, h the G shared ones and b all those of one benchmark,

    theta_h = A phi_h,      theta_b = W_b phi_b + C_b phi_h,      A and W_b lower unit triangular

has determinant 1, so that log densities need no correction. A is the Cholesky factor of the draws'
covariance of theta_h, C_b their regression of theta_b on phi_h,
W_b the factor of what is left. Few draws are no proof of a correlation: each is shrunk by what
chance makes of it. Single precision is enough to say how coordinates change, and half to read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import solve_triangular

from cod_bayes.sampling.density import blocks_of
from cod_bayes.sampling.kernels import N_OWN

_RIDGE = 20.0  # draws' worth of doubt about a regression on shared coordinates


@dataclass(frozen=True)
class Preconditioner:
    """All numbers are ones that single precision has.

    Attributes:
        A: (G, G).
        own: per benchmark C_b beside W_b, (n_b, G + n_b), in the order of `blocks_of`.
        first: (B + 1,) where each benchmark's clusters begin.
    """

    A: np.ndarray
    own: list[np.ndarray]
    first: np.ndarray

    @classmethod
    def none(cls, shared: int, first: np.ndarray) -> Preconditioner:
        """phi = theta. shared: G."""
        sizes = [len(block) for block in blocks_of(shared, first)]
        own = [np.hstack([np.zeros((n, shared)), np.eye(n)]) for n in sizes]
        return cls(np.eye(shared), own, np.asarray(first))

    @classmethod
    def of(cls, theta: np.ndarray, shared: int, first: np.ndarray) -> Preconditioner:
        """From draws theta (draw, size), and `shared` and `first` as of `none`."""
        n, G = len(theta), shared
        found = cls.none(G, first)
        found.A[:] = _rounded(_factor(theta[:, :G], n / (n + G)))
        h = found.shared(theta - theta.mean(axis=0))
        scale = h.std(axis=0) + 1e-12
        known = h / scale
        gram = known.T @ known + _RIDGE * np.eye(G)
        for own, block in zip(found.own, found.blocks, strict=True):
            moved = theta[:, block] - theta[:, block].mean(axis=0)
            slope = np.linalg.solve(gram, known.T @ moved)
            factor = _factor(moved - known @ slope, n / (n + len(block)))
            own[:] = _rounded(np.hstack([(slope / scale[:, None]).T, factor]))
        return found

    @property
    def blocks(self) -> list[np.ndarray]:
        """Each benchmark's places among all coordinates."""
        return blocks_of(len(self.A), self.first)

    @cached_property
    def packed(self) -> np.ndarray:
        """All numbers in one row, as `unpack` reads it."""
        parts = [self.A, self.A.T, *self.own, *(own.T for own in self.own)]
        single = np.concatenate([part.ravel() for part in parts]).astype(np.float32)
        return np.append(single, single[: len(single) % 2]).view(np.float64)

    def theta(self, phi: np.ndarray) -> np.ndarray:
        """(..., size)"""
        G = len(self.A)
        theta = np.empty_like(phi)
        theta[..., :G] = phi[..., :G] @ self.A.T
        for own, block in zip(self.own, self.blocks, strict=True):
            theta[..., block] = phi[..., :G] @ own[:, :G].T + phi[..., block] @ own[:, G:].T
        return theta

    def phi(self, theta: np.ndarray) -> np.ndarray:
        """The inverse of `theta`."""
        G = len(self.A)
        phi = np.empty_like(theta)
        phi[..., :G] = self.shared(theta)
        for own, block in zip(self.own, self.blocks, strict=True):
            left = theta[..., block] - phi[..., :G] @ own[:, :G].T
            phi[..., block] = _solve(own[:, G:], left)
        return phi

    def shared(self, theta: np.ndarray) -> np.ndarray:
        """phi_h alone, (..., G)."""
        return _solve(self.A, theta[..., : len(self.A)])

    def shift(self, theta: np.ndarray, b: int) -> np.ndarray:
        """What the coordinates of benchmark b's clusters owe to all others by C_b and W_b. Both
        (..., size) and (..., 4 K_b)."""
        G, own, block = len(self.A), self.own[b], self.blocks[b]
        phi_h = self.shared(theta)
        left = theta[..., block[:N_OWN]] - phi_h @ own[:N_OWN, :G].T
        phi_b = _solve(own[:N_OWN, G : G + N_OWN], left)
        return phi_h @ own[N_OWN:, :G].T + phi_b @ own[N_OWN:, G : G + N_OWN].T


def _solve(factor: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """factor^-1 of each row (..., n)."""
    columns = rows.reshape(-1, len(factor)).T
    return solve_triangular(factor, columns, lower=True, unit_diagonal=True).T.reshape(rows.shape)


def _factor(draws: np.ndarray, trust: float) -> np.ndarray:
    """Lower unit triangular factor of their covariance, correlations shrunk by `trust`."""
    sd = draws.std(axis=0) + 1e-12
    correlation = trust * np.atleast_2d(np.cov((draws / sd).T, ddof=0))
    np.fill_diagonal(correlation, 1.0)
    factor = np.linalg.cholesky(correlation) * sd[:, None]
    return factor / np.diag(factor)


def _rounded(matrix: np.ndarray) -> np.ndarray:
    return matrix.astype(np.float32).astype(np.float64)
