"""Parts through the recorder into a real store: one answer each, whatever comes first, verdict or deadline."""

import itertools
import json
import threading
from dataclasses import replace

import numpy as np
import pytest

from agent.config.line import LineSection
from agent.mqtt.payloads import Topics
from agent.pipeline.evidence import EvidenceWriter
from agent.pipeline.lines import Line
from agent.pipeline.messages import Messages
from agent.pipeline.part_desk import PartDesk
from agent.pipeline.recorder import MOST_SAID, Recorder
from agent.records import LineMode
from agent.sources.sinks import Tally
from agent.sources.trigger_gates import TriggerGates
from agent.store.access import open_writer
from agent.store.outbox import Draft, Outbox
from agent.store.writer import Writer
from fbclip.decision import Verdict
from tests.factories.agent import FakeClock, KeepingObserver, a_frame, a_judged, an_inspection, stored_inspections

STOP = threading.Event()
IMAGE = np.full((8, 8, 3), 9, np.uint8)


class Bench:
    """A triggered line `belt`, its gate on a clock of the test, and a recorder with a real store."""

    def __init__(self, folder, loaded=True, **source) -> None:
        values = {"type": "camera", "device": 0, "trigger": "mqtt", "answer_s": 2} | source
        self.section = LineSection(name="belt", source=values, profile="p.yaml")
        self.tally, self.clock, self.observer = Tally(), FakeClock(), KeepingObserver()
        self.numbers = itertools.count(1)
        gates = TriggerGates()
        self.gate = gates.of(self.section, self.tally, self.numbers)
        self.gate._clock = self.clock
        self.gate.use(self.section)
        self.database = open_writer(f"sqlite:///{folder}/agent.db")
        writer = Writer(self.database)
        messages = Messages(Topics("fbclip", "a"), {"belt": LineMode.LIVE})
        writer.start_run("run-1", messages.of_end)
        lines = {"belt": Line(self.section, "adapter")} if loaded else {}
        self.recorder = Recorder(
            lines=lines,
            tallies={"belt": self.tally},
            writer=writer,
            evidence=EvidenceWriter(folder, "run-1"),
            messages=messages,
            observers=[self.observer],
            ok_every=0,
            desk=PartDesk("run-1", lines, gates, self.clock.monotonic),
        )

    def trigger(self, part="A", frames=None):
        return self.gate.ask({"part": part}, frames)

    def grab(self):
        self.clock.time += 0.1
        self.gate.put(replace(a_frame(next(self.numbers), image=IMAGE), monotonic=self.clock.time), STOP)
        return self.gate.get(0)

    def judge(self, frame, verdict):
        inspection = an_inspection(verdict, frame.seq, context=frame.context, discrete=frame.discrete)
        assert self.recorder.record(a_judged(inspection, frame), STOP)

    @property
    def messages(self):
        """Kind of topic and body."""
        found = Outbox(self.database).pending(1000)
        return [(message.topic.rpartition("/")[2], message.body) for message in found]

    @property
    def results(self):
        return [body for kind, body in self.messages if kind == "result"]

    def balanced(self) -> bool:
        counters = self.tally.snapshot()
        return counters.in_flight == 0 and counters.inspected + counters.rejected == len(
            stored_inspections(self.database)
        )


@pytest.fixture
def bench(tmp_path):
    made = []

    def build(**source):
        made.append(Bench(tmp_path, **source))
        return made[-1]

    yield build
    for one in made:
        one.database.close()


def test_a_verdict_in_time_is_the_one_answer(bench):
    bench = bench()
    bench.trigger({"serial": 7})
    bench.judge(bench.grab(), Verdict.ANOMALY)
    bench.clock.time += 10
    bench.recorder.turn(STOP)
    (result,) = bench.results
    assert result["verdict"] == "anomaly"
    assert result["context"] == {"part": {"serial": 7}, "frames": 1, "judged": 1}
    events = [body for kind, body in bench.messages if kind == "event"]
    assert [(body["type"], body["end_reason"], body["context"]) for body in events] == [
        ("new", None, result["context"]),
        ("end", "unit", result["context"]),
    ]
    assert [judged.inspection.context for judged in bench.observer.heard] == [result["context"]]
    assert bench.gate.counts.answered == 1
    assert bench.balanced()


