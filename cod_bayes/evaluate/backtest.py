"""How good forecasts would have been: hide the largest models, forecast them, score that.

A problem is a target and the models below it (`cod_bayes.evaluate.problems`). A Bayesian model fits
its benchmarks jointly, as a user would; a rival gets one at a time.

    problems     Evidence -> list of Problem
    run_problem  Problem, method, seed -> rows         pure: any executor may run it, in any order
    run          list of Problem -> table of rows      in parallel, kept on disk as they finish
    backtest     Evidence -> table of rows

A method is one of `rivals.RIVALS`, or a Bayesian model (a name or TOML file,
`cod_bayes.forecast.fitting`).
One row is one forecast with its outcome (`COLUMNS`), scores as in `cod_bayes.evaluate.scoring`. An
index has rows of its own, of `kind` "index", where a target has results on all its benchmarks. The
energy score is that of the problem's joint forecast (`cod_bayes.evaluate.joint`). A method that
fails on a problem gives rows of NaN with the reason in `error`.
"""

from __future__ import annotations

import multiprocessing
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from cod_bayes.evaluate.joint import complete, independent, joint_scores
from cod_bayes.evaluate.problems import Problem, problems
from cod_bayes.evaluate.rivals import INSTALLED, RIVALS
from cod_bayes.evaluate.scoring import score_table, summarise
from cod_bayes.evidence.record import Evidence
from cod_bayes.forecast.index import Index, in_full
from cod_bayes.forecast.target import stream
from cod_bayes.model.spec import load_spec
from cod_bayes.writing import replacing

Row = dict[str, Any]
Draws = dict[str, np.ndarray]  # (draw,) by benchmark
Key = tuple[str, str, int, str]  # problem, method, seed, digest of the evidence

DRAWS = 2000  # of a rival
_TEXT = ["benchmark", "family", "target", "method", "verdict", "failed_checks", "error"]
_TEXT += ["problem", "digest", "kind"]
COLUMNS = ["benchmark", "family", "target", "target_compute", "method", "actual", "mean", "median"]
COLUMNS += ["q05", "q25", "q75", "q95", "crps", "log_score", "seconds", "pit", "verdict"]
COLUMNS += ["failed_checks", "subset_mean", "subset_actual", "error", "problem", "seed", "digest"]
COLUMNS += ["kind", "energy_score"]


# --- one problem ---------------------------------------------------------------------------------


def run_problem(
    problem: Problem, method: str, seed: int = 0, indexes: Sequence[Index] = ()
) -> list[Row]:
    """One row per benchmark of the problem, and per index whose benchmarks it has; a failure is a
    row with its reason.

    indexes: in full, see `cod_bayes.forecast.index`.
    """
    head = {
        "family": problem.family,
        "target": problem.target,
        "target_compute": problem.compute,
        "method": method,
        "problem": problem.id,
        "seed": seed,
        "digest": _digest(problem, indexes),
    }
    forecasts = _rivals if method in RIVALS else _bayesian
    rows, draws = forecasts(problem, method, seed)
    names = list(rows)
    of_indexes, energy = joint_scores(
        draws,
        {name: problem.actual(name) for name in names},
        {name: problem.items(name) for name in names},
        complete(indexes, names),
    )
    head["energy_score"] = energy
    checks = {"failed_checks": next(iter(rows.values())).get("failed_checks", "")}
    return [
        *({"benchmark": n, "kind": "benchmark"} | head | row for n, row in rows.items()),
        *({"benchmark": n, "kind": "index"} | head | checks | r for n, r in of_indexes.items()),
    ]


def _digest(problem: Problem, indexes: Sequence[Index]) -> str:
    """Of the evidence, and of the indexes where there are any."""
    inside = complete(indexes, list(problem.evidence.benchmarks))
    return f"{problem.evidence.digest}{f'+{stream(repr(inside)):08x}' if inside else ''}"


def _rivals(problem: Problem, method: str, seed: int) -> tuple[dict[str, Row], Draws]:
    """Rows, and the draws of those benchmarks that have a forecast."""
    rows, drawn = {}, {}
    for name, data in problem.evidence.benchmarks.items():
        start, actual = time.perf_counter(), problem.actual(name)
        rng = np.random.default_rng(seed)
        try:
            draws = RIVALS[method](data, np.array([problem.compute]), rng, DRAWS)
            row: Row = summarise(draws[:, 0], actual)
            drawn[name] = draws[:, 0]
        except Exception as error:
            row = _failure(error, actual)
        rows[name] = row | {"seconds": time.perf_counter() - start}
    return rows, independent(drawn, seed)


