"""A linear change of coordinates, learned from draws, after which a posterior looks round.

Precise data tie a cluster's four coordinates together, to those of its benchmark's other clusters,
with which it shares shocks, and to what all clusters share; a sampler that scales one coordinate at
a time then takes steps as small as the narrowest direction. With theta the density's coordinates, h
the G shared ones and b all those of one benchmark's clusters,

    theta_h = A phi_h,      theta_b = W_b phi_b + C_b phi_h,      A and W_b lower unit triangular

has determinant 1, so that log densities need no correction. A is the Cholesky factor of the draws'
covariance of theta_h, C_b their regression of theta_b on those of phi_h that touch the benchmark,
W_b the factor of what is left. Few draws are no proof of a correlation: each is shrunk by what
chance makes of it. Single precision is enough to say how coordinates change, and half to read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import solve_triangular

from cod_bayes.sampling.kernels import PER_CLUSTER

_RIDGE = 20.0  # draws' worth of doubt about a regression on shared coordinates


@dataclass(frozen=True)
class Preconditioner:
    """All numbers are ones that single precision has.

    Attributes:
        A: (G, G).
        own: per benchmark C_b beside W_b, (4 K_b, T + 4 K_b); rows, and W_b's columns, are one
            coordinate of every cluster after the other.
        touch: (B, T) which of the G shared coordinates touch a benchmark.
        first: (B + 1,) where each benchmark's clusters begin.
    """

    A: np.ndarray
    own: list[np.ndarray]
    touch: np.ndarray
    first: np.ndarray

    @classmethod
    def none(cls, seen: np.ndarray, first: np.ndarray) -> Preconditioner:
        """phi = theta. seen (K, G): which shared coordinates touch a cluster, as many of each."""
        touch = np.array([np.flatnonzero(seen[low]) for low in first[:-1]])
        sizes = PER_CLUSTER * np.diff(first)
        own = [np.hstack([np.zeros((n, touch.shape[1])), np.eye(n)]) for n in sizes]
        return cls(np.eye(seen.shape[1]), own, touch, np.asarray(first))

    @classmethod
    def of(cls, theta: np.ndarray, seen: np.ndarray, first: np.ndarray) -> Preconditioner:
        """From draws theta (draw, size), and `seen` and `first` as of `none`."""
        n, G = len(theta), seen.shape[1]
        found = cls.none(seen, first)
        found.A[:] = _rounded(_factor(theta[:, :G], n / (n + G)))
        h = found.shared(theta - theta.mean(axis=0))
        scale = h.std(axis=0) + 1e-12
        for own, touch, rows in zip(found.own, found.touch, found.rows, strict=True):
            moved = theta[:, G + rows] - theta[:, G + rows].mean(axis=0)
            known = h[:, touch] / scale[touch]
            gram = known.T @ known + _RIDGE * np.eye(len(touch))
            slope = np.linalg.solve(gram, known.T @ moved)
            factor = _factor(moved - known @ slope, n / (n + len(rows)))
            own[:] = _rounded(np.hstack([(slope / scale[touch, None]).T, factor]))
        return found

    @property
    def rows(self) -> list[np.ndarray]:
        """Each benchmark's places among the clusters' own coordinates."""
        steps = self.first[-1] * np.arange(PER_CLUSTER)[:, None]
        pairs = zip(self.first, self.first[1:], strict=False)
        return [(steps + np.arange(low, high)).ravel() for low, high in pairs]

    @cached_property
    def packed(self) -> np.ndarray:
        """All numbers in one row, as `unpack` reads it."""
        parts = [self.touch, self.A, self.A.T, *self.own, *(own.T for own in self.own)]
        single = np.concatenate([part.ravel() for part in parts]).astype(np.float32)
        return np.append(single, single[: len(single) % 2]).view(np.float64)

    def theta(self, phi: np.ndarray) -> np.ndarray:
        """(..., size)"""
        G = len(self.A)
        theta = np.empty_like(phi)
        theta[..., :G] = phi[..., :G] @ self.A.T
        for own, touch, rows in zip(self.own, self.touch, self.rows, strict=True):
            theta[..., G + rows] = phi[..., np.concatenate([touch, G + rows])] @ own.T
        return theta

    def phi(self, theta: np.ndarray) -> np.ndarray:
        """The inverse of `theta`."""
        G = len(self.A)
        phi = np.empty_like(theta)
        phi[..., :G] = self.shared(theta)
        left = theta[..., G:] - self.shift(phi[..., :G])
        for own, rows in zip(self.own, self.rows, strict=True):
            phi[..., G + rows] = _solve(own[:, -len(own) :], left[..., rows])
        return phi

    def shared(self, theta: np.ndarray) -> np.ndarray:
        """phi_h alone, (..., G)."""
        return _solve(self.A, theta[..., : len(self.A)])

    def shift(self, phi_h: np.ndarray) -> np.ndarray:
        """What the clusters' own coordinates owe to the shared ones, C phi_h. (..., 4 K)"""
        shift = np.empty((*phi_h.shape[:-1], PER_CLUSTER * self.first[-1]))
        for own, touch, rows in zip(self.own, self.touch, self.rows, strict=True):
            shift[..., rows] = phi_h[..., touch] @ own[:, : len(touch)].T
        return shift


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
