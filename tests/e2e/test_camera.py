"""A real network stream: a camera that goes away is no verdict, never ok, and is taken up again when it is back."""

import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.running_agent import SAMPLES, RunningAgent, Subscriber
from tests.factories.brokers import free_port
from tests.factories.streams import capture_processes

FFMPEG = shutil.which("ffmpeg")


def unhealthy(port: int) -> str:
    """What /healthz names; fails while it is healthy."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10)
    assert caught.value.code == 503
    return caught.value.read().decode()


class Stream:
    """The belt's video as MPEG-TS over TCP, to one viewer at a time, at its own speed."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        source = [
            "-re",
            "-stream_loop",
            "-1",
            "-i",
            str(SAMPLES / "belt.mp4"),
            "-c:v",
            "mpeg4",
            "-q:v",
            "2",
            "-r",
            "10",
        ]
        target = ["-f", "mpegts", f"tcp://127.0.0.1:{self.port}?listen=1"]
        command = [str(FFMPEG), "-loglevel", "quiet", "-nostdin", *source, *target]
        self.process = subprocess.Popen(command)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)


@pytest.mark.skipif(FFMPEG is None, reason="ffmpeg is not installed")
def test_a_stream_that_breaks_is_no_verdict_and_comes_back(tmp_path):
    stream = Stream(free_port())

    def change(config):
        line = config["lines"][0]
        line["source"] = {"type": "camera", "url": f"tcp://127.0.0.1:{stream.port}", "stall_s": 2}
        config["lines"] = [line]

    agent = RunningAgent(tmp_path / "agent", change)
    try:
        stream.start()
        agent.start()
        subscriber = Subscriber(agent.mqtt_port)
        subscriber.wait(lambda t, b: t.endswith("/belt/state") and b["verdict"] != "rejected", "a verdict")
        stream.kill()
        lost = subscriber.wait(lambda t, b: b.get("kind") == "no_verdict" and b["type"] == "new", "the loss")
        assert (lost["verdict"], lost["reason"]) == ("rejected", "camera_lost")
        status = subscriber.wait(lambda t, b: t.endswith("/belt/status") and b["state"] == "failing", "its state")
        assert "no image for" in status["health"]
        assert "line belt: no image for" in unhealthy(agent.web_port)
        stream.start()
        end = subscriber.wait(
            lambda t, b: b.get("event_id") == lost["event_id"] and b["type"] == "end", "its return", 90
        )
        assert end["end_reason"] == "cleared"
        assert end["verdict"] != "rejected"
        subscriber.wait(
            lambda t, b: t.endswith("/belt/status") and b["state"] == "running" and "reconnected" in b["health"],
            "the count of reconnections",
        )
        subscriber.close()
        assert agent.process is not None
        readers = capture_processes(agent.process.pid)
        assert len(readers) == 1
        assert agent.stop() == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in readers)
    finally:
        agent.close()
        stream.kill()
