"""The bridge from a hall's broker to the plant's, between two real ones: nothing is lost while the plant is away."""

import re
import threading
from pathlib import Path

import paho.mqtt.client as paho
import yaml
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.config.services import MqttSection
from agent.fleet.listening import retained_topics
from agent.fleet.view import fleet_of
from agent.mqtt.payloads import Topics, encode
from tests.factories.brokers import Mosquitto, free_port, mosquitto, wait_until

__all__ = ["mosquitto"]

BRIDGE = Path(__file__).parents[2] / "deploy" / "compose" / "bridge.conf"
CONTRACT = BRIDGE.parents[1] / "schemas" / "asyncapi.yaml"
# More than a broker queues for somebody who is away unless it is told to.
EVENTS = 1500


def bridge_to(port: int) -> list[str]:
    """The shipped lines, without the TLS and the account of a broker that is not here."""
    text = BRIDGE.read_text(encoding="utf-8")
    text = text.replace("broker.plant.example:8883", f"127.0.0.1:{port}").replace(
        "restart_timeout 2 30", "restart_timeout 1"
    )
    return [line for line in text.splitlines() if not re.match("#|bridge_cafile|remote_username|remote_password", line)]


def client(port: int) -> paho.Client:
    made = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    made.connect("127.0.0.1", port)
    made.loop_start()
    return made


def test_events_retained_topics_and_commands_cross_the_bridge_once(mosquitto, tmp_path):
    plant_port, topics = free_port(), Topics("fbclip", "press-1")
    hall = mosquitto("allow_anonymous true", *bridge_to(plant_port))
    clients = [at_hall := client(hall.port)]
    try:
        at_hall.publish(topics.status, encode({"state": "online"}), qos=1, retain=True).wait_for_publish(10)
        at_hall.publish(topics.info, encode({"version": "1.2.3"}), qos=1, retain=True).wait_for_publish(10)
        event = f"{topics.root}/belt/event"
        sent = [at_hall.publish(event, encode({"message_seq": number}), qos=1) for number in range(EVENTS)]
        for message in sent:
            message.wait_for_publish(10)
        commanded, heard = [], []
        ready = threading.Event()
        at_hall.on_message = lambda _c, _u, message: commanded.append(message.payload)
        at_hall.on_subscribe = lambda *_: ready.set()
        at_hall.subscribe("fbclip/+/cmd/#", qos=1)
        assert ready.wait(10)
        config = tmp_path / "plant.conf"
        lines = (f"listener {plant_port} 127.0.0.1", "allow_anonymous true", "user root", "max_queued_messages 0")
        config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        plant = Mosquitto(hall.binary, config, plant_port)
        plant.start()
        try:
            clients.append(at_plant := client(plant_port))
            at_plant.on_message = lambda _c, _u, message: heard.append(message.payload)
            at_plant.subscribe("fbclip/+/+/event", qos=1)
            wait_until(lambda: len(heard) >= EVENTS, 40)
            assert heard == [encode({"message_seq": number}) for number in range(EVENTS)]
            fleet = fleet_of(retained_topics(MqttSection(url=f"mqtt://127.0.0.1:{plant_port}"), 10), "fbclip")
            assert [(agent.name, agent.state, agent.version) for agent in fleet] == [("press-1", "online", "1.2.3")]
            at_plant.publish("fbclip/press-1/cmd/trigger", b'{"line": "belt"}', qos=1).wait_for_publish(10)
            wait_until(lambda: commanded)
            at_hall.publish(event, b'{"message_seq": -1}', qos=1).wait_for_publish(10)
            wait_until(lambda: len(heard) > EVENTS)
            assert commanded == [b'{"line": "belt"}']
        finally:
            plant.kill()
    finally:
        for made in clients:
            made.disconnect()
            made.loop_stop()


def test_every_topic_of_the_contract_crosses_in_one_direction():
    channels = yaml.safe_load(CONTRACT.read_text(encoding="utf-8"))["channels"]
    bridged = re.findall(r"^topic (\S+) (in|out) 1$", BRIDGE.read_text(encoding="utf-8"), re.MULTILINE)
    addresses = [re.sub(r"{\w+}", "x", one["address"]).replace("x", "fbclip", 1) for one in channels.values()]
    assert len(addresses) > 10
    for address in addresses:
        ways = [way for topic, way in bridged if paho.topic_matches_sub(topic, address)]
        assert ways == ["in" if "/cmd/" in address else "out"], address
