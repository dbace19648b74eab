"""The examples of the MQTT guide, run as they stand: Node-RED's function in a browser, Home Assistant's template."""

import re
from pathlib import Path

import pytest
import yaml
from jinja2 import Environment
from playwright.sync_api import sync_playwright

from agent.health import HealthSnapshot, health_body
from agent.line_states import LineHealth, LineState
from agent.mqtt.payloads import Topics
from agent.records import LineCounters, LineMode
from tests.factories.pages import CHROMIUM, needs_chromium

GUIDE = (Path(__file__).parents[2] / "deploy" / "docs" / "mqtt.md").read_text(encoding="utf-8")
# As Node-RED calls it: `context` outlives the call.
CALLS = """([body, messages]) => {
  const kept = {};
  const context = {get: (key) => kept[key], set: (key, value) => { kept[key] = value; }};
  const run = new Function("msg", "context", body);
  return messages.map((payload) => run({payload}, context));
}"""


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    return found


@needs_chromium
def test_only_a_new_and_timely_ok_is_ok_for_node_red():
    part = {"context": {"part": "4711"}}
    messages = [
        {"message_id": "a", "verdict": "ok", "context": None},
        {"message_id": "a", "verdict": "ok", "context": None},
        {"message_id": "b", "verdict": "ok", "historical": True, **part},
        *({"message_id": verdict, "verdict": verdict, **part} for verdict in ("anomaly", "uncertain", "rejected")),
        *({"message_id": f"n{number}", "verdict": "ok"} for number in range(2000)),
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        answers = browser.new_page().evaluate(CALLS, [block("js"), messages])
        browser.close()
    assert answers[:2] == [{"payload": 1, "part": None}, None]
    assert [answer["payload"] for answer in answers[2:6]] == [0, 0, 0, 0]
    assert [answer["part"] for answer in answers[2:6]] == ["4711"] * 4
    assert {answer["payload"] for answer in answers[6:]} == {1}


@pytest.mark.parametrize(("problem", "says"), [(None, "ON"), ("line belt: no image", "OFF")])
def test_home_assistant_reads_the_health_that_an_agent_says(problem, says):
    (sensor,) = yaml.safe_load(block("yaml"))["mqtt"]["binary_sensor"]
    assert sensor["state_topic"] == Topics("plant", "press-1").health
    line = LineHealth("belt", LineMode.LIVE, "connected", problem, LineCounters(), LineState.RUNNING)
    said = health_body(HealthSnapshot((line,)))
    template = Environment(autoescape=True).from_string(sensor["value_template"])
    assert template.render(value_json=said) == says
