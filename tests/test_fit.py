"""From evidence to forecast on a small simulated ladder whose truth is known."""

import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from seeds import seed
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from cod_bayes.cli import main
from cod_bayes.clustering.clusters import cluster
from cod_bayes.evidence.record import EvidenceError, EvidenceWarning, read_table
from cod_bayes.forecast.fitting import fit
from cod_bayes.forecast.groups import constant_data
from cod_bayes.forecast.storage import load
from cod_bayes.model.ladder import fall_variance, ladder_data
from cod_bayes.model.spec import SpecError, load_spec

COMPUTE = np.logspace(20, 23, 7)
TARGET = 1e24
CONSTANTS = load_spec("cod").constants


def curve(compute):
    return 0.95 * np.exp(-1.2 * (compute / 1e22) ** -0.25)


def ladder_table(n_items=120, n_trials=1, seed=seed(0)):
    rng = np.random.default_rng(seed)
    rows = []
    for compute in COMPUTE:
        right = rng.binomial(n_trials, curve(compute), n_items)
        rows += [
            ("b", f"i{j}", f"m{compute:.0e}", compute, k, n_trials, 0.0)
            for j, k in enumerate(right)
        ]
    names = ["benchmark", "item", "model", "compute", "n_correct", "n_trials", "chance"]
    return pd.DataFrame(rows, columns=names)


@pytest.fixture(scope="module")
def fitted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit(
            ladder_table(n_items=500), random_seed=seed(1), draws=500, tune=500, progressbar=False
        )


def test_forecast_is_near_the_truth_and_beats_persistence(fitted):
    row = fitted.forecast(TARGET).summary().iloc[0]
    # Three standard deviations: an interval of 90 % may well miss one truth.
    assert abs(row.q50 - curve(TARGET)) < 3 * row.sd
    assert abs(row.q50 - curve(TARGET)) < curve(TARGET) - curve(COMPUTE[-1])


def test_spread_grows_beyond_the_ladder(fitted):
    sd = fitted.forecast([1e23, 1e24, 1e26]).summary()["sd"].to_numpy()
    assert sd[0] < sd[1] < sd[2]


def test_probability_falls_with_the_goal(fitted):
    outlook = fitted.forecast([TARGET])
    low, high = (float(outlook.probability("b", goal).item()) for goal in (0.1, 0.99))
    assert low > 0.9 > 0.1 > high


def test_posterior_is_saved_for_arviz(fitted, tmp_path):
    fitted.save(tmp_path / "p.nc")
    back = az.from_netcdf(tmp_path / "p.nc")
    np.testing.assert_array_equal(back["posterior"]["eta"], fitted.idata["posterior"]["eta"])


def test_a_saved_fit_forecasts_identically(fitted, tmp_path):
    fitted.save(tmp_path / "p.nc")
    first = fitted.forecast([TARGET, 2 * TARGET]).draws["score"]
    again = load(tmp_path / "p.nc").forecast([TARGET, 2 * TARGET]).draws["score"]
    np.testing.assert_array_equal(first, again)


def test_files_of_another_kind_are_refused(tmp_path):
    (tmp_path / "p.nc").write_text("not a posterior")
    with pytest.raises(ValueError, match="expected a posterior saved by cod_bayes"):
        load(tmp_path / "p.nc")


def test_arviz_reads_the_tree_and_its_groups_on_request(fitted):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = fitted.with_predictive(20)
        assert np.isfinite(az.loo(tree, var_name="z").elpd)
        assert len(az.psense_summary(tree, var_names=["mu_eta", "mu_beta"])) == 2
        az.plot_forest(tree, var_names=["eta", "beta"])
        az.plot_ppc_pit(tree)


def test_same_seed_same_draws():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one, two = (
            fit(ladder_table(), random_seed=seed(3), draws=100, tune=200, progressbar=False)
            for _ in range(2)
        )
    np.testing.assert_array_equal(one.idata["posterior"]["eta"], two.idata["posterior"]["eta"])


def test_few_items_with_few_trials_are_one_cluster():
    evidence = read_table(ladder_table(n_items=200))
    found = cluster(evidence.benchmarks["b"], np.random.default_rng(seed(0)))
    assert found.route == "one_cluster" and len(found.kind) == 1


