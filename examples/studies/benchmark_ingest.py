"""Time and peak memory of `ingest` for large lm-evaluation-harness logs.

    python examples/studies/benchmark_ingest.py --rows 1000000

Writes logs of invented answers (models x tasks, four options each, in lm_eval's format) to a
temporary folder, ingests them in a fresh process, and prints time and peak memory.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODELS, TASKS = 10, 4
TIME = "2026-01-31T12-00-00.000000"

# It runs in a process of its own, so that the peak is that of ingest alone.
CHILD = """
import json, resource, sys, time
from cod_bayes.ingest import ingest
start = time.perf_counter()
found = ingest(sys.argv[1], models=sys.argv[2], metric="acc")
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB on Linux
print(json.dumps({"seconds": seconds, "peak": peak, "rows": len(found.table)}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        models = write_logs(Path(folder), rows)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.jsonl"))
        print(
            f"written   {rows:,} rows, {size / 2**30:.2f} GiB, {time.perf_counter() - start:.0f} s"
        )
        child = [sys.executable, "-c", CHILD, folder, str(models)]
        taken = json.loads(subprocess.run(child, check=True, capture_output=True).stdout)
    print(
        f"ingested  {taken['rows']:,} rows in {taken['seconds']:.1f} s "
        f"({rows / taken['seconds']:,.0f} rows/s), peak memory {taken['peak']:.2f} GiB"
    )


def write_logs(folder: Path, rows: int) -> Path:
    """Writes logs with `rows` rows in all; returns the path of the table of models."""
    dice = random.Random(0)
    items = rows // (MODELS * TASKS)
    names = [f"toy-{10 * (model + 1)}m" for model in range(MODELS)]
    for name in names:
        run = folder / name
        run.mkdir()
        about = {"model_name": name, "versions": dict.fromkeys(_tasks(), 1.0)}
        (run / f"results_{TIME}.json").write_text(json.dumps(about))
        for task in _tasks():
            with (run / f"samples_{task}_{TIME}.jsonl").open("w") as file:
                file.writelines(_row(task, item, dice) for item in range(items))
    table = folder / "models.csv"
    lines = (f"{name},{10**19 * 2**place}" for place, name in enumerate(names))
    table.write_text("\n".join(["model,compute", *lines]))
    return table


def _tasks() -> list[str]:
    return [f"task{number}" for number in range(TASKS)]


def _row(task: str, item: int, dice: random.Random) -> str:
    text = f"Question {item} of {task}: " + "what follows from the words before it? " * 8
    options = [f" option {letter} of {item}" for letter in "abcd"]
    logs = [[str(-10 * dice.random()), "False"] for _ in options]
    digest = hashlib.sha256(text.encode()).hexdigest()
    row = {
        "doc_id": item,
        "doc": {"query": text, "choices": options, "gold": 0},
        "target": "0",
        "arguments": {
            f"gen_args_{n}": {"arg_0": text, "arg_1": option} for n, option in enumerate(options)
        },
        "resps": [[log] for log in logs],
        "filtered_resps": logs,
        "filter": "none",
        "metrics": ["acc", "acc_norm"],
        "doc_hash": digest,
        "prompt_hash": digest,
        "target_hash": digest,
        "acc": float(dice.random() < 0.5),
        "acc_norm": float(dice.random() < 0.5),
    }
    return json.dumps(row) + "\n"


if __name__ == "__main__":
    main()
