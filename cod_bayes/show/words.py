"""Numbers as text, for the report and for hover text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def flops(compute: float) -> str:
    """3.8 × 10²⁴"""
    head, power = f"{compute:.2e}".split("e")
    raised = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{float(head):g} × 10{raised}"


def percent(rate: float) -> str:
    """50.0 %, of a rate of 0.5"""
    return f"{100 * rate:.1f} %"


def interval(low: float, high: float) -> str:
    """10.0 – 20.0 %"""
    return f"{100 * low:.1f} – {100 * high:.1f} %"


def spread(q: Sequence[float] | np.ndarray) -> str:
    """Median and 90 % interval of quantiles 5, 50, 95 %, two digits each."""
    low, middle, high = (f"{value:.2g}".replace("-", "−") for value in q)
    return f"{middle} ({low} to {high})"


def chance(p: float) -> str:
    """A probability in percent. The draws are too few to tell it from 0 or 1."""
    if p < 0.01:
        return "< 1"
    return "> 99" if p > 0.99 else f"{100 * p:.0f}"


def quantiles(q: Sequence[float] | np.ndarray) -> str:
    """Median, 50 % and 90 % interval of quantiles 5, 25, 50, 75, 95 %, a line each."""
    return f"median {percent(q[2])}\n50 %: {interval(q[1], q[3])}\n90 %: {interval(q[0], q[4])}"
