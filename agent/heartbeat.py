"""Signs of life of threads: each turn is marked, and whoever looks sees how long ago the last one was."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

# A wait on purpose is cut into such slices, so that a long pause is not taken for a hang.
SLICE_S = 1.0


class Heartbeat:
    """Of one thread. After `slow_s` without a sign it is named, after `dead_s` it is given up."""

    def __init__(
        self, name: str, slow_s: float, dead_s: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self.slow_s = slow_s
        self.dead_s = dead_s
        self._monotonic = monotonic
        self._last = monotonic()

    def beat(self) -> None:
        """Called by the thread itself, at each turn."""
        self._last = self._monotonic()

    def age(self) -> float:
        """Seconds since the last sign of life."""
        return self._monotonic() - self._last

    @property
    def dead(self) -> bool:
        return self.age() > self.dead_s

    def problem(self) -> str | None:
        """One line; None while the thread makes progress."""
        age = self.age()
        return f"{self.name} hangs: no progress for {age:.0f} s" if age > self.slow_s else None


class WatchedStop(threading.Event):
    """A stop signal whose being looked at is a sign of life: a thread that asks it is not stuck."""

    def __init__(self, heartbeat: Heartbeat) -> None:
        super().__init__()
        self._heartbeat = heartbeat

    def is_set(self) -> bool:
        self._heartbeat.beat()
        return super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            self._heartbeat.beat()
            left = SLICE_S if end is None else min(SLICE_S, end - time.monotonic())
            # A wait of no time still tells whether the signal is set.
            if super().wait(max(left, 0.0)):
                self._heartbeat.beat()
                return True
            if end is not None and time.monotonic() >= end:
                self._heartbeat.beat()
                return False


class RestartBudget:
    """At most `most` restarts in any `window_s` seconds; more would hide that something is broken for good."""

    def __init__(self, most: int = 3, window_s: float = 600.0) -> None:
        self._most = most
        self._window_s = window_s
        self._spent: list[float] = []

    def spend(self, now: float) -> bool:
        """True if one more restart at `now` (monotonic s) is allowed; it is counted then."""
        self._spent = [at for at in self._spent if now - at < self._window_s]
        if len(self._spent) >= self._most:
            return False
        self._spent.append(now)
        return True
