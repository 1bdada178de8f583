"""The result of each row: a rate and the trials behind it, from counts, scores and their stderr."""

from dataclasses import replace

import numpy as np
import pandas as pd

from cod_bayes.evidence.columns import RESULTS
from cod_bayes.evidence.rows import Rows
from cod_bayes.evidence.words import EvidenceError, Findings, count, some

__all__ = ["with_results"]


def with_results(rows: Rows, findings: Findings) -> Rows:
    """The rows with a result. Columns rate and trials replace their counts and scores.

    trials NaN = no trial count.
    """
    k, n, score, stderr = (rows.number(column) for column in RESULTS)
    if scored := "score" in rows.table:
        score, stderr = _as_fractions(rows, score, stderr, findings)
    _refuse_impossible(rows, k, n, score, stderr)
    n = np.rint(n)
    if scored:
        score = np.clip(score, 0.0, 1.0)
        n = _with_single_answers(rows, n, score, stderr, findings)
    counted = ~np.isnan(k) & ~np.isnan(n)
    whole = np.abs(k - np.rint(k)) <= 1e-6
    k = np.where(whole, np.rint(k), k)
    # An array takes a number per row, so none is made without need.
    if scored and (differ := counted & (np.abs(score - k / n) > 0.01)).any():
        findings.note(
            f"{count(differ, 'row')} where score is not n_correct / n_trials: the counts are used."
        )

    code, names = rows.codes["benchmark"], rows.names["benchmark"]
    partial = np.zeros(len(names), dtype=bool)  # benchmarks that give partial credit
    has_count = counted
    if (broken := counted & ~whole).any():
        partial[code[broken]] = True
        items = rows.cells("benchmark", "item")
        has_count = counted & ~np.isin(items, items[broken])
        findings.warn(
            f"n_correct is not whole on {some(names[partial])} (items "
            f"{some(rows.names['item'][np.unique(rows.codes['item'][broken])])}): partial credit, "
            "all results of these items are taken as rates without trial count."
        )
    # A score with trials is a count unless the benchmark gives partial credit anywhere.
    implied = ~counted & ~np.isnan(score) & ~np.isnan(n)
    if implied.any():
        # Where a benchmark has one item, a score that is not k / n is rounded, and n is as good.
        items = pd.Series(rows.codes["item"]).groupby(code).nunique().to_numpy()
        single = implied & (items[code] == 1)
        has_count = has_count | single
        implied &= ~single
        partial[code[implied & (np.abs(score * n - np.rint(score * n)) > 1e-6 * n)]] = True
        uncounted = implied & partial[code]
        if uncounted.any():
            findings.note(
                f"score * n_trials is not whole on {some(names[np.unique(code[uncounted])])}: "
                "taken as rates without trial count."
            )
        whole = implied & ~uncounted
        near = np.abs(score * n - np.rint(score * n)) <= 1e-6 * n
        score = np.where(whole | (single & near), np.rint(score * n) / n, score)
        has_count = has_count | whole
    rate = k / n
    np.clip(rate, 0.0, 1.0, out=rate)
    np.copyto(rate, score, where=~counted)
    rate += 0.0  # no negative zeros
    trials = np.where(has_count, n, np.nan)
    if scored and "stderr" in rows.table:
        trials = _with_solved_trials(
            rows, trials, np.where(counted, np.nan, score), stderr, findings
        )
    del k, n, score
    present = ~np.isnan(rate)
    if not present.any():
        raise EvidenceError("no row has a result: expected n_correct and n_trials, or score")
    if len(guessed := np.unique(code[present & np.isnan(trials) & ~partial[code]])):
        findings.warn(
            f"No number of trials behind scores on {some(names[guessed])}: assumed_trials of the "
            "model (1,000 in cod) is assumed behind each score; add "
            "n_trials or stderr."
        )
    if not present.all():
        findings.note(f"{count(~present, 'row')} without a result taken as missing.")
    table = rows.table.drop(columns=list(RESULTS), errors="ignore")
    return replace(rows, table=table.assign(rate=rate, trials=trials)).keep(present)


