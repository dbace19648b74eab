"""Few-shot curves as panels and as rows: AUROC over the number of normal images, one curve a way of judging."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from calibrate.evaluation.document import EvaluatedModel
from calibrate.few_shot.document import Curve, Estimate, FewShot, Measure, Method
from calibrate.few_shot.run import took_text
from calibrate.report.curves import Panel
from calibrate.report.svg import Drawing, Plot, axis_titles, grid_line, tick_label, ticks
from calibrate.report.wording import number

CURVES: dict[Method, str] = {"zero-shot": "zero-shot", "memory": "memory", "fused": "fused"}
"""Auto takes one of these, so its curve would lie on theirs; the table has it."""
COLUMNS: dict[Method, str] = CURVES | {"chosen": "auto"}
_TITLES: dict[Measure, str] = {"image": "Images", "pixel": "Pixels"}
_APART = 6.0
"""Between whiskers of one number of images, in units of the drawing."""


@dataclass(frozen=True)
class FewShotRow:
    """A row: a number of images, what each way reached, and what auto took."""

    images: str
    cells: Mapping[Method, Estimate]
    took: str


@dataclass(frozen=True)
class FewShotPanel:
    """One measure of a curve, drawn and tabled."""

    panel: Panel
    rows: tuple[FewShotRow, ...]


@dataclass(frozen=True)
class FewShotBlock:
    """One class, or the mean over several; panels of images and, where there are masks, of pixels."""

    curve: Curve
    panels: tuple[FewShotPanel, ...]


def blocks(found: FewShot) -> list[FewShotBlock]:
    """The mean first, then every class."""
    curves = ([] if found.mean is None else [found.mean]) + list(found.curves)
    return [FewShotBlock(curve, tuple(_panels(curve))) for curve in curves]


def model_note(found: FewShot, model: EvaluatedModel) -> str | None:
    """A warning where the curves are of another model than the run."""
    differ = [
        f"{name} {curves[:12]}, the run with {ran[:12]}"
        for name, curves, ran in (
            ("backbone", found.backbone, model.backbone or "another"),
            ("adapter", found.adapter, model.adapter or "another"),
        )
        if curves != ran
    ]
    return f"Not of the model of this run: the curves were made with {'; '.join(differ)}." if differ else None


def _panels(curve: Curve) -> list[FewShotPanel]:
    panels = []
    for measure, title in _TITLES.items():
        rows = tuple(
            FewShotRow(curve.label(step), cells, took_text(step.took))
            for step in curve.steps
            if (cells := step.image if measure == "image" else step.pixel) is not None
        )
        if rows:
            panels.append(FewShotPanel(Panel(title, _draw(curve.name, title, rows)), rows))
    return panels


def _draw(name: str, title: str, rows: Sequence[FewShotRow]) -> Markup:
    drawing = Drawing(360, 310, f"{name}: AUROC of {title.lower()} over normal images; {_ends(rows)}", "curve")
    # From the tenth below all intervals, but never so near that the noise fills the panel.
    lowest = min(row.cells[method].low for row in rows for method in CURVES)
    floor = min(0.8, math.floor(10 * lowest + 1e-9) / 10)
    # Numbers of images stand at equal steps: they double, and only the last does not.
    plot = Plot(48, 8, 352, 258, (-0.5, len(rows) - 0.5), (floor, 1.0))
    for y in ticks(floor, 1, 5):
        grid_line(drawing, plot, y, f"{y:g}")
    if floor < 0.5:
        drawing.line(plot.left, plot.py(0.5), plot.right, plot.py(0.5), "chance")
    for at, row in enumerate(rows):
        tick_label(drawing, plot, plot.px(at), row.images)
    drawing.line(plot.left, plot.bottom, plot.right, plot.bottom, "base")
    for colour, (method, label) in enumerate(CURVES.items()):
        across = [plot.px(at) + _APART * (colour - 1) for at in range(len(rows))]
        points = [(x, plot.py(row.cells[method].mean)) for x, row in zip(across, rows, strict=True)]
        drawing.add("polyline", f"series s{colour}", label, points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points))
        for (x, y), row in zip(points, rows, strict=True):
            found = row.cells[method]
            drawing.line(x, plot.py(found.low), x, plot.py(found.high), f"range s{colour}")
            tip = f"{label}, {row.images}: {number(found.mean)} ({number(found.low)} to {number(found.high)})"
            drawing.add("circle", f"point s{colour}", tip, cx=x, cy=y, r=4.5)
    axis_titles(drawing, plot, "normal images in the memory", "AUROC")
    return drawing.markup()


def _ends(rows: Sequence[FewShotRow]) -> str:
    """For those who cannot see the curves: where each begins and ends."""
    first, last = rows[0], rows[-1]
    ends = (
        f"{label} from {number(first.cells[method].mean)} to {number(last.cells[method].mean)}"
        for method, label in CURVES.items()
    )
    return f"with {first.images} to {last.images}: {', '.join(ends)}"
