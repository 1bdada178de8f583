"""Simulated ladders: the equations re-derived, the truth, the randomness, the refusals."""

import math
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from seeds import seed

from cod_bayes.evaluate.simulate import (
    PAPER_BENCHMARKS,
    PAPER_LADDER,
    PAPER_TARGETS,
    Benchmark,
    Model,
    Simulation,
    simulate,
)
from cod_bayes.evidence.record import read_table

PAPER_SCORES = {  # COD table A2, the 70B target, in points
    "GSM8K": 88.55,
    "MATH": 48.02,
    "BBH": 81.69,
    "TriviaQA": 80.66,
    "MBPP": 68.00,
    "AGIEval": 58.20,
    "DROP": 76.82,
    "MMLU-pro": 57.28,
}
MODELS = [m.name for m in (*PAPER_LADDER, *PAPER_TARGETS)] + ["anchor-1"]
QUIET: dict[str, Any] = {"shock": 0, "benchmark_shock": 0, "item_noise": 0}


def small(seed: int | np.random.Generator = seed(1), **options: Any) -> Simulation:
    return simulate(seed, **{"items_scale": 0.02, **options})


@pytest.fixture(scope="module")
def paper() -> Simulation:
    return simulate(seed(1))


def cells(sim: Simulation, benchmark: str, column: str) -> np.ndarray:
    """A column of the table as (item, model), in the order of `items` and `truth`."""
    rows = sim.table[sim.table["benchmark"] == benchmark]
    wide = rows.pivot(index="item", columns="model", values=column)
    items = sim.items.loc[sim.items["benchmark"] == benchmark, "item"]
    return wide.loc[items, rows["model"].unique()].to_numpy()


def scores(sim: Simulation, column: str = "score") -> pd.DataFrame:
    return sim.truth.pivot(index="benchmark", columns="model", values=column)


# --- equations -----------------------------------------------------------------------------------


def test_pass_rates_are_the_equations_item_by_item():
    sim = small(seed(3), items_scale=0.01, item_noise=0, anchor_item_noise=0)
    kinds = set()
    for name, p in sim.pass_rates.items():
        items = sim.items[sim.items["benchmark"] == name]
        truth = sim.truth[sim.truth["benchmark"] == name]
        assert list(truth["model"]) == MODELS
        for i, item in enumerate(items.itertuples()):
            for m, model in enumerate(truth.itertuples()):
                decades = math.log10(model.compute) + model.shock
                match item.kind:
                    case "flat":
                        loss = item.gamma
                    case "unsolved":
                        loss = math.inf
                    case _:
                        loss = 10 ** (-item.beta * (decades - item.h) / math.log(10)) + item.gamma
                solves = math.exp(-loss)
                expected = 1 - (1 - item.g) * (1 - solves)  # guesses where it does not solve
                assert math.isclose(p[i, m], expected, rel_tol=1e-9, abs_tol=1e-12)
            kinds.add(item.kind)
    assert kinds == {"scaling", "flat", "unsolved", "falling"}


def test_items_have_the_distributions_of_the_module():
    b = Benchmark("b", 100_000, 0.25, 23.0, spread=1.2, tail=0.8, slope=0.9, slope_spread=0.4)
    b = replace(b, capped=0.4, ceiling=0.2, flat=0.1, unsolved=0.05, falling=0.02)
    items = simulate(seed(0), benchmarks=[b], trials=1, anchors=0).items
    shares = items["kind"].value_counts(normalize=True)
    for kind in ("flat", "unsolved", "falling"):
        assert shares[kind] == pytest.approx(getattr(b, kind), abs=0.004)
    scaling = items[items["kind"] == "scaling"]
    assert scaling["h"].mean() == pytest.approx(23.0 + 0.8, abs=0.02)
    assert scaling["h"].var() == pytest.approx(1.2**2 + 0.8**2, rel=0.02)
    assert scaling["h"].skew() == pytest.approx(2 * 0.8**3 / (1.2**2 + 0.8**2) ** 1.5, abs=0.05)
    assert np.log(scaling["beta"]).mean() == pytest.approx(math.log(0.9), abs=0.01)
    assert np.log(scaling["beta"]).std() == pytest.approx(0.4, rel=0.02)
    assert (scaling["gamma"] > 0).mean() == pytest.approx(0.4, abs=0.01)
    assert scaling["gamma"].mean() == pytest.approx(0.4 * 0.2, rel=0.04)
    assert items["g"].mean() == pytest.approx(0.25, abs=0.002)
    assert items["g"].var() == pytest.approx(0.25 * 0.75 / 21, rel=0.03)
    level = np.exp(-items.loc[items["kind"] == "flat", "gamma"])
    assert level.mean() == pytest.approx(1 / 2, abs=0.02)
    assert level.var() == pytest.approx(1 / 12, rel=0.05)
    assert (items.loc[items["kind"] == "falling", "beta"] < 0).all()


