"""Checkpoints of a ladder's models: read, kept apart, used to sort items, never fitted."""

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from seeds import seed

import cod_bayes as cb
from cod_bayes.clustering.clusters import cluster
from cod_bayes.clustering.features import features, trials_of_feature
from cod_bayes.evaluate.problems import problems
from cod_bayes.evidence.record import EvidenceError, ladder_of

MODELS = {"s": 1e19, "m": 1e20, "l": 1e21, "xl": 1e22}
STEPS = (100, 200, 300, 400, 1000)
ITEMS = 60


def table(trials=30, steps=STEPS, models=MODELS, items=ITEMS):
    """Items that differ in difficulty; each model is a run with these steps."""
    rng = np.random.default_rng(seed(1))
    hard = np.repeat(np.linspace(-1.5, 1.5, 3), items // 3)
    rows = []
    for model, compute in models.items():
        for step in steps:
            c = compute * step / steps[-1]
            p = 1 / (1 + np.exp(-1.5 * (np.log10(c) - 20.5 - hard)))
            k = rng.binomial(trials, p)
            rows += [
                ("quiz", f"q{i:02}", model, c, step, k[i], trials, "odd" if i % 2 else "even")
                for i in range(items)
            ]
    names = ["benchmark", "item", "model", "compute", "step", "n_correct", "n_trials", "subset"]
    return pd.DataFrame(rows, columns=names)


def last_steps(frame):
    return frame[frame["step"] == frame.groupby("model")["step"].transform("max")]


def same(a, b):
    pd.testing.assert_frame_equal(a.models, b.models)
    for of in ("benchmarks", "checkpoints"):
        assert list(getattr(a, of)) == list(getattr(b, of))
        for name, data in getattr(a, of).items():
            xr.testing.assert_identical(data, getattr(b, of)[name])
    assert a.digest == b.digest


def test_the_ladder_has_last_steps_only():
    evidence, finished = cb.read_table(table()), cb.read_table(last_steps(table()))
    pd.testing.assert_frame_equal(evidence.models, finished.models)
    xr.testing.assert_identical(evidence.benchmarks["quiz"], finished.benchmarks["quiz"])
    assert not finished.checkpoints
    assert evidence.digest != finished.digest


def test_checkpoints_are_kept_apart_with_their_share_of_the_training():
    frame = table()
    data = cb.read_table(frame).checkpoints["quiz"]
    assert dict(data.sizes) == {"item": ITEMS, "checkpoint": 16}
    assert list(data["model"].values) == [m for m in MODELS for _ in range(4)]
    assert list(data["step"].values) == [100, 200, 300, 400] * 4
    np.testing.assert_allclose(data["training"], [0.1, 0.2, 0.3, 0.4] * 4)
    one = frame[(frame["model"] == "l") & (frame["step"] == 300)].sort_values("item")
    at = (data["model"] == "l") & (data["step"] == 300)
    np.testing.assert_array_equal(data["rate"][:, at].squeeze(), one["n_correct"] / 30)


def test_the_share_comes_from_compute_then_tokens_then_steps():
    """Of these models each has the first that differs between its steps."""
    frame = table(steps=(100, 1000))
    frame["params"], frame["tokens"] = 1e9, np.where(frame["step"] == 100, 3e9, 1e10)
    compute = frame["model"].map(MODELS)
    frame["compute"] = np.where((frame["model"] == "s") & (frame["step"] == 100), 2e18, compute)
    frame.loc[frame["model"] == "l", "tokens"] = np.nan
    data = cb.read_table(frame).checkpoints["quiz"]
    shares = dict(zip(data["model"].values, data["training"].values, strict=True))
    assert shares == pytest.approx({"s": 0.2, "m": 0.3, "l": 0.1, "xl": 0.3})


def test_round_trip_and_order_of_rows(tmp_path):
    frame = table().drop(index=[5, 100, 700])
    with pytest.warns(cb.EvidenceWarning, match="A few cells"):
        first = cb.read_table(frame.drop(index=frame.index[-1]))
        shuffled = cb.read_table(frame.drop(index=frame.index[-1]).sample(frac=1, random_state=2))
        first.to_table().to_csv(tmp_path / "t.csv", index=False)
        again = cb.read_table(tmp_path / "t.csv")
    same(first, shuffled)
    same(first, again)


def test_a_choice_of_models_items_and_roles_is_one_of_checkpoints_too():
    evidence = cb.read_table(table(), hold_out=["xl"])
    assert evidence.ladder == ("s", "m", "l")
    chosen = evidence.select(models=["m", "l", "xl"], subsets=["odd"]).checkpoints["quiz"]
    assert {*chosen["model"].values} == {"m", "l", "xl"} and chosen.sizes["item"] == ITEMS / 2
    alone = evidence.select(models=["s", "m"]).checkpoints["quiz"]
    assert {*alone["model"].values} == {"s", "m"}


def test_some_models_have_checkpoints_and_they_need_not_be_at_the_same_steps():
    frame = table()
    frame = frame[(frame["model"] != "s") | (frame["step"] == 1000)]
    frame.loc[(frame["model"] == "m") & (frame["step"] == 400), ["step", "compute"]] = 450, 4.5e19
    data = cb.read_table(frame).checkpoints["quiz"]
    assert "s" not in data["model"].values
    assert list(data["step"].values[:8]) == [100, 200, 300, 450, 100, 200, 300, 400]


REFUSED = {
    "a step twice": (lambda t: pd.concat([t, t[t["step"] == 200]]), "240 cells.*more than one row"),
    "the last step twice": (lambda t: pd.concat([t, last_steps(t)]), "more than one row"),
    "no step": (lambda t: t.drop(columns="step"), "two values of compute.*a column step"),
    "no step, one compute": (
        lambda t: t.drop(columns="step").assign(compute=t["model"].map(MODELS)),
        "more than one row.*if they are checkpoints of one model, give each its step",
    ),
    "some rows without step": (
        lambda t: t.assign(step=t["step"].where(t["step"] != 200)),
        "step > 0 in each row of a model with several steps.*240 rows",
    ),
    "an untrained model": (lambda t: t.assign(step=t["step"] - 100), "step 0 is not trained"),
    "a last step of few items": (
        lambda t: t[(t["step"] < 1000) | (t["model"] != "m") | (t["item"] < "q10")],
        "the last step of a model .* lacks most items",
    ),
    "more compute than the last step": (
        lambda t: t.assign(compute=t["compute"].where(t["step"] != 300, 1e23)),
        "compute of s at step 300 is more than that of the model's last step",
    ),
}


@pytest.mark.parametrize("change, message", REFUSED.values(), ids=list(REFUSED))
def test_refused(change, message):
    with pytest.raises(EvidenceError, match=message):
        cb.read_table(change(table()))


# -- clusters and fits


@cache
def fit_with_checkpoints():
    frame = table()
    lost = (frame["model"] == "m") & (frame["step"] == 200) & (frame["item"] < "q10")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"draws": 100, "tune": 100, "chains": 2, "progressbar": False}
        return cb.fit(cb.read_table(frame[~lost]), random_seed=seed(1), **options)


