"""What the daemon costs around the detector: images a second of the whole agent with 8 lines at full load.

Beside them stand those of the bare detector in the same batches, in one process, by turns; to frame a picture and to
infer is the detector's work in both. Run by hand: `python -m tests.benchmarks.daemon_overhead [--videos] [SECONDS]
[ROUNDS]`, with the model inside the package and 8 looping videos of which every frame is judged. Their frames lie ready
in memory, unless `--videos` has them decoded: then the processes that decode take their share of the same processor.

Rates differ from machine to machine, and on a shared one from second to second. So beside their ratio stands the share
of the agent's processor time that all threads but the detector's take, which hardly does.
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
from tests.benchmarks.whole_agent import BATCH, FRAMES, ThreadTime, judged, looping_lines, start_agent, watch_until
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
    images = [noise(number, 64) for number in range(BATCH)]
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        tiles = [detector.frame(image, Framing()).tiles for image in images]
        detector.infer([Job(tile, adapter, detector.smoothing[adapter]) for tile in tiles])
        done += BATCH
    return done / (time.perf_counter() - began)


def whole(folder: Path, detector: Detector, seconds: float) -> tuple[float, float]:
    """Inspections a second of the agent, everything ok and recorded; and the share of its processor time that is not
    the detector's."""
    folder.mkdir()
    around = ThreadTime(lambda name: not name.startswith(("detector", "prepare")))
    with ExitStack() as stack:
        parts, daemon = start_agent(folder, detector, looping_lines(folder, LINES), stack)
        time.sleep(1.0)
        around.more()
        before, began, used = judged(parts), time.perf_counter(), time.process_time()
        watch_until(daemon, lambda: time.perf_counter() - began >= seconds)
        rate = (judged(parts) - before) / (time.perf_counter() - began)
        share = around.more() / (time.process_time() - used)
        daemon.shut_down()
    return rate, share


def main(folder: Path, seconds: float, rounds: int) -> None:
    logging.disable(logging.WARNING)
    say = sys.stdout.write
    detector = open_detector("embedded", device="cpu")
    bare(detector, 2)
    costs, shares = [], []
    for turn in range(rounds):
        alone, (within, share) = bare(detector, seconds), whole(folder / str(turn), detector, seconds)
        after = bare(detector, seconds)
        costs.append(1 - 2 * within / (alone + after))
        shares.append(share)
        rates = f"bare {alone:6.1f} and {after:6.1f}, agent {within:6.1f} images a second"
        say(f"{rates}: {100 * costs[-1]:.1f} % fewer; {100 * share:.1f} % of its processor time around the detector\n")
    say(f"{LINES} lines, {torch.get_num_threads()} threads: lowest {100 * min(costs):.1f} %, ")
    say(f"middle {100 * median(costs):.1f} % fewer; middle {100 * median(shares):.1f} % of the processor time\n")


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--videos"]
    if "--videos" not in sys.argv:
        factory.Video = partial(Video, start=lambda *_: (Prepared(), "frames in memory"))
    with tempfile.TemporaryDirectory() as name:
        main(Path(name), float(arguments[0]) if arguments else 10, int(arguments[1]) if arguments[1:] else 3)
