"""The change of coordinates: it inverts, its gradient is the transposed one, and it rounds."""

import numpy as np
import pytest
from seeds import seed

from cod_bayes.sampling.density import blocks_of
from cod_bayes.sampling.kernels import (
    N_BENCHMARK,
    PER_CLUSTER,
    gradient_by_phi,
    preconditioner_size,
    theta_of_phi,
    unpack_preconditioner,
)
from cod_bayes.sampling.preconditioner import Preconditioner

G, K = 3, 3
FIRST = np.array([0, 1, 3])  # two benchmarks
SIZE = G + N_BENCHMARK * 2 + PER_CLUSTER * K


def block_arrow(number=0):
    """A covariance like a posterior's: benchmarks depend on the shared coordinates."""
    rng = np.random.default_rng(number)
    mix = np.eye(SIZE)
    mix[:G, :G] += np.tril(rng.normal(0, 1, (G, G)), -1)
    for block in blocks_of(G, FIRST):
        mix[np.ix_(block, range(G))] = rng.normal(0, 1, (len(block), G))
        mix[np.ix_(block, block)] += np.tril(rng.normal(0, 0.3, (len(block), len(block))), -1)
    mix *= np.exp(rng.normal(0, 1, SIZE))
    return mix @ mix.T


def learn(draws=4000):
    cov = block_arrow()
    theta = np.random.default_rng(seed(1)).multivariate_normal(np.zeros(SIZE), cov, draws)
    return Preconditioner.of(theta, G, FIRST), theta


def test_none_changes_nothing():
    phi = np.arange(2.0 * SIZE).reshape(2, SIZE)
    none = Preconditioner.none(G, FIRST)
    np.testing.assert_array_equal(none.theta(phi), phi)
    np.testing.assert_array_equal(none.phi(phi), phi)


def test_there_and_back_is_where_it_began():
    learned, theta = learn()
    np.testing.assert_allclose(learned.theta(learned.phi(theta)), theta, atol=1e-9)
    np.testing.assert_allclose(learned.phi(learned.theta(theta[0])), theta[0], atol=1e-9)


def test_its_determinant_is_one():
    learned, _ = learn()
    matrix = learned.theta(np.eye(SIZE)).T
    assert np.linalg.det(matrix) == pytest.approx(1)


def test_compiled_form_is_the_same_and_gradients_are_its_transpose():
    learned, theta = learn()
    parts = unpack_preconditioner(learned.packed, G, FIRST)
    matrix = learned.theta(np.eye(SIZE)).T
    out, back = np.empty(SIZE), np.empty(SIZE)
    theta_of_phi(theta[0], out, G, *parts)
    np.testing.assert_allclose(out, matrix @ theta[0])
    gradient_by_phi(theta[1], back, G, *parts)
    np.testing.assert_allclose(back, matrix.T @ theta[1])


def test_its_numbers_are_those_that_are_packed():
    learned, _ = learn()
    for matrix in (learned.A, *learned.C_W):
        np.testing.assert_array_equal(matrix.astype(np.float32), matrix)
    assert len(learned.packed) == preconditioner_size(G, FIRST)
    np.testing.assert_array_equal(learned.packed.view(np.float32)[: G * G], learned.A.ravel())


def test_clusters_are_predicted_from_all_other_coordinates():
    learned, theta = learn()
    for b, block in enumerate(learned.blocks):
        residual = theta.copy()
        residual[:, block[N_BENCHMARK:]] -= learned.predict_clusters(theta, b)
        residual[:, block[:N_BENCHMARK]] = residual[:, :G] = 0
        phi = learned.phi(residual)[:, block[N_BENCHMARK:]]
        np.testing.assert_allclose(phi, learned.phi(theta)[:, block[N_BENCHMARK:]], atol=1e-9)


def test_many_draws_make_the_posterior_round():
    learned, theta = learn(20_000)
    plain = np.corrcoef(theta.T) - np.eye(SIZE)
    after = np.corrcoef(learned.phi(theta).T) - np.eye(SIZE)
    assert abs(plain).max() > 0.7
    assert abs(after).max() < 0.1


def test_few_draws_are_no_proof():
    theta = np.random.default_rng(seed(2)).normal(size=(6, SIZE))
    learned = Preconditioner.of(theta, G, FIRST)
    assert np.isfinite(learned.packed).all()
    plain = Preconditioner.of(np.random.default_rng(seed(2)).normal(size=(6000, SIZE)), G, FIRST)
    assert abs(plain.C_W[0][:, :G]).max() < 0.1


def test_draws_that_do_not_move_are_survived():
    learned = Preconditioner.of(np.ones((50, SIZE)), G, FIRST)
    assert np.isfinite(learned.packed).all()
