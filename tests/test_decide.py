"""Decisions by import: each takes a fit or its file, and answers with a summary."""

import pandas as pd
import pytest
from small_fit import run_fit

from cod_bayes.decide.compare import compare
from cod_bayes.decide.monitor import monitor
from cod_bayes.decide.next_run import next_run
from cod_bayes.decide.plan import Goal, plan
from cod_bayes.decide.register import register, settle, write

TARGET = 1e24
CHECKPOINTS = pd.DataFrame(
    {"benchmark": ["GSM8K", "GSM8K"], "compute": [1e23, 4e23], "score": [0.5, 0.6]}
)
DECISIONS = {
    "plan": lambda fit: plan(fit, "GSM8K>=0.7"),
    "compare": lambda fit: compare({"small": (fit, TARGET / 4), "large": (fit, TARGET)}),
    "next_run": lambda fit: next_run(fit, TARGET),
    "monitor": lambda fit: monitor(fit, CHECKPOINTS, TARGET),
}


@pytest.fixture(scope="module")
def fitted():
    return run_fit(slice(2, 7))


@pytest.fixture(scope="module")
def saved(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("posterior") / "posterior.nc"
    fitted.save(path)
    return path


@pytest.mark.parametrize("name", DECISIONS)
def test_a_fit_and_its_file_give_the_same_summary(name, fitted, saved):
    in_memory, from_file = (DECISIONS[name](fit).summary() for fit in (fitted, saved))
    assert isinstance(in_memory, pd.DataFrame) and len(in_memory)
    pd.testing.assert_frame_equal(in_memory, from_file)


def test_one_goal_needs_no_list_and_all_goals_are_the_last_row(fitted):
    one = plan(fitted, Goal("GSM8K", 0.7)).summary()
    assert one["goal"].tolist() == ["GSM8K>=0.7"]
    two = plan(fitted, ["GSM8K>=0.7", "MATH>=0.3"], 0.2).summary()
    assert two["goal"].tolist() == ["GSM8K>=0.7", "MATH>=0.3", "all goals"]
    assert two["p_reachable"].iloc[-1] <= two["p_reachable"].min()


def test_a_registration_is_made_and_settled_from_files(fitted, saved, tmp_path):
    record = register(saved, TARGET)
    assert record == register(fitted, TARGET, saved)
    with pytest.raises(ValueError, match="file of the posterior"):
        register(fitted, TARGET)
    write(record, tmp_path / "registration.json")
    pd.testing.assert_frame_equal(
        settle(tmp_path / "registration.json", {"GSM8K": 0.8}), settle(record, {"GSM8K": 0.8})
    )
