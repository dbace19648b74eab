"""How fast waiting messages reach a local mosquitto, and how long a fresh one of another line takes meanwhile.

Run by hand: `python -m tests.benchmarks.drain_rate [MESSAGES]`.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

from agent.mqtt.payloads import event_body
from agent.mqtt.sender import Sender
from agent.records import StepType
from agent.store.access import open_writer
from agent.store.engine import Database
from agent.store.outbox import Draft, Outbox, put
from agent.store.writer import Writer
from fbclip.decision import Verdict
from tests.factories.agent import a_step, an_inspection
from tests.factories.brokers import Mosquitto, free_port
from tests.factories.mqtt import TOPICS, Listener, a_client

FRESH = 200
BEHIND = 2000


def post(database: Database, line: str, count: int = 1) -> None:
    body = event_body("demo", a_step(StepType.NEW), an_inspection(Verdict.ANOMALY, line=line))
    with database.transaction() as connection:
        put(connection, "agent", "run-1", [Draft(line, TOPICS.event(line), body) for _ in range(count)])


def drained(sender: Sender, listener: Listener, count: int) -> None:
    start = time.perf_counter()
    sender.start()
    listener.until(TOPICS.event("belt"), message_seq=1)
    first = time.perf_counter()
    listener.until(TOPICS.event("belt"), message_seq=count)
    end = time.perf_counter()
    print(f"{count} messages: {count / (end - first):.0f} a second; connected after {first - start:.2f} s")  # noqa: T201


def fresh(database: Database, sender: Sender, listener: Listener, backlog: int, name: str) -> None:
    post(database, "belt", backlog)
    sender.wake()
    waits = []
    for _ in range(FRESH):
        post(database, "other")
        start = time.perf_counter()
        sender.wake()
        listener.until(TOPICS.event("other"))
        waits.append(1000 * (time.perf_counter() - start))
    waits.sort()
    print(f"{name}: committed to heard p50 {waits[FRESH // 2]:.1f} ms, p99 {waits[-FRESH // 100]:.1f} ms")  # noqa: T201


def main(folder: Path, count: int) -> None:
    binary = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if binary is None:
        sys.exit("mosquitto is not installed")
    port = free_port()
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n", encoding="utf-8")
    broker = Mosquitto(binary, config, port)
    broker.start()
    database = open_writer(f"sqlite:///{folder}/agent.db")
    Writer(database).start_run("run-1", lambda step: None)
    post(database, "belt", count)
    listener = Listener(port)
    sender = Sender(a_client(port), Outbox(database), "run-1", TOPICS.status)
    try:
        drained(sender, listener, count)
        # One that hears the backlog, too, would be measured with it.
        listener.close()
        listener = Listener(port, TOPICS.event("other"))
        fresh(database, sender, listener, 0, "nothing else waits")
        fresh(database, sender, listener, BEHIND, f"behind {BEHIND} of another line")
        fresh(database, sender, listener, 10 * count, f"behind {10 * count} of another line")
    finally:
        sender.stop(0)
        listener.close()
        broker.kill()
        database.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        main(Path(name), int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
