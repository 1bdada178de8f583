"""A linear change of coordinates, learned from draws, after which a posterior looks round.

Precise data tie a cluster's four coordinates together, to those of its benchmark's other clusters,
with which it shares shocks, and to what all clusters share; a sampler that scales one coordinate at
a time then takes steps as small as the narrowest direction. With theta the density's coordinates, h
the G shared ones and b all those of one benchmark's clusters,

    theta_h = A phi_h,      theta_b = W_b phi_b + C_b phi_h,      A and W_b lower unit triangular

has determinant 1, so that log densities need no correction. A is the Cholesky factor of the draws'
covariance of theta_h, C_b their regression of theta_b on phi_h, W_b the factor of what is left. Few
draws are no proof of a correlation: each is shrunk by what chance makes of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
from scipy.linalg import solve_triangular

from cod_bayes.vector_math import FAST

PER_CLUSTER = 4
_RIDGE = 20.0  # draws' worth of doubt about a regression on shared coordinates


@dataclass(frozen=True)
class Preconditioner:
    """Attributes:
    A: (G, G). C: (4 K, G), rows as the coordinates stand, one coordinate of every cluster after
        the other. W: per benchmark (4 K_b, 4 K_b), rows and columns in the same order.
    first: (B + 1,) where each benchmark's clusters begin.
    """

    A: np.ndarray
    C: np.ndarray
    W: list[np.ndarray]
    first: np.ndarray

    @classmethod
    def none(cls, shared: int, first: np.ndarray) -> Preconditioner:
        """phi = theta."""
        own = [np.eye(PER_CLUSTER * size) for size in np.diff(first)]
        C = np.zeros((PER_CLUSTER * first[-1], shared))
        return cls(np.eye(shared), C, own, np.asarray(first))

    @classmethod
    def of(cls, theta: np.ndarray, seen: np.ndarray, first: np.ndarray) -> Preconditioner:
        """From draws theta (draw, size); seen (K, G): which shared coordinates touch a cluster."""
        n, G = len(theta), seen.shape[1]
        found = cls.none(G, first)
        found.A[:] = _factor(theta[:, :G], n / (n + G))
        h = found.shared(theta - theta.mean(axis=0))
        scale = h.std(axis=0) + 1e-12
        for b, rows in enumerate(found.rows):
            own = theta[:, G + rows] - theta[:, G + rows].mean(axis=0)
            touch = seen[first[b]]
            known = h[:, touch] / scale[touch]
            gram = known.T @ known + _RIDGE * np.eye(known.shape[1])
            slope = np.linalg.solve(gram, known.T @ own)
            found.C[np.ix_(rows, touch)] = (slope / scale[touch, None]).T
            found.W[b][:] = _factor(own - known @ slope, n / (n + len(rows)))
        return found

    @property
    def rows(self) -> list[np.ndarray]:
        """Each benchmark's rows of C."""
        steps = self.first[-1] * np.arange(PER_CLUSTER)[:, None]
        pairs = zip(self.first, self.first[1:], strict=False)
        return [(steps + np.arange(low, high)).ravel() for low, high in pairs]

    @cached_property
    def packed(self) -> np.ndarray:
        """All numbers in one row, as `unpack` reads it."""
        parts = [self.A, self.A.T, self.C, self.C.T, *self.W, *(W.T for W in self.W)]
        return np.concatenate([part.ravel() for part in parts])

    def theta(self, phi: np.ndarray) -> np.ndarray:
        """(..., size)"""
        G = len(self.A)
        theta = np.concatenate([phi[..., :G] @ self.A.T, phi[..., :G] @ self.C.T], axis=-1)
        for rows, W in zip(self.rows, self.W, strict=True):
            theta[..., G + rows] += phi[..., G + rows] @ W.T
        return theta

    def phi(self, theta: np.ndarray) -> np.ndarray:
        """The inverse of `theta`."""
        G = len(self.A)
        phi = np.empty_like(theta)
        phi[..., :G] = self.shared(theta)
        for rows, W in zip(self.rows, self.W, strict=True):
            phi[..., G + rows] = _solve(W, theta[..., G + rows] - phi[..., :G] @ self.C[rows].T)
        return phi

    def shared(self, theta: np.ndarray) -> np.ndarray:
        """phi_h alone, (..., G)."""
        return _solve(self.A, theta[..., : len(self.A)])


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


@numba.njit(cache=True, nogil=True)
def unpack(p, G, first):
    """A, its transpose, C, its transpose, W, its transpose, and `first`, of `packed`."""
    width, i = PER_CLUSTER * first[-1], 0
    A, i = p[i : i + G * G].reshape((G, G)), i + G * G
    A_T, i = p[i : i + G * G].reshape((G, G)), i + G * G
    C, i = p[i : i + width * G].reshape((width, G)), i + width * G
    C_T, i = p[i : i + width * G].reshape((G, width)), i + width * G
    own = own_size(first)
    return A, A_T, C, C_T, p[i : i + own], p[i + own : i + 2 * own], first


@numba.njit(cache=True, nogil=True)
def own_size(first):
    """Numbers in all W_b."""
    total = 0
    for b in range(len(first) - 1):
        total += (PER_CLUSTER * (first[b + 1] - first[b])) ** 2
    return total


@numba.njit(**FAST)
def _add(out, row, factor):
    """out += factor row; many at a time, where a sum over the row would go one by one."""
    for i in range(len(row)):
        out[i] += factor * row[i]


@numba.njit(**FAST)
def _take(rows, first, b, own):
    """One benchmark's part of `rows` (4 K,), in one piece."""
    K, size = first[-1], first[b + 1] - first[b]
    for c in range(PER_CLUSTER):
        for i in range(size):
            own[c * size + i] = rows[c * K + first[b] + i]


@numba.njit(**FAST)
def _put(rows, first, b, own):
    """Adds what `_take` takes."""
    K, size = first[-1], first[b + 1] - first[b]
    for c in range(PER_CLUSTER):
        for i in range(size):
            rows[c * K + first[b] + i] += own[c * size + i]


@numba.njit(**FAST)
def stretch(phi, theta, A, A_T, C, C_T, W, W_T, first):
    """theta of phi, in place."""
    G, start = len(A), 0
    theta[:] = 0.0
    for j in range(G):
        _add(theta[:G], A_T[j], phi[j])
        _add(theta[G:], C_T[j], phi[j])
    given, made = np.empty(len(C)), np.empty(len(C))
    for b in range(len(first) - 1):
        n = PER_CLUSTER * (first[b + 1] - first[b])
        _take(phi[G:], first, b, given)
        made[:n] = 0.0
        for j in range(n):  # W_b is lower triangular
            _add(made[j:n], W_T[start + j * n + j : start + (j + 1) * n], given[j])
        _put(theta[G:], first, b, made)
        start += n * n


@numba.njit(**FAST)
def gather(by_theta, by_phi, A, A_T, C, C_T, W, W_T, first):
    """A gradient by theta to one by phi, in place."""
    G, start = len(A), 0
    by_phi[:] = 0.0
    for i in range(G):
        _add(by_phi[:G], A[i], by_theta[i])
    for i in range(len(C)):
        _add(by_phi[:G], C[i], by_theta[G + i])
    given, made = np.empty(len(C)), np.empty(len(C))
    for b in range(len(first) - 1):
        n = PER_CLUSTER * (first[b + 1] - first[b])
        _take(by_theta[G:], first, b, given)
        made[:n] = 0.0
        for i in range(n):
            _add(made[: i + 1], W[start + i * n : start + i * n + i + 1], given[i])
        _put(by_phi[G:], first, b, made)
        start += n * n
