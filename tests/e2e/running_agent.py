"""A real agent in a process of its own, with a configuration in a temporary folder."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import yaml
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.factories.brokers import free_port
from tests.factories.contract import keep_to_the_contract

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "deploy" / "samples"


class RunningAgent:
    """The shipped agent.yaml, moved to `folder` and to free ports; `change` edits it further."""

    def __init__(self, folder: Path, change: Callable[[dict[str, Any]], None] | None = None) -> None:
        self.folder = folder
        self.inbox = folder / "var" / "inbox"
        self.inbox.mkdir(parents=True)
        config = yaml.safe_load((ROOT / "agent.yaml").read_text(encoding="utf-8"))
        self.mqtt_port, self.web_port = free_port(), free_port()
        config["mqtt"]["url"] = f"embedded://127.0.0.1:{self.mqtt_port}"
        config["web"]["listen"] = f"127.0.0.1:{self.web_port}"
        for line in config["lines"]:
            for file in ("profile", "memory"):
                if file in line:
                    line[file] = str(ROOT / line[file])
            if line["source"]["type"] == "video":
                line["source"]["path"] = str(ROOT / line["source"]["path"])
            else:
                line["source"]["settle_s"] = 0.3
        if change is not None:
            change(config)
        self.config = folder / "agent.yaml"
        self.config.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        self.process: subprocess.Popen[bytes] | None = None
        self.entry = ["tests.e2e.run_agent"]
        self.log = folder / "agent.log"

    def start(self) -> None:
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", *self.entry, "run", "-c", str(self.config)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, env=environment)
        self.until(lambda: "is judging" in self.log.read_text(encoding="utf-8"), "the agent to start")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(60)
        self.process = None
        return code

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def drop(self, source: Path, name: str) -> None:
        """As a careful sender does it: under a hidden name first, then renamed."""
        hidden = self.inbox / f".{name}"
        shutil.copy(source, hidden)
        hidden.rename(self.inbox / name)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tests.e2e.run_agent", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)

    def events(self) -> list[dict[str, Any]]:
        answer = self.command("events", "-c", str(self.config), "--json", "--limit", "500")
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout)

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 90) -> Any:
        """Poll another process; there is no event to wait on across the border."""
        end = time.monotonic() + seconds
        while True:
            found = condition()
            if found:
                return found
            alive = self.process is not None and self.process.poll() is None
            if time.monotonic() > end or not alive:
                raise AssertionError(f"waited for {what}; the agent's log:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.05)


class Subscriber:
    """An outside client that keeps everything it hears below `fbclip/#`, and at its end holds it to the contract."""

    def __init__(self, port: int, version: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv311) -> None:
        self._queue: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue()
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"listener-{port}", protocol=version)
        self._client.on_connect = lambda client, *_: client.subscribe("fbclip/#", qos=1)
        self._client.on_message = lambda _c, _u, m: self._queue.put((m.topic, json.loads(m.payload)))
        self.subscribed = 0
        self._client.on_subscribe = self._on_subscribe
        self._client.reconnect_delay_set(0.05, 0.05)
        self._client.connect_async("127.0.0.1", port)
        self._client.loop_start()

    def _on_subscribe(self, *_: Any) -> None:
        self.subscribed += 1

    def wait(self, wanted: Callable[[str, dict[str, Any]], bool], what: str, seconds: float = 60) -> dict[str, Any]:
        """The first message, heard already or yet to come, that is wanted."""
        for topic, body in self.heard:
            if wanted(topic, body):
                return body
        end = time.monotonic() + seconds
        while True:
            try:
                topic, body = self._queue.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no message: {what}; heard {[t for t, _ in self.heard][-20:]}") from None
            self.heard.append((topic, body))
            if wanted(topic, body):
                return body

    def publish(self, topic: str, body: dict[str, Any]) -> None:
        self._client.publish(topic, json.dumps(body), qos=1).wait_for_publish(10)

    def messages(self, kind: str) -> list[dict[str, Any]]:
        """What was heard on topics that end in `kind`, including what waits."""
        while not self._queue.empty():
            self.heard.append(self._queue.get())
        return [body for topic, body in self.heard if topic.endswith(f"/{kind}")]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        while not self._queue.empty():
            self.heard.append(self._queue.get())
        keep_to_the_contract(self.heard)
