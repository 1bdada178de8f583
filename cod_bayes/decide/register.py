"""A forecast written down before the training, and scored after it.

A registration holds, per benchmark and compute, the quantiles q_tau of the forecast at
tau = 0.5 %, 1 %, .. 99.5 %, the scores of up to 400 target models, what is assumed, the ladder's
models, and their origin: hashes of the evidence, the model's specification and the posterior, the
seed, versions and failed checks. A page in Markdown beside it says the same to people.
`sha256` is the hash of all the rest. It reveals a careless change, but anyone can compute it again
after a deliberate one. So publish it, with a date, where others can see it.

When the score y is known,

    error   = q_0.5 - y
    CRPS    = 2 mean_tau (1{y < q_tau} - tau) (q_tau - y)      over tau = 0.5 %, 1.5 %, .. 99.5 %
    inside  = q_0.25 <= y <= q_0.75, and q_0.05 <= y <= q_0.95

the CRPS being the midpoint rule of its integral over quantile scores (Gneiting and Ranjan 2011).
An index is registered with the shares of its benchmarks, and settled by a result of its own or by
the results of all its benchmarks. Draw i of all rows is of the same target model, which gives the
energy score of the benchmarks that have results. PIT and log score are those of
`cod_bayes.evaluate.scoring` with the same 100 quantiles as draws.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cod_bayes.decide import publish
from cod_bayes.decide.fits import as_fit
from cod_bayes.evaluate.scoring import energy_score, log_score, pit
from cod_bayes.forecast.index import Index, add_indexes, members
from cod_bayes.forecast.posterior import Fit, check_names
from cod_bayes.writing import write_once

FORMAT = "cod-bayes registration 1"  # all after `failed_checks` may be missing
_DRAWS = 400
LEVELS = np.arange(1, 200) / 200
_MIDPOINTS = slice(None, None, 2)  # of the LEVELS: (i - 1/2) / 100


def register(
    fit: Fit | str | Path,
    compute: float | list[float] | np.ndarray,
    posterior: str | Path | None = None,
    *,
    indexes: Sequence[Index] = (),
    assumptions: Sequence[str] = (),
) -> dict[str, Any]:
    """The forecast at each compute (FLOPs) as a record for `write`.

    Args:
        fit: a fit, or the file of a saved one.
        posterior: the file of the fit; needed where `fit` is not a file.
        indexes: that are registered beside the benchmarks.
        assumptions: of the author, a sentence each; the model's own stand beside them.

    Raises:
        ValueError: a compute that is not positive and finite, no file, or an index that
            `Index.shares` refuses.
    """
    if isinstance(fit, str | Path):
        posterior = fit if posterior is None else posterior
    if posterior is None:
        raise ValueError(
            "expected the file of the posterior, whose hash is registered, got none; save the fit "
            "(fit.save) and give the file"
        )
    fit = as_fit(fit)
    drawn = add_indexes(fit.draws(compute), indexes)
    draws = drawn["score"].transpose("chain", "draw", ...)
    forecasts = []
    for name in map(str, draws["benchmark"].values):
        for flops in draws["compute"].values:
            score = draws.sel(benchmark=name, compute=flops).values.ravel()
            kept = np.arange(min(_DRAWS, len(score))) * len(score) // min(_DRAWS, len(score))
            forecasts.append(
                {
                    "benchmark": name,
                    "compute": float(flops),
                    "mean": float(score.mean()),
                    "sd": float(score.std()),
                    "quantiles": np.quantile(score, LEVELS).tolist(),
                    "draws": score[kept].round(5).tolist(),
                }
            )
    attrs = fit.idata.attrs
    record: dict[str, Any] = {
        "format": FORMAT,
        "created": datetime.now(UTC).date().isoformat(),
        "model": str(attrs["model"]),
        "spec_sha256": hashlib.sha256(str(attrs["spec"]).encode()).hexdigest(),
        "evidence_digest": str(attrs["evidence_digest"]),
        "posterior_sha256": hashlib.sha256(Path(posterior).read_bytes()).hexdigest(),
        "random_seed": int(attrs["random_seed"]),
        "versions": publish.versions(fit),
        "failed_checks": list(fit.failed_checks),
        "levels": LEVELS.tolist(),
        "indexes": members(drawn),
        "assumptions": {
            "given": [str(text) for text in assumptions],
            "of_the_model": publish.assumptions(fit, draws["compute"].values.tolist()),
        },
        "ladder": publish.ladder(fit),
        "forecasts": forecasts,
    }
    return record | {"sha256": digest(record)}


def digest(record: Mapping[str, Any]) -> str:
    """SHA-256 of a record without its entry `sha256`."""
    rest = {name: value for name, value in record.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, allow_nan=False).encode()).hexdigest()


def write(record: Mapping[str, Any], path: str | Path) -> None:
    """As JSON, to a new file, and as Markdown beside it.

    Raises:
        FileExistsError: a registration is never overwritten.
    """
    page = Path(path).with_suffix(".md")
    if page.exists() and not Path(path).exists():
        raise FileExistsError(f"{page} exists; expected a new file: give another name with --out")
    write_once(Path(path), json.dumps(record, indent=1, allow_nan=False) + "\n")
    write_once(page, publish.markdown(record, LEVELS))


def read(path: str | Path) -> dict[str, Any]:
    """A registration, checked to be unaltered.

    Raises:
        ValueError: another kind of file, or an altered one.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected a registration in JSON: {error}") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        got = record.get("format") if isinstance(record, dict) else type(record).__name__
        raise ValueError(f"{path}: expected a file of the format {FORMAT!r}, got {got!r}")
    if digest(record) != record.get("sha256"):
        raise ValueError(
            f"{path}: expected contents of sha256 {record.get('sha256')}, got {digest(record)}; "
            "the registration was altered: take it from where it was kept"
        )
    return record


