"""Words that every report of `calibrate` shares."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = 5


def listed(things: Sequence[object], separator: str = ", ") -> str:
    """The first SHOWN things, and how many more there are."""
    text = separator.join(str(thing) for thing in things[:SHOWN])
    return text + (f" and {len(things) - SHOWN} more" if len(things) > SHOWN else "")
