"""pythia-tasks, opt-tasks and bloom-tasks: suites of lm-evaluation-harness, without examples.

EleutherAI/pythia (Apache-2.0) holds the harness's own file of each model: results -> task -> acc,
acc_stderr. For a task of n questions

    acc_stderr^2 = acc (1 - acc) / (n - 1)      n_correct = n acc

gives n. The 57 subjects of MMLU are the items of one benchmark; each other task is a benchmark.
Tasks without a chance level in the list below (likelihoods of stereotypes) are left out. Compute is
C = 6 N D FLOPs with N all parameters. D is 143,000 steps of 2,097,152 tokens for Pythia, 180e9, its
corpus, for OPT (Zhang et al. 2022), and 341e9 for BLOOM (its model cards).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from cod_bayes.evidence.public_file import Dataset, File

_COMMIT = "a19eecb807ec2c79a39ebf18108816e6ffffc1d5"
_CHANCE = {
    "arc_challenge": 0.25,
    "arc_easy": 0.25,
    "lambada_openai": 0.0,
    "logiqa": 0.25,
    "piqa": 0.5,
    "sciq": 0.25,
    "winogrande": 0.5,
    "wsc": 0.5,
}
_MMLU = "hendrycksTest-"

# Size in the file's name -> parameters, SHA-256.
_PYTHIA = {
    "70m": (70_426_624, "ea9d46b8c91c29c735c021e25d183a8fdf58061991999c3d2cb09cb76c67d6e8"),
    "160m": (162_322_944, "6f548b6072de3da1af589ce51eaf5f28749e3063babc8025de9b894ef432dcd7"),
    "410m": (405_334_016, "2dc4cb967fa0482866cf34411fc09a10bf7450740bb66aa8bd38238fd38bfe53"),
    "1b": (1_011_781_632, "24ebf9080e9f17cfe3e67e91172f829b7de3b18c5002351a890d88300211721f"),
    "1.4b": (1_414_647_808, "b5134716dfa51dda0c048595ab2d768f9d2f43153e23f5fe06f1784a6a4cd9e8"),
    "2.8b": (2_775_208_960, "e8635a17394c4ce76e3811f2c0574e3da0419f0266c144d4a9ef11d3780734cf"),
    "6.9b": (6_857_302_016, "01410ed6a04bb8d4ae9c35dccab9296dfdeb0fa7f10cb5d8acbda4963b2a4d87"),
    "12b": (11_846_072_320, "350457057b57691391fd045b5d3d7fc63851219f88a4661436050cb2598d9ed2"),
}
_OPT = {
    "125m": (125e6, "0a8128197147728112b353a42a090ac15ac83bfa83aed122d10e096a10c1793a"),
    "350m": (331e6, "679ef01aa8c087297255bc41a666ee244e3afc6e17ab4c6e4159fa01e7883560"),
    "1.3b": (1316e6, "c7fc49c8698ad34269d0496207349385c7a13992379cdc8612e03bb4d928f151"),
    "2.7b": (2652e6, "01a34f529f0b03fb220831a74c69867ba347b215c4122cefd488463477eeec8d"),
    "6.7b": (6658e6, "524dd084c9699492889bc43cbeb3af43e886de8171669efa2b97772296786250"),
    "13b": (12850e6, "cba0ea4c8f6976573947bf632fc3e4446b476f4ecd100f027084c5dc9d88f685"),
    "30b": (29970e6, "1bedf4c5ad2a234a6fa565a2b02e1dad8fe0e45c5a5f723554c661c0806423df"),
    "66b": (65700e6, "7ed04176d6ac1364a7c84f766f573a3d4015114f2f3634cbaa635fb808c222c7"),
}
_BLOOM = {
    "560m": (559e6, "de5f9c35354b893c9ca3ea22ed734fb9875f11f9d2554ee15325f945e9de97e2"),
    "1b1": (1065e6, "717a4d0136382c2422f3d823f386cea4d02e2f6c8c27e65e6a5784f50ba7507f"),
    "1b7": (1722e6, "7c1a4e1df5410d3742b9b830077f6e711247b7d38ec203c709975adcbeaa10b1"),
    "3b": (3003e6, "4b9055cbac9a166c2524b326ffe16f78f2179f642f47ad347a7a0a043c795db4"),
    "7b1": (7069e6, "a4b87554bce41299a6a540093b59826e7cf9ef5fcf494a5c314e7eebf42686e1"),
}


def _table(
    files: Iterable[Path], *, family: str, params: Iterable[float], tokens: float
) -> pd.DataFrame:
    """A row for each model and task; the files in the order of `params`."""
    rows = []
    for path, N in zip(files, params, strict=True):
        for task, found in json.loads(path.read_text(encoding="utf-8"))["results"].items():
            mmlu = task.startswith(_MMLU)
            if not mmlu and task not in _CHANCE:
                continue
            acc, stderr = found["acc"], found["acc_stderr"]
            n = round(acc * (1 - acc) / stderr**2) + 1 if stderr > 0 else np.nan
            rows.append(
                {
                    "benchmark": "mmlu" if mmlu else task,
                    "item": task.removeprefix(_MMLU) if mmlu else "all",
                    "model": path.stem,
                    "family": family,
                    "compute": 6 * N * tokens,
                    "params": float(N),
                    "tokens": tokens,
                    "n_trials": n,
                    "score": acc,
                    "chance": 0.25 if mmlu else _CHANCE[task],
                }
            )
    table = pd.DataFrame(rows)
    # A model with no right answer, or no wrong one, has a stderr of 0.
    n = table.groupby(["benchmark", "item"])["n_trials"].transform("max")
    return table.assign(n_trials=n, n_correct=(table["score"] * n).round())


def _dataset(
    family: str, ladder: str, path: str, sizes: Mapping[str, tuple[float, str]], tokens: float
) -> Dataset:
    """path: of a file in the repository, with {} for the size."""
    root = f"https://raw.githubusercontent.com/EleutherAI/pythia/{_COMMIT}/evals/"
    names = {size: path.format(size, size) for size in sizes}
    params = [N for N, _ in sizes.values()]
    return Dataset(
        what="MMLU (57 subjects) and eight tasks, without examples",
        ladder=ladder,
        licence="Apache-2.0",
        files=tuple(
            File(name.rsplit("/", 1)[-1], root + name, sizes[size][1])
            for size, name in names.items()
        ),
        convert=partial(_table, family=family, params=params, tokens=tokens),
    )


_PYTHIA_PATH = "pythia-v1/pythia-{}-deduped/zero-shot/{}-deduped_step143000.json"
HARNESS_TASKS = {
    "pythia-tasks": _dataset(
        "Pythia-deduped", "Pythia 70M to 12B", _PYTHIA_PATH, _PYTHIA, 143_000 * 2_097_152.0
    ),
    "opt-tasks": _dataset("OPT", "OPT 125M to 66B", "opt/opt-{}.json", _OPT, 180e9),
    "bloom-tasks": _dataset("BLOOM", "BLOOM 560M to 7.1B", "bloom/bloom-{}.json", _BLOOM, 341e9),
}
