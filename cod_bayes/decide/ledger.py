"""A ledger of settled forecasts: how well they have done together so far.

A ledger is a CSV file with one row for each result, in the order in which they were settled. A
registration is entered once for each benchmark and compute. After n rows, indexes left out,

    coverage50, coverage90   share of results inside the 50 % and the 90 % interval
    mae, crps                mean absolute error of the median, mean CRPS
    pit_mean, pit_ks         mean PIT, and the largest distance between the distribution of the PITs
                             and the uniform one (Kolmogorov); 1.36 / sqrt(n) is its 95 % quantile
                             for calibrated forecasts of independent results
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cod_bayes.writing import replacing

_IDENTITY = ["registration_sha256", "benchmark", "compute"]
_SCORES = ["actual", "median", "error", "crps", "in50", "in90", "pit", "log_score"]
COLUMNS = ["settled", "registered", *_IDENTITY, "is_index", *_SCORES]


def read_ledger(path: str | Path) -> pd.DataFrame:
    """The rows of a ledger; none if there is no file yet.

    Raises:
        ValueError: another kind of table.
    """
    if not Path(path).exists():
        return pd.DataFrame(columns=COLUMNS)
    try:
        table = pd.read_csv(path, dtype={"benchmark": str, "registration_sha256": str})
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected a ledger in CSV: {error}") from error
    numbers = [name for name in _SCORES if name in table]
    finite = table[numbers].apply(pd.to_numeric, errors="coerce").notna().all(axis=None)
    if list(table.columns) != COLUMNS or not finite:
        raise ValueError(
            f"{path}: expected a ledger with the columns {COLUMNS} and numbers as scores, got "
            f"{list(table.columns)}; give the file of an earlier settlement or a new name"
        )
    return table


def check_new(path: str | Path, record: Mapping[str, Any], scores: pd.DataFrame) -> pd.DataFrame:
    """The ledger's rows, if the scores of `cod_bayes.decide.register.settle` are not among them.

    Raises:
        ValueError: what `read_ledger` refuses, or a result that is in it.
    """
    ledger = read_ledger(path)
    of = ledger[ledger["registration_sha256"] == record["sha256"]]
    known = {*zip(of["benchmark"], of["compute"], strict=True)}
    for name, compute in zip(scores["benchmark"], scores["compute"], strict=True):
        if (name, compute) in known:
            raise ValueError(
                f"{path}: expected results that are not in the ledger yet, got {name!r} of the "
                f"registration {record['sha256'][:12]}, which is; a forecast is settled once"
            )
    return ledger


def enter(path: str | Path, record: Mapping[str, Any], scores: pd.DataFrame) -> pd.DataFrame:
    """Add the scores of `cod_bayes.decide.register.settle` to the ledger of this name.

    Returns:
        All its rows.

    Raises:
        ValueError: as `check_new`.
    """
    ledger = check_new(path, record, scores)
    rows = scores.assign(
        settled=datetime.now(UTC).date().isoformat(),
        registered=record["created"],
        registration_sha256=record["sha256"],
        is_index=scores["benchmark"].isin(record.get("indexes", {})),
    )[COLUMNS]
    ledger = rows if ledger.empty else pd.concat([ledger, rows], ignore_index=True)
    with replacing(Path(path)) as part:
        ledger.to_csv(part, index=False)
    return ledger


def running(ledger: pd.DataFrame) -> pd.DataFrame:
    """One row after each registration, in the order of the ledger: registered, n (results so far),
    and the figures of the module.

    Raises:
        ValueError: an empty ledger.
    """
    if ledger.empty:
        raise ValueError("expected a ledger with results, got none; settle a registration first")
    rows = []
    so_far = ledger.iloc[:0]
    for sha, part in ledger.groupby("registration_sha256", sort=False):
        so_far = part if so_far.empty else pd.concat([so_far, part])
        own = so_far[~so_far["is_index"].astype(bool)]
        counted = so_far if own.empty else own
        pit = np.sort(counted["pit"].to_numpy(float))
        steps = np.arange(len(pit) + 1) / len(pit)
        rows.append(
            {
                "registration_sha256": sha,
                "registered": part["registered"].iloc[0],
                "n": len(counted),
                "coverage50": float(counted["in50"].astype(bool).mean()),
                "coverage90": float(counted["in90"].astype(bool).mean()),
                "mae": float(counted["error"].abs().mean()),
                "crps": float(counted["crps"].mean()),
                "pit_mean": float(pit.mean()),
                "pit_ks": float(max((steps[1:] - pit).max(), (pit - steps[:-1]).max())),
            }
        )
    return pd.DataFrame(rows)
