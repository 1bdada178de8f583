"""Named models as data. A TOML file in `models/` is one complete model: every prior, with its unit
and its reason. Equations live in Python; unknown keys are refused.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
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
    "chance_items",
    "predictable_probability",
    "mapping_scatter",
    "evaluation_noise",
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
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{model}: not valid TOML: {error}") from error
    _same_keys(model, "the file", raw, ("name", "description", "priors", "constants"))
    _same_keys(model, "[priors]", raw["priors"], tuple(_PRIORS))
    _same_keys(model, "[constants]", raw["constants"], _CONSTANTS)
    priors = {}
    for name, entry in raw["priors"].items():
        _same_keys(model, f"[priors.{name}]", entry, ("family", "mu", "sigma", "unit", "why"))
        if entry["family"] != _PRIORS[name] or not entry["sigma"] > 0:
            raise SpecError(
                f"{model}: [priors.{name}]: expected the family {_PRIORS[name]!r} and sigma > 0, "
                f"got {entry['family']!r} and {entry['sigma']}"
            )
        priors[name] = Prior(**entry)
    for name, entry in raw["constants"].items():
        _same_keys(model, f"[constants.{name}]", entry, ("value", "unit", "why"))
    constants = {name: float(entry["value"]) for name, entry in raw["constants"].items()}
    return Spec(raw["name"], raw["description"], priors, constants)


def _same_keys(model: str | Path, where: str, got: dict, expected: tuple[str, ...]) -> None:
    if set(got) != set(expected):
        missing, unknown = set(expected) - set(got), set(got) - set(expected)
        raise SpecError(
            f"{model}: {where}: missing {sorted(missing)}, unknown {sorted(unknown)}; "
            f"expected exactly {list(expected)}"
        )
