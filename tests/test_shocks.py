"""Shocks drawn after the fast engine are those of the statement's joint density."""

import numpy as np
import pytest
from ladders import EVIDENCE, SPEC, points
from seeds import seed
from stated import stated

from cod_bayes.sampling.density import Density
from cod_bayes.sampling.shocks import complete

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTensor's own, about BLAS and compilers
DRAWS = 20_000


@pytest.mark.parametrize("key", ["one", "several"])
def test_shocks_have_the_mean_and_the_precision_of_the_joint_density(key):
    data = EVIDENCE[key]
    density = Density.of(SPEC, data)
    below = np.arange(len(data.model)) != data.top[:, None]
    for theta in points(data, 2):
        mean, precision = stated(key).shocks_given(theta)
        p = density.constrain(np.tile(theta, (DRAWS, 1)))
        every = complete(data, p, np.random.default_rng(seed(3)))
        steps = every["omega_step"].reshape(DRAWS, -1)
        s = np.concatenate([every["delta_benchmark"][:, below], steps], axis=1)
        # Whitened by the density's normal, they are standard normal to within Monte Carlo error.
        white = (s - mean) @ np.linalg.cholesky(precision)
        assert abs(white.mean(axis=0)).max() < 5 / np.sqrt(DRAWS)
        assert abs(np.cov(white.T) - np.eye(len(mean))).max() < 5 * np.sqrt(2 / DRAWS)


def test_the_rest_follows_from_the_draws():
    data = EVIDENCE["several"]
    p = Density.of(SPEC, data).constrain(points(data, 6).reshape(2, 3, -1))
    every = complete(data, p, np.random.default_rng(seed(1)))
    for b, top in enumerate(data.top):
        walk = np.einsum("mj,...j->...m", data.walk[b], every["omega_step"][..., b, :])
        omega = every["sigma_omega"][..., b, None] * walk
        np.testing.assert_allclose(every["omega"][..., b, :], omega)
        np.testing.assert_array_equal(every["omega"][..., b, top], 0)
        np.testing.assert_array_equal(every["delta_benchmark"][..., b, top], p["lead"][..., b])
    np.testing.assert_allclose(np.exp(every["log_beta"]), every["beta"])
    spread = np.exp(every["mu_omega"])[..., None] * every["spread_omega"]
    np.testing.assert_allclose(spread, every["sigma_omega"])
    assert all(np.array_equal(every[name], value) for name, value in p.items())
