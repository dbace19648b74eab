"""A clock that only moves when someone waits, and other stand-ins for sources."""

import threading
from datetime import UTC, datetime, timedelta

import numpy as np


class FakeClock:
    """`wait` moves the time and returns at once; at `end` it sets `stop`, which ends a loop under test."""

    def __init__(self, stop: threading.Event | None = None, end: float = float("inf")) -> None:
        self.time = 100.0
        self.waits: list[float] = []
        self._stop, self._end = stop, 100.0 + end

    def monotonic(self) -> float:
        return self.time

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.time)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.waits.append(seconds)
        if not event.is_set():
            self.time += seconds
        if self._stop is not None and self.time >= self._end:
            self._stop.set()
        return event.is_set()


class FakeCapture:
    """Gives `frames` images, each after `step` seconds, then fails like a cut cable."""

    def __init__(self, frames: int, clock: FakeClock, step: float = 0.1, opened: bool = True) -> None:
        self._left, self._clock, self._step, self._opened = frames, clock, step, opened
        self.released = False

    def isOpened(self) -> bool:
        return self._opened

    def grab(self) -> bool:
        self._clock.time += self._step
        self._left -= 1
        return self._left >= 0

    def retrieve(self):
        return True, np.full((8, 8, 3), (1, 2, 3), np.uint8)

    def get(self, propId: int) -> float:
        return 0.0

    def release(self) -> None:
        self.released = True


class Recorder:
    """A sink that keeps everything and never blocks."""

    def __init__(self) -> None:
        from agent.sources.base import Tally

        self.tally = Tally()
        self.frames = []

    def put(self, frame, stop) -> bool:
        self.tally.grabbed()
        self.frames.append(frame)
        return True

    def get(self, timeout):
        return self.frames.pop(0) if self.frames else None

    def discard(self, reason):
        self.frames.clear()
        return 0
