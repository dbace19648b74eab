"""Do folders and cameras keep the detector busy? `python -m tests.benchmarks.throughput [IMAGES]`, in one process.

A folder of JPEGs, by turns: the folder alone (ledger, reading, decoding and queue), the bare detector in full batches
of images that were decoded before, and the whole agent with the folder as its only line. Then four cameras of 5 frames
a second, played from JPEG sequences: how many of their frames come while the detector has more than it can do. Ratios
are what counts: rates differ from machine to machine. `--size WIDTHxHEIGHT` of the images.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np

from agent.config.source import FolderSource
from agent.parts import Parts
from agent.pipeline.evidence import encode_jpeg
from agent.sources.folder import Folder
from agent.sources.sinks import BlockingQueue, Tally
from agent.store.access import open_writer
from agent.store.ledger import Ledger
from agent.store.writer import Writer
from fbclip.detector import Detector, Job, open_detector
from fbclip.images.decode import decode
from fbclip.images.framing import Framing
from tests.benchmarks.whole_agent import BATCH, judged, start_agent, watch_until

KINDS = 8
CAMERAS = 4
FPS = 5
CAMERAS_S = 20.0


def folder_alone(folder: Path, images: list[bytes], count: int) -> float:
    """Frames a second out of the queue, after the first, which also starts the decoder."""
    hot = folder / "in"
    hot.mkdir(parents=True)
    write_images(hot, images, count)
    database = open_writer(f"sqlite:///{folder}/agent.db")
    Writer(database).start_run("run", lambda _: None)
    queue, stop = BlockingQueue(Tally()), threading.Event()
    source = Folder("line", FolderSource(type="folder", path=hot, settle_s=0), queue, Ledger(database))
    thread = threading.Thread(target=source.run, args=(stop,))
    thread.start()
    queue.get(60)
    started = time.perf_counter()
    for _ in range(count - 1):
        frame = queue.get(60)
        assert frame is not None and frame.image is not None
    seconds = time.perf_counter() - started
    stop.set()
    thread.join()
    database.close()
    return (count - 1) / seconds


def bare(detector: Detector, images: list[bytes], count: int) -> float:
    """Images a second in batches of BATCH: prepared and judged, decoded before."""
    adapter = detector.adapters[0]
    decoded = [decode(image) for image in images]
    started = time.perf_counter()
    for _ in range(0, count, BATCH):
        tiles = [detector.frame(image, Framing()).tiles for image in decoded[:BATCH]]
        detector.infer([Job(tile, adapter, detector.smoothing[adapter]) for tile in tiles])
    return BATCH * -(-count // BATCH) / (time.perf_counter() - started)


def whole(folder: Path, detector: Detector, images: list[bytes], count: int) -> float:
    """Files a second of the whole agent, from the first verdict to the last file's leaving."""
    hot = folder / "in"
    hot.mkdir(parents=True)
    line = {"name": "files", "source": {"type": "folder", "path": "in", "settle_s": 0}}
    write_images(hot, images, count)
    with ExitStack() as stack:
        parts, daemon = start_agent(folder, detector, [line], stack)
        while (first := judged(parts)) == 0:
            time.sleep(0.02)
        started = time.perf_counter()
        watch_until(daemon, lambda: judged(parts) == count and not any(hot.iterdir()))
        rate = (count - first) / (time.perf_counter() - started)
        daemon.shut_down()
    return rate


def cameras(folder: Path, detector: Detector, images: list[bytes]) -> tuple[float, float]:
    """Of four cameras at 5 frames a second: the frames that came of those that were due, and those judged a second."""
    clip = folder / "clip"
    clip.mkdir(parents=True)
    write_images(clip, images, 100)
    source = {"type": "video", "path": str(clip), "realtime": True, "loop": True, "fps": FPS}
    lines = [{"name": f"camera-{number}", "source": source} for number in range(CAMERAS)]
    with ExitStack() as stack:
        parts, daemon = start_agent(folder, detector, lines, stack)
        watch_until(daemon, lambda: min(_grabbed(parts)) > 0)
        came, done, began = sum(_grabbed(parts)), judged(parts), time.perf_counter()
        watch_until(daemon, lambda: time.perf_counter() - began >= CAMERAS_S)
        seconds = time.perf_counter() - began
        came, done = sum(_grabbed(parts)) - came, judged(parts) - done
        daemon.shut_down()
    return came / (seconds * CAMERAS * FPS), done / seconds


def _grabbed(parts: Parts) -> list[int]:
    return [line.counters.grabbed for line in parts.probe.snapshot().lines]


def some_images(width: int, height: int) -> list[bytes]:
    chance = np.random.default_rng(0)
    small = chance.integers(60, 200, (27, 48, 3), dtype=np.uint8)
    scene = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return [encode_jpeg((scene + chance.normal(0, 4, scene.shape)).clip(0, 255).astype(np.uint8)) for _ in range(KINDS)]


def write_images(folder: Path, images: list[bytes], count: int) -> None:
    for number in range(count):
        (folder / f"{number:05}.jpg").write_bytes(images[number % KINDS])


def main(folder: Path, count: int, width: int, height: int) -> None:
    logging.disable(logging.WARNING)
    images = some_images(width, height)
    read = folder_alone(folder / "alone", images, count)
    detector = open_detector("embedded", device="cpu")
    bare(detector, images, 2 * BATCH)
    before = bare(detector, images, count // 2)
    within = whole(folder / "whole", detector, images, count)
    after = bare(detector, images, count // 2)
    came, seen = cameras(folder / "cameras", detector, images)
    alone = bare(detector, images, count // 2)
    share = f"{100 * 2 * within / (before + after):.0f} % of the bare detector's {before:.1f} and {after:.1f}"
    print(f"{count} of {width}x{height}: read {read:.1f} a second; judged {within:.1f} a second, {share}")  # noqa: T201
    share = f"{100 * 2 * seen / (after + alone):.0f} % of the bare detector's {after:.1f} and {alone:.1f}"
    due = f"{CAMERAS} cameras at {FPS} fps"
    print(f"{due}: {100 * came:.1f} % of their frames come; judged {seen:.1f} a second, {share}")  # noqa: T201


if __name__ == "__main__":
    size = sys.argv[sys.argv.index("--size") + 1] if "--size" in sys.argv else "1920x1080"
    numbers = [int(one) for one in sys.argv[1:] if one.isdigit()]
    with tempfile.TemporaryDirectory() as name:
        main(Path(name), numbers[0] if numbers else 200, *map(int, size.split("x")))
