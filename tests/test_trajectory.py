"""How a run rises to its end, from the checkpoints of the ladder's models."""

from itertools import cycle

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from seeds import seed
from small_fit import run_fit

from cod_bayes.cli import main
from cod_bayes.decide.monitor import monitor
from cod_bayes.decide.trajectory import (
    _CENTRE,
    _S,
    _TAU,
    LadderRun,
    Trajectory,
    another_run,
    basis,
    floors,
    trajectory_of,
    trajectory_of_ladder,
)
from cod_bayes.forecast.posterior import Fit
from cod_bayes.model.equations import radians

TARGET = 1e24
SHARES = np.array([0.1, 0.3, 0.5, 0.8])
NO_SCATTER = np.zeros(2)


@pytest.fixture(scope="module")
def fitted():
    return run_fit(slice(2, 7))


def rising(fitted, end, kappa, shares):
    """Scores (benchmark, share) of a run that ends at `end` (benchmark,), with F(s) = s^kappa."""
    z0 = floors(fitted)[:, None]
    return np.sin(z0 + (radians(end)[:, None] - z0) * shares**kappa) ** 2


def with_checkpoints(fitted, kappas):
    """The same fit, whose ladder models were runs with these kappas, in turn."""
    constant = fitted.idata["constant_data"].to_dataset()
    shares, models = np.append(SHARES, 1.0), constant["model"].values
    ends = constant["score"].values.T
    score = [
        rising(fitted, e, kappa, shares) for e, kappa in zip(ends, cycle(kappas), strict=False)
    ]
    group = xr.Dataset(
        {
            "score": (("benchmark", "checkpoint"), np.concatenate(score, axis=1)),
            "trials": (("benchmark", "checkpoint"), np.full((2, 5 * len(models)), 5000.0)),
            "model_of_checkpoint": ("checkpoint", np.repeat(models, 5)),
            "training": ("checkpoint", np.tile(shares, len(models))),
        },
        {
            "benchmark": fitted.benchmarks,
            "checkpoint": [f"{m} {s}" for m in models for s in shares],
        },
    )
    tree = fitted.idata.copy()
    tree.attrs = fitted.idata.attrs
    tree["checkpoints"] = xr.DataTree(group)
    return Fit(tree, fitted.clusters)


def run_to(fitted, kappa):
    """Checkpoints of a run that ends at the median forecast."""
    end = fitted.forecast(TARGET).summary().set_index("benchmark")["q50"]
    score = rising(fitted, end.loc[fitted.benchmarks].to_numpy(), kappa, SHARES)
    rows = [
        (name, TARGET * s, score[b, t])
        for b, name in enumerate(fitted.benchmarks)
        for t, s in enumerate(SHARES)
    ]
    return pd.DataFrame(rows, columns=["benchmark", "compute", "score"]), end


def test_draws_have_the_stated_mean_and_sd_and_nothing_is_open_at_the_end():
    known = Trajectory(np.array([0.05, 0.6]), np.diag([0.02, 0.1]) ** 2, 0.03)
    share = np.array([0.2, 0.6, 1.0])
    mean, sd = known.reached(share)
    np.testing.assert_allclose(mean, [*np.exp(-0.05) * np.array([0.2, 0.6]) ** 0.6, 1.0])
    drawn = known.draws(100_000, share, 2, np.random.default_rng(seed(1)))
    np.testing.assert_allclose(drawn.mean(axis=(0, 1)), mean, atol=0.01)
    np.testing.assert_allclose(drawn.std(axis=(0, 1)), sd, rtol=0.03)
    assert sd[2] == 0
    rough = Trajectory(np.array([0.05, 0.6]), np.zeros((2, 2)), 0.03)
    drawn = rough.draws(100_000, share, 2, np.random.default_rng(seed(1)))[:, :, 0]
    assert np.corrcoef(drawn.T)[0, 1] == pytest.approx(0.5, abs=0.02)


def test_another_run_is_one_more_of_these_runs():
    """Against draws of tau, theta and all theta_m, weighed by what the runs say."""
    centres = np.array([[0.05, 0.9], [0.0, 0.2], [-0.05, 0.6]])
    precision = np.array([[300.0, 8.0], [8.0, 40.0]])
    # The most likely theta of a run and its prior, where the likelihood has its mode at the centre.
    shrink = np.linalg.solve(precision + np.linalg.inv(_S), precision)
    mean, covariance = another_run([(_CENTRE + shrink @ (c - _CENTRE), precision) for c in centres])
    rng = np.random.default_rng(seed(2))
    n, root = 400_000, np.sqrt(np.diag(_S))
    tau = rng.choice(_TAU, n)[:, None]
    theta = _CENTRE + root * rng.standard_normal((n, 2))
    log_weight = np.zeros(n)
    for centre in centres:
        away = theta + tau * root * rng.standard_normal((n, 2)) - centre
        log_weight -= 0.5 * ((away @ precision) * away).sum(axis=1)
    other = theta + tau * root * rng.standard_normal((n, 2))
    weight = np.exp(log_weight - log_weight.max())
    np.testing.assert_allclose(mean, np.average(other, axis=0, weights=weight), atol=0.02)
    np.testing.assert_allclose(covariance, np.cov(other.T, aweights=weight), rtol=0.1, atol=0.001)


