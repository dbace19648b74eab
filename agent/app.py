"""The daemon: starts the parts, watches them, and stops them in the order of data flow."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from agent.config.sections import Config
from agent.errors import StoreError
from agent.health import HealthSnapshot, health_body, health_change, line_status_body, problems_of
from agent.parts import Parts, build_parts
from agent.pipeline.lines import load_detector, load_lines
from agent.pipeline.moves import move_again
from agent.web.guard import page_token

log = logging.getLogger(__name__)
WATCH_S = 1.0
MAINTENANCE_S = 60.0
SOURCES_STOP_S = 10.0
FINISH_S = 20.0
LAST_MESSAGES_S = 5.0


def run_agent(config: Config, stop: threading.Event, ready: threading.Event | None = None) -> int:
    """Run until `stop`; returns the exit code. Raises AgentError or FbclipError when it cannot start.

    `ready` is set once every part runs.
    """
    token = page_token(config.web)
    detector = load_detector(config.model, config.lines)
    lines = load_lines(detector, config.lines)
    detector.warm_up()
    with ExitStack() as stack:
        daemon = Daemon(build_parts(config, detector, lines, token, stack))
        daemon.start(stack)
        log.info("model %s on %s, %d lines", detector.backbone.config.name, detector.device, len(lines))
        if ready is not None:
            ready.set()
        return daemon.watch(stop)


class Daemon:
    """One run of all parts. One thread owns it."""

    def __init__(self, parts: Parts, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._parts = parts
        self._monotonic = monotonic
        self._maintained = monotonic()
        self._known_problems: tuple[str, ...] = ()

    def start(self, stack: ExitStack) -> None:
        """Start everything in the order of data flow, last to first, so that nobody produces into nothing.

        `stack` stops what was started, in reverse, also when the start fails midway. Raises AgentError.
        """
        parts = self._parts
        try:
            ended = parts.writer.start_run(parts.run, parts.config.agent.name, parts.messages.of_end)
        except StoreError:
            if parts.database.renewal_due() is None:
                raise
            # The check of the file does not see every damage; what was met now is mended now.
            parts.keeper.step()
            ended = parts.writer.start_run(parts.run, parts.config.agent.name, parts.messages.of_end)
        if ended:
            log.info("%d events left open by an earlier run are ended", ended)
        move_again(parts.writer, parts.ledger.recover(), parts.lines)
        if parts.broker is not None:
            parts.broker.start()
            stack.callback(parts.broker.stop)
        parts.sender.start()
        stack.callback(parts.sender.stop, LAST_MESSAGES_S)
        parts.web.start()
        stack.callback(parts.web.stop)
        parts.pipeline.start()
        for supervisor in parts.supervisors:
            supervisor.start()
        parts.sender.retain(parts.topics.info, _info_body(parts))

    def watch(self, stop: threading.Event) -> int:
        """A step each second until `stop` or a part fails for good; then shut down. Returns the exit code."""
        while not stop.wait(WATCH_S) and self._parts.pipeline.alive:
            self.step(self._monotonic())
        failed = self._parts.pipeline.failure
        self.shut_down()
        if failed is not None:
            log.error("stopped because a part failed: %s", failed)
        return 0 if failed is None else 1

    def step(self, now: float) -> None:
        """Keep the store well, report health at `now` (monotonic s), and redo failed moves once a minute."""
        self._parts.keeper.step()
        self._report()
        if now - self._maintained >= MAINTENANCE_S:
            self._maintained = now
            self._run_maintenance()

    def shut_down(self) -> None:
        """End in the order of data flow: sources, pipeline, open events, last messages, the run."""
        log.info("stopping")
        parts = self._parts
        parts.stop_sources.set()
        for supervisor in parts.supervisors:
            supervisor.join(SOURCES_STOP_S)
        finished = parts.pipeline.finish(FINISH_S)
        for supervisor in parts.supervisors:
            supervisor.sink.discard("shutdown")
        try:
            parts.recorder.close_events(datetime.now(UTC), "shutdown")
            self._report()
            parts.sender.stop(LAST_MESSAGES_S)
            parts.writer.end_run(clean=finished)
        except StoreError as error:
            # What is not ended now is ended, and published, by the next start.
            log.error("the store could not be closed cleanly: %s", error)

    def _report(self) -> None:
        """Health to the log where it changed, to the page, and to the retained topics."""
        parts, snapshot = self._parts, self._parts.probe.snapshot()
        self._log_changes(snapshot)
        for line in snapshot.lines:
            parts.page.set_line(line.name, line.health, line.counters)
            parts.sender.retain(parts.topics.line_status(line.name), line_status_body(line))
        parts.sender.retain(parts.topics.health, health_body(snapshot))
        parts.page.set_mqtt(snapshot.broker_problem or "connected")

    def _log_changes(self, snapshot: HealthSnapshot) -> None:
        problems = problems_of(snapshot)
        change = health_change(self._known_problems, problems)
        for text in change.new:
            log.warning("not healthy: %s", text)
        for text in change.recovered:
            log.info("recovered: %s", text)
        self._known_problems = problems

    def _run_maintenance(self) -> None:
        parts = self._parts
        try:
            move_again(parts.writer, parts.ledger.unmoved(), parts.lines)
        except (StoreError, OSError) as error:
            log.warning("maintenance failed, next try in a minute: %s", error)


def _info_body(parts: Parts) -> dict[str, Any]:
    """What runs, for the agent's retained info."""
    return {
        "agent": parts.config.agent.name,
        "version": version("fbclip-inspect"),
        "run": parts.run,
        "stream_id": parts.writer.stream_id,
        "backbone": parts.config.model.backbone,
        "lines": [
            {"name": name, "mode": line.section.mode.value, "profile": line.profile_id, "model": line.adapter}
            for name, line in parts.lines.items()
        ],
    }
