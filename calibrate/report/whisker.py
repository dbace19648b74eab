"""A rate and its interval as a small bar from 0 to 100 %."""

from __future__ import annotations

from markupsafe import Markup

from calibrate.report.counts import Share
from calibrate.report.svg import Drawing
from calibrate.report.wording import share

WIDTH, HEIGHT, PAD = 160, 16, 5


def whisker(value: Share) -> Markup:
    """Nothing for 0 of 0."""
    rate, interval = value.rate, value.interval
    if rate is None or interval is None:
        return Markup()
    drawing = Drawing(WIDTH, HEIGHT, share(value), "whisker")
    low, at, high = (PAD + v * (WIDTH - 2 * PAD) for v in (interval[0], rate, interval[1]))
    middle = HEIGHT / 2
    drawing.line(PAD, middle, WIDTH - PAD, middle, "track")
    drawing.line(low, middle, high, middle, "reach")
    drawing.add("circle", "rate", cx=at, cy=middle, r=4)
    return drawing.markup()
