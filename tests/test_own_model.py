"""A model that the user builds: what it must have, and that all that follows works from it."""

import sys
import warnings
from pathlib import Path

import numpy as np
import pymc as pm
import pytest
from seeds import seed

import cod_bayes as cb
from cod_bayes.forecast.curves import Curves
from cod_bayes.model.equations import accuracy, radians
from cod_bayes.model.ladder import AHEAD
from cod_bayes.sampling.engines import require_forecastable

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))


def closed_form(draws=400, clusters=30, seed=seed(0)):
    rng = np.random.default_rng(seed)
    shape = draws, clusters
    return Curves(
        {
            "eta": rng.normal(0.4, 1.2, shape),
            "beta": np.exp(rng.normal(-0.7, 0.6, shape)),
            "gamma": rng.exponential(0.4, shape),
            "g": rng.beta(2, 8, shape),
            "nu": np.exp(rng.normal(-0.7, 0.3, shape)),
        }
    )


def tabulated(curves):
    value = {name: v[..., None] for name, v in curves.draws.items()}
    return Curves({"accuracy": radians(accuracy(AHEAD, **value))}, AHEAD)


def test_a_table_of_curves_gives_the_curves():
    curves = closed_form()
    table = tabulated(curves)
    ahead = np.random.default_rng(seed(1)).uniform(-3, 4, (400, 3))
    for k in range(30):
        np.testing.assert_allclose(table.at(k, ahead), curves.at(k, ahead), atol=3e-3)
        grid = np.linspace(-5, 7, 73)
        np.testing.assert_allclose(table.at(k, grid), curves.at(k, grid), atol=0.02)


def test_a_table_of_curves_gives_their_predictability():
    """Up to what the floor and the ceiling of a finite table miss."""
    curves = closed_form()
    away = tabulated(curves).predictable - curves.predictable
    assert abs(away).max() < 0.25 and abs(away.mean()) < 0.1


def test_an_engine_refuses_what_it_cannot_sample():
    def own(ladder):
        return cb.build_model(ladder)

    table = "not read: models are checked first"
    with pytest.raises(cb.ModelError, match=r"'fast' samples shipped models only.*engine='pymc'"):
        cb.fit(table, own, engine="fast")
    with pytest.raises(cb.ModelError, match=r"engine of \['fast', 'pymc', 'jax'\], got 'stan'"):
        cb.fit(table, engine="stan")


def test_a_model_without_what_forecasts_need_is_refused_by_name():
    with pm.Model() as model:
        for name in ("sigma_model", "sigma_delta", "sigma_omega", "delta", "lead"):
            pm.Normal(name)
    with pytest.raises(cb.ModelError, match=r"lacks \['tau', 'accuracy \(cluster, ahead\)'\]"):
        require_forecastable(model)


@pytest.mark.slow
def test_a_model_of_another_curve_family_forecasts_decides_and_is_saved(tmp_path):
    from change_the_model import logistic

    from cod_bayes.evaluate.simulate import PAPER_BENCHMARKS, simulate
    from cod_bayes.show.report import write_report

    world = simulate(3, benchmarks=PAPER_BENCHMARKS[:2], items_scale=0.05, trials=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cb.ConvergenceWarning)
        fit = cb.fit(world.table, logistic, random_seed=seed(1), progressbar=False)
    assert fit.idata.attrs["built_by"] == "logistic"
    outlook = fit.forecast([1e23, 3.8e24])
    score = outlook.draws["score"].mean(("chain", "draw"))
    assert ((score > 0) & (score < 1)).all()
    assert (score.isel(compute=1) > score.isel(compute=0)).all()
    target = world.truth.query("role == 'target'").set_index("benchmark")["score"]
    assert abs(score.isel(compute=1).to_series() - target).max() < 0.25

    fit.save(tmp_path / "posterior.nc")
    loaded = cb.load(tmp_path / "posterior.nc")
    again = loaded.forecast([1e23, 3.8e24]).draws["score"]
    np.testing.assert_array_equal(again.values, outlook.draws["score"].values)
    with pytest.raises(ValueError, match="built by the function 'logistic'"):
        loaded.build_model()
    name = fit.benchmarks[0]
    plan = cb.plan(loaded, [cb.Goal(name, float(score.sel(benchmark=name)[0]))])
    assert plan is not None
    assert "p_predictable" in loaded.summary()
    write_report(loaded, loaded.forecast(3.8e24), tmp_path / "report.html")
    assert "logistic" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_the_example_compares_three_changes_with_the_shipped_model(capsys, monkeypatch):
    import change_the_model

    monkeypatch.setattr(sys, "argv", ["change_the_model.py", "--draws", "300"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cb.ConvergenceWarning)
        change_the_model.main()
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows[1:]] == ["cod", "slope_by_kind", "student", "logistic"]
    assert all(0 < float(row.split()[1]) < 15 for row in rows[1:])
