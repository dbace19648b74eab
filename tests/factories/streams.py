"""Cameras that are no cameras: ffmpeg behind an address, a server of JPEGs, and a capture that does as it is told."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from agent.sources.capture_process import CaptureFailed, Opened, Taken
from tests.factories.agent import FakeClock
from tests.factories.brokers import free_port

FFMPEG = shutil.which("ffmpeg")


def ffmpeg(*arguments: str) -> None:
    subprocess.run([str(FFMPEG), "-loglevel", "error", "-nostdin", "-y", *arguments], check=True, timeout=60)


def moving_picture(seconds: float, rate: int = 10, size: str = "160x120") -> list[str]:
    """ffmpeg's moving test picture as an input."""
    return ["-f", "lavfi", "-i", f"testsrc2=s={size}:r={rate}:d={seconds}"]


class FfmpegCamera:
    """H.264 in MPEG-TS by HTTP, live, to one viewer at a time; may be killed, stopped and continued."""

    def __init__(self, rate: int = 10) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/live.ts"
        self._rate = rate
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, speed: float = 1.0) -> None:
        codec = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "5"]
        target = ["-f", "mpegts", "-listen", "1", self.url]
        source = ["-readrate", str(speed), *moving_picture(600, self._rate)]
        command = [str(FFMPEG), "-loglevel", "quiet", "-nostdin", *source, *codec, *target]
        self._process = subprocess.Popen(command)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


class JpegCamera:
    """Multipart JPEGs by HTTP to any number of viewers; `picture` gives the bytes of the n-th frame."""

    def __init__(self, picture: Callable[[int], bytes], pause_s: float = 0.02) -> None:
        self.picture = picture
        self.pause_s = pause_s
        self.sent = 0
        self.requests: list[str] = []
        self._over = threading.Event()
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None: ...

            def do_GET(self) -> None:
                camera.requests.append(self.path)
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=edge")
                self.end_headers()
                with suppress(OSError):
                    while not camera._over.wait(camera.pause_s):
                        body = camera.picture(camera.sent)
                        camera.sent += 1
                        head = f"--edge\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
                        self.wfile.write(head.encode() + body + b"\r\n")

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/stream.mjpg"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()


def jpeg(number: int, size: tuple[int, int] = (120, 160)) -> bytes:
    """A textured frame that differs from its neighbours."""
    chance = np.random.default_rng(number)
    image = cv2.resize(chance.integers(40, 220, (12, 16, 3), dtype=np.uint8), size[::-1])
    return cv2.imencode(".jpg", image)[1].tobytes()


class FakeCapturing:
    """An open source that gives what it is told: images, skipped frames, failures. Each turn takes `step` seconds."""

    def __init__(
        self,
        turns: Iterable[Taken | Exception],
        clock: FakeClock,
        step: float = 0.1,
        opened: Opened | None = Opened(),
        ends: bool = True,
    ) -> None:
        """`opened`: None cannot be opened. `ends`: whether it can be ended."""
        self._turns = iter(turns)
        self._clock, self._step, self._opened, self._ends = clock, step, opened, ends
        self.closed = False

    @property
    def alive(self) -> bool:
        return not (self.closed and self._ends)

    def release(self) -> None:
        """A driver that held it lets go."""
        self._ends = True

    def open(self) -> Opened:
        if self._opened is None:
            raise CaptureFailed("cannot be opened")
        return self._opened

    def next(self) -> Taken | None:
        self._clock.time += self._step
        turn = next(self._turns, None)
        if isinstance(turn, Exception):
            raise turn
        return turn

    def close(self) -> bool:
        self.closed = True
        return self._ends


def images(count: int, clock: FakeClock) -> Iterable[Taken]:
    """That many images, each another."""
    for number in range(count):
        yield Taken(clock.time, np.full((8, 8, 3), (3, 2, number % 256), np.uint8))


def capture_processes(of: int | None = None) -> set[int]:
    """Processes of cameras that this process, or another, has started and that are alive."""
    wanted = os.getpid() if of is None else of
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            # The second field, the name in brackets, may hold blanks.
            state, parent = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[:2]
            ours = int(parent) == wanted and state not in "ZX"
            if ours and b"agent.sources.capture_worker" in (folder / "cmdline").read_bytes():
                found.add(int(folder.name))
    return found
