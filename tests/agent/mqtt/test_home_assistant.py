"""Home Assistant's discovery through a real broker: documented keys, true topics, and what goes when a line goes."""

import json
import re
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import cv2
import jsonschema
import numpy as np
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from agent.mqtt.home_assistant import HomeAssistant, HomeLine, discovery, image_topic
from agent.mqtt.sender import Sender
from agent.pipeline.home_image import HomeImage
from agent.records import Frame, LineMode
from agent.store.access import open_writer
from agent.store.outbox import Outbox
from agent.store.writer import Writer
from fbclip.decision import Verdict
from tests.factories.agent import a_judged, an_inspection
from tests.factories.brokers import wait_until
from tests.factories.mqtt import TOPICS, a_client

LIVE, SHADOW, PRIVATE = HomeLine("belt", True, False), HomeLine("dock", False, False), HomeLine("scans", True, True)
SCHEMAS = Path(__file__).parents[3] / "deploy" / "schemas" / "mqtt"
TEXT = {"type": "string", "minLength": 1}
# As Home Assistant documents MQTT discovery: any key beside these is refused or ignored there.
COMMON = {
    "name": TEXT, "unique_id": TEXT, "availability_topic": TEXT, "availability_template": TEXT,
    "payload_available": TEXT, "payload_not_available": TEXT,
    "device": {
        "type": "object", "additionalProperties": False, "required": ["identifiers", "name"],
        "properties": {
            "identifiers": {"type": "array", "items": TEXT, "minItems": 1},
            "name": TEXT, "manufacturer": TEXT, "model": TEXT, "sw_version": TEXT,
        },
    },
    "origin": {
        "type": "object", "additionalProperties": False, "required": ["name"],
        "properties": {"name": TEXT, "sw_version": TEXT, "support_url": TEXT},
    },
}  # fmt: skip
STATE = {"state_topic": TEXT, "value_template": TEXT}
KINDS = {
    "binary_sensor": ({**STATE, "device_class": {"enum": ["problem"]}}, ["state_topic"]),
    "sensor": (
        {
            **STATE, "device_class": {"const": "enum"}, "state_class": {"const": "measurement"},
            "options": {"type": "array", "items": TEXT},
        },
        ["state_topic"],
    ),
    "image": ({"image_topic": TEXT, "content_type": {"const": "image/jpeg"}}, ["image_topic"]),
}  # fmt: skip


def check(topic, body):
    kind = topic.split("/")[1]
    own, required = KINDS[kind]
    schema = {
        "type": "object", "additionalProperties": False, "properties": COMMON | own,
        "required": ["name", "unique_id", "device", *required],
    }  # fmt: skip
    jsonschema.validate(body, schema)
    if "options" in body:
        assert body["device_class"] == "enum" and "state_class" not in body


@contextmanager
def kept_by(port):
    """What the broker keeps and hears: topic -> payload; an empty one is gone."""
    found, subscribed = {}, []
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda c, *_: c.subscribe("#", qos=1)
    client.on_subscribe = lambda *_: subscribed.append(True)

    def hear(_client, _data, message):
        if message.payload:
            found[message.topic] = message.payload
        else:
            found.pop(message.topic, None)

    client.on_message = hear
    client.connect("127.0.0.1", port)
    client.loop_start()
    wait_until(lambda: subscribed)
    try:
        yield found
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.fixture
def station(mosquitto, tmp_path):
    """A broker and a sender that is connected to it."""
    broker = mosquitto()
    database = open_writer(f"sqlite:///{tmp_path}/agent.db")
    Writer(database).start_run("run-1", lambda _: None)
    sender = Sender(a_client(broker.port), Outbox(database), "run-1", TOPICS.status)
    sender.start()
    yield broker, sender
    sender.stop(1)
    database.close()


def test_every_entity_has_documented_keys_and_a_topic_that_is_ours():
    found = discovery(TOPICS, [LIVE, SHADOW, PRIVATE], "1.0")
    for topic, body in found.items():
        check(topic, body)
    assert len({body["unique_id"] for body in found.values()}) == len(found)
    assert len({json.dumps(body["device"]) for body in found.values()}) == 1
    kept = {
        TOPICS.health,
        *(f(line) for f in (TOPICS.line_status, TOPICS.line_state) for line in ("belt", "dock", "scans")),
    }
    assert {body["state_topic"] for body in found.values() if "state_topic" in body} < kept
    assert [body["image_topic"] for body in found.values() if "image_topic" in body] == ["fbclip/demo/belt/image"]
    # What a shadow line thinks is for no one.
    assert not any("dock-verdict" in topic for topic in found)


