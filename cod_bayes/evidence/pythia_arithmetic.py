"""pythia-arithmetic: addition and multiplication by Pythia and its checkpoints.

EleutherAI/pythia (Apache-2.0) holds a file of each model (columns model, checkpoint, task, fewshot,
acc, acc_stderr): per task, the share of 50 sums in which one number is fixed (after Razeghi et al.
2022). The files use the sizes under which the models were first published. For checkpoint s,

    tokens D = 2,097,152 s      compute C = 6 N D FLOPs      n_correct = 50 acc of n_trials = 50

with N all parameters of the model. One benchmark per number of examples in the prompt; those with
8 and 16 are left out.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cod_bayes.evidence.public_file import Dataset, File

_TOKENS_PER_STEP = 2_097_152
_TRIALS = 50
_SHOTS = (0, 2, 4)
_PYTHIA = {  # name in the files -> name now, parameters
    "125m": ("160M", 162_322_944),
    "350m": ("410M", 405_334_016),
    "800m": ("1B", 1_011_781_632),
    "1.3b": ("1.4B", 1_414_647_808),
    "2.7b": ("2.8B", 2_775_208_960),
    "6.7b": ("6.9B", 6_857_302_016),
    "13b": ("12B", 11_846_072_320),
}


def _pythia_arithmetic(files: list[Path]) -> pd.DataFrame:
    rows = pd.concat([pd.read_csv(path) for path in files], ignore_index=True)
    rows = rows[rows["fewshot"].isin(_SHOTS)]
    old = rows["model"].str.extract(r"pythia-(.+)-deduped")[0]
    task = rows["task"].str.extract(r"num_reasoning_arithmetic_(?P<kind>.+)_(?P<number>\d+)")
    params = old.map({name: float(n) for name, (_, n) in _PYTHIA.items()})
    tokens = rows["checkpoint"] * float(_TOKENS_PER_STEP)
    size = old.map({name: now for name, (now, _) in _PYTHIA.items()})
    correct = (rows["acc"] * _TRIALS).round()
    return pd.DataFrame(
        {
            "benchmark": "PythiaArith-" + rows["fewshot"].astype(str) + "shot",
            "subset": task["kind"],
            "item": task["kind"] + "/" + task["number"],
            "model": "pythia-" + size + "-deduped@step" + rows["checkpoint"].astype(str),
            "family": "Pythia-deduped",
            "compute": 6 * params * tokens,
            "params": params,
            "tokens": tokens,
            "n_correct": correct,
            "n_trials": float(_TRIALS),
            "score": correct / _TRIALS,
            "chance": 0.0,
            "step": rows["checkpoint"],
        }
    ).reset_index(drop=True)


def _pythia_file(size: str, commit: str, folder: str, sha256: str) -> File:
    return File(
        f"pythia-{size}-deduped.csv",
        f"https://raw.githubusercontent.com/EleutherAI/pythia/{commit}/{folder}/csv/"
        f"pythia-{size}-deduped/term_frquency_all_shots.csv",
        sha256,
    )


PYTHIA_ARITHMETIC = {
    "pythia-arithmetic": Dataset(
        what="addition and multiplication, 200 items x 50 trials, with 0, 2 and 4 examples",
        ladder="Pythia 160M to 12B, 6 checkpoints each",
        licence="Apache-2.0",
        files=(
            _pythia_file(
                "125m",
                "ddad623a9395d2ecc4cf52dda5379ffd0fd82597",
                "evals",
                "32032ce00a744309a38ed2303fcc704c8a6a6312d80aeb4b89a2a40bd27c0801",
            ),
            _pythia_file(
                "350m",
                "ddad623a9395d2ecc4cf52dda5379ffd0fd82597",
                "evals",
                "1cfd6fbb2fb5c6a70494cc35944c76e599880eb26ca98ac43562155a20738814",
            ),
            _pythia_file(
                "800m",
                "ae1ce75d43f08844a8cc6e959d9291cd8061f994",
                "results",
                "464f5f8d690129fad4f764414ab54d039a0c86450f1fa6f3e0217a0d2a099b0a",
            ),
            _pythia_file(
                "1.3b",
                "5790edb6bb237ea94ad8115f28aa79ff9a772902",
                "evals",
                "51816cd51dc50a9152b40bc23a6e42d0a23f5591eb37a9835f34aad20344f49e",
            ),
            _pythia_file(
                "2.7b",
                "529a3f3603b4c81f7c6df19b95c75c02ae89d1e8",
                "results",
                "4544d5107e6f920d5cfbd8b331c3bf8d7a37ad29e869648c2bab0ded23ae9349",
            ),
            _pythia_file(
                "6.7b",
                "27326cc9b468ac7a086a8c53fee7108805dd8380",
                "evals",
                "7f68fe83fa9b0ade4390f54ef95001bb787c6d8cce237cb9dd6f3d608c5d7b1b",
            ),
            _pythia_file(
                "13b",
                "b0aa58402619dba605534284acb6605e300000e5",
                "results",
                "9eb8d13c88a7493e3799be11baf6e89ff8ebf00c5b23efd5ef9a7086f1ce0473",
            ),
        ),
        convert=_pythia_arithmetic,
    ),
}
