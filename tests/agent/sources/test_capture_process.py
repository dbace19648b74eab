"""A process that reads a camera: bounded in time, killed for good, silent, and gone with the agent."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from agent.sources.capture_process import CaptureCancelled, CaptureFailed, CaptureProcess
from agent.sources.capture_request import CaptureRequest
from tests.factories.brokers import wait_until
from tests.factories.streams import JpegCamera, capture_processes, jpeg


def of(pid: int | None, name: str) -> str:
    """What the kernel tells of a process; nothing of one that has ended."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8")
    except OSError:
        return ""


@pytest.fixture
def mute():
    """Accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://operator:s3cret@127.0.0.1:{server.getsockname()[1]}/live"


@pytest.fixture
def camera():
    camera = JpegCamera(jpeg)
    yield camera
    camera.close()


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    yield
    assert capture_processes() == set()


def test_frames_come_as_they_were_sent_and_the_newest_wins(camera):
    process = CaptureProcess(CaptureRequest(camera.url, 10, 5))
    process.open()
    seen = sum(process.next().image is not None for _ in range(5))
    # Nobody takes a frame for a while: the process lets go what comes, and counts it.
    sent = camera.sent
    wait_until(lambda: camera.sent >= sent + 20)
    turns = [process.next() for _ in range(4)]
    skipped = sum(turn.skipped.get("replaced", 0) for turn in turns)
    assert seen == 5 and skipped >= 10
    assert turns[0].image.shape == (120, 160, 3)
    assert time.monotonic() - turns[-1].at < 2
    assert process.close() and not process.alive


def test_an_open_that_hangs_is_ended_in_time(mute, capfd):
    process = CaptureProcess(CaptureRequest(mute, 0.5, 5))
    began = time.monotonic()
    with pytest.raises(CaptureFailed, match=r"not open within 0\.5 s|cannot be opened"):
        process.open()
    assert time.monotonic() - began < 5
    assert process.close() and not process.alive
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL, signal.SIGSEGV])
def test_a_process_that_hangs_or_dies_is_named_in_time_and_ends(camera, number):
    process = CaptureProcess(CaptureRequest(camera.url, 10, 0.5))
    process.open()
    assert process.next().image is not None
    os.kill(process.pid, number)
    began = time.monotonic()
    with pytest.raises(CaptureFailed, match=r"no frame came for 0\.5 s|died of signal (9|11)"):
        while process.next():
            pass
    assert time.monotonic() - began < 4
    assert process.close() and not process.alive


def test_waiting_ends_when_nobody_wants_it_any_more(mute):
    stop = threading.Event()
    process = CaptureProcess(CaptureRequest(mute, 60, 60), stop.is_set)
    threading.Timer(1.0, stop.set).start()
    with pytest.raises(CaptureCancelled):
        process.open()
    assert process.close()


def test_the_address_is_in_no_argument_and_no_variable(mute):
    stop = threading.Event()
    process = CaptureProcess(CaptureRequest(mute, 60, 60), stop.is_set)
    shown = []

    def look() -> bool:
        shown.append("".join(of(process.pid, name) for name in ("cmdline", "environ")))
        return "capture_worker" in shown[-1]

    def stop_soon() -> None:
        wait_until(look)
        stop.set()

    threading.Thread(target=stop_soon).start()
    with pytest.raises(CaptureCancelled):
        process.open()
    process.close()
    assert "s3cret" not in shown[-1] and "operator" not in shown[-1]


def test_it_is_light(camera):
    process = CaptureProcess(CaptureRequest(camera.url, 10, 5))
    process.open()
    process.next()
    maps, resident = of(process.pid, "maps"), int(of(process.pid, "statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    process.close()
    assert "torch" not in maps
    assert resident < 150 << 20


PARENT = """
import sys
from agent.sources.capture_process import CaptureProcess
from agent.sources.capture_request import CaptureRequest
process = CaptureProcess(CaptureRequest(sys.argv[1], 60, 60))
process.open()
print(process.pid, flush=True)
while process.next(): pass
"""


@pytest.mark.parametrize("hung", [False, True])
def test_it_dies_with_the_agent_whatever_it_does(camera, hung):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, camera.url], stdout=subprocess.PIPE)
    child = int(parent.stdout.readline())
    if hung:
        os.kill(child, signal.SIGSTOP)
    parent.kill()
    parent.wait(10)
    parent.stdout.close()
    wait_until(lambda: of(child, "cmdline") == "")


class Answering(CaptureProcess):
    """As a process that somebody else took over."""

    def __init__(self, *lines: bytes) -> None:
        super().__init__(CaptureRequest("x", 1, 1))
        data = b"".join(lines)
        code = "import sys; o = sys.stdout.buffer; o.write(sys.stdin.buffer.read(int(sys.argv[1]))); o.flush(); input()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, str(len(data))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        rest = data
        while rest:
            rest = rest[self._process.stdin.write(rest) :]
        os.set_blocking(self._process.stdout.fileno(), False)
        self._files = tuple(os.memfd_create("frame") for _ in range(2))


@pytest.mark.parametrize(
    "answer",
    [
        b"\xff\xfe nonsense\n",
        b"[1]\n",
        b"{}\n",
        b'{"slot": 0, "at": 1.0, "shape": [100, 100]}\n',
        b'{"slot": 0, "at": 1.0, "shape": [1000000, 1000000]}\n',
        b'{"slot": 7, "at": 1.0, "shape": [1, 1]}\n',
        b'{"slot": 0, "at": "now", "shape": [1, 1]}\n',
        b'{"skipped": {"max_fps": -5}}\n',
        b'{"skipped": {"replaced": 1e99}}\n',
        b'{"skipped": {"anything": 1}}\n',
        b"x" * (1 << 20),
    ],
)
def test_nothing_it_answers_is_taken_on_trust(answer):
    process = Answering(answer)
    with pytest.raises(CaptureFailed, match="nonsense"):
        process.next()
    assert process.close()


def test_a_frame_from_the_future_is_of_now():
    process = Answering(b'{"slot": 0, "at": 1e300, "corrupt": true}\n')
    assert process.next().at <= time.monotonic()
    assert process.close()
