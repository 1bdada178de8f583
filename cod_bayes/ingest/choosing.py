"""Which score: one metric and filter for each task.

Only metrics that tell right answers from wrong are offered: all scores in [0, 1], and higher is
better. Each other metric has its reason, which errors and notes name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from cod_bayes.ingest.answers import Answers
from cod_bayes.ingest.json_logs import IngestError

__all__ = ["Choice", "Task", "choose", "first_of", "show"]

Task = tuple[str, str]  # benchmark, subset
Choice = tuple[str, str]  # metric, filter


def choose(
    answers: Collection[Answers], metrics: Sequence[str], filters: Sequence[str]
) -> tuple[dict[Task, Choice], list[str]]:
    """The metric and filter of each task, and notes on them.

    `metrics` and `filters` are in order of preference. A task skips a name that it lacks, because
    logs of several benchmarks seldom share one metric. A name that no log has is refused. A task
    without any usable metric is left out if others have one.
    """
    tasks: dict[Task, list[Answers]] = {}
    for one in answers:
        tasks.setdefault((one.benchmark, one.subset), []).append(one)
    _refuse_unknown("metric", metrics, {m for a in answers for m in a.scores})
    _refuse_unknown("filter", filters, {a.filter for a in answers})
    chosen: dict[Task, Choice] = {}
    unclear: dict[str, list[str]] = {}  # choices -> tasks
    replaced: dict[str, list[str]] = {}  # what is used instead -> tasks
    unusable: dict[str, list[str]] = {}  # why -> tasks
    misread: dict[str, list[str]] = {}  # metric that holds texts -> tasks
    for task, logs in tasks.items():
        name = task[1] or task[0]
        available = sorted({(metric, one.filter) for one in logs for metric in one.scores})
        reasons = {choice: _why_not(choice, logs) for choice in available}
        options = [choice for choice in available if not reasons[choice]]
        for what, wanted, k in (("metric", metrics, 0), ("filter", filters, 1)):
            named = next((n for n in wanted if n in {choice[k] for choice in available}), None)
            if named is not None:
                options = [choice for choice in options if choice[k] == named]
            elif wanted and len(options) == 1 and options[0][k] != "none":
                used = f"no {what} {wanted[0]}, {show(options[0])} is used"
                replaced.setdefault(used, []).append(name)
        if not options:
            named_ones = [c for c in available if c[0] in metrics] or available
            alike: dict[str, list[str]] = {}
            for choice in named_ones:
                alike.setdefault(reasons[choice] or "not chosen", []).append(show(choice))
            why = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in alike.items())
            unusable.setdefault(why or "no metric", []).append(name)
        elif len(options) == 1:
            chosen[task] = options[0]
        else:
            unclear.setdefault(", ".join(map(show, options)), []).append(name)
        for choice, why in reasons.items():
            if options and "no number" in why and "'" in why:
                misread.setdefault(f"{show(choice)} is not offered: {why}", []).append(name)
    if unusable and not chosen and not unclear:
        why, names = next(iter(unusable.items()))
        logs = next(logs for task, logs in tasks.items() if (task[1] or task[0]) == names[0])
        raise IngestError(
            f"{logs[0].source}: expected scores in [0, 1] of {first_of(names)}, higher for better, "
            f"got others ({why}); choose a metric that tells right answers from wrong"
        )
    if unclear:
        lines = (f"{first_of(names)}: {choices}" for choices, names in unclear.items())
        raise IngestError(
            "expected one score per answer, but the logs have several; choose with metric= "
            f"(--metric) or filter= (--filter): {'; '.join(lines)}"
        )
    return chosen, [
        *(f"{first_of(names)}: {used}." for used, names in replaced.items()),
        *(
            f"{first_of(names)}: left out, having no score in [0, 1], higher for better ({why})."
            for why, names in unusable.items()
        ),
        *(f"{first_of(names)}: {what}." for what, names in misread.items()),
        *_unlike(chosen),
    ]


def first_of(names: Sequence[str]) -> str:
    return names[0] + (f" and {len(names) - 1:,} more" if len(names) > 1 else "")


def show(choice: Choice) -> str:
    metric, filter = choice
    return metric if filter == "none" else f"{metric} ({filter})"


def _refuse_unknown(what: str, wanted: Sequence[str], names: Iterable[str]) -> None:
    for name in wanted:
        if name not in names:
            raise IngestError(
                f"expected a {what} of the logs, got {name!r}; there are: "
                f"{', '.join(sorted(names)) or 'none'}"
            )


def _unlike(chosen: dict[Task, Choice]) -> list[str]:
    """Notes on benchmarks that join tasks of different metrics."""
    of: dict[str, set[Choice]] = {}
    for (benchmark, _), choice in chosen.items():
        of.setdefault(benchmark, set()).add(choice)
    return [
        f"{name}: joins tasks under different metrics ({', '.join(map(show, sorted(choices)))}), "
        "so its mean is no figure that a log reports."
        for name, choices in of.items()
        if len(choices) > 1
    ]


def _why_not(choice: Choice, answers: Sequence[Answers]) -> str:
    """Why the choice is no rate of right answers; "" where it is one."""
    metric, filter = choice
    low, high, whole = np.inf, -np.inf, True
    for one in answers:
        if one.filter != filter or metric not in one.scores:
            continue
        if metric in one.worse:
            return "better when lower, as the log says"
        if metric in one.odd:
            return f"holds {one.odd[metric]}, which is no number"
        scores = one.scores[metric]
        scores = scores[~np.isnan(scores)]
        if scores.size:
            low, high = min(low, scores.min()), max(high, scores.max())
            whole &= bool((scores == np.round(scores)).all())
    if high < low:
        return "no value"
    if 0 <= low and high <= 1:
        return ""
    if low < 0:
        return f"values down to {low:.4g}, as logarithms or differences have"
    if high <= 10 and whole:
        return f"values from {low:.4g} to {high:.4g}, as grades have"
    if high <= 100:
        return f"values up to {high:.4g}, as percent have, so divide them by 100"
    return f"values up to {high:.4g}"
