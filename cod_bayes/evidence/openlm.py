"""openlm-c4: 46 tasks and the losses of 15 OpenLM models on C4, at 20, 80 and 320 tokens per
parameter.

mlfoundations/scaling (MIT; Gadre et al. 2024) holds two files for each model: its scores
(eval_metrics -> icl -> task -> score) and its training (hyperparameters -> params, tokens; results,
of which the one on c4_val is the loss). `eval_metadata.csv` has the number of questions and the
chance level of each task; ARC-Challenge has 1,172 questions, not the number there. Compute is
C = 6 N D FLOPs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from cod_bayes.evidence.public_file import Dataset, File

_COMMIT = "a003c4913793ac2ae7ef87b28ecb562955d026d5"
_QUESTIONS = {"arc_challenge": 1172.0}  # where the published number is wrong
_METADATA = File(
    "eval_metadata.csv",
    f"https://raw.githubusercontent.com/mlfoundations/scaling/{_COMMIT}/exp_data/eval_metadata.csv",
    "8cd5243244a6890c8cec31cf7752901131f1da479b3c4920e37eb65ad608089c",
)
# Model -> SHA-256 of its scores, of its training.
_MODELS = {
    "d=96_l=8_h=4-1.0": (
        "866e0290c817c27a79ef8c0201037213b33d98baf8c157169b92798eb244faff",
        "8a842ca6fe95a77679dc877bade9113a220b9a4756e4228ab323a149ed340233",
    ),
    "d=96_l=8_h=4-4.0": (
        "d16faaa2f9cf9f9fb613c7dbdf7ed614aa470b3ae853cc5ea797e58041696a79",
        "35ef4a6c6afdac9e9f827091793d7cc60fe07c783177da6c9a819d7061f71ca8",
    ),
    "d=96_l=8_h=4-16.0": (
        "c4f084faaa29c08db678320948e5638b45c13c21f03eb6bbc05e7234774f918f",
        "f2c8a87897fb0d4ddce76e5cb8ba984161a55f692201f4b1119437d2c7025342",
    ),
    "d=512_l=8_h=4-1.0": (
        "a0e372b660a0b1a9fa358f04b889d522ff160f8580cf77dd96e1b168e4760dea",
        "e5f2c7b3bdda02424cd591435d300e26560292d24ad15b50f6afecd9a15b0fd1",
    ),
    "d=512_l=8_h=4-4.0": (
        "64082ee774687d5dcfc52716e70d503894b59cd93fc496cce7b81bc9342fb745",
        "a8720039978ee439ce505994bb174de3ecc38991c6b21f4765fa2912f4a50807",
    ),
    "d=512_l=8_h=4-16.0": (
        "10834f7157f78b8c9e8f8f0c5159a84ff89ca741f146683c16dd459a27bca7a1",
        "6d4fe9c69f0033a625af5c27d79f0c58d1e7b5e668d8e929304f445d4bb2281c",
    ),
    "d=576_l=24_h=8-1.0": (
        "06ae03cea1857771253deed34a6180e800da0b7fb086177b57a86852c50cd4c9",
        "4323af0fd98e6680ad7fb54ba5da8295711008b97d672ea8b85ca832b23700b5",
    ),
    "d=576_l=24_h=8-4.0": (
        "0b49254ae617f3758a1d32e7069ca3a0dd526a83aced3f391c8cbd46a555c0b3",
        "538f84ae4f1ec029f6a7a0dd3f5575ca521b6b187d05937158c804866dd72116",
    ),
    "d=576_l=24_h=8-16.0": (
        "8086d1d5c842b1d5dbf4e692bc99bcfb9432d98182d6b73a79c54d9a1fe957e2",
        "f3a79b2c2287ae5aa7dc6d9993880d19a90e9b64bcecd5638bb825b90b7144d9",
    ),
    "d=1024_l=24_h=8-1.0": (
        "97894c818c678fb3d71b759ab8d4539d939735b38c96c2958d077b30db38a9b9",
        "bf6b68b49d3d1dd9779650fbf4a7a47051d2696bdb1c5d8b4c4ad6d66ee216f4",
    ),
    "d=1024_l=24_h=8-4.0": (
        "dc03cdca25516add5735045a64db1edb6aa4245c2f7b72d53a356ac91f862afc",
        "f6a0b2ad7dace1f4813cb4f6b809ade12448ea4d0e0a045ca9b1377ef6766c42",
    ),
    "d=1024_l=24_h=8-16.0": (
        "19b415d6f05ef852b1713337a3d849a7de47d026e04393e5f05c6723013aa52d",
        "6881e8bcfd2439f52f0ffa1a20bfc3244b6b2da16dc9576e689d720db1c3864d",
    ),
    "open_lm_1b-1.0": (
        "665dca20f7dc054994e4e337696544eff8871d7280790a7889fea98236f49c4f",
        "dc5aff812d1bcdf05d89b4300a1b572a562a28734e2a2c46ccfeaee36f8cc61e",
    ),
    "open_lm_1b-4.0": (
        "8679ee3e4f7ed62a6723690607a99ab93d4f67bbca30473374ff5398747b66ed",
        "964579a5f56d9fcf46c64cabf82b00737c097779225829f4549bffb49ab813c0",
    ),
    "open_lm_7b-1.0": (
        "73682bf8c39cea0fd0b224d2c310dd256feec6552ff0b4936668294444b6b62b",
        "839abd366bde620f9970f6d2331982ad5c5c05703470fd28a8e153c2f695ea6f",
    ),
}


def _table(files: list[Path]) -> pd.DataFrame:
    """A row for each model and task; files: the metadata, then the two of each model."""
    metadata = pd.read_csv(files[0]).set_index("Eval Task")
    rows = []
    for scores, training in zip(files[1::2], files[2::2], strict=True):
        trained = json.loads(training.read_text(encoding="utf-8"))
        size = trained["hyperparameters"]
        N, D = float(size["params"]), float(size["tokens"])
        scored = json.loads(scores.read_text(encoding="utf-8"))["eval_metrics"]["icl"]
        for task, score in scored.items():
            rows.append(
                {
                    "benchmark": task,
                    "item": "all",
                    "model": trained["name"],
                    "family": "openlm-c4",
                    "compute": 6 * N * D,
                    "params": N,
                    "tokens": D,
                    "loss": _loss(trained["results"]),
                    "n_trials": _QUESTIONS.get(task, float(metadata.loc[task, "#datapoints"])),
                    "score": score,
                    "chance": metadata.loc[task, "Random baseline"] / 100,
                }
            )
    return pd.DataFrame(rows)


def _loss(results: list[dict[str, Any]]) -> float:
    """Nats per token on C4's validation set."""
    (found,) = [r["loss"] for r in results if any("/c4_val/" in data for data in r["val_data"])]
    return float(found)


def _files(model: str, of_scores: str, of_training: str) -> tuple[File, File]:
    root = f"https://raw.githubusercontent.com/mlfoundations/scaling/{_COMMIT}/exp_data/"
    scores, training = f"evaluation_c4_original-{model}_heavy.json", f"c4_original-{model}.json"
    return (
        File(scores, f"{root}evals/{scores}", of_scores),
        File(training, f"{root}models/{training}", of_training),
    )


OPENLM = {
    "openlm-c4": Dataset(
        what="46 tasks, and the loss",
        ladder="OpenLM 11M to 6.9B on C4, at 20, 80 and 320 tokens per parameter",
        licence="MIT",
        files=(_METADATA, *(f for name, of in _MODELS.items() for f in _files(name, *of))),
        convert=_table,
    )
}
