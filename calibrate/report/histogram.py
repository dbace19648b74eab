"""Scores of normal and anomalous images over one axis: normal upwards, anomalous downwards, common bins.

Bins are closed on the right and one edge lies at the threshold, so what stands to its right is what alarms. Far
outliers are gathered in a bin of their own at the end, instead of squeezing everything else together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from calibrate.evaluation.document import EvaluatedProfile
from calibrate.evaluation.evaluated_images import EvaluatedImage
from calibrate.report.svg import Drawing, Plot, grid_line, round_step, tick_label, tick_mark, ticks
from calibrate.statistics.bootstrap import Floats

BINS = 48
# Beyond the quartiles by this many times their distance a value is far out (Tukey's outer fence), and where it lies
# a further share of the drawn span away it is gathered with the others of its kind.
FENCE, REACH = 3.0, 0.2


@dataclass(frozen=True)
class Marks:
    """Lines to draw; `threshold` None where nothing was judged."""

    threshold: float | None = None
    uncertain_above: float | None = None

    @property
    def values(self) -> list[float]:
        return [v for v in (self.uncertain_above, self.threshold) if v is not None]


@dataclass(frozen=True)
class Bins:
    """Counts between `edges` (n+1); `below` and `above` are (normal, anomalous) beyond them."""

    edges: Floats
    normal: NDArray[np.int64]
    anomalous: NDArray[np.int64]
    below: tuple[int, int]
    above: tuple[int, int]
    lowest: float
    highest: float


@dataclass(frozen=True)
class ScoreHistogram:
    """The histogram for wide and for narrow screens; `gathered` where it has bins for far outliers."""

    charts: tuple[Markup, ...]
    gathered: bool


def score_histogram(images: Iterable[EvaluatedImage], profile: EvaluatedProfile | None) -> ScoreHistogram | None:
    """Of z where a profile gave one, else of the margin; None without any.

    Drawn twice, for wide and for narrow screens, so that its lettering has one size on both.
    """
    values: dict[bool, list[float]] = {False: [], True: []}
    for image in images:
        value = image.margin if profile is None else image.z
        if value is not None:
            values[image.anomalous].append(value)
    normal, anomalous = (np.array(values[label], np.float64) for label in (False, True))
    if not len(normal) + len(anomalous):
        return None
    marks = Marks() if profile is None else Marks(profile.threshold, profile.uncertain_above)
    quantity = "margin (logit difference)" if profile is None else "z (the profile's statistic)"
    bins = make_bins(normal, anomalous, marks)
    charts = (_draw(bins, marks, quantity, 1120, 380, "wide"), _draw(bins, marks, quantity, 350, 360, "narrow"))
    return ScoreHistogram(charts, sum(bins.below) + sum(bins.above) > 0)


def make_bins(normal: Floats, anomalous: Floats, marks: Marks) -> Bins:
    """Values of both groups, at least one in all -> common bins of a round width."""
    groups = [g for g in (normal, anomalous) if len(g)]
    everything = np.concatenate(groups)
    bulk = [v for g in groups for v in _bulk(g)] + marks.values
    lowest, highest = float(everything.min()), float(everything.max())
    low, high = min(bulk), max(bulk)
    span = high - low
    low = lowest if lowest >= low - REACH * span else low
    high = highest if highest <= high + REACH * span else high
    # Equal values still need bins of some width.
    span = max(high - low, 1e-6 * max(abs(low), abs(high))) or 1.0
    step = round_step(span, BINS)
    origin = marks.threshold if marks.threshold is not None else 0.0
    first = math.floor((low - origin) / step - 1e-9)
    last = max(math.ceil((high - origin) / step + 1e-9), first + 1)
    edges: Floats = origin + step * np.arange(first, last + 1, dtype=np.float64)
    counts = [_right_closed(g, edges) for g in (normal, anomalous)]
    return Bins(
        edges,
        counts[0],
        counts[1],
        (int(np.sum(normal <= edges[0])), int(np.sum(anomalous <= edges[0]))),
        (int(np.sum(normal > edges[-1])), int(np.sum(anomalous > edges[-1]))),
        lowest,
        highest,
    )


def _bulk(values: Floats) -> tuple[float, float]:
    """Where the values lie, but for far outliers."""
    first, third = np.quantile(values, (0.25, 0.75))
    reach = FENCE * (third - first)
    return float(max(values.min(), first - reach)), float(min(values.max(), third + reach))


def _right_closed(values: Floats, edges: Floats) -> NDArray[np.int64]:
    """Counts in (edge, next edge]; a value at the threshold is not above it."""
    where = np.searchsorted(edges, values, side="left") - 1
    inside = (where >= 0) & (where < len(edges) - 1)
    return np.bincount(where[inside], minlength=len(edges) - 1)


def _draw(bins: Bins, marks: Marks, quantity: str, width: int, height: int, css: str) -> Markup:
    """`quantity` names the horizontal axis."""
    normal = int(bins.normal.sum()) + bins.below[0] + bins.above[0]
    anomalous = int(bins.anomalous.sum()) + bins.below[1] + bins.above[1]
    label = f"Histogram of {quantity}: {normal} normal images upwards, {anomalous} anomalous images downwards"
    if marks.threshold is not None:
        label += f"; threshold at {marks.threshold:.3f}"
    drawing = Drawing(width, height, label, css)
    step = float(bins.edges[1] - bins.edges[0])
    # An outliers' bin stands one bin's width apart from the rest.
    pad_left = 3 * step if sum(bins.below) else 0.0
    pad_right = 3 * step if sum(bins.above) else 0.0
    x = (float(bins.edges[0]) - pad_left, float(bins.edges[-1]) + pad_right)
    up, down = (
        1.06 * max(0.6, math.sqrt(max(int(inside.max()), below, above)))
        for inside, below, above in zip((bins.normal, bins.anomalous), bins.below, bins.above, strict=True)
    )
    top = 46 if marks.values else 12
    plot = Plot(52, top, width - 12, height - 46, x, (-down, up))
    _zones(drawing, plot, marks)
    _count_axis(drawing, plot, (normal, anomalous))
    _bars(drawing, plot, bins, step)
    _value_axis(drawing, plot, bins, quantity, width)
    _marks(drawing, plot, marks)
    return drawing.markup()


def _zones(drawing: Drawing, plot: Plot, marks: Marks) -> None:
    if marks.threshold is None:
        return
    edge = plot.px(marks.threshold)
    drawing.add("rect", "zone anomaly", x=edge, y=plot.top, width=plot.right - edge, height=plot.bottom - plot.top)
    if marks.uncertain_above is not None and marks.uncertain_above < marks.threshold:
        start = plot.px(marks.uncertain_above)
        drawing.add("rect", "zone uncertain", x=start, y=plot.top, width=edge - start, height=plot.bottom - plot.top)


def _count_axis(drawing: Drawing, plot: Plot, totals: tuple[int, int]) -> None:
    for sign, total in ((1, totals[0]), (-1, totals[1])):
        last = plot.py(0)
        for count in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000):
            value = sign * math.sqrt(count)
            if not plot.y[0] <= value <= plot.y[1] or not total:
                break
            at = plot.py(value)
            if abs(at - last) >= 17:
                grid_line(drawing, plot, value, f"{count:,}")
                last = at
    drawing.text(plot.left - 6, plot.py(0) + 4, "0", "end", "tick")
    drawing.text(13, (plot.top + plot.bottom) / 2, "images (square-root scale)", "middle", "axis", turn=True)


def _bars(drawing: Drawing, plot: Plot, bins: Bins, step: float) -> None:
    slots = [
        (a, b, int(g), int(d), f"{a:.3g} to {b:.3g}", "")
        for a, b, g, d in zip(bins.edges[:-1], bins.edges[1:], bins.normal, bins.anomalous, strict=True)
    ]
    first, last = float(bins.edges[0]), float(bins.edges[-1])
    slots.append((first - 3 * step, first - step, *bins.below, f"up to {first:.3g}, lowest {bins.lowest:.3g}", " over"))
    slots.append((last + step, last + 3 * step, *bins.above, f"above {last:.3g}, highest {bins.highest:.3g}", " over"))
    zero = plot.py(0)
    for low, high, normal, anomalous, where, extra in slots:
        left, right = plot.px(low), plot.px(high)
        box: dict[str, Any] = {"x": left + 0.5, "width": max(right - left - 1, 0.5)}
        if normal:
            top = min(plot.py(math.sqrt(normal)), zero - 2)
            drawing.add("rect", f"bar normal{extra}", f"{where}: {normal} normal", y=top, height=zero - top, **box)
        if anomalous:
            bottom = max(plot.py(-math.sqrt(anomalous)), zero + 2)
            drawing.add(
                "rect", f"bar anomalous{extra}", f"{where}: {anomalous} anomalous", y=zero, height=bottom - zero, **box
            )
    drawing.line(plot.left, zero, plot.right, zero, "base")


def _value_axis(drawing: Drawing, plot: Plot, bins: Bins, quantity: str, width: int) -> None:
    first, last = float(bins.edges[0]), float(bins.edges[-1])
    step = float(bins.edges[1] - bins.edges[0])
    outer = []
    if sum(bins.below):
        outer.append((plot.px(first - 2 * step), f"≤ {first:.3g}"))
    if sum(bins.above):
        outer.append((plot.px(last + 2 * step), f"> {last:.3g}"))
    for at, text in outer:
        tick_label(drawing, plot, at, text.replace("-", "−"))
    for value in ticks(first, last, max(4, width // 90)):
        at = plot.px(value)
        tick_mark(drawing, plot, value)
        if all(abs(at - other) > 40 for other, _ in outer):
            tick_label(drawing, plot, at, f"{value:.6g}".replace("-", "−"))
    drawing.text((plot.left + plot.right) / 2, plot.bottom + 38, quantity, "middle", "axis")


def _marks(drawing: Drawing, plot: Plot, marks: Marks) -> None:
    """Each line's label stands in a row of its own, so that two lines close together stay readable."""
    rows = ((marks.threshold, "alarm", "mark threshold", 15), (marks.uncertain_above, "uncertain", "mark", 34))
    for value, word, css, row in rows:
        if value is None:
            continue
        at = plot.px(value)
        drawing.line(at, row - 11, at, plot.bottom, css)
        text = f"{word} above {value:.3f}"
        length = 8 * len(text) + 6
        # The lower line's label goes left and the threshold's right, away from each other, where there is room.
        left = at > length if word == "uncertain" else at + length > drawing.width
        right = max(at, plot.px(marks.threshold)) if marks.threshold is not None else at
        drawing.text(at - 6 if left else right + 6, row, text, "end" if left else "start", "mark-label")
