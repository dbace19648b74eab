"""Real brokers: mosquitto over MQTT 5, amqtt over 3.1.1; nothing is lost when one dies."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from sqlalchemy import text

from agent.config.services import MqttSection
from agent.errors import MqttError
from agent.mqtt.broker import EmbeddedBroker
from agent.mqtt.client import PahoClient
from agent.mqtt.payloads import result_body
from agent.mqtt.sender import Sender
from agent.store.access import open_writer
from agent.store.outbox import Draft, Outbox
from agent.store.writer import Writer
from tests.factories.agent import an_inspection
from tests.factories.brokers import free_port, wait_until
from tests.factories.mqtt import LWT, TOPICS, a_client, listening


class Store:
    """A store with one run, which tells what it called each message."""

    def __init__(self, url: str) -> None:
        self.database = open_writer(url)
        self.writer, self.outbox = Writer(self.database), Outbox(self.database)
        self.writer.start_run("run-1", lambda step: None)

    def record(self, seq: int) -> str:
        inspection = an_inspection(seq=seq)
        draft = Draft("belt", TOPICS.result("belt"), result_body("demo", inspection))
        self.writer.record(inspection, (), [draft])
        with self.database.transaction() as connection:
            newest = text("select message_id from outbox order by id desc limit 1")
            return connection.execute(newest).scalar_one()


@pytest.fixture
def store(tmp_path):
    made = Store(f"sqlite:///{tmp_path}/agent.db")
    yield made
    made.database.close()


def speak(port: int, v5: bool, store: Store) -> None:
    with listening(port) as listener:
        client = a_client(port)
        sender = Sender(client, store.outbox, "run-1", TOPICS.status)
        sender.start()
        listener.until(TOPICS.status, state="online")
        ids = [store.record(seq) for seq in range(30)]
        sender.wake()
        heard = [listener.until(TOPICS.result("belt")) for _ in ids]
        assert [body["message_id"] for body in heard] == ids
        assert [body["message_seq"] for body in heard] == list(range(1, 31))
        assert heard[0]["historical"] is False
        assert client._v5 is v5 and client.problem() is None
        sender.stop(5)
        listener.until(TOPICS.status, state="offline", reason="shutdown")
        assert store.outbox.count() == 0


def test_mosquitto_over_mqtt_5(mosquitto, store):
    speak(mosquitto().port, True, store)


def test_amqtt_over_mqtt_3(store):
    port = free_port()
    broker = EmbeddedBroker(port=port)
    broker.start()
    try:
        speak(port, False, store)
    finally:
        broker.stop()
        broker.stop()


def outlive(port: int, kill, start, store: Store, scheme: str = "mqtt") -> None:
    """Messages recorded before, while and after the broker is gone all arrive, under their own ids."""
    client = PahoClient(MqttSection(url=f"{scheme}://127.0.0.1:{port}"), "demo", TOPICS.status, LWT)
    sender = Sender(client, store.outbox, "run-1", TOPICS.status)
    with listening(port) as before:
        sender.start()
        wait_until(lambda: client.connected)
        ids = [store.record(seq) for seq in range(40)]
        sender.wake()
        wait_until(lambda: store.outbox.count() < 40)
        kill()
        wait_until(lambda: not client.connected)
    ids += [store.record(seq) for seq in range(40, 60)]
    sender.wake()
    start()
    with listening(port) as after:
        assert not client.connected, "the broker must know its subscriber before the sender is back"
        # What a broker acknowledged and took with it into its death is beyond the agent.
        must = {message.message_id for message in store.outbox.pending(100)}
        wait_until(lambda: client.connected)
        ids += [store.record(seq) for seq in range(60, 80)]
        sender.wake()
        wait_until(lambda: store.outbox.count() == 0)
        must |= set(ids[60:])
        arrived = set()
        while not must <= arrived:
            arrived.add(after.messages.get(timeout=15)[1].get("message_id"))
    sender.stop(5)
    while not before.messages.empty():
        arrived.add(before.messages.get()[1].get("message_id"))
    assert arrived - {None} <= set(ids) and len(set(ids)) == 80


@pytest.fixture
def patient_client(monkeypatch):
    """Leaves time to start a broker and a subscriber before the agent's client comes back."""
    monkeypatch.setattr("agent.mqtt.client.RECONNECT_MIN_S", 3)


def test_a_killed_mosquitto_loses_nothing(mosquitto, store, patient_client):
    broker = mosquitto()
    outlive(broker.port, broker.kill, broker.start, store)


def test_a_stopped_amqtt_loses_nothing(store, patient_client):
    port = free_port()
    brokers = [EmbeddedBroker(port=port), EmbeddedBroker(port=port)]
    brokers[0].start()
    try:
        outlive(port, brokers[0].stop, brokers[1].start, store, scheme="embedded")
    finally:
        brokers[1].stop()


def test_the_last_will_of_a_client_that_vanishes(mosquitto):
    port = mosquitto().port
    with listening(port) as listener:
        client = a_client(port)
        client.connect()
        wait_until(lambda: client.connected)
        client._link._client.socket().shutdown(2)
        listener.until(TOPICS.status, state="offline", reason="lwt")
        client.close()


def test_refused_credentials_are_shown_without_the_password(mosquitto, tmp_path, monkeypatch):
    passwords = tmp_path / "passwords"
    tool = shutil.which("mosquitto_passwd")
    if tool is None:
        pytest.skip("mosquitto_passwd is not installed")
    subprocess.run([tool, "-c", "-b", str(passwords), "line", "right-one"], check=True, capture_output=True)
    port = mosquitto("allow_anonymous false", f"password_file {passwords}").port
    monkeypatch.setenv("BROKER_PASSWORD", "wrong-one")
    client = a_client(port, username="line", password_env="BROKER_PASSWORD")
    client.connect()
    wait_until(lambda: "refused" in (client.problem() or ""))
    assert "wrong-one" not in (client.problem() or "") and not client.connected
    client.close()
    monkeypatch.setenv("BROKER_PASSWORD", "right-one")
    client = a_client(port, username="line", password_env="BROKER_PASSWORD")
    client.connect()
    wait_until(lambda: client.connected)
    client.close()
    monkeypatch.delenv("BROKER_PASSWORD")
    with pytest.raises(MqttError, match="BROKER_PASSWORD is not set"):
        a_client(port, username="line", password_env="BROKER_PASSWORD")


def test_a_port_in_use_is_named():
    port = free_port()
    first = EmbeddedBroker(port=port)
    first.start()
    try:
        with pytest.raises(MqttError, match=f"127.0.0.1:{port}"):
            EmbeddedBroker(port=port).start()
    finally:
        first.stop()
