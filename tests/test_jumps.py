"""Jumps take a cluster from one of its explanations to another and leave the posterior alone."""

import numpy as np
import pytest
from arviz_stats.base import array_stats
from numpy.testing import assert_array_equal
from seeds import seed

from cod_bayes.model.ladder import LadderData
from cod_bayes.model.spec import load_spec
from cod_bayes.sampling.density import Density
from cod_bayes.sampling.jumps import jump
from cod_bayes.sampling.nuts import sample
from cod_bayes.sampling.preconditioner import Preconditioner

SPEC = load_spec("cod")


def ladder():
    """A cluster that rises and, of the same benchmark, one that stays far above chance; a second
    benchmark."""
    x = np.linspace(20.0, 22.5, 6)
    rising = np.array([0.3, 0.42, 0.55, 0.66, 0.8, 0.93])
    z = np.array([rising, np.full(6, 0.62), rising + 0.1])
    names = [f"m{m}" for m in range(6)]
    of, noise = np.array([0, 0, 1]), np.full((3, 6), 1 / 4000)
    top = np.array([22.5, 22.5])
    chance, ratio = np.full(3, 0.25), np.array([0.5, 0.5, 1.0])
    weight = np.array([0.5, 0.5, 1.0])
    names_k = ["b/0", "b/1", "c/0"]
    return LadderData(["b", "c"], names_k, names, of, x, top, z, noise, chance, ratio, weight)


@pytest.fixture(scope="module")
def sampled():
    """The density, draws theta of converged chains, and a preconditioner of them."""
    jumped = []

    def keep(spec, data, density, preconditioner, theta, seed):
        theta = jump(spec, data, density, preconditioner, theta, seed)
        jumped.append(theta)
        return theta

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cod_bayes.sampling.nuts.jump", keep)
        sample(SPEC, ladder(), random_seed=seed(1), draws=1000, tune=300, progressbar=False)
    density, theta = Density.of(SPEC, ladder()), jumped[-1]
    centred = (theta - theta.mean(axis=1, keepdims=True)).reshape(-1, density.size)
    return density, theta, Preconditioner.of(centred, density.shared, density.first)


def rows(density, k):
    return density.size - 12 + k + 3 * np.arange(4)


def test_chains_that_are_stuck_apart_come_together(sampled):
    density, theta, preconditioner = sampled
    cluster = rows(density, 1)
    # Every chain has a quarter of what the cluster does: by its share above the floor.
    flat = theta.reshape(-1, density.size).copy()
    flat[:, cluster] = flat[np.argsort(flat[:, cluster[2]], kind="stable")][:, cluster]
    stuck = flat.reshape(theta.shape)
    assert array_stats.rhat(stuck[..., cluster[2]], method="rank") > 1.5
    freed = jump(SPEC, ladder(), density, preconditioner, stuck, 7)
    assert array_stats.rhat(freed[..., cluster[2]], method="rank") < 1.05
    g = density.constrain(freed)["g"][..., 1], density.constrain(theta)["g"][..., 1]
    np.testing.assert_allclose(
        np.quantile(g[0], [0.1, 0.5, 0.9]), np.quantile(g[1], [0.1, 0.5, 0.9]), atol=0.03
    )


def test_only_slow_clusters_move_and_a_seed_repeats_it(sampled):
    density, theta, preconditioner = sampled
    rng = np.random.default_rng(seed(0))
    mixed = theta.reshape(-1, density.size)[rng.permutation(theta.shape[0] * theta.shape[1])]
    mixed = mixed.reshape(theta.shape)
    assert_array_equal(jump(SPEC, ladder(), density, preconditioner, mixed, 3), mixed)
    slow = mixed.copy()
    cluster = rows(density, 1)
    slow[..., cluster] = np.repeat(mixed[:, ::20, cluster], 20, axis=1)
    moved = jump(SPEC, ladder(), density, preconditioner, slow, 3)
    assert_array_equal(np.delete(moved, cluster, axis=-1), np.delete(slow, cluster, axis=-1))
    assert (moved[..., cluster] != slow[..., cluster]).any(axis=-1).mean() > 0.3
    assert_array_equal(jump(SPEC, ladder(), density, preconditioner, slow, 3), moved)
    assert (jump(SPEC, ladder(), density, preconditioner, slow, 4) != moved).any()
