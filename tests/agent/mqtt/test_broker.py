"""The embedded broker serves its clients whatever else connects to it."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import pytest
from pydantic import ValidationError

from agent.config.services import MqttSection
from agent.mqtt import broker as broker_module
from agent.mqtt.broker import MOST_SILENT, EmbeddedBroker
from agent.mqtt.client import PahoClient
from agent.mqtt.sender import Sender
from agent.store.access import open_writer
from agent.store.outbox import Draft, Outbox, put
from agent.store.writer import Writer
from tests.factories.brokers import free_port, wait_until
from tests.factories.mqtt import LWT, TOPICS, listening


@pytest.fixture
def broker():
    made = EmbeddedBroker(port=free_port())
    made.start()
    yield made
    made.stop()


def gone(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_hundreds_of_idle_connections_are_cut_off_and_an_alert_gets_through(broker, tmp_path, caplog):
    port = int(broker._where.rpartition(":")[2])
    database = open_writer(f"sqlite:///{tmp_path}/agent.db")
    Writer(database).start_run("run-1", lambda step: None)
    before = len(list(Path("/proc/self/fd").iterdir()))
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(400)]
    section = MqttSection(url=f"embedded://127.0.0.1:{port}")
    sender = Sender(PahoClient(section, "demo", TOPICS.status, LWT), Outbox(database), "run-1", TOPICS.status)
    with caplog.at_level(logging.INFO), listening(port) as listener:
        sender.start()
        with database.transaction() as connection:
            put(connection, "agent", "run-1", [Draft("belt", TOPICS.event("belt"), {"type": "new"})])
        sender.wake()
        assert listener.until(TOPICS.event("belt"))["message_seq"] == 1
        wait_until(lambda: sum(map(gone, idle)) >= len(idle) - MOST_SILENT)
        assert len(list(Path("/proc/self/fd").iterdir())) < before + len(idle) + MOST_SILENT + 30, (
            "the broker holds no more"
        )
        sender.stop(2)
    told = [record.getMessage() for record in caplog.records if "cut off" in record.getMessage()]
    assert len(told) == 1, "one line a minute, not one a connection"
    for one in idle:
        one.close()
    database.close()


def test_a_packet_that_announces_too_much_is_cut_off(broker):
    port = int(broker._where.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as flood:
        flood.sendall(b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04evil")
        assert flood.recv(4)[:2] == b"\x20\x02"
        flood.sendall(b"\x30\xff\xff\xff\x7f\x00\x01t")
        wait_until(lambda: gone(flood))


def test_it_listens_on_loopback_only():
    with pytest.raises(ValidationError, match="loopback only"):
        MqttSection(url="embedded://0.0.0.0:1883")


def test_who_says_nothing_is_cut_off_in_time(monkeypatch):
    monkeypatch.setattr(broker_module, "GREETING_S", 0.1)
    made = EmbeddedBroker(port=free_port())
    made.start()
    try:
        with socket.create_connection(("127.0.0.1", int(made._where.rpartition(":")[2]))) as idle:
            wait_until(lambda: gone(idle))
    finally:
        made.stop()


def test_no_more_clients_than_it_serves(broker, monkeypatch):
    monkeypatch.setattr(broker_module, "MOST_CLIENTS", 2)
    port = int(broker._where.rpartition(":")[2])
    with listening(port), listening(port), socket.create_connection(("127.0.0.1", port)) as third:
        wait_until(lambda: gone(third))
