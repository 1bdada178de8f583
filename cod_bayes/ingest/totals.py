"""The table from the logs' own scores of whole benchmarks, where answers are absent.

Each row is one model on one benchmark (or subset), under the item name "all":

    n_correct of n_trials   where the score is a share of a known number of answers. The number is
                            logged, or solved from the standard error: s^2 = p (1 - p) / (n - 1)
    score, stderr           else: the rate, and its standard error where the log has it

A group's own score stands for its tasks. Of several scores of one model, the one of most answers
counts, and of those the latest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, nan

import numpy as np
import pandas as pd

from cod_bayes.ingest.answers import Answers, Total, total_of
from cod_bayes.ingest.choosing import Choice, Task, first_of
from cod_bayes.ingest.json_logs import IngestError

__all__ = ["of_groups", "split_by_kind", "tabulate_totals"]

_SHARED = (
    "source model benchmark subset filter run sampled settings groups dataset worse odd".split()
)


def split_by_kind(
    answers: Sequence[Answers], aggregates: bool
) -> tuple[list[Answers], list[Answers], list[str]]:
    """The answers, the own scores to use in their place, and notes on which is used where.

    Answers win in a benchmark where at least half of the models have them.
    """
    models: dict[str, tuple[set[str], set[str]]] = {}  # benchmark -> with answers, with own scores
    for one in answers:
        models.setdefault(one.benchmark, (set(), set()))[one.total is not None].add(one.model)
    by_totals: set[str] = set()
    own_only: list[str] = []
    left_out: dict[str, list[str]] = {}  # models -> benchmarks
    lost: dict[str, list[str]] = {}  # benchmark -> models
    for benchmark, (items, own) in models.items():
        alone = own - items
        if own and (aggregates or len(alone) > len(items)):
            by_totals.add(benchmark)
            if items - own:
                lost[benchmark] = sorted(items - own)
            if items:
                own_only.append(benchmark)
        elif alone:
            left_out.setdefault(", ".join(sorted(alone)), []).append(benchmark)
    notes = [
        f"{first_of(names)}: {who} {'has' if ', ' not in who else 'have'} results without samples "
        "and no place beside the items of the other models: left out (aggregates=True, "
        "--aggregates takes the logs' own scores of all)."
        for who, names in left_out.items()
    ]
    if own_only:
        why = "as asked" if aggregates else "because most models have no samples"
        notes.append(f"{first_of(own_only)}: the logs' own scores are used, {why}.")
    notes += [
        f"{benchmark}: of {', '.join(names)} the logs hold no own score; the mean of the answers "
        "is taken."
        for benchmark, names in lost.items()
    ]
    if aggregates and (without := sorted(models.keys() - by_totals)):
        notes.append(
            f"{first_of(without)}: the logs hold no own score of any model: samples are used."
        )
    items_used = [a for a in answers if a.total is None and a.benchmark not in by_totals]
    totals_used = [a for a in answers if a.total is not None and a.benchmark in by_totals]
    totals_used += [
        _mean_of(a) for a in answers if a.total is None and a.model in lost.get(a.benchmark, ())
    ]
    return items_used, totals_used, notes


def _mean_of(answers: Answers) -> Answers:
    """The mean of a log's answers, as its own score would be."""
    scores = {m: float(np.nanmean(s)) for m, s in answers.scores.items() if np.isfinite(s).any()}
    n = {metric: float(np.isfinite(answers.scores[metric]).sum()) for metric in scores}
    about = {name: getattr(answers, name) for name in _SHARED}
    return total_of(scores, Total(n=n), options=int(answers.options.min()), **about)


def of_groups(totals: Sequence[Answers]) -> list[Answers]:
    """The scores of groups, or of their tasks where a model has no score of the group."""
    tasks: dict[str, set[str]] = {}
    groups: dict[str, set[str]] = {}
    for one in totals:
        assert one.total is not None
        of = groups if one.total.parts else tasks
        of.setdefault(one.benchmark, set()).add(one.model)
    whole = {name for name, models in groups.items() if models >= tasks.get(name, set())}
    return [
        one
        for one in totals
        if one.total is not None and bool(one.total.parts) == (one.benchmark in whole)
    ]


