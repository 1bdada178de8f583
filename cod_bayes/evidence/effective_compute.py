"""Effective compute: the compute of the optimal training that reaches a model's loss.

    L(N, D) = E + A / N^a + B / D^b          loss of N parameters trained on D tokens
    C = 6 N D                                FLOPs

(Hoffmann et al. 2022, eq. 2). The least L of a C is reached at N = G (C / 6)^(b / (a + b)), where
G = (a A / (b B))^(1 / (a + b)) (eq. 4), so that

    L - E = k (C / 6)^(-a b / (a + b)),      k = A G^-a + B G^b

and the effective compute of (N, D) is the C of its loss. It is C itself at some 20 tokens per
parameter, 40 % of it at 32 times as many, 60 % at a tenth.

A, B, a and b are those of Besiroglu et al. 2024 (arXiv 2404.10102), fitted again to the data of
Hoffmann et al. Other data give other values, but the ratio of effective to spent compute depends on
them only a little.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

_A, _B, _a, _b = 482.01, 2085.43, 0.3478, 0.3658
_G = (_a * _A / (_b * _B)) ** (1 / (_a + _b))
_K = _A * _G**-_a + _B * _G**_b


def effective_compute(params: ArrayLike, tokens: ArrayLike) -> np.ndarray:
    """FLOPs of the optimal training whose loss is that of `params` parameters on `tokens` tokens.

    params: N; of a mixture of experts, the parameters that a token uses. tokens: D. Any shapes that
    broadcast; NaN stays NaN.

    Raises:
        ValueError: a number that is not positive.
    """
    N, D = np.asarray(params, dtype=float), np.asarray(tokens, dtype=float)
    if (N <= 0).any() or (D <= 0).any():
        raise ValueError("expected params > 0 and tokens > 0 of every model: correct the table")
    excess = _A / N**_a + _B / D**_b
    return 6 * (excess / _K) ** (-(_a + _b) / (_a * _b))
