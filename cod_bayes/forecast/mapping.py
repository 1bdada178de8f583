"""From the predictable subset to the whole benchmark, as a latent function.

An item of cluster k is in the subset with the probability P_k that the cluster is predictable, and
in the rest with 1 - P_k. The subset is a share w of the items, the rest is 1 - w, and nothing else
is known exactly:

    w = sum_k weight_k P_k,    s = sum_k weight_k P_k y_k / w,
    full = w s + (1 - w) r(s),     r: [0, 1] -> [0, 1] increasing, r(0) = 0, r(1) = 1

so a subset of 94 % leaves at most 6 points of doubt. Each posterior draw of the clusters' curves
traces one such function: as effective compute x grows, the subset moves through s(x) and the rest
through r(x); beyond the ends of the path r runs straight to (0, 0) and (1, 1). The prior of r is
thus what the curves of the rest say, with all their doubt. Anchor models, of any family and any
compute, show points (s_a, r_a) and weigh the functions, and nothing but the functions:

    weight of r  ~  prod_a t_4((arcsin sqrt r_a - arcsin sqrt r(s_a)) / sqrt(scatter^2 + 1/(4 n_a)))

`scatter` is how far two models of the same subset score differ on the rest, n_a the number of
trials whose plain mean is as noisy as that of the rest. The subset's own forecast and the curves
never see an anchor. All of it is of the clusters' posterior; the mean with that of whole benchmarks
(`cod_bayes.forecast.target`) is taken afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MIN_EFFECTIVE = 50  # draws; below it the weights are tempered: no few draws may speak for all


@dataclass(frozen=True)
class Mapping:
    """Functions r of posterior draws, as paths.

    Attributes:
        share: w.
        s, r: (draw, point) increasing, from 0 to 1.
        chosen: (draw,) the draw whose r each draw uses: itself without anchors, else resampled by
            the anchors' weights.
        effective: number of draws that the anchors leave in effect.
    """

    share: float
    s: np.ndarray
    r: np.ndarray
    chosen: np.ndarray
    effective: float

    @classmethod
    def of(
        cls,
        share: float,
        subset: np.ndarray,
        rest: np.ndarray,
        anchors: np.ndarray,
        scatter: float,
        rng: np.random.Generator,
    ) -> Mapping:
        """From paths and anchors.

        Args:
            share: of the items in the subset, in (0, 1).
            subset, rest: (draw, point) accuracies along growing compute.
            anchors: (anchor, 3) s_a, r_a, n_a.
            scatter: radians of arcsine-root accuracy.
        """
        ends = np.zeros((len(subset), 1)), np.ones((len(subset), 1))
        s, r = (np.concatenate([ends[0], path, ends[1]], axis=1) for path in (subset, rest))
        log_weight = np.zeros(len(s))
        for s_a, r_a, n_a in anchors:
            at = interpolate(np.full(len(s), s_a), s, r)
            away = np.arcsin(np.sqrt(r_a)) - np.arcsin(np.sqrt(at))
            # t with 4 degrees of freedom, up to its constant: one odd anchor is not believed.
            log_weight -= 2.5 * np.log1p(away**2 / (scatter**2 + 0.25 / n_a) / 4)
        weight, effective = _weights(log_weight)
        # All of them but for rounding, where there are few.
        while effective < min(MIN_EFFECTIVE, (1 - 1e-9) * len(s)):
            log_weight = 0.7 * log_weight
            weight, effective = _weights(log_weight)
        # Systematic resampling: equal weights leave every draw its own function.
        points = (np.arange(len(s)) + rng.uniform(0.01, 0.99)) / len(s)
        chosen = np.minimum(np.searchsorted(np.cumsum(weight), points), len(s) - 1)
        return cls(share, s, r, chosen, effective)

    def rest(self, subset: np.ndarray) -> np.ndarray:
        """r(s) of every draw at its own subset accuracies, (draw, ...) -> the same shape."""
        return interpolate(subset, self.s[self.chosen], self.r[self.chosen])

    def full(self, subset: np.ndarray) -> np.ndarray:
        """w s + (1 - w) r(s), (draw, ...)."""
        return self.share * subset + (1 - self.share) * self.rest(subset)


def interpolate(at: np.ndarray, s: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Row by row: r at `at` (draw, ...) along the increasing paths s, r (draw, point), which both
    go from 0 to 1, in places by less than a number can tell."""
    flat = np.clip(at.reshape(len(at), -1), 0, 1)
    solved = flat >= 1
    below = np.stack([(s < column[:, None]).sum(axis=1) for column in flat.T], axis=1)
    upper = np.where(solved, s.shape[1] - 1, np.clip(below, 1, s.shape[1] - 1))
    s_0, s_1 = (np.take_along_axis(s, end, axis=1) for end in (upper - 1, upper))
    r_0, r_1 = (np.take_along_axis(r, end, axis=1) for end in (upper - 1, upper))
    gap = s_1 - s_0
    way = np.divide(flat - s_0, gap, out=solved.astype(float), where=gap > 0)
    return np.where(way < 1, r_0 + way * (r_1 - r_0), r_1).reshape(at.shape)


def _weights(log_weight: np.ndarray) -> tuple[np.ndarray, float]:
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    return weight, 1 / np.sum(weight**2)
