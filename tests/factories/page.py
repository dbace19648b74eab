"""The page of an agent with two lines, over a real store."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from agent.pipeline.evidence import EvidenceWriter
from agent.pipeline.judged import Judged
from agent.pipeline.kept_frames import KeptFrames
from agent.records import EventKind, EventStep, Latency, LineCounters, LineMode, StepType
from agent.steering.commands import FeedbackCommand, parse
from agent.store.access import open_writer
from agent.store.audit import AuditLog, Said
from agent.store.engine import Database
from agent.store.reader import Reader
from agent.store.views import Views
from agent.store.writer import Writer
from agent.web.cards import Card, histogram_of
from agent.web.sources import PageSources
from agent.web.state import PageState
from agent.web.system import DetectorUse, DiskUse, SystemView
from fbclip.artefacts.profile_file import load_profile
from fbclip.decision import Decision, Prediction, Region, Verdict, reject
from fbclip.images.geometry import Placement
from tests.factories.agent import a_frame, an_inspection

NOW = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
HOSTILE = "/in/<img src=x onerror=alert(1)>\u202egnp.exe\u202c\x07.png"
PROFILE = Path(__file__).parents[2] / "deploy" / "samples" / "profiles" / "belt.yaml"


class PageTime:
    """Monotonic seconds that stand still until they are moved."""

    def __init__(self):
        self.now = 50.0

    def __call__(self):
        return self.now


def judged(line, decision, image=None, prediction=None, placement=None, limits=None, **changes):
    inspection = an_inspection(line=line, frame_seq=7, decision=decision, ts=NOW, latency=Latency(1, 20, 42), **changes)
    return Judged(inspection, a_frame(7, line, image), prediction, placement, limits, level=1.0)


def image():
    ramp = np.linspace(60, 170, 320).astype(np.uint8)
    return np.repeat(np.repeat(ramp[None, :, None], 240, axis=0), 3, axis=2)


def found_something():
    """An anomaly on the belt, with its picture and map."""
    margins = np.zeros((32, 32), np.float32)
    margins[8:14, 12:20] = 5
    found = Decision(Verdict.ANOMALY, None, 3.2, 1.9, 0.87, 1.5, (Region((120, 60, 200, 105), 3600, 5.0),))
    prediction = Prediction(1.9, 0.87, cv2.GaussianBlur(margins, (0, 0), 1))
    return judged("belt", found, image(), prediction, Placement(0, 0, 320, 240), (0.0, 5.0), width=320, height=240)


def all_well(z=0.4):
    """The belt again, with nothing on it."""
    decision = Decision(Verdict.OK, None, z, 0.2, 0.5, 1.5)
    prediction = Prediction(0.2, 0.5, np.full((32, 32), 0.1, np.float32))
    return judged("belt", decision, image(), prediction, Placement(0, 0, 320, 240), (0.0, 5.0), width=320, height=240)


def nobody_follows(_verb, _payload, _origin, _reply):
    """Takes no command."""
    return False


@dataclass
class ExamplePlant:
    """A running agent as the page sees it; `frames` holds pictures that are in memory only."""

    reader: Reader
    views: Views
    wrong: tuple[str, ...] = ()
    cards: dict[str, Card] = field(default_factory=dict)
    frames: KeptFrames | None = None
    shadows: dict[str, Any] = field(default_factory=dict)
    private: tuple[str, ...] = ()

    def problems(self):
        return self.wrong

    def ready(self):
        return not self.wrong

    def card(self, line):
        return self.cards.get(line)

    def shadow(self, line):
        return self.shadows.get(line)

    def shows_pictures(self, line):
        return line in ("belt", "inbox") and line not in self.private

    def frame(self, inspection_id):
        return None if self.frames is None else self.frames.find(inspection_id)

    def system(self):
        detector = DetectorUse("embedded", "cpu", "float32", 0.42, 2, 1)
        return SystemView(
            "run-1", self.reader.status(), "connected", "mqtt://broker:1883", DiskUse(10**12, 4 * 10**11), detector,
            [("Python", "3.11.9")], self.wrong, audit=self.views.audit(),
        )  # fmt: skip


@dataclass(frozen=True)
class ExamplePage:
    """`sources` for `create_app`, and what a test needs to change what it shows."""

    sources: PageSources
    plant: ExamplePlant
    database: Database
    writer: Writer
    audit: AuditLog
    kept: KeptFrames

    @property
    def state(self) -> PageState:
        return self.sources.state

    def happens(self, one: Judged, event: str | None = None, opened: datetime = NOW) -> int:
        """An inspection is stored and shown, and opens an event of that id; returns the inspection's id."""
        kind = EventKind.ANOMALY if one.inspection.decision.verdict is Verdict.ANOMALY else EventKind.NO_VERDICT
        line = one.inspection.line
        steps = [] if event is None else [EventStep(event, kind, StepType.NEW, line, opened)]
        with self.database.transaction() as connection:
            seq = int(connection.exec_driver_sql("select count(*) from inspections").scalar_one()) + 1
        inspection = replace(one.inspection, frame_seq=seq)
        row = self.writer.record(inspection, steps, [])
        assert row is not None
        shown = replace(one, inspection=inspection, row=row)
        self.state.inspected(shown)
        self.kept.inspected(shown)
        return row

    def follow(self, verb, payload, origin, reply):
        """Takes feedback as the steward does; everything else is only repeated."""
        command = parse(verb, payload)
        if isinstance(command, FeedbackCommand):
            said = Said(command.label, command.note, command.by, origin)
            self.audit.add_feedback(command.inspection_id, said)
            self.kept.keep(command.inspection_id)
        reply({"ok": True, "verb": verb, "text": f"{verb} was followed"})
        return True


