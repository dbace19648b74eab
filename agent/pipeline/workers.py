"""The two workers between sources and store: one judges batches, the other records results.

A worker is a `step` that returns False when its work is over; Pipeline puts a thread around each.
"""

from __future__ import annotations

import logging
import queue
import threading
from typing import Protocol

from agent.pipeline.intake import Intake
from agent.pipeline.judge import Judge, Judged
from agent.pipeline.recorder import Recorder

log = logging.getLogger(__name__)
WAIT_S = 0.5
WAITING_RESULTS = 32
Results = queue.Queue[Judged | None]
"""None is the last entry: nothing more will be judged."""


class Worker(Protocol):
    """Work in turns."""

    def step(self) -> bool:
        """One turn, waiting a moment for something to do; False when there will be no more."""


class JudgeWorker:
    """Frames from the intake become results, until `finishing` is set and the sinks are empty, or `abort` is set."""

    def __init__(
        self,
        intake: Intake,
        judge: Judge,
        results: Results,
        finishing: threading.Event,
        abort: threading.Event,
        wait_s: float = WAIT_S,
    ) -> None:
        self._intake = intake
        self._judge = judge
        self._results = results
        self._finishing = finishing
        self._abort = abort
        self._wait_s = wait_s

    def step(self) -> bool:
        if self._abort.is_set():
            return False
        frames = self._intake.next_batch(self._wait_s)
        if frames:
            for judged in self._judge.judge(frames):
                self._put(judged)
            return True
        if self._finishing.is_set():
            self._put(None)
            return False
        return True

    def _put(self, judged: Judged | None) -> None:
        while not self._abort.is_set():
            try:
                self._results.put(judged, timeout=self._wait_s)
            except queue.Full:
                continue
            return


class RecordWorker:
    """Results are recorded in order, until the last one or `abort`."""

    def __init__(self, results: Results, recorder: Recorder, abort: threading.Event, wait_s: float = WAIT_S) -> None:
        self._results = results
        self._recorder = recorder
        self._abort = abort
        self._wait_s = wait_s

    def step(self) -> bool:
        if self._abort.is_set():
            return False
        try:
            judged = self._results.get(timeout=self._wait_s)
        except queue.Empty:
            return True
        if judged is None:
            return False
        self._recorder.record(judged, self._abort)
        return True


class Pipeline:
    """Frames from `intake` through `judge` into `recorder`. The results queue is bounded, so a slow disk slows the
    detector, which fills the sinks: folders then wait and cameras skip."""

    def __init__(self, intake: Intake, judge: Judge, recorder: Recorder) -> None:
        self._intake = intake
        self._finishing = threading.Event()
        self._abort = threading.Event()
        results = Results(WAITING_RESULTS)
        workers: dict[str, Worker] = {
            "detector": JudgeWorker(intake, judge, results, self._finishing, self._abort),
            "recorder": RecordWorker(results, recorder, self._abort),
        }
        self._threads = [
            threading.Thread(target=self._run, args=(worker,), name=name, daemon=True)
            for name, worker in workers.items()
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

    def _run(self, worker: Worker) -> None:
        try:
            while worker.step():
                pass
        except Exception as error:
            # Nobody is left to judge: the daemon must end and be started again, not run on blind.
            name = threading.current_thread().name
            log.exception("the %s thread failed", name)
            self.failure = f"{name}: {type(error).__name__}: {error}"
            self._abort.set()
