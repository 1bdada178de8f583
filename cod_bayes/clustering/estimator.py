"""Improved MeanShift with scikit-learn's interface."""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import validate_data

from cod_bayes.clustering.mean_shift import improved_mean_shift

__all__ = ["ImprovedMeanShift"]


class ImprovedMeanShift(ClusterMixin, BaseEstimator):
    """COD's Improved MeanShift (A.2, Algorithm 1); see `cod_bayes.clustering.mean_shift`.

    Parameters
    ----------
    min_cluster_size: K; clusters of fewer items are dissolved.
    quantile: Q of `sklearn.cluster.estimate_bandwidth`, taken on at most 2,000 rows (a fixed draw).
    max_radius: U, the largest radius R allowed; None means sqrt(n_features) / 10, a tenth of the
        largest distance between two vectors of pass rates.

    Attributes
    ----------
    labels_, cluster_centers_, radius_, zero_mask_: the fields of `MeanShiftResult`.
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
        result = improved_mean_shift(x, self.min_cluster_size, self.quantile, self.max_radius)
        self.labels_, self.cluster_centers_, self.radius_, self.zero_mask_ = result
        return self
