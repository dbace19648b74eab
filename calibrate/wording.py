"""How every report of `calibrate` writes lists, counts and shares."""

from __future__ import annotations

from collections.abc import Sequence

MAX_LISTED = 5


def listed(things: Sequence[object], separator: str = ", ") -> str:
    """The first MAX_LISTED things, and how many more there are."""
    text = separator.join(str(thing) for thing in things[:MAX_LISTED])
    return text + (f" and {len(things) - MAX_LISTED} more" if len(things) > MAX_LISTED else "")


def plural(count: int, noun: str) -> str:
    """`1 unit`, `1,200 units`; of a regular noun."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def percent(share: float) -> str:
    """A share in 0..1, without rounding one that falls short of 0% or 100% onto it: `0.5%`, `97.3%`, `<0.01%`."""
    hundred = 100 * share
    text = f"{hundred:.{2 if hundred < 1 or 99 < hundred < 100 else 1}f}"
    if share < 1 and float(text) == 100:
        return ">99.99%"
    if share > 0 and float(text) == 0:
        return "<0.01%"
    return f"{text.rstrip('0').rstrip('.')}%"
