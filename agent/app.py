"""The daemon: the only file that knows everyone. Builds the parts, starts them, watches them, stops them."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from uuid import uuid4

from agent.config.sections import Config
from agent.errors import AgentError, StoreError
from agent.mqtt.broker import EmbeddedBroker
from agent.mqtt.client import PahoClient
from agent.mqtt.payloads import Topics, encode, state_body
from agent.mqtt.sender import Sender
from agent.pipeline.evidence import EvidenceWriter
from agent.pipeline.intake import Intake
from agent.pipeline.judge import Judge, Line
from agent.pipeline.loading import load_detector, load_lines
from agent.pipeline.messages import Messages
from agent.pipeline.recorder import Recorder, move_again
from agent.pipeline.threads import Pipeline
from agent.records import Inspection, LineMode
from agent.sources.base import Tally
from agent.sources.factory import build_sink, build_source, is_live
from agent.sources.runner import SourceRunner
from agent.store.engine import Database, open_reader, open_writer
from agent.store.ledger import Ledger
from agent.store.lock import DataLock
from agent.store.outbox import Outbox
from agent.store.reader import Reader
from agent.store.results import Writer
from agent.store.retention import prune
from agent.web.app import create_app
from agent.web.server import WebServer
from agent.web.state import LiveState, RecentEvent
from fbclip.errors import ConfigError

log = logging.getLogger(__name__)
WATCH_S = 1.0
PRUNE_EVERY_TURNS = 60
SOURCES_STOP_S = 10.0
FINISH_S = 20.0
LAST_MESSAGES_S = 5.0
SHOWN_EVENTS = 20


def run_agent(config: Config, stop: threading.Event, ready: threading.Event | None = None) -> int:
    """Run until `stop`; returns the exit code. Raises AgentError or FbclipError when it cannot start.

    `ready` is set once every part runs.
    """
    token = web_token(config)
    detector = load_detector(config.model, config.lines)
    lines = load_lines(detector, (section for section in config.lines))
    detector.warm_up()
    with ExitStack() as stack:
        stack.enter_context(DataLock(config.agent.data_dir))
        database = open_writer(config.store_url)
        stack.callback(database.close)
        daemon = Daemon(config, database, lines, stack)
        daemon.start(Judge(detector, lines, daemon.run), token)
        log.info("model %s on %s, %d lines", detector.backbone.config.name, detector.device, len(lines))
        if ready is not None:
            ready.set()
        return daemon.watch(stop)


def web_token(config: Config) -> str | None:
    """The page's token from its variable; raises ConfigError when the variable is named but empty."""
    name = config.web.token_env
    token = os.environ.get(name, "") if name else None
    if name and not token:
        raise ConfigError(f"web.token_env: the environment variable {name} is not set")
    return token


