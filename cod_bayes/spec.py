"""Named models as data. A TOML file in `models/` is one complete model: every prior, with its unit
and its reason. Equations live in Python; unknown keys are refused.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

_PRIORS = (
    "mu_eta",
    "sigma_eta",
    "mu_beta",
    "sigma_beta",
    "sigma_gamma",
    "sigma_delta",
    "sigma_u",
    "tau",
)
_CONSTANTS = ("chance_items", "drift", "predictable_probability")
_FAMILIES = ("normal", "lognormal")


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
    _same_keys(model, "[priors]", raw["priors"], _PRIORS)
    _same_keys(model, "[constants]", raw["constants"], _CONSTANTS)
    priors = {}
    for name, entry in raw["priors"].items():
        _same_keys(model, f"[priors.{name}]", entry, ("family", "mu", "sigma", "unit", "why"))
        if entry["family"] not in _FAMILIES or not entry["sigma"] > 0:
            raise SpecError(
                f"{model}: [priors.{name}]: expected a family of {_FAMILIES}, sigma > 0"
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
