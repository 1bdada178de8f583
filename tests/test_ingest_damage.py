"""Logs without answers that are damaged: refused with an IngestError, or read; no other error."""

import itertools
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from log_writers import spots

from cod_bayes.ingest import IngestError, ingest

DATA = Path(__file__).parent / "data"
LOGS = {
    "lm-eval": ("ingest/lm-eval-0.4.13", "org__large/results_*.json"),
    "inspect": ("ingest_totals/inspect-0.3.285", "*_chosen_*.json"),
    "helm": ("ingest_totals/helm-0.5.16", "runs/v1/*/stats.json"),
    "helm, run_spec": ("ingest_totals/helm-0.5.16", "runs/v1/*/run_spec.json"),
    "every-eval-ever": ("ingest_totals/every-eval-ever-0.3.0", "*.json"),
    "opencompass": ("ingest/opencompass-0.5.4", "*/results/toy-large/plain.json"),
}
NAMES = "org/small org/large mockllm/small mockllm/large simple/model1 toy-small toy-large".split()
MODELS = pd.DataFrame({"model": NAMES, "compute": [1e18 * 4**n for n in range(len(NAMES))]})


METRICS = {"lm-eval": "acc", "inspect": "match", "helm": "exact_match", "every-eval-ever": "acc"}


def read(folder):
    """What was ingested, or why it was refused."""
    filter = "strict" if folder.name == "lm-eval" else None
    try:
        return ingest(folder, models=MODELS, metric=METRICS.get(folder.name), filter=filter)
    except IngestError as error:
        return str(error)


@pytest.fixture
def copied(tmp_path):
    """name -> (a copy of its logs without samples, the file to damage)."""

    def copy(name):
        source, pattern = LOGS[name]
        folder = tmp_path / name.partition(",")[0]
        shutil.copytree(DATA / source, folder)
        for path in folder.rglob("samples_*"):
            path.unlink()
        return folder, next(folder.glob(pattern))

    return copy


@pytest.mark.parametrize("name", LOGS)
def test_values_of_another_kind(name, copied):
    folder, path = copied(name)
    whole = json.loads(path.read_text())
    assert not isinstance(read(folder), str)
    junk = itertools.cycle(
        ["null", "7", "-1.5", "[[1]]", "{}", '"text"', "[]", '{"a": {}}', "true"]
    )
    for place in list(spots(whole)):
        changed = json.loads(json.dumps(whole))
        if place:
            inner = changed
            for step in place[:-1]:
                inner = inner[step]
            inner[place[-1]] = json.loads(next(junk))
        else:
            changed = json.loads(next(junk))
        path.write_text(json.dumps(changed))
        read(folder)


@pytest.mark.parametrize("name", LOGS)
def test_a_cut_file(name, copied):
    folder, path = copied(name)
    whole = path.read_bytes()
    for part in (0.3, 0.6, 0.95):
        path.write_bytes(whole[: int(part * len(whole))])
        found = read(folder)
        said = [found] if isinstance(found, str) else found.notes
        assert any(path.name in text or str(folder) in text for text in said)
