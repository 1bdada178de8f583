"""Targets by parameters and tokens, and the split of parameters and tokens that a goal needs."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from fake_fit import FakeFit

import cod_bayes as cb
from cod_bayes.cli import main
from cod_bayes.decide.cost import CostRecord
from cod_bayes.evidence.loss_law import PUBLISHED, LossLaw
from cod_bayes.forecast.size import law_group, law_of, target_compute

ONE = {"b": (0.1, 0.05, 1.0)}  # log10 C required for 0.6 is N(25, 0.5)
LAW = LossLaw(E=1.7, A=400.0, B=1000.0, a=0.32, b=0.29)


def table(multiples=(20, 640)):
    """A benchmark of four sizes and these tokens per parameter, its score given by the loss."""
    params = np.repeat(np.logspace(8, 9.5, 4), len(multiples))
    tokens = params * np.tile(np.array(multiples, float), 4)
    loss = PUBLISHED.loss(params, tokens)
    return pd.DataFrame(
        {
            "benchmark": "b",
            "model": [f"m{j}" for j in range(len(params))],
            "params": params,
            "tokens": tokens,
            "compute": 6 * params * tokens,
            "score": 1.25 - 0.3 * loss,
            "n_trials": 2000,
            "loss": loss,
        }
    )


def test_a_size_is_the_same_compute():
    evidence = cb.read_table(table())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert target_compute(evidence, 70e9, 7e12) == 6 * 70e9 * 7e12
        effective = cb.on_effective_compute(evidence)
        expected = cb.effective_compute(70e9, 7e14)
        assert target_compute(effective, 70e9, 7e14) == expected < 6 * 70e9 * 7e14


def test_what_is_doubtful_is_told():
    evidence = cb.read_table(table())
    with pytest.warns(cb.EvidenceWarning, match="2e.03 tokens per parameter, the ladder 20 to 640"):
        target_compute(evidence, 1e10, 2e13)
    other = cb.read_table(table().assign(compute=lambda t: 0.4 * t["compute"]))
    with pytest.warns(cb.EvidenceWarning, match="the ladder's is 0.4 to 0.4 times"):
        target_compute(other, 1e10, 2e11)
    with pytest.warns(cb.EvidenceWarning, match="the ladder 20 to 20"):
        target_compute(FakeFit(ONE, law=LAW), 1e10, 2e13)
    for size in ((0, 1e12), (1e9, np.inf), (np.nan, 1e12)):
        with pytest.raises(ValueError, match="params > 0 and tokens > 0"):
            target_compute(evidence, *size)


def test_the_split_of_a_plan_is_the_cheapest_of_the_loss_of_the_ladder_s_own_ratio():
    found = cb.plan(FakeFit(ONE, law=LAW), "b>=0.6", 0.9)
    params = np.sqrt(found.compute_at_probability / 120)
    goal = LAW.loss(params, 20 * params)
    split = {name: of["q50"] for name, of in found.split.quantiles.items()}
    assert LAW.loss(split["params"], split["tokens"]) == pytest.approx(goal)
    assert split["compute"] == pytest.approx(6 * split["params"] * split["tokens"])
    assert split["compute"] < found.compute_at_probability
    grid = split["params"] * np.logspace(-0.5, 0.5, 301)
    left = goal - LAW.E - LAW.A / grid**LAW.a
    cost = 6 * grid[left > 0] * (LAW.B / left[left > 0]) ** (1 / LAW.b)
    assert split["compute"] == pytest.approx(cost.min(), rel=1e-3)


def test_a_cap_costs_more_and_the_bill_is_that_of_the_split():
    record = CostRecord(1e15, 0.5, 2.0)
    free = cb.plan(FakeFit(ONE, law=LAW), "b>=0.6", cost=record).split
    most = 0.5 * free.quantiles["params"]["q50"]
    capped = cb.plan(FakeFit(ONE, law=LAW), "b>=0.6", cost=record, max_params=most).split
    assert capped.quantiles["params"] == {"q05": most, "q50": most, "q95": most}
    assert capped.quantiles["compute"]["q50"] > free.quantiles["compute"]["q50"]
    flops = capped.quantiles["compute"]["q50"]
    assert capped.quantiles["money"]["q50"] == pytest.approx(2 * flops / 3600 / 5e14)
    none = cb.plan(FakeFit(ONE, law=LAW), "b>=0.6", cost=record, max_params=1e7).split
    assert none.p_within_cap == 0 and np.isinf(none.quantiles["money"]["q50"])
    assert none.to_dict()["quantiles"]["tokens"]["q50"] is None


def test_a_fit_does_without_losses_that_differ_between_benchmarks():
    first = table()
    both = pd.concat([first, first.assign(benchmark="c", loss=2 * first["loss"])])
    evidence = cb.on_effective_compute(cb.read_table(both))
    group = law_group(evidence)
    assert group["models"] == 0
    np.testing.assert_allclose(group["effective_by"], group["constants"])  # both the published
    assert law_group(cb.read_table(first.drop(columns="tokens"))) is None


def test_without_sizes_there_is_no_split():
    assert cb.plan(FakeFit(ONE), "b>=0.6").split is None
    with pytest.raises(ValueError, match="knows the params and tokens"):
        cb.plan(FakeFit(ONE), "b>=0.6", max_params=1e9)
    with pytest.raises(ValueError, match="number of parameters > 0"):
        cb.plan(FakeFit(ONE, law=LAW), "b>=0.6", max_params=-1)


def test_commands_from_a_table_to_a_split(tmp_path, capsys):
    ladder, out = tmp_path / "ladder.csv", tmp_path / "out"
    table().to_csv(ladder, index=False)
    size = ["--target-params", "7B", "--target-tokens", "14T"]
    arguments = ["forecast", str(ladder), "--preview", "--effective-compute", *size]
    assert main([*arguments, "--quiet", "--json", "--out", str(out)]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["compute"] == pytest.approx(float(cb.effective_compute(7e9, 14e12)))
    fit = cb.load(out / "posterior.nc")
    assert target_compute(fit, 7e9, 14e12) == pytest.approx(row["compute"])
    assert law_of(fit).models == 8
    goal = ["--goal", "b>=0.4", "--max-params", "1.5B"]
    assert main(["plan", str(out / "posterior.nc"), *goal]) == 0
    printed = capsys.readouterr().out
    assert "parameters" in printed and "fitted to the losses of 8 models" in printed
    assert main(["plan", str(out / "posterior.nc"), "--goal", "b>=0.4", "--json"]) == 0
    split = json.loads(capsys.readouterr().out)["split"]
    compute = split["quantiles"]["params"]["q50"] * split["quantiles"]["tokens"]["q50"] * 6
    assert compute == pytest.approx(split["quantiles"]["compute"]["q50"], rel=0.2)


def test_commands_take_a_size_for_a_compute(posterior_file, tmp_path, capsys):
    size = ["--target-params", "70B", "--target-tokens", "9T"]
    for name, target in (("a", size), ("b", ["--target-compute", "3.78e24"])):
        out = ["--out", str(tmp_path / f"{name}.json")]
        assert main(["register", str(posterior_file), *target, *out]) == 0
    a, b = (json.loads((tmp_path / f"{name}.json").read_text()) for name in "ab")
    assert a["forecasts"] == b["forecasts"]
    assert main(["next", str(posterior_file), *size, "--json"]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed[printed.index("{") :])["target_compute"] == 3.78e24


@pytest.mark.parametrize("command", ["forecast", "register", "next"])
@pytest.mark.parametrize(
    "given", [["--target-params", "70B"], ["--target-params", "70X", "--target-tokens", "1T"]]
)
def test_half_a_size_is_refused(command, given, posterior_file, capsys):
    try:
        code = main([command, str(posterior_file), *given])
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    assert "--target-" in capsys.readouterr().err


def test_no_target_is_refused(posterior_file, capsys):
    assert main(["register", str(posterior_file)]) == 2
    assert "expected --target-compute, or --target-params" in capsys.readouterr().err
    assert main(["next", str(posterior_file), "--target-compute", "1e24", "--target-params", "7B"])
    assert "--target-params with --target-tokens" in capsys.readouterr().err
