"""Compute for a goal against closed forms, and its cost."""

import json
import runpy
from argparse import Namespace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_fit import LADDER, FakeFit
from scipy import stats
from seeds import seed

from cod_bayes.cli import main
from cod_bayes.commands.outputs import write_answer
from cod_bayes.decide.cost import CostRecord, read_cost, utilisation
from cod_bayes.decide.plan import Goal, plan
from cod_bayes.show.plots import plan_figure

EXAMPLES = Path(__file__).parents[1] / "examples"
ONE = {"b": (0.1, 0.05, 1.0)}  # log10 C required for 0.6 is N(25, 0.5)
COST = CostRecord(1e15, 0.5, 2.0, 1000, 700)


def test_compute_required_is_the_quantile_of_its_known_distribution():
    result = plan(FakeFit(ONE), ["b>=0.6"], 0.9)
    se = 0.5 * np.sqrt(0.9 * 0.1 / 4000) / stats.norm.pdf(stats.norm.ppf(0.9))
    required = stats.norm(25, 0.5)
    assert np.log10(result.compute_at_probability) == pytest.approx(required.ppf(0.9), abs=4 * se)
    for name, p in {"q05": 0.05, "q50": 0.5, "q95": 0.95}.items():
        assert np.log10(result.quantiles[name]) == pytest.approx(required.ppf(p), abs=0.06)
    x = np.log10(result.curve["compute"])
    np.testing.assert_allclose(result.curve["probability"], required.cdf(x), atol=0.03)
    assert result.holds_beyond and result.p_reachable > 0.999


def test_goals_are_met_jointly():
    two = {"a": (0.1, 0.05, 1.0), "b c": (0.1, 0.05, 1.0)}
    apart = plan(FakeFit(two), ["a>=0.6", "b c>=0.6"], 0.9)
    together = plan(FakeFit(two, shared=True), ["a>=0.6", "b c>=0.6"], 0.9)
    alone = stats.norm(25, 0.5)
    assert np.log10(together.compute_at_probability) == pytest.approx(alone.ppf(0.9), abs=0.06)
    # Independent goals: each must be met with root 0.9.
    expected = alone.ppf(np.sqrt(0.9))
    assert np.log10(apart.compute_at_probability) == pytest.approx(expected, abs=0.06)


def test_a_goal_above_the_ceiling_is_not_reachable():
    result = plan(FakeFit({"b": (0.1, 0.05, 0.7)}), ["b>=0.75"], 0.5, cost=COST)
    assert result.compute_at_probability is None and result.cost is None
    assert result.p_reachable == 0 and result.holds_beyond is None
    assert set(result.quantiles.values()) == {None}


def test_probability_that_falls_again_is_told():
    class Falling(FakeFit):
        def draws(self, compute, benchmarks=None):
            result = super().draws(compute)
            return result.where(result["compute"] < 1e27, 0.0)

    result = plan(Falling(ONE), ["b>=0.6"], 0.9)
    assert result.compute_at_probability < 1e27
    assert result.lowest_beyond == 0 and result.holds_beyond is False


def test_a_goal_that_the_smallest_model_meets_is_at_the_range_s_start():
    result = plan(FakeFit(ONE), ["b>=0.05"], 0.5, decades=2)
    assert result.compute_at_probability == pytest.approx(LADDER[0])
    assert result.compute_range == pytest.approx((LADDER[0], LADDER[-1] * 100))


def test_interpolated_scores_agree_with_drawn_ones():
    fit = FakeFit({"b": (0.1, 0.05, 0.62)})
    curve = plan(fit, ["b>=0.6"]).curve.iloc[::7]
    drawn = (fit.draws(curve["compute"].to_numpy())["score"] >= 0.6).mean(("chain", "draw"))
    np.testing.assert_allclose(curve["probability"], drawn.values[0], atol=0.03)


@pytest.mark.parametrize(
    "text", ["GSM8K", ">=0.5", "GSM8K>=85%", "GSM8K>=85", "b>=0", "b>=1", "b>=nan"]
)
def test_goals_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match="expected a goal"):
        Goal.parse(text)


def test_goals_are_read_with_any_name():
    assert Goal.parse(" My >= bench >= 0.5") == Goal("My >= bench", 0.5)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"goals": []}, "at least one goal"),
        ({"goals": ["GSM>=0.5"]}, r"\['b'\], got \['GSM'\]"),
        ({"probability": 1.0}, "probability between 0 and 1"),
        ({"decades": 0.0}, "decades > 0"),
    ],
)
def test_bad_questions_are_refused(change, match):
    with pytest.raises(ValueError, match=match):
        plan(FakeFit(ONE), **({"goals": ["b>=0.6"]} | change))


def test_an_unconverged_posterior_is_named_everywhere(tmp_path, capsys):
    from cod_bayes.commands.plan import show

    result = plan(FakeFit(ONE, failed_checks=("r_hat 1.3",)), ["b>=0.6"])
    show(result)
    assert capsys.readouterr().out.count("unconverged: r_hat 1.3") == 2
    assert result.to_dict()["failed_checks"] == ["r_hat 1.3"]
    assert "r_hat 1.3" in plan_figure(result).get_suptitle()


