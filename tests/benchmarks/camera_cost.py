"""What a process for each camera costs, at 1920×1080: `python -m tests.benchmarks.camera_cost [FRAMES]`.

The same film read as fast as it goes, in this process as frames of OpenCV and through a process of its own, and once at
25 frames a second, as a camera gives them. Without the detector.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2

from agent.config.source import VideoSource
from agent.sources.capture_process import CaptureProcess
from agent.sources.capture_request import CaptureRequest
from agent.sources.sinks import NewestSlot, Tally
from agent.sources.video import Video
from tests.factories.streams import ffmpeg, moving_picture


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        for codec in ("libx264", "mjpeg"):
            film = Path(name) / f"{codec}.mkv"
            ffmpeg(*moving_picture(count / 25, 25, "1920x1080"), "-c:v", codec, "-pix_fmt", "yuvj420p", str(film))
            plain = measured(lambda film=film: in_this_process(film))
            own = measured(lambda film=film: in_its_own(film))
            start = started(film)
            rates = f"{plain[0]:.0f} and {own[0]:.0f} frames/s (ratio {own[0] / plain[0]:.2f})"
            costs = f"{plain[1]:.1f} and {own[1]:.1f} ms CPU a frame ({own[1] / plain[1]:.2f})"
            print(f"{codec}: in this process and in its own {rates}, {costs}; open after {start:.2f} s")  # noqa: T201
            live = measured(lambda film=film: realtime(film))
            print(f"{codec}: at 25 frames/s {live[1] * 2.5:.0f} % of one core")  # noqa: T201


def measured(read: Callable[[], int]) -> tuple[float, float]:
    """(frames a second, milliseconds of CPU a frame), the CPU of processes that ended included."""
    began, spent = time.perf_counter(), cpu()
    frames = read()
    return frames / (time.perf_counter() - began), 1e3 * (cpu() - spent) / frames


def cpu() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def in_this_process(film: Path) -> int:
    capture = cv2.VideoCapture(str(film), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    frames = 0
    while capture.grab():
        cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB)
        frames += 1
    return frames


def in_its_own(film: Path) -> int:
    process = CaptureProcess(CaptureRequest(str(film), 20, 20, every=True))
    process.open()
    frames = 0
    while (taken := process.next()) is not None:
        assert taken.image is not None
        frames += 1
    process.close()
    return frames


def started(film: Path) -> float:
    began = time.perf_counter()
    process = CaptureProcess(CaptureRequest(str(film), 20, 20, every=True))
    process.open()
    seconds = time.perf_counter() - began
    process.close()
    return seconds


def realtime(film: Path) -> int:
    tally = Tally()
    Video("line", VideoSource(type="video", path=film, realtime=True), NewestSlot(tally)).run(threading.Event())
    return tally.snapshot().grabbed


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 250)
