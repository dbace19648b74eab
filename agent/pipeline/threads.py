"""The two threads between sources and store: judge batches, record results. Thin; the work is elsewhere."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from agent.pipeline.intake import Intake
from agent.pipeline.judge import Judge, Judged
from agent.pipeline.recorder import Recorder

log = logging.getLogger(__name__)
WAIT_S = 0.5
WAITING_RESULTS = 32


class Pipeline:
    """Frames from `intake` through `judge` into `recorder`. The results queue is bounded, so a slow disk slows the
    detector, which fills the sinks: folders then wait and cameras skip."""

    def __init__(self, intake: Intake, judge: Judge, recorder: Recorder) -> None:
        self._intake = intake
        self._judge = judge
        self._recorder = recorder
        self._results: queue.Queue[Judged | None] = queue.Queue(WAITING_RESULTS)
        self._finishing = threading.Event()
        self._abort = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(self._detect,), name="detector", daemon=True),
            threading.Thread(target=self._run, args=(self._record,), name="recorder", daemon=True),
        ]
        self.failure: str | None = None

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    @property
    def alive(self) -> bool:
        """Both threads run; false after a failure that neither could handle."""
        return all(thread.is_alive() for thread in self._threads)

    def finish(self, timeout: float) -> bool:
        """Judge and record what the sinks hold, then end; false if `timeout` seconds were not enough."""
        self._finishing.set()
        self._intake.notify()
        for thread in self._threads:
            thread.join(timeout)
        if any(thread.is_alive() for thread in self._threads):
            self._abort.set()
            return False
        return True

    def _run(self, body: Callable[[], None]) -> None:
        try:
            body()
        except Exception as error:
            # Nobody is left to judge: the daemon must end and be started again, not run on blind.
            log.exception("the %s thread failed", threading.current_thread().name)
            self.failure = f"{threading.current_thread().name}: {type(error).__name__}: {error}"
            self._abort.set()

    def _detect(self) -> None:
        while not self._abort.is_set():
            frames = self._intake.next_batch(WAIT_S)
            if not frames:
                if self._finishing.is_set():
                    break
                continue
            for judged in self._judge.judge(frames):
                self._put(judged)
        self._put(None)

    def _put(self, judged: Judged | None) -> None:
        while not self._abort.is_set():
            try:
                self._results.put(judged, timeout=WAIT_S)
            except queue.Full:
                continue
            return

    def _record(self) -> None:
        while not self._abort.is_set():
            try:
                judged = self._results.get(timeout=WAIT_S)
            except queue.Empty:
                continue
            if judged is None:
                return
            self._recorder.record(judged, self._abort)
