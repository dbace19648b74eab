"""The fleet as a page: two agents on a real broker, what strangers publish, a broker that goes, and who may look."""

import threading
import urllib.error
import urllib.request
from datetime import UTC, datetime

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from agent.commands.fleet_serve import serve_fleet
from agent.commands.options import FleetServeRequest
from agent.config.loader import load_config
from agent.errors import MqttError
from agent.fleet.page import MOST_AGENTS, MOST_LINES, fleet_html
from agent.fleet.view import FleetAgent, FleetLine, fleet_of
from agent.fleet.watching import FleetSight, FleetWatch
from agent.health import HealthSnapshot, health_body, line_status_body
from agent.line_states import LineHealth, LineState
from agent.mqtt.payloads import Topics, encode
from agent.records import LineCounters, LineMode
from fbclip.errors import ConfigError
from tests.factories.brokers import free_port, wait_until

CONFIG = """
mqtt: {{url: "mqtt://127.0.0.1:{port}", prefix: plant}}
web: {{{web}}}
lines: [{{name: a, mode: learning, source: {{type: folder, path: in}}}}]
"""
TOKEN = "a-token-of-the-fleet"
SCRIPT = "<script>alert(1)</script>"


def said(agent, state, problem=None):
    topics = Topics("plant", agent)
    line = LineHealth("belt", LineMode.LIVE, "connected", problem, LineCounters(), LineState.RUNNING, guarantee="1%")
    info = {
        "agent": agent,
        "version": "9.8.7",
        "backbone": "embedded",
        "lines": [{"name": "belt", "profile": "ab" * 32}],
    }
    bodies = {topics.status: state, topics.info: info, topics.health: health_body(HealthSnapshot((line,)))}
    return bodies | {topics.line_status("belt"): line_status_body(line)}


class Page:
    """`agent fleet serve` in a thread, looking every second."""

    def __init__(self, folder, broker_port, web="", listen="127.0.0.1"):
        config = folder / "agent.yaml"
        config.write_text(CONFIG.format(port=broker_port, web=web), encoding="utf-8")
        self.port, self.stop = free_port(), threading.Event()
        request = FleetServeRequest(config, f"{listen}:{self.port}", every=1)
        self.thread = threading.Thread(target=serve_fleet, args=(load_config(config), request, self.stop))
        self.thread.start()

    def get(self, path="/", **headers):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read().decode()

    def shows(self, text):
        def look():
            try:
                return text in self.get()
            except OSError:
                return False

        wait_until(look, 20)
        return self.get()

    def close(self):
        self.stop.set()
        self.thread.join(10)
        assert not self.thread.is_alive()


@pytest.fixture
def serve(tmp_path):
    made = []

    def start(*arguments, **more):
        made.append(Page(tmp_path, *arguments, **more))
        return made[-1]

    yield start
    for page in made:
        page.close()


def publish(port, bodies):
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for topic, body in bodies.items():
        client.publish(topic, encode(body), qos=1, retain=True).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


def test_two_agents_are_shown_with_all_they_say_and_a_lost_broker_is_told(mosquitto, serve):
    broker = mosquitto()
    lost = said("press-2", {"state": "offline", "reason": "lwt"}, f"line belt: {SCRIPT}")
    publish(broker.port, said("press-1", {"state": "online"}) | lost)
    page = serve(broker.port)
    text = page.shows("2 agents, 1 online and healthy")
    for word in ("press-1", "press-2", "9.8.7", "embedded", "belt", "running", "live", "ab" * 6, "1%", "connected"):
        assert word in text
    assert "offline (lwt)" in text and text.index("press-2") < text.index("press-1")
    assert SCRIPT not in text and "&lt;script&gt;" in text and "(last heard)" in text
    publish(broker.port, said("press-2", {"state": "online"}))
    page.shows("2 agents, 2 online and healthy")
    broker.kill()
    text = page.shows("Nothing newer can be seen")
    assert "press-1" in text and 'class="chip failing">2 agents' in text


def test_beyond_loopback_it_asks_for_the_tokens_of_agent_yaml(mosquitto, serve, tmp_path, monkeypatch):
    broker = mosquitto()
    publish(broker.port, said("press-1", {"state": "online"}))
    config = tmp_path / "agent.yaml"
    config.write_text(CONFIG.format(port=broker.port, web=""), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"--listen: is not loopback: set web\.token_env"):
        serve_fleet(load_config(config), FleetServeRequest(config, "0.0.0.0:0"), threading.Event())
    monkeypatch.setenv("FLEET_TOKEN", TOKEN)
    page = serve(broker.port, web="view_token_env: FLEET_TOKEN", listen="0.0.0.0")
    wait_until(lambda: "Sign in" in _quietly(page, "/login"), 20)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        page.get()
    wait_until(lambda: "press-1" in page.get(authorization=f"Bearer {TOKEN}"), 20)


def _quietly(page, path):
    try:
        return page.get(path)
    except OSError:
        return ""


def test_a_foreign_name_is_refused_and_nothing_else_is_served(mosquitto, serve):
    page = serve(mosquitto().port)
    page.shows("nothing seen yet")
    with pytest.raises(urllib.error.HTTPError, match="421"):
        page.get(host="plant.example")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        page.get("/api/state")
    assert "text/css" not in page.get() and "/static/page.css" in page.get()
    assert "--card" in page.get("/static/page.css")


@pytest.mark.parametrize("listen", ["8089", "host:99999", ":1", ""])
def test_an_address_that_is_none_is_one_line(tmp_path, listen):
    config = tmp_path / "agent.yaml"
    config.write_text(CONFIG.format(port=1, web=""), encoding="utf-8")
    with pytest.raises(ConfigError, match="--listen: must be HOST:PORT, not"):
        serve_fleet(load_config(config), FleetServeRequest(config, listen), threading.Event())


def test_what_anybody_published_is_escaped_and_bounded():
    lines = tuple(FleetLine(f"{SCRIPT}{number}") for number in range(MOST_LINES + 2))
    many = tuple(
        FleetAgent(f'{number:04d}"><b>', lines=lines if number == 0 else ()) for number in range(MOST_AGENTS + 3)
    )
    text = fleet_html(FleetSight(many, datetime(2026, 1, 1, tzinfo=UTC)), 10)
    assert SCRIPT not in text and '"><b>' not in text
    assert "3 more agents are not shown" in text and "2 more lines are not shown" in text
    assert text.count("<section") == MOST_AGENTS and f"{MOST_AGENTS + 3} agents, 0 online and healthy" in text


def test_a_name_that_would_steer_a_terminal_is_made_plain():
    (agent,) = fleet_of(
        {"plant/\x1b[31mred/status": {"state": "online"}, "plant/\x1b[31mred/x\x07/status": {}}, "plant"
    )
    assert (agent.name, [line.name for line in agent.lines]) == (" [31mred", ["x "])


def test_what_was_seen_stays_while_the_broker_is_away(caplog):
    answers = [(FleetAgent("press"),), MqttError("broker: away"), MqttError("broker: away"), ()]

    def look():
        answer = answers.pop(0)
        if isinstance(answer, MqttError):
            raise answer
        return answer

    now = datetime(2026, 1, 1, tzinfo=UTC)
    watch = FleetWatch(look, 10, lambda: now)
    for _ in range(3):
        watch.look()
    assert watch.sight == FleetSight((FleetAgent("press"),), now, "broker: away")
    assert len(caplog.records) == 1
    watch.look()
    assert watch.sight == FleetSight((), now)
