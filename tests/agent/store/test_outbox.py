"""What is published of an outbox row, also of one that an earlier version wrote, byte by byte."""

from datetime import UTC, datetime

from sqlalchemy import and_, event, insert

from agent.mqtt.payloads import encode, end_body, event_body, result_body, stamp
from agent.records import StepType
from agent.store.outbox import Draft, Outbox, Parked, _waiting_lines, put
from agent.store.schema import outbox
from agent.store.writer import Writer
from fbclip.decision import Verdict
from tests.factories.agent import a_step, an_inspection
from tests.factories.postgres import on_both_engines

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SHA = "ab" * 32
IMAGE = f'{{"width":640,"height":480,"sha256":"{SHA}","ref":null}},"model":{{"id":"m"}},"profile":{{"id":"p"}}'
LATENCY = '"latency_ms":{"queue":1.0,"infer":2.0,"total":3.0},"context":null'
STAMPED = '"ts_publish":"2026-01-02T00:00:00.000Z","historical":false'
EVENT = (
    '{"schema":"fbclip.event/1","message_id":"ID","stream_id":"STREAM","message_seq":1,"event_id":"e1",'
    '"kind":"anomaly","type":"new","end_reason":null,"agent":"demo","line":"belt",'
    '"ts_capture":"2026-01-02T03:04:05.678Z","verdict":"anomaly","reason":null,"advice":null,"margin":2.5,"score":0.9,'
    f'"threshold":1.0,"z":1.5,"regions":[],"image":{IMAGE},{LATENCY},{STAMPED}}}'
)
END = (
    '{"schema":"fbclip.event/1","message_id":"ID","stream_id":"STREAM","message_seq":2,"event_id":"e1",'
    '"kind":"anomaly","type":"end","end_reason":"restart","agent":"demo","line":"belt",'
    '"ts_capture":"2026-01-02T03:04:05.000Z","verdict":null,"reason":null,"advice":null,"margin":null,"score":null,'
    '"threshold":null,"z":null,"regions":[],"image":null,"model":null,"profile":null,"latency_ms":null,'
    f'"context":null,{STAMPED}}}'
)
RESULT = (
    '{"schema":"fbclip.result/1","message_id":"ID","stream_id":"STREAM","message_seq":3,"agent":"demo",'
    '"line":"belt","ts_capture":"2026-01-02T03:04:05.678Z","verdict":"rejected","reason":"black","advice":null,"margin":null,'
    f'"score":null,"threshold":null,"z":null,"regions":[],"image":{IMAGE},{LATENCY},{STAMPED}}}'
)


def published(database) -> list[str]:
    waiting = Outbox(database).pending(10)
    return [encode(stamp(m.body, NOW, m.committed, m.run, "run-1")).decode() for m in waiting]


@on_both_engines
def test_the_row_gives_a_message_its_identity(database, writer: Writer):
    new, end = a_step(StepType.NEW), a_step(StepType.END, reason="restart")
    drafts = [
        Draft("belt", "t", event_body("demo", new, an_inspection(Verdict.ANOMALY))),
        Draft("belt", "t", end_body("demo", end)),
        Draft("belt", "t", result_body("demo", an_inspection(Verdict.REJECTED))),
    ]
    with database.transaction() as connection:
        put(connection, "agent", "run-1", drafts)
        connection.execute(outbox.update().values(committed=NOW))
        stored = [row.body for row in connection.execute(outbox.select())]
    assert not any({"message_id", "stream_id", "message_seq"} & body.keys() for body in stored)
    ids = [message.message_id for message in Outbox(database).pending(10)]
    assert len(set(ids)) == 3
    expected = [text.replace("STREAM", writer.stream_id) for text in (EVENT, END, RESULT)]
    assert published(database) == [text.replace("ID", name) for text, name in zip(expected, ids, strict=True)]


