"""Figures as SVG with hover text, for a page that allows no inline style and no links.

A figure marks what can be pointed at with `hover` or `hover_columns`; the text travels as the
artist's `gid`, which other formats ignore. `svg` draws the figure with matplotlib and

- turns every marked shape's text into its <title>;
- writes style="..." as attributes, replaces <use> by the shape that it names, and drops clip paths,
  metadata and ids, so that several figures fit into one page with a strict security policy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from io import StringIO
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote
from xml.etree import ElementTree

import numpy as np
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARK = "hover:"
_SHAPES = ("path", "use")
_WIDE = "12"  # points: how near to a line the pointer must be
_DROPPED = {"id", "style", "clip-path", "version", "width", "height"}
_FONT = {"font", "font-family", "font-style", "font-variant", "font-stretch"}  # from the page


def hover(artist: Artist, texts: Sequence[str] | str) -> None:
    """Mark an artist: one text for a line or patch, or one for each point drawn by a line of
    markers (points that are NaN are not drawn and need no text)."""
    several = [texts] if isinstance(texts, str) else texts
    artist.set_gid(_MARK + "/".join(quote(text, safe="") for text in several))


def hover_columns(axis: Axes, x: np.ndarray, texts: Sequence[str]) -> None:
    """Mark invisible columns over the whole height of an axis, one around each x."""
    ends = [np.array([[at, 0.0], [at, 1.0]]) for at in x]
    width = 72 * 3.6 / len(x)
    columns = LineCollection(ends, linewidths=width, alpha=0.0, capstyle="butt", zorder=5)
    columns.set_transform(axis.get_xaxis_transform())
    hover(columns, texts)
    axis.add_artist(columns)


def svg(figure: Figure, label: str) -> str:
    """The figure as one <svg> element.

    label: what a screen reader says.
    """
    for patch in figure.findobj(Patch):
        patch.set_hatch("")  # a hatch is a pattern, which is drawn by a link
    buffer = StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "", "path.simplify": True}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = re.sub(r"<!DOCTYPE[^>]*>", "", buffer.getvalue())
    root = ElementTree.fromstring(text)
    for element in root.iter():
        element.tag = element.tag.split("}")[-1]
        element.attrib = {key.split("}")[-1]: value for key, value in element.attrib.items()}
    shapes = {e.get("id"): e for e in root.iter("path") if e.get("id")}
    _write_out_links(root, shapes)
    _remove(root, ("defs", "metadata"))
    _write_titles(root)
    for element in root.iter():
        _style_to_attributes(element)
        if element.tail is not None and not element.tail.strip():
            element.tail = None
        if element.text is not None and not element.text.strip():
            element.text = None
    root.attrib |= {"class": "chart", "role": "img", "aria-label": label}
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)


def _write_out_links(
    root: ElementTree.Element, shapes: dict[str | None, ElementTree.Element]
) -> None:
    """Each <use> becomes the shape that it names, moved to its place."""
    for use in list(root.iter("use")):
        shape = shapes[use.attrib.pop("href").removeprefix("#")]
        x, y = (round(float(use.attrib.pop(key, "0")), 1) for key in ("x", "y"))
        style = f"{shape.get('style', '')};{use.get('style', '')}"
        use.tag = "path"
        use.attrib = {"d": shape.get("d", ""), "transform": f"translate({x:g} {y:g})"}
        use.attrib["style"] = style


def _remove(root: ElementTree.Element, tags: Sequence[str]) -> None:
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag in tags]:
            parent.remove(child)


def _write_titles(root: ElementTree.Element) -> None:
    for group in list(root.iter()):
        mark = group.get("id", "")
        if not mark.startswith(_MARK):
            continue
        texts = [unquote(text) for text in mark.removeprefix(_MARK).split("/")]
        drawn = [e for e in group.iter() if e.tag in _SHAPES]
        if len(drawn) != len(texts):  # matplotlib leaves out shapes beyond the figure's edge
            continue
        for shape, text in zip(drawn, texts, strict=True):
            if "fill: none" in shape.get("style", "") and "opacity: 0" not in shape.get(
                "style", ""
            ):
                wide = deepcopy(shape)
                wide.set("style", f"fill: none; stroke: #000; stroke-width: {_WIDE}; opacity: 0")
                group.append(wide)
                shape = wide
            ElementTree.SubElement(shape, "title").text = text


def _style_to_attributes(element: ElementTree.Element) -> None:
    """The policy of the page forbids style="...", and allows the same as attributes."""
    rules = dict(
        rule.split(":", 1) for rule in element.attrib.pop("style", "").split(";") if ":" in rule
    )
    style = {key.strip(): value.strip() for key, value in rules.items()}
    if (font := style.get("font")) and (size := re.match(r"[^']*?([\d.]+px)", font)):
        style["font-size"] = size[1]
    kept = {key: value for key, value in style.items() if key not in _FONT}
    element.attrib = {k: v for k, v in element.attrib.items() if k not in _DROPPED} | {
        k: v for k, v in kept.items() if k not in _DROPPED and "url(" not in v
    }
    if "d" in element.attrib:
        element.set("d", _rounded(element.attrib["d"]))


def _rounded(path: str) -> str:
    """Coordinates to a tenth of a point, in one line."""
    return re.sub(r"-?\d+\.\d+", lambda n: f"{float(n[0]):.1f}", " ".join(path.split()))
