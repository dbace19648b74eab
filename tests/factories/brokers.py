"""Real brokers on free ports, and how to wait for another process or thread."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(true: Callable[[], Any], timeout: float = 15.0) -> None:
    """Poll a condition of another process or thread; fails after `timeout` seconds."""
    end = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < end, "condition not reached in time"
        time.sleep(0.01)


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Mosquitto:
    """A real broker; `kill` and `start` again keep the port."""

    binary: str
    config: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [self.binary, "-c", str(self.config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(lambda: accepts(self.port))

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Factory of running brokers: `mosquitto(*extra_config_lines)`; skips where the binary is missing."""
    binary = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    running: list[Mosquitto] = []

    def make(*extra: str) -> Mosquitto:
        if binary is None:
            pytest.skip("mosquitto is not installed")
        port = free_port()
        config = tmp_path / f"mosquitto-{port}.conf"
        lines = [f"listener {port} 127.0.0.1", *(extra or ("allow_anonymous true",))]
        if os.geteuid() == 0:
            # It would give up root, and with it the right to read the test's files.
            lines.append("user root")
        config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        broker = Mosquitto(binary, config, port)
        running.append(broker)
        broker.start()
        return broker

    yield make
    for broker in running:
        broker.kill()
