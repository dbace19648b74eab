"""What is wrong with a broker is named as what it is: real certificates, ports and refusals, and scripted codes."""

from __future__ import annotations

import shutil
import socket
import subprocess
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from agent.config.services import MqttSection, TlsSection
from agent.mqtt.client import PahoClient
from agent.mqtt.link import Lost
from agent.mqtt.reasons import why_lost, why_not_dialled, why_refused, why_unreachable
from tests.factories.brokers import free_port, wait_until
from tests.factories.certificates import make_certificates
from tests.factories.mqtt import LWT, TOPICS, a_client
from tests.factories.scripted_broker import HANG_UP, SILENT, ScriptedBroker

OPEN = "allow_anonymous true"


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("keys"))


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr("agent.mqtt.client.RECONNECT_MIN_S", 0.05)
    monkeypatch.setattr("agent.mqtt.link.SILENCE_S", 0.3)


@contextmanager
def trying(client: PahoClient):
    client.connect()
    try:
        yield
    finally:
        client.close()


def serve_until(client: PahoClient, true) -> None:
    wait_until(lambda: client.service(idle=True) or true())


def problem_with(port: int, keys: Path | None = None, ca: str = "ca.pem", host: str = "localhost", **more) -> str:
    """The first thing that is wrong; "" if nothing is."""
    tls = None if keys is None else TlsSection(ca=keys / ca)
    url = f"{'mqtt' if tls is None else 'mqtts'}://{host}:{port}"
    client = PahoClient(MqttSection(url=url, tls=tls, **more), "demo", TOPICS.status, LWT)
    with trying(client):
        wait_until(lambda: client.connected or not (client.problem() or "").endswith("not connected yet"))
        return client.problem() or ""


def served(mosquitto, keys: Path, name: str, *more: str) -> int:
    files = (f"cafile {keys}/ca.pem", f"certfile {keys}/{name}.pem", f"keyfile {keys}/{name}.key")
    return mosquitto(OPEN, *files, *more).port


def test_certificates(mosquitto, keys):
    here = served(mosquitto, keys, "here")
    assert problem_with(here, keys) == ""
    assert "is not from a trusted CA" in (wrong := problem_with(here, keys, ca="other-ca.pem"))
    assert "put that CA into mqtt.tls.ca" in wrong
    assert "is not for the host name localhost" in problem_with(served(mosquitto, keys, "there"), keys)
    assert "certificate has expired" in problem_with(served(mosquitto, keys, "old"), keys)


def test_a_broker_that_wants_a_certificate_of_the_client(mosquitto, keys):
    assert "see mqtt.tls.cert" in problem_with(served(mosquitto, keys, "here", "require_certificate true"), keys)


def test_tls_and_none_at_the_wrong_port(mosquitto, keys):
    assert "this port may not speak TLS: try mqtt://" in problem_with(mosquitto().port, keys)
    assert "a broker that speaks TLS on this port does so: try mqtts://" in problem_with(
        served(mosquitto, keys, "here")
    )


def test_addresses():
    port = free_port()
    assert problem_with(port).startswith(f"localhost:{port}: connection refused: nothing listens there")
    assert "the host name no.such.invalid cannot be resolved" in problem_with(1883, host="no.such.invalid")
    assert "the host name" in problem_with(1883, host="a" * 70)
    assert why_unreachable("h", TimeoutError("timed out")).startswith("no answer in time")
    assert why_unreachable("h", OSError(113, "No route to host")).startswith("unreachable: No route to host")
    assert why_unreachable("h", socket.gaierror(-2, "x")).startswith("the host name h cannot be resolved")
    assert why_not_dialled(6).startswith("no answer for 6 s")


def test_one_who_accepts_and_is_silent_is_named_over_tls_too(keys, monkeypatch):
    monkeypatch.setattr("agent.mqtt.link.CONNECT_TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert "accepts connections and does not answer" in problem_with(port)
        assert "no answer to the TLS handshake" in problem_with(port, keys)


def test_credentials(mosquitto, tmp_path, monkeypatch):
    tool = shutil.which("mosquitto_passwd")
    if tool is None:
        pytest.skip("mosquitto_passwd is not installed")
    subprocess.run([tool, "-c", "-b", str(tmp_path / "pw"), "line", "right-one"], check=True, capture_output=True)
    port = mosquitto("allow_anonymous false", f"password_file {tmp_path}/pw").port
    monkeypatch.setenv("BROKER_PASSWORD", "wrong-one")
    found = problem_with(port, username="line", password_env="BROKER_PASSWORD")
    assert found.startswith(f"localhost:{port}: refused: Not authorized: ") and "mqtt.password_env" in found
    assert "wrong-one" not in found


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0x82, "the broker takes this for broken MQTT"),
        (0x85, "the broker does not accept the client id"),
        (0x86, "the credentials are wrong; see mqtt.username"),
        (0x87, "this user may not connect"),
        (0x88, "the broker is not ready"),
        (0x89, "the broker has too much to do"),
        (0x8A, "the broker has banned this client"),
        (0x97, "the broker's quota for this client is used up"),
        (0x9D, "the broker's new address"),
        (0x9F, "how often clients may connect"),
    ],
)
def test_refusals_in_mqtt_5(code, words):
    with closing(ScriptedBroker(greeting=lambda _: code)) as broker:
        found = problem_with(broker.port, host="127.0.0.1")
        assert found.startswith(f"127.0.0.1:{broker.port}: refused: ") and words in found


