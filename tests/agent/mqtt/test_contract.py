"""What the builders make keeps to the contract, field by field; whole runs too: `tests/factories/contract.py`."""

import json

import pytest
from pydantic import ValidationError

from agent.drift.advice import DriftFinding, DriftReport
from agent.health import Backlog, HealthSnapshot, health_body, line_status_body
from agent.line_states import LineHealth
from agent.mqtt.contract import channel_of, read_message
from agent.mqtt.payloads import (
    Topics,
    encode,
    end_body,
    event_body,
    evicted_body,
    result_body,
    stamp,
    state_body,
)
from agent.records import LineCounters, LineMode, StepType, TriggerCounts
from agent.steering.commands import CommandAnswer
from fbclip.decision import Verdict
from tests.factories.agent import COMMITTED, a_step, an_inspection

TOPICS = Topics("plant/hall-2", "press-1")
IDENTITY = {"message_id": "m", "stream_id": "s", "message_seq": 1}
REGION_OF_A_PRIVATE_LINE = an_inspection(Verdict.ANOMALY, private=True, path="ab" * 16, context={"part": [1, None]})


def numbered(body: dict) -> dict:
    return stamp({**body, **IDENTITY}, COMMITTED, COMMITTED, "r", "r")


def a_health() -> LineHealth:
    counters = LineCounters(grabbed=3, inspected=1, dropped={"stale": 1})
    finding = DriftFinding("z_high", "scores are higher", COMMITTED, COMMITTED, 40, 20, 0.1, 1.5, 0)
    drift = DriftReport(units=40, false_alarm=0.01, findings=(finding,))
    return LineHealth("belt", LineMode.LIVE, "connected", None, counters, triggers=TriggerCounts(1, 1), drift=drift)


@pytest.mark.parametrize(
    ("topic", "body"),
    [
        (TOPICS.event("belt"), numbered(event_body("press-1", a_step(StepType.NEW), REGION_OF_A_PRIVATE_LINE))),
        (TOPICS.event("belt"), numbered(end_body("press-1", a_step(StepType.END, reason="restart")))),
        (TOPICS.result("belt"), numbered(result_body("press-1", an_inspection(Verdict.REJECTED, width=None)))),
        (TOPICS.evicted("belt"), numbered(evicted_body("press-1", "belt", 3, [(1, 2), (5, 5)]))),
        (TOPICS.answer, numbered(CommandAnswer("trigger", True, "ok", "9", {"part": "4711"}).body("press-1"))),
        (TOPICS.answer, numbered(CommandAnswer("odd", False, "no such command").body("press-1"))),
        (TOPICS.status, {"state": "offline", "reason": "lwt"}),
        (TOPICS.health, health_body(HealthSnapshot((a_health(),), "away", backlog=Backlog(2, 70.0)))),
        (TOPICS.line_status("belt"), line_status_body(a_health())),
        (TOPICS.line_status("belt"), {"state": "removed"}),
        (TOPICS.line_state("belt"), state_body("press-1", an_inspection())),
    ],
)
def test_bodies_keep_to_the_contract(topic, body):
    channel = channel_of(topic, "plant/hall-2")
    heard = json.loads(encode(body))
    read_message(channel, heard)
    with pytest.raises(ValidationError, match="extra_forbidden"):
        read_message(channel, {**heard, "more": 1})
    assert channel.retained == ("message_id" not in heard)


@pytest.mark.parametrize("topic", ["press-1/cmd/trigger", "press-1/belt", "press-1/belt/event/more", "press-1/event"])
def test_other_topics_are_no_agents(topic):
    assert channel_of(f"plant/hall-2/{topic}", "plant/hall-2") is None
