"""One source in a thread of its own, started again when it fails; what it last reported is kept for people."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable

from agent.errors import SourceError, StoreError
from agent.heartbeat import Heartbeat, WatchedStop
from agent.sources.base import Clock, Source, SystemClock

log = logging.getLogger(__name__)
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 30.0
# A large file is read and decoded in one turn of its source.
SLOW_S = 15.0
DEAD_S = 60.0


class RunningSource:
    """Runs `source` until `stop`; a source that ends by itself (a video at its end) is not started again."""

    def __init__(
        self, line: str, source: Source, clock: Clock | None = None, jitter: Callable[[], float] = random.random
    ) -> None:
        """`jitter`: a number in [0, 1) for each pause."""
        self._line = line
        self._source = source
        self._clock = clock or SystemClock()
        self._jitter = jitter
        self._pause = FIRST_RETRY_S
        self._failure: str | None = None
        self._last_failure: str | None = None
        self.heartbeat = Heartbeat(f"line {line}: the source", SLOW_S, DEAD_S, self._clock.monotonic)
        self._stop = WatchedStop(self.heartbeat)
        self._thread = threading.Thread(target=self._loop, name=f"source-{line}", daemon=True)

    @property
    def health(self) -> str:
        """One short line, without secrets."""
        return self.problem or self._source.health

    @property
    def failure(self) -> str | None:
        """Why the source is not running and waits to be started again; None while it runs or after its end."""
        return self._failure

    @property
    def problem(self) -> str | None:
        """Why no frames come: it failed, hangs, or says so itself; None while all is well."""
        own = self._source.problem
        return self._failure or self.hang or (None if own is None else f"line {self._line}: {own}")

    @property
    def unavailable(self) -> bool:
        """It does not run, or what it reads is not there; `problem` says why."""
        return self._failure is not None or self._source.unavailable

    @property
    def alive(self) -> bool:
        """The thread runs; false before `start` and after the source's end."""
        return self._thread.is_alive()

    @property
    def hang(self) -> str | None:
        """That its thread makes no progress; None while it does, and when it has ended."""
        return self.heartbeat.problem() if self.alive else None

    @property
    def hung(self) -> bool:
        return self.alive and self.heartbeat.dead

    def start(self) -> None:
        self.heartbeat.beat()
        self._thread.start()

    def stop(self) -> None:
        """Returns at once; a source that hangs ends when it wakes, without another frame."""
        self._stop.set()

    def join(self, timeout: float) -> None:
        """Wait for the end after `stop`."""
        if self.alive:
            self._thread.join(timeout)

    def step(self) -> float | None:
        """Run the source until it ends or fails; returns the pause in seconds before the next run, None if it is over.

        The pause doubles with each failure, up to `LONGEST_RETRY_S`, give or take a fifth.
        """
        if self._stop.is_set():
            return None
        try:
            self._failure = None
            self._source.run(self._stop)
        except SourceError as error:
            self._failed(str(error))
        except StoreError as error:
            # Which file it cannot enter is no fault of the source, and no news each second.
            self._failed(f"line {self._line}: {error}")
        except Exception as error:
            log.exception("line %s: the source failed", self._line)
            self._failed(f"line {self._line}: {type(error).__name__}")
        else:
            return None
        # Jitter, so that many lines on one dead switch do not come back in step.
        pause = self._pause * (0.8 + 0.4 * self._jitter())
        self._pause = min(2 * self._pause, LONGEST_RETRY_S)
        return pause

    def _loop(self) -> None:
        while (pause := self.step()) is not None:
            self._clock.wait(self._stop, pause)

    def _failed(self, text: str) -> None:
        # A retry that fails as the one before is no news: a camera that is off for a week must not fill the log.
        log.log(logging.DEBUG if text == self._last_failure else logging.ERROR, "%s", text)
        self._failure = self._last_failure = text
