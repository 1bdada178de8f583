"""A linear change of coordinates, learned from draws, after which a posterior looks round.

Precise data tie a cluster's four coordinates together and to what all clusters share; a sampler
that scales one coordinate at a time then takes steps as small as the narrowest direction. With
theta the density's coordinates, h the G shared ones and k one cluster's four,

    theta_h = A phi_h,      theta_k = W_k phi_k + C_k phi_h,      A and W_k lower unit triangular

has determinant 1, so that log densities need no correction. A is the Cholesky factor of the draws'
covariance of theta_h, C_k their regression of theta_k on phi_h, W_k the factor of what is left. Few
draws are no proof of a correlation: each is shrunk by what chance makes of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np

from cod_bayes.vector_math import FAST

PER_CLUSTER = 4
_RIDGE = 20.0  # draws' worth of doubt about a regression on shared coordinates


@dataclass(frozen=True)
class Preconditioner:
    """Attributes: A (G, G), C (4 K, G), W (4 K, 4); rows of C and W as the coordinates stand,
    one coordinate of every cluster after the other."""

    A: np.ndarray
    C: np.ndarray
    W: np.ndarray

    @classmethod
    def none(cls, shared: int, clusters: int) -> Preconditioner:
        """phi = theta."""
        width = PER_CLUSTER * clusters
        own = np.repeat(np.eye(PER_CLUSTER), clusters, axis=0)
        return cls(np.eye(shared), np.zeros((width, shared)), own)

    @classmethod
    def of(cls, theta: np.ndarray, seen: np.ndarray) -> Preconditioner:
        """From draws theta (draw, size); seen (K, G): which shared coordinates touch a cluster."""
        n, (K, G) = len(theta), seen.shape
        found = cls.none(G, K)
        found.A[:] = _factor(theta[:, :G], n / (n + G))
        h = np.linalg.solve(found.A, (theta[:, :G] - theta[:, :G].mean(0)).T).T
        scale = h.std(axis=0) + 1e-12
        for k in range(K):
            rows = k + K * np.arange(PER_CLUSTER)
            own = theta[:, G + rows] - theta[:, G + rows].mean(axis=0)
            known = h[:, seen[k]] / scale[seen[k]]
            gram = known.T @ known + _RIDGE * np.eye(known.shape[1])
            slope = np.linalg.solve(gram, known.T @ own)
            found.C[np.ix_(rows, seen[k])] = (slope / scale[seen[k], None]).T
            found.W[rows] = _factor(own - known @ slope, n / (n + PER_CLUSTER))
        return found

    @cached_property
    def packed(self) -> np.ndarray:
        """All numbers in one row, as `unpack` reads it."""
        parts = (self.A, self.A.T, self.C, self.C.T, self.W)
        return np.concatenate([part.ravel() for part in parts])

    def theta(self, phi: np.ndarray) -> np.ndarray:
        """(..., size)"""
        G = len(self.A)
        own = phi[..., G:].reshape(*phi.shape[:-1], PER_CLUSTER, -1)
        W = self.W.reshape(PER_CLUSTER, -1, PER_CLUSTER)
        own = np.einsum("rkc,...ck->...rk", W, own).reshape(*phi.shape[:-1], -1)
        return np.concatenate([phi[..., :G] @ self.A.T, own + phi[..., :G] @ self.C.T], axis=-1)

    def phi(self, theta: np.ndarray) -> np.ndarray:
        """The inverse of `theta`."""
        G = len(self.A)
        h = np.linalg.solve(self.A, theta[..., :G, None])[..., 0]
        own = (theta[..., G:] - h @ self.C.T).reshape(*theta.shape[:-1], PER_CLUSTER, -1)
        W = self.W.reshape(PER_CLUSTER, -1, PER_CLUSTER).transpose(1, 0, 2)
        own = np.linalg.solve(W, np.moveaxis(own, -2, -1)[..., None])[..., 0]
        return np.concatenate([h, np.moveaxis(own, -1, -2).reshape(*theta.shape[:-1], -1)], axis=-1)


def _factor(draws: np.ndarray, trust: float) -> np.ndarray:
    """Lower unit triangular factor of their covariance, correlations shrunk by `trust`."""
    sd = draws.std(axis=0) + 1e-12
    correlation = trust * np.atleast_2d(np.cov((draws / sd).T, ddof=0))
    np.fill_diagonal(correlation, 1.0)
    factor = np.linalg.cholesky(correlation) * sd[:, None]
    return factor / np.diag(factor)


@numba.njit(cache=True, nogil=True)
def unpack(p, G, K):
    """A, its transpose, C, its transpose, and W of `Preconditioner.packed`."""
    width, i = PER_CLUSTER * K, 0
    A, i = p[i : i + G * G].reshape((G, G)), i + G * G
    A_T, i = p[i : i + G * G].reshape((G, G)), i + G * G
    C, i = p[i : i + width * G].reshape((width, G)), i + width * G
    C_T, i = p[i : i + width * G].reshape((G, width)), i + width * G
    return A, A_T, C, C_T, p[i : i + width * PER_CLUSTER].reshape((width, PER_CLUSTER))


@numba.njit(**FAST)
def _add(out, row, factor):
    """out += factor row; many at a time, where a sum over the row would go one by one."""
    for i in range(len(row)):
        out[i] += factor * row[i]


@numba.njit(**FAST)
def stretch(phi, theta, A, A_T, C, C_T, W):
    """theta of phi, in place."""
    G, K = len(A), len(W) // PER_CLUSTER
    theta[:] = 0.0
    for j in range(G):
        _add(theta[:G], A_T[j], phi[j])
        _add(theta[G:], C_T[j], phi[j])
    for i in range(len(W)):
        for c in range(PER_CLUSTER):
            theta[G + i] += W[i, c] * phi[G + c * K + i % K]


@numba.njit(**FAST)
def gather(by_theta, by_phi, A, A_T, C, C_T, W):
    """A gradient by theta to one by phi, in place."""
    G, K = len(A), len(W) // PER_CLUSTER
    by_phi[:] = 0.0
    for i in range(G):
        _add(by_phi[:G], A[i], by_theta[i])
    for i in range(len(C)):
        _add(by_phi[:G], C[i], by_theta[G + i])
        for c in range(PER_CLUSTER):
            by_phi[G + c * K + i % K] += W[i, c] * by_theta[G + i]
