"""The loss law: a known one comes back, a ladder that shows little keeps the published constants,
and the least-cost split is the least on a grid."""

import numpy as np
import pandas as pd
import pytest
from seeds import seed

import cod_bayes as cb
from cod_bayes.evidence.loss_law import PUBLISHED, LossLaw, fit_loss_law

TRUE = LossLaw(E=1.7, A=400.0, B=1000.0, a=0.32, b=0.29)
N = np.repeat(np.logspace(7.5, 9.5, 5), 5)
D = N * np.tile([5.0, 20, 80, 200, 600], 5)


def ratio(law, compute):
    """Tokens per parameter of the optimal training."""
    params, tokens = law.optimum(compute)
    return tokens / params


def losses(law, scatter, rng, params=N, tokens=D):
    return law.loss(params, tokens) * np.exp(scatter * rng.standard_normal(len(params)))


def evidence(loss=None, **columns):
    """A ladder of eight models of two ratios, whose effective computes are in another order."""
    params = np.repeat(1e8 * 4.5 ** np.arange(4), 2)
    tokens = params * np.tile([20.0, 640], 4)
    table = pd.DataFrame(
        {
            "benchmark": "b",
            "model": [f"m{j}" for j in range(8)],
            "params": params,
            "tokens": tokens,
            "compute": 6 * params * tokens,
            "score": np.linspace(0.3, 0.6, 8),
            "n_trials": 1000,
            "loss": TRUE.loss(params, tokens) if loss is None else loss,
        }
        | columns
    )
    return cb.read_table(table)


def test_laws_drawn_from_the_priors_come_back_with_honest_intervals():
    rng = np.random.default_rng(seed(0))
    C = np.exp(np.log(6 * N * D).mean())
    published = np.log(ratio(PUBLISHED, C))
    inside = []
    for _ in range(20):
        z = rng.standard_normal(4)
        a, b = PUBLISHED.a * np.exp(0.2 * z[0]), PUBLISHED.b * np.exp(0.2 * z[1])
        m, X = np.exp(published + 0.7 * z[2]), 1.2 * np.exp(0.3 * z[3])
        A, B = (X * w / (a + b) * (C / 6 * r) ** (e / 2) for w, r, e in ((b, 1 / m, a), (a, m, b)))
        true = LossLaw(1.8, A, B, a, b)
        assert ratio(true, C) == pytest.approx(m)
        law = fit_loss_law(N, D, losses(true, 0.01, rng))
        for compute in (1e20, 1e24):
            low, high = np.quantile(ratio(law.draws, compute), [0.05, 0.95])
            inside.append(low <= ratio(true, compute) <= high)
    assert np.mean(inside) >= 0.75  # 0.9 expected of 20 independent pairs


def test_much_evidence_finds_the_constants():
    law = fit_loss_law(N, D, losses(TRUE, 0.001, np.random.default_rng(seed(1))))
    assert law.a == pytest.approx(TRUE.a, rel=0.05) and law.b == pytest.approx(TRUE.b, rel=0.05)
    assert ratio(law, 1e22) == pytest.approx(ratio(TRUE, 1e22), rel=0.2)
    other = np.array([3e10]), np.array([9e12])
    assert law.loss(*other) == pytest.approx(TRUE.loss(*other), rel=0.01)
    assert law.models == 25 and law.draws.a.shape == law.draws.E.shape


def test_one_model_apart_hardly_moves_it():
    loss = losses(TRUE, 0.001, np.random.default_rng(seed(2)))
    clean = fit_loss_law(N, D, loss)
    loss[7] *= 1.5
    assert ratio(fit_loss_law(N, D, loss), 1e22) == pytest.approx(ratio(clean, 1e22), rel=0.1)


def test_without_losses_it_is_the_published_law_and_its_draws_the_prior():
    law = fit_loss_law(N, D, np.full(len(N), np.nan))
    assert law.effective_compute(N, D) == pytest.approx(PUBLISHED.effective_compute(N, D))
    spread = np.log(law.draws.a).std(), np.log(ratio(law.draws, np.exp(np.log(6 * N * D).mean())))
    assert spread[0] == pytest.approx(0.2, rel=0.15)
    assert spread[1].std() == pytest.approx(0.7, rel=0.15)
    assert law.models == 0 and "published" in str(law)


