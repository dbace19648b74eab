"""Numbers as the page writes them. What is undefined is n/a, never 0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from calibrate import wording
from calibrate.statistics.intervals import CONFIDENCE, Rate

UNDEFINED = "n/a"
INTERVAL = f"{wording.percent(CONFIDENCE)} interval"


def number(value: float | None, digits: int = 3) -> str:
    return UNDEFINED if value is None else f"{value:.{digits}f}".replace("-", "−")


def percent(value: float | None) -> str:
    """A share in 0..1; see `calibrate.wording.percent`."""
    return UNDEFINED if value is None else wording.percent(value)


def interval(rate: Rate) -> str:
    """The interval alone."""
    return UNDEFINED if rate.interval is None else " to ".join(percent(v) for v in rate.interval)


def between(ends: tuple[float, float]) -> str:
    """An interval of a number in 0..1."""
    return f"{number(ends[0])} to {number(ends[1])}"


def share(rate: Rate, confidence: float = CONFIDENCE) -> str:
    """As a sentence's end: count, rate and interval, which has `confidence`."""
    return f"{rate.count:,} of {rate.total:,}, {percent(rate.rate)} ({percent(confidence)} interval {interval(rate)})"


def plain(value: Any) -> str:
    """A value of the document on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {plain(v)}" for name, v in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return UNDEFINED if value is None else f"{value:g}" if isinstance(value, float) else str(value)
