"""Changes a prior: a copy of the shipped TOML file, fitted and compared with the original.

    python examples/own_model_spec.py [--out own.toml] [--draws 1000]

A TOML file is one complete model. The example copies all of `cod.toml`, changes one prior together
with its reason, and gives the copy a name of its own.
"""

from __future__ import annotations

import argparse
import re
from importlib import resources
from pathlib import Path

import cod_bayes as cb
from cod_bayes.evaluate.simulate import PAPER_BENCHMARKS, simulate


def shipped() -> str:
    """The text of `cod.toml`."""
    return (resources.files("cod_bayes.models") / "cod.toml").read_text(encoding="utf-8")


def with_prior(text: str, parameter: str, **values: object) -> str:
    """The TOML text with new values for some keys of one prior."""
    head, section, rest = re.split(rf"(^\[priors\.{parameter}\]$)", text, flags=re.MULTILINE)
    for key, value in values.items():
        shown = f'"{value}"' if isinstance(value, str) else value
        rest, count = re.subn(rf"(?m)^{key} = .*$", f"{key} = {shown}", rest, count=1)
        assert count == 1, f"expected {key} in [priors.{parameter}]"
    return head + section + rest


def steep() -> str:
    """`cod.toml` with a prior for steeper curves."""
    text = shipped().replace('name = "cod"', 'name = "steep"', 1)
    reason = "generative tasks only: log answer loss falls by 1 a decade"
    return with_prior(text, "mu_beta", mu=0.0, sigma=0.3, why=reason)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("own.toml"))
    parser.add_argument("--draws", type=int, default=1000)
    arguments = parser.parse_args()

    arguments.out.write_text(steep(), encoding="utf-8")

    mbpp = next(b for b in PAPER_BENCHMARKS if b.name == "MBPP")
    world = simulate(2, benchmarks=[mbpp], items_scale=0.1, trials=20)
    for model in ("cod", arguments.out):
        fit = cb.fit(world.table, model, random_seed=1, draws=arguments.draws, progressbar=False)
        row = fit.forecast(3.8e24).summary().iloc[0]
        print(
            f"{fit.spec.name}: {100 * row['q50']:.1f} %, 90 % between {100 * row['q05']:.1f} and "
            f"{100 * row['q95']:.1f} %, {row['verdict']}"
        )
    truth = world.truth.query("role == 'target'").iloc[0]
    print(f"truth: {100 * truth['score']:.1f} %")


if __name__ == "__main__":
    main()
