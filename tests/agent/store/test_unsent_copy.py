"""A file goes with its agent when that is given another name."""

from agent.records import StepType
from agent.store.access import open_writer
from agent.store.ledger import Ledger
from agent.store.outbox import Outbox
from agent.store.reader import Reader
from agent.store.unsent_copy import UnsentCopy
from agent.store.writer import Writer
from fbclip.decision import Verdict
from tests.factories.agent import a_draft, a_step, an_inspection


def test_what_was_unsent_under_the_old_name_goes_out_under_the_new_one_and_numbers_go_on(url, tmp_path):
    old = open_writer(url, "press")
    writer = Writer(old)
    writer.start_run("run-1", lambda step: a_draft(step.line))
    claimed = Ledger(old).add_claimed("belt", "/in/a.png", 1, 2)
    writer.record(an_inspection(Verdict.ANOMALY), [a_step(StepType.NEW)], [a_draft(), a_draft()])
    Outbox(old).mark_sent([1])
    (waiting,) = Outbox(old).pending(9)
    old.close()
    for name in ("lathe", "a"):
        database = open_writer(url, name)
        writer = Writer(database)
        # The open event of the old name is ended by the new one, with the next number.
        writer.start_run(f"run-{name}", lambda step: a_draft(step.line))
        messages = Outbox(database).pending(9)
        assert messages[0].message_id == waiting.message_id
        assert [m.body["message_seq"] for m in messages] == [2, 3]
        assert {m.body["stream_id"] for m in messages} == {writer.stream_id} == {waiting.body["stream_id"]}
        assert [row.end_reason for row in Reader(database).recent_events()] == ["restart"]
        known = Ledger(database).find("belt", "/in/a.png", 1, 2)
        assert known is not None and known.id == claimed
        database.close()
    # The database is lost: the copy gives back what waits, whatever name it was written under.
    assert len(UnsentCopy(tmp_path / "agent.db").rows) == 2
    (tmp_path / "agent.db").write_bytes(b"no database at all" * 300)
    for rest in ("-wal", "-shm"):
        (tmp_path / f"agent.db{rest}").unlink(missing_ok=True)
    database = open_writer(url, "press")
    writer = Writer(database)
    writer.start_run("run-9", lambda step: a_draft(step.line))
    writer.post([a_draft()])
    assert [m.body["message_seq"] for m in Outbox(database).pending(9)] == [2, 3, 4]
    database.close()
