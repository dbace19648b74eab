"""Every part of one run of the agent, built before anything is started. The only file that knows everyone."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from agent.config.sections import Config
from agent.config.services import BacklogSection
from agent.config.source import DicomSource, FolderSource
from agent.drift.drift_store import DriftStore
from agent.health import HealthProbe
from agent.heartbeat import Heartbeat
from agent.lineup import Lineup
from agent.mending import Mending
from agent.metrics.exposition import Identity, metrics_text
from agent.metrics.inspection_counts import InspectionCounts
from agent.mqtt.bounds import Bounds
from agent.mqtt.broker import EmbeddedBroker
from agent.mqtt.client import PahoClient
from agent.mqtt.payloads import Topics, encode
from agent.mqtt.sender import Sender
from agent.pipeline.dicom_writer import DicomWriter
from agent.pipeline.drift_watch import DriftWatch
from agent.pipeline.evidence import EvidenceWriter
from agent.pipeline.home_image import HomeImage
from agent.pipeline.intake import Intake
from agent.pipeline.judge import Judge
from agent.pipeline.kept_frames import KeptFrames
from agent.pipeline.lines import LiveLines
from agent.pipeline.messages import Messages, StatePublisher, evicted_draft
from agent.pipeline.part_desk import PartDesk
from agent.pipeline.recorder import InspectionObserver, Recorder
from agent.pipeline.shadow_tally import ShadowTally
from agent.pipeline.workers import Pipeline
from agent.plant import RunningPlant
from agent.plc.desk import PlcDesk
from agent.privacy.quiet_log import protect
from agent.privacy.references import References, open_references
from agent.records import LineMode
from agent.sources.folder_lock import refuse_taken
from agent.sources.path_text import to_text
from agent.sources.sinks import Tally
from agent.sources.trigger_gates import TriggerGates
from agent.steering.ears import MqttEars
from agent.steering.overrides import Overrides
from agent.steering.steward import Request, Steward
from agent.steering.trigger_door import VERB, TriggerDoor
from agent.store.access import file_of, open_reader, open_writer
from agent.store.audit import AuditLog
from agent.store.claims import Claims
from agent.store.engine import Database
from agent.store.eviction import Eviction, EvictionLimits
from agent.store.keeper import StoreKeeper
from agent.store.ledger import Ledger
from agent.store.lock import DataLock
from agent.store.mount_memory import StoredMounts
from agent.store.outbox import Draft, Outbox
from agent.store.reader import Reader
from agent.store.retention import Retention
from agent.store.series_ledger import SeriesLedger
from agent.store.shared_ledger import SharedLedger
from agent.store.sqlite_file import make_private_folder
from agent.store.views import Views
from agent.store.writer import Writer
from agent.web.access import Access
from agent.web.app import create_app
from agent.web.control import Reply
from agent.web.server import WebServer, new_page_heartbeat
from agent.web.sources import PageSources
from agent.web.state import PageState
from agent.web.utilisation import Utilisation
from fbclip import __version__
from fbclip.detector import Detector


@dataclass(frozen=True)
class Setting:
    """What a run is made from. `path`: of agent.yaml; `hangup`: set when it should be read again.

    `access`: who may do what on the page.
    """

    path: Path
    config: Config
    overrides: Overrides
    access: Access = field(default_factory=Access)
    hangup: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Parts:
    """What the daemon starts, watches and stops. `broker` is the embedded one, None where it is elsewhere."""

    config: Config
    run: str
    topics: Topics
    client: PahoClient
    database: Database
    writer: Writer
    ledger: Ledger
    keeper: StoreKeeper
    reader: Reader
    messages: Messages
    broker: EmbeddedBroker | None
    sender: Sender
    recorder: Recorder
    pipeline: Pipeline
    drift: DriftWatch
    lineup: Lineup
    steward: Steward
    mending: Mending
    references: References
    probe: HealthProbe
    page: PageState
    web: WebServer
    plc: PlcDesk


def build_parts(setting: Setting, detector: Detector, stack: ExitStack) -> Parts:
    """All parts, ready to start. The data directory's lock and the store are opened here, and closed by `stack`.

    A line that cannot run is unavailable. Raises AgentError.
    """
    run, config, name = str(uuid4()), setting.config, setting.config.agent.name
    topics = Topics(config.mqtt.prefix, name)
    stack.enter_context(DataLock(config.agent.data_dir, file_of(config.store_url)))
    for folder in _hot_folders(config):
        # The sources lock them; a second agent is better told before it starts.
        refuse_taken(folder.path, folder.shared)
    make_private_folder(config.agent.data_dir, _filled_by_others(config))
    references = open_references(config.agent.data_dir)
    database = open_writer(config.store_url, name)
    stack.callback(database.close)
    read_only = open_reader(config.store_url, name)
    stack.callback(read_only.close)
    writer, ledger, reader, views = Writer(database), Ledger(database), Reader(read_only), Views(read_only)
    claims = None if database.is_sqlite else Claims(database, run)
    keeper = StoreKeeper(
        database, writer, Retention(database, config.agent.data_dir, config.store.retention, run), claims=claims
    )

    will = encode({"state": "offline", "reason": "lwt"})
    client = PahoClient(config.mqtt, f"{name}-{writer.stream_id[:8]}", topics.status, will)
    bounds = _bounds(config.mqtt.backlog, database, run, topics)
    sender = Sender(client, Outbox(database), run, topics.status, bounds=bounds)
    broker = EmbeddedBroker(config.mqtt.host, config.mqtt.port) if config.mqtt.embedded else None

    lines = LiveLines()
    tallies: dict[str, Tally] = {}
    modes: dict[str, LineMode] = {}
    intake, judge = Intake(config.model.batch), Judge(detector, lines, run, references=references)
    gates = TriggerGates(intake.notify)
    lineup = Lineup(
        detector,
        judge,
        intake,
        ledger,
        lines,
        tallies,
        modes,
        gates=gates,
        series=SeriesLedger(database, references.of_series),
        mounts=StoredMounts(database),
        share=None if claims is None else lambda source: SharedLedger(ledger, claims, to_text(source.path)),
    )
    lineup.set_up(setting.overrides.plans(config.lines), time.monotonic())
    page, utilisation, tally = PageState(name), Utilisation(), ShadowTally(lines)
    kept = KeptFrames(EvidenceWriter(config.agent.data_dir, run), writer.name_images)
    messages, evidence = Messages(topics, modes), EvidenceWriter(config.agent.data_dir, run)
    drift, counts = DriftWatch(lines, DriftStore(database)), InspectionCounts()
    plc = PlcDesk(config.plc, name, [line.name for line in config.lines], gates)
    recorder = Recorder(
        lines=lines,
        tallies=tallies,
        writer=writer,
        evidence=evidence,
        messages=messages,
        observers=(plc.board, *_observers(config, topics, sender, page, lines, run), utilisation, tally, kept),
        ok_every=config.store.retention.ok_every,
        witnesses=(drift, counts),
        desk=PartDesk(run, lines, gates),
        wake=sender.wake,
    )
    lineup.line_ended = recorder.line_ended
    pipeline = Pipeline(intake, judge, recorder)
    gates.knock = pipeline.knock
    steward = Steward(
        setting.path,
        config,
        setting.overrides,
        lineup,
        AuditLog(database),
        ledger,
        setting.hangup,
        keep_picture=kept.keep,
    )
    door = TriggerDoor(lineup)

    def say(draft: Draft) -> None:
        recorder.say(draft)
        pipeline.knock()

    client.listen(topics.commands, MqttEars(topics, steward, writer, sender.wake, door, say).hear)
    page_heartbeat = new_page_heartbeat()
    probe = HealthProbe(
        lineup=lineup,
        sender=sender,
        recorder=recorder,
        pipeline=pipeline,
        evidence=evidence,
        keeper=keeper,
        heartbeats=(sender.heartbeat, page_heartbeat, steward.heartbeat),
        drift=drift,
        plc_problems=plc.problems,
    )

    def submit(verb: str, payload: bytes, origin: str, reply: Reply) -> bool:
        if verb == VERB:
            reply(door.take(payload).body(name))
            return True
        return steward.submit(Request(verb, payload, origin, lambda answer: reply(answer.body(name))))

    metrics = metrics_text(_identity(config), probe.snapshot, counts) if config.metrics.enabled else None
    plant = RunningPlant(
        config=config,
        folder=setting.path.absolute().parent,
        run=run,
        lineup=lineup,
        probe=probe,
        reader=reader,
        views=views,
        tally=tally,
        utilisation=utilisation,
        frames=kept,
        can_roll_back=steward.can_roll_back,
    )
    sources = PageSources(page, plant, reader, views, submit, config.agent.data_dir, metrics)
    web = _server(setting, sources, page_heartbeat)
    return Parts(
        config=config,
        run=run,
        topics=topics,
        client=client,
        database=database,
        writer=writer,
        ledger=ledger,
        keeper=keeper,
        reader=reader,
        messages=messages,
        broker=broker,
        sender=sender,
        recorder=recorder,
        pipeline=pipeline,
        drift=drift,
        lineup=lineup,
        steward=steward,
        references=references,
        mending=Mending(lineup, pipeline, sender, web, steward),
        probe=probe,
        page=page,
        web=web,
        plc=plc,
    )


def _observers(
    config: Config, topics: Topics, sender: Sender, page: PageState, lines: LiveLines, run: str
) -> tuple[InspectionObserver, ...]:
    image = (HomeImage(topics, sender),) if config.mqtt.home_assistant else ()
    return (page, StatePublisher(topics, sender), DicomWriter(lines, run), *image)


def _identity(config: Config) -> Identity:
    return Identity(config.agent.name, __version__, config.model.backbone)


def _server(setting: Setting, sources: PageSources, heartbeat: Heartbeat) -> WebServer:
    web = setting.config.web
    return WebServer(create_app(sources, web.loopback, setting.access), web.host, web.port, heartbeat)


def _hot_folders(config: Config) -> list[FolderSource]:
    """Those of all lines; what lies in those of private lines is not named from now on."""
    sources = [(line, line.source) for line in config.lines if isinstance(line.source, FolderSource)]
    for line, source in sources:
        if line.is_private:
            protect(source.folders)
    return [source for _, source in sources]


def _filled_by_others(config: Config) -> list[Path]:
    """Hot folders to which other accounts need a way; not those of DICOM receivers."""
    sources = [line.source for line in config.lines]
    return [one.path for one in sources if isinstance(one, FolderSource) and not isinstance(one, DicomSource)]


def _bounds(backlog: BacklogSection, database: Database, run: str, topics: Topics) -> Bounds:
    limits = EvictionLimits(backlog.rows, int(backlog.mb * (1 << 20)), timedelta(hours=backlog.hours))
    return Bounds(Eviction(database, run, limits, evicted_draft(topics)))