def test_item_noise_is_normal_in_log_loss():
    b = Benchmark("b", 20_000, capped=0, flat=0, unsolved=0, falling=0)
    sim = simulate(seed(5), benchmarks=[b], trials=1, item_noise=0.2, anchor_item_noise=0.6)
    x = np.log10(sim.truth["compute"].to_numpy()) + sim.truth["shock"].to_numpy()
    h, beta = sim.items[["h"]].to_numpy(), sim.items[["beta"]].to_numpy()
    p = sim.pass_rates["b"]
    inside = (p > 1e-9) & (p < 1 - 1e-9)  # elsewhere the loss cannot be had back from p
    loss = -np.log(np.where(inside, p, 0.5))
    noise = np.ma.masked_array(np.log(loss) + beta * (x - h), ~inside)
    target, anchor = MODELS.index("70B"), MODELS.index("anchor-1")
    assert inside[:, target:].mean() > 0.99
    assert noise[:, target].std() == pytest.approx(0.2, rel=0.03)
    assert noise[:, anchor].std() == pytest.approx(0.6, rel=0.03)
    assert abs(np.ma.corrcoef(noise[:, target], noise[:, anchor])[0, 1]) < 0.03


def test_shocks_have_a_shared_part_and_one_per_benchmark():
    sim = simulate(
        seed(6),
        benchmarks=[replace(b, n_items=1) for b in PAPER_BENCHMARKS],
        ladder=[Model(f"m{k}", 1e22) for k in range(2000)],
        targets=(),
        anchors=1000,
        shock=0.03,
        benchmark_shock=0.06,
        anchor_shock=0.2,
    )
    for role, shared, own in (("ladder", 0.03, 0.06), ("anchor", 0.2, 0.2)):
        rows = sim.truth[sim.truth["role"] == role]
        delta = rows.pivot(index="benchmark", columns="model", values="shock").to_numpy()
        covariance = np.cov(delta)  # over models
        each = np.eye(8, dtype=bool)
        assert covariance[each].mean() == pytest.approx(shared**2 + own**2, rel=0.05)
        # Four standard errors: sqrt(2 / 2000) (shared^2 + own^2 / 8) / shared^2 is 0.05.
        assert covariance[~each].mean() == pytest.approx(shared**2, rel=0.2)


# --- truth ---------------------------------------------------------------------------------------


def test_true_scores_are_mean_pass_rates_and_curve_scores_lie_on_the_curve(paper: Simulation):
    truth = paper.truth.set_index(["benchmark", "model"])
    for name, p in paper.pass_rates.items():
        assert truth.loc[name, "score"].to_numpy() == pytest.approx(p.mean(axis=0), rel=1e-12)
        compute = truth.loc[name, "compute"].to_numpy()
        curve = paper.curve(name, compute)
        assert curve == pytest.approx(truth.loc[name, "curve_score"].to_numpy(), rel=1e-12)
        assert paper.curve(name, compute[0]) == pytest.approx(curve[0])
    assert list(truth.loc["MATH", "role"]) == ["ladder"] * 8 + ["target", "anchor"]


def test_without_shocks_and_noise_scores_are_the_curve():
    truth = small(**QUIET).truth
    truth = truth[truth["role"] != "anchor"]
    assert truth["score"].to_numpy() == pytest.approx(truth["curve_score"].to_numpy(), rel=1e-12)
    assert (truth["shock"] == 0).all()


def test_answers_are_binomial():
    # Mean n p, variance n p (1 - p); the variance of z^2 is 2 + (1 - 6 p (1 - p)) / variance < 4.
    n = 40
    sim = simulate(seed(2), trials=n, items_scale=0.1)
    for name, p in sim.pass_rates.items():
        k = cells(sim, name, "n_correct")
        variance = n * p * (1 - p)
        assert abs((k - n * p).sum()) < 4 * math.sqrt(variance.sum())
        moves = variance > 0.5
        z2 = (k - n * p)[moves] ** 2 / variance[moves]
        assert z2.mean() == pytest.approx(1, abs=5 * math.sqrt(4 / moves.sum()))
        assert (k[p == 0] == 0).all()


# --- the paper's ladder --------------------------------------------------------------------------