def test_a_ladder_of_one_ratio_does_not_tell_the_optimal_one():
    same = N[::5], 20 * N[::5]
    law = fit_loss_law(*same, losses(TRUE, 0.01, np.random.default_rng(seed(4)), *same))
    C = np.exp(np.log(6 * same[0] * same[1]).mean())
    assert np.log(ratio(law.draws, C)).std() > 0.5
    assert ratio(law, C) == pytest.approx(ratio(PUBLISHED, C), rel=0.3)


def test_the_unit_of_the_loss_does_not_matter():
    loss = losses(TRUE, 0.01, np.random.default_rng(seed(3)))
    nats, bits = (fit_loss_law(N, D, unit * loss) for unit in (1.0, 0.3))
    assert bits.effective_compute(N, D) == pytest.approx(nats.effective_compute(N, D), rel=0.02)


@pytest.mark.parametrize("law", [TRUE, PUBLISHED])
@pytest.mark.parametrize("cap", [np.inf, 0.4])
def test_the_split_costs_least_of_all_that_reach_its_loss(law, cap):
    """cap: as a share of the optimal parameters."""
    C = 1e23
    best = law.optimum(C)
    most = cap * best[0]
    params, tokens = law.split(C, most)
    goal = law.loss(*best)
    assert law.loss(params, tokens) == pytest.approx(goal, rel=1e-12)
    grid = best[0] * np.logspace(-1, 1, 2001)
    grid = grid[grid <= most]
    left = goal - law.E - law.A / grid**law.a
    with np.errstate(invalid="ignore"):
        cost = 6 * grid * np.where(left > 0, (law.B / left) ** (1 / law.b), np.inf)
    assert 6 * params * tokens <= cost.min() * (1 + 1e-9)
    assert 6 * params * tokens == pytest.approx(cost.min(), rel=1e-2)


def test_a_cap_below_what_the_loss_needs_cannot_be_met():
    _, tokens = TRUE.split(1e24, 1e8)
    assert np.isinf(tokens)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"params": 0.0}, "params > 0"),
        ({"tokens": np.inf}, "tokens > 0"),
        ({"loss": -1.0}, "loss > 0"),
        ({"loss": [2.0, 3.0]}, r"\(3,\), \(3,\) and \(2,\)"),
        ({"params": [], "tokens": [], "loss": []}, r"\(0,\)"),
    ],
)
def test_bad_input_is_refused(change, match):
    given = {"params": np.full(3, 1e9), "tokens": np.full(3, 2e10), "loss": np.full(3, 2.5)}
    for name, value in change.items():
        given[name] = given[name].copy()
        if np.ndim(value):
            given[name] = value
        else:
            given[name][1] = value
    with pytest.raises(ValueError, match=match):
        fit_loss_law(**given)


def test_evidence_on_effective_compute_is_in_its_order():
    before = evidence()
    after = cb.on_effective_compute(before)
    by_model = cb.effective_compute(before.models["params"], before.models["tokens"])
    np.testing.assert_allclose(after.models["compute"][before.models.index], by_model)
    assert (np.diff(after.models["compute"]) > 0).all()
    assert list(after.models.index) != list(before.models.index)
    b = after.benchmarks["b"]
    assert list(b["model"].values) == list(after.models.index)
    np.testing.assert_array_equal(b["compute"], after.models["compute"])
    rate = before.benchmarks["b"]["rate"].sel(model=b["model"])
    np.testing.assert_array_equal(b["rate"], rate)
    assert "effective compute" in after.notes[-1] and after.select(["b"]).law is after.law
    with pytest.raises(cb.EvidenceError, match="on effective compute"):
        cb.on_effective_compute(after)


def test_by_the_ladder_s_own_law():
    before = evidence()
    law = cb.loss_law(before)
    assert law.models == 8
    after = cb.on_effective_compute(before, law)
    expected = law.effective_compute(before.models["params"], before.models["tokens"])
    np.testing.assert_allclose(after.models["compute"][before.models.index], expected)


def test_evidence_that_has_no_law_is_refused():
    with pytest.raises(cb.EvidenceError, match="params and tokens"):
        cb.loss_law(evidence(params=np.nan))
    with pytest.raises(cb.EvidenceError, match="none of m0, m"):
        cb.on_effective_compute(evidence(tokens=np.nan))
    table = evidence().to_table()
    twice = pd.concat([table, table.assign(benchmark="c", loss=table["loss"] * 1.1)])
    with pytest.raises(cb.EvidenceError, match="one loss of each model"):
        cb.loss_law(cb.read_table(twice))