def _bayesian(problem: Problem, method: str, seed: int) -> tuple[dict[str, Row], Draws]:
    """A joint fit; every benchmark gets an equal share of its time."""
    names = list(problem.evidence.benchmarks)
    start = time.perf_counter()
    try:
        rows, draws = _joint_fit(problem, method, seed)
    except Exception as error:
        draws = {}
        rows = {name: _failure(error, problem.actual(name)) for name in names}
    seconds = (time.perf_counter() - start) / len(names)
    return {name: row | {"seconds": seconds} for name, row in rows.items()}, draws


def _joint_fit(problem: Problem, model: str, seed: int) -> tuple[dict[str, Row], Draws]:
    from cod_bayes.forecast.fitting import fit  # imports PyMC: seconds, which rivals need not pay

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the rows hold the failed checks
        fitted = fit(problem.evidence, model=model, random_seed=seed, progressbar=False)
        outlook = fitted.forecast([problem.compute])
    verdicts = outlook.summary().set_index("benchmark")["verdict"]
    draws = outlook.draws.isel(compute=0).stack(sample=("chain", "draw"))
    rows: dict[str, Row] = {}
    for name in problem.evidence.benchmarks:
        subset = draws["subset_score"].sel(benchmark=name).values
        weight = fitted.subset_weight(name)
        known = np.isfinite(subset).all()
        rows[name] = summarise(draws["score"].sel(benchmark=name).values, problem.actual(name)) | {
            "verdict": verdicts[name],
            "failed_checks": ", ".join(fitted.failed_checks),
            "subset_mean": subset.mean() if known else np.nan,
            "subset_actual": np.average(problem.answers(name), weights=weight) if known else np.nan,
        }
    return rows, {name: draws["score"].sel(benchmark=name).values for name in rows}


def _failure(error: Exception, actual: float) -> Row:
    return {"actual": actual, "error": f"{type(error).__name__}: {error}"}


# --- many problems -------------------------------------------------------------------------------


def backtest(
    evidence: Evidence,
    targets: int = 2,
    methods: Sequence[str] = ("cod", *INSTALLED),
    executor: Executor | None = None,
    random_seed: int = 0,
    progressbar: bool = True,
    out: str | Path | None = None,
    indexes: Sequence[Index] = (),
) -> pd.DataFrame:
    """Forecast the `targets` largest models of every benchmark and family, and score that.

    Returns `COLUMNS`, one row per benchmark or index, target and method. The other arguments are
    those of `run`.
    """
    made = problems(evidence, targets)
    return run(made, methods, executor, random_seed, progressbar, out, indexes)


def run(
    problems: Sequence[Problem],
    methods: Sequence[str] = ("cod", *INSTALLED),
    executor: Executor | None = None,
    random_seed: int = 0,
    progressbar: bool = True,
    out: str | Path | None = None,
    indexes: Sequence[Index] = (),
) -> pd.DataFrame:
    """All methods on all problems: `COLUMNS`, in the order of problems and methods.

    Args:
        executor: None starts a process per core (`workers`), which needs the caller's script to
            be under `if __name__ == "__main__":`.
        out: a folder. Rows are kept in its backtest.csv as they finish, and those that it has
            already (same problem, method, seed and evidence; failures too) are not run again.
            A change of a method under the same name goes unnoticed: use a new folder.
        indexes: over benchmarks of the problems. A problem that lacks one of its benchmarks has no
            row of an index.

    Raises:
        ValueError: an unknown method, two problems of one id, a foreign backtest.csv, or an index
            that `Index.shares` refuses or no problem has.
    """
    for method in methods:
        if method not in RIVALS:
            load_spec(method)
    if len({problem.id for problem in problems}) < len(problems):
        raise ValueError("expected problems with different ids, got one twice; rename it")
    sets = [list(problem.evidence.benchmarks) for problem in problems]
    full = in_full(indexes, list(dict.fromkeys(name for names in sets for name in names)))
    for index in full:
        if not any(index in complete(full, names) for names in sets):
            raise ValueError(
                f"index {index.name!r}: expected a target with results on all its benchmarks, got "
                f"none; {list(index.benchmarks)} have no target in common"
            )
    file = Path(out) / "backtest.csv" if out is not None else None
    done = _read(file) if file is not None and file.exists() else {}
    tasks = {
        (problem.id, method, random_seed, _digest(problem, full)): (
            problem,
            method,
            random_seed,
            full,
        )
        for problem in problems
        for method in methods
    }
    missing = {key: task for key, task in tasks.items() if key not in done}
    for key, rows in _run_all(missing, executor, progressbar):
        done[key] = rows
        if file is not None:
            _write(done, file)
    return _frame([row for key in tasks for row in done[key]])