def build_page(time=None, problems=(), submit=None) -> ExamplePage:
    """Two lines: one has found something, the other is a folder that could not read a file."""
    folder = Path(tempfile.mkdtemp(prefix="page-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    database = open_writer(f"sqlite:///{folder}/agent.db", "demo")
    writer, reader, views = Writer(database), Reader(database), Views(database)
    writer.start_run("run-1", lambda _: None)
    evidence = EvidenceWriter(folder, "run-1", usage=lambda _: (10**12, 10**12))
    kept = KeptFrames(evidence, writer.name_images)
    state = PageState("demo", time or PageTime())
    state.add_line("belt", "live", live=True)
    state.add_line("inbox", "shadow", live=False)
    state.set_mqtt("connected")
    state.set_line("belt", "playing", LineCounters(1290, 1200, 3, {"replaced": 86}))
    state.set_line("inbox", "watching", LineCounters(12, 11, 1))
    loaded = load_profile(PROFILE)
    belt = Card(
        "belt", "live", True, loaded.profile, PROFILE, loaded.promise,
        histogram=histogram_of(loaded.profile), others=("profiles/newer.yaml",), can_roll_back=True,
    )  # fmt: skip
    plant = ExamplePlant(reader, views, tuple(problems), {"belt": belt, "inbox": Card("inbox", "shadow", True)}, kept)
    made: list[ExamplePage] = []

    def follow(verb, payload, origin, reply):
        return made[0].follow(verb, payload, origin, reply)

    sources = PageSources(state, plant, reader, views, submit or follow, folder)
    page = ExamplePage(sources, plant, database, writer, AuditLog(database), kept)
    made.append(page)
    one = found_something()
    refs = evidence.save(one.frame, one.margins, one.placement, one.limits, one.inspection.decision)
    inspection = replace(one.inspection, image_ref=refs.image_ref, overlay_ref=refs.overlay_ref)
    page.happens(replace(one, inspection=inspection), "e1")
    unread = judged("inbox", reject("<b>truncated</b>", 1.1), mode=LineMode.SHADOW, path=HOSTILE)
    page.happens(unread, "e2", NOW + timedelta(minutes=5))
    return page


def example_page(time=None, problems=(), submit=nobody_follows) -> PageSources:
    return build_page(time, problems, submit).sources
