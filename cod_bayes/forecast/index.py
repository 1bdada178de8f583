"""Indexes: weighted means of benchmarks.

    index_i = sum_b w_b score_ib / sum_b w_b          in every draw i

A draw of all benchmarks is of one target model, so the index of a draw is that model's index, and
the quantiles of these draws are the index's own. Weights are equal (a macro average), the numbers
of items (a micro average), or any numbers.

A row of an index holds the same weighted mean of every quantity that a forecast has by benchmark:
`score`, `subset_score`, `predictable_share`, `p_predictable`. Its `items` are the sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from cod_bayes.evidence.words import matching

WEIGHTS = ("equal", "items")


@dataclass(frozen=True)
class Index:
    """A weighted mean of benchmarks, under a name of its own.

    Attributes:
        name: of the index; no benchmark may have it.
        benchmarks: names or glob patterns. An index that stands before this one is named in full.
        weights: "equal"; "items", the number of items of each benchmark; or a number by name, in
            which case names without a number count 0.
    """

    name: str
    benchmarks: str | Sequence[str] = "*"
    weights: str | Mapping[str, float] = "equal"

    def __post_init__(self) -> None:
        if not self.name or not self.patterns:
            raise ValueError(
                f"expected an index with a name and benchmarks, got {self.name!r} and "
                f"{list(self.patterns)}; give patterns such as mmlu_*"
            )
        if isinstance(self.weights, str):
            if self.weights not in WEIGHTS:
                raise ValueError(
                    f"index {self.name!r}: expected weights 'equal', 'items' or numbers by name, "
                    f"got {self.weights!r}"
                )
            return
        numbers = np.array(list(self.weights.values()), float)
        if not ((numbers >= 0) & np.isfinite(numbers)).all() or not numbers.sum() > 0:
            raise ValueError(
                f"index {self.name!r}: expected weights >= 0 with a sum > 0, got "
                f"{dict(self.weights)}"
            )

    @property
    def patterns(self) -> tuple[str, ...]:
        """Names or patterns of the benchmarks."""
        return (self.benchmarks,) if isinstance(self.benchmarks, str) else tuple(self.benchmarks)

    @classmethod
    def parse(cls, text: str, weights: str = "equal") -> Index:
        """ "mmlu=mmlu_*,other": a name, then names or patterns of benchmarks.

        Raises:
            ValueError: no "=", no name, or no pattern.
        """
        name, _, rest = (part.strip() for part in text.partition("="))
        patterns = [pattern.strip() for pattern in rest.split(",")]
        if not name or not all(patterns):
            raise ValueError(f"expected an index NAME=GLOB[,GLOB...] as mmlu=mmlu_*, got {text!r}")
        return cls(name, patterns, weights)

    def shares(
        self, names: Sequence[str], items: np.ndarray | None = None, earlier: Sequence[str] = ()
    ) -> dict[str, float]:
        """What each benchmark counts, by name; the sum is 1.

        Args:
            names: of all rows.
            items: of each row; needed for the weights "items".
            earlier: those of `names` that are indexes. Only their full name matches them.

        Raises:
            ValueError: a name that is taken, a pattern that matches nothing, a weight of an unknown
                name, a sum of 0, or numbers of items that are not known.
        """
        if self.name in names:
            raise ValueError(
                f"expected an index of a new name, got {self.name!r}, which "
                f"{'another index' if self.name in earlier else 'a benchmark'} has; rename it"
            )
        known = [name for name in names if name not in earlier or name in self.patterns]
        weights = self.weights
        try:
            members = matching(self.patterns, known, "benchmark")
            if not isinstance(weights, str):
                members = [n for n in members if n in matching(list(weights), names, "benchmark")]
        except ValueError as error:
            raise ValueError(f"index {self.name!r}: {error}") from None
        number = np.ones(len(members))
        if weights == "items":
            if items is None:
                raise ValueError(
                    f"index {self.name!r}: expected numbers of items for the weights 'items', got "
                    "none; give weights as numbers by name"
                )
            number = np.array([items[list(names).index(name)] for name in members], float)
        elif not isinstance(weights, str):
            number = np.array([weights.get(name, 0.0) for name in members], float)
        if not number.sum() > 0:
            raise ValueError(
                f"index {self.name!r}: expected weights with a sum > 0, got {number.tolist()} on "
                f"{members}; name the benchmarks in full"
            )
        kept = zip(members, number / number.sum(), strict=True)
        return {name: float(share) for name, share in kept if share > 0}


def add_indexes(
    data: xr.Dataset, indexes: Sequence[Index], earlier: Sequence[Index] = ()
) -> xr.Dataset:
    """The data with a row for each index behind its benchmarks, in everything by benchmark.

    earlier: indexes whose rows the data already has.

    Raises:
        ValueError: as `Index.shares`.
    """
    before = [index.name for index in earlier]
    for index in indexes:
        names = [str(name) for name in data["benchmark"].values]
        items = data["items"].values if "items" in data else None
        share = index.shares(names, items, before)
        part = data.sel(benchmark=list(share))
        row = {}
        for name, values in part.data_vars.items():
            if "benchmark" not in values.dims:
                continue
            if name == "items":
                mean = values.sum("benchmark")
            else:
                weight = xr.DataArray(list(share.values()), dims="benchmark")
                mean = (values * weight).sum("benchmark", skipna=False)
            axis = values.dims.index("benchmark")
            row[name] = mean.expand_dims({"benchmark": [index.name]}, axis=axis)
        apart = data.drop_vars([n for n in data.data_vars if n not in row])
        joined = xr.concat([apart, xr.Dataset(row)], "benchmark", join="exact", coords="minimal")
        data = joined.assign({n: data[n] for n in data.data_vars if n not in row})
        data.attrs = apart.attrs
        before.append(index.name)
    return data


def members(
    names: Sequence[str], indexes: Sequence[Index], items: np.ndarray | None = None
) -> dict[str, dict[str, float]]:
    """Each index's benchmarks and their shares; an index inside an index is taken apart.

    Raises:
        ValueError: as `Index.shares`.
    """
    table = xr.Dataset({"share": (("benchmark", "of"), np.eye(len(names)))})
    table = table.assign_coords(benchmark=list(names))
    if items is not None:
        table["items"] = ("benchmark", items)
    share = add_indexes(table, indexes)["share"]
    return {
        index.name: {
            name: float(part)
            for name, part in zip(names, share.sel(benchmark=index.name).values, strict=True)
            if part > 0
        }
        for index in indexes
    }
