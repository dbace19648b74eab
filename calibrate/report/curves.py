"""ROC, PR and PRO as panels of one size: one panel with all classes, or one a class where they are many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from calibrate.evaluation.document import ClassCurves, EvaluationDocument, Points
from calibrate.evaluation.evaluated_images import EvaluatedImage
from calibrate.report.svg import Drawing, Plot, axis_titles, grid_line, tick_label, tick_mark, ticks
from fbclip.decision import Verdict

CurveKind = Literal["roc", "pr", "pro"]
OperatingPoints = Mapping[tuple[str, CurveKind], tuple[float, float]]
"""class and kind of curve -> where the profile's threshold lies on it."""
TOGETHER = 6
PRO_LIMIT = 0.3


@dataclass(frozen=True)
class Axes:
    title: str
    x: str
    y: str
    limit: float = 1.0


AXES: dict[CurveKind, Axes] = {
    "roc": Axes("ROC", "false-positive rate (images)", "true-positive rate (images)"),
    "pr": Axes("Precision–recall", "recall (images)", "precision (images)"),
    "pro": Axes("PRO", "false-positive rate (pixels)", "mean overlap of regions", PRO_LIMIT),
}


@dataclass(frozen=True)
class Series:
    """A curve, the number of its colour, and where the profile's threshold lies on it."""

    name: str
    points: Points
    colour: int
    operating: tuple[float, float] | None = None


@dataclass(frozen=True)
class Panel:
    title: str
    chart: Markup


@dataclass(frozen=True)
class CurveGroup:
    """The panels of one kind of curve."""

    title: str
    panels: tuple[Panel, ...]


def curve_groups(curves: Mapping[str, ClassCurves], operating: OperatingPoints) -> list[CurveGroup]:
    """One group a kind of curve; kinds that no class has are left out."""
    groups = []
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
            groups.append(CurveGroup(axes.title, panels))
    return groups


def operating_points(evaluation: EvaluationDocument, images: Iterable[EvaluatedImage]) -> OperatingPoints:
    """Where the threshold lies on the curves of images; a class with no alarm has no precision."""
    if evaluation.profile is None:
        return {}
    counts: dict[str, Counter[tuple[bool, bool]]] = {}
    for image in images:
        if image.z is not None:
            alarm = image.verdict == Verdict.ANOMALY
            counts.setdefault(image.class_name, Counter())[image.anomalous, alarm] += 1
    points: dict[tuple[str, CurveKind], tuple[float, float]] = {}
    for name, c in counts.items():
        tp, fn, fp, tn = c[True, True], c[True, False], c[False, True], c[False, False]
        if tp + fn and fp + tn:
            points[name, "roc"] = fp / (fp + tn), tp / (tp + fn)
        if tp + fn and tp + fp:
            points[name, "pr"] = tp / (tp + fn), tp / (tp + fp)
    return points


def _draw(axes: Axes, series: Sequence[Series]) -> Markup:
    names = ", ".join(s.name for s in series)
    drawing = Drawing(340, 310, f"{axes.title}: {axes.y} against {axes.x}; {names}", "curve")
    plot = Plot(58, 8, 328, 258, (0.0, axes.limit), (0.0, 1.0))
    for y in ticks(0, 1, 4):
        grid_line(drawing, plot, y, f"{y:g}")
    for x in ticks(0, axes.limit, 4):
        tick_mark(drawing, plot, x)
        tick_label(drawing, plot, plot.px(x), f"{x:.3g}")
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
    axis_titles(drawing, plot, axes.x, axes.y)
    return drawing.markup()


def _polyline(plot: Plot, points: Points) -> str:
    """Points that would fall on the same half pixel are drawn once, so a curve of a million points stays small."""
    corners: list[tuple[float, float]] = []
    for (x, y), (before_x, before_y) in zip(points, [points[0], *points[:-1]], strict=True):
        if x is None or y is None:
            continue
        if x > plot.x[1]:
            if before_x is not None and before_y is not None and before_x < plot.x[1]:
                share = (plot.x[1] - before_x) / (x - before_x)
                corners.append(_half_pixel(plot, plot.x[1], before_y + share * (y - before_y)))
            break
        at = _half_pixel(plot, x, y)
        if not corners or at != corners[-1]:
            corners.append(at)
    return " ".join(f"{x:g},{y:g}" for x, y in corners)


def _half_pixel(plot: Plot, x: float, y: float) -> tuple[float, float]:
    return round(plot.px(x) * 2) / 2, round(plot.py(y) * 2) / 2
