"""The least of SVG that the charts need: elements with escaped text, a plot area, its axes, and round ticks.

Colours, fonts and dashes are the style sheet's; elements only name their class, so one chart suits both themes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from markupsafe import Markup


class Drawing:
    """An <svg> that scales with its place; `label` is what a screen reader says of it."""

    def __init__(self, width: int, height: int, label: str, css: str) -> None:
        self.width, self.height = width, height
        box = f"0 0 {width} {height}"
        self._root = ET.Element("svg", {"viewBox": box, "role": "img", "aria-label": label, "class": css})

    def add(self, tag: str, css: str = "", tip: str = "", **attributes: str | float) -> None:
        """One element; `tip` shows when the mouse rests on it."""
        named = {name.replace("_", "-"): _plain(value) for name, value in attributes.items()}
        element = ET.SubElement(self._root, tag, named | ({"class": css} if css else {}))
        if tip:
            ET.SubElement(element, "title").text = tip

    def text(self, x: float, y: float, text: str, anchor: str = "start", css: str = "", turn: bool = False) -> None:
        """`turn` writes upwards, for the label of a vertical axis."""
        named = {"x": _plain(x), "y": _plain(y), "text-anchor": anchor}
        if turn:
            named["transform"] = f"rotate(-90 {_plain(x)} {_plain(y)})"
        element = ET.SubElement(self._root, "text", named | ({"class": css} if css else {}))
        element.text = text

    def line(self, x1: float, y1: float, x2: float, y2: float, css: str) -> None:
        self.add("line", css, x1=x1, y1=y1, x2=x2, y2=y2)

    def markup(self) -> Markup:
        # ElementTree has escaped every text and attribute.
        return Markup(ET.tostring(self._root, encoding="unicode"))  # noqa: S704


@dataclass(frozen=True)
class Plot:
    """Where the data lies on a drawing: linear in x and y, y upwards."""

    left: float
    top: float
    right: float
    bottom: float
    x: tuple[float, float]
    y: tuple[float, float]

    def px(self, value: float) -> float:
        return self.left + (value - self.x[0]) / (self.x[1] - self.x[0]) * (self.right - self.left)

    def py(self, value: float) -> float:
        return self.bottom - (value - self.y[0]) / (self.y[1] - self.y[0]) * (self.bottom - self.top)


def grid_line(drawing: Drawing, plot: Plot, y: float, text: str) -> None:
    """Across the plot at the value `y`, with its label at the left axis."""
    at = plot.py(y)
    drawing.line(plot.left, at, plot.right, at, "grid")
    drawing.text(plot.left - 6, at + 4, text, "end", "tick")


def tick_mark(drawing: Drawing, plot: Plot, x: float) -> None:
    """Below the plot at the value `x`."""
    drawing.line(plot.px(x), plot.bottom, plot.px(x), plot.bottom + 4, "base")


def tick_label(drawing: Drawing, plot: Plot, at: float, text: str) -> None:
    """Below the plot, at the drawing's `at`."""
    drawing.text(at, plot.bottom + 17, text, "middle", "tick")


def axis_titles(drawing: Drawing, plot: Plot, x: str, y: str) -> None:
    """Below the plot, and upwards along its left side."""
    drawing.text((plot.left + plot.right) / 2, plot.bottom + 42, x, "middle", "axis")
    drawing.text(12, (plot.top + plot.bottom) / 2, y, "middle", "axis", turn=True)


def round_step(span: float, most: int) -> float:
    """The smallest of 1, 2, 2.5, 5 x 10^k that cuts `span` > 0 into at most `most` parts."""
    raw = span / most
    power = 10.0 ** math.floor(math.log10(raw))
    return next(power * f for f in (1, 2, 2.5, 5, 10) if power * f >= raw * (1 - 1e-9))


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers in low..high."""
    step = round_step(high - low, most)
    return [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _plain(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
