"""Every part of one run of the agent, built before anything is started. The only file that knows everyone."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass
from uuid import uuid4

from agent.config.line import FolderSource
from agent.config.sections import Config
from agent.health import HealthProbe
from agent.mqtt.broker import EmbeddedBroker
from agent.mqtt.client import PahoClient
from agent.mqtt.payloads import Topics, encode
from agent.mqtt.sender import Sender
from agent.pipeline.evidence import EvidenceWriter
from agent.pipeline.intake import Intake
from agent.pipeline.judge import Judge
from agent.pipeline.lines import Line
from agent.pipeline.messages import Messages, StatePublisher
from agent.pipeline.recorder import Recorder
from agent.pipeline.workers import Pipeline
from agent.sources.factory import build_sink, build_source, is_live
from agent.sources.sinks import Tally
from agent.sources.supervisor import SourceSupervisor
from agent.store.engine import Database, file_of, open_reader, open_writer
from agent.store.keeper import StoreKeeper
from agent.store.ledger import Ledger
from agent.store.lock import DataLock
from agent.store.outbox import Outbox
from agent.store.reader import Reader
from agent.store.retention import Retention
from agent.store.sqlite_file import make_private_folder
from agent.store.writer import Writer
from agent.web.app import PageSources, create_app
from agent.web.events import recent_events
from agent.web.server import WebServer
from agent.web.state import PageState
from fbclip.detector import Detector


@dataclass(frozen=True)
class Parts:
    """What the daemon starts, watches and stops. `broker` is the embedded one, None where it is elsewhere."""

    config: Config
    run: str
    lines: dict[str, Line]
    topics: Topics
    database: Database
    writer: Writer
    ledger: Ledger
    keeper: StoreKeeper
    messages: Messages
    broker: EmbeddedBroker | None
    sender: Sender
    recorder: Recorder
    pipeline: Pipeline
    supervisors: tuple[SourceSupervisor, ...]
    stop_sources: threading.Event
    probe: HealthProbe
    page: PageState
    web: WebServer


def build_parts(
    config: Config, detector: Detector, lines: dict[str, Line], token: str | None, stack: ExitStack
) -> Parts:
    """All parts, ready to start. The data directory's lock and the store are opened here, and closed by `stack`.

    `token`: of the page, None on loopback without one. Raises AgentError.
    """
    run = str(uuid4())
    name = config.agent.name
    topics = Topics(config.mqtt.prefix, name)
    modes = {line.name: line.section.mode for line in lines.values()}
    folders = [line.section.source.path for line in lines.values() if isinstance(line.section.source, FolderSource)]
    stack.enter_context(DataLock(config.agent.data_dir, file_of(config.store_url), folders))
    make_private_folder(config.agent.data_dir, folders)
    database = open_writer(config.store_url)
    stack.callback(database.close)
    read_only = open_reader(config.store_url)
    stack.callback(read_only.close)
    writer, ledger, reader = Writer(database), Ledger(database), Reader(read_only)
    retention = Retention(database, config.agent.data_dir, config.store.retention, run)
    keeper = StoreKeeper(database, writer, retention)

    will = encode({"state": "offline", "reason": "lwt"})
    client = PahoClient(config.mqtt, f"{name}-{writer.stream_id[:8]}", topics.status, will)
    sender = Sender(client, Outbox(database), run, topics.status)
    broker = EmbeddedBroker(config.mqtt.host, config.mqtt.port) if config.mqtt.embedded else None

    intake = Intake(config.model.batch)
    stop_sources = threading.Event()
    tallies = {line: Tally() for line in lines}
    supervisors = []
    for line in lines.values():
        sink = build_sink(line.section, tallies[line.name], intake.notify)
        intake.add(sink)
        source = build_source(line.section, sink, ledger)
        supervisors.append(SourceSupervisor(line.name, source, sink, stop_sources))

    page = PageState(name)
    for line in lines.values():
        page.add_line(line.name, line.section.mode.value, is_live(line.section))
    messages = Messages(topics, modes)
    evidence = EvidenceWriter(config.agent.data_dir, run)
    recorder = Recorder(
        lines=lines,
        tallies=tallies,
        writer=writer,
        evidence=evidence,
        messages=messages,
        observers=(page, StatePublisher(topics, sender)),
        ok_every=config.store.retention.ok_every,
    )
    pipeline = Pipeline(intake, Judge(detector, lines, run), recorder)
    probe = HealthProbe(modes, tallies, supervisors, sender, recorder, pipeline, evidence, keeper)
    app = create_app(PageSources(page, probe.problems, lambda: recent_events(reader)), config.web.loopback, token)
    return Parts(
        config=config,
        run=run,
        lines=lines,
        topics=topics,
        database=database,
        writer=writer,
        ledger=ledger,
        keeper=keeper,
        messages=messages,
        broker=broker,
        sender=sender,
        recorder=recorder,
        pipeline=pipeline,
        supervisors=tuple(supervisors),
        stop_sources=stop_sources,
        probe=probe,
        page=page,
        web=WebServer(app, config.web.host, config.web.port),
    )