def test_a_run_at_the_floor_says_nothing():
    flat = LadderRun(SHARES, np.zeros(4), np.zeros(4), np.full(4, 1e-4), np.full(4, 1e-4))
    found = trajectory_of([flat, flat])
    np.testing.assert_allclose(found.mean, _CENTRE)
    np.testing.assert_allclose(found.covariance, _S * (1 + np.mean(_TAU**2)), atol=1e-12)


def test_roughness_is_what_the_runs_have():
    rng = np.random.default_rng(seed(3))
    share, rise = np.linspace(0.1, 0.9, 40), np.full(40, 0.7)
    for r in (0.02, 0.15):
        runs = []
        for _ in range(6):
            F = share**0.7 + r * rng.standard_normal(40)
            runs.append(LadderRun(share, rise * F, rise, np.full(40, 1e-8), np.full(40, 1e-8)))
        assert trajectory_of(runs).roughness == pytest.approx(r, rel=0.25)


def test_the_ladders_rise_is_found_with_the_spread_between_its_models(fitted):
    assert trajectory_of_ladder(fitted, NO_SCATTER) is None
    alike = trajectory_of_ladder(with_checkpoints(fitted, [0.8]), NO_SCATTER)
    mean, sd = alike.reached(SHARES)
    np.testing.assert_allclose(mean, SHARES**0.8, atol=0.03)
    apart = trajectory_of_ladder(with_checkpoints(fitted, [0.3, 1.1]), NO_SCATTER)
    assert (apart.reached(SHARES)[1] > 1.5 * sd).all()


def test_a_run_that_rises_as_the_ladders_did_is_not_flagged(fitted):
    run, end = run_to(fitted, 0.8)
    assert monitor(fitted, run, TARGET).flagged
    known = with_checkpoints(fitted, [0.8])
    result = monitor(known, run, TARGET)
    assert not result.flagged and result.lag is None
    assert result.looks["reached"].to_numpy() == pytest.approx(SHARES**0.8, abs=0.03)
    after = result.forecast.groupby("benchmark").last().loc[end.index]
    np.testing.assert_allclose(after["q50"], end, atol=0.03)
    before = result.forecast.groupby("benchmark").first().loc[end.index]
    assert (after["sd"] < 0.7 * before["sd"]).all()
    assert monitor(known, run, TARGET, lag=0.0).flagged  # a lag that is given comes first


def test_a_run_that_stalls_is_flagged(fitted):
    run, _ = run_to(fitted, 0.8)
    first = run.groupby("benchmark")["score"].transform("first")
    stalled = run.assign(score=first)
    known = with_checkpoints(fitted, [0.8])
    assert monitor(known, stalled, TARGET).flagged
    later = run.assign(score=run["score"].where(run["compute"] < 0.4 * TARGET))
    last = monitor(known, later.ffill(), TARGET).looks.iloc[-1]
    assert last.flag == "slows" and last.since == 0.3 * TARGET
    assert 0.5 < last.lost < 1.1  # low: the rise per decade at a cell is more than that before it


def test_the_command_takes_the_trajectories_from_the_file(fitted, tmp_path, capsys):
    known = with_checkpoints(fitted, [0.8])
    known.save(tmp_path / "posterior.nc", known.forecast(TARGET))
    run, _ = run_to(fitted, 0.8)
    run.to_csv(tmp_path / "run.csv", index=False)
    arguments = ["monitor", str(tmp_path / "posterior.nc"), str(tmp_path / "run.csv")]
    assert main(arguments) == 0
    assert "rise as those of the ladder" in " ".join(capsys.readouterr().out.split())
    assert main([*arguments, "--lag", "0"]) == 3


def test_a_spread_of_lags_without_a_lag_is_refused(fitted):
    run, _ = run_to(fitted, 0.8)
    with pytest.raises(ValueError, match="expected a lag beside lag_sd"):
        monitor(fitted, run, TARGET, lag_sd=0.1)


def test_the_basis_is_0_at_the_end():
    np.testing.assert_allclose(basis(np.array([np.exp(-1.0), 1.0])), [[1, 1], [0, 0]])
