"""Which runs measure the same: runs are told apart by their settings, and chosen by them.

Two runs of one model on one task give trials or repeat each other only if all their settings are
equal. Runs that differ are refused by name; `where` chooses among them.

    "shots=5"               runs whose setting matches (a pattern such as step* works)
    "task!=wikitext"        runs whose setting does not

Of one name, one of several "=" must match, and none of the "!=". A name is that of a setting, the
part of it after the last dot, or model, task, run or file. A run without the setting has "none".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from cod_bayes.ingest.answers import Answers
from cod_bayes.ingest.choosing import first_of
from cod_bayes.ingest.json_logs import IngestError

__all__ = ["differences", "refuse_mixed", "select"]

_FACTS = ("model", "task", "run", "file")


def select(answers: Sequence[Answers], where: Sequence[str]) -> tuple[list[Answers], list[str]]:
    """The answers of the runs that `where` chooses, and notes on what it leaves out.

    Raises IngestError for a condition that is none, a name that no run has, and when nothing is
    left.
    """
    wanted: dict[str, list[str]] = {}
    unwanted: dict[str, list[str]] = {}
    for condition in where:
        name, sign, value = condition.partition("=")
        if not sign or not name.strip("! "):
            raise IngestError(
                f"expected a condition such as shots=5 or task!=wikitext, got {condition!r}"
            )
        unequal = name.endswith("!")
        (unwanted if unequal else wanted).setdefault(name.strip("! "), []).append(value.strip())
    kept = list(answers)
    notes = []
    for name in dict.fromkeys([*wanted, *unwanted]):
        values = [_values(one, name) for one in answers]
        if name not in _FACTS and all(value == ["none"] for value in values):
            raise IngestError(
                f"expected a setting of the runs, got {name!r}; those that differ are: "
                f"{_listed(answers) or 'none'}; and there are model, task, run, file"
            )
        for pattern in unwanted.get(name, []):
            if not any(_matches(found, [pattern]) for found in values):
                raise IngestError(
                    f"expected runs to leave out with {name}!={pattern}, got none of {name} "
                    f"{pattern}; the runs have {_some({text for v in values for text in v})}"
                )
        before = len({(one.model, one.run, one.task) for one in kept})
        kept = [
            one
            for one in kept
            if (name not in wanted or _matches(_values(one, name), wanted[name]))
            and not _matches(_values(one, name), unwanted.get(name, []))
        ]
        if not kept:
            found = _some({text for value in values for text in value})
            conditions = [condition for condition in where if condition.startswith(name)]
            raise IngestError(
                f"expected runs with {' or '.join(conditions)}, got none; the runs have {name} "
                f"{found}"
            )
        if left := before - len({(one.model, one.run, one.task) for one in kept}):
            conditions = [condition for condition in where if condition.startswith(name)]
            notes.append(f"{', '.join(conditions)} leaves out {left:,} of {before:,} results.")
    return kept, notes


def refuse_mixed(answers: Iterable[Answers]) -> list[str]:
    """Notes on settings that differ between models.

    Raises IngestError for a model that has runs of one task with different settings.
    """
    tasks = _by_task(answers)
    mixed: dict[str, list[str]] = {}  # sentence -> "task of model"
    differing: dict[str, list[str]] = {}
    for task, models in tasks.items():
        for model, runs in models.items():
            if found := differences(runs):
                sentence = (
                    f"expected runs that measure the same, got runs that differ in "
                    f"{_described(found)}; choose with where= (--where), such as --where "
                    f"{_example(found, runs)}, or ingest them apart"
                )
                mixed.setdefault(sentence, []).append(f"{task} of {model}")
        all_runs = [run for runs in models.values() for run in runs]
        for name, values in differences(all_runs).items():
            if not name.startswith("model."):
                differing.setdefault(f"{_short(name)} ({_some(values)})", []).append(task)
    if mixed:
        sentence, cases = next(iter(mixed.items()))
        raise IngestError(f"{first_of(cases)}: {sentence}")
    return [
        f"{first_of(tasks)}: models differ in {what}: such scores do not compare."
        for what, tasks in differing.items()
    ]


def _by_task(answers: Iterable[Answers]) -> dict[str, dict[str, list[Answers]]]:
    """task -> model -> its runs."""
    tasks: dict[str, dict[str, list[Answers]]] = {}
    for one in answers:
        tasks.setdefault(one.task, {}).setdefault(one.model, []).append(one)
    return tasks


def differences(runs: Iterable[Answers]) -> dict[str, set[str]]:
    """The settings that differ among runs, and their values."""
    settings = list({id(run.settings): run.settings for run in runs if run.settings}.values())
    if all(one == settings[0] for one in settings):
        return {}
    names = dict.fromkeys(name for one in settings for name in one)
    values = {name: {one.get(name, "none") for one in settings} for name in names}
    return {name: found for name, found in values.items() if len(found) > 1}


def _values(one: Answers, name: str) -> list[str]:
    """The values that a condition on `name` is about."""
    if name in _FACTS:
        task = [one.task, one.benchmark, *([one.subset] if one.subset else []), *one.groups]
        return {
            "model": [one.model],
            "task": task,
            "run": [one.run],
            "file": [str(one.source), one.source.name],
        }[name]
    found = [v for key, v in one.settings.items() if key == name or _short(key) == name]
    return found or ["none"]


def _matches(values: Iterable[str], patterns: Sequence[str]) -> bool:
    return any(
        value == pattern or fnmatchcase(value, pattern) for value in values for pattern in patterns
    )


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _listed(answers: Iterable[Answers]) -> str:
    """The settings that differ between runs of one task, with their values."""
    found: dict[str, set[str]] = {}
    for models in _by_task(answers).values():
        for name, values in differences(run for runs in models.values() for run in runs).items():
            found.setdefault(name, set()).update(values)
    return _described(found)


def _described(found: Mapping[str, set[str]]) -> str:
    # Other settings explain why prompts differ.
    named = {n: v for n, v in found.items() if n != "model.prompt"} or found
    return "; ".join(f"{_short(name)} ({_some(values)})" for name, values in named.items())


def _example(found: Mapping[str, set[str]], runs: Sequence[Answers]) -> str:
    """A condition that chooses one of the runs, as it is typed in a shell."""
    plain = re.compile(r"[\w.+@/:-]{1,40}")
    for name, values in found.items():
        if all(plain.fullmatch(value) for value in values):
            return f"{_short(name)}={min(values)}"
    names = [run.run for run in runs]
    if len(set(names)) > 1 and plain.fullmatch(names[-1]):
        return f"run={names[-1]}"
    return f"'file={runs[-1].source}'"


def _some(values: Iterable[str], most: int = 6) -> str:
    texts = sorted(v if len(v) <= 40 else v[:37] + "..." for v in values)
    more = f" and {len(texts) - most:,} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more