def _run_all(
    tasks: dict[Key, tuple[Problem, str, int, tuple[Index, ...]]],
    executor: Executor | None,
    progressbar: bool,
) -> Iterator[tuple[Key, list[Row]]]:
    """Results as they finish. When the caller stops, tasks that have not begun are cancelled."""
    from rich.console import Console
    from rich.progress import Progress

    if not tasks:
        return
    progress = Progress(console=Console(stderr=True), disable=not progressbar)
    with nullcontext(executor) if executor is not None else workers() as pool, progress:
        bar = progress.add_task("Backtest", total=len(tasks))
        futures = {pool.submit(run_problem, *task): key for key, task in tasks.items()}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
                progress.advance(bar)
        finally:
            for future in futures:
                future.cancel()


def workers(count: int | None = None) -> ProcessPoolExecutor:
    """Fresh processes, one per core if None, each on one thread."""
    return ProcessPoolExecutor(
        count or os.cpu_count(), multiprocessing.get_context("spawn"), _on_one_thread
    )


def _on_one_thread() -> None:
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # loaded later
    threadpool_limits(1)  # loaded already


def _frame(rows: list[Row]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=COLUMNS).astype({"seed": int})
    text = table[_TEXT].astype(object)
    return table.assign(**text.where(text.notna(), "").astype(str))


def _write(done: dict[Key, list[Row]], file: Path) -> None:
    """Write the whole file, then move it into place. So it never has part of a row or of a fit."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as part:
        _frame([row for rows in done.values() for row in rows]).to_csv(part, index=False)


def _read(file: Path) -> dict[Key, list[Row]]:
    table = pd.read_csv(file, dtype=str, keep_default_na=False)  # a benchmark may be called NA
    if list(table.columns) != COLUMNS:
        raise ValueError(
            f"{file}: expected the columns of a backtest, got {', '.join(table.columns)}; "
            "move it or choose another folder"
        )
    numbers = [name for name in COLUMNS if name not in _TEXT]
    table = table.assign(**table[numbers].replace("", "nan").astype(float))
    done: dict[Key, list[Row]] = {}
    for row in table.to_dict("records"):
        key = (row["problem"], row["method"], int(row["seed"]), row["digest"])
        done.setdefault(key, []).append({str(name): value for name, value in row.items()})
    return done


# --- scores --------------------------------------------------------------------------------------


def scores(rows: pd.DataFrame) -> pd.DataFrame:
    """`scoring.score_table` of the forecasts of benchmarks that were made; failures are left out.

    `energy_score`, in points, is the mean over problems with several benchmarks.
    """
    made = rows[rows["crps"].notna() & (rows["kind"] == "benchmark")]
    if made.empty:
        reasons = rows["error"].unique()[:3]
        raise ValueError(f"expected forecasts to score, got none: {'; '.join(reasons)}")
    joint = made.drop_duplicates(["problem", "method", "seed"])
    joint = pd.concat([joint, joint.assign(family="pooled")])
    energy = 100 * joint.groupby(["family", "method"])["energy_score"].mean()
    return score_table(made).join(energy, on=["family", "method"])


def index_scores(rows: pd.DataFrame) -> pd.DataFrame:
    """`scoring.score_table` of the forecasts of indexes, one row per index and method."""
    made = rows[rows["crps"].notna() & (rows["kind"] == "index")]
    table = score_table(made.assign(family=made["benchmark"])).rename(columns={"family": "index"})
    return table[table["index"].isin(made["benchmark"].unique())]
