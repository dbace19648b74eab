"""One thread a source, started again when it fails; what it last said is kept for people."""

from __future__ import annotations

import logging
import random
import threading

from agent.errors import SourceError
from agent.sources.base import Sink, Source

log = logging.getLogger(__name__)
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 30.0


class SourceRunner:
    """Runs `source` until `stop`; a source that ends by itself (a video at its end) is not started again."""

    def __init__(self, line: str, source: Source, sink: Sink, stop: threading.Event) -> None:
        self.line = line
        self.sink = sink
        self._source = source
        self._stop = stop
        self._problem: str | None = None
        self._thread = threading.Thread(target=self._run, name=f"source-{line}", daemon=True)

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

    def _run(self) -> None:
        pause = FIRST_RETRY_S
        while not self._stop.is_set():
            try:
                self._problem = None
                self._source.run(self._stop)
            except SourceError as error:
                self._failed(str(error))
            except Exception as error:
                log.exception("line %s: the source failed", self.line)
                self._failed(f"line {self.line}: {type(error).__name__}")
            else:
                return
            # Jitter, so that many lines on one dead switch do not come back in step.
            self._stop.wait(pause * random.uniform(0.8, 1.2))  # noqa: S311 (no secret hangs on it)
            pause = min(2 * pause, LONGEST_RETRY_S)

    def _failed(self, text: str) -> None:
        log.error("%s", text)
        self._problem = text
