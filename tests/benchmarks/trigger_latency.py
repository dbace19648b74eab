"""From a trigger at a real broker to its result there, on a running agent: a video of 25 images a second as the camera.

Run by hand: `python -m tests.benchmarks.trigger_latency [TRIGGERS]`. One trigger after the other; each must be answered
exactly once, with its part.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import cv2

from tests.e2e.running_agent import SAMPLES, RunningAgent, Subscriber
from tests.factories.brokers import Mosquitto, free_port

FPS = 25


def faster(source: Path, target: Path) -> None:
    """The same images, `FPS` a second."""
    capture = cv2.VideoCapture(str(source))
    size = (int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
    writer = cv2.VideoWriter(str(target), cv2.VideoWriter.fourcc(*"mp4v"), FPS, size)
    while (found := capture.read())[0]:
        writer.write(found[1])
    writer.release()
    capture.release()


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def latencies(subscriber: Subscriber, count: int) -> list[float]:
    """Seconds from the publish to the result, one trigger at a time."""
    found = []
    for number in range(count):
        part = f"part-{number:04d}"
        start = time.perf_counter()
        subscriber.publish("fbclip/demo/cmd/trigger", {"line": "belt", "part": part})
        subscriber.wait(
            lambda t, b, p=part: t.endswith("/belt/result") and b["context"]["part"] == p, f"the result of {part}"
        )
        found.append(time.perf_counter() - start)
        # Only what is new is looked through for the next one.
        done.extend(subscriber.heard)
        subscriber.heard.clear()
    return found


done: list[tuple[str, dict[str, Any]]] = []


def main(folder: Path, count: int) -> None:
    binary = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if binary is None:
        sys.exit("mosquitto is not installed")
    config_file, port = folder / "mosquitto.conf", free_port()
    config_file.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n", encoding="utf-8")
    broker = Mosquitto(binary, config_file, port)
    broker.start()

    def change(config: dict[str, Any]) -> None:
        config["mqtt"]["url"] = f"mqtt://127.0.0.1:{port}"
        config["lines"] = config["lines"][:1]
        config["lines"][0]["source"].update(trigger="mqtt", path=str(folder / "fast.mp4"), answer_s=30)

    faster(SAMPLES / "belt.mp4", folder / "fast.mp4")

    agent = RunningAgent(folder / "agent", change)
    subscriber = Subscriber(port)
    try:
        agent.start()
        subscriber.wait(lambda t, b: t.endswith("/belt/status") and b["state"] == "running", "the line")
        times = latencies(subscriber, count)
        subscriber.wait(lambda t, b: t.endswith("/demo/health") and b["lines"]["belt"]["in_flight"] == 0, "the rest")
        code = agent.stop()
    finally:
        subscriber.close()
        agent.close()
        broker.kill()
    done.extend(subscriber.heard)
    results = [body for topic, body in done if topic.endswith("/belt/result")]
    parts = Counter(body["context"]["part"] for body in results)
    assert code == 0
    assert len(parts) == count, f"{len(parts)} parts of {count} were answered"
    assert set(parts.values()) == {1}, "a part was answered twice"
    verdicts = dict(Counter(body["verdict"] for body in results))
    infer = [body["latency_ms"]["infer"] for body in results]
    milliseconds = [1000 * value for value in times]
    print(f"{count} triggers, each answered once: {verdicts}")  # noqa: T201
    print(f"trigger to result p50 {percentile(milliseconds, 0.5):.0f} ms, p99 {percentile(milliseconds, 0.99):.0f} ms")  # noqa: T201
    print(f"the detector's share p50 {percentile(infer, 0.5):.0f} ms, p99 {percentile(infer, 0.99):.0f} ms")  # noqa: T201


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        main(Path(name), int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
