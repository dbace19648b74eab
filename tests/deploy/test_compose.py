"""compose.yaml and what it mounts: whole, locked up, and the broker of it really keeps to its accounts."""

import re
import shutil
import ssl
import subprocess
import threading
from pathlib import Path

import paho.mqtt.client as paho
import pytest
import yaml
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.config.loader import load_config
from tests.factories.brokers import Mosquitto, accepts, free_port, wait_until

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = DEPLOY / "compose"
BROKER = shutil.which("mosquitto", path="/usr/bin:/usr/sbin:/usr/local/sbin:/usr/local/bin")
NOT_AUTHORISED = 135


def services() -> dict[str, dict]:
    return yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))["services"]


def test_what_is_mounted_is_there_or_made_by_the_script():
    script = (COMPOSE / "secrets.sh").read_text(encoding="utf-8")
    whole = yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))
    for service in services().values():
        mounts = [volume.split(":")[0] for volume in service.get("volumes", ())]
        for source in (*mounts, *service.get("env_file", ())):
            if source.startswith(("./secrets", "secrets")):
                assert Path(source).name in script, source
            elif source.startswith("./inbox"):
                assert "mkdir -p inbox" in script
            elif source.startswith("."):
                assert (COMPOSE / source).resolve().exists(), source
            else:
                assert source in whole["volumes"]


def test_services_are_locked_up_and_log_within_bounds():
    for name, service in services().items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["logging"]["options"]["max-size"] == "10m"
        assert all(port.startswith("127.0.0.1:") or port == "8883:8883" for port in service["ports"])
    assert services()["agent"]["read_only"] is True


def test_its_agent_is_configured_as_the_rest_says(monkeypatch):
    config = load_config(COMPOSE / "agent" / "agent.yaml")
    script = (COMPOSE / "secrets.sh").read_text(encoding="utf-8")
    for variable in (config.mqtt.password_env, config.web.token_env, config.web.view_token_env):
        assert f"{variable}=%s" in script
    assert config.mqtt.username == config.agent.name
    assert config.mqtt.secure


def test_the_image_runs_as_nobody_and_asks_after_its_health():
    lines = (DEPLOY / "container" / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    last = lines[max(number for number, line in enumerate(lines) if line.startswith("FROM")) :]
    assert "USER 10001:10001" in last
    (check,) = [line for line in last if line.startswith("HEALTHCHECK")]
    assert "/healthz" in check
    wanted = re.findall(r"^COPY (?!--from)(.+) \S+$", "\n".join(lines), re.MULTILINE)
    ignored = (DEPLOY / "container" / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    for source in " ".join(wanted).split():
        assert (DEPLOY.parent / source).exists(), source
        assert f"!{source}" in ignored, source


@pytest.mark.skipif(BROKER is None or shutil.which("mosquitto_passwd") is None, reason="mosquitto is not installed")
def test_the_broker_keeps_agents_apart(tmp_path):
    """Its own configuration, secrets and access list, with a real mosquitto; only the paths are this machine's."""
    folder = tmp_path / "compose"
    shutil.copytree(COMPOSE, folder)
    subprocess.run(["bash", folder / "secrets.sh"], check=True, capture_output=True, timeout=120)
    again = subprocess.run(["bash", folder / "secrets.sh"], check=True, capture_output=True, text=True, timeout=60)
    assert "stays as it is" in again.stdout
    accounts = dict(line.split("=") for line in (folder / "secrets" / "accounts").read_text().splitlines())
    assert not any(word in (folder / "secrets" / "broker" / "passwords").read_text() for word in accounts.values())
    port = free_port()
    text = (folder / "mosquitto.conf").read_text(encoding="utf-8")
    text = text.replace("listener 8883", f"listener {port} 127.0.0.1").replace(
        "/mosquitto/secrets", str(folder / "secrets/broker")
    )
    text = text.replace("/mosquitto/config/acl", str(folder / "acl")).replace("/mosquitto/data/", f"{tmp_path}/")
    (tmp_path / "mosquitto.conf").write_text(text + "user root\n", encoding="utf-8")
    broker = Mosquitto(BROKER, tmp_path / "mosquitto.conf", port)
    broker.start()
    clients = []
    try:
        wait_until(lambda: accepts(port))

        def client(account: str) -> paho.Client:
            made = paho.Client(CallbackAPIVersion.VERSION2, client_id=account, protocol=MQTTProtocolVersion.MQTTv5)
            made.username_pw_set(account, accounts[account])
            made.tls_set_context(ssl.create_default_context(cafile=str(folder / "secrets" / "ca.crt")))
            made.connect("localhost", port)
            made.loop_start()
            clients.append(made)
            return made

        heard, reader_ready = [], threading.Event()
        reader = client("reader")
        reader.on_message = lambda _c, _u, message: heard.append(message.topic)
        reader.on_subscribe = lambda *_: reader_ready.set()
        reader.subscribe("fbclip/#", qos=1)
        assert reader_ready.wait(10)
        codes: dict[int, int] = {}
        press = client("press-1")
        press.on_publish = lambda _c, _u, mid, code, _p: codes.__setitem__(mid, code.value)
        own = press.publish("fbclip/press-1/belt/event", "{}", qos=1)
        strange = press.publish("fbclip/press-2/belt/event", "{}", qos=1)
        wait_until(lambda: {own.mid, strange.mid} <= codes.keys() and heard)
        assert codes[strange.mid] == NOT_AUTHORISED
        assert heard == ["fbclip/press-1/belt/event"]
    finally:
        for made in clients:
            made.disconnect()
            made.loop_stop()
        broker.kill()
