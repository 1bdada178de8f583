"""Simulated ladders: benchmarks answered by models whose true scores are known.

Item i of benchmark b, with x in log10 FLOPs and decades of it:

    h_i     = difficulty + spread N(0, 1) + tail Exp(1)         where the item's loss is 1
    beta_i  = slope exp(slope_spread N(0, 1))                   fall of log loss per decade
    gamma_i = ceiling Exp(1) for a share `capped`, else 0       loss that no compute removes
    g_i     ~ Beta with mean chance, variance chance (1 - chance) / 21

A share of the items does not scale. Flat: h_i = -inf, gamma_i ~ Exp(1), a level of its own, uniform
above g_i. Unsolved: gamma_i = inf. Falling: -beta_i / 10 in place of beta_i.

Model m answers with

    delta_m  = shock N(0, 1)             decades, shared by all benchmarks
    delta_bm = benchmark_shock N(0, 1)   decades
    e_im     = item_noise N(0, 1)        in log loss
    L_im     = (exp(-beta_i (x_m + delta_m + delta_bm - h_i)) + gamma_i) exp(e_im)
    p_im     = g_i + (1 - g_i) exp(-L_im)
    n_correct_im ~ Binomial(trials, p_im)

Its true score on b is mean_i p_im; the curve is the same mean with all delta and e at 0. Anchors
are models of other families: the same equations with anchor_shock for both delta and
anchor_item_noise for e, at a stated compute within the half decade below the largest model.

The simulated world is not one of the fitted model: items vary one by one, in chance too, and item
noise is not binomial.

PAPER_LADDER and PAPER_BENCHMARKS have the models and item counts of COD (arXiv 2502.17262v4, A4 and
A5). Our choices, not the paper's: the chance levels (0 for free answers, 1 / options else, 0.25 for
BBH's mixture), the shapes of the difficulties, and their centres, set so that the curve at the 70B
target meets the paper's scores. With the default shocks (0.08 decades shared, 0.08 per benchmark) a
forecaster who knows the curve exactly has a mean error of 1.0 point at the target (40 worlds; the
paper's forecasts have 1.55); item noise alone gives 0.1. With shocks of 0.05 it is 0.6. With 0.02,
the scatter of a controlled ladder, the paper's point method has 1.6 points (8 worlds).

Items are drawn first, so that a seed gives the same items with any models, shocks and trials.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from cod_bayes.evidence.record import Evidence, read_table

__all__ = [
    "PAPER_BENCHMARKS",
    "PAPER_LADDER",
    "PAPER_TARGETS",
    "Benchmark",
    "Model",
    "Simulation",
    "simulate",
]

Floats = NDArray[np.float64]

KINDS = np.array(["flat", "unsolved", "falling", "scaling"])
GUESS_SIZE = 20.0  # a + b of the Beta that the g_i come from
ANCHOR_SPAN = 0.5  # decades below the largest model in which the anchors' stated compute lies


def _require(holds: bool, expected: str, got: object, remedy: str) -> None:
    if not holds:
        raise ValueError(f"expected {expected}, got {got!r}; {remedy}")


def _require_sizes(where: str, **values: float) -> None:
    for name, value in values.items():
        _require(
            0 <= value < np.inf, f"{name} finite and at least 0{where}", value, "use 0 for none"
        )


@dataclass(frozen=True)
class Model:
    """A model of the ladder or a target. compute: training FLOPs; params: NaN unknown."""

    name: str
    compute: float
    params: float = np.nan

    def __post_init__(self) -> None:
        _require(
            0 < self.compute < np.inf,
            f"positive, finite compute for model {self.name!r}",
            self.compute,
            "give its training FLOPs",
        )


@dataclass(frozen=True)
class Benchmark:
    """The distribution of a benchmark's items; symbols as in the module.

    difficulty, spread, tail in decades of compute (difficulty: log10 FLOPs); slope per decade,
    slope_spread its sd in logs; ceiling in loss; capped, flat, unsolved, falling: shares of items.
    """

    name: str
    n_items: int
    chance: float = 0.0
    difficulty: float = 23.0
    spread: float = 1.0
    tail: float = 0.5
    slope: float = 1.0
    slope_spread: float = 0.4
    capped: float = 0.5
    ceiling: float = 0.1
    flat: float = 0.03
    unsolved: float = 0.02
    falling: float = 0.01

    def __post_init__(self) -> None:
        of = f" of benchmark {self.name!r}"
        _require(self.n_items >= 1, f"n_items{of} at least 1", self.n_items, "give it items")
        _require(
            0 <= self.chance < 1,
            f"chance{of} in [0, 1)",
            self.chance,
            "give the rate of a guess, 1 / options",
        )
        _require(
            np.isfinite(self.difficulty),
            f"finite difficulty{of}",
            self.difficulty,
            "give the log10 FLOPs at which a typical item's answer loss is 1",
        )
        _require(
            0 < self.slope < np.inf,
            f"positive, finite slope{of}",
            self.slope,
            "items that do not rise with compute are a share: flat, unsolved or falling",
        )
        _require_sizes(
            of,
            spread=self.spread,
            tail=self.tail,
            slope_spread=self.slope_spread,
            ceiling=self.ceiling,
        )
        for share in ("capped", "flat", "unsolved", "falling"):
            value = getattr(self, share)
            _require(0 <= value <= 1, f"{share}{of} in [0, 1]", value, "give a share of its items")
        others = self.flat + self.unsolved + self.falling
        _require(
            others <= 1 + 1e-9,
            f"flat + unsolved + falling{of} at most 1",
            others,
            "the rest are the items that scale: lower one of the three",
        )


# COD table A4: FLOPs per token times tokens, without continued training.
PAPER_LADDER = (
    Model("122M", 1.535e9 * 26e9, 122e6),
    Model("238M", 2.684e9 * 45e9, 238e6),
    Model("411M", 4.275e9 * 72e9, 411e6),
    Model("652M", 6.378e9 * 108e9, 652e6),
    Model("973M", 9.060e9 * 153e9, 973e6),
    Model("1.9B", 16.436e9 * 277e9, 1901e6),
    Model("7B", 54.761e9 * 923e9, 6980e6),
    Model("12B", 91.609e9 * 1544e9, 12022e6),
)
PAPER_TARGETS = (Model("70B", 475.131e9 * 8012e9, 68452e6),)
PAPER_BENCHMARKS = (
    Benchmark("GSM8K", 1319, 0.0, difficulty=21.35, spread=0.8, tail=0.4, slope=1.4, ceiling=0.05),
    Benchmark("MATH", 5000, 0.0, difficulty=23.27, spread=1.2, tail=0.8, slope=1.0),
    Benchmark("BBH", 6511, 0.25, difficulty=21.61, spread=1.1, tail=0.6, slope=0.9),
    Benchmark("TriviaQA", 17944, 0.0, difficulty=20.73, spread=1.3, tail=0.8, slope=1.0),
    Benchmark("MBPP", 500, 0.0, difficulty=22.18, spread=1.2, tail=0.7, slope=1.0),
    Benchmark("AGIEval", 8063, 0.2, difficulty=23.15, spread=1.2, tail=0.9, slope=0.9),
    Benchmark("DROP", 9536, 0.0, difficulty=21.26, spread=1.2, tail=0.7, slope=0.9),
    Benchmark("MMLU-pro", 12032, 0.1, difficulty=22.88, spread=1.2, tail=0.9, slope=0.9),
)


@dataclass(frozen=True, eq=False)
class Simulation:
    """The observed table and the truth. Models: the ladder, the targets, the anchors.

    table       tidy, for `read_table`: benchmark, item, model, role, family, compute, params,
                chance, n_correct, n_trials. Its chance is the benchmark's, not the item's.
    truth       one row per benchmark and model, anchors and targets too: benchmark, model, role,
                compute, score, curve_score, and shock = delta_m + delta_bm (decades).
    items       one row per item: benchmark, item, kind, h, beta, gamma, g.
    pass_rates  benchmark -> p (item, model), in the order of `items` and `truth`.
    """

    table: pd.DataFrame
    truth: pd.DataFrame
    items: pd.DataFrame
    pass_rates: dict[str, Floats]

    @cached_property
    def evidence(self) -> Evidence:
        """The table, read."""
        return read_table(self.table)

    def curve(self, benchmark: str, compute: ArrayLike) -> Floats:
        """Score of a model without shocks and item noise at `compute` (FLOPs, any shape)."""
        names = list(self.pass_rates)
        _require(benchmark in names, f"a benchmark out of {names}", benchmark, "correct the name")
        flops = np.asarray(compute, dtype=float)
        _require(bool((flops > 0).all()), "positive compute", compute, "give training FLOPs")
        x = np.log10(flops)
        p = pass_rate(x.reshape(-1), self.items[self.items["benchmark"] == benchmark])
        return p.mean(axis=0).reshape(x.shape)


def pass_rate(x: Floats, items: pd.DataFrame, e: ArrayLike = 0.0) -> Floats:
    """p (item, model) at effective compute x = x_m + delta_m + delta_bm (model,)."""
    h, beta, gamma, g = (items[[name]].to_numpy() for name in ("h", "beta", "gamma", "g"))
    with np.errstate(over="ignore"):  # an infinite loss gives p = g
        L = (np.exp(-beta * (x - h)) + gamma) * np.exp(e)
    return g + (1 - g) * np.exp(-L)


def simulate(
    random_seed: int | np.random.Generator,
    *,
    benchmarks: Sequence[Benchmark] = PAPER_BENCHMARKS,
    ladder: Sequence[Model] = PAPER_LADDER,
    targets: Sequence[Model] = PAPER_TARGETS,
    trials: int = 100,
    anchors: int = 1,
    items_scale: float = 1.0,
    shock: float = 0.08,
    benchmark_shock: float = 0.08,
    item_noise: float = 0.2,
    anchor_shock: float = 0.2,
    anchor_item_noise: float = 0.6,
    include_target: bool = True,
) -> Simulation:
    """Draw items, models and answers; the equations and their symbols are the module's.

    trials          answers sampled per item and model
    anchors         number of models of other families, one each
    items_scale     multiplies all item counts, e.g. 0.05 for quick tests
    include_target  whether the targets' answers are in the table; the truth always has them
    """
    _require(len(benchmarks) > 0, "at least one benchmark", benchmarks, "add a Benchmark")
    _require(len(ladder) > 1, "at least two ladder models", ladder, "add a Model")
    _require(trials >= 1, "trials at least 1", trials, "use 1 for one answer per item")
    _require(anchors >= 0, "anchors at least 0", anchors, "give a number of models")
    _require(
        0 < items_scale < np.inf, "items_scale positive and finite", items_scale, "use 1 for all"
    )
    _require_sizes(
        "",
        shock=shock,
        benchmark_shock=benchmark_shock,
        item_noise=item_noise,
        anchor_shock=anchor_shock,
        anchor_item_noise=anchor_item_noise,
    )
    rng = np.random.default_rng(random_seed)
    parts = {b.name: _draw_items(b, items_scale, rng) for b in benchmarks}
    models = _draw_models(ladder, targets, anchors, rng)
    for what, names in (
        ("benchmarks", [b.name for b in benchmarks]),
        ("models", models["model"].tolist()),
    ):
        once = len(set(names)) == len(names)
        _require(once, f"{what} of different names", names, "rename those that appear twice")

    x, M = np.log10(models["compute"].to_numpy()), len(models)
    foreign = (models["role"] == "anchor").to_numpy()
    sd_m = np.where(foreign, anchor_shock, shock)
    sd_bm = np.where(foreign, anchor_shock, benchmark_shock)
    sd_im = np.where(foreign, anchor_item_noise, item_noise)
    delta_m = sd_m * rng.standard_normal(M)

    p: dict[str, Floats] = {}
    truth, table = [], []
    for b in benchmarks:
        items = parts[b.name]
        n = len(items)
        delta = delta_m + sd_bm * rng.standard_normal(M)
        p[b.name] = pass_rate(x + delta, items, sd_im * rng.standard_normal((n, M)))
        truth.append(
            models[["model", "role", "compute"]].assign(
                benchmark=b.name,
                score=p[b.name].mean(axis=0),
                curve_score=pass_rate(x, items).mean(axis=0),
                shock=delta,
            )
        )
        i, m = np.repeat(np.arange(n), M), np.tile(np.arange(M), n)
        table.append(
            models.iloc[m].assign(
                benchmark=b.name,
                item=items["item"].to_numpy()[i],
                chance=b.chance,
                n_correct=rng.binomial(trials, p[b.name]).ravel(),
                n_trials=trials,
            )
        )
    observed = pd.concat(table, ignore_index=True)
    if not include_target:
        observed = observed[observed["role"] != "target"].reset_index(drop=True)
    return Simulation(
        table=observed[_TABLE],
        truth=pd.concat(truth, ignore_index=True)[_TRUTH],
        items=pd.concat(parts.values(), ignore_index=True),
        pass_rates=p,
    )


_TABLE = ["benchmark", "item", "model", "role", "family", "compute", "params"]
_TABLE += ["chance", "n_correct", "n_trials"]
_TRUTH = ["benchmark", "model", "role", "compute", "score", "curve_score", "shock"]


def _draw_items(b: Benchmark, items_scale: float, rng: np.random.Generator) -> pd.DataFrame:
    n = max(1, round(b.n_items * items_scale))
    h = b.difficulty + b.spread * rng.standard_normal(n) + b.tail * rng.standard_exponential(n)
    beta = b.slope * np.exp(b.slope_spread * rng.standard_normal(n))
    loss = rng.standard_exponential(n)
    gamma = np.where(rng.random(n) < b.capped, b.ceiling * loss, 0.0)
    g = np.zeros(n)
    if b.chance > 0:
        g = rng.beta(GUESS_SIZE * b.chance, GUESS_SIZE * (1 - b.chance), n)
    share = np.cumsum([b.flat, b.unsolved, b.falling])
    kind = KINDS[np.searchsorted(share, rng.random(n), side="right")]
    return pd.DataFrame(
        {
            "benchmark": b.name,
            "item": [f"{b.name}-{i}" for i in range(n)],
            "kind": kind,
            "h": np.where(kind == "flat", -np.inf, h),
            "beta": np.where(kind == "falling", -beta / 10, beta),
            "gamma": np.select([kind == "flat", kind == "unsolved"], [loss, np.inf], gamma),
            "g": g,
        }
    )


def _draw_models(
    ladder: Sequence[Model], targets: Sequence[Model], anchors: int, rng: np.random.Generator
) -> pd.DataFrame:
    largest = max(model.compute for model in (*ladder, *targets))
    stated = largest * 10 ** -(ANCHOR_SPAN * rng.random(anchors))
    rows: list[dict[str, Any]] = [
        {
            "model": m.name,
            "role": role,
            "family": "ladder",
            "compute": m.compute,
            "params": m.params,
        }
        for role, group in (("ladder", ladder), ("target", targets))
        for m in group
    ]
    rows += [
        {"model": f"anchor-{k}", "role": "anchor", "family": f"other-{k}", "compute": compute}
        for k, compute in enumerate(stated, start=1)
    ]
    return pd.DataFrame(rows)
