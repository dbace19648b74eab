"""When a line asks itself for the next part: every so many seconds, without making up for what was missed."""

from __future__ import annotations


class IntervalTimer:
    """Times are monotonic seconds; it is for whoever holds its owner's lock."""

    def __init__(self) -> None:
        self.next = 0.0

    def begin(self, now: float) -> None:
        """The first part is due at once."""
        self.next = now

    def has_come(self, now: float, interval: float) -> bool:
        """Whether a part is due; then the one after it is `interval` later, or later than now where that is past."""
        if now < self.next:
            return False
        self.next += interval
        if self.next <= now:
            self.next = now + interval
        return True
