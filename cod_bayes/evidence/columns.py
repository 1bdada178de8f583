"""The columns of an evidence table: their names, and what to say when one is missing."""

from collections.abc import Sequence

from cod_bayes.evidence.words import EvidenceError, Findings, some

__all__ = ["KEYS", "KNOWN", "MODEL_NUMBERS", "NUMBERS", "RESULTS", "ROLES", "TEXT", "check_columns"]

ROLES = ("ladder", "anchor", "target")

KEYS = ("benchmark", "item", "model")
TEXT = (*KEYS, "family", "subset", "role")
MODEL_NUMBERS = ("params", "tokens", "step")
RESULTS = ("n_correct", "n_trials", "score")
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


def check_columns(columns: Sequence[object], findings: Findings) -> None:
    """Refuse a table that lacks a required column; note the columns that are not used."""
    names = [str(c) for c in columns]
    present = set(names)
    if twice := sorted(n for n in present if n in KNOWN and names.count(n) > 1):
        raise EvidenceError(f"column {some(twice)} appears twice: keep one of each name")
    unused = [n for n in names if n not in KNOWN]

    def hints(wanted: set[str]) -> list[str]:
        sentences = []
        for name in unused:
            if like := [repr(k) for k in _resembles(name) if k in wanted]:
                sentences.append(f"column {name!r} looks like {' or '.join(like)}: rename it")
        return sentences

    def require(satisfied: bool, what: str, wanted: set[str]) -> None:
        if not satisfied:
            hint = "; ".join(hints(wanted)) or (
                f"the columns are {some(names, 20) or 'none at all'}"
            )
            raise EvidenceError(f"the table has no {what}; {hint}")

    for key in KEYS:
        require(key in present, f"column {key!r}", {key})
    require(
        "compute" in present or {"params", "tokens"} <= present,
        "column 'compute' (training FLOPs; or 'params' and 'tokens')",
        {"compute", "params", "tokens"} - present,
    )
    if "n_correct" in present and "n_trials" not in present:
        add = "the table has n_correct but no n_trials; add n_trials (1 for one greedy answer)"
        raise EvidenceError("; ".join([add, *hints({"n_trials"})]))
    require(
        "score" in present or "n_correct" in present,
        "results: expected columns 'n_correct' and 'n_trials', or 'score'",
        {"n_correct", "n_trials", "score"} - present,
    )
    if unused:
        asides = [f"{n} (like {' or '.join(k)}?)" if (k := _resembles(n)) else n for n in unused]
        findings.note(f"Columns not used: {some((a or '(no name)' for a in asides), 20)}.")


def _resembles(name: str) -> list[str]:
    """The known columns that the name is close to."""
    plain = name.strip().lower().replace(" ", "_").replace("-", "_")
    return [k for k in KNOWN if plain == k or plain in _NEAR_MISSES.get(k, "").split()]
