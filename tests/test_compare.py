"""Designs against closed forms of the normal distribution."""

import json

import numpy as np
import pytest
from fake_fit import FakeFit
from scipy import stats
from seeds import seed

from cod_bayes.cli import main
from cod_bayes.decide.compare import compare, mean_score, reaches
from cod_bayes.decide.cost import CostRecord
from cod_bayes.show.plots import compare_figure

N = stats.norm


def normal(mean, sd, seed=seed(0), name="b", **kwargs):
    """A design whose score is N(mean, sd)."""
    return FakeFit({name: (0.1, sd, 1.0)}, seed=seed, **kwargs), 10 ** (24 + (mean - 0.5) / 0.1)


def test_independent_designs_meet_their_closed_forms():
    designs = {"A": normal(0.60, 0.03, 1), "B": normal(0.62, 0.04, 2)}
    table = compare(designs, regret=0.05).table
    sd = np.hypot(0.03, 0.04)
    assert table.loc["A", "p_best"] == pytest.approx(N.cdf(-0.02 / sd), abs=0.03)
    assert table["p_best"].sum() == pytest.approx(1)
    assert table.loc["A", "p_regret"] == pytest.approx(N.sf(0.05, 0.02, sd), abs=0.03)
    assert table.loc["B", "p_regret"] == pytest.approx(N.sf(0.05, -0.02, sd), abs=0.03)
    assert table.loc["B", "utility"] == pytest.approx(0.62, abs=0.003)
    assert table.loc["B", "utility_sd"] == pytest.approx(0.04, rel=0.05)
    assert table.loc["B", "value_at_risk"] == pytest.approx(N.ppf(0.05, 0.62, 0.04), abs=0.004)
    tail = 0.62 - 0.04 * N.pdf(N.ppf(0.05)) / 0.05
    assert table.loc["B", "conditional_value_at_risk"] == pytest.approx(tail, abs=0.004)


@pytest.mark.parametrize(("baseline", "decision"), [(0.59, "go"), (0.61, "no-go")])
def test_loss_of_deciding_wrongly_is_the_value_of_perfect_information(baseline, decision):
    row = compare({"A": normal(0.6, 0.03)}, baseline=baseline).table.loc["A"]
    gap = 0.6 - baseline
    expected = gap * N.cdf(gap / 0.03) + 0.03 * N.pdf(gap / 0.03) - max(gap, 0)
    assert row["decision"] == decision
    assert row["wrong_decision_loss"] == pytest.approx(expected, abs=0.0015)


def test_fits_of_one_seed_are_not_taken_for_the_same_world():
    one, two = normal(0.6, 0.03, 5), normal(0.6, 0.03, 5)
    result = compare({"A": one, "B": two})
    assert abs(np.corrcoef(result.utility.values.T)[0, 1]) < 0.1
    assert result.table.loc["A", "p_best"] == pytest.approx(0.5, abs=0.05)


def test_designs_on_one_posterior_share_its_worlds():
    fit, compute = normal(0.6, 0.03)
    result = compare({"S": (fit, compute), "L": (fit, 2 * compute)})
    np.testing.assert_allclose(np.diff(result.utility.values), 0.1 * np.log10(2))
    assert result.table["p_best"].tolist() == [0, 1]
    twice = compare({"S": (fit, compute), "L": (fit, compute)})
    assert twice.table["p_best"].tolist() == [0.5, 0.5]


def test_value_and_cost_are_in_one_currency():
    cost = CostRecord(1e15, 0.5, (1.0, 3.0), currency="EUR")
    fit, compute = normal(0.6, 0.03)
    result = compare({"S": (fit, compute), "L": (fit, 10 * compute)}, value=2e7, cost=cost)
    mean_price = 2 / np.log(3)
    for name, flops, score in (("S", compute, 0.6), ("L", 10 * compute, 0.7)):
        row, bill = result.table.loc[name], mean_price * flops / (3600 * 5e14)
        assert row["cost"] == pytest.approx(bill, rel=0.03)
        assert row["utility"] == pytest.approx(2e7 * score - row["cost"], rel=0.01)
        assert row["score_per_cost"] == pytest.approx(score / row["cost"], rel=0.01)
    assert result.unit == "EUR" and result.regret == 2e5
    # Without a value the cost stays outside the utility.
    plain = compare({"S": (fit, compute)}, cost=cost).table.loc["S"]
    assert plain["utility"] == plain["score"] == pytest.approx(0.6, abs=0.003)


