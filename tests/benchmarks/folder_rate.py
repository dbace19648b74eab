"""How fast a folder of JPEGs is judged, beside the bare detector: `python -m tests.benchmarks.folder_rate [IMAGES]`.

By turns in one process: the folder alone (ledger, reading, decoding and queue), the bare detector in full batches of
images that were decoded before, and the whole agent with the folder as its only line. The ratio of the last two is what
counts: rates differ from machine to machine. `--size WIDTHxHEIGHT` of the images.
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

from agent.config.line import FolderSource
from agent.pipeline.evidence import encode_jpeg
from agent.sources.folder import Folder
from agent.sources.sinks import BlockingQueue, Tally
from agent.store.access import open_writer
from agent.store.ledger import Ledger
from agent.store.writer import Writer
from fbclip.detector import Detector, Job, open_detector
from fbclip.images.decode import decode
from fbclip.images.framing import Framing
from tests.benchmarks.whole_agent import BATCH, judged, start_agent

KINDS = 8


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
        while judged(parts) < count or any(hot.iterdir()):
            daemon.step(time.monotonic())
            time.sleep(0.1)
        rate = (count - first) / (time.perf_counter() - started)
        daemon.shut_down()
    return rate


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
    share = f"{100 * 2 * within / (before + after):.0f} % of the bare detector's {before:.1f} and {after:.1f}"
    print(f"{count} of {width}x{height}: read {read:.1f} a second; judged {within:.1f} a second, {share}")  # noqa: T201


if __name__ == "__main__":
    size = sys.argv[sys.argv.index("--size") + 1] if "--size" in sys.argv else "1920x1080"
    numbers = [int(one) for one in sys.argv[1:] if one.isdigit()]
    with tempfile.TemporaryDirectory() as name:
        main(Path(name), numbers[0] if numbers else 200, *map(int, size.split("x")))
