"""Evaluation logs in, tidy table out.

    ingest(["logs/"], models="models.csv") -> Ingested

Logs do not record training compute: the user's table of models adds it. There is one module per
format. It describes the format and how its fields give (model, benchmark, item, trial, score), and
the log's own scores of whole benchmarks. Then, one module per step,

    identity    which runs measure the same, and those that `where` chooses
    grouping    which tasks are one benchmark
    totals      answers where there are any, else the log's own scores
    choosing    the score, one metric and filter for each task
    table       trials apart from copies
    reconcile   the table's means against the log's own scores
    compute_of_models   the models' compute

May import: evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from cod_bayes.ingest import evalplus, every_eval_ever, helm, inspect, lm_eval, opencompass
from cod_bayes.ingest.answers import Answers
from cod_bayes.ingest.choosing import choose, first_of
from cod_bayes.ingest.compute_of_models import join_models, read_models
from cod_bayes.ingest.files import find
from cod_bayes.ingest.grouping import assign
from cod_bayes.ingest.identity import refuse_mixed, select
from cod_bayes.ingest.json_logs import IngestError
from cod_bayes.ingest.reconcile import reconcile, reconciled
from cod_bayes.ingest.table import stack, tabulate
from cod_bayes.ingest.totals import of_groups, split_by_kind, tabulate_totals

__all__ = ["READERS", "IngestError", "Ingested", "ingest"]

READERS = {
    "lm-eval": lm_eval,
    "inspect": inspect,
    "helm": helm,
    "evalplus": evalplus,
    "every-eval-ever": every_eval_ever,
    "opencompass": opencompass,  # last, because it goes by the folders' names alone
}

Names = str | Sequence[str] | None


@dataclass(frozen=True, eq=False)
class Ingested:
    """A tidy table from logs.

    table   one row per model and item, as `cod_bayes.read_table` takes it: benchmark, subset?,
            item, model, n_correct? and n_trials? (counts; NaN on benchmarks with partial credit),
            score (rate in [0, 1]), chance? (1 / options; NaN where the logs do not show them),
            compute? (FLOPs), params?, tokens?, family?, role?. Columns marked ? are present where
            any row has a value. Where a log has no answers, its own score of the benchmark is one
            item named all, with stderr? where it is no share of a number of answers
    notes   what was chosen, merged or left out, and how many trials there are and why, in sentences
    checks  the table against the logs' own scores, one row per task and model: benchmark, subset
            ("" for the whole benchmark), model, metric, table (mean), log (its own score), reason
            ("" where the two agree)
    """

    table: pd.DataFrame
    notes: tuple[str, ...]
    checks: pd.DataFrame = field(default_factory=pd.DataFrame)


def ingest(
    sources: str | Path | Sequence[str | Path],
    models: str | Path | pd.DataFrame,
    metric: Names = None,
    filter: Names = None,
    *,
    format: str | None = None,
    where: Names = None,
    group: Names = None,
    split: Names = None,
    aggregates: bool = False,
) -> Ingested:
    """Read the logs of one evaluation program into a tidy table.

    sources     files, or folders that are searched for logs
    models      the models' compute, a CSV file or DataFrame: columns model, compute (training
                FLOPs) or params and tokens (C = 6 N D), and optionally family, role
    metric      the score to use, by its name in the logs, or several in order of preference: each
                benchmark uses the first that it has. Needed where a benchmark has several scores
    filter      the same for formats that score one answer in several ways (lm-eval, evalplus)
    format      a key of READERS; None: recognised from the files
    where       conditions on runs, such as "shots=5" or "task!=wikitext" (see `identity`). Needed
                where runs of one model differ in what they measure
    group       "NAME=PATTERN": joins tasks as the subsets of one benchmark
    split       benchmarks whose tasks stay apart
    aggregates  takes the logs' own scores even where there are answers

    Files are read one at a time, and only the score of each answer is kept. Raises IngestError for
    a log that cannot be read (naming file and line), for a metric, filter or run that must be
    chosen (naming the choices) and for a model that `models` lacks (naming the nearest);
    FileNotFoundError for a missing source.
    """
    sources = [sources] if isinstance(sources, str | Path) else list(sources)
    name, files, notes = find(sources, format, READERS)
    reader = READERS[name]
    compute, model_notes = read_models(models)
    logs, notes_of_empty = _without_empty(list(reader.read(files)))
    notes += notes_of_empty
    logs, where_notes = select(logs, _names(where))
    logs, group_notes = assign(logs, reader.PARTS, _names(group), _names(split))
    model_names = {answers.model for answers in logs}
    notes = [f"Format {name}: files {len(files):,}, models {len(model_names):,}.", *notes]
    notes += model_notes + where_notes + group_notes
    totals = [answers for answers in logs if answers.total is not None]
    answers, used_totals, kind_notes = split_by_kind(logs, aggregates)
    used_totals = of_groups(used_totals)
    notes += kind_notes + [note for one in [*answers, *used_totals] for note in one.notes]
    del logs
    notes += refuse_mixed([*answers, *used_totals])
    choices, choice_notes = choose([*answers, *used_totals], _names(metric), _names(filter))
    notes += choice_notes

    benchmarks: dict[str, list[Answers]] = {}
    for one in [*answers, *used_totals]:
        if (one.benchmark, one.subset) in choices:
            benchmarks.setdefault(one.benchmark, []).append(one)
    del answers, used_totals
    tables, checks = [], []
    for benchmark in sorted(benchmarks):
        group_of = benchmarks.pop(benchmark)
        if group_of[0].total is not None:
            table, table_notes = tabulate_totals(benchmark, group_of, choices)
        else:
            table, table_notes, used = tabulate(benchmark, group_of, choices, reader.TRIAL)
            checks += reconcile(benchmark, table, used, totals, reader.MACRO)
        tables.append(table)
        notes += table_notes
    notes += _absent(tables)
    comparison, check_notes = reconciled(checks)
    table, join_notes = join_models(stack(tables), compute)
    return Ingested(table, tuple(dict.fromkeys([*notes, *check_notes, *join_notes])), comparison)


def _names(names: Names) -> Sequence[str]:
    return [names] if isinstance(names, str) else names or ()


def _absent(tables: Sequence[pd.DataFrame]) -> list[str]:
    """Notes on benchmarks that some models of the others have no results on."""
    models = set().union(*(table["model"].cat.categories for table in tables))
    absent: dict[str, list[str]] = {}  # models -> benchmarks
    for table in tables:
        if missing := sorted(models - set(table["model"].cat.categories)):
            more = f" and {len(missing) - 5:,} more" if len(missing) > 5 else ""
            names = ", ".join(missing[:5]) + more
            absent.setdefault(names, []).append(str(table["benchmark"].iloc[0]))
    return [f"{first_of(names)}: no results of {models}." for models, names in absent.items()]


def _without_empty(logs: list[Answers]) -> tuple[list[Answers], list[str]]:
    """The logs that hold anything, and notes on the others. IngestError if there is none."""
    empty = [one for one in logs if not one.item or (one.total is not None and not one.scores)]
    if len(empty) == len(logs):
        named = f", such as {empty[0].source}" if empty else ""
        raise IngestError(f"expected answers or scores in the logs, got none{named}")
    sources = dict.fromkeys(str(one.source) for one in empty)
    notes = [f"{source} holds neither samples nor scores: left out." for source in sources]
    left = set(map(id, empty))
    return [one for one in logs if id(one) not in left], notes
