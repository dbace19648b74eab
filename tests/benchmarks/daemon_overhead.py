"""What the daemon costs around the detector: images a second of the whole agent with 8 lines at full load.

Beside them stand those of the bare detector in the same batches, in one process, by turns. Run by hand:
`python -m tests.benchmarks.daemon_overhead [--videos] [SECONDS] [ROUNDS]`, with the model inside the package and 8
looping videos of which every frame is judged. Their frames lie ready in memory, unless `--videos` has them decoded:
then the processes that decode take their share of the same processor. The ratio is what counts: rates differ from
machine to machine.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

import torch

from agent.sources import factory
from agent.sources.capture_process import Opened, Taken
from agent.sources.video import Video
from fbclip.detector import Detector, Job, open_detector
from fbclip.images.framing import Framing
from tests.benchmarks.whole_agent import BATCH, FRAMES, judged, looping_lines, start_agent, watch_until
from tests.faults.images import noise

LINES = 8


class Prepared:
    """A video whose frames lie in memory: `agent.sources.capture_process.Capturing`."""

    alive = True

    def __init__(self) -> None:
        self._images = [noise(number, 64) for number in range(FRAMES)]

    def open(self) -> Opened:
        self._left = iter(self._images)
        return Opened(fps=25, frames=FRAMES)

    def next(self) -> Taken | None:
        image = next(self._left, None)
        return None if image is None else Taken(time.monotonic(), image)

    def close(self) -> bool:
        return True


def bare(detector: Detector, seconds: float) -> float:
    """Images a second in batches of BATCH, decoded before."""
    adapter = detector.adapters[0]
    jobs = [
        Job(detector.frame(noise(number, 64), Framing()).tiles, adapter, detector.smoothing[adapter])
        for number in range(BATCH)
    ]
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        detector.infer(jobs)
        done += BATCH
    return done / (time.perf_counter() - began)


def whole(folder: Path, detector: Detector, seconds: float) -> tuple[float, float]:
    """Inspections a second of the agent, everything ok and recorded; and the share of time in the detector."""
    folder.mkdir()
    with ExitStack() as stack:
        parts, daemon = start_agent(folder, detector, looping_lines(folder, LINES), stack)
        time.sleep(1.0)
        before, began = judged(parts), time.perf_counter()
        watch_until(daemon, lambda: time.perf_counter() - began >= seconds)
        rate = (judged(parts) - before) / (time.perf_counter() - began)
        with parts.database.transaction() as connection:
            query = "SELECT avg(infer_ms) FROM (SELECT infer_ms FROM inspections ORDER BY id DESC LIMIT 200)"
            batch_ms = float(connection.exec_driver_sql(query).scalar())
        daemon.shut_down()
    return rate, batch_ms


def main(folder: Path, seconds: float, rounds: int) -> None:
    logging.disable(logging.WARNING)
    detector = open_detector("embedded", device="cpu")
    bare(detector, 2)
    costs = []
    for turn in range(rounds):
        alone, (within, batch_ms) = bare(detector, seconds), whole(folder / str(turn), detector, seconds)
        after = bare(detector, seconds)
        costs.append(1 - 2 * within / (alone + after))
        rates = f"bare {alone:6.1f} and {after:6.1f}, agent {within:6.1f} images a second (a batch {batch_ms:.0f} ms)"
        print(f"{rates}: overhead {100 * costs[-1]:.1f} %")  # noqa: T201
    found = f"lowest {100 * min(costs):.1f} %, middle {100 * median(costs):.1f} %"
    print(f"{LINES} lines, {torch.get_num_threads()} threads: {found}")  # noqa: T201


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--videos"]
    if "--videos" not in sys.argv:
        factory.Video = partial(Video, start=lambda *_: (Prepared(), "frames in memory"))
    with tempfile.TemporaryDirectory() as name:
        main(Path(name), float(arguments[0]) if arguments else 10, int(arguments[1]) if arguments[1:] else 3)
