"""Indexes: weighted means of benchmarks.

    index_i = sum_b w_b score_ib / sum_b w_b          in every draw i

A draw of all benchmarks is of one target model, so the index of a draw is that model's index, and
the quantiles of these draws are the index's own. Weights are equal (a macro average), the numbers
of items (a micro average), or any numbers.

A row of an index holds the same weighted mean of every quantity that a forecast has by benchmark,
as `score` and `p_predictable`. Its `items` are the sum.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from cod_bayes.evidence.words import matching

WEIGHTS = ("equal", "items")
_RECORD = "indexes"  # the attribute of draws that holds their indexes as JSON


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
        several = [self.benchmarks] if isinstance(self.benchmarks, str) else self.benchmarks
        object.__setattr__(self, "benchmarks", tuple(map(str, several)))
        if not self.name or not self.benchmarks:
            raise ValueError(
                f"expected an index with a name and benchmarks, got {self.name!r} and "
                f"{list(self.benchmarks)}; give patterns such as mmlu_*"
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
        known = [name for name in names if name not in earlier or name in self.benchmarks]
        weights = self.weights
        try:
            members = matching(self.benchmarks, known, "benchmark")
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


def add_indexes(data: xr.Dataset, indexes: Sequence[Index]) -> xr.Dataset:
    """The data with a row for each index behind its benchmarks, in everything by benchmark.

    Raises:
        ValueError: as `Index.shares`.
    """
    present = list(indexes_of(data))
    for index in indexes:
        names = [str(name) for name in data["benchmark"].values]
        items = data["items"].values if "items" in data else None
        share = index.shares(names, items, [other.name for other in present])
        weight = xr.DataArray(list(share.values()), dims="benchmark")
        by_benchmark = [n for n, v in data.data_vars.items() if "benchmark" in v.dims]
        row = data[by_benchmark].sel(benchmark=list(share)).drop_vars("benchmark")
        mean = (row * weight).sum("benchmark", skipna=False)
        if "items" in row:
            mean["items"] = row["items"].sum()
        mean = mean.assign_coords(benchmark=index.name)
        longer = xr.concat([data[by_benchmark], mean], "benchmark", join="exact")
        order, dims = list(data.data_vars), list(data.dims)
        data = data.drop_dims("benchmark").merge(longer)[order].transpose(*dims)
        present.append(Index(index.name, tuple(share), share))
    return with_record(data, present)


def in_full(indexes: Sequence[Index], names: Sequence[str]) -> tuple[Index, ...]:
    """The indexes with their benchmarks by full name, of these benchmarks.

    Raises:
        ValueError: as `Index.shares`.
    """
    known = list(names)
    found: list[Index] = []
    for index in indexes:
        shares = index.shares(known, np.ones(len(known)), [other.name for other in found])
        found.append(replace(index, benchmarks=tuple(shares)))
        known.append(index.name)
    return tuple(found)


def indexes_of(data: xr.Dataset) -> tuple[Index, ...]:
    """The indexes among the rows of the data, each with its benchmarks in full and their shares."""
    return tuple(Index(*entry) for entry in json.loads(data.attrs.get(_RECORD, "[]")))


def with_record(data: xr.Dataset, indexes: Sequence[Index]) -> xr.Dataset:
    """The data with a record of the indexes among its rows, which files keep."""
    entries = [(index.name, index.benchmarks, index.weights) for index in indexes]
    return data.assign_attrs({_RECORD: json.dumps(entries, default=dict)})


def weighted_mean(values: xr.DataArray, shares: Mapping[str, float]) -> xr.DataArray:
    """The mean over benchmarks with these shares; NaN where one of them has no value."""
    weight = xr.DataArray(list(shares.values()), dims="benchmark")
    part = values.sel(benchmark=list(shares)).drop_vars("benchmark")
    return (part * weight).sum("benchmark", skipna=False)


def members(data: xr.Dataset) -> dict[str, dict[str, float]]:
    """What each benchmark counts in each index of the data; the sum is 1.

    An index inside an index is taken apart into its benchmarks.
    """
    indexes = indexes_of(data)
    apart = {index.name for index in indexes}
    names = [str(name) for name in data["benchmark"].values if str(name) not in apart]
    coords = {"benchmark": names, "of": names}
    table = xr.Dataset({"share": (("benchmark", "of"), np.eye(len(names)))}, coords)
    if "items" in data:
        table["items"] = data["items"].sel(benchmark=names)
    share = add_indexes(table, indexes)["share"].to_pandas()
    return {
        index.name: {of: float(w) for of, w in share.loc[index.name].items() if w > 0}
        for index in indexes
    }
