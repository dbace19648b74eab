"""Whether the images of a camera come as they usually do: one that comes after a pause may be from before it."""

from __future__ import annotations

# A stream that stalls may at its end, seconds later, give what it still had from before.
PAUSE_S = 1.0
SETTLE_S = 0.5


class ImageFlow:
    """Of one stream; owned by whoever takes its images."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._usual_gap = 0.0
        self._settled_at = 0.0

    def is_steady(self, now: float) -> bool:
        """Of the image that comes at `now` (monotonic s): whether it is what it says, new. To be asked of each."""
        gap = 0.0 if self._last is None else now - self._last
        if gap > max(PAUSE_S, 3 * self._usual_gap):
            self._settled_at = now + SETTLE_S
        self._last, self._usual_gap = now, gap
        return now >= self._settled_at
