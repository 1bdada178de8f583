"""The curves of one benchmark's clusters, read from a posterior draw by draw.

A posterior holds curves in one of two forms: the parameters of `cod_bayes.model.equations`, or, for
a model of another curve family, a table `accuracy` over distances `ahead` from the largest ladder
model, which is interpolated linearly in arcsine root.

A cluster is predictable in a draw (COD 4.3) if at the largest ladder model the answer loss of its
mean accuracy, -log((y - g) / (1 - g)), is below 3 (it has emerged), if that loss falls by more than
0.1 log(10) a decade in its logarithm (the paper's b > 0.1), and if the loss that remains whatever
the compute is below 1 (the paper's c < 1). Of a table, the floor is its first value, what remains
is read off its last, and the fall is that of the last decade of the ladder.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from cod_bayes.model.equations import accuracy, radians
from cod_bayes.model.variables import CURVE

MAX_LOSS = 3.0
MIN_SLOPE = 0.1 * np.log(10)
MAX_CEILING_LOSS = 1.0
_NEAR_ZERO = 1e-12
_AT_ONCE = 800  # draws, so that the arrays of `means` stay in a processor's cache


def in_a_row(draws: xr.DataArray, *dims: str) -> np.ndarray:
    """The draws of all chains one after the other, in NumPy alone. (draw, *dims)"""
    variable = draws.variable.transpose("chain", "draw", *dims)
    return variable.values.reshape(-1, *variable.shape[2:])


@dataclass(frozen=True)
class Curves:
    """Curves of some clusters.

    Attributes:
        draws: parameters by name, each (draw, cluster); or "accuracy" alone, (draw, cluster, ahead)
            in radians.
        ahead: (ahead,) decades, of a table; else None.
    """

    draws: dict[str, np.ndarray]
    ahead: np.ndarray | None = None

    @classmethod
    def of(cls, draws: xr.Dataset, constant: xr.Dataset, clusters: np.ndarray) -> Curves:
        """Of a posterior's clusters with these indices; draws of all chains in one row."""
        if "accuracy" in draws:
            table = in_a_row(draws["accuracy"], "cluster", "ahead")[:, clusters]
            return cls({"accuracy": radians(table)}, draws["ahead"].values)
        value = {name: in_a_row(draws[name], "cluster")[:, clusters] for name in CURVE}
        names = draws["benchmark"].values.tolist()
        of = [names.index(name) for name in constant["benchmark_of_cluster"].values[clusters]]
        nu = in_a_row(draws["nu"], "benchmark")[:, of]
        return cls(value | {"nu": nu * constant["nu_ratio"].values[clusters]})

    def at(self, k: int, ahead: np.ndarray) -> np.ndarray:
        """Accuracy of cluster k. ahead: decades from the largest ladder model, (compute,) or
        (draw, compute). (draw, compute)"""
        if self.ahead is None:
            return accuracy(ahead, **{name: v[:, k, None] for name, v in self.draws.items()})
        table = self.draws["accuracy"][:, k]
        ahead = np.broadcast_to(ahead, (len(table), np.shape(ahead)[-1]))
        right = np.clip(np.searchsorted(self.ahead, ahead), 1, len(self.ahead) - 1)
        low, high = self.ahead[right - 1], self.ahead[right]
        share = np.clip((ahead - low) / (high - low), 0, 1)
        left, rest = (np.take_along_axis(table, at, axis=1) for at in (right - 1, right))
        return np.sin(left + share * (rest - left)) ** 2

    def means(self, ahead: np.ndarray, *weights: np.ndarray) -> np.ndarray:
        """Weighted sums of the clusters' accuracies at many points (compute,), in single precision
        and without the care of `softplus`: five times as fast as `at`.

        weights: each (cluster,). (weights, draw, compute)
        """
        draws, clusters = next(iter(self.draws.values())).shape[:2]
        sums = np.zeros((len(weights), draws, len(ahead)), np.float32)
        for start in range(0, draws, _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            some = Curves({name: v[part] for name, v in self.draws.items()}, self.ahead)
            for k in range(clusters):
                y = some._single(k, ahead)
                for into, weight in zip(sums, weights, strict=True):
                    into[part] += np.float32(weight[k]) * y
        return sums

    def _single(self, k: int, ahead: np.ndarray) -> np.ndarray:
        if self.ahead is not None:
            return self.at(k, ahead).astype(np.float32)
        single = {name: v[:, k, None].astype(np.float32) for name, v in self.draws.items()}
        eta, beta, gamma, g, nu = (single[name] for name in (*CURVE, "nu"))
        y = beta * -ahead.astype(np.float32)
        y += np.log(nu) + eta
        with np.errstate(over="ignore"):
            np.exp(y, out=y)  # infinite where nothing is solved; the accuracy is then g
        np.log1p(y, out=y)
        y *= -1 / nu
        np.exp(y, out=y)
        y *= (1 - g) * np.exp(-gamma)
        y += g
        return y

    @property
    def predictable(self) -> np.ndarray:
        """P(cluster is predictable). (cluster,)"""
        if self.ahead is None:
            nu, gamma, beta = (self.draws[name] for name in ("nu", "gamma", "beta"))
            loss = np.log1p(nu * np.exp(self.draws["eta"])) / nu + gamma
            ok = (loss < MAX_LOSS) & (beta > MIN_SLOPE) & (gamma < MAX_CEILING_LOSS)
            return ok.mean(axis=0)
        table = np.sin(self.draws["accuracy"]) ** 2
        floor = table[..., 0]
        at = np.searchsorted(self.ahead, [-1.0, 0.0])
        before, loss, gamma = (
            -np.log(np.maximum((table[..., j] - floor) / (1 - floor), _NEAR_ZERO))
            for j in (*at, -1)
        )
        left = np.maximum([before - gamma, loss - gamma], _NEAR_ZERO)
        fall = np.log(left[0]) - np.log(left[1])
        ok = (loss < MAX_LOSS) & (fall > MIN_SLOPE) & (gamma < MAX_CEILING_LOSS)
        return ok.mean(axis=0)
