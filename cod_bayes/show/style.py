"""What all figures share: colours, bands of quantiles, panels, and the warning of failed checks.

Colours are those of Okabe and Ito for categories and viridis for difficulty. Both can be told apart
by colour-blind readers and on a grey printer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, BLACK, GREY = "#0072B2", "#D55E00", "#000000", "#999999"
CATEGORIES = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", BLACK)
# Without viridis's lightest part, which is not visible on white.
DIFFICULTY = ListedColormap(colormaps["viridis"](np.linspace(0, 0.85, 16)))
BANDS = (0.05, 0.25, 0.5, 0.75, 0.95)
_MOST_COLUMNS = 4


def panels(count: int, height: float = 3.3) -> tuple[Figure, np.ndarray]:
    """A figure of at most four columns, and its axes in reading order. Axes beyond `count` are off.

    height: of one panel, inches.
    """
    columns = min(count, _MOST_COLUMNS)
    rows = -(-count // columns)
    figure = Figure(figsize=(4.2 * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[count:]:
        axis.axis("off")
    return figure, axes


def draw_bands(axis: Axes, x: np.ndarray, q: np.ndarray) -> None:
    """Quantiles `BANDS` (quantile, point) as a 90 % band, a 50 % band and the median."""
    axis.fill_between(x, q[0], q[4], color=BLUE, alpha=0.18, lw=0, label="90 %")
    axis.fill_between(x, q[1], q[3], color=BLUE, alpha=0.35, lw=0, label="50 %")
    axis.plot(x, q[2], color=BLUE, label="median")


def finish(
    figure: Figure, axes: np.ndarray, names: Sequence[str], failed_checks: Sequence[str]
) -> None:
    """Titles, one legend, and the warning of failed checks."""
    for axis, name in zip(axes, names, strict=False):
        axis.set_title(literal(name[:40]))
    if axes[0].get_legend_handles_labels()[0]:
        axes[0].legend(fontsize="small", loc="upper left")
    say_failed(figure, failed_checks)


def say_failed(figure: Figure, failed_checks: Sequence[str]) -> None:
    """The failed convergence checks, at the foot of the figure."""
    if failed_checks:
        words = f"unconverged, not to be used: {', '.join(failed_checks)}"
        figure.supxlabel(literal(words), color=ORANGE, weight="bold", fontsize="small")


def literal(text: str) -> str:
    """The text as it is: matplotlib would read what stands between dollar signs as mathematics."""
    return text.replace("$", r"\$")
