"""What messages say, field by field."""

from datetime import UTC, datetime, timedelta

from agent.mqtt.payloads import encode, event_body, result_body, stamp
from agent.records import EventKind, EventStep, StepType, timestamp
from fbclip.decision import Verdict
from tests.factories.agent import an_inspection

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def test_bodies_have_the_fields_of_the_contract():
    step = EventStep("e1", EventKind.ANOMALY, StepType.END, "belt", NOW, "cleared")
    body = event_body("demo", step, an_inspection(Verdict.ANOMALY))
    assert set(body) == {
        "schema",
        "event_id",
        "kind",
        "type",
        "end_reason",
        "agent",
        "line",
        "ts_capture",
        "verdict",
        "reason",
        "advice",
        "margin",
        "score",
        "threshold",
        "z",
        "regions",
        "image",
        "model",
        "profile",
        "latency_ms",
        "context",
    }
    assert (body["end_reason"], body["ts_capture"]) == ("cleared", "2026-01-02T03:04:05.678Z")
    result = result_body("demo", an_inspection(Verdict.REJECTED))
    assert (result["schema"], result["verdict"], result["reason"]) == ("fbclip.result/1", "rejected", "black")


def test_a_message_is_historical_when_late_or_of_an_earlier_run():
    def historical(seconds: float, run: str) -> bool:
        return stamp({}, NOW + timedelta(seconds=seconds), NOW, run, "run-1")["historical"]

    assert [historical(10, "run-1"), historical(10.1, "run-1"), historical(0, "run-0")] == [False, True, True]
    assert timestamp(NOW) == "2026-01-02T00:00:00.000Z"


def test_json_has_no_nan():
    assert (
        encode({"a": float("nan"), "b": [float("-inf"), 1.5], "c": "ü"}) == '{"a":null,"b":[null,1.5],"c":"ü"}'.encode()
    )