def test_a_verdict_after_the_deadline_is_stored_and_told_to_nobody(bench):
    bench = bench()
    bench.trigger()
    frame = bench.grab()
    bench.clock.time += 2
    bench.recorder.turn(STOP)
    before = bench.messages
    bench.judge(frame, Verdict.ANOMALY)
    assert bench.messages == before
    (result,) = bench.results
    assert (result["verdict"], result["reason"]) == ("rejected", "timeout")
    assert [body["kind"] for kind, body in before if kind == "event"] == ["no_verdict", "no_verdict"]
    assert len(bench.observer.heard) == 1
    counts = bench.gate.counts
    assert (counts.answered, counts.timeout, counts.late) == (1, 1, 1)
    rows = stored_inspections(bench.database)
    assert [(row.verdict, row.reason) for row in rows] == [("rejected", "timeout"), ("anomaly", None)]
    assert bench.balanced()


def test_three_images_are_one_answer_about_the_worst(bench):
    bench = bench(frames=3)
    bench.trigger()
    frames = [bench.grab() for _ in range(3)]
    for frame, verdict in zip(frames, (Verdict.OK, Verdict.ANOMALY, Verdict.OK), strict=True):
        assert bench.results == []
        bench.judge(frame, verdict)
    (result,) = bench.results
    assert (result["verdict"], result["context"]) == ("anomaly", {"part": "A", "frames": 3, "judged": 3})
    with bench.database.transaction() as connection:
        query = "select i.frame_seq, i.context from events e join inspections i on i.id = e.inspection_id"
        found = connection.exec_driver_sql(query).all()
    # The event leads to the image that it is about, not to the last one.
    assert [(seq, json.loads(context)["frame"]) for seq, context in found] == [(frames[1].seq, 2)]
    assert bench.balanced()


def test_an_anomaly_that_was_seen_is_told_although_the_other_images_never_came(bench):
    bench = bench(frames=2)
    bench.trigger()
    bench.judge(bench.grab(), Verdict.ANOMALY)
    bench.clock.time += 2
    bench.recorder.turn(STOP)
    (result,) = bench.results
    assert (result["verdict"], result["context"]) == ("anomaly", {"part": "A", "frames": 2, "judged": 1})
    assert bench.gate.counts.timeout == 1
    assert bench.balanced()


def test_busy_and_stopping_are_answered_each_with_a_row(bench):
    bench = bench(queue=1)
    assert [bench.trigger(part) for part in "AB"] == [None, "busy"]
    bench.recorder.turn(STOP)
    bench.recorder.give_up("shutdown", STOP)
    assert bench.trigger("C") == "shutdown"
    bench.recorder.turn(STOP)
    assert [(body["context"]["part"], body["reason"]) for body in bench.results] == [
        ("B", "busy"),
        ("A", "shutdown"),
        ("C", "shutdown"),
    ]
    assert bench.gate.waiting == 0
    assert bench.balanced()


def test_a_line_that_could_not_be_loaded_answers_too(bench):
    bench = bench(loaded=False)
    bench.gate.shut("line_unavailable")
    bench.trigger()
    bench.recorder.turn(STOP)
    (result,) = bench.results
    assert (result["reason"], result["profile"]) == ("line_unavailable", {"id": None})


def test_the_loss_of_a_camera_ends_with_parts_that_are_judged(bench):
    bench = bench()
    lost = an_inspection(Verdict.REJECTED, next(bench.numbers))
    bench.tally.grabbed()
    bench.recorder.record(a_judged(lost), STOP)
    for number in range(3):
        bench.trigger(number)
        bench.judge(bench.grab(), Verdict.OK)
    events = [(body["type"], body["end_reason"]) for kind, body in bench.messages if kind == "event"]
    assert events == [("new", None), ("end", "cleared")]
    assert bench.balanced()


def test_what_is_said_is_stored_in_the_next_turn_and_bounded(bench):
    bench = bench()
    for number in range(MOST_SAID + 2):
        bench.recorder.say(Draft("answer", "fbclip/a/answer", {"number": number}))
    bench.recorder.turn(STOP)
    assert Outbox(bench.database).count() == MOST_SAID


@pytest.mark.parametrize(("choice", "numbers"), [("none", []), ("every", [1, 2, 3, 4]), ("changes", [1, 3, 4])])
def test_live_frames_have_results_as_the_line_says(tmp_path, choice, numbers):
    bench = Bench(tmp_path)
    section = LineSection(name="belt", source={"type": "camera", "device": 0}, profile="p.yaml", results=choice)
    bench.recorder._lines = {"belt": Line(section, "adapter")}
    for seq, verdict in enumerate((Verdict.OK, Verdict.OK, Verdict.ANOMALY, Verdict.OK), start=1):
        bench.tally.grabbed()
        bench.recorder.record(a_judged(an_inspection(verdict, seq, sha256=str(seq))), STOP)
    assert [int(body["image"]["sha256"]) for body in bench.results] == numbers
    bench.database.close()
