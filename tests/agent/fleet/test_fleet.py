"""Two agents on a real broker, one of them lost: the table, the exit code, and what strangers may say."""

import json

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from agent.commands.fleet import fleet_status_command
from agent.commands.options import FleetStatusRequest
from agent.config.services import MqttSection
from agent.errors import MqttError
from agent.fleet.listening import retained_topics
from agent.fleet.view import fleet_of
from agent.health import HealthSnapshot, health_body, line_status_body
from agent.line_states import LineHealth, LineState
from agent.mqtt.payloads import Topics, encode
from agent.records import LineCounters, LineMode

CONFIG = """
mqtt: {{url: "mqtt://127.0.0.1:{port}", prefix: plant}}
lines: [{{name: a, mode: learning, source: {{type: folder, path: in}}}}]
"""


def line(name: str, state: LineState = LineState.RUNNING, problem: str | None = None) -> LineHealth:
    return LineHealth(name, LineMode.LIVE, "connected", problem, LineCounters(), state, guarantee="1% at 95%")


def said(agent: str, state: dict, *lines: LineHealth) -> dict[str, dict]:
    """What an agent keeps on its retained topics, by its own builders."""
    topics = Topics("plant", agent)
    info = {"agent": agent, "version": "0.1.0", "run": "r", "stream_id": "s", "backbone": "embedded",
            "lines": [{"name": x.name, "mode": "live", "profile": "ab" * 32, "model": "m"} for x in lines]}  # fmt: skip
    bodies = {topics.status: state, topics.info: info, topics.health: health_body(HealthSnapshot(lines))}
    return bodies | {topics.line_status(x.name): line_status_body(x) for x in lines}


ONE = said("press-1", {"state": "online"}, line("belt"), line("side", LineState.DISABLED))
TWO = said("press-2", {"state": "offline", "reason": "lwt"}, line("belt", LineState.FAILING, "line belt: no image"))


@pytest.fixture
def ask(mosquitto, tmp_path, capsys):
    broker = mosquitto()

    def run(retained: dict[str, dict | bytes], as_json: bool = False) -> tuple[int, str]:
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        for topic, body in retained.items():
            payload = body if isinstance(body, bytes) else encode(body)
            client.publish(topic, payload, qos=1, retain=True).wait_for_publish(10)
        client.disconnect()
        client.loop_stop()
        config = tmp_path / "agent.yaml"
        config.write_text(CONFIG.format(port=broker.port), encoding="utf-8")
        code = fleet_status_command(FleetStatusRequest(config, 10, as_json))
        return code, capsys.readouterr().out

    return run


def test_every_agent_and_line_is_told_and_a_lost_one_counts(ask):
    code, out = ask(ONE)
    assert code == 0
    assert "1 agents, 1 online and healthy" in out
    code, out = ask(TWO, as_json=True)
    assert code == 1
    one, two = json.loads(out)
    assert (one["name"], one["state"], one["version"], one["healthy"], one["well"]) == (
        "press-1", "online", "0.1.0", True, True)  # fmt: skip
    assert [(x["name"], x["state"], x["guarantee"], x["profile"]) for x in one["lines"]] == [
        ("belt", "running", "1% at 95%", "ab" * 32), ("side", "disabled", "1% at 95%", "ab" * 32)]  # fmt: skip
    assert (two["state"], two["reason"], two["problems"], two["well"]) == (
        "offline",
        "lwt",
        ["line belt: no image"],
        False,
    )
    _, text = ask({})
    assert "press-2 (last heard): line belt: no image" in text


def test_a_line_that_was_taken_out_is_gone_and_strange_words_do_no_harm(ask):
    strange = {"plant/press-1/side/status": {"state": "removed"}, "plant/odd/status": b"\xff not JSON",
               "plant/odd/health": {"healthy": "yes", "problems": ["\x1b[31mred", 7]},
               "plant/odd/info": {"lines": [None, {"name": 3}]}}  # fmt: skip
    code, out = ask({**ONE, **strange}, as_json=True)
    assert code == 1
    odd, one = json.loads(out)
    assert [x["name"] for x in one["lines"]] == ["belt"]
    assert (odd["state"], odd["healthy"], odd["problems"], odd["lines"]) == ("unknown", None, [" [31mred"], [])


def test_a_broker_without_agents_is_named(mosquitto):
    section = MqttSection(url=f"mqtt://127.0.0.1:{mosquitto().port}")
    with pytest.raises(MqttError, match=r"no agent has said anything within 0\.3 s"):
        retained_topics(section, 0.3)


def test_a_fleet_of_nothing():
    assert fleet_of({}, "plant") == ()
