"""Improved MeanShift: clusters of items that are difficult in the same way (COD: 4.1, A.1, A.2).

Mean shift with a flat kernel moves every seed m, one seed at each item x_i, uphill:

    m <- mean{ x_i : |x_i - m| <= R }        until |step| <= R / 1000 (at most 300 further steps)

Of the end points at most R apart only the one with most items in its ball stays: a centre. Every
item goes to its nearest centre. The improvement is a loop (Algorithm 1) with a fixed radius

    R = min(estimate_bandwidth(quantile Q), U),     U = sqrt(n_features) / 10

    repeat on all items that are still unlabelled:
        mean shift with radius R
        take back the label of an item farther than R from its cluster's centre
        dissolve clusters of fewer than K items
        give what remains fresh labels
    until a round labels nothing

What is left over is an outlier, label -1. So are items at zero over the whole ladder: they are set
aside first and never enter.

The result is that of `sklearn.cluster.MeanShift` in the same loop, label for label;
`cod_bayes.clustering.ball_sums` computes it. A round on more than 32,768 distinct vectors has
seeds at 256
of them only (a fixed draw), as `MeanShift(seeds=...)`.
"""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import validate_data

from cod_bayes.clustering.ball_sums import (
    exact_sums,
    improved_mean_shift,
    mean_shift,
    radius,
    set_aside_zero,
    smooth_over_ladder,
)

__all__ = [
    "ImprovedMeanShift",
    "exact_sums",
    "mean_shift",
    "radius",
    "set_aside_zero",
    "smooth_over_ladder",
]


class ImprovedMeanShift(ClusterMixin, BaseEstimator):
    """COD's Improved MeanShift (A.2, Algorithm 1); the loop is in the module's docstring.

    Parameters
    ----------
    min_cluster_size: K; clusters of fewer items are dissolved.
    quantile: Q of `sklearn.cluster.estimate_bandwidth`, taken on at most 2,000 rows (a fixed draw).
    max_radius: U, the largest radius R allowed; None means sqrt(n_features) / 10, a tenth of the
        largest distance between two vectors of pass rates.

    Attributes
    ----------
    labels_: (item,), 0, 1, .. by round and by falling density within one; -1 outlier.
    cluster_centers_: (cluster, feature), by label; no member is farther than radius_ from its own.
    radius_: R; NaN where no item has a non-zero feature.
    zero_mask_: (item,), True for the zero-performance items set aside.
    """

    def __init__(
        self, min_cluster_size: int = 10, quantile: float = 0.1, max_radius: float | None = None
    ) -> None:
        self.min_cluster_size = min_cluster_size
        self.quantile = quantile
        self.max_radius = max_radius

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Cluster X (item, feature), all finite: the smoothed pass rates over the ladder.

        Raises ValueError for a cluster size below 1, a radius that is not positive, or a value that
        is missing or infinite.
        """
        x = validate_data(self, X, dtype=np.float64)
        found = improved_mean_shift(x, self.min_cluster_size, self.quantile, self.max_radius)
        self.labels_, self.cluster_centers_, self.radius_, self.zero_mask_ = found
        return self