def tabulate_totals(
    benchmark: str, totals: Sequence[Answers], choices: Mapping[Task, Choice]
) -> tuple[pd.DataFrame, list[str]]:
    """The table of one benchmark from own scores, and notes on their numbers of trials."""
    candidates: dict[tuple[str, str], list[Answers]] = {}
    for one in totals:
        choice = choices.get((one.benchmark, one.subset))
        if choice and one.filter == choice[1] and choice[0] in one.scores:
            candidates.setdefault((one.subset, one.model), []).append(one)
    notes: list[str] = []
    used: dict[tuple[str, str], tuple[float, float, float]] = {}  # score, n, standard error
    chance: dict[tuple[str, str], float] = {}
    for (subset, model), found in candidates.items():
        metric = choices[benchmark, subset][0]
        one = _resolved(found, metric, notes)
        assert one.total is not None
        score, error = float(one.scores[metric][0]), one.total.stderr.get(metric, nan)
        n = one.total.n.get(metric, one.total.n.get("", nan))
        used[subset, model] = score, _count(score, n, error, one.total.equal), error
        chance[subset, model] = 1 / one.options[0] if one.options[0] > 1 else nan
    numbers: dict[str, set[float]] = {}
    for (subset, _), (_, n, _) in used.items():
        if n > 0:
            numbers.setdefault(subset, set()).add(n)
    for (subset, model), (score, n, error) in used.items():
        others = numbers.get(subset, set())
        if n != n and score in (0, 1) and len(others) == 1:  # no spread to solve for a number
            used[subset, model] = score, next(iter(others)), error
    models = sorted({model for _, model in used})
    subsets = sorted({subset for subset, _ in used})
    keys = sorted(used, key=lambda key: (key[0], key[1]))
    rates = [used[key] for key in keys]
    names = [f"{subset}/all" if subset else "all" for subset, _ in keys]
    table = pd.DataFrame(
        {
            "benchmark": pd.Categorical([benchmark] * len(keys), [benchmark]),
            "subset": pd.Categorical([subset for subset, _ in keys], subsets),
            "item": pd.Categorical(names, sorted(set(names))),
            "model": pd.Categorical([model for _, model in keys], models),
            "n_correct": [round(p * n) if n > 0 else nan for p, n, _ in rates],
            "n_trials": [n if n > 0 else nan for _, n, _ in rates],
            "score": [p for p, _, _ in rates],
            "chance": [chance[key] if used[key][1] > 0 else nan for key in keys],
            "stderr": [nan if n > 0 else error for _, n, error in rates],
        }
    )
    notes.append(_trials(table, choices[benchmark, subsets[0]][0]))
    if len(subsets) > 1:
        notes.append(f"its {len(subsets):,} tasks count alike, whatever their numbers of items.")
    return table, [f"{benchmark}: {note}" for note in notes]


def _resolved(found: Sequence[Answers], metric: str, notes: list[str]) -> Answers:
    """The score to use of several of one model."""

    def size(one: Answers) -> float:
        assert one.total is not None
        return one.total.n.get(metric, one.total.n.get("", 0.0))

    ranked = sorted(found, key=lambda one: (size(one), one.run, str(one.source)))
    best = ranked[-1]
    others = [
        one for one in ranked[:-1] if abs(one.scores[metric][0] - best.scores[metric][0]) > 1e-4
    ]
    if others and not best.run and any(size(one) == size(best) for one in others):
        here, there = (f"{100 * one.scores[metric][0]:.2f} %" for one in (best, others[-1]))
        raise IngestError(
            f"{best.source}: expected one score of {best.model} on {best.task}, got {here} here "
            f"and {there} in {others[-1].source}, and neither names its time; choose with where= "
            "(--where file=..)"
        )
    if others:
        why = "most answers" if size(best) > size(others[-1]) else "the latest run"
        notes.append(
            f"{best.model} has {len(found):,} results that differ; that of {why} is used "
            f"({best.source.name}: {100 * best.scores[metric][0]:.1f} %, not "
            f"{', '.join(f'{100 * one.scores[metric][0]:.1f} %' for one in others)})."
        )
    return best


def _count(score: float, n: float, error: float, equal: bool) -> float:
    """The number of trials of which the score is a share; NaN where it is none or not known."""
    if equal:
        return nan
    solved = score * (1 - score) / error**2 + 1 if error > 0 and 0 < score < 1 else nan
    if not isfinite(n):
        n = float(round(solved)) if isfinite(solved) else nan
    if not n > 0:
        return nan
    decimals = len(f"{score:.12f}".rstrip("0").partition(".")[2])
    rounding = 0.51 * n * 10.0 ** -max(decimals, 2)  # scores may be rounded
    if rounding >= 0.5 and isfinite(solved):
        return n if abs(solved / n - 1) < 0.05 else nan
    return n if abs(score * n - round(score * n)) <= min(max(rounding, 1e-6 * n), 0.5) else nan


def _trials(table: pd.DataFrame, metric: str) -> str:
    n, error = table["n_trials"], table["stderr"]
    parts = []
    if n.notna().any():
        low, high = int(n.min()), int(n.max())
        number = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        parts.append(f"one score per model ({metric}), of {number} trials")
    if (n.isna() & error.notna()).any():
        parts.append("scores that are no share of a number of trials, with the log's stderr")
    if (n.isna() & error.isna()).any():
        names = ", ".join(map(str, table["model"][n.isna() & error.isna()].unique()[:3]))
        parts.append(
            f"the log of {names} holds neither a number of answers nor a standard error: a "
            "forecast takes such scores as nearly exact, so add a column n_trials or stderr"
        )
    unknown = (
        " No chance level is known: add a column chance." if table["chance"].isna().any() else ""
    )
    return "; ".join(parts) + "." + unknown
