"""How runs are joined, started and prepared; what is sampled is checked in test_calibration."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Timer
from types import SimpleNamespace

import numpy as np
import nutpie
import pyarrow as pa
import pytest
import xarray as xr
from seeds import seed

from cod_bayes.model.ladder import LadderData, fall_variance
from cod_bayes.model.spec import load_spec
from cod_bayes.sampling.checks import e_bfmi_of
from cod_bayes.sampling.density import Density
from cod_bayes.sampling.nuts import _cut_short, _data_tree, _random_start, sample
from cod_bayes.sampling.preconditioner import Preconditioner

SPEC = load_spec("cod")


def ladder():
    """One cluster that rises over six models."""
    x = np.linspace(20.0, 22.5, 6)
    z = np.array([[0.3, 0.42, 0.55, 0.66, 0.8, 0.93]])
    names = [f"m{m}" for m in range(6)]
    noise = np.full((1, 6), 1 / 4000)
    none, one = np.zeros(1), np.ones(1)
    return LadderData(["b"], ["b/0"], names, none.astype(int), x, x[5:], z, noise, none, one, one)


def run(density, seed, chains=2, draws=6):
    rng = np.random.default_rng(seed)
    theta = density.start_values + 0.1 * rng.standard_normal((chains, draws, density.size))
    stats = xr.Dataset(
        {"energy": (("chain", "draw"), rng.standard_normal((chains, draws)))},
        {"chain": np.arange(chains), "draw": np.arange(draws)},
    )
    return theta, stats


def test_runs_are_joined_chain_by_chain_and_thinned(monkeypatch):
    monkeypatch.setattr("cod_bayes.sampling.nuts._KEPT_DRAWS", 6)
    density = Density.of(SPEC, ladder())
    first, second = run(density, 0), run(density, 1)
    joined = _data_tree(density, ladder(), [first, second])
    beta = joined["posterior"].to_dataset()["beta"].values
    for chain in range(2):
        both = np.concatenate([first[0][chain], second[0][chain]])
        np.testing.assert_allclose(beta[chain], density.constrain(both)["beta"][::2])
    energy = joined["sample_stats"].to_dataset()["energy"].values
    np.testing.assert_allclose(energy[:, 3:], second[1]["energy"].values[:, ::2])


def test_e_bfmi_is_that_of_neighbouring_draws(monkeypatch):
    monkeypatch.setattr("cod_bayes.sampling.nuts._KEPT_DRAWS", 200)
    density = Density.of(SPEC, ladder())
    runs = [run(density, 0, draws=200), run(density, 1, draws=200)]
    stats = _data_tree(density, ladder(), runs)["sample_stats"].to_dataset()
    least = np.min([e_bfmi_of(one) for _, one in runs], axis=0)
    np.testing.assert_allclose(e_bfmi_of(stats), least)
    assert abs(e_bfmi_of(stats.drop_vars("e_bfmi")) - least).max() > 1e-3


def test_a_chain_s_start_depends_on_its_seed_alone():
    points = np.arange(12.0).reshape(6, 2)
    start = _random_start(points)
    starts = {tuple(start(seed)) for seed in range(50)}
    assert starts == {tuple(point) for point in points}
    np.testing.assert_array_equal(start(7), start(7))


def test_too_few_draws_fail_by_name_and_more_attempts_add_to_them():
    options = {"random_seed": seed(1), "draws": 40, "tune": 150, "progressbar": False}
    once, failed, _ = sample(SPEC, ladder(), attempts=1, **options)
    assert any(text.startswith("bulk ESS") for text in failed)
    more, *_ = sample(SPEC, ladder(), attempts=4, **options)
    assert once["posterior"].sizes["draw"] == 40
    assert more["posterior"].sizes["draw"] in (80, 120, 160)  # a run that diverges is not kept


HASH = """
import hashlib
from test_sampling import SPEC, ladder, sample
idata, *_ = sample(SPEC, ladder(), random_seed=1, draws=20, tune=20, attempts=1, progressbar=False)
print(hashlib.sha256(idata["posterior"]["eta"].values.tobytes()).hexdigest())
"""


@pytest.mark.slow  # compiles all kernels
def test_draws_are_the_same_bit_for_bit_whether_compiled_now_or_before(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    options = {"env": environment, "cwd": Path(__file__).parent, "text": True}
    fresh, cached = (
        subprocess.run([sys.executable, "-c", HASH], check=True, stdout=subprocess.PIPE, **options)
        for _ in range(2)
    )
    assert list(tmp_path.iterdir()) and fresh.stdout == cached.stdout != ""


# What no rising curve explains.

RISE = np.array([0.2, 0.35, 0.5, 0.7, 0.9, 1.1])
NOISE = np.full((4, 6), 1e-4)


def clusters():
    return np.array([RISE, 0.5 * RISE, RISE + 0.2, np.full(6, 0.6)])


def test_rising_and_flat_clusters_have_nofall_variance():
    jitter = 0.01 * np.random.default_rng(seed(0)).standard_normal((4, 6))
    assert fall_variance(clusters() + jitter, NOISE).max() < 1e-4


def test_a_falling_cluster_is_given_the_variance_of_its_fall_and_the_others_none():
    z = clusters()
    z[3] = 0.8 - 0.4 * RISE
    found = fall_variance(z, NOISE)
    assert found[3] == pytest.approx(z[3].var() - 1e-4, rel=0.05)
    assert (found[:3] == 0).all()


def test_a_dip_of_all_clusters_is_the_model_s():
    z = clusters()
    z[:, 3] -= 0.3
    z[3] = 0.6
    z[3, 3] -= 0.2
    assert fall_variance(z, NOISE).max() < 0.004 < (0.3**2) / 6


def test_fewer_than_three_clusters_and_missing_cells():
    falling = np.array([0.8 - 0.4 * RISE, RISE])
    assert (fall_variance(falling, NOISE[:2]) == 0).all()
    noise = NOISE.copy()
    noise[0, :2] = noise[1, 4] = np.inf
    noise[2] = np.inf
    found = fall_variance(clusters(), noise)
    assert np.isfinite(found).all() and found.max() < 1e-4


@pytest.fixture
def interruptible():
    """Interrupts arrive: a shell's background jobs ignore them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupted_in_run(number, monkeypatch):
    """Sends an interrupt a moment after run `number` (from 0) has begun."""
    count, ask = iter(range(99)), nutpie.sample

    def asked(*args, **options):
        if next(count) == number:
            Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
        return ask(*args, **options)

    monkeypatch.setattr("cod_bayes.sampling.nuts.nutpie.sample", asked)


