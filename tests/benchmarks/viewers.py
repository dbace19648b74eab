"""What 20 viewers of the page cost the agent, by turns with and without them, in one run.

They run in a process of their own (`page_viewers`), but on the same cores: what they take themselves lowers the rate of
inspections, too, so the rate says what both cost together. What the agent spends on them is the processor time of its
page's threads, as a share of all its processor time; and processor time for each inspection, which includes what its
other threads lose to them.

Run by hand: `python -m tests.benchmarks.viewers [SECONDS] [ROUNDS]`. Ratios count: rates differ from
machine to machine.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from agent.app import Daemon
from agent.parts import Parts
from fbclip.detector import open_detector
from tests.benchmarks.whole_agent import ThreadTime, judged, looping_lines, start_agent

VIEWERS = 20
LINES = 2
MOST_COST = 0.05
_PAGE_THREADS = ("web", "AnyIO worker thread")


@dataclass(frozen=True)
class Measured:
    """Of one turn: inspections a second, processor seconds for each, and processor seconds a second of the page."""

    rate: float
    each: float
    page: float


def of_page(name: str) -> bool:
    return name.startswith(_PAGE_THREADS)


def measure(parts: Parts, daemon: Daemon, seconds: float, page: ThreadTime) -> Measured:
    page.more()
    spent = 0.0
    before, began, used = judged(parts), time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        daemon.step(time.monotonic())
        time.sleep(0.25)
        spent += page.more()
    done, took = judged(parts) - before, time.perf_counter() - began
    return Measured(done / took, (time.process_time() - used) / max(done, 1), spent / took)


def main(folder: Path, seconds: float, rounds: int) -> None:
    logging.disable(logging.WARNING)
    say = sys.stdout.write
    detector, page = open_detector("embedded", device="cpu"), ThreadTime(of_page)
    with ExitStack() as stack:
        parts, daemon = start_agent(folder, detector, looping_lines(folder, LINES), stack)
        measure(parts, daemon, 3, page)
        slower, dearer, shares = [], [], []
        for _ in range(rounds):
            before = measure(parts, daemon, seconds, page)
            command = [sys.executable, "-m", "tests.benchmarks.page_viewers"]
            command += [str(parts.web.port), str(VIEWERS), str(seconds + 1)]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as viewers:
                assert viewers.stdout is not None
                viewers.stdout.readline()
                during = measure(parts, daemon, seconds, page)
                seen = json.loads(viewers.communicate()[0])
            after = measure(parts, daemon, seconds, page)
            slower.append(1 - 2 * during.rate / (before.rate + after.rate))
            dearer.append(2 * during.each / (before.each + after.each) - 1)
            shares.append(during.page / (during.rate * during.each))
            say(f"{before.rate:.1f}, {after.rate:.1f} a second alone, {during.rate:.1f} with {VIEWERS} viewers; ")
            say(f"{1000 * before.each:.0f}, {1000 * after.each:.0f}, {1000 * during.each:.0f} ms processor each; ")
            say(f"page {1000 * during.page:.1f} ms a second, viewers themselves {1000 * seen['processor']:.1f}; ")
            say(f"{seen['states']} states, {seen['pictures']} pictures, {seen['bytes']} bytes\n")
        daemon.shut_down()
        parts.pipeline.finish(60)
    say(f"{VIEWERS} viewers: {100 * median(shares):.1f} % of the agent's processor time is its page's ")
    say(f"(at most {100 * MOST_COST:.0f} %); {100 * median(dearer):.1f} % more processor time for each inspection; ")
    say(f"{100 * median(slower):.1f} % fewer inspections a second, with the viewers on the same cores\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        main(
            Path(name),
            float(sys.argv[1]) if len(sys.argv) > 1 else 10,
            int(sys.argv[2]) if len(sys.argv) > 2 else 3,
        )
