"""What a source is, where it puts its frames, and the clock it lives by."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Protocol

from agent.records import Frame
from agent.sources.sinks import Tally


class Source(Protocol):
    """A producer of frames. `run` is the body of a thread and returns when `stop` is set or the source ends."""

    @property
    def health(self) -> str:
        """One short line for people, without secrets."""

    @property
    def problem(self) -> str | None:
        """Why no frames come although `run` goes on, or has ended; one short line, None while all is well."""

    @property
    def unavailable(self) -> bool:
        """Whether what it reads is not there, or cannot be used as it should be; `problem` says why."""

    def check(self) -> None:
        """Raises SourceError when the source cannot be used now."""

    def run(self, stop: threading.Event) -> None:
        """Produce frames; raises SourceError when going on makes no sense."""


class Clock(Protocol):
    """Time as the sources see it, so that tests need not wait."""

    def monotonic(self) -> float:
        """Seconds; for durations."""

    def now(self) -> datetime:
        """Wall clock, timezone-aware UTC."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the event is set or the time is over; true if the event is set."""


class SystemClock:
    """The computer's own clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(seconds)


class Sink(Protocol):
    """Where a source puts its frames and the pipeline gets them."""

    tally: Tally

    def put(self, frame: Frame, stop: threading.Event) -> bool:
        """Hand a frame over; false when `stop` was set before there was room, then it was not counted."""

    def get(self, timeout: float) -> Frame | None:
        """The next frame, or None when none came within `timeout` seconds."""

    def discard(self, reason: str) -> int:
        """Empty the sink, counting what was in it as dropped; returns how many."""
