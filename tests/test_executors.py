"""A backtest on Dask: two processes, one of them killed on the way, and nothing is lost."""

import os
import signal
import time
from concurrent.futures import Executor, Future

import numpy as np
import pandas as pd
import pytest

from cod_bayes.evaluate.backtest import problems, run
from cod_bayes.evidence.record import read_table

pytestmark = pytest.mark.slow

METHODS = ("persistence", "krajewski", "end_to_end", "bnsl")


def ladder_table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    compute = 1e20 * 4.0 ** np.arange(7)
    p = 0.9 * np.exp(-1.5 * (compute / 1e21) ** -0.3)
    items = [f"i{i}" for i in range(10)]
    return pd.DataFrame(
        [
            ("a", item, f"m{k}", "F", compute[k], rng.binomial(20, p[k]), 20, 0.0)
            for k in range(len(compute))
            for item in items
        ],
        columns=[
            "benchmark", "item", "model", "family", "compute", "n_correct", "n_trials", "chance"
        ],
    )  # fmt: skip


class SerialExecutor(Executor):
    """Runs every task when it is submitted."""

    def submit(self, fn, /, *args, **kwargs):
        future: Future = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class Refuses(Executor):
    """For a backtest that has all its rows already."""

    def submit(self, fn, /, *args, **kwargs):
        raise AssertionError("run again")


class KillsAWorker(Executor):
    """Submits to `pool`; the first result costs the life of one of its processes."""

    def __init__(self, pool: Executor, pid: int) -> None:
        self.pool, self.pid = pool, pid
        self.futures: list = []
        self.left_at_the_kill = 0

    def submit(self, fn, /, *args, **kwargs):
        def slowly():  # still busy when a worker dies
            time.sleep(0.5)
            return fn(*args, **kwargs)

        future = self.pool.submit(slowly)
        self.futures.append(future)
        if len(self.futures) == 1:
            future.add_done_callback(self.kill)
        return future

    def kill(self, _) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.left_at_the_kill = sum(not future.done() for future in self.futures)


def test_a_killed_worker_costs_no_result(tmp_path) -> None:
    distributed = pytest.importorskip("distributed")
    found = problems(read_table(ladder_table()), targets=9)
    serial = run(found, METHODS, SerialExecutor(), progressbar=False)
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            local_directory=tmp_path,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        pids = client.run(os.getpid)
        assert len(set(pids.values()) | {os.getpid()}) == 3
        executor = KillsAWorker(client.get_executor(), next(iter(pids.values())))
        shared = run(found, METHODS, executor, progressbar=False, out=tmp_path / "out")
    assert 0 < executor.left_at_the_kill < len(executor.futures)
    pd.testing.assert_frame_equal(shared.drop(columns="seconds"), serial.drop(columns="seconds"))
    kept = run(found, METHODS, Refuses(), progressbar=False, out=tmp_path / "out")
    assert len(kept) == len(shared)
