"""The daemon: starts the parts, watches them, and stops them in the order of data flow."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from agent.config.sections import Config
from agent.errors import StoreError
from agent.health import Backlog, problems_of
from agent.health_report import HealthReport
from agent.notify import ServiceNotifier
from agent.parts import Parts, Setting, build_parts
from agent.patience import detector_patience_s, seconds_an_image
from agent.pipeline.detector_loading import load_model
from agent.pipeline.late_moves import LateMoves
from agent.pipeline.moves import let_go
from agent.steering.overrides import load_overrides
from agent.web.access import page_access

log = logging.getLogger(__name__)
WATCH_S = 1.0
MAINTENANCE_S = 60.0
# Moving what an earlier run left behind may hold up the start for so long, and later each step.
FIRST_MOVES_S = 10.0
MOVES_S = 0.5
# Between two of its operations the detector waits for the interpreter: with Python's own 5 ms, so long each time that
# another thread is at work.
SWITCH_S = 0.0005
# Together they leave a second of the ten in which a run must have ended.
SOURCES_STOP_S = 1.5
STEWARD_STOP_S = 0.5
FINISH_S = 3.0
LAST_MESSAGES_S = 2.0
_ENDED = threading.Event()
_ENDED.set()


def run_agent(
    path: Path,
    config: Config,
    stop: threading.Event,
    hangup: threading.Event | None = None,
    ready: threading.Event | None = None,
    ending: Callable[[], None] = lambda: None,
) -> int:
    """Run until `stop`; returns the exit code. Raises AgentError or FbclipError when it cannot start.

    `path` and `hangup`: where `config` came from, and the wish to read it again. `ready` is set once every part runs;
    `ending` is called when the run begins to end, for whatever reason.
    """
    access = page_access(config.web)
    setting = Setting(path, config, load_overrides(config.agent.data_dir), access, hangup or threading.Event())
    detector = load_model(config.model, config.lines)
    seconds = seconds_an_image(detector)
    notifier = ServiceNotifier()
    with ExitStack() as stack:
        daemon = Daemon(build_parts(setting, detector, stack), notifier=notifier, image_s=seconds)
        daemon.start(stack)
        log.info("model %s on %s, %d lines", detector.backbone_config.name, detector.device, len(config.lines))
        notifier.ready()
        if ready is not None:
            ready.set()
        return daemon.watch(stop, ending)


class Daemon:
    """One run of all parts. One thread owns it."""

    def __init__(
        self,
        parts: Parts,
        monotonic: Callable[[], float] = time.monotonic,
        notifier: ServiceNotifier | None = None,
        image_s: float = 0.0,
    ) -> None:
        """`image_s`: what the detector takes for one image."""
        self._parts = parts
        self._monotonic = monotonic
        self._notifier = notifier or ServiceNotifier({})
        self._image_s = image_s
        self._maintained = monotonic()
        self._report = HealthReport(parts)
        self._late_moves = LateMoves(
            parts.writer, parts.ledger, parts.lineup.lines, parts.references, parts.reader.result_of_file
        )

    def start(self, stack: ExitStack) -> None:
        """Start everything in the order of data flow, last to first, so that nobody produces into nothing.

        `stack` stops what was started, in reverse, also when the start fails midway. Raises AgentError.
        """
        parts = self._parts
        sys.setswitchinterval(SWITCH_S)
        try:
            ended = parts.writer.start_run(parts.run, parts.messages.of_end)
        except StoreError:
            if parts.database.renewal_due() is None:
                raise
            # The check of the file does not see every damage; what was met now is mended now.
            parts.keeper.step()
            ended = parts.writer.start_run(parts.run, parts.messages.of_end)
        if ended:
            log.info("%d events left open by an earlier run are ended", ended)
        self._late_moves.add(parts.ledger.recover())
        self._late_moves.go_on(FIRST_MOVES_S)
        if gone := let_go(parts.ledger, parts.lineup.lines):
            log.info("%d files were taken away from hot folders since the last run", gone)
        if parts.broker is not None:
            parts.broker.start()
            stack.callback(parts.broker.stop)
        parts.sender.start()
        stack.callback(parts.sender.stop, LAST_MESSAGES_S)
        parts.web.start()
        stack.callback(parts.web.stop)
        parts.plc.start(stack)
        parts.pipeline.start()
        parts.lineup.start()
        parts.steward.start()
        self._report.tell(parts.probe.snapshot())

    def watch(self, stop: threading.Event, ending: Callable[[], None] = lambda: None) -> int:
        """A step each second until `stop` or a part fails for good; then shut down. Returns the exit code."""
        failure: str | None = None
        while failure is None and not stop.wait(WATCH_S):
            failure = self.step(self._monotonic())
        ending()
        self.shut_down()
        # It may have failed while it ended.
        failure = failure or self._parts.pipeline.failure
        hung = self._hung()
        if failure is not None:
            log.error("stopped because a part failed: %s", failure)
        elif hung:
            log.error("stopped, and left behind what hangs: %s", "; ".join(hung))
        return 1 if failure is not None or hung else 0

    def _hung(self) -> tuple[str, ...]:
        """Threads that make no progress though they were told to end. A busy one, and messages that no broker took,
        are none: the next start goes on with them."""
        parts = self._parts
        found = [supervisor.hang for supervisor in parts.lineup.supervisors]
        found.append(parts.pipeline.problem)
        found += [part.heartbeat.problem() for part in (parts.sender, parts.steward, parts.web) if part.alive]
        return tuple(text for text in found if text is not None)

    def step(self, now: float) -> str | None:
        """Keep the store well, mend what can be mended at `now` (monotonic s), report health, redo failed moves once a
        minute.

        Returns why the run must end, None while it may go on.
        """
        parts = self._parts
        parts.keeper.step()
        # Commands may have given a line a profile with other tiles.
        parts.pipeline.be_patient(
            detector_patience_s(self._image_s, parts.config.model.batch, parts.lineup.lines.values())
        )
        failure = parts.keeper.failure or parts.mending.look(now)
        self._look_at_backlog()
        snapshot = parts.probe.snapshot()
        self._report.tell(snapshot)
        problems = problems_of(snapshot)
        status = problems[0] if problems else f"judging {len(snapshot.lines)} lines"
        if failure is None:
            self._notifier.alive(status)
        else:
            self._notifier.status(failure)
        self._move_again(now)
        return failure

    def shut_down(self) -> None:
        """End in the order of data flow: sources, pipeline, open events, last messages, the run.

        Nobody is waited for without end: what hangs is left behind, and the run then counts as not clean.
        """
        log.info("stopping")
        self._notifier.stopping()
        parts = self._parts
        parts.client.deafen()
        parts.lineup.stop()
        parts.steward.stop(STEWARD_STOP_S)
        end = time.monotonic() + SOURCES_STOP_S
        for supervisor in parts.lineup.supervisors:
            supervisor.join(max(0.0, end - time.monotonic()))
        finished = parts.pipeline.finish(FINISH_S)
        for supervisor in parts.lineup.supervisors:
            supervisor.sink.discard("shutdown")
        if not parts.pipeline.recording:
            parts.drift.save()
            # Triggers that came after the recorder's last look.
            parts.recorder.give_up("shutdown", _ENDED)
        try:
            if finished:
                # Else the recorder may still be at work on them: the next start ends them.
                parts.recorder.close_events(datetime.now(UTC), "shutdown")
            self._report.tell(parts.probe.snapshot())
            parts.sender.stop(LAST_MESSAGES_S)
            parts.writer.end_run(clean=finished)
        except StoreError as error:
            # What is not ended now is ended, and published, by the next start.
            log.error("the store could not be closed cleanly: %s", error)

    def _look_at_backlog(self) -> None:
        try:
            messages, oldest = self._parts.reader.waiting()
        except StoreError as error:
            log.debug("the backlog cannot be read: %s", error)
            return
        waited = 0.0 if oldest is None else (datetime.now(UTC) - oldest).total_seconds()
        self._parts.probe.backlog = Backlog(messages, max(0.0, waited))

    def _move_again(self, now: float) -> None:
        """Judged files that lie there still; those that the recorder moves just now have left by the next step."""
        try:
            self._late_moves.go_on(MOVES_S)
            if now - self._maintained >= MAINTENANCE_S:
                self._maintained = now
                self._late_moves.look()
        except (StoreError, OSError) as error:
            log.warning("maintenance failed, next try in a minute: %s", error)
        self._parts.probe.unmoved = self._late_moves.stuck
