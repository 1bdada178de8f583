"""Ladders made of random numbers, and points in the fast engine's coordinates."""

import numpy as np
from seeds import seed

from cod_bayes.model.ladder import LadderData
from cod_bayes.model.spec import load_spec
from cod_bayes.sampling.density import Density

SPEC = load_spec("cod")


def ladder(clusters, models, seed=seed(0), missing=0.2):
    """Clusters per benchmark; the last benchmark lacks the largest model, if there are several."""
    rng = np.random.default_rng(seed)
    of_cluster = np.repeat(np.arange(len(clusters)), clusters)
    K, B = sum(clusters), len(clusters)
    x = 19 + np.cumsum(rng.uniform(0.3, 0.9, models))
    top = np.full(B, models - 1)
    noise = 1 / (4 * rng.uniform(50, 3000, (K, models)))
    noise[rng.random((K, models)) < missing] = np.inf
    noise[0, 0] = np.inf  # one cell is missing whatever the seed
    noise[:, -2] = 1e-3
    if B > 1:
        top[-1] = models - 2
        noise[of_cluster == B - 1, -1] = np.inf
    z = np.where(np.isfinite(noise), rng.uniform(0.2, 1.4, (K, models)), 0.0)
    chance = rng.choice([np.nan, 0.0, 0.25], K)
    chance[0] = np.nan
    weight = rng.uniform(1, 2, K)
    return LadderData(
        [f"b{b}" for b in range(B)],
        [f"k{k}" for k in range(K)],
        [f"m{m}" for m in range(models)],
        of_cluster,
        x,
        x[top],
        z,
        noise,
        chance,
        rng.uniform(0.3, 1.6, K),
        weight / np.bincount(of_cluster, weight)[of_cluster],
    )


EVIDENCE = {
    "one": ladder([3], 6, seed=seed(1)),
    "several": ladder([2, 4, 1], 5, seed=seed(2)),
    # More clusters than a block of the kernels has, more models than a product of variances.
    "large": ladder([3, 11, 1], 18, seed=seed(3)),
}


def points(data, n, spread=0.6, seed=seed(5)):
    """Near where the climb to the mode starts. (n, size)"""
    density = Density.of(SPEC, data)
    rng = np.random.default_rng(seed)
    return density.start_values + rng.normal(0, spread, (n, density.size))
