"""A real OPC UA client reads verdicts, hears events, and can write nothing."""

import asyncio
import socket
import time

import pytest
from asyncua import Client, ua

from agent.config.plc import OpcUaSection
from agent.plc.opcua import NAMESPACE, OpcUaServer
from fbclip.decision import Verdict
from tests.factories.brokers import free_port


def a_server(board, **settings):
    section = OpcUaSection(listen=f"127.0.0.1:{free_port()}", **settings)
    return OpcUaServer(section, board, "demo", ("belt", "inbox"))


@pytest.fixture
def server(board):
    server = a_server(board)
    server.start()
    yield server
    server.stop()


def url(server):
    return f"opc.tcp://127.0.0.1:{server.port}/fbclip"


async def node(client, line, name):
    space = await client.get_namespace_index(NAMESPACE)
    return await client.nodes.objects.get_child([f"{space}:demo", f"{space}:{line}", f"{space}:{name}"])


def test_a_verdict_is_read_within_100_ms_of_its_commit(line, server):
    async def watch():
        delays = []
        async with Client(url(server)) as client:
            number, ok = await node(client, "belt", "Number"), await node(client, "belt", "OK")
            for wanted in range(1, 11):
                await asyncio.to_thread(line.commit, Verdict.OK if wanted % 2 else Verdict.ANOMALY)
                while await number.read_value() != wanted:
                    pass
                delays.append(time.monotonic() - line.committed)
                assert await ok.read_value() is (wanted % 2 == 1)
            for name, value in (("Verdict", "anomaly"), ("NG", True), ("Z", 1.5), ("Threshold", 1.0)):
                assert await (await node(client, "belt", name)).read_value() == value
            assert await (await node(client, "inbox", "NG")).read_value() is True
        return delays

    assert sorted(asyncio.run(watch()))[5] < 0.1


def test_what_is_not_ok_is_an_event_and_nothing_can_be_written(line, server):
    class Ears:
        def __init__(self):
            self.heard = asyncio.Queue()

        def event_notification(self, event):
            self.heard.put_nowait((event.Message.Text, event.Severity))

    async def listen():
        async with Client(url(server)) as client:
            ears = Ears()
            subscription = await client.create_subscription(20, ears)
            space = await client.get_namespace_index(NAMESPACE)
            await subscription.subscribe_events(await client.nodes.objects.get_child([f"{space}:demo"]))
            for verdict in (Verdict.OK, Verdict.ANOMALY, Verdict.REJECTED):
                await asyncio.to_thread(line.commit, verdict)
                if verdict is not Verdict.OK:
                    yield await asyncio.wait_for(ears.heard.get(), 10)
            with pytest.raises(ua.UaStatusCodeError):
                await (await node(client, "belt", "OK")).write_value(True)

    async def collect():
        return [one async for one in listen()]

    assert asyncio.run(collect()) == [("belt: anomaly", 800), ("belt: rejected (black)", 600)]


def test_beyond_loopback_only_with_a_password(board, monkeypatch):
    with pytest.raises(ValueError, match="set username and password_env"):
        OpcUaSection(listen="0.0.0.0:4840")
    monkeypatch.setenv("PLC_PASSWORD", "sesame")
    server = a_server(board, username="plc", password_env="PLC_PASSWORD")
    server.start()

    async def read(password):
        client = Client(url(server))
        client.set_user("plc")
        client.set_password(password)
        async with client:
            return await (await node(client, "belt", "NG")).read_value()

    try:
        assert asyncio.run(read("sesame")) is True
        with pytest.raises(ua.UaStatusCodeError):
            asyncio.run(read("other"))
    finally:
        server.stop()
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", server.port))
