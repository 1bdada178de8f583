"""Named models as data. A TOML file in `models/` is one complete model: every prior and constant,
with its unit and its reason. The equations are Python; unknown keys are refused.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from scipy.stats.distributions import rv_frozen

# Families by the values that they allow. All are given by `mu` and `sigma`, see `Prior`.
REAL, POSITIVE = ("normal",), ("lognormal", "gamma")
_PRIORS = {
    "mu_eta": REAL,
    "sigma_eta": POSITIVE,
    "mu_beta": REAL,
    "sigma_beta": POSITIVE,
    "sigma_gamma": POSITIVE,
    "sigma_model": POSITIVE,
    "sigma_delta": POSITIVE,
    "mu_omega": REAL,
    "spread_omega": POSITIVE,
    "tau": POSITIVE,
    "nu": POSITIVE,
}
_ANY, _SHARE = (0.0, float("inf")), (0.0, 1.0)  # open intervals
_CONSTANTS = {
    "capped_share": _SHARE,
    "capped_loss": _ANY,
    "free_answer_slope": (-float("inf"), float("inf")),
    "shared_priors": _SHARE,
    "shared_omega": _SHARE,
    "chance_items": _ANY,
    "nu_ratio_cluster": _ANY,
    "nu_ratio_zero": _ANY,
    "nu_ratio_outliers": _ANY,
    "mapping_scatter": _ANY,
    "evaluation_noise": (-1e-300, float("inf")),  # 0 is allowed
    "assumed_trials": _ANY,
}


class SpecError(ValueError):
    """A model specification that cannot be used."""


@dataclass(frozen=True)
class Prior:
    """One prior.

    Attributes:
        family: "normal"; "lognormal", with `mu` and `sigma` of the logarithm; "gamma", with its
            mean `mu` and standard deviation `sigma`.
        unit, why: of the parameter, and the reason for the numbers.
    """

    family: str
    mu: float
    sigma: float
    unit: str
    why: str

    @property
    def distribution(self) -> rv_frozen:
        """The same distribution in SciPy."""
        from scipy import stats

        if self.family == "normal":
            return stats.norm(self.mu, self.sigma)
        if self.family == "lognormal":
            return stats.lognorm(self.sigma, scale=np.exp(self.mu))
        return stats.gamma((self.mu / self.sigma) ** 2, scale=self.sigma**2 / self.mu)


@dataclass(frozen=True)
class Constant:
    """A fixed number of the model, with its unit and its reason."""

    value: float
    unit: str
    why: str


@dataclass(frozen=True)
class Spec:
    """A named model's priors and constants."""

    name: str
    description: str
    priors: dict[str, Prior]
    described: dict[str, Constant]

    @cached_property
    def constants(self) -> dict[str, float]:
        """The constants' values."""
        return {name: float(constant.value) for name, constant in self.described.items()}

    def to_json(self) -> str:
        """All of it, for a posterior's attributes."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Spec:
        """The inverse of `to_json`."""
        raw = json.loads(text)
        priors = {name: Prior(**prior) for name, prior in raw["priors"].items()}
        described = {name: Constant(**entry) for name, entry in raw["described"].items()}
        return cls(raw["name"], raw["description"], priors, described)

    def normal_priors(self, names: Iterable[str]) -> np.ndarray:
        """mu and sigma of each, of the parameter or of its logarithm. (name, 2)"""
        return np.array([[self.priors[name].mu, self.priors[name].sigma] for name in names])


def load_spec(model: str | Path) -> Spec:
    """A shipped model by name ("cod"), or a TOML file by path.

    Raises:
        SpecError: an unknown name, a file that is not TOML, or one with other keys or values.
    """
    path = Path(model)
    if path.suffix == ".toml":
        text = path.read_text(encoding="utf-8")
    else:
        folder = resources.files("cod_bayes.models")
        known = sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".toml"))
        if str(model) not in known:
            raise SpecError(f"expected a model of {known} or a .toml file, got {str(model)!r}")
        text = (folder / f"{model}.toml").read_text(encoding="utf-8")
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{model}: not valid TOML: {error}") from error
    _same_keys(model, "the file", raw, ("name", "description", "priors", "constants"))
    _same_keys(model, "[priors]", raw["priors"], tuple(_PRIORS))
    _same_keys(model, "[constants]", raw["constants"], tuple(_CONSTANTS))
    for name, entry in raw["priors"].items():
        _same_keys(model, f"[priors.{name}]", entry, ("family", "mu", "sigma", "unit", "why"))
    for name, entry in raw["constants"].items():
        _same_keys(model, f"[constants.{name}]", entry, ("value", "unit", "why"))
    priors = {name: Prior(**entry) for name, entry in raw["priors"].items()}
    described = {name: Constant(**entry) for name, entry in raw["constants"].items()}
    spec = Spec(raw["name"], raw["description"], priors, described)
    check_spec(spec, model)
    return spec


def check_spec(spec: Spec, where: str | Path = "the specification") -> None:
    """Raises SpecError for priors and constants of other names, families, kinds or ranges."""
    if not (isinstance(spec.name, str) and spec.name and isinstance(spec.description, str)):
        raise SpecError(f"{where}: expected a name and a description, got {spec.name!r}")
    _same_keys(where, "[priors]", spec.priors, tuple(_PRIORS))
    _same_keys(where, "[constants]", spec.described, tuple(_CONSTANTS))
    for name, prior in spec.priors.items():
        sound = _number(prior.mu) and _number(prior.sigma) and prior.sigma > 0
        sound = sound and (prior.family != "gamma" or prior.mu > 0)
        if prior.family not in _PRIORS[name] or not sound:
            families = " or ".join(repr(family) for family in _PRIORS[name])
            raise SpecError(
                f"{where}: [priors.{name}]: expected the family {families}, a finite mu (over 0 of "
                f"'gamma') and sigma > 0, got {prior.family!r}, {prior.mu!r} and {prior.sigma!r}"
            )
    for name, constant in spec.described.items():
        low, high = _CONSTANTS[name]
        value: Any = constant.value
        if not (_number(value) and low < value < high):
            allowed = "between 0 and 1" if high == 1 else f"{'>=' if low < 0 else '>'} 0 and finite"
            raise SpecError(
                f"{where}: [constants.{name}]: expected a value {allowed}, got {value!r}"
            )


def _number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < float("inf")


def _same_keys(model: str | Path, where: str, got: dict, expected: tuple[str, ...]) -> None:
    if not isinstance(got, dict):
        raise SpecError(f"{model}: {where}: expected a table, got {got!r}")
    if set(got) != set(expected):
        missing, unknown = set(expected) - set(got), set(got) - set(expected)
        raise SpecError(
            f"{model}: {where}: missing {sorted(missing)}, unknown {sorted(unknown)}; "
            f"expected exactly {list(expected)}"
        )
