"""How many trials stand behind a mean of item rates.

Item i has the rate y_i / n_i. With a common success probability p, the mean of K such rates has
the variance

    (1 / K^2) sum_i p (1 - p) / n_i  =  p (1 - p) / n,      n = K^2 / sum_i (1 / n_i)

so n is the number of trials whose plain mean is as noisy. It is the sum of the n_i where these are
equal, and less where they are not.
"""

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["trials_of_mean"]


def trials_of_mean(items: ArrayLike, inverse_trials: ArrayLike) -> np.ndarray:
    """n of each mean, from the number of its items K and the sum of 1 / n_i over them.

    Any shapes that broadcast. NaN where a count is unknown (NaN) or there is no item.
    """
    K, inverse = np.asarray(items, dtype=float), np.asarray(inverse_trials, dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        n = K**2 / inverse
        whole = np.rint(n)
        # Equal trials give a whole number up to rounding; this makes it exact.
        return np.where(np.abs(n - whole) <= 1e-9 * n, whole, n)
