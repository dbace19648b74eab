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
import yaml

from agent.app import Daemon
from agent.config.loader import load_config
from agent.parts import Setting, build_parts
from agent.sources import factory
from agent.sources.capture_process import Opened, Taken
from agent.sources.video import Video
from agent.steering.overrides import Overrides
from fbclip.artefacts.profile_file import save_profile
from fbclip.detector import Detector, Job, open_detector
from fbclip.images.framing import Framing
from tests.factories.brokers import free_port
from tests.factories.lines import a_profile
from tests.faults.images import noise, video

LINES = 8
BATCH = 8
FRAMES = 200


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
    clip = video(folder / "clip.mp4", FRAMES)
    lines = [
        {
            "name": f"line-{number}",
            "source": {"type": "video", "path": str(clip), "loop": True},
            "profile": f"{number}.yaml",
            "mode": "live",
        }
        for number in range(LINES)
    ]
    for number, line in enumerate(lines):
        save_profile(a_profile(detector, line=line["name"], size=detector.size), folder / f"{number}.yaml")
    document = {
        "agent": {"name": "demo"},
        "model": {"batch": BATCH},
        "mqtt": {"url": f"embedded://127.0.0.1:{free_port()}"},
        "web": {"listen": "127.0.0.1:0"},
        "store": {"retention": {"ok_every": 0}},
        "lines": lines,
    }
    path = folder / "agent.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    with ExitStack() as stack:
        parts = build_parts(Setting(path, load_config(path), Overrides()), detector, stack)
        daemon = Daemon(parts)
        daemon.start(stack)
        time.sleep(1.0)
        before, began = _judged(parts), time.perf_counter()
        while time.perf_counter() - began < seconds:
            daemon.step(time.monotonic())
            time.sleep(1.0)
        rate = (_judged(parts) - before) / (time.perf_counter() - began)
        with parts.database.transaction() as connection:
            query = "SELECT avg(infer_ms) FROM (SELECT infer_ms FROM inspections ORDER BY id DESC LIMIT 200)"
            batch_ms = float(connection.exec_driver_sql(query).scalar())
        daemon.shut_down()
    return rate, batch_ms


def _judged(parts) -> int:
    counters = [line.counters for line in parts.probe.snapshot().lines]
    return sum(one.inspected + one.rejected for one in counters)


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
