"""The audit: what is entered stays as it was said, newest first, for each agent under its name."""

from datetime import UTC, datetime

import pytest

from agent.errors import StoreError
from agent.records import StepType
from agent.store.audit import AuditEntry, AuditLog, Said
from agent.store.writer import Writer
from fbclip.decision import Verdict
from tests.factories.agent import a_step, an_inspection, row_count
from tests.factories.postgres import on_both_engines


@on_both_engines
def test_entries_come_back_as_they_were_said(database):
    audit, ts = AuditLog(database), datetime(2026, 1, 2, 3, tzinfo=UTC)
    first = AuditEntry("mqtt", "disable", True, "line belt: disabled", "ann ü'--", "belt", {"asked": {"x": [1]}}, ts)
    second = AuditEntry("signal", "reload", False, "the old configuration is kept", ts=ts)
    audit.note(first)
    audit.note(second)
    assert audit.entries() == (second, first)
    assert audit.entries(1) == (second,)
    audit.note(AuditEntry("ctl", "reload", True, "nothing to change"))
    assert audit.entries(1)[0].ts is not None


@on_both_engines
def test_what_operators_say_is_about_what_is_there(database):
    writer, audit = Writer(database), AuditLog(database)
    writer.start_run("run-1", lambda step: None)
    writer.record(an_inspection(Verdict.ANOMALY), [a_step(StepType.NEW, "e1")], [])
    assert (audit.line_of_event("e1"), audit.line_of_event("e2")) == ("belt", None)
    assert audit.add_feedback(1, Said("anomalous")) == "belt"
    assert audit.add_feedback(7, Said("normal")) is None
    assert row_count(database, "feedback") == 1


def test_a_store_that_cannot_be_used_is_said(database):
    audit = AuditLog(database)
    with database.transaction() as connection:
        connection.exec_driver_sql("drop table audit")
    with pytest.raises(StoreError, match="no such table: audit"):
        audit.note(AuditEntry("ctl", "reload", True, "x"))
