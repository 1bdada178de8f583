"""Whether each anchor agrees with the ladder, before it informs the mapping.

An anchor shows a point (s_a, r_a) of the function r from the predictable subset to the rest
(`cod_bayes.forecast.mapping`). The ladder's curves alone lead to r(s_a), a number in every draw.
With z = arcsin sqrt, the anchor is off by

    off = (z(r_a) - mean z(r(s_a))) / sqrt(var z(r(s_a)) + scatter^2 + 1 / (4 n_a))

of its own doubt. Beyond 2 the two disagree: the anchor was evaluated in another way, or was trained
on something like the benchmark, or the ladder's clusters do not hold for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cod_bayes.evidence.words import some
from cod_bayes.forecast.mapping import interpolate
from cod_bayes.model.equations import radians

if TYPE_CHECKING:
    from cod_bayes.forecast.posterior import Fit

_APART = 2.0


def anchor_table(fit: Fit) -> pd.DataFrame:
    """One row per benchmark and anchor that shows a point of its mapping.

    Columns: benchmark, anchor; subset and rest, its measured rates; expected, q05 and q95 of the
    rest by the ladder's curves alone; off, as in the module.
    """
    columns = ["benchmark", "anchor", "subset", "rest", "expected", "q05", "q95", "off"]
    rows = []
    points = fit.idata["anchors"].to_dataset()
    for name in fit.benchmarks:
        mapping = fit.mapping(name)
        for anchor in points["anchor"].to_numpy().astype(str):
            at = points.sel(benchmark=name, anchor=anchor)
            s, r, n = (float(at[column]) for column in ("subset", "rest", "n_rest"))
            if mapping is None or not np.isfinite([s, r, n]).all():
                continue
            led_to = interpolate(np.full(len(mapping.s), s), mapping.s, mapping.r)
            z = radians(led_to)
            doubt = np.sqrt(z.var() + fit.spec.constants["mapping_scatter"] ** 2 + 0.25 / n)
            q05, middle, q95 = np.quantile(led_to, (0.05, 0.5, 0.95))
            off = float((radians(np.array(r)) - z.mean()) / doubt)
            rows.append((name, anchor, s, r, middle, q05, q95, off))
    return pd.DataFrame(rows, columns=columns)


def anchor_doubts(fit: Fit) -> list[str]:
    """A sentence on the anchors that disagree with the ladder, if there are any."""
    table = anchor_table(fit)
    apart = [
        f"{row.anchor} on {row.benchmark} ({100 * row.rest:.1f} % on the items outside the "
        f"predictable subset, where the ladder leads to {100 * row.q05:.1f} to {100 * row.q95:.1f})"
        for row in table[table["off"].abs() > _APART].itertuples()
    ]
    if not apart:
        return []
    return [
        f"Anchors that disagree with the ladder: {some(apart)}; check how they were evaluated, or "
        "leave them out."
    ]
