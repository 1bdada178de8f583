"""Named models as data. A TOML file in `models/` is one complete model: every prior, with its unit
and its reason. Equations live in Python; unknown keys are refused.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path

import numpy as np

_PRIORS = {
    "mu_eta": "normal",
    "sigma_eta": "lognormal",
    "mu_beta": "normal",
    "sigma_beta": "lognormal",
    "sigma_gamma": "lognormal",
    "sigma_model": "lognormal",
    "sigma_delta": "lognormal",
    "mu_omega": "normal",
    "spread_omega": "lognormal",
    "tau": "lognormal",
    "nu": "lognormal",
}
_CONSTANTS = (
    "capped_share",
    "capped_loss",
    "shared_omega",
    "chance_items",
    "nu_ratio_cluster",
    "nu_ratio_zero",
    "nu_ratio_outliers",
    "mapping_scatter",
    "evaluation_noise",
    "assumed_trials",
)


class SpecError(ValueError):
    """A model specification that cannot be used."""


@dataclass(frozen=True)
class Prior:
    """`family` of location `mu` and scale `sigma` (of the logarithm for "lognormal")."""

    family: str
    mu: float
    sigma: float
    unit: str
    why: str


@dataclass(frozen=True)
class Spec:
    name: str
    description: str
    priors: dict[str, Prior]
    constants: dict[str, float]

    def to_json(self) -> str:
        """All of it, for a posterior's attributes."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Spec:
        """The inverse of `to_json`."""
        raw = json.loads(text)
        priors = {name: Prior(**prior) for name, prior in raw.pop("priors").items()}
        return cls(priors=priors, **raw)

    def normal_priors(self, names: Iterable[str]) -> np.ndarray:
        """mu and sigma of each, of the parameter or of its logarithm. (name, 2)"""
        return np.array([[self.priors[name].mu, self.priors[name].sigma] for name in names])


def load_spec(model: str | Path) -> Spec:
    """A shipped model by name ("cod"), or a TOML file by path."""
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
    _same_keys(model, "[constants]", raw["constants"], _CONSTANTS)
    for name, entry in raw["priors"].items():
        _same_keys(model, f"[priors.{name}]", entry, ("family", "mu", "sigma", "unit", "why"))
    for name, entry in raw["constants"].items():
        _same_keys(model, f"[constants.{name}]", entry, ("value", "unit", "why"))
    priors = {name: Prior(**entry) for name, entry in raw["priors"].items()}
    constants = {name: entry["value"] for name, entry in raw["constants"].items()}
    spec = Spec(raw["name"], raw["description"], priors, constants)
    check_spec(spec, model)
    return replace(spec, constants={name: float(value) for name, value in constants.items()})


def check_spec(spec: Spec, where: str | Path = "the specification") -> None:
    """Raises SpecError for priors and constants of other names, families or kinds."""
    if not (isinstance(spec.name, str) and spec.name and isinstance(spec.description, str)):
        raise SpecError(f"{where}: expected a name and a description, got {spec.name!r}")
    _same_keys(where, "[priors]", spec.priors, tuple(_PRIORS))
    _same_keys(where, "[constants]", spec.constants, _CONSTANTS)
    for name, prior in spec.priors.items():
        sound = _number(prior.mu) and _number(prior.sigma) and prior.sigma > 0
        if prior.family != _PRIORS[name] or not sound:
            raise SpecError(
                f"{where}: [priors.{name}]: expected the family {_PRIORS[name]!r}, a finite mu and "
                f"sigma > 0, got {prior.family!r}, {prior.mu!r} and {prior.sigma!r}"
            )
    for name, value in spec.constants.items():
        if not _number(value):
            raise SpecError(f"{where}: [constants.{name}]: expected a finite value, got {value!r}")


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
