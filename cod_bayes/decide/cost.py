"""From compute to GPU-hours, money, energy and days.

    hours  = C / (3600 F u)        C FLOPs of training; F peak FLOP/s of a GPU; u its utilisation
    money  = hours price           price of a GPU-hour
    energy = hours W / 1000        kWh; W watts drawn per GPU, with its share of the building
    days   = hours / (24 n)        on n GPUs at once

A field is a number or a range [low, high]. A range is log-uniform, because the fields are scales
that are multiplied and divided: 1/u is then as uncertain as u. Fields are independent.

A record is a TOML or JSON file with the fields of `CostRecord`:

    peak_flops = 989.4e12              # H800, dense BF16
    utilisation = [0.25, 0.40]
    price_per_gpu_hour = 2.0
    currency = "USD"
    gpus = 2048
    watts_per_gpu = [700, 1200]

Worked example. A 7B model of 54.761e9 FLOPs per token on 923e9 tokens took 52,800 H800 GPU-hours
(arXiv 2502.17262): C = 5.05e22 FLOPs, so u = `utilisation(C, 52_800, 989.4e12)` = 0.27.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

Amount = float | tuple[float, float]

COST_QUANTILES = {"q05": 0.05, "q50": 0.5, "q95": 0.95}
_DRAWS = 10_000


@dataclass(frozen=True)
class CostRecord:
    """What compute costs; symbols as in the module. Ranges are (low, high).

    Attributes:
        peak_flops: F, FLOP/s of one GPU at the precision of the training.
        utilisation: u in (0, 1], model FLOPs as a share of the peak.
        price_per_gpu_hour: in `currency`; None: no money in the results.
        gpus: n; None: no days in the results.
        watts_per_gpu: W; None: no energy in the results.

    Raises:
        ValueError: a field that is not positive, a range that falls, u > 1.
    """

    peak_flops: Amount
    utilisation: Amount
    price_per_gpu_hour: Amount | None = None
    gpus: Amount | None = None
    watts_per_gpu: Amount | None = None
    currency: str = "USD"

    def __post_init__(self) -> None:
        for name in _AMOUNTS:
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _amount(name, value))
            elif name in ("peak_flops", "utilisation"):
                raise ValueError(f"{name}: expected a number or [low, high], got nothing")
        if np.max(self.utilisation) > 1:
            raise ValueError(
                f"utilisation: expected at most 1, got {self.utilisation}; write 0.4 for 40 %"
            )
        if not isinstance(self.currency, str):
            raise ValueError(f"currency: expected a word such as USD, got {self.currency!r}")

    def draws(
        self, compute: float | np.ndarray, size: int, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """gpu_hours, and money, energy_kwh, days where their fields are given; each (size,).

        compute: FLOPs, or one for each draw (size,). The same generator state gives the same world
        at every compute.
        """
        drawn: dict[str, np.ndarray] = {}
        for name in _AMOUNTS:
            value = getattr(self, name)
            if value is not None:
                low, high = np.log(np.broadcast_to(np.asarray(value, float), 2))
                drawn[name] = np.exp(low + (high - low) * rng.random(size))
        hours = compute / (3600 * drawn["peak_flops"] * drawn["utilisation"])
        amounts = {"gpu_hours": hours}
        if "price_per_gpu_hour" in drawn:
            amounts["money"] = hours * drawn["price_per_gpu_hour"]
        if "watts_per_gpu" in drawn:
            amounts["energy_kwh"] = hours * drawn["watts_per_gpu"] / 1000
        if "gpus" in drawn:
            amounts["days"] = hours / (24 * drawn["gpus"])
        return amounts

    def summary(
        self, compute: float | np.ndarray, random_seed: int = 0
    ) -> dict[str, dict[str, float]]:
        """Each quantity of `draws` -> its q05, q50, q95, from 10,000 draws.

        compute: FLOPs, or draws of them (draw,).
        """
        several = np.resize(compute, _DRAWS) if np.ndim(compute) else compute
        amounts = self.draws(several, _DRAWS, np.random.default_rng(random_seed))
        return {name: quantiles_of(value) for name, value in amounts.items()}

    def to_dict(self) -> dict[str, object]:
        """The fields that are given, ready for JSON."""
        return {name: value for name, value in asdict(self).items() if value is not None}


_AMOUNTS = [field.name for field in fields(CostRecord) if field.name != "currency"]


def read_cost(path: str | Path) -> CostRecord:
    """A record from a .toml or .json file.

    Raises:
        ValueError: unknown or missing fields, or what `CostRecord` refuses.
    """
    path = Path(path)
    text = path.read_text(encoding="utf-8")
    try:
        raw = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected a TOML file, or .json: {error}") from error
    known = [field.name for field in fields(CostRecord)]
    missing = {"peak_flops", "utilisation"} - set(raw)
    unknown = set(raw) - set(known)
    if missing or unknown:
        raise ValueError(
            f"{path}: expected fields of {known}; missing {sorted(missing)}, "
            f"unknown {sorted(unknown)}"
        )
    try:
        return CostRecord(**raw)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def quantiles_of(values: np.ndarray) -> dict[str, float]:
    """q05, q50, q95 of draws (draw,), some of which may be infinite."""
    return {
        key: float(np.quantile(values, q, method="inverted_cdf"))
        for key, q in COST_QUANTILES.items()
    }


def utilisation(compute: float, gpu_hours: float, peak_flops: float) -> float:
    """u of a finished run, from its GPU-hours."""
    return compute / (3600 * gpu_hours * peak_flops)


def _amount(name: str, value: object) -> Amount:
    """A positive number or a range of two, as floats."""
    ends = value if isinstance(value, list | tuple) else [value]
    numbers = [float(v) for v in ends if isinstance(v, int | float) and not isinstance(v, bool)]
    sound = len(numbers) == len(ends) in (1, 2) and numbers == sorted(numbers)
    if not sound or not all(0 < number < np.inf for number in numbers):
        raise ValueError(
            f"{name}: expected a number > 0 or [low, high] with low <= high, got {value!r}"
        )
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])