def test_paper_ladder_and_item_counts(paper: Simulation):
    assert [m.params for m in PAPER_LADDER] == sorted(m.params for m in PAPER_LADDER)
    assert PAPER_TARGETS[0].compute == pytest.approx(3.8e24, rel=0.01)
    assert PAPER_TARGETS[0].compute / PAPER_LADDER[-1].compute == pytest.approx(27, abs=0.5)
    # 6 N D of the large ones; attention and embeddings make up the difference.
    assert PAPER_LADDER[-1].compute == pytest.approx(6 * 12.022e9 * 1544e9, rel=0.3)
    assert PAPER_TARGETS[0].compute == pytest.approx(6 * 68.452e9 * 8012e9, rel=0.2)
    counts = paper.items.groupby("benchmark").size()
    assert counts.to_dict() == {b.name: b.n_items for b in PAPER_BENCHMARKS}
    assert counts.sum() == 60_905
    assert len(paper.table) == 60_905 * 10


def test_scores_rise_along_the_ladder_and_meet_the_papers_at_the_target(paper: Simulation):
    curve = 100 * scores(paper, "curve_score")[MODELS[:-1]]
    assert (np.diff(curve.to_numpy(), axis=1) > 0).all()
    for name, score in PAPER_SCORES.items():
        sampling = 100 * 0.4 / math.sqrt(len(paper.pass_rates[name]))  # few items on MBPP
        assert curve.loc[name, "70B"] == pytest.approx(score, abs=0.2 + 3 * sampling)
    chance = pd.Series({b.name: 100 * b.chance for b in PAPER_BENCHMARKS})
    assert (curve["122M"] - chance < 15).all()


def test_perfect_knowledge_errs_by_about_a_point():
    # Equal targets instead of many worlds: only their shocks and item noise differ.
    targets = [Model(f"70B-{k}", PAPER_TARGETS[0].compute) for k in range(100)]
    truth = simulate(seed(9), targets=targets, items_scale=0.05, trials=1, anchors=0).truth
    truth = truth[truth["role"] == "target"]
    error = 100 * (truth["score"] - truth["curve_score"]).abs().mean()
    assert 0.8 < error < 1.3  # 0.98 over 40 worlds of all items


# --- randomness ----------------------------------------------------------------------------------


def test_seeds_reproduce_bit_for_bit():
    a, b, c = small(seed(7)), small(np.random.default_rng(seed(7))), small(seed(8))
    pd.testing.assert_frame_equal(a.table, b.table, check_exact=True)
    pd.testing.assert_frame_equal(a.truth, b.truth, check_exact=True)
    pd.testing.assert_frame_equal(a.items, b.items, check_exact=True)
    assert a.evidence.digest == b.evidence.digest != c.evidence.digest
    rng = np.random.default_rng(seed(7))
    assert small(rng).evidence.digest != small(rng).evidence.digest


@pytest.mark.parametrize(
    "options", [QUIET, {"trials": 1}, {"anchors": 3}, {"ladder": PAPER_LADDER[:4], "targets": ()}]
)
def test_items_do_not_depend_on_models_shocks_and_trials(options: dict[str, Any]):
    pd.testing.assert_frame_equal(small().items, small(**options).items, check_exact=True)


# --- the table -----------------------------------------------------------------------------------


def test_the_table_is_evidence_without_a_warning(paper: Simulation):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evidence = paper.evidence
    assert evidence is paper.evidence
    assert evidence.notes == ()
    assert evidence.ladder == tuple(m.name for m in PAPER_LADDER)
    assert evidence.models.loc["70B", "role"] == "target"
    assert evidence.models.loc["anchor-1", "role"] == "anchor"
    assert evidence.models.loc["7B", "params"] == 6980e6
    assert set(evidence.benchmarks) == set(PAPER_SCORES)
    data = evidence.benchmarks["MMLU-pro"]
    assert (data["chance"] == 0.1).all()
    assert (data["n_trials"] == 100).all()
    observed = data["rate"].sel(model="70B").mean().item()
    truth = scores(paper).loc["MMLU-pro", "70B"]
    assert observed == pytest.approx(truth, abs=0.002)


def test_a_hidden_target_changes_nothing_else():
    seen, hidden = small(), small(include_target=False)
    assert "70B" not in hidden.evidence.models.index
    assert (hidden.truth["role"] == "target").sum() == 8
    others = seen.table[seen.table["role"] != "target"].reset_index(drop=True)
    pd.testing.assert_frame_equal(hidden.table, others, check_exact=True)