def test_an_interrupted_run_keeps_its_draws_and_says_so(monkeypatch, interruptible):
    interrupted_in_run(1, monkeypatch)
    options = {"draws": 300_000, "tune": 50, "progressbar": False}
    idata, failed, interrupted = sample(SPEC, ladder(), random_seed=seed(1), **options)
    posterior = idata["posterior"].to_dataset()
    assert interrupted and 20 <= posterior.sizes["draw"] < 300_000
    said, chains = failed[0].split(" draws by each of ")
    assert chains == f"{posterior.sizes['chain']} chains"
    assert int(said.removeprefix("interrupted at ")) >= posterior.sizes["draw"]
    assert all(np.isfinite(posterior[name]).all() for name in posterior)


def test_an_interrupt_between_runs_keeps_the_draws_too(monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("cod_bayes.sampling.nuts.jump", stopped)
    options = {"draws": 60, "tune": 50, "progressbar": False}
    idata, failed, interrupted = sample(SPEC, ladder(), random_seed=seed(1), **options)
    assert interrupted and failed[0] == "interrupted at 60 draws by each of 4 chains"
    assert idata["posterior"].sizes["draw"] == 60


def test_an_interrupt_before_there_is_a_draw_is_raised(monkeypatch, interruptible):
    interrupted_in_run(0, monkeypatch)
    monkeypatch.setattr("cod_bayes.sampling.nuts._FIRST_RUN", (300_000, 30))
    with pytest.raises(KeyboardInterrupt):
        sample(SPEC, ladder(), random_seed=seed(1), draws=50, tune=50, progressbar=False)


def raw_trace(lengths, size):
    """Of chains that were cut short: two draws of warm-up, then of each chain its number."""
    draws, stats = [], []
    for chain, length in enumerate(lengths):
        warm = np.arange(length + 2) < 2
        theta = pa.FixedSizeListArray.from_arrays(
            pa.array(np.repeat(np.where(warm, -1.0, chain), size)), size
        )
        energy = pa.array(np.where(warm, -1.0, chain))
        draws.append(pa.record_batch({"theta": theta}))
        stats.append(pa.record_batch({"tuning": pa.array(warm), "energy": energy, "mass": theta}))
    return SimpleNamespace(get_arrow_trace=lambda: (draws, stats))


def test_a_run_cut_short_keeps_the_chains_that_make_most_draws():
    density = Density.of(SPEC, ladder())
    none = Preconditioner.none(density.shared, density.first)
    raw = raw_trace((30, 100, 0, 90), density.size)
    kept, stats = _cut_short(none, SimpleNamespace(abort=lambda: raw))
    assert kept.shape == (2, 90, density.size) and [*stats] == ["tuning", "energy"]
    np.testing.assert_array_equal(stats["energy"].values, [[1] * 90, [3] * 90])
    one = raw_trace((1, 1, 0, 1), density.size)
    with pytest.raises(KeyboardInterrupt):
        _cut_short(none, SimpleNamespace(abort=lambda: one))


def test_a_small_fit_imports_no_plots():
    code = (
        "import sys\nfrom cod_bayes.sampling.nuts import nutpie\n"
        "print({'arviz', 'arviz_plots', 'matplotlib', 'sklearn'} & {*sys.modules})\n"
        "import arviz\n"
        "print(nutpie.sample.__globals__['arviz'].from_dict is arviz.from_dict)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["set()", "True"]
