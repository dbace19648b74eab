"""How fast a hot folder of 1920×1080 JPEGs becomes frames: `python -m tests.benchmarks.folder_rate [IMAGES]`.

Ledger, reading, decoding and queue, without the detector.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
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

KINDS = 8


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        hot = Path(name) / "in"
        hot.mkdir()
        write_images(hot, count)
        database = open_writer(f"sqlite:///{name}/agent.db")
        Writer(database).start_run("run", lambda _: None)
        queue, stop = BlockingQueue(Tally()), threading.Event()
        source = Folder("line", FolderSource(type="folder", path=hot, settle_s=0), queue, Ledger(database))
        thread = threading.Thread(target=source.run, args=(stop,))
        thread.start()
        # The first image also starts the decoder.
        queue.get(60)
        started, spent = time.perf_counter(), time.process_time()
        for _ in range(count - 1):
            frame = queue.get(60)
            assert frame is not None and frame.image is not None
        seconds = time.perf_counter() - started
        stop.set()
        thread.join()
        database.close()
    print(f"{(count - 1) / seconds:.1f} images/s, {time.process_time() - spent:.2f} s CPU in the agent itself")  # noqa: T201


def write_images(folder: Path, count: int) -> None:
    chance = np.random.default_rng(0)
    scene = cv2.resize(
        chance.integers(60, 200, (27, 48, 3), dtype=np.uint8), (1920, 1080), interpolation=cv2.INTER_CUBIC
    )
    images = [
        encode_jpeg((scene + chance.normal(0, 4, scene.shape)).clip(0, 255).astype(np.uint8)) for _ in range(KINDS)
    ]
    for number in range(count):
        (folder / f"{number:04}.jpg").write_bytes(images[number % KINDS])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
