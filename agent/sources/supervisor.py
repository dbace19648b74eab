"""Keeps a line's source running: one that hangs is left behind and a new one takes its place."""

from __future__ import annotations

import itertools
import logging
import random
import threading
from collections.abc import Callable
from dataclasses import replace

from agent.records import Frame
from agent.sources.base import Clock, Sink, Source, SystemClock
from agent.sources.running import RunningSource

log = logging.getLogger(__name__)
# A thread that hangs cannot be ended, only left behind; each holds its memory and its files.
MOST_LEFT_BEHIND = 3


class Feed:
    """What the sources of one line put their frames into, one source after the other: the numbers go on."""

    def __init__(self, sink: Sink, numbers: itertools.count[int]) -> None:
        self._sink = sink
        self._numbers = numbers
        self._never = threading.Event()
        self.tally = sink.tally

    def put(self, frame: Frame, stop: threading.Event) -> bool:
        if frame.file_id is not None:
            # The ledger has given this file to this source and to no other: it is judged also if the source was
            # stopped meanwhile, or it would wait for the next start of the agent.
            stop = self._never
        return not stop.is_set() and self._sink.put(replace(frame, seq=next(self._numbers)), stop)

    def get(self, timeout: float) -> Frame | None:
        return self._sink.get(timeout)

    def discard(self, reason: str) -> int:
        return self._sink.discard(reason)


class SourceSupervisor:
    """`build` makes a source that puts its frames into the sink it is given; nothing is opened before `start`."""

    def __init__(
        self,
        line: str,
        build: Callable[[Sink], Source],
        sink: Sink,
        numbers: itertools.count[int] | None = None,
        clock: Clock | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`numbers`: of the line's frames, which a later supervisor of the line continues."""
        self.line = line
        self.sink = sink
        self._build = build
        self._feed = Feed(sink, numbers or itertools.count(1))
        self._clock = clock or SystemClock()
        self._jitter = jitter
        self._left_behind: list[RunningSource] = []
        self._stopped = False
        self._lock = threading.Lock()
        self._running = self._make()

    @property
    def health(self) -> str:
        """One short line, without secrets."""
        return self._running.health

    @property
    def failure(self) -> str | None:
        """Why the source could not run and waits to be started again."""
        return self._running.failure

    @property
    def problem(self) -> str | None:
        """Why no frames come; None while all is well."""
        return self._running.problem

    @property
    def unavailable(self) -> bool:
        """The source does not run, or what it reads is not there; `problem` says why."""
        return self._running.unavailable

    @property
    def hang(self) -> str | None:
        """That the source's thread makes no progress; None while it does, and when it has ended."""
        return self._running.hang

    @property
    def alive(self) -> bool:
        """The thread runs; false before `start` and after the source's end."""
        return self._running.alive

    @property
    def given_up(self) -> bool:
        """The source hangs again and again, so that no other is started."""
        return self._running.hung and len(self._left_behind) >= MOST_LEFT_BEHIND

    def start(self) -> None:
        self._running.start()

    def look(self) -> None:
        """Replace a source that hangs, unless too many were left behind already."""
        with self._lock:
            if self._stopped or not self._running.hung:
                return
            self._left_behind = [source for source in self._left_behind if source.alive]
            if len(self._left_behind) >= MOST_LEFT_BEHIND:
                return
            log.error("%s; another is started", self._running.heartbeat.problem())
            self._running.stop()
            self._left_behind.append(self._running)
            self._running = self._make()
            self._running.start()

    def stop(self) -> None:
        """No more frames; returns at once."""
        with self._lock:
            self._stopped = True
            self._running.stop()

    def join(self, timeout: float) -> None:
        """Wait for the end after `stop`."""
        self._running.join(timeout)

    def _make(self) -> RunningSource:
        return RunningSource(self.line, self._build(self._feed), self._clock, self._jitter)
