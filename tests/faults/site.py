"""One place where faults happen: a folder with a configuration, a broker, a listener, and agents that come and go."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from random import Random
from typing import Any

import yaml

from fbclip.artefacts.profile_file import save_profile
from tests.factories.brokers import free_port
from tests.factories.lines import a_profile
from tests.factories.models import tiny_detector
from tests.faults.agent_process import spawn
from tests.faults.broker import ANYONE, Broker, Ear
from tests.faults.images import encoded, video
from tests.faults.injections import Fault
from tests.faults.own_rows import rows_of_agent


class Site:
    """Line `files` is a hot folder of which every file is an anomaly; with `camera` a line `belt` alerts each second.

    `data`: the data directory, else one in `folder`. `broker`: lines of its configuration. `name`: of the agent.
    `server`: the URL of a database that it shares with others, of which `rows` sees its own rows only.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seed: int = 1,
        camera: bool = False,
        data: Path | None = None,
        broker: Sequence[str] = ANYONE,
        name: str = "demo",
        server: str | None = None,
    ) -> None:
        self.folder = folder
        self.random = Random(seed)
        self.inbox = folder / "inbox"
        self.inbox.mkdir(parents=True)
        self.name = name
        self.server = server
        self.data = data or folder / "var"
        self.store = self.data / "agent.db"
        self.log = folder / "agent.log"
        self.config = folder / "agent.yaml"
        self.broker = Broker(folder / "broker", broker)
        self.broker.start()
        self.ear = Ear(self.broker.port)
        self.web_port = free_port()
        self.process: ForkServerProcess | None = None
        self.accepted: dict[str, str] = {}
        self.starts = 0
        detector = tiny_detector()
        lines: list[dict[str, Any]] = [self.line("files", {"type": "folder", "path": "inbox", "settle_s": 0})]
        if camera:
            clip = video(folder / "clip.mp4")
            source = {"type": "video", "path": str(clip), "realtime": True, "loop": True}
            lines.append(self.line("belt", source) | {"alert": {"close_after_ok": 1, "max_open_s": 0.5}})
        for line in lines:
            save_profile(a_profile(detector, line=line["name"], threshold=-1e9), folder / line["profile"])
        self.document: dict[str, Any] = {
            "agent": {"name": name, "data_dir": str(self.data)},
            "mqtt": {"url": f"mqtt://127.0.0.1:{self.broker.port}"},
            "web": {"listen": f"127.0.0.1:{self.web_port}"},
            "lines": lines,
        }
        if server is not None:
            self.document["store"] = {"url": server}
        self.write_config()

    @staticmethod
    def line(name: str, source: dict[str, Any]) -> dict[str, Any]:
        return {"name": name, "source": source, "profile": f"{name}.profile.yaml", "mode": "live"}

    def write_config(self) -> None:
        self.config.write_text(yaml.safe_dump(self.document), encoding="utf-8")

    def start(self, fault: Fault | None = None, wait: bool = True) -> None:
        """Another agent; with `wait` it judges when this returns."""
        self.starts += 1
        self.process = spawn(self.config, self.log, fault)
        if wait:
            self.until(self.ready, "the agent to start")

    def kill(self) -> None:
        """At once, as the kernel does it when memory is out."""
        if self.process is not None:
            self.process.kill()
            self.ended()

    def stop(self) -> int:
        """As systemd does it; returns the exit code."""
        assert self.process is not None and self.process.pid is not None
        self.process.terminate()
        return self.ended(15)

    def ended(self, seconds: float = 60) -> int:
        """Wait for the end of the process; returns its exit code."""
        assert self.process is not None
        self.process.join(seconds)
        code = self.process.exitcode
        if code is None:
            self.process.kill()
            self.process.join(10)
            raise AssertionError(f"the agent did not end within {seconds} s:\n{self.tail()}")
        self.process.close()
        self.process = None
        return code

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.is_alive()

    @property
    def pid(self) -> int:
        assert self.process is not None and self.process.pid is not None
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def ready(self) -> bool:
        try:
            return bool(self.state().get("lines"))
        except OSError:
            return False

    def state(self) -> dict[str, Any]:
        """What the page says."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.web_port}/api/state", timeout=20) as answer:
            return dict(json.load(answer))

    def problems(self) -> str:
        """All of them in one text."""
        return "; ".join(self.state()["problems"])

    def drop(self, count: int) -> None:
        """So many new files, each under a hidden name first."""
        for _ in range(count):
            number = len(self.accepted)
            self.drop_bytes(f"{number:06d}.png", encoded(number))

    def drop_bytes(self, name: str, data: bytes) -> None:
        hidden = self.inbox / f".{name}"
        hidden.write_bytes(data)
        hidden.rename(self.inbox / name)
        self.accepted[name] = hashlib.sha256(data).hexdigest()

    def waiting(self) -> int:
        """Files that still lie in the hot folder."""
        return sum(not path.name.startswith(".") for path in self.inbox.iterdir())

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Asked of the database as it lies there."""
        if self.server is not None:
            return rows_of_agent(self.server, self.name, query, values)
        connection = sqlite3.connect(f"file:{self.store}?mode=ro", uri=True, timeout=20)
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    def number(self, query: str, *values: Any) -> int:
        return int(self.rows(query, *values)[0][0])

    def judged(self) -> int:
        return self.number("SELECT count(*) FROM inspections WHERE line = 'files'")

    def settle(self, seconds: float = 60) -> None:
        """Until every file is judged and moved, and every message acknowledged; the agent must run."""
        self.until(lambda: self.waiting() == 0, "every file to be judged", seconds)
        self.until(self.drained, "every message to be acknowledged", seconds)

    def drained(self) -> bool:
        return self.number("SELECT count(*) FROM outbox WHERE sent IS NULL") == 0

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 60, alive: bool = True) -> None:
        """Poll until it holds; fails when the time is over, or when the agent ends though it should be `alive`."""
        end = time.monotonic() + seconds
        while True:
            asked = time.monotonic()
            if condition():
                return
            pause = min(1.0, max(0.02, 4 * (time.monotonic() - asked)))
            if time.monotonic() > end or (alive and not self.alive):
                why = "too long" if self.alive else "the agent has ended"
                raise AssertionError(f"waited for {what} ({why}); {self.waiting()} files wait:\n{self.tail()}")
            # Looking into a folder of thousands is work that the agent would miss.
            time.sleep(pause)

    def tail(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-6000:] if self.log.exists() else ""

    def close(self) -> None:
        self.kill()
        self.ear.close()
        self.broker.kill()


@contextmanager
def a_site(folder: Path, **options: Any) -> Iterator[Site]:
    """Closed in the end, whatever happens."""
    site = Site(folder, **options)
    try:
        yield site
    finally:
        site.close()
