"""The change of coordinates: it inverts, its gradient is the transposed one, and it rounds."""

import numpy as np
import pytest
from seeds import seed

from cod_bayes.sampling.density import blocks_of
from cod_bayes.sampling.kernels import N_OWN, PER_CLUSTER, gather, size_of, stretch, unpack
from cod_bayes.sampling.preconditioner import Preconditioner

G, K = 3, 3
FIRST = np.array([0, 1, 3])  # two benchmarks
SIZE = G + N_OWN * 2 + PER_CLUSTER * K


def block_arrow(seed=seed(0)):
    """A covariance of the kind that is meant: shared coordinates, and benchmarks that depend on
    them."""
    rng = np.random.default_rng(seed)
    mix = np.eye(SIZE)
    mix[:G, :G] += np.tril(rng.normal(0, 1, (G, G)), -1)
    for own in blocks_of(G, FIRST):
        mix[np.ix_(own, range(G))] = rng.normal(0, 1, (len(own), G))
        mix[np.ix_(own, own)] += np.tril(rng.normal(0, 0.3, (len(own), len(own))), -1)
    mix *= np.exp(rng.normal(0, 1, SIZE))
    return mix @ mix.T


def learned(draws=4000):
    cov = block_arrow()
    theta = np.random.default_rng(seed(1)).multivariate_normal(np.zeros(SIZE), cov, draws)
    return Preconditioner.of(theta, G, FIRST), theta


def test_none_changes_nothing():
    phi = np.arange(2.0 * SIZE).reshape(2, SIZE)
    none = Preconditioner.none(G, FIRST)
    np.testing.assert_array_equal(none.theta(phi), phi)
    np.testing.assert_array_equal(none.phi(phi), phi)


def test_there_and_back_is_where_it_began():
    found, theta = learned()
    np.testing.assert_allclose(found.theta(found.phi(theta)), theta, atol=1e-9)
    np.testing.assert_allclose(found.phi(found.theta(theta[0])), theta[0], atol=1e-9)


def test_its_determinant_is_one():
    found, _ = learned()
    matrix = found.theta(np.eye(SIZE)).T
    assert np.linalg.det(matrix) == pytest.approx(1)


def test_compiled_form_is_the_same_and_gradients_are_its_transpose():
    found, theta = learned()
    parts = unpack(found.packed, G, FIRST)
    matrix = found.theta(np.eye(SIZE)).T
    out, back = np.empty(SIZE), np.empty(SIZE)
    stretch(theta[0], out, G, *parts)
    np.testing.assert_allclose(out, matrix @ theta[0])
    gather(theta[1], back, G, *parts)
    np.testing.assert_allclose(back, matrix.T @ theta[1])


def test_its_numbers_are_those_that_are_packed():
    found, _ = learned()
    for matrix in (found.A, *found.own):
        np.testing.assert_array_equal(matrix.astype(np.float32), matrix)
    assert len(found.packed) == size_of(G, FIRST)
    np.testing.assert_array_equal(found.packed.view(np.float32)[: G * G], found.A.ravel())


def test_a_shift_leaves_of_a_cluster_what_no_shared_coordinate_explains():
    found, theta = learned()
    for b, own in enumerate(found.blocks):
        left = theta.copy()
        left[:, own[N_OWN:]] -= found.shift(theta, b)
        left[:, own[:N_OWN]] = left[:, :G] = 0
        phi = found.phi(left)[:, own[N_OWN:]]
        np.testing.assert_allclose(phi, found.phi(theta)[:, own[N_OWN:]], atol=1e-9)


def test_many_draws_make_the_posterior_round():
    found, theta = learned(20_000)
    plain = np.corrcoef(theta.T) - np.eye(SIZE)
    left = np.corrcoef(found.phi(theta).T) - np.eye(SIZE)
    assert abs(plain).max() > 0.7
    assert abs(left).max() < 0.1


def test_few_draws_are_no_proof():
    theta = np.random.default_rng(seed(2)).normal(size=(6, SIZE))
    found = Preconditioner.of(theta, G, FIRST)
    assert np.isfinite(found.packed).all()
    plain = Preconditioner.of(np.random.default_rng(seed(2)).normal(size=(6000, SIZE)), G, FIRST)
    assert abs(plain.own[0][:, :G]).max() < 0.1


def test_draws_that_do_not_move_are_survived():
    found = Preconditioner.of(np.ones((50, SIZE)), G, FIRST)
    assert np.isfinite(found.packed).all()