@pytest.mark.parametrize(
    ("code", "words"),
    [(1, "neither MQTT 5 nor 3.1.1"), (2, "client id"), (3, "not ready"), (4, "credentials are wrong")],
)
def test_refusals_in_mqtt_3(code, words):
    with closing(ScriptedBroker(greeting=lambda version: 0x84 if version == 5 else code)) as broker:
        client = a_client(broker.port)
        with trying(client):
            wait_until(
                lambda: client.service(idle=True) or (4 in broker.versions and words in (client.problem() or ""))
            )


def test_one_who_hangs_up_or_is_silent_whatever_the_version():
    for greeting, words in ((HANG_UP, "hung up before answering"), (SILENT, "does not answer")):
        with closing(ScriptedBroker(greeting=lambda _, code=greeting: code)) as broker:
            client = a_client(broker.port)
            with trying(client):
                serve_until(client, lambda: 4 in broker.versions and words in (client.problem() or ""))  # noqa: B023


def test_an_unknown_code_is_said_as_it_is():
    assert why_refused("Unspecified error") == "refused: Unspecified error"
    assert why_lost("Session taken over").startswith("connection lost: Session taken over: another client")


def test_two_agents_of_one_name_are_named_and_do_not_fight_each_second(mosquitto):
    """This broker hangs up without a word."""
    port = mosquitto().port
    first, second = (
        PahoClient(MqttSection(url=f"mqtt://127.0.0.1:{port}"), "twin", TOPICS.status, LWT, lambda: 1.0) for _ in "12"
    )
    with trying(first):
        wait_until(lambda: first.connected)
        with trying(second):
            wait_until(lambda: "do two agents run on copies of one data folder" in (first.problem() or ""))
            wait_until(lambda: first.connected and second.problem())
            assert "client id twin" in first.problem(), "although it is connected now and then"
            first.publish(TOPICS.event("belt"), b"{}", False)
            wait_until(lambda: first._backoff._tries > 4)


def test_a_broker_that_says_who_took_the_session(mosquitto):
    client = a_client(mosquitto().port)
    with trying(client):
        wait_until(lambda: client.connected)
        client._pause(Lost(100.0, useful=True, taken_over=True))
        assert "two agents" in client.problem()
        client._pause(Lost(100.0, useful=True, taken_over=False))
        assert client.problem() is None


def test_a_broker_that_hangs_up_over_refused_messages_is_not_taken_for_another_client(mosquitto):
    client = a_client(mosquitto().port)
    with trying(client):
        wait_until(lambda: client.connected)
        for _ in range(5):
            assert client._pause(Lost(0.1, useful=True, taken_over=False, refused=True)) <= 0.05
        assert client.problem() is None
        for _ in range(3):
            client._pause(Lost(0.1, useful=True, taken_over=False))
        assert "two agents" in client.problem()


def test_in_mqtt_3_a_note_says_that_refusals_cannot_be_seen_and_all_is_well():
    with closing(ScriptedBroker(greeting=lambda version: 0x84 if version == 5 else 0)) as broker:
        client = a_client(broker.port)
        with trying(client):
            serve_until(client, lambda: client.connected)
            assert client.problem() is None and "refuses a message cannot be seen" in client.notes()[0]


def test_commands_that_the_broker_does_not_let_through_are_a_note():
    with closing(ScriptedBroker(granted=0x87)) as broker:
        client = a_client(broker.port)
        client.listen(TOPICS.commands, lambda *_: None)
        with trying(client):
            wait_until(client.notes)
            assert client.notes() == ("commands are not heard: the broker refuses fbclip/demo/cmd/+: Not authorized",)
            assert client.problem() is None


def test_a_broker_that_comes_back_is_met_again_and_after_use_the_pause_is_short(mosquitto):
    broker = mosquitto()
    client = a_client(broker.port)
    with trying(client):
        wait_until(lambda: client.connected)
        broker.kill()
        wait_until(lambda: client._backoff._tries > 2)
        broker.start()
        wait_until(lambda: client.connected)
        assert client._pause(Lost(100.0, useful=False, taken_over=False)) > 0.05
        assert client._pause(Lost(100.0, useful=True, taken_over=False)) <= 0.05
