"""The table of recent events, from a real store."""

import pytest

from agent.records import StepType
from agent.store.access import open_reader, open_writer
from agent.store.views import Views
from agent.store.writer import Writer
from agent.web.events import recent_events
from fbclip.decision import Verdict
from tests.factories.agent import a_step, an_inspection


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/agent.db"


def test_newest_first_with_the_values_of_the_frame_that_opened_it(url):
    database = open_writer(url)
    writer = Writer(database)
    writer.start_run("run-1", lambda step: None)
    writer.record(an_inspection(Verdict.ANOMALY, 1), (a_step(StepType.NEW, "e1"),), ())
    writer.record(an_inspection(Verdict.REJECTED, 2), (a_step(StepType.NEW, "e2"),), ())
    writer.end_events((a_step(StepType.END, "e1", "shutdown"),), ())
    second, first = recent_events(Views(database))
    assert (first["z"], first["threshold"], first["reason"]) == (1.5, 1.0, None)
    assert first["end_reason"] == "shutdown" and first["ended"] == "2026-01-02T03:04:05.000Z"
    # The cause, not that it was cleared.
    assert (second["z"], second["reason"], second["ended"]) == (None, "black", None)
    assert len(recent_events(Views(database), limit=1)) == 1
    database.close()


def test_a_store_that_cannot_be_read_shows_none(url, tmp_path, caplog):
    open_writer(url).close()
    reader = open_reader(url)
    reader.close()
    (tmp_path / "agent.db").write_bytes(b"not a database at all" * 500)
    assert recent_events(Views(reader)) == []
    assert "cannot be read" in caplog.text and "Traceback" not in caplog.text
