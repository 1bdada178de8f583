"""The rate of a model on all items of a group, where it was not evaluated on some of them.

What a model lacks is seldom a fair draw: a cancelled run has the first items, an evaluation with a
limit the easy ones. The mean over the items that it has would then be another benchmark's. Let o be
a model's rate on the items of the group that it has, q its rate on those that it lacks. The other
ladder models m have both, and theirs move together,

    logit q_m = logit o_m + a + b (logit o_m - c) + e_m,
    a ~ N(0, 2),  b ~ N(0, 0.3),  e_m ~ N(0, 0.2)

beside the noise of their trials. c is the mean of their logit o_m, so a says by how much harder the
lacking items are for models like these. The model's own q follows from its o on this line, and

    rate = (1 - f) o + f q,    f = the share of the group's weight that it lacks

so nothing is assumed about which items are lacking but that the models agree on how hard they are.
The doubt about q is the `doubt` of the rate, the prior's where no other model has those items. A
few lacking items change next to nothing.
"""

from typing import NamedTuple

import numpy as np

from cod_bayes.evidence.trials import trials_of_mean

__all__ = ["Rates", "rates_on_all"]

_SHIFT_SD = 2.0  # logits, of a
_SLOPE_SD = 0.3  # of b
_SCATTER = 0.2  # logits, of e: how far models differ on how hard the lacking items are
_LEAST_SHARE = 0.5  # of both parts, that a model must have to help
_SLICE = 2**16  # items summed at once: bounds the memory


class Rates(NamedTuple):
    """Rates of groups of items, each (group, model).

    rate    of all items of the group; NaN where the model has none of them
    trials  behind the items that it has, as in `cod_bayes.evidence.trials`; NaN unknown
    doubt   variance of the rate from the items that it lacks, in radians squared of arcsine root
    """

    rate: np.ndarray
    trials: np.ndarray
    doubt: np.ndarray


def rates_on_all(
    rate: np.ndarray, n_trials: np.ndarray, weight: np.ndarray, helps: np.ndarray | None = None
) -> Rates:
    """The rates of groups of items.

    rate, n_trials  (item, model); NaN rate: the model lacks the item; NaN trials: not counted
    weight          (item, group), how each item counts in each group, at least 0
    helps           (model,) which models show how hard the lacking items are; None: all
    """
    everyone = np.ones(rate.shape[1], dtype=bool)
    W, S, V = _sums(rate, n_trials, weight, everyone)
    total = weight.sum(axis=0)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        found, trials = S / W, trials_of_mean(W, V)
    found[W <= 0] = np.nan
    doubt = np.zeros_like(found)
    helps = everyone if helps is None else helps
    for j in np.flatnonzero(np.isnan(rate).any(axis=0)):
        share = 1 - W[:, j] / np.maximum(total[:, 0], 1e-300)
        at = np.flatnonzero((share > 1e-9) & (W[:, j] > 0))
        helpers = np.flatnonzero(helps & (np.arange(rate.shape[1]) != j))
        if not len(at):
            continue
        lacking = np.isnan(rate[:, j])
        of_helpers = rate[:, helpers], n_trials[:, helpers]
        has, lacks = (
            [s[at] for s in _sums(*of_helpers, weight * part[:, None], helpers >= 0)]
            for part in (~lacking, lacking)
        )
        for k, group in enumerate(at):
            own = W[group, j], S[group, j], V[group, j]
            full = W[group, j], total[group, 0] - W[group, j]
            pairs = [[s[k] for s in part] for part in (has, lacks)]
            found[group, j], doubt[group, j] = _completed(own, full, pairs, share[group])
    return Rates(found, trials, doubt)


def _sums(
    rate: np.ndarray, n_trials: np.ndarray, weight: np.ndarray, which: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums over the items a model has: of the weights, of weight times rate, and of squared weight
    over trials, each (group, model). NaN in the last where trials are not counted."""
    total = np.zeros((3, weight.shape[1], int(which.sum())))
    for start in range(0, len(rate), _SLICE):
        part = slice(start, start + _SLICE)
        w, r = weight[part], rate[part][:, which]
        present = np.isfinite(r)
        inverse = 1 / np.where(present, n_trials[part][:, which], 1.0)
        total[0] += w.T @ present.astype(float)
        total[1] += w.T @ np.where(present, r, 0.0)
        total[2] += (w**2).T @ np.where(present, inverse, 0.0)
    return total[0], total[1], total[2]


def _logit(W: np.ndarray, S: np.ndarray, V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits of rates and their variances; half a right and half a wrong answer are added.

    Rates whose trials are not counted are taken to be as noisy as one trial an item.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        n = np.where(np.isfinite(V) & (V > 0), W**2 / V, W)
        p = (n * np.clip(S / W, 0, 1) + 0.5) / (n + 1)
        return np.log(p / (1 - p)), 1 / ((n + 1) * p * (1 - p))


def _completed(
    own: tuple[float, float, float],
    full: tuple[float, float],
    pairs: list[list[np.ndarray]],
    share: float,
) -> tuple[float, float]:
    """A model's rate on all items, and the doubt.

    own: its sums on the items it has. full: the weights of the items it has and lacks.
    pairs: the sums of the helping models on the items it has, and on those it lacks.
    """
    enough = np.ones(len(pairs[0][0]), dtype=bool)
    for sums, weight in zip(pairs, full, strict=True):
        enough &= sums[0] > _LEAST_SHARE * weight
    (x, v_x), (y, v_y) = (_logit(*(s[enough] for s in sums)) for sums in pairs)
    logit, v = (float(part[0]) for part in _logit(*(np.array([s]) for s in own)))
    # (a, b) given the helpers' pairs: a linear regression with normal priors; middle is c.
    middle = x.mean() if len(x) else logit
    basis, at = np.stack([np.ones_like(x), x - middle], axis=1), np.array([1.0, logit - middle])
    weight = 1 / (v_x + v_y + _SCATTER**2)
    precision = np.diag([_SHIFT_SD**-2, _SLOPE_SD**-2]) + basis.T @ (weight[:, None] * basis)
    a, b = np.linalg.solve(precision, basis.T @ (weight * (y - x)))
    v_q = float(at @ np.linalg.solve(precision, at)) + _SCATTER**2
    o, q = own[1] / own[0], 1 / (1 + np.exp(-(logit + a + b * (logit - middle))))
    rate = (1 - share) * o + share * q
    # The noise of o moves q too. The doubt is what goes beyond the noise of a rate of its trials.
    slope_q, slope_o = q * (1 - q), max(o * (1 - o), 1e-3)
    v_o = slope_o**2 * v
    moved = 1 - share + share * (1 + b) * slope_q / slope_o
    variance = moved**2 * v_o + (share * slope_q) ** 2 * v_q
    spread = max(rate * (1 - rate), 1e-3)
    return rate, max(variance / (4 * spread) - v_o / (4 * slope_o), 0.0)
