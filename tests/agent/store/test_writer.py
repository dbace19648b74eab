"""One transaction an inspection: all of it or nothing."""

import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.errors import StoreError
from agent.records import StepType
from agent.store.access import open_writer
from agent.store.outbox import Draft, Outbox
from agent.store.reader import Reader
from agent.store.writer import Writer
from fbclip.decision import Verdict
from tests.factories.agent import a_draft, a_step, an_inspection, row_count
from tests.factories.postgres import on_both_engines


@on_both_engines
def test_one_transaction_writes_all_and_numbers_messages_per_line(database, writer):
    steps = (a_step(StepType.NEW), a_step(StepType.END, reason="unit"))
    writer.record(an_inspection(Verdict.ANOMALY), steps, [a_draft(), a_draft("inbox"), a_draft()])
    messages = Outbox(database).pending(10)
    assert [(m.topic, m.body["message_seq"]) for m in messages] == [
        ("t/belt/event", 1),
        ("t/inbox/event", 1),
        ("t/belt/event", 2),
    ]
    assert [m.message_id for m in messages] == [m.body["message_id"] for m in messages]
    event = Reader(database).recent_events()[0]
    assert (event.ended, event.end_reason, event.inspection_id) == (steps[1].ts, "unit", 1)
    row = Reader(database).inspection(1)
    assert (row.ts, row.verdict, row.z) == (an_inspection().ts, Verdict.ANOMALY, 1.5)


def test_what_fails_leaves_nothing_and_no_gap(database, writer):
    broken = Draft("belt", "t", {"schema": "fbclip.event/1", "value": object()})
    with pytest.raises(StoreError, match="not JSON serializable"):
        writer.record(an_inspection(), (a_step(StepType.NEW),), [a_draft(), broken])
    assert [row_count(database, t) for t in ("inspections", "events", "outbox")] == [0, 0, 0]
    writer.record(an_inspection(), (), [a_draft()])
    assert Outbox(database).pending(1)[0].body["message_seq"] == 1
    with pytest.raises(StoreError, match="UNIQUE") as caught:
        writer.record(an_inspection(seq=2), (a_step(StepType.NEW), a_step(StepType.NEW)), [a_draft()])
    assert "\n" not in str(caught.value)
    # Tried again after a commit of which nobody heard.
    writer.record(an_inspection(), (), [a_draft()])
    assert [row_count(database, t) for t in ("inspections", "outbox")] == [1, 1]


KILLED = """
import os, signal, sys
from collections import UserDict
from agent.store.access import open_writer
from agent.store.outbox import Draft
from agent.store.writer import Writer
from agent.records import StepType
from tests.factories.agent import a_draft, a_step, an_inspection

class Deadly(UserDict):
    def __iter__(self):
        os.kill(os.getpid(), signal.SIGKILL)

writer = Writer(open_writer(sys.argv[1]))
writer.start_run("run-1", lambda step: None)
writer.record(an_inspection(), (a_step(StepType.NEW),), [a_draft()])
writer.record(an_inspection(seq=2), (a_step(StepType.NEW, "e2"),), [a_draft(), Draft("belt", "t", Deadly())])
"""


def test_a_killed_process_leaves_nothing_half_written(url):
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", KILLED, url], cwd=root, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    database = open_writer(url)
    assert [row_count(database, t) for t in ("inspections", "events", "outbox")] == [1, 1, 1]
    again = Writer(database)
    assert again.start_run("run-2", lambda step: a_draft(step.line)) == 1
    assert Reader(database).recent_events()[0].end_reason == "restart"
    assert [m.body["message_seq"] for m in Outbox(database).pending(9)] == [1, 2]
    again.end_run(clean=True)
    database.close()


@on_both_engines
def test_an_inspection_that_was_recorded_by_a_transaction_that_seemed_to_fail_is_recorded_once(database, writer):
    for _ in range(2):
        writer.record(an_inspection(Verdict.ANOMALY), (a_step(StepType.NEW),), [a_draft()])
        assert [row_count(database, t) for t in ("inspections", "events", "outbox")] == [1, 1, 1]
    for _ in range(2):
        writer.end_events((a_step(StepType.END, reason="shutdown"),), [a_draft()])
        assert row_count(database, "outbox") == 2


@on_both_engines
def test_another_inspection_in_the_place_of_one_is_an_error_and_not_taken_for_it(database, writer):
    first = an_inspection(Verdict.OK, path="/in/a\udcff.png")
    assert writer.record(first, (), [a_draft()]) == writer.record(first, (), [a_draft()])
    for change in ({"path": "/in/b.png"}, {"path": None}, {"sha256": "cd" * 32}, {"ts": datetime.now(UTC)}):
        with pytest.raises(StoreError, match="line belt: another inspection has number 1 of this run"):
            writer.record(replace(first, **change), (a_step(StepType.NEW),), [a_draft()])
    with pytest.raises(StoreError, match="another inspection"):
        writer.record(an_inspection(Verdict.ANOMALY, path=first.path), (), ())
    assert [row_count(database, t) for t in ("inspections", "events", "outbox")] == [1, 0, 1]


@on_both_engines
def test_a_message_that_is_posted_again_is_the_same_message(database, writer):
    answers = [a_draft("answers"), a_draft("answers")]
    writer.post(answers)
    # Nobody heard of the commit, and meanwhile there is one more to be said.
    writer.post([*answers, a_draft("answers")])
    messages = Outbox(database).pending(9)
    assert [m.body["message_seq"] for m in messages] == [1, 2, 3]
    assert [m.message_id for m in messages[:2]] == [draft.message_id for draft in answers]
