"""What is published of an outbox row, also of one that an earlier version wrote, byte by byte."""

from datetime import UTC, datetime

from sqlalchemy import insert

from agent.mqtt.payloads import end_body, event_body, message_bytes, result_body
from agent.records import StepType
from agent.store.outbox import Draft, Outbox, put
from agent.store.schema import outbox
from agent.store.writer import Writer
from fbclip.decision import Verdict
from tests.factories.agent import a_step, an_inspection

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SHA = "ab" * 32
IMAGE = f'{{"width":640,"height":480,"sha256":"{SHA}","ref":null}},"model":{{"id":"m"}},"profile":{{"id":"p"}}'
LATENCY = '"latency_ms":{"queue":1.0,"infer":2.0,"total":3.0},"context":null'
STAMPED = '"ts_publish":"2026-01-02T00:00:00.000Z","historical":false'
EVENT = (
    '{"schema":"fbclip.event/1","message_id":"ID","stream_id":"STREAM","message_seq":1,"event_id":"e1",'
    '"kind":"anomaly","type":"new","end_reason":null,"agent":"demo","line":"belt",'
    '"ts_capture":"2026-01-02T03:04:05.678Z","verdict":"anomaly","reason":null,"margin":2.5,"score":0.9,'
    f'"threshold":1.0,"z":1.5,"regions":[],"image":{IMAGE},{LATENCY},{STAMPED}}}'
)
END = (
    '{"schema":"fbclip.event/1","message_id":"ID","stream_id":"STREAM","message_seq":2,"event_id":"e1",'
    '"kind":"anomaly","type":"end","end_reason":"restart","agent":"demo","line":"belt",'
    '"ts_capture":"2026-01-02T03:04:05.000Z","verdict":null,"reason":null,"margin":null,"score":null,'
    '"threshold":null,"z":null,"regions":[],"image":null,"model":null,"profile":null,"latency_ms":null,'
    f'"context":null,{STAMPED}}}'
)
RESULT = (
    '{"schema":"fbclip.result/1","message_id":"ID","stream_id":"STREAM","message_seq":3,"agent":"demo",'
    '"line":"belt","ts_capture":"2026-01-02T03:04:05.678Z","verdict":"rejected","reason":"black","margin":null,'
    f'"score":null,"threshold":null,"z":null,"regions":[],"image":{IMAGE},{LATENCY},{STAMPED}}}'
)


def published(database) -> list[str]:
    return [message_bytes(m, NOW, "run-1").decode() for m in Outbox(database).pending(10)]


def test_the_row_gives_a_message_its_identity(database, writer: Writer):
    new, end = a_step(StepType.NEW), a_step(StepType.END, reason="restart")
    drafts = [
        Draft("belt", "t", event_body("demo", new, an_inspection(Verdict.ANOMALY))),
        Draft("belt", "t", end_body("demo", end)),
        Draft("belt", "t", result_body("demo", an_inspection(Verdict.REJECTED))),
    ]
    with database.transaction() as connection:
        put(connection, "run-1", drafts)
        connection.execute(outbox.update().values(committed=NOW))
        stored = [row.body for row in connection.execute(outbox.select())]
    assert not any({"message_id", "stream_id", "message_seq"} & body.keys() for body in stored)
    ids = [message.message_id for message in Outbox(database).pending(10)]
    assert len(set(ids)) == 3
    expected = [text.replace("STREAM", writer.stream_id) for text in (EVENT, END, RESULT)]
    assert published(database) == [text.replace("ID", name) for text, name in zip(expected, ids, strict=True)]


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
        "message_id": "0d8a", "line": "belt", "message_seq": 41, "topic": "t", "body": body, "run": "run-0",
        "committed": NOW, "attempts": 0,
    }  # fmt: skip
    with database.transaction() as connection:
        connection.execute(insert(outbox).values(row))
    assert published(database) == [
        f'{{"schema":"fbclip.event/1","message_id":"0d8a","stream_id":"{writer.stream_id}","message_seq":41,'
        '"event_id":"e1","kind":"anomaly","ts_publish":"2026-01-02T00:00:00.000Z","historical":true}'
    ]


def test_the_identity_in_an_earlier_body_wins(database, writer: Writer):
    """Subscribers know it by what was meant to be published, not by what a moved database would say now."""
    body = {"schema": "fbclip.event/1", "message_id": "0d8a", "stream_id": "its own", "message_seq": 41}
    with database.transaction() as connection:
        put(connection, "run-1", [Draft("belt", "t", body)])
    message = Outbox(database).pending(1)[0]
    assert {key: message.body[key] for key in body} == body
