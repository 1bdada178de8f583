"""Clusters as a property of a benchmark: made once where trials are many, used for other ladders.

    label_items   evidence -> table: benchmark, item, cluster, made_from
    given_labels  table, evidence -> label of each item of each benchmark that the table knows
    by_labels     one benchmark and its labels -> Clusters

Where a ladder makes its own clusters, half of its trials sort the items and the other half is
fitted. Labels that another ladder made need no such split: all trials make them, and all trials of
the new ladder are fitted, even if there is one per item. Labels that a ladder made of the very
answers that it is fitted to would be biased, so they are warned of.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import xarray as xr

from cod_bayes.clustering.clusters import (
    KIND_OF_LABEL,
    OUTLIERS,
    ZERO,
    Clusters,
    item_labels,
    measure,
)
from cod_bayes.clustering.features import MIN_TRIALS_OF_FEATURE, features, trials_of_feature
from cod_bayes.evidence.files import TableSource, open_table
from cod_bayes.evidence.record import Evidence, EvidenceError, EvidenceWarning, ladder_of
from cod_bayes.evidence.words import count, some

_COLUMNS = ("benchmark", "item", "cluster")
_ENOUGH = 0.9  # of a benchmark's items that must have a label


def label_items(evidence: Evidence, clusterer: object | None = None) -> pd.DataFrame:
    """The cluster of every item, one row each: benchmark, item, cluster, made_from.

    cluster    "1", "2", ..; "outliers"; "zero" for items without a success on the whole ladder
    made_from  the beginning of the evidence's digest

    clusterer  any scikit-learn clusterer in place of improved MeanShift

    Benchmarks whose items have too few trials to be told apart, or are too alike, are left out.

    Raises:
        EvidenceError: no benchmark can be clustered.
    """
    tables = []
    for name, data in evidence.benchmarks.items():
        steps = evidence.checkpoints.get(name)
        if clusterer is None and trials_of_feature(data, steps) < MIN_TRIALS_OF_FEATURE:
            continue
        labels = item_labels(features(data, steps, None).feature, clusterer)
        if len(np.unique(labels)) < 2:
            continue
        cluster = [KIND_OF_LABEL.get(k, str(k + 1)) for k in labels.tolist()]
        tables.append(pd.DataFrame({"benchmark": name, "item": data["item"], "cluster": cluster}))
    if not tables:
        raise EvidenceError(
            "expected a benchmark whose items have 17 or more trials (or 9 at each of three "
            "checkpoints) and differ, got none: sample several answers to each item, or use "
            "another ladder's labels"
        )
    return pd.concat(tables, ignore_index=True).assign(made_from=evidence.digest[:16])


def given_labels(source: TableSource, evidence: Evidence) -> dict[str, np.ndarray]:
    """The labels (item,) of each benchmark that the table of labels knows, "outliers" where it has
    no label for an item.

    source: what `read_table` takes, with the columns benchmark, item, cluster.

    Raises:
        EvidenceError: a missing column, two labels of one item, a benchmark of which the labels
            know less than nine tenths of the items, or no benchmark in common.
    """
    opened = open_table(source)
    if missing := [name for name in _COLUMNS if name not in opened.columns]:
        raise EvidenceError(
            f"expected a table of clusters with columns {', '.join(_COLUMNS)}, got no "
            f"{some(missing)}; cod-bayes clusters makes one"
        )
    table = opened.read([*_COLUMNS, "made_from"], [])
    table = table.astype({name: str for name in _COLUMNS})
    if (twice := table.duplicated(["benchmark", "item"])).any():
        row = table[twice].iloc[0]
        raise EvidenceError(
            f"expected one cluster of each item, got two of {row['item']} of {row['benchmark']}"
        )
    if "made_from" in table and evidence.digest[:16] in set(table["made_from"].astype(str)):
        warnings.warn(
            "The clusters were made from the same answers that they are fitted to, so their curves "
            "follow luck: leave clusters out, or use labels from other answers.",
            EvidenceWarning,
            stacklevel=3,
        )
    found = {}
    for name, data in evidence.benchmarks.items():
        known = table[table["benchmark"] == name].set_index("item")["cluster"]
        if known.empty:
            continue
        labels = known.reindex(data["item"].values.astype(str)).to_numpy(dtype=object)
        has = pd.notna(labels)
        if has.mean() < _ENOUGH:
            raise EvidenceError(
                f"the clusters of {name} know {int(has.sum()):,} of its {count(len(has), 'item')}, "
                f"expected nine in ten; they know {some(known.index)}, and not "
                f"{some(data['item'].values[~has])}: name the items alike"
            )
        found[name] = np.where(has, labels, OUTLIERS)
    if not found:
        raise EvidenceError(
            f"the clusters are of {some(table['benchmark'].unique())}, and the evidence of "
            f"{some(evidence.benchmarks)}: expected a benchmark in common"
        )
    return found


def by_labels(benchmark: xr.Dataset, labels: np.ndarray) -> Clusters:
    """The clusters of one benchmark with these labels (item,), fitted to all trials."""
    ladder = ladder_of(benchmark)
    rate, n_trials = ladder["rate"].values, ladder["n_trials"].values
    names = np.unique(labels)
    # Items that another ladder never solved are no cluster where this one solves some.
    zero = OUTLIERS if (rate[labels == ZERO] > 0).any() else ZERO
    kind = np.array([{OUTLIERS: OUTLIERS, ZERO: zero}.get(name, "cluster") for name in names])
    membership = (labels[:, None] == names).astype(float)
    route = "given" if len(names) > 1 else "one_cluster"
    return measure(route, kind, membership, rate, n_trials, benchmark["chance"].values)
