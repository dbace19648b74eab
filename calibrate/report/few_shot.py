"""Few-shot curves as panels and as rows: AUROC over the number of normal images, one line a way of judging."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from calibrate.few_shot.document import Curve, Estimate, FewShot, Measure, Method
from calibrate.few_shot.text import took_words
from calibrate.report.curves import Panel
from calibrate.report.svg import Drawing, Plot, ticks
from calibrate.report.wording import number

DRAWN: dict[Method, str] = {"zero-shot": "zero-shot", "memory": "memory", "fused": "fused"}
"""Auto takes one of these, so its curve would lie on theirs; the table has it."""
TABLED: dict[Method, str] = DRAWN | {"chosen": "auto"}
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
    lines: tuple[FewShotRow, ...]


@dataclass(frozen=True)
class FewShotBlock:
    """One class, or the mean over several; `shown` are images and, where there are masks, pixels."""

    curve: Curve
    shown: tuple[FewShotPanel, ...]


def blocks(found: FewShot) -> list[FewShotBlock]:
    """The mean first, then every class."""
    curves = ([] if found.mean is None else [found.mean]) + list(found.curves)
    return [FewShotBlock(curve, tuple(_shown(curve))) for curve in curves]


def _shown(curve: Curve) -> list[FewShotPanel]:
    shown = []
    for measure, title in _TITLES.items():
        lines = tuple(
            FewShotRow(curve.label(step), cells, took_words(step.took))
            for step in curve.steps
            if (cells := step.image if measure == "image" else step.pixel) is not None
        )
        if lines:
            shown.append(FewShotPanel(Panel(title, _draw(curve.name, title, lines)), lines))
    return shown


def _draw(name: str, title: str, lines: Sequence[FewShotRow]) -> Markup:
    drawing = Drawing(360, 310, f"{name}: AUROC of {title.lower()} over normal images; {_ends(lines)}", "curve")
    # From the tenth below all intervals, but never so near that the noise fills the panel.
    lowest = min(line.cells[method].low for line in lines for method in DRAWN)
    floor = min(0.8, math.floor(10 * lowest + 1e-9) / 10)
    # Numbers of images stand at equal steps: they double, and only the last does not.
    plot = Plot(48, 8, 352, 258, (-0.5, len(lines) - 0.5), (floor, 1.0))
    for y in ticks(floor, 1, 5):
        drawing.line(plot.left, plot.py(y), plot.right, plot.py(y), "grid")
        drawing.text(plot.left - 6, plot.py(y) + 4, f"{y:g}", "end", "tick")
    if floor < 0.5:
        drawing.line(plot.left, plot.py(0.5), plot.right, plot.py(0.5), "chance")
    for at, line in enumerate(lines):
        drawing.text(plot.px(at), plot.bottom + 17, line.images, "middle", "tick")
    drawing.line(plot.left, plot.bottom, plot.right, plot.bottom, "base")
    for place, (method, words) in enumerate(DRAWN.items()):
        across = [plot.px(at) + _APART * (place - 1) for at in range(len(lines))]
        points = [(x, plot.py(line.cells[method].mean)) for x, line in zip(across, lines, strict=True)]
        drawing.add("polyline", f"series s{place}", words, points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points))
        for (x, y), line in zip(points, lines, strict=True):
            found = line.cells[method]
            drawing.line(x, plot.py(found.low), x, plot.py(found.high), f"range s{place}")
            tip = f"{words}, {line.images}: {number(found.mean)} ({number(found.low)} to {number(found.high)})"
            drawing.add("circle", f"point s{place}", tip, cx=x, cy=y, r=4.5)
    drawing.text((plot.left + plot.right) / 2, 300, "normal images in the memory", "middle", "axis")
    drawing.text(12, (plot.top + plot.bottom) / 2, "AUROC", "middle", "axis", turn=True)
    return drawing.markup()


def _ends(lines: Sequence[FewShotRow]) -> str:
    """For those who cannot see the curves: where each begins and ends."""
    first, last = lines[0], lines[-1]
    ends = (
        f"{words} from {number(first.cells[method].mean)} to {number(last.cells[method].mean)}"
        for method, words in DRAWN.items()
    )
    return f"with {first.images} to {last.images}: {', '.join(ends)}"
