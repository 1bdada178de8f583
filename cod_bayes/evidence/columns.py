"""The columns of an evidence table: their names, and what to say when one is missing."""

from collections.abc import Sequence

from cod_bayes.evidence.words import EvidenceError, Findings, some

__all__ = [
    "AMOUNTS",
    "COUNTS",
    "KEYS",
    "KNOWN",
    "MODEL_NUMBERS",
    "MODEL_TEXT",
    "NUMBERS",
    "RATES",
    "RESULTS",
    "ROLES",
    "STDERRS",
    "TEXT",
    "check_columns",
    "check_wide_columns",
    "resembles",
]

ROLES = ("ladder", "anchor", "target")

KEYS = ("benchmark", "item", "model")
MODEL_TEXT = ("family", "role")
TEXT = (*KEYS, *MODEL_TEXT, "subset")
MODEL_NUMBERS = ("params", "tokens", "step")
RESULTS = ("n_correct", "n_trials", "score", "stderr")
COUNTS = ("n_correct", "n_trials", "step")
AMOUNTS = ("compute", "params", "tokens")
RATES = ("score", "stderr", "chance")
NUMBERS = ("compute", *MODEL_NUMBERS, *RESULTS, "chance", "loss")
KNOWN = (*TEXT, *NUMBERS)

# Names that other tools give to these columns, in lower case.
_NEAR_MISSES = {
    "benchmark": "task dataset bench eval evaluation task_name benchmarks",
    "item": "question question_id doc_id doc_hash problem problem_id item_id instance_id "
    "sample_id task_id id items",
    "model": "model_name model_id checkpoint llm models",
    "compute": "flops flop training_compute train_compute train_flops training_flops "
    "compute_flops c",
    "params": "parameters n_params num_params parameter_count n_parameters",
    "tokens": "n_tokens num_tokens training_tokens train_tokens",
    "n_correct": "k correct num_correct n_passed successes is_correct acc accuracy",
    "n_trials": "n trials num_trials n_samples num_samples attempts epochs",
    "score": "acc accuracy correct is_correct acc_norm rate pass_rate pass@1 exact_match "
    "mean scores",
    "family": "model_family families",
    "subset": "subtask category subject split",
    "chance": "chance_level random_baseline guess",
    "loss": "val_loss validation_loss",
    "role": "roles",
}
# Names that other tools give to the standard error of a score. They are read as they are.
STDERRS = ("stderr", "acc_stderr", "score_stderr", "std_err", "standard_error", "se")


def check_columns(columns: Sequence[object], findings: Findings) -> None:
    """Refuse a table that lacks a required column; note the columns that are not used."""
    names = [str(c) for c in columns]
    present = set(names)
    _refuse_twice(names)
    for key in ("benchmark", "model", "item"):
        # Without items, a row is the score of a whole benchmark.
        if key != "item" or _hints(names, {key}):
            _require(key in present, f"column {key!r}", names, {key})
    _require_compute(names)
    if "n_correct" in present and "n_trials" not in present:
        add = "the table has n_correct but no n_trials; add n_trials (1 for one greedy answer)"
        raise EvidenceError("; ".join([add, *_hints(names, {"n_trials"})]))
    _require(
        "score" in present or "n_correct" in present,
        "results: expected columns 'n_correct' and 'n_trials', or 'score'",
        names,
        {"n_correct", "n_trials", "score"} - present,
    )
    if unused := [n for n in names if n not in KNOWN]:
        asides = [f"{n} (like {' or '.join(k)}?)" if (k := resembles(n)) else n for n in unused]
        findings.note(f"Columns not used: {some((a or '(no name)' for a in asides), 20)}.")


def check_wide_columns(columns: Sequence[object]) -> None:
    """Refuse a table of one row per model that lacks a required column."""
    names = [str(c) for c in columns]
    _refuse_twice(names)
    _require("model" in names, "column 'model'", names, {"model"})
    _require_compute(names)


def _refuse_twice(names: Sequence[str]) -> None:
    if twice := sorted(n for n in {*names} if n in KNOWN and names.count(n) > 1):
        raise EvidenceError(f"column {some(twice)} appears twice: keep one of each name")


def _require_compute(names: Sequence[str]) -> None:
    _require(
        "compute" in names or {"params", "tokens"} <= {*names},
        "column 'compute' (training FLOPs; or 'params' and 'tokens')",
        names,
        {"compute", "params", "tokens"} - {*names},
    )


def _require(satisfied: bool, what: str, names: Sequence[str], wanted: set[str]) -> None:
    if not satisfied:
        hint = "; ".join(_hints(names, wanted)) or (
            f"the columns are {some(names, 20) or 'none at all'}"
        )
        raise EvidenceError(f"the table has no {what}; {hint}")


def _hints(names: Sequence[str], wanted: set[str]) -> list[str]:
    """Which unknown columns look like one that is wanted."""
    sentences = []
    for name in names:
        if name not in KNOWN and (like := [repr(k) for k in resembles(name) if k in wanted]):
            sentences.append(f"column {name!r} looks like {' or '.join(like)}: rename it")
    return sentences


def resembles(name: str) -> list[str]:
    """The known columns that the name is close to."""
    plain = name.strip().lower().replace(" ", "_").replace("-", "_")
    return [k for k in KNOWN if plain == k or plain in _NEAR_MISSES.get(k, "").split()]