@on_both_engines
def test_a_row_of_an_earlier_version_is_published_unchanged(database, writer: Writer):
    body = {
        "schema": "fbclip.event/1",
        "message_id": "0d8a",
        "stream_id": writer.stream_id,
        "message_seq": 41,
        "event_id": "e1",
        "kind": "anomaly",
    }
    row = {
        "agent": "agent", "message_id": "0d8a", "line": "belt",
        "message_seq": 41, "topic": "t", "body": body, "run": "run-0",
        "committed": NOW, "attempts": 0,
    }  # fmt: skip
    with database.transaction() as connection:
        connection.execute(insert(outbox).values(row))
    assert published(database) == [
        f'{{"schema":"fbclip.event/1","message_id":"0d8a","stream_id":"{writer.stream_id}","message_seq":41,'
        '"event_id":"e1","kind":"anomaly","ts_publish":"2026-01-02T00:00:00.000Z","historical":true}'
    ]


@on_both_engines
def test_the_identity_in_an_earlier_body_wins(database, writer: Writer):
    """Subscribers know it by what was meant to be published, not by what a moved database would say now."""
    body = {"schema": "fbclip.event/1", "message_id": "0d8a", "stream_id": "its own", "message_seq": 41}
    with database.transaction() as connection:
        put(connection, "agent", "run-1", [Draft("belt", "t", body)])
    message = Outbox(database).pending(1)[0]
    assert {key: message.body[key] for key in body} == body


def fill(database, *lines: str) -> None:
    with database.transaction() as connection:
        put(connection, "agent", "run-1", [Draft(line, f"{line}/event", {}) for line in lines])


@on_both_engines
def test_lines_take_turns_and_each_keeps_its_order(database, writer: Writer):
    fill(database, *["a"] * 1000, "b", "b", "c")
    rows = Outbox(database)
    found = [(m.topic[0], m.body["message_seq"]) for m in rows.pending(8)]
    assert found == [("a", 1), ("b", 1), ("c", 1), ("a", 2), ("b", 2), ("a", 3)]
    ids = [m.id for m in rows.pending(8)]
    assert [(m.topic[0], m.body["message_seq"]) for m in rows.pending(2, ids)] == [("a", 4)]


@on_both_engines
def test_parked_rows_stay_and_stand_in_nobodys_way(database, writer: Writer):
    fill(database, *["a"] * 4, "b")
    rows = Outbox(database)
    rows.park([1, 2], "refused: Not authorized", held=False)
    rows.park([3], "ends the connection", held=True)
    assert [m.id for m in rows.pending(9)] == [4, 5] and rows.count() == 2
    assert rows.parked() == Parked(3, "a", "ends the connection")
    rows.release(held=False)
    assert [m.id for m in rows.pending(9)] == [1, 5, 2, 4] and rows.parked().count == 1
    assert rows.pending(1)[0].attempts == 1
    rows.release(held=True)
    rows.mark_sent([1, 2, 3, 4, 5])
    rows.park([1], "late", held=False)
    assert rows.parked() == Parked() and rows.count() == 0 and rows.oldest() is None


def test_the_waiting_of_a_line_are_found_by_index(database, writer: Writer):
    fill(database, "a")
    with database.transaction() as connection:
        plan = (
            "explain query plan select * from outbox where agent = 'agent' and sent is null and parked is null"
            " and line = 'a' order by id"
        )
        assert "ix_outbox_waiting" in str(connection.exec_driver_sql(plan).all())


def test_which_lines_wait_is_found_without_walking_through_the_backlog(database, writer: Writer):
    fill(database, "a")
    statements = []
    with database.transaction() as connection:
        event.listen(connection, "before_cursor_execute", lambda _c, _u, text, *_: statements.append(text))
        waiting = and_(database.own(outbox), outbox.c.sent.is_(None), outbox.c.parked.is_(None))
        assert _waiting_lines(connection, database.agent, waiting) == ("a",)
        plan = str(connection.exec_driver_sql(f"explain query plan {statements[0]}", ("agent", "agent", 1, 0)).all())
    assert "ix_outbox_waiting" in plan and "ix_outbox_sent" not in plan