class Daemon:
    """All parts of one run. `stack` closes whatever was opened, in reverse, also when the start fails midway."""

    def __init__(self, config: Config, database: Database, lines: dict[str, Line], stack: ExitStack) -> None:
        self.run = str(uuid4())
        self._config = config
        self._database = database
        self._lines = lines
        self._stack = stack
        self._topics = Topics(config.mqtt.prefix, config.agent.name)
        self._messages = Messages(self._topics, {name: line.section.mode for name, line in lines.items()})
        self._writer = Writer(database)
        self._ledger = Ledger(database)
        self._stop_sources = threading.Event()
        self._tallies = {name: Tally() for name in lines}
        self._reader: Reader | None = None
        self._live = LiveState(config.agent.name, self._recent_events, self._problems)
        self._evidence = EvidenceWriter(config.agent.data_dir, self.run)
        self._runners: list[SourceRunner] = []
        self._known_problems: set[str] = set()

    def start(self, judge: Judge, token: str | None) -> None:
        """Open everything in the order of data flow, last to first, so that nobody produces into nothing."""
        config, stack = self._config, self._stack
        ended = self._writer.start_run(self.run, config.agent.name, self._messages.of_end)
        if ended:
            log.info("%d events left open by an earlier run are ended", ended)
        move_again(self._writer, self._ledger.recover(), self._lines)
        reader = open_reader(config.store_url)
        stack.callback(reader.close)
        self._reader = Reader(reader)
        if config.mqtt.embedded:
            broker = EmbeddedBroker(config.mqtt.host, config.mqtt.port)
            broker.start()
            stack.callback(broker.stop)
        client_id = f"{config.agent.name}-{self._writer.stream_id[:8]}"
        will = encode({"state": "offline", "reason": "lwt"})
        port = PahoClient(config.mqtt, client_id, self._topics.status, will)
        self._sender = Sender(port, Outbox(self._database), self.run, self._topics.status)
        self._build_pipeline(judge)
        # From here on everything is there that the page asks for.
        self._sender.start()
        stack.callback(self._sender.stop, LAST_MESSAGES_S)
        for name, line in self._lines.items():
            self._live.add_line(name, line.section.mode.value, is_live(line.section))
        app = create_app(self._live, config.web.loopback, token)
        web = WebServer(app, config.web.host, config.web.port)
        web.start()
        stack.callback(web.stop)
        self._pipeline.start()
        for runner in self._runners:
            runner.start()
        self._announce()

    def _build_pipeline(self, judge: Judge) -> None:
        intake = Intake(self._config.model.batch)
        for name, line in self._lines.items():
            sink = build_sink(line.section, self._tallies[name], intake.notify)
            intake.add(sink)
            source = build_source(line.section, sink, self._ledger)
            self._runners.append(SourceRunner(name, source, sink, self._stop_sources))
        self._recorder = Recorder(
            lines=self._lines,
            tallies=self._tallies,
            writer=self._writer,
            evidence=self._evidence,
            live=self._live,
            messages=self._messages,
            published=self._published,
            ok_every=self._config.store.retention.ok_every,
        )
        self._pipeline = Pipeline(intake, judge, self._recorder)

    def watch(self, stop: threading.Event) -> int:
        """Report health each second until `stop` or a part fails for good; then end in the order of data flow."""
        turn = 0
        while not stop.wait(WATCH_S) and self._pipeline.alive:
            self._report()
            turn += 1
            if turn % PRUNE_EVERY_TURNS == 0:
                self._keep_house()
        failed = self._pipeline.failure
        self._shut_down()
        if failed is not None:
            log.error("stopped because a part failed: %s", failed)
        return 0 if failed is None else 1

    def _shut_down(self) -> None:
        log.info("stopping")
        self._stop_sources.set()
        for runner in self._runners:
            runner.join(SOURCES_STOP_S)
        finished = self._pipeline.finish(FINISH_S)
        for runner in self._runners:
            runner.sink.discard("shutdown")
        try:
            self._recorder.close_events(datetime.now(UTC), "shutdown")
            self._report()
            self._sender.stop(LAST_MESSAGES_S)
            self._writer.end_run(clean=finished)
        except StoreError as error:
            # What is not ended now is ended, and told, by the next start.
            log.error("the store could not be closed cleanly: %s", error)

    def _published(self, inspection: Inspection) -> None:
        if inspection.mode is LineMode.LIVE:
            self._sender.retain(
                self._topics.line_state(inspection.line), state_body(self._config.agent.name, inspection)
            )
        self._sender.wake()

    def _announce(self) -> None:
        profiles = {name: line.profile_id for name, line in self._lines.items()}
        info = {
            "agent": self._config.agent.name,
            "version": version("fbclip-inspect"),
            "run": self.run,
            "stream_id": self._writer.stream_id,
            "backbone": self._config.model.backbone,
            "lines": [
                {"name": n, "mode": line.section.mode.value, "profile": profiles[n], "model": line.adapter}
                for n, line in self._lines.items()
            ],
        }
        self._sender.retain(self._topics.info, info)

    def _report(self) -> None:
        """The page, the retained health topics, and a line in the log for each change."""
        problems = self._problems()
        for text in sorted(set(problems) - self._known_problems):
            log.warning("not healthy: %s", text)
        for text in sorted(self._known_problems - set(problems)):
            log.info("well again: %s", text)
        self._known_problems = set(problems)
        lines = {}
        for runner in self._runners:
            counters = self._tallies[runner.line].snapshot()
            self._live.set_line(runner.line, runner.health, counters)
            state = {"state": "failing" if runner.problem else "running", "health": runner.health}
            self._sender.retain(self._topics.line_status(runner.line), state)
            lines[runner.line] = {
                "grabbed": counters.grabbed,
                "inspected": counters.inspected,
                "rejected": counters.rejected,
                "dropped": counters.dropped,
                "in_flight": counters.in_flight,
            }
        oldest = round(self._sender.oldest_unacknowledged_s(), 1)
        health = {"healthy": not problems, "problems": problems, "oldest_unacknowledged_s": oldest, "lines": lines}
        self._sender.retain(self._topics.health, health)
        self._live.set_mqtt(self._sender.problem() or "connected")

    def _problems(self) -> Sequence[str]:
        found = [runner.problem for runner in self._runners]
        found += [self._sender.problem(), None if self._sender.alive else "the sender thread ended"]
        found += [self._recorder.problem, self._pipeline.failure]
        if self._evidence.failures:
            found.append(f"{self._evidence.failures} evidence images could not be written")
        return [text for text in found if text is not None]

    def _keep_house(self) -> None:
        try:
            prune(self._database, self._config.agent.data_dir, self._config.store.retention, datetime.now(UTC))
            move_again(self._writer, self._ledger.unmoved(), self._lines)
        except (StoreError, OSError) as error:
            log.warning("house-keeping failed, next try in a minute: %s", error)

    def _recent_events(self) -> Sequence[RecentEvent]:
        if self._reader is None:
            return ()
        try:
            rows = []
            for event in self._reader.recent_events(limit=SHOWN_EVENTS):
                first = None if event.inspection_id is None else self._reader.inspection(event.inspection_id)
                z, threshold = (None, None) if first is None else (first.z, first.threshold)
                reason = event.end_reason if first is None or first.reason is None else first.reason
                rows.append(RecentEvent(event.opened, event.ended, event.line, event.kind.value, reason, z, threshold))
            return rows
        except AgentError:
            log.exception("the recent events cannot be read")
            return ()