def _as_fractions(
    rows: Rows, score: np.ndarray, stderr: np.ndarray, findings: Findings
) -> tuple[np.ndarray, np.ndarray]:
    """Scores and their standard errors (row,), those of benchmarks in percent divided by 100.

    A benchmark is in percent if its scores reach above 1, up to 100, and half of those above 0 do.
    """
    if not (score > 1 + 1e-9).any() or score[~np.isnan(score)].max() > 100:
        return score, stderr
    code, names = rows.codes["benchmark"], rows.names["benchmark"]
    positive = score > 0
    middle = pd.Series(score[positive]).groupby(code[positive]).median()
    percent = np.zeros(len(names), dtype=bool)
    percent[middle.index[middle > 1]] = True
    fraction = np.zeros(len(names), dtype=bool)
    fraction[middle.index[middle <= 1]] = True
    if not percent.any():
        return score, stderr  # a score above 1 among fractions
    if fraction.any():
        raise EvidenceError(
            f"scores look like percent on {some(names[percent])} and like fractions on "
            f"{some(names[fraction])}: give all in one unit, or choose with benchmarks= "
            "(--benchmark)"
        )
    findings.warn(f"Scores are taken as percent, and divided by 100, on {some(names[percent])}.")
    factor = np.where(percent[code], 0.01, 1.0)
    return score * factor, stderr * factor


def _with_single_answers(
    rows: Rows, n: np.ndarray, score: np.ndarray, stderr: np.ndarray, findings: Findings
) -> np.ndarray:
    """n_trials (row,), 1 where a benchmark has scores of 0 and 1 only, of several items."""
    code, names = rows.codes["benchmark"], rows.names["benchmark"]
    bare = ~np.isnan(score) & np.isnan(n) & ~(stderr > 0)
    if not bare.any():
        return n
    by = pd.DataFrame({"score": score, "bare": bare, "item": rows.codes["item"]}).groupby(code)
    whole = (by["bare"].all() & (by["item"].nunique() > 1)).to_numpy()
    whole = whole & ((by["score"].min() == 0) & (by["score"].max() == 1)).to_numpy()
    between = np.unique(code[(score > 0) & (score < 1)])
    whole[between] = False
    if whole.any():
        findings.note(f"Scores of 0 and 1 are taken as single answers on {some(names[whole])}.")
    return np.where(bare & whole[code], 1.0, n)


def _with_solved_trials(
    rows: Rows, trials: np.ndarray, score: np.ndarray, stderr: np.ndarray, findings: Findings
) -> np.ndarray:
    """Trials (row,); where they are unknown and a standard error is given, those that give it.

    n = p (1 - p) / stderr^2. A score of 0 or 1 has no such n, and gets the median of its benchmark.
    """
    code, names = rows.codes["benchmark"], rows.names["benchmark"]
    open_rows = np.isnan(trials) & ~np.isnan(score) & ~np.isnan(stderr)
    solvable = open_rows & (stderr > 0) & (score > 0) & (score < 1)
    if not solvable.any():
        return trials
    solved = np.maximum(score[solvable] * (1 - score[solvable]) / stderr[solvable] ** 2, 1.0)
    trials = trials.copy()
    trials[solvable] = solved
    middle = pd.Series(solved).groupby(code[solvable]).median().reindex(range(len(names)))
    rest = open_rows & ~solvable
    trials[rest] = middle.to_numpy()[code[rest]]
    sizes = (f"{names[b]} (about {middle[b]:,.0f})" for b in np.unique(code[solvable]))
    findings.note(f"Trials behind a score, solved from its stderr: {some(sizes, 5)}.")
    return trials


def _refuse_impossible(
    rows: Rows, k: np.ndarray, n: np.ndarray, score: np.ndarray, stderr: np.ndarray
) -> None:
    """Refuse n_correct k, n_trials n, scores and standard errors that cannot be, each (row,), NaN
    where missing."""
    rows.refuse(k < 0, "n_correct is negative", k)
    rows.refuse(n < 0, "n_trials is negative", n)
    rows.refuse(n < 1e-6, "n_trials = 0: leave out rows without a trial", k, n)
    rows.refuse(np.abs(n - np.rint(n)) > 1e-6, "n_trials must be a whole number", n)
    rows.refuse(n > 1e15, "n_trials is no plausible count (over 1e15)", n)
    rows.refuse(k > n + 1e-6, "n_correct > n_trials", k, n)
    rows.refuse((score < -1e-9) | (score > 1 + 1e-9), "score must be in [0, 1]", score)
    rows.refuse((stderr < 0) | (stderr > 0.75), "stderr must be in [0, 0.75], as of a rate", stderr)
    rows.refuse(
        ~np.isnan(k) & np.isnan(n) & np.isnan(score),
        "n_correct without n_trials: add n_trials (1 for one greedy answer)",
        k,
    )