def settle(
    registration: Mapping[str, Any] | str | Path,
    results: Mapping[str, float],
    compute: float | None = None,
) -> pd.DataFrame:
    """Score a registration against the results.

    Args:
        registration: what `register` or `read` returned, or its file.
        results: benchmark -> score, a rate in [0, 1]; benchmarks may be missing. The result of an
            index follows from those of its benchmarks.
        compute: which of the registered computes was trained; needed where there are several.

    Returns:
        benchmark, compute, actual, median, error, crps, in50, in90, pit, log_score; one row per
        result, in the order of the registration.

    Raises:
        ValueError: no results, unknown benchmarks, scores outside [0, 1], a compute that is not
            registered, or none where several are registered.
    """
    record = read(registration) if isinstance(registration, str | Path) else registration
    rows = record["forecasts"]
    if not results:
        raise ValueError("expected results, benchmark -> score, got none")
    check_names(list(results), list(dict.fromkeys(row["benchmark"] for row in rows)))
    for name, score in results.items():
        if not 0 <= score <= 1:
            raise ValueError(
                f"expected a score in [0, 1] on {name!r}, got {score}; write 0.85 for 85 %"
            )
    results = with_index_results(results, record.get("indexes", {}))
    known = sorted({row["compute"] for row in rows})
    if compute is None and len(known) == 1:
        compute = known[0]
    at = [c for c in known if compute is not None and np.isclose(c, compute, rtol=1e-6)]
    if not at:
        raise ValueError(f"expected one of the registered computes {known}, got {compute}")
    scored = []
    for row in rows:
        if row["compute"] not in at or row["benchmark"] not in results:
            continue
        y, q = float(results[row["benchmark"]]), np.array(row["quantiles"])
        q05, q25, q50, q75, q95 = np.interp(publish.SHOWN, LEVELS, q)
        x, tau = q[_MIDPOINTS], LEVELS[_MIDPOINTS]
        scored.append(
            {
                "benchmark": row["benchmark"],
                "compute": row["compute"],
                "actual": y,
                "median": q50,
                "error": q50 - y,
                "crps": float(2 * np.mean(((y < x) - tau) * (x - y))),
                "in50": bool(q25 <= y <= q75),
                "in90": bool(q05 <= y <= q95),
                "pit": float(pit(x, y)),
                "log_score": float(log_score(x, y)),
            }
        )
    return pd.DataFrame(scored)


def with_index_results(
    results: Mapping[str, float], indexes: Mapping[str, Mapping[str, float]]
) -> dict[str, float]:
    """The results with that of each index whose benchmarks all have one; a given one stays."""
    means = {
        name: sum(share * results[benchmark] for benchmark, share in of.items())
        for name, of in indexes.items()
        if of.keys() <= results.keys()
    }
    return means | dict(results)


def of_benchmarks(record: Mapping[str, Any], table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `settle` without those of indexes; all where there are no others."""
    rows = table[~table["benchmark"].isin(record.get("indexes", {}))]
    return table if rows.empty else rows


def joint_score(record: Mapping[str, Any], table: pd.DataFrame) -> float | None:
    """Energy score of the benchmarks that were settled, see `cod_bayes.evaluate.scoring`.

    None with fewer than two, or from a registration without draws.
    """
    known = of_benchmarks(record, table)
    rows = {(row["benchmark"], row["compute"]): row for row in record["forecasts"]}
    settled = [rows[key] for key in zip(known["benchmark"], known["compute"], strict=True)]
    if len(settled) < 2 or not all("draws" in row for row in settled):
        return None
    draws = np.array([row["draws"] for row in settled]).T
    return energy_score(draws, known["actual"].to_numpy())


def settlement(record: Mapping[str, Any], table: pd.DataFrame) -> dict[str, Any]:
    """The scores of `settle` with the identity of the registration, ready for JSON.

    Means are over benchmarks, without the indexes.
    """
    means = of_benchmarks(record, table)
    return {
        "format": "cod-bayes settlement 1",
        "settled": datetime.now(UTC).date().isoformat(),
        "registration_sha256": record["sha256"],
        "registered": record["created"],
        "failed_checks": record["failed_checks"],
        "scores": json.loads(table.to_json(orient="records", double_precision=15)),
        "mean_absolute_error": float(means["error"].abs().mean()),
        "mean_crps": float(means["crps"].mean()),
        "coverage50": float(means["in50"].mean()),
        "coverage90": float(means["in90"].mean()),
        "energy_score": joint_score(record, table),
    }