def test_a_fit_keeps_the_scores_of_every_step_and_fits_the_last_ones():
    fitted, finished = fit_with_checkpoints(), last_steps(table())
    assert fitted.idata["constant_data"].to_dataset()["compute"].values == pytest.approx(
        list(MODELS.values())
    )
    data = fitted.idata["checkpoints"].to_dataset()
    of = data.isel(checkpoint=(data["model_of_checkpoint"] == "l").values)
    np.testing.assert_allclose(of["training"], [0.1, 0.2, 0.3, 0.4, 1.0])
    mean = finished[finished["model"] == "l"]["n_correct"].mean() / 30
    assert float(of["score"][0, -1]) == pytest.approx(mean)
    np.testing.assert_allclose(of["trials"], ITEMS * 30)
    # A step that lacks a sixth of the items is over other items.
    assert "m 0.2" not in data["checkpoint"].values and "m 0.3" in data["checkpoint"].values


def test_features_are_means_of_the_last_three_checkpoints_and_all_last_trials_are_fitted():
    evidence = cb.read_table(table())
    data, steps = evidence.benchmarks["quiz"], evidence.checkpoints["quiz"]
    found = features(data, steps, np.random.default_rng(seed(0)))
    of = steps.isel(checkpoint=(steps["step"] > 100).values & (steps["model"] == "l").values)
    np.testing.assert_allclose(found.feature[:, 2], of["rate"].mean("checkpoint"))
    np.testing.assert_array_equal(found.rate, data["rate"])
    np.testing.assert_array_equal(found.n_trials, data["n_trials"])
    clusters = cluster(data, np.random.default_rng(seed(0)), checkpoints=steps)
    assert clusters.route == "mean_shift"
    np.testing.assert_allclose(clusters.n_trials.sum(axis=0), ITEMS * 30)
    np.testing.assert_allclose(clusters.weight @ clusters.rate, data["rate"].mean("item"))