def test_the_paper_s_7b_run_tells_its_utilisation():
    compute, hours = 54.761e9 * 923e9, 52_800
    u = utilisation(compute, hours, 989.4e12)
    assert u == pytest.approx(0.27, abs=0.005)
    bill = CostRecord(989.4e12, u, 2.0, 1000, 700).summary(compute)
    expected = {"gpu_hours": hours, "money": 2 * hours, "energy_kwh": 0.7 * hours, "days": 2.2}
    for name, value in expected.items():
        assert list(bill[name].values()) == pytest.approx([value] * 3)


def test_ranges_are_log_uniform_and_independent_of_compute():
    record = CostRecord(1e15, (0.2, 0.8))
    bill = record.summary(3.6e18)  # 1 hour at full use: 1 / u in [1.25, 5], median root of both
    assert bill["gpu_hours"]["q50"] == pytest.approx(2.5, rel=0.03)
    assert bill["gpu_hours"]["q05"] == pytest.approx(1.25 * 4**0.05, rel=0.02)
    assert set(bill) == {"gpu_hours"}
    one, two = (
        record.draws(c, 9, np.random.default_rng(seed(0)))["gpu_hours"] for c in (1e20, 2e20)
    )
    np.testing.assert_allclose(2 * one, two)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("peak_flops = 1e15", "missing ..utilisation"),
        ("peak_flops = 1e15\nutilisation = 0.4\nprice = 2", "unknown ..price"),
        ("peak_flops = 1e15\nutilisation = 40", "at most 1"),
        ("peak_flops = -1\nutilisation = 0.4", "number > 0"),
        ("peak_flops = 1e15\nutilisation = [0.5, 0.4]", "low <= high"),
        ("peak_flops = 1e15\nutilisation = [0.5, 0.6, 0.7]", "low, high"),
        ("peak_flops = 1e15\nutilisation = '0.4'", "got '0.4'"),
        ("peak_flops: 1", "TOML"),
    ],
)
def test_bad_cost_records_are_refused(tmp_path, text, match):
    (tmp_path / "cost.toml").write_text(text)
    with pytest.raises(ValueError, match=match):
        read_cost(tmp_path / "cost.toml")


def test_a_record_reads_alike_from_toml_and_json(tmp_path):
    (tmp_path / "c.toml").write_text("peak_flops = 1e15\nutilisation = [0.3, 0.4]\ngpus = 8")
    (tmp_path / "c.json").write_text('{"peak_flops": 1e15, "utilisation": [0.3, 0.4], "gpus": 8}')
    assert read_cost(tmp_path / "c.toml") == read_cost(tmp_path / "c.json")
    assert read_cost(tmp_path / "c.toml").utilisation == (0.3, 0.4)


def test_command_prints_one_json_object_and_writes_its_files(posterior_file, tmp_path, capsys):
    (tmp_path / "cost.toml").write_text("peak_flops = 1e15\nutilisation = 0.4")
    goals = ["--goal", "GSM8K>=0.8", "--goal", "My bench >= 0.5"]
    more = ["--probability", "0.5", "--cost", str(tmp_path / "cost.toml")]
    out = tmp_path / "out"
    arguments = ["plan", str(posterior_file), *goals, *more, "--json", "--out", str(out)]
    assert main(arguments) == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {
        "goals", "probability", "compute_at_probability", "holds_beyond", "lowest_beyond",
        "quantiles", "p_reachable", "compute_range", "cost", "split", "cost_record",
        "failed_checks",
    }  # fmt: skip
    assert answer["goals"][1] == {"benchmark": "My bench", "at_least": 0.5}
    at = answer["compute_at_probability"]
    assert at == answer["quantiles"]["q50"]
    assert answer["cost"]["gpu_hours"]["q50"] == pytest.approx(at / 3600 / 4e14)
    assert json.loads((out / "plan.json").read_text()) == answer
    curve = pd.read_csv(out / "plan.csv")
    assert list(curve) == ["compute", "probability", "GSM8K>=0.8", "My bench>=0.5"]
    assert (curve["probability"] <= curve["GSM8K>=0.8"]).all()
    assert sorted(p.name for p in out.iterdir()) == ["plan.csv", "plan.json", "plan.png"]


def test_command_shows_a_table_and_refuses_in_a_sentence(posterior_file, capsys):
    arguments = ["plan", str(posterior_file), "--goal", "GSM8K>=0.8", "--probability", "0.5"]
    assert main(arguments) == 0
    assert "GSM8K>=0.8: 50 % at" in capsys.readouterr().out
    assert main(["plan", str(posterior_file), "--goal", "MMLU>=0.8"]) == 2
    assert "['GSM8K', 'My bench'], got ['MMLU']" in capsys.readouterr().err


def test_a_write_that_fails_leaves_the_old_files(tmp_path, monkeypatch):
    result = plan(FakeFit(ONE), ["b>=0.6"])
    files = {"plan.json": result.to_dict(), "plan.csv": result.curve}
    files["plan.png"] = partial(plan_figure, result)
    arguments = Namespace(out=tmp_path, json=False)
    write_answer(arguments, files)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def half(self, path, *args, **kwargs):
        Path(path).write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(pd.DataFrame, "to_csv", half)
    with pytest.raises(OSError, match="disk full"):
        write_answer(arguments, files)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_example_decides(tmp_path, capsys):
    example = runpy.run_path(str(EXAMPLES / "decide_budget.py"))
    example["main"](["--draws", "100", "--out", str(tmp_path)])
    assert "MBPP>=0.7" in capsys.readouterr().out
    assert {p.name for p in tmp_path.iterdir()} >= {"plan.png", "compare.png"}
