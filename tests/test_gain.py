"""The compute that a recipe is worth, against closed forms."""

import json
import shutil

import numpy as np
import pytest
from fake_fit import FakeFit
from seeds import seed
from small_fit import run_fit, with_checks

from cod_bayes.cli import main
from cod_bayes.decide.gain import gain
from cod_bayes.forecast.index import Index

AT = 1e24


class Recipe(FakeFit):
    """Scores slope (log10 C - 24) + shift + sd e."""

    def __init__(self, shift, benchmarks=("b",), number=0, sd=0.01, slope=0.1):
        super().__init__({name: (slope, sd, 1.0) for name in benchmarks}, seed=seed(number))
        self.shift = dict(zip(benchmarks, np.atleast_1d(shift), strict=True))

    def draws(self, compute, benchmarks=None, **_):
        drawn = super().draws(compute, benchmarks)
        shift = [self.shift[str(name)] for name in drawn["benchmark"].values]
        return drawn.assign(score=drawn["score"] + np.array(shift)[:, None])


def test_a_shift_of_scores_is_the_factor_that_makes_up_for_it():
    """0.1 a decade: a shift of 0.03 is worth 10^0.3 = 2 of the other's compute."""
    found = gain(Recipe(0.0), Recipe(0.03, number=1), AT).table.iloc[0]
    assert found["q50"] == pytest.approx(2, rel=0.03)
    sd = np.hypot(0.01, 0.01) / 0.1  # decades
    expected = 2 * 10 ** (1.645 * sd * np.array([-1, 1]))
    np.testing.assert_allclose(found[["q05", "q95"]].to_numpy(float), expected, rtol=0.05)
    back = gain(Recipe(0.03), Recipe(0.0, number=1), AT).table.iloc[0]
    assert back["q50"] == pytest.approx(0.5, rel=0.03)
    assert back["p_better"] == pytest.approx(1 - found["p_better"], abs=0.02)


def test_fits_of_one_seed_are_independent():
    same = gain(Recipe(0.0), Recipe(0.0), AT)
    assert same.draws.std() == pytest.approx(np.hypot(0.01, 0.01) / 0.1, rel=0.06)


def test_beyond_two_decades_it_is_counted_at_the_end():
    table = gain(Recipe(0.0, sd=0.0), Recipe(0.3, sd=0.0), AT).table
    np.testing.assert_allclose(table[["q05", "q50", "q95"]].to_numpy(), 100)
    flat = gain(Recipe(0.0, sd=0.0, slope=0.0), Recipe(-0.1, sd=0.0), AT).table
    np.testing.assert_allclose(flat["q50"], 0.01)


def test_an_index_has_a_gain_of_its_own():
    names = ("x", "y")
    index = [Index("mean", names, {"x": 3.0, "y": 1.0})]
    a, b = Recipe([0.0, 0.0], names), Recipe([0.04, 0.0], names, number=1)
    table = gain(a, b, AT, indexes=index).table.set_index("benchmark")
    assert list(table.index) == ["x", "y", "mean"]
    assert table.loc["mean", "q50"] == pytest.approx(10**0.3, rel=0.03)
    sizes = table["q95"] / table["q05"]
    assert sizes["mean"] < sizes["x"]  # errors of two benchmarks average out


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match=r"same benchmarks, got \['b'\] and \['c'\]"):
        gain(Recipe(0.0), Recipe(0.0, ("c",)), AT)
    with pytest.raises(ValueError, match="compute > 0"):
        gain(Recipe(0.0), Recipe(0.0), -1.0)


@pytest.fixture(scope="module")
def fitted():
    return run_fit(slice(2, 7))


def test_the_luck_of_a_run_is_no_part_of_it(fitted):
    options = {"measured": False}
    lucky, typical = (fitted.draws(AT, model_seed=n, **options)["score"].values for n in (0, None))
    assert (typical.var((0, 1)) < lucky.var((0, 1))).all()
    np.testing.assert_allclose(typical.mean((0, 1)), lucky.mean((0, 1)), atol=0.02)
    found = gain(fitted, with_checks(fitted, ["r_hat 1.2"]), AT)
    assert found.failed_checks == ("B: r_hat 1.2",)
    assert (found.table["q05"] < 1).all() and (found.table["q95"] > 1).all()


def test_the_command_prints_and_writes_gains(posterior_file, tmp_path, capsys):
    other = tmp_path / "b.nc"
    shutil.copy(posterior_file, other)
    designs = [f"A={posterior_file}@1e24", f"B={other}@1e24"]
    out = str(tmp_path / "out")
    more = ["--gain", "--index", "all=*"]
    assert main(["compare", *designs, *more, "--out", out]) == 0
    printed = capsys.readouterr().out
    assert "B at 1e+24 FLOPs, in compute of A" in printed and "all" in printed
    assert "gain.csv" in printed and (tmp_path / "out" / "gain.csv").exists()
    assert main(["compare", *designs, *more, "--json"]) == 0
    gains = json.loads(capsys.readouterr().out)["gains"]["B"]["gains"]
    assert [row["benchmark"] for row in gains] == ["GSM8K", "My bench", "all"]
    assert main(["compare", designs[0], f"L={posterior_file}@2e24", "--gain"]) == 2
    assert "designs of several posteriors" in capsys.readouterr().err