def test_demo_prints_the_truth_beside_the_forecast(tmp_path, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert main(["demo", "-q", "--items-scale", "0.01", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "truth" in out and "mean absolute error" in out
    assert (tmp_path / "forecast.png").exists()


def test_items_that_few_trials_measure_are_not_sorted_by_them():
    benchmark = read_table(ladder_table(n_items=600, n_trials=16)).benchmarks["b"]
    found = cluster(benchmark, np.random.default_rng(seed(0)))
    assert found.route == "one_cluster"
    np.testing.assert_allclose(found.rate[0], benchmark["rate"].mean("item"))


def test_many_trials_are_clustered_by_mean_shift_on_a_half_and_fitted_on_the_other():
    evidence = read_table(ladder_table(n_items=60, n_trials=100))
    found = {"b": cluster(evidence.benchmarks["b"], np.random.default_rng(seed(0)))}
    assert found["b"].route == "mean_shift"
    assert found["b"].n_trials.sum(0) == pytest.approx(np.full(7, 60 * 50))
    assert ladder_data(evidence, found, CONSTANTS).z.shape == (len(found["b"].kind), 7)


class OneAtATime:
    """A clusterer of another library: no scikit-learn estimator, and one object with a state."""

    def __init__(self):
        self.busy, self.asked = False, 0

    def fit(self, x):
        assert not self.busy
        self.busy = True
        self.asked += 1
        time.sleep(0.05)
        self.labels_ = KMeans(3, random_state=0).fit_predict(x)
        self.busy = False
        return self


@pytest.mark.filterwarnings("ignore::cod_bayes.forecast.fitting.ConvergenceWarning")
def test_a_clusterer_from_elsewhere_is_asked_for_one_benchmark_after_the_other():
    tables = [ladder_table(n_items=40, n_trials=100).assign(benchmark=name) for name in "abc"]
    clusterer = OneAtATime()
    found = fit(
        pd.concat(tables), clusterer=clusterer, draws=30, tune=30, chains=1, progressbar=False
    )
    assert clusterer.asked == 3
    assert [found.clusters[name].membership.shape for name in "abc"] == [(40, 3)] * 3


def test_clusters_do_not_hang_on_how_many_items_are_split_at_once(monkeypatch):
    benchmark = read_table(ladder_table(n_items=60, n_trials=100)).benchmarks["b"]
    whole = cluster(benchmark, np.random.default_rng(seed(0)))
    monkeypatch.setattr("cod_bayes.clustering.features._SLICE", 7)
    parts = cluster(benchmark, np.random.default_rng(seed(0)))
    np.testing.assert_array_equal(parts.membership, whole.membership)
    np.testing.assert_allclose(parts.rate, whole.rate, rtol=1e-12)
    np.testing.assert_array_equal(parts.n_trials, whole.n_trials)


@pytest.mark.filterwarnings("ignore::cod_bayes.forecast.fitting.ConvergenceWarning")
def test_draws_do_not_depend_on_the_number_of_blas_threads():
    """Twenty clusters: their covariances are sums that BLAS would share among its threads."""
    found = []
    for threads in (1, 2):
        options = {"clusterer": KMeans(20, n_init=1, random_state=0), "chains": 2}
        with threadpool_limits(threads, user_api="blas"):
            fitted = fit(
                ladder_table(n_items=100, n_trials=400),
                random_seed=seed(1),
                draws=20,
                tune=20,
                progressbar=False,
                **options,
            )
        found.append(fitted.idata["posterior"]["eta"].values)
    assert found[0].shape[-1] == 20
    np.testing.assert_array_equal(*found)


def test_a_new_process_samples_on_one_blas_thread():
    script = """if True:
        import nutpie
        from threadpoolctl import threadpool_info
        from test_fit import fit, ladder_table

        def threads(*args, **options):
            libraries = [i for i in threadpool_info() if i["user_api"] == "blas"]
            print(len(libraries), max(i["num_threads"] for i in libraries))
            raise SystemExit

        nutpie.sample = threads
        fit(ladder_table(n_items=5), progressbar=False)
    """
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "2"}
    run = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split()[-1] == "1"


def test_the_target_s_answers_are_not_looked_at():
    table = ladder_table(n_items=120, n_trials=100)
    largest = table["model"] == table.loc[table["compute"].idxmax(), "model"]
    found = []
    for answers in (0, 100):  # every other item right, then all of them
        table.loc[largest, "n_correct"] = np.where(np.arange(largest.sum()) % 2, 100, answers)
        evidence = read_table(table, hold_out=table.loc[largest, "model"].unique())
        clusters = {"b": cluster(evidence.benchmarks["b"], np.random.default_rng(seed(0)))}
        found.append((clusters["b"].membership, ladder_data(evidence, clusters, CONSTANTS).z))
    for first, second in zip(*found, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("n_trials", [1, 16, 400])
def test_the_noise_of_a_rate_is_that_of_its_trials(n_trials):
    evidence = read_table(ladder_table(n_items=25, n_trials=n_trials))
    found = {"b": cluster(evidence.benchmarks["b"], np.random.default_rng(seed(0)))}
    data = ladder_data(evidence, found, CONSTANTS)
    sampling = found["b"].noise_share[:, None] / (4 * found["b"].n_trials)
    fall = fall_variance(data.z, sampling + 0.004**2)
    expected = sampling + 0.004**2 + fall[:, None]
    np.testing.assert_allclose(data.noise, expected)


def test_a_score_without_a_count_has_the_noise_of_the_assumed_trials():
    table = ladder_table(n_items=1, n_trials=100)
    table["score"] = np.linspace(0, 0.5, len(table))
    with pytest.warns(EvidenceWarning, match="No number of trials"):
        evidence = read_table(table.drop(columns=["n_correct", "n_trials"]))
    found = {"b": cluster(evidence.benchmarks["b"], np.random.default_rng(seed(0)))}
    assert np.isposinf(found["b"].n_trials).all()
    data = ladder_data(evidence, found, CONSTANTS)
    n = CONSTANTS["assumed_trials"]
    np.testing.assert_allclose(data.noise, 1 / (4 * n) + 0.004**2)
    assert constant_data(evidence, found, data, n)["trials"].item() == n  # forecasts'
    # A score of 0 is not at the edge, where curves have no slope.
    assert data.z.min() == pytest.approx(np.arcsin(np.sqrt(0.375 / (n + 0.75))))


def test_command_writes_table_posterior_and_picture(tmp_path, capsys):
    ladder_table(n_items=30).to_csv(tmp_path / "e.csv", index=False)
    code = main(
        [
            "forecast",
            str(tmp_path / "e.csv"),
            "--target-compute",
            "1e24",
            "-q",
            "--out",
            str(tmp_path / "out"),
        ]
    )
    assert code == 0
    table = pd.read_csv(tmp_path / "out" / "forecast.csv")
    assert list(table.columns) == (
        "benchmark compute mean sd q05 q25 q50 q75 q95 predictable_share verdict".split()
    )
    assert (tmp_path / "out" / "forecast.png").stat().st_size > 10_000
    assert (tmp_path / "out" / "posterior.nc").exists()
    assert "90 %" in capsys.readouterr().out


def test_a_preview_is_of_one_cluster_and_says_so(tmp_path, capsys):
    ladder_table(n_items=60, n_trials=100).to_csv(tmp_path / "e.csv", index=False)
    asked = ["forecast", str(tmp_path / "e.csv"), "--target-compute", "1e24", "--preview"]
    asked += ["--seed", str(seed(0))]
    assert main([*asked, "--out", str(tmp_path / "out")]) == 0
    assert "note: b: one cluster" in capsys.readouterr().err
    fitted = load(tmp_path / "out" / "posterior.nc")
    assert len(fitted.summary()) == 1 and not fitted.failed_checks


def test_refusals_are_one_sentence(tmp_path, capsys):
    table = ladder_table()
    table.loc[0, "n_correct"] = 5
    table.to_csv(tmp_path / "e.csv", index=False)
    assert (
        main(
            [
                "forecast",
                str(tmp_path / "e.csv"),
                "--target-compute",
                "1e24",
                "--out",
                str(tmp_path / "out"),
            ]
        )
        == 2
    )
    assert "n_correct" in capsys.readouterr().err
    with pytest.raises(EvidenceError):
        read_table(table)


def test_specs_refuse_unknown_models_and_keys(tmp_path):
    with pytest.raises(SpecError, match="expected a model of"):
        load_spec("nothing")
    (tmp_path / "m.toml").write_text('name = "x"\nextra = 1\n')
    with pytest.raises(SpecError, match="unknown \\['extra'\\]"):
        load_spec(tmp_path / "m.toml")


def test_draws_of_some_benchmarks_are_those_of_all(posterior_file):
    fitted = load(posterior_file)
    every = fitted.draws([1e23, 1e24])
    xr.testing.assert_identical(
        fitted.draws([1e23, 1e24], benchmarks=["My bench"]), every.sel(benchmark=["My bench"])
    )
    with pytest.raises(ValueError, match="got \\['other'\\]"):
        fitted.draws(1e24, benchmarks=["other"])


def test_a_target_that_continues_the_largest_model_keeps_what_that_model_showed(fitted):
    top = COMPUTE[-1]
    seen = ladder_table(n_items=500).query("compute == @top")["n_correct"].mean()
    again, fresh = (
        fitted.draws([top, 10 * top], one_run=True, continues=keeps, measured=False)["score"]
        for keeps in (True, False)
    )
    at_top, later = (again.sel(benchmark="b").isel(compute=i).values for i in (0, 1))
    assert abs(at_top.mean() - seen) < 0.03  # 500 single answers: sd 0.02, and the curve's prior
    sd = fresh.std(("chain", "draw")).values[0]
    assert at_top.std() < sd[0] and later.std() < sd[1]
    assert later.mean() > at_top.mean()
