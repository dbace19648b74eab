"""One thread a source, started again when it fails; what it last reported is kept for people."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable

from agent.errors import SourceError, StoreError
from agent.sources.base import Clock, Sink, Source, SystemClock

log = logging.getLogger(__name__)
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 30.0


class SourceSupervisor:
    """Runs `source` until `stop`; a source that ends by itself (a video at its end) is not started again."""

    def __init__(
        self,
        line: str,
        source: Source,
        sink: Sink,
        stop: threading.Event,
        clock: Clock | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`jitter`: a number in [0, 1) for each pause."""
        self.line = line
        self.sink = sink
        self._source = source
        self._stop = stop
        self._clock = clock or SystemClock()
        self._jitter = jitter
        self._pause = FIRST_RETRY_S
        self._problem: str | None = None
        self._thread = threading.Thread(target=self._loop, name=f"source-{line}", daemon=True)

    @property
    def health(self) -> str:
        """One short line, without secrets."""
        return self._problem or self._source.health

    @property
    def problem(self) -> str | None:
        """Why the source is not running; None while it does or after its end."""
        return self._problem

    @property
    def alive(self) -> bool:
        """The thread runs; false before `start` and after the source's end."""
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout: float) -> None:
        """Wait for the end after `stop` was set."""
        self._thread.join(timeout)

    def step(self) -> float | None:
        """Run the source until it ends or fails; returns the pause in seconds before the next run, None if it is over.

        The pause doubles with each failure, up to `LONGEST_RETRY_S`, give or take a fifth.
        """
        if self._stop.is_set():
            return None
        try:
            self._problem = None
            self._source.run(self._stop)
        except SourceError as error:
            self._failed(str(error))
        except StoreError as error:
            self._failed(f"line {self.line}: {error}")
        except Exception as error:
            log.exception("line %s: the source failed", self.line)
            self._failed(f"line {self.line}: {type(error).__name__}")
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
        log.error("%s", text)
        self._problem = text
