"""What a registration says beside its numbers: assumptions, the ladder, and a page in Markdown."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np

from cod_bayes.forecast.posterior import Fit

_LIBRARIES = ("numpy", "xarray", "pymc", "nutpie")
SHOWN = (0.05, 0.25, 0.5, 0.75, 0.95)  # quantiles of a forecast that people read


def versions(fit: Fit) -> dict[str, str]:
    """Of the code that fitted and of the code that registers."""
    return {
        "cod_bayes of the fit": str(fit.idata.attrs["version"]),
        "cod_bayes": metadata.version("cod-bayes"),
        **{name: metadata.version(name) for name in _LIBRARIES},
        "python": platform.python_version(),
    }


def ladder(fit: Fit) -> list[dict[str, Any]]:
    """The ladder's models: name, compute in FLOPs, and the benchmarks that have measured each."""
    constant = fit.idata["constant_data"].to_dataset()
    score = constant["score"].transpose("benchmark", "model").values
    names = np.array(fit.benchmarks)
    return [
        {
            "model": str(model),
            "compute": float(compute),
            "benchmarks": names[np.isfinite(score[:, m])].tolist(),
        }
        for m, (model, compute) in enumerate(
            zip(constant["model"].values, constant["compute"].values, strict=True)
        )
    ]


def assumptions(fit: Fit, computes: Sequence[float]) -> list[str]:
    """What the forecast takes for granted, a sentence each."""
    constant = fit.idata["constant_data"].to_dataset()
    largest = float(constant["compute"].max())
    far = np.log10(np.array(computes) / largest)
    said = [
        "The target is one more model of the ladder's recipe: the same data, architecture, "
        "tokens per parameter and post-training, at another compute.",
        f"The curves of the model {fit.idata.attrs['model']!r} hold beyond the ladder, "
        + " and ".join(f"{x:+.2f}" for x in far)
        + f" decades from its largest model ({largest:.3g} FLOPs).",
        "The target is evaluated as the ladder was: the same items, prompts, metric and number of "
        "trials. No item has leaked into its training data more than into the ladder's.",
        "Compute is comparable: it is counted in the same way for all models.",
    ]
    posterior = fit.idata["posterior"].to_dataset()
    model, own = (float(np.median(posterior[name])) for name in ("sigma_model", "sigma_delta"))
    said.append(
        f"The target is lucky or unlucky as the ladder's models were: by {model:.2f} decades of "
        f"compute on all benchmarks and {own:.2f} on each (standard deviations, medians)."
    )
    if fit.failed_checks:
        said.append(f"Failed checks do not matter: {', '.join(fit.failed_checks)}.")
    return said


def markdown(record: Mapping[str, Any], levels: np.ndarray) -> str:
    """The registration as a page to publish."""
    lines = [
        f"# Forecast registered on {record['created']}",
        "",
        f"sha256 of the record: `{record['sha256']}`",
        "",
        "| benchmark | FLOPs | 5 % | 25 % | median | 75 % | 95 % |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in record["forecasts"]:
        found = np.interp(SHOWN, levels, row["quantiles"])
        cells = [_plain(row["benchmark"]), f"{row['compute']:.4g}"]
        lines.append(f"| {' | '.join([*cells, *(f'{100 * q:.1f}' for q in found)])} |")
    lines += ["", "Scores in percent, as they will be measured."]
    for name, of in record["indexes"].items():
        shares = ", ".join(f"{_plain(b)} {share:.3g}" for b, share in of.items())
        lines += ["", f"{_plain(name)} is the mean of {shares}."]
    lines += ["", "## Assumptions", ""]
    own = [f"- {_plain(text)}" for text in record["assumptions"]["given"]]
    lines += own + [f"- {_plain(text)}" for text in record["assumptions"]["of_the_model"]]
    lines += ["", "## Ladder", "", "| model | FLOPs | benchmarks |", "|---|---|---|"]
    for model in record["ladder"]:
        cells = [_plain(model["model"]), f"{model['compute']:.4g}", str(len(model["benchmarks"]))]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "## Origin", "", "| | |", "|---|---|", f"| model | {_plain(record['model'])} |"]
    for key in ("spec_sha256", "evidence_digest", "posterior_sha256", "random_seed"):
        lines.append(f"| {key} | `{record[key]}` |")
    lines += [f"| {name} | {version} |" for name, version in record["versions"].items()]
    failed = ", ".join(record["failed_checks"]) or "none"
    lines += [f"| failed checks | {_plain(failed)} |", ""]
    lines += ["The JSON file beside this page is the record. `cod-bayes settle` scores it."]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, in a cell and on one line."""
    escaped = "".join(f"\\{c}" if c in "\\`*_{}[]<>#|!" else c for c in str(text))
    return " ".join(escaped.split())
