"""Backtests: what is hidden, what is kept, and that nothing is lost or run twice."""

import pickle
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from seeds import seed

from cod_bayes.cli import main
from cod_bayes.evaluate import backtest as module
from cod_bayes.evaluate.backtest import (
    COLUMNS,
    Problem,
    backtest,
    problems,
    run,
    run_problem,
    scores,
)
from cod_bayes.evaluate.rivals import RIVALS
from cod_bayes.evidence.record import Evidence, read_table
from cod_bayes.show.plots import reliability_figure

FAST = ("persistence", "krajewski")


def table(benchmarks: tuple[str, ...] = ("a", "b"), n: int = 6, items: int = 10) -> pd.DataFrame:
    rng = np.random.default_rng(seed(0))
    rows = []
    for benchmark in benchmarks:
        for k, compute in enumerate(1e20 * 4.0 ** np.arange(n)):
            right = rng.binomial(20, 0.9 * np.exp(-1.5 * (compute / 1e21) ** -0.3), items)
            rows += [
                (benchmark, f"i{i}", f"m{k}", "F", compute, int(c), 20, 0.0)
                for i, c in enumerate(right)
            ]
    names = ["benchmark", "item", "model", "family", "compute", "n_correct", "n_trials", "chance"]
    return pd.DataFrame(rows, columns=names)


class Here(Executor):
    """Runs every task when it is submitted, and counts them."""

    done = 0

    def submit(self, fn, /, *args, **kwargs):
        future: Future = Future()
        self.done += 1
        future.set_result(fn(*args, **kwargs))
        return future


def test_the_origin_rolls_and_nothing_larger_is_seen() -> None:
    evidence = read_table(table())
    found = problems(evidence, targets=9)
    assert [p.target for p in found] == ["m5", "m4", "m3"]  # three models remain below m3
    for problem in found:
        assert set(problem.evidence.benchmarks) == {"a", "b"}
        assert problem.evidence.models["compute"].max() == problem.compute
        assert problem.evidence.models.index[-1] == problem.target
        assert list(problem.evidence.ladder) == [m for m in evidence.ladder if m < problem.target]
    mean = evidence.benchmarks["a"]["rate"].sel(model="m4").mean()
    assert found[1].actual("a") == pytest.approx(float(mean))
    assert [p.target for p in problems(evidence, targets=1)] == ["m5"]


def test_benchmarks_are_joint_only_where_they_share_the_target() -> None:
    rows = table()
    rows = rows[(rows["benchmark"] == "a") | (rows["model"] != "m5")]
    sets = {p.target: set(p.evidence.benchmarks) for p in problems(read_table(rows), targets=2)}
    assert sets == {"m5": {"a"}, "m4": {"a", "b"}, "m3": {"b"}}


def test_tasks_known_by_their_scores_alone_share_the_problem_of_their_target() -> None:
    rows = table(("a", "b", "c"))
    rows = rows[(rows["benchmark"] == "a") | (rows["item"] == "i0")]
    (problem,) = problems(read_table(rows), targets=1)
    assert (problem.id, set(problem.evidence.benchmarks)) == ("F/m5", {"a", "b", "c"})
    assert [problem.items(name) for name in "abc"] == [10, 20, 20]  # trials of a single score


def test_families_are_apart_and_anchors_stay_and_unknown_compute_takes_no_part() -> None:
    second = table().assign(family="G").replace({"model": {f"m{k}": f"g{k}" for k in range(6)}})
    anchor = table().query("model == 'm5'").assign(model="z", role="anchor", compute=np.nan)
    rows = pd.concat([table(), second, anchor]).fillna({"role": "ladder"})
    with pytest.warns(match="mixes families"):
        evidence = read_table(rows)
    found = problems(evidence, targets=1)
    assert [p.id for p in found] == ["F/m5", "G/g5"]
    for p in found:
        models = p.evidence.models
        assert set(models["family"][models["role"] != "anchor"]) == {p.family}
    assert all(p.evidence.models["role"]["z"] == "anchor" for p in found)
    assert all("m5" not in p.evidence.ladder and len(p.evidence.ladder) == 5 for p in found)


def test_only_the_items_of_the_target_are_forecast() -> None:
    rows = table(("a",))
    rows = rows[(rows["model"] != "m5") | (rows["item"] != "i3")]
    with pytest.warns(match="m5 lacks 1 of 10 items"):
        evidence = read_table(rows)
    (problem,) = problems(evidence, targets=1)
    assert "i3" not in problem.evidence.benchmarks["a"]["item"]
    assert np.isfinite(problem.answers("a")).all()


def test_too_short_a_ladder_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 4 models"):
        problems(read_table(table(n=3)))
    with pytest.raises(ValueError, match="one target"):
        Problem("p", "F", read_table(table()))
    with pytest.raises(ValueError, match="expected a model of"):
        backtest(read_table(table()), methods=("nonesuch",))


def test_rows_are_complete_and_do_not_depend_on_the_executor() -> None:
    evidence = read_table(table())
    one = backtest(evidence, methods=FAST, executor=Here(), progressbar=False)
    with ThreadPoolExecutor(2) as pool:
        two = backtest(evidence, methods=FAST, executor=pool, progressbar=False)
    pd.testing.assert_frame_equal(one.drop(columns="seconds"), two.drop(columns="seconds"))
    assert list(one.columns) == COLUMNS
    assert len(one) == 2 * 2 * len(FAST)
    assert (one["error"] == "").all()
    assert one["q05"].lt(one["q95"]).all()
    assert set(scores(one)["method"]) == set(FAST)


