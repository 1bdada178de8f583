"""What further data is worth: known answers of the regression, then on a small fit."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from seeds import seed
from small_fit import run_fit, with_checks

from cod_bayes.cli import main
from cod_bayes.decide.next_run import next_run, residual_variance
from cod_bayes.forecast.mapping import Mapping
from cod_bayes.forecast.posterior import Fit
from cod_bayes.show.plots import next_figure

TARGET = 1e24


@pytest.fixture(scope="module")
def fitted():
    return run_fit(slice(2, 6))


def unconverged(fitted):
    return with_checks(fitted, ["r_hat 1.234"])


def test_a_linear_and_a_quadratic_share_of_the_variance_are_found():
    rng = np.random.default_rng(seed(0))
    y = rng.standard_normal((20_000, 2))
    noise = rng.standard_normal((20_000, 3))
    target = noise + np.column_stack([2 * y[:, 0], y[:, 1] ** 2, 0 * y[:, 0]])
    np.testing.assert_allclose(target.var(axis=0), [5, 3, 1], rtol=0.05)
    np.testing.assert_allclose(residual_variance(target, y), 1.0, rtol=0.03)


def test_data_that_say_nothing_reduce_nothing_however_many():
    rng = np.random.default_rng(seed(0))
    target = rng.standard_normal((400, 1))
    left = np.mean(
        [residual_variance(target, rng.standard_normal((400, 40)))[0] for _ in range(20)]
    )
    assert left == pytest.approx(target.var(), rel=0.05)  # without degrees of freedom: 0.8
    assert residual_variance(target, np.ones((400, 1)))[0] == pytest.approx(target.var(), rel=0.01)


def test_a_run_near_the_target_is_worth_more_than_a_tiny_one(fitted):
    result = next_run(fitted, TARGET, candidates=[1e19, 1e22, 5e23])
    reduction = result.table["reduction"].to_numpy()
    assert reduction[0] < 0.15 and reduction[2] > 0.3
    assert reduction[0] < reduction[1] < reduction[2]
    assert result.best["compute"] == 5e23
    after = result.table["sd_before"] * np.sqrt(1 - reduction)
    np.testing.assert_allclose(result.table["sd_after"], after, rtol=1e-9)


def test_the_sd_now_is_the_forecasts(fitted):
    result = next_run(fitted, TARGET)
    variance = float(fitted.forecast(TARGET).draws["score"].var(("chain", "draw")).mean())
    assert result.table["sd_before"].iloc[0] == pytest.approx(np.sqrt(variance), rel=0.1)
    name = fitted.benchmarks[1]
    alone = next_run(fitted, TARGET, benchmarks=[name])
    sd = fitted.forecast(TARGET).summary().set_index("benchmark").loc[name, "sd"]
    assert alone.table["sd_before"].iloc[0] == pytest.approx(sd, rel=0.1)


def test_candidates_by_default_span_the_ladder(fitted):
    compute = next_run(fitted, TARGET).table["compute"].to_numpy()
    ladder = fitted.idata["constant_data"].to_dataset()["compute"].values
    assert len(compute) == 5
    np.testing.assert_allclose(compute[[0, -1]], [0.3 * ladder.min(), 2 * ladder.max()])


def test_cost_decides_what_is_best_for_its_cost(fitted):
    runs = [1e22, 5e23]
    dear = next_run(fitted, TARGET, candidates=runs)
    cheap = next_run(fitted, TARGET, candidates=runs, cost=[10.0, 1.0])
    np.testing.assert_allclose(dear.table["cost"], runs)
    np.testing.assert_allclose(
        cheap.table["per_cost"], cheap.table["reduction"] / np.array([10.0, 1.0])
    )
    assert dear.best_per_cost["compute"] == 1e22 and cheap.best_per_cost["compute"] == 5e23
    assert dear.best["compute"] == cheap.best["compute"] == 5e23


def test_an_anchor_is_offered_where_there_is_a_mapping(fitted, monkeypatch):
    assert (next_run(fitted, TARGET).table["kind"] == "run").all()
    name = fitted.benchmarks[0]
    target = fitted.draws([1e22, TARGET], one_run=True)["score"].sel(benchmark=name).values
    target = target[..., -1].reshape(-1, 1)
    ends = np.full((len(target), 2), [0.0, 0.999])
    # The rest's rate is the target's score itself: the anchor would tell nearly all.
    rng = np.random.default_rng(seed(0))
    informative = Mapping.of(0.5, ends, np.repeat(target, 2, axis=1), np.empty((0, 3)), 0.04, rng)
    monkeypatch.setattr(Fit, "mapping", lambda self, b: informative if b == name else None)
    for share, kinds in ((1.0, ["run"]), (0.5, ["run", "anchor"])):
        predictable = xr.full_like(fitted.predictable, share)
        monkeypatch.setitem(vars(fitted), "predictable", predictable)
        result = next_run(fitted, TARGET, candidates=[1e22], benchmarks=[name])
        assert list(result.table["kind"]) == kinds  # where all is predictable, there is no rest
    anchor = result.table.iloc[-1]
    assert anchor["benchmark"] == name
    assert anchor["reduction"] > 0.3 > result.table["reduction"].iloc[0]
    assert np.isnan(anchor["cost"]) and result.best_per_cost["kind"] == "run"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"candidates": []}, "expected candidates"),
        ({"candidates": [-1.0]}, "compute above 0"),
        ({"candidates": [np.nan]}, "compute above 0"),
        ({"candidates": [2 * TARGET]}, "below the target's 1e\\+24"),
        ({"candidates": [1e22], "cost": [1.0, 2.0]}, "one cost > 0 for each of 1 candidates"),
        ({"candidates": [1e22], "cost": [0.0]}, "one cost > 0"),
        ({"benchmarks": ["other"]}, r"expected benchmarks of this posterior, .*\['other'\]"),
        ({"benchmarks": []}, "at least one benchmark"),
    ],
)
def test_bad_settings_are_refused(fitted, arguments, message):
    with pytest.raises(ValueError, match=message):
        next_run(fitted, TARGET, **arguments)
    with pytest.raises(ValueError, match="target compute > 0"):
        next_run(fitted, -1.0)


def test_command_answers_and_says_what_is_unconverged(fitted, tmp_path, capsys):
    fitted.save(tmp_path / "p.nc", fitted.forecast(TARGET))
    arguments = ["next", str(tmp_path / "p.nc"), "--candidates", "1e22", "5e23"]
    assert main([*arguments, "--json", "--cost", "1", "8", "--out", str(tmp_path / "out")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["target_compute"] == TARGET and printed["best"]["compute"] == 5e23
    assert [row["cost"] for row in printed["candidates"]] == [1, 8]
    assert (tmp_path / "out" / "next.png").stat().st_size > 10_000
    assert len(pd.read_csv(tmp_path / "out" / "candidates.csv")) == 2
    assert main(arguments) == 0
    assert "narrows most: run of 5e+23 FLOPs" in capsys.readouterr().out

    doubtful = unconverged(fitted)
    doubtful.save(tmp_path / "p.nc", doubtful.forecast(TARGET))
    assert main(arguments) == 0
    assert "unconverged: r_hat 1.234" in " ".join(capsys.readouterr().out.split())
    result = next_run(doubtful, TARGET)
    assert json.loads(result.to_json())["failed_checks"] == ["r_hat 1.234"]
    assert "unconverged: r_hat 1.234" in next_figure(result)._suptitle.get_text()
    assert main([*arguments, "--benchmark", "other"]) == 2
    assert "expected benchmarks of this posterior" in capsys.readouterr().err
