"""The two ways a frame waits for the detector, and the counters that account for every frame."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from agent.records import Frame, LineCounters


class Tally:
    """LineCounters under one lock: every reader sees grabbed = inspected + rejected + dropped + in flight."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters = LineCounters()

    def grabbed(self, replaced: int = 0) -> None:
        """One more frame; `replaced` older ones gave way to it."""
        with self._lock:
            self._counters.grabbed += 1
            if replaced:
                self._drop("replaced", replaced)

    def skipped(self, reason: str, count: int = 1) -> None:
        """Frames that were grabbed and let go at once."""
        with self._lock:
            self._counters.grabbed += count
            self._drop(reason, count)

    def dropped(self, reason: str, count: int = 1) -> None:
        """Frames in flight that will not be judged."""
        with self._lock:
            self._drop(reason, count)

    def inspected(self) -> None:
        with self._lock:
            self._counters.inspected += 1

    def rejected(self) -> None:
        with self._lock:
            self._counters.rejected += 1

    def snapshot(self) -> LineCounters:
        """A copy, all numbers of the same moment."""
        with self._lock:
            return replace(self._counters, dropped=dict(self._counters.dropped))

    def _drop(self, reason: str, count: int) -> None:
        self._counters.dropped[reason] = self._counters.dropped.get(reason, 0) + count


def _nobody() -> None:
    """Nobody waits for frames of several lines at once."""


class NewestSlot:
    """One place; a newer frame takes it and the older is counted as `replaced`. For cameras.

    `notify` is called after each frame, for a pipeline that waits for several lines at once. A frame that waited until
    it expired is not given out any more but counted as `stale`: what is judged is what is there now.
    """

    def __init__(
        self,
        tally: Tally,
        notify: Callable[[], None] = _nobody,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tally = tally
        self._notify = notify
        self._monotonic = monotonic
        self._filled = threading.Condition()
        self._frame: Frame | None = None

    def put(self, frame: Frame, stop: threading.Event) -> bool:
        if stop.is_set():
            return False
        with self._filled:
            self.tally.grabbed(replaced=0 if self._frame is None else 1)
            self._frame = frame
            self._filled.notify()
        self._notify()
        return True

    def get(self, timeout: float) -> Frame | None:
        with self._filled:
            self._filled.wait_for(lambda: self._frame is not None, timeout)
            frame, self._frame = self._frame, None
            if frame is not None and frame.expires is not None and self._monotonic() > frame.expires:
                self.tally.dropped("stale")
                return None
            return frame

    def discard(self, reason: str) -> int:
        with self._filled:
            count = 0 if self._frame is None else 1
            self._frame = None
            if count:
                self.tally.dropped(reason, count)
            return count


class BlockingQueue:
    """First in, first out; a full queue makes the source wait, so nothing is skipped. For files and videos.

    It holds a batch of the usual size, so that the detector finds a whole one when it is done with another, and of
    large scans as many as `most_bytes` allow, but always one.
    """

    _LOOK_AT_STOP_S = 0.2

    def __init__(
        self,
        tally: Tally,
        capacity: int = 8,
        notify: Callable[[], None] = _nobody,
        most_bytes: int = 256 << 20,
    ) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self.tally = tally
        self._capacity = capacity
        self._most_bytes = most_bytes
        self._bytes = 0
        self._notify = notify
        self._changed = threading.Condition()
        self._frames: deque[Frame] = deque()

    def put(self, frame: Frame, stop: threading.Event) -> bool:
        with self._changed:
            while self._is_full(frame):
                if stop.is_set():
                    return False
                self._changed.wait(self._LOOK_AT_STOP_S)
            if stop.is_set():
                return False
            self.tally.grabbed()
            self._frames.append(frame)
            self._bytes += _pixel_bytes(frame)
            self._changed.notify_all()
        self._notify()
        return True

    def _is_full(self, frame: Frame) -> bool:
        if not self._frames:
            return False
        return len(self._frames) >= self._capacity or self._bytes + _pixel_bytes(frame) > self._most_bytes

    def get(self, timeout: float) -> Frame | None:
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self._frames), timeout):
                return None
            frame = self._frames.popleft()
            self._bytes -= _pixel_bytes(frame)
            self._changed.notify_all()
            return frame

    def discard(self, reason: str) -> int:
        with self._changed:
            count = len(self._frames)
            self._frames.clear()
            self._bytes = 0
            if count:
                self.tally.dropped(reason, count)
            self._changed.notify_all()
            return count


def _pixel_bytes(frame: Frame) -> int:
    if frame.volume is not None:
        return frame.volume.pixels.nbytes
    return 0 if frame.image is None else frame.image.nbytes
