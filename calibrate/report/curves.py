"""ROC, PR and PRO as panels of one size: one panel with all classes, or one a class where they are many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from calibrate.report.reading import Curves, Points
from calibrate.report.svg import Drawing, Plot, ticks

Kind = Literal["roc", "pr", "pro"]
TOGETHER = 6
PRO_LIMIT = 0.3


@dataclass(frozen=True)
class Axes:
    title: str
    x: str
    y: str
    limit: float = 1.0


AXES: dict[Kind, Axes] = {
    "roc": Axes("ROC", "false-positive rate (images)", "true-positive rate (images)"),
    "pr": Axes("Precision–recall", "recall (images)", "precision (images)"),
    "pro": Axes("PRO", "false-positive rate (pixels)", "mean overlap of regions", PRO_LIMIT),
}


@dataclass(frozen=True)
class Series:
    """A curve, the place of its colour, and where the profile's threshold lies on it."""

    name: str
    points: Points
    colour: int
    operating: tuple[float, float] | None = None


@dataclass(frozen=True)
class Panel:
    title: str
    chart: Markup


@dataclass(frozen=True)
class Group:
    """The panels of one kind of curve."""

    title: str
    panels: tuple[Panel, ...]


def groups(curves: Mapping[str, Curves], operating: Mapping[tuple[str, Kind], tuple[float, float]]) -> list[Group]:
    """One group a kind of curve; kinds that no class has are left out."""
    found = []
    for kind, axes in AXES.items():
        points: dict[str, Points] = {name: getattr(c, kind) for name, c in curves.items()}
        series = [
            Series(name, p, 0 if len(curves) > TOGETHER else i, operating.get((name, kind)))
            for i, (name, p) in enumerate(points.items())
            if p
        ]
        if len(curves) > TOGETHER:
            panels = tuple(Panel(s.name, _draw(axes, [s])) for s in series)
        else:
            panels = (Panel(axes.title, _draw(axes, series)),) if series else ()
        if panels:
            found.append(Group(axes.title, panels))
    return found


def _draw(axes: Axes, series: Sequence[Series]) -> Markup:
    names = ", ".join(s.name for s in series)
    drawing = Drawing(340, 310, f"{axes.title}: {axes.y} against {axes.x}; {names}", "curve")
    plot = Plot(58, 8, 328, 258, (0.0, axes.limit), (0.0, 1.0))
    for y in ticks(0, 1, 4):
        drawing.line(plot.left, plot.py(y), plot.right, plot.py(y), "grid")
        drawing.text(plot.left - 6, plot.py(y) + 4, f"{y:g}", "end", "tick")
    for x in ticks(0, axes.limit, 4):
        drawing.line(plot.px(x), plot.bottom, plot.px(x), plot.bottom + 4, "base")
        drawing.text(plot.px(x), plot.bottom + 17, f"{x:.3g}", "middle", "tick")
    drawing.line(plot.left, plot.bottom, plot.right, plot.bottom, "base")
    if axes.title == "ROC":
        drawing.line(plot.px(0), plot.py(0), plot.px(1), plot.py(1), "chance")
    for s in series:
        drawing.add("polyline", f"series s{s.colour}", s.name, points=_polyline(plot, s.points))
    for s in series:
        if s.operating is not None:
            x, y = s.operating
            tip = f"{s.name}: {axes.x} {x:.3f}, {axes.y} {y:.3f} at the profile's threshold"
            drawing.add("circle", f"point s{s.colour}", tip, cx=plot.px(x), cy=plot.py(y), r=5)
    drawing.text((plot.left + plot.right) / 2, 300, axes.x, "middle", "axis")
    drawing.text(12, (plot.top + plot.bottom) / 2, axes.y, "middle", "axis", turn=True)
    return drawing.markup()


def _polyline(plot: Plot, points: Points) -> str:
    """Points that would fall on the same half pixel are drawn once, so a curve of a million points stays small."""
    drawn: list[tuple[float, float]] = []
    for (x, y), (before_x, before_y) in zip(points, [points[0], *points[:-1]], strict=True):
        if x is None or y is None:
            continue
        if x > plot.x[1]:
            if before_x is not None and before_y is not None and before_x < plot.x[1]:
                share = (plot.x[1] - before_x) / (x - before_x)
                drawn.append(_place(plot, plot.x[1], before_y + share * (y - before_y)))
            break
        at = _place(plot, x, y)
        if not drawn or at != drawn[-1]:
            drawn.append(at)
    return " ".join(f"{x:g},{y:g}" for x, y in drawn)


def _place(plot: Plot, x: float, y: float) -> tuple[float, float]:
    return round(plot.px(x) * 2) / 2, round(plot.py(y) * 2) / 2