def test_a_problem_travels_to_another_process() -> None:
    (problem,) = problems(read_table(table(("a",))), targets=1)
    task = pickle.loads(pickle.dumps((run_problem, problem, "krajewski", 1)))
    (there,), (here,) = task[0](*task[1:]), run_problem(problem, "krajewski", 1)
    assert there | {"seconds": 0} == here | {"seconds": 0}


def test_worker_processes_run_a_backtest() -> None:
    with module.workers(1) as pool:
        rows = backtest(read_table(table(("a",))), 1, ("persistence",), pool, progressbar=False)
    assert (rows["error"] == "").all()


def test_an_interrupted_backtest_resumes_where_it_stopped(tmp_path, monkeypatch) -> None:
    evidence = read_table(table())
    write, written = module._write, []

    def write_three_then_stop(*args):
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(write(*args))

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "_write", write_three_then_stop)
        backtest(evidence, methods=FAST, executor=Here(), progressbar=False, out=tmp_path)
    assert len(pd.read_csv(tmp_path / "backtest.csv")) == 3 * 2  # of two benchmarks each
    rest = Here()
    rows = backtest(evidence, methods=FAST, executor=rest, progressbar=False, out=tmp_path)
    assert rest.done == 1
    pd.testing.assert_frame_equal(
        rows.drop(columns="seconds"),
        backtest(evidence, methods=FAST, executor=Here(), progressbar=False).drop(
            columns="seconds"
        ),
    )
    for of, new, runs in ((evidence, 0, 0), (evidence, 1, 4), (other(evidence), 0, 4)):
        again = Here()
        backtest(of, 2, FAST, again, new, progressbar=False, out=tmp_path)
        assert again.done == runs
    assert len(pd.read_csv(tmp_path / "backtest.csv")) == 3 * 8


def other(evidence: Evidence) -> Evidence:
    return evidence.select(models=["m1", "m2", "m3", "m4", "m5"])


def test_a_foreign_file_is_left_alone(tmp_path) -> None:
    (tmp_path / "backtest.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="choose another folder"):
        backtest(read_table(table()), 1, FAST, Here(), progressbar=False, out=tmp_path)
    assert (tmp_path / "backtest.csv").read_text() == "a,b\n1,2\n"


def test_a_failure_is_a_row_with_its_reason_and_is_kept(tmp_path, monkeypatch) -> None:
    def broken(*_):
        raise ZeroDivisionError("no, really")

    monkeypatch.setitem(RIVALS, "krajewski", broken)
    for runs in (2, 0):
        here = Here()
        rows = backtest(
            read_table(table()), 1, ("krajewski", "loss_intermediate"), here, out=tmp_path,
            progressbar=False,
        )  # fmt: skip
        assert here.done == runs
        assert rows["crps"].isna().all()
        assert rows["actual"].notna().all()
        assert rows["error"].iloc[0] == "ZeroDivisionError: no, really"
        assert "loss" in rows["error"].iloc[-1]
    with pytest.raises(ValueError, match="got none: ZeroDivisionError"):
        scores(rows)


def test_the_figure_shows_coverage_and_a_histogram_per_method() -> None:
    rows = pd.DataFrame({"method": ["m"] * 400, "crps": 0.1, "pit": (np.arange(400) + 0.5) / 400})
    rows = pd.concat([rows.assign(kind="benchmark"), rows.assign(kind="index", pit=0.0)])
    first, second = reliability_figure(rows).axes[:2]
    nominal, coverage = first.lines[1].get_data()
    np.testing.assert_allclose(coverage, nominal, atol=0.01)
    assert [bar.get_height() for bar in second.patches] == [40] * 10


def test_the_command_writes_a_table_and_a_picture(tmp_path, capsys, monkeypatch) -> None:
    file = tmp_path / "table.csv"
    table().to_csv(file, index=False)
    monkeypatch.setattr(module, "workers", lambda: ThreadPoolExecutor(1))
    options = ["--targets", "1", "--benchmark", "a", "--out", str(tmp_path / "out"), "-q"]
    assert main(["backtest", str(file), *options, "--methods", *FAST, "loss_intermediate"]) == 0
    shown = capsys.readouterr()
    assert "krajewski" in shown.out
    assert "pooled" in shown.out
    assert "loss_intermediate: no forecast on 1" in shown.err
    assert (tmp_path / "out" / "reliability.png").stat().st_size > 1000
    assert set(pd.read_csv(tmp_path / "out" / "backtest.csv")["benchmark"]) == {"a"}


def test_a_bayesian_model_is_fitted_jointly() -> None:
    (problem,) = problems(read_table(table()), targets=1)
    rows = run([problem], ("cod",), Here(), progressbar=False)
    assert (rows["error"] == "").all()
    assert list(rows["benchmark"]) == ["a", "b"]
    # Over three standard deviations: an interval of 90 % may well miss a truth.
    away = (rows["median"] - rows["actual"]).abs()
    assert away.lt(rows["q95"] - rows["q05"]).all()
    assert (rows["verdict"] != "").all()


def test_the_help_names_every_rival(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["backtest", "--help"])
    printed = capsys.readouterr().out.replace("\n", " ")
    assert [name for name in RIVALS if name not in printed] == []