def test_every_template_asks_for_what_the_message_on_its_topic_has():
    """By the published schemas of the messages, to which a running agent is held."""
    kinds = {TOPICS.health: "health", TOPICS.status: "agent-status"}
    kinds |= {TOPICS.line_status("belt"): "line-status", TOPICS.line_state("belt"): "line-state"}
    schemas = {
        kind: json.loads((SCHEMAS / f"{kind}.schema.json").read_text(encoding="utf-8")) for kind in kinds.values()
    }

    def options(schema, node):
        for one in node.get("anyOf", [node]):
            yield schema["$defs"][one["$ref"].rsplit("/", 1)[1]] if "$ref" in one else one

    def has(schema, node, key, *keys):
        found = [one["properties"][key] for one in options(schema, node) if key in one.get("properties", {})]
        return any(not keys or has(schema, one, *keys) for one in found)

    asked = 0
    for body in discovery(TOPICS, [LIVE], "1.0").values():
        pairs = [(body.get("state_topic"), body.get("value_template", ""))]
        pairs.append((body["availability_topic"], body["availability_template"]))
        for topic, template in pairs:
            for path in re.findall(r"value_json\.([a-z_.]+)", template):
                asked += 1
                schema = schemas[kinds[topic]]
                assert has(schema, schema, *path.split(".")), (topic, path)
    assert asked > 12
    assert {"failing", "unavailable"} <= set(schemas["line-status"]["properties"]["state"]["enum"])


def test_a_line_that_goes_takes_its_entities_along_also_while_the_agent_is_off(station, tmp_path):
    broker, sender = station
    with kept_by(broker.port) as kept:
        HomeAssistant(TOPICS, "1.0", sender, tmp_path, enabled=True).show([LIVE, PRIVATE])
        both = discovery(TOPICS, [LIVE, PRIVATE], "1.0").keys()
        wait_until(lambda: both <= kept.keys())
        for topic in both:
            check(topic, json.loads(kept[topic]))
        # A new run, which never said what the one before did.
        again = HomeAssistant(TOPICS, "1.0", sender, tmp_path, enabled=True)
        again.show([PRIVATE])
        one = discovery(TOPICS, [PRIVATE], "1.0").keys()
        wait_until(lambda: {t for t in kept if t.startswith("homeassistant/")} == one)
        HomeAssistant(TOPICS, "1.0", sender, tmp_path, enabled=False).show([PRIVATE])
        wait_until(lambda: not {t for t in kept if t.startswith("homeassistant/")})


def an_anomaly(**changes):
    frame = Frame("belt", 1, datetime.now(UTC), 0.0, np.full((1200, 1600, 3), 90, np.uint8))
    return a_judged(an_inspection(Verdict.ANOMALY, **changes), frame)


def test_the_last_anomaly_is_shown_small_and_never_of_a_private_or_shadow_line(station, tmp_path):
    broker, sender = station
    topic = image_topic(TOPICS, "belt")
    with kept_by(broker.port) as kept:
        home = HomeImage(TOPICS, sender)
        home.inspected(an_anomaly(private=True))
        home.inspected(an_anomaly(mode=LineMode.SHADOW))
        assert topic not in kept
        home.inspected(an_anomaly())
        wait_until(lambda: topic in kept)
        image = cv2.imdecode(np.frombuffer(kept[topic], np.uint8), cv2.IMREAD_COLOR)
        assert image.shape == (480, 640, 3)
        shown = HomeAssistant(TOPICS, "1.0", sender, tmp_path, enabled=True)
        shown.show([LIVE])
        shown.show([])
        wait_until(lambda: topic not in kept)


def test_images_come_no_faster_than_people_look():
    said = []

    class Sender:
        def retain_bytes(self, topic, payload):
            said.append((topic, len(payload)))

    now = [100.0]
    home = HomeImage(TOPICS, Sender(), lambda: now[0])
    for _ in range(10):
        home.inspected(an_anomaly())
        now[0] += 1
    assert len(said) == 2
    assert said[0][1] < 100_000
