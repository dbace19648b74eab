"""The two workers between sources and store: one judges batches, the other records results.

A worker is a `step` that returns False when its work is over; Pipeline puts a thread around each.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from agent.heartbeat import Heartbeat, WatchedStop
from agent.pipeline.intake import Intake
from agent.pipeline.judge import Judge
from agent.pipeline.judged import Judged
from agent.pipeline.recorder import Recorder
from agent.privacy.quiet_log import error_text

log = logging.getLogger(__name__)
WAIT_S = 0.5
# A store that is locked is waited for a while, and is then named by itself.
SLOW_S = 30.0
PATIENCE_S = 120.0
WAITING_RESULTS = 32
# Of the time for the end; the rest is for answers without what the detector has not judged by then.
DETECTOR_SHARE = 0.8


class Knock:
    """Not a result: the recorder should look what is due."""


class Results(queue.Queue[Judged | Knock | None]):
    """From detector to recorder. None is the last entry: nothing more will be judged."""

    _knocked = False

    def knock(self) -> None:
        """From any thread, at once. One knock is enough, and a full queue wakes the recorder anyway."""
        if self._knocked:
            return
        self._knocked = True
        try:
            self.put_nowait(Knock())
        except queue.Full:
            self._knocked = False

    def heard(self) -> None:
        """By the recorder, before it looks."""
        self._knocked = False


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
            for judged in self._judge.judge(frames, self._abort.is_set):
                self._put(judged)
            # They have their verdict, `rejected`; a new process may find the device again.
            self._judge.check_device()
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
        self._recorder.turn(self._abort)
        try:
            judged = self._results.get(timeout=self._recorder.seconds_to_due(self._wait_s))
        except queue.Empty:
            return True
        if isinstance(judged, Knock):
            self._results.heard()
            return True
        if judged is None:
            self._recorder.give_up("shutdown", self._abort)
            return False
        self._recorder.record(judged, self._abort)
        return True


class Pipeline:
    """Frames from `intake` through `judge` into `recorder`. The results queue is bounded, so a slow disk slows the
    detector, which fills the sinks: folders then wait and cameras skip.

    A worker that fails or hangs cannot be replaced, because it owns the detector or the order of results: the run ends.
    """

    def __init__(
        self,
        intake: Intake,
        judge: Judge,
        recorder: Recorder,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._intake = intake
        self._finishing = threading.Event()
        detector = Heartbeat("the detector", SLOW_S, PATIENCE_S, monotonic)
        recording = Heartbeat("the recorder", SLOW_S, PATIENCE_S, monotonic)
        self._heartbeats = (detector, recording)
        # Each worker looks at a signal of its own, which tells that it still looks.
        self._aborts = (WatchedStop(detector), WatchedStop(recording))
        self._results = Results(WAITING_RESULTS)
        workers: dict[str, Worker] = {
            "detector": JudgeWorker(intake, judge, self._results, self._finishing, self._aborts[0]),
            "recorder": RecordWorker(self._results, recorder, self._aborts[1]),
        }
        self._threads = [
            threading.Thread(target=self._run, args=(worker,), name=name, daemon=True)
            for name, worker in workers.items()
        ]
        self._failure: str | None = None

    def be_patient(self, seconds: float) -> None:
        """A detector that takes longer for one batch hangs; at a quarter of it, it is named."""
        detector = self._heartbeats[0]
        detector.slow_s, detector.dead_s = max(SLOW_S, seconds / 4), max(PATIENCE_S, seconds)

    def start(self) -> None:
        for heartbeat in self._heartbeats:
            heartbeat.beat()
        for thread in self._threads:
            thread.start()

    def knock(self) -> None:
        """There may be something to record that no detector has judged; from any thread, at once."""
        self._results.knock()

    @property
    def recording(self) -> bool:
        """The recorder's thread runs: nobody else may use the recorder."""
        return self._threads[1].is_alive()

    @property
    def alive(self) -> bool:
        """Both threads run; false after a failure that neither could handle."""
        return all(thread.is_alive() for thread in self._threads)

    @property
    def failure(self) -> str | None:
        """Why nothing will be judged or recorded any more: a worker failed, or hangs for good; None otherwise."""
        if self._failure is not None:
            return self._failure
        dead = [beat.problem() for beat, thread in self._watched if thread.is_alive() and beat.dead]
        return dead[0] if dead else None

    @property
    def problem(self) -> str | None:
        """As `failure`, and also while a worker hangs that may yet go on."""
        if self._failure is not None:
            return self._failure
        slow = [text for beat, thread in self._watched if thread.is_alive() and (text := beat.problem())]
        return slow[0] if slow else None

    def finish(self, timeout: float) -> bool:
        """Judge and record what the sinks hold, then end; false if `timeout` seconds were not enough."""
        self._finishing.set()
        self._intake.notify()
        end = time.monotonic() + timeout
        detector, recorder = self._threads
        detector.join(DETECTOR_SHARE * timeout)
        if detector.is_alive() or self._failure is not None:
            # What it has not judged by now is not waited for; parts are answered without it.
            self._aborts[0].set()
            with suppress(queue.Full):
                self._results.put(None, timeout=max(0.0, end - time.monotonic()))
        recorder.join(max(0.0, end - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            self._abort()
            return False
        return True

    @property
    def _watched(self) -> list[tuple[Heartbeat, threading.Thread]]:
        return list(zip(self._heartbeats, self._threads, strict=True))

    def _abort(self) -> None:
        for signal in self._aborts:
            signal.set()

    def _run(self, worker: Worker) -> None:
        try:
            while worker.step():
                pass
        except Exception as error:
            # Nobody is left to judge: the daemon must end and be started again, not run on blind.
            name = threading.current_thread().name
            log.exception("the %s thread failed", name)
            self._failure = f"{name}: {error_text(error)}"
            # A recorder goes on without a detector, until the end of the run: triggers are still answered.
            self._aborts[0].set()