def test_answers_of_the_last_step_do_not_choose_the_clusters():
    """The features stay as they are whatever the last step answered."""
    frame = table()
    other = frame.assign(n_correct=frame["n_correct"].where(frame["step"] < 1000, 7))
    one, two = (
        features(e.benchmarks["quiz"], e.checkpoints["quiz"], np.random.default_rng(0)).feature
        for e in map(cb.read_table, (frame, other))
    )
    np.testing.assert_array_equal(one, two)


def test_a_model_without_checkpoints_is_thinned_and_smoothed_over_the_ladder():
    frame = table()
    evidence = cb.read_table(frame[(frame["model"] != "m") | (frame["step"] == 1000)])
    data, steps = evidence.benchmarks["quiz"], evidence.checkpoints["quiz"]
    found = features(data, steps, np.random.default_rng(seed(0)))
    assert found.n_trials.mean(axis=0).tolist() == [30, 15, 30, 30]
    half = 3 * found.feature[:, 1] - found.feature[:, 0] - found.feature[:, 2]
    both = (half + found.rate[:, 1]) / 2
    np.testing.assert_allclose(both, ladder_of(data)["rate"][:, 1], atol=1e-12)


@pytest.mark.parametrize(
    "trials, steps, route",
    [
        (16, (1000,), "one_cluster"),
        (17, (1000,), "mean_shift"),
        (8, STEPS, "one_cluster"),
        (9, STEPS, "mean_shift"),
        (12, (300, 400, 1000), "one_cluster"),
        (13, (300, 400, 1000), "mean_shift"),
    ],
)
def test_enough_trials(trials, steps, route):
    evidence = cb.read_table(table(trials, steps, items=240))
    data, earlier = evidence.benchmarks["quiz"], evidence.checkpoints.get("quiz")
    found = cluster(data, np.random.default_rng(seed(0)), checkpoints=earlier)
    assert found.route == route


def test_the_switch_is_where_noise_alone_moves_an_item_as_far_as_the_largest_radius():
    """The mean squared distance of features of equal items from their true rates, 0.5, over U^2."""
    for trials, steps in ((17, (1000,)), (9, STEPS)):
        frame = table(trials, steps, items=1500)
        rng = np.random.default_rng(seed(3))
        frame["n_correct"] = rng.binomial(trials, 0.5, len(frame))
        evidence = cb.read_table(frame)
        data, earlier = evidence.benchmarks["quiz"], evidence.checkpoints.get("quiz")
        found = features(data, earlier, rng).feature[:, 1:-1]  # the two ends have two neighbours
        moved = np.square(found - 0.5).mean() / 0.01
        assert moved == pytest.approx(25 / trials_of_feature(data, earlier), rel=0.1)
        assert 0.85 < moved < 1.1


def test_labels_for_other_ladders_use_the_last_step_as_well():
    evidence = cb.read_table(table())
    data, steps = evidence.benchmarks["quiz"], evidence.checkpoints["quiz"]
    found = features(data, steps, None).feature[:, 2]
    of = steps.isel(checkpoint=(steps["step"] > 200).values & (steps["model"] == "l").values)
    last = data["rate"].sel(model="l")
    np.testing.assert_allclose(found, (of["rate"].sum("checkpoint") + last) / 3)
    assert set(cb.label_items(evidence)["item"]) == set(data["item"].values)


def test_a_backtest_hides_larger_models_with_their_checkpoints():
    models = {"s": 1e18, "m": 1e19, "l": 1e20, "xl": 1e21, "xxl": 1e22}
    evidence = cb.read_table(table(models=models))
    for problem in problems(evidence, targets=2):
        of = problem.evidence
        larger = [m for m, c in models.items() if c > problem.compute]
        assert not {*larger} & {*of.models.index, *of.checkpoints["quiz"]["model"].values}
        assert problem.compute == models[problem.target]
        assert {*of.ladder} == {m for m, c in models.items() if c < problem.compute}