def test_anchors_are_other_families_of_about_the_largest_size():
    sim = small(anchors=3)
    anchors = sim.evidence.models.query("role == 'anchor'")
    assert sorted(anchors.index) == ["anchor-1", "anchor-2", "anchor-3"]
    assert anchors["family"].nunique() == 3
    largest = PAPER_TARGETS[0].compute
    assert anchors["compute"].between(largest / 10**0.5, largest).all()
    assert "anchor" not in set(small(anchors=0).table["role"])


def test_a_small_world_of_ones_own(tmp_path):
    sim = simulate(
        seed(4),
        benchmarks=[Benchmark("quiz", 30, 0.5, 21.0), Benchmark("sums", 20, difficulty=22.0)],
        ladder=[Model("s", 1e20), Model("m", 1e21), Model("l", 1e22)],
        targets=[Model("xl", 1e23), Model("xxl", 1e24)],
        trials=4,
    )
    assert list(sim.truth["model"].unique()) == ["s", "m", "l", "xl", "xxl", "anchor-1"]
    assert sim.evidence.benchmarks["quiz"].sizes == {"item": 30, "model": 6}
    sim.table.to_csv(tmp_path / "ladder.csv", index=False)
    assert read_table(tmp_path / "ladder.csv").digest == sim.evidence.digest


@pytest.mark.parametrize(("scale", "items"), [(0.1, 5), (1e-9, 1), (2.0, 100)])
def test_items_scale(scale: float, items: int):
    assert len(simulate(seed(0), benchmarks=[Benchmark("b", 50)], items_scale=scale).items) == items


def test_extreme_difficulties_stay_rates():
    hard = Benchmark("hard", 50, 0.2, difficulty=2000.0)
    easy = Benchmark("easy", 50, difficulty=-2000.0, flat=0, unsolved=0, falling=0, capped=0)
    sim = simulate(seed(0), benchmarks=[hard, easy])
    assert (sim.pass_rates["easy"] == 1).all()
    scaling = (sim.items["kind"] == "scaling")[:50].to_numpy()
    g = sim.items["g"][:50].to_numpy()
    assert (sim.pass_rates["hard"][scaling] == g[scaling, None]).all()


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Model("a", 0.0), "expected positive, finite compute for model 'a', got 0.0; give"),
        (lambda: Model("a", math.nan), "finite compute"),
        (lambda: Benchmark("b", 0), "expected n_items of benchmark 'b' at least 1, got 0; give"),
        (lambda: Benchmark("b", 9, 1.0), r"expected chance .* in \[0, 1\), got 1.0; give the rate"),
        (lambda: Benchmark("b", 9, difficulty=math.inf), "finite difficulty .* give the log10"),
        (lambda: Benchmark("b", 9, slope=0.0), "finite slope .* got 0.0; items that do not rise"),
        (lambda: Benchmark("b", 9, spread=-1.0), "spread finite and at least 0 .* got -1.0; use 0"),
        (lambda: Benchmark("b", 9, ceiling=math.nan), "expected ceiling finite"),
        (lambda: Benchmark("b", 9, capped=1.5), r"capped .* in \[0, 1\], got 1.5; give a share"),
        (lambda: Benchmark("b", 9, flat=0.6, unsolved=0.6), "at most 1, got 1.2.*; the rest are"),
        (lambda: small(trials=0), "expected trials at least 1, got 0; use 1 for one answer"),
        (lambda: small(anchors=-1), "expected anchors at least 0, got -1; give a number"),
        (lambda: small(items_scale=0), "items_scale positive and finite, got 0; use 1 for all"),
        (lambda: small(shock=-0.1), "expected shock finite and at least 0, got -0.1; use 0"),
        (lambda: small(anchor_item_noise=math.inf), "expected anchor_item_noise finite"),
        (lambda: small(benchmarks=[]), r"at least one benchmark, got \[\]; add a Benchmark"),
        (lambda: small(ladder=PAPER_LADDER[:1]), "expected at least two ladder models"),
        (lambda: small(targets=PAPER_LADDER[:1]), "models of different names.*; rename"),
        (lambda: small(benchmarks=PAPER_BENCHMARKS[:1] * 2), "benchmarks of different names"),
        (lambda: small().curve("GSM", 1e24), "expected a benchmark out of .*, got 'GSM'; correct"),
        (lambda: small().curve("MATH", [1e24, 0]), "expected positive compute"),
    ],
)
def test_refusals_say_what_was_expected_got_and_to_do(make, text: str):
    with pytest.raises(ValueError, match=text):
        make()
