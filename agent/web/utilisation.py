"""How busy the detector is: the share of the last minute in which it had a batch."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from agent.pipeline.judged import Judged

WINDOW_S = 60.0


class Utilisation:
    """Hears of every inspection. Thread-safe.

    Those of one batch name the same time, and none counts twice.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._began = monotonic()
        self._lock = threading.Lock()
        self._busy: deque[tuple[float, float]] = deque()

    def inspected(self, judged: Judged) -> None:
        latency = judged.inspection.latency
        start = judged.frame.monotonic + latency.queue / 1e3
        end = start + latency.infer / 1e3
        with self._lock:
            if self._busy:
                start = max(start, self._busy[-1][1])
            if end > start:
                self._busy.append((start, end))
            self._forget()

    def share(self) -> float:
        """0..1, since the start where that is less than a minute ago."""
        now = self._monotonic()
        with self._lock:
            self._forget()
            since = max(self._began, now - WINDOW_S)
            busy = sum(max(0.0, end - max(start, since)) for start, end in self._busy)
        return min(1.0, busy / max(now - since, 1.0))

    def _forget(self) -> None:
        old = self._monotonic() - WINDOW_S
        while self._busy and self._busy[0][1] < old:
            self._busy.popleft()