def test_named_utilities():
    fit = FakeFit({"a": (0.1, 0.0, 1.0), "b": (0.2, 0.0, 1.0)})
    design = {"A": (fit, 1e25)}  # a 0.6, b 0.7

    def score(utility):
        return compare(design, utility).table.loc["A", "score"]

    assert score(None) == pytest.approx(0.65)
    assert score(mean_score({"a": 3, "b": 1})) == pytest.approx(0.625)
    assert score(reaches(["a>=0.55", "b>=0.65"])) == 1
    assert score(reaches(["a>=0.55", "b>=0.75"])) == 0
    assert score(lambda s: s.sel(benchmark="b") ** 2) == pytest.approx(0.49)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"designs": {}}, "at least one design"),
        ({"designs": {"A": normal(0.6, 0.1), "B": normal(0.6, 0.1, name="c")}}, "same benchmarks"),
        ({"utility": mean_score({"c": 1})}, r"\['b'\], got \['c'\]"),
        ({"utility": reaches(["c>=0.5"])}, r"\['b'\], got \['c'\]"),
        ({"utility": lambda score: score}, "reduce the dimension benchmark"),
        ({"utility": lambda score: score.mean("benchmark") * np.nan}, "4000 of them NaN"),
        ({"value": 0}, "value > 0"),
        ({"baseline": np.inf}, "finite baseline"),
        ({"regret": -1}, "regret >= 0"),
        ({"level": 5}, "0.05 for 5 %"),
        ({"cost": CostRecord(1e15, 0.5)}, "price_per_gpu_hour"),
    ],
)
def test_bad_questions_are_refused(change, match):
    with pytest.raises(ValueError, match=match):
        compare(**({"designs": {"A": normal(0.6, 0.1)}} | change))


def test_bad_weights_are_refused():
    for weights in ({}, {"a": -1}, {"a": 0.0}, {"a": np.nan}):
        with pytest.raises(ValueError, match="weights >= 0"):
            mean_score(weights)


def test_an_unconverged_posterior_is_named_everywhere(capsys):
    from cod_bayes.commands.compare import show

    designs = {"A": normal(0.6, 0.1, failed_checks=("r_hat 1.3",)), "B": normal(0.6, 0.1)}
    result = compare(designs)
    show(result)
    assert "unconverged: A: r_hat 1.3" in capsys.readouterr().out
    assert result.to_dict()["failed_checks"] == {"A": ["r_hat 1.3"]}
    assert "A: r_hat 1.3" in compare_figure(result).get_suptitle()


def test_command_prints_one_json_object_and_writes_its_files(posterior_file, tmp_path, capsys):
    arguments = [f"S={posterior_file}@1e23", f"L={posterior_file}@1e25", "--weight", "My bench=2"]
    code = main(["compare", *arguments, "--json", "--out", str(tmp_path / "out")])
    assert code == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {
        "designs", "unit", "baseline", "regret_over", "risk_level", "failed_checks",
    }  # fmt: skip
    assert answer["designs"]["S"]["cost"] is None
    assert answer["designs"]["L"]["p_best"] > 0.9
    assert json.loads((tmp_path / "out" / "compare.json").read_text()) == answer
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == ["compare.csv", "compare.json", "compare.png"]


@pytest.mark.parametrize(
    ("extra", "match"),
    [
        (["A=p.nc"], "NAME=POSTERIOR@FLOPS"),
        (["A=p.nc@-1"], "NAME=POSTERIOR@FLOPS"),
        (["A=p.nc@1e24", "A=p.nc@2e24"], "'A' twice"),
        (["A=p.nc@1e24", "--weight", "b"], "expected --weight"),
        (["A=p.nc@1e24", "--weight", "b=1", "--goal", "b>=0.5"], "got both"),
        (["A=missing.nc@1e24"], "missing.nc"),
    ],
)
def test_command_refuses_in_a_sentence(extra, match, capsys):
    assert main(["compare", *extra]) == 2
    assert match in capsys.readouterr().err


def test_command_shows_a_table(posterior_file, capsys):
    assert main(["compare", f"A={posterior_file}@1e24", "--goal", "GSM8K>=0.5"]) == 0
    assert "P(best)" in capsys.readouterr().out
