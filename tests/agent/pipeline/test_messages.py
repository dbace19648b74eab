"""Who publishes what: live lines their events, results and last verdict; the others nothing of these."""

import pytest

from agent.mqtt.payloads import Topics
from agent.mqtt.sender import Sender
from agent.pipeline.messages import Messages, StatePublisher
from agent.records import LineMode, StepType
from fbclip.decision import Verdict
from tests.factories.agent import FakeMqttClient, FakeRows, a_judged, a_step, an_inspection

TOPICS = Topics("fbclip", "demo")
STEPS = (a_step(StepType.NEW), a_step(StepType.END, reason="unit"))


def test_events_come_before_the_result_of_a_discrete_frame():
    messages = Messages(TOPICS, {"belt": LineMode.LIVE})
    drafts = messages.of(an_inspection(Verdict.ANOMALY, discrete=True), STEPS)
    assert [draft.topic.rpartition("/")[2] for draft in drafts] == ["event", "event", "result"]
    assert [draft.topic for draft in messages.of(an_inspection(), ())] == []


@pytest.mark.parametrize("mode", [LineMode.SHADOW, LineMode.LEARNING])
def test_other_lines_are_silent(mode):
    messages = Messages(TOPICS, {"belt": mode})
    assert messages.of(an_inspection(Verdict.ANOMALY, mode=mode, discrete=True), STEPS) == []
    assert messages.of_end(STEPS[1]) is None


def test_a_line_that_is_no_longer_configured_ends_its_event_aloud():
    draft = Messages(TOPICS, {}).of_end(STEPS[1])
    assert draft.topic == "fbclip/demo/belt/event"
    assert draft.body["end_reason"] == "unit"


@pytest.mark.parametrize("mode", LineMode)
def test_the_last_verdict_of_a_live_line_is_retained(mode, monkeypatch):
    sender = Sender(FakeMqttClient(), FakeRows(0), "run-1", TOPICS.status)
    retained, woken = {}, []
    monkeypatch.setattr(sender, "retain", retained.__setitem__)
    monkeypatch.setattr(sender, "wake", lambda: woken.append(1))
    StatePublisher(TOPICS, sender).inspected(a_judged(an_inspection(Verdict.ANOMALY, mode=mode)))
    assert list(retained) == (["fbclip/demo/belt/state"] if mode is LineMode.LIVE else [])
    assert woken == [1]
