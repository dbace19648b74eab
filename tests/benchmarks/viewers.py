"""What 20 viewers of the page cost: inspections a second of the whole agent with and without them, by turns.

Each viewer keeps the stream of states open and fetches the newest picture of every line once a second, as the overview
does. They run in a process of their own. Run by hand: `python -m tests.benchmarks.viewers [SECONDS] [ROUNDS]`. The
ratio is what counts: rates differ from machine to machine.
"""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from fbclip.detector import open_detector
from tests.benchmarks.whole_agent import judged, looping_lines, start_agent

VIEWERS = 20
LINES = 2
MOST_COST = 0.05


def rate(parts, daemon, seconds: float) -> tuple[float, float]:
    """Inspections a second; and CPU seconds of the agent for each, which others on the machine hardly change."""
    before, began, used = judged(parts), time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        daemon.step(time.monotonic())
        time.sleep(0.5)
    done = judged(parts) - before
    return done / (time.perf_counter() - began), (time.process_time() - used) / max(done, 1)


async def _viewer(port: int, counts: dict[str, int]) -> None:
    """The stream, and after each state the pictures that are new in it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    pictures = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /api/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    while True:
        line = await reader.readline()
        if not line or line.strip() == b"0":
            writer.close()
            pictures[1].close()
            return
        if not line.startswith(b"data: "):
            continue
        counts["states"] += 1
        for one in json.loads(line[6:])["lines"]:
            name, number = one["name"], one.get("number", 0)
            pictures[1].write(
                b"GET /lines/%s/overlay.jpg?n=%d HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % (name.encode(), number)
            )
            head = await pictures[0].readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await pictures[0].readexactly(length)
            counts["pictures"] += head.startswith(b"HTTP/1.1 200")


async def _watch(port: int, seconds: float) -> None:
    counts = {"states": 0, "pictures": 0}

    async def again() -> None:
        while True:
            await _viewer(port, counts)

    tasks = [asyncio.create_task(again()) for _ in range(VIEWERS)]
    await asyncio.wait(tasks, timeout=seconds)
    for task in tasks:
        task.cancel()
    print(json.dumps(counts))  # noqa: T201


def main(folder: Path, seconds: float, rounds: int) -> None:
    logging.disable(logging.WARNING)
    detector = open_detector("embedded", device="cpu")
    with ExitStack() as stack:
        parts, daemon = start_agent(folder, detector, looping_lines(folder, LINES), stack)
        rate(parts, daemon, 3)
        costs, cpu = [], []
        for _ in range(rounds):
            before = rate(parts, daemon, seconds)
            command = [sys.executable, "-m", "tests.benchmarks.viewers", "--watch"]
            command += [str(parts.web.port), str(seconds + 2)]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as viewers:
                time.sleep(1.5)
                during = rate(parts, daemon, seconds)
                seen = viewers.communicate()[0].decode().strip()
            after = rate(parts, daemon, seconds)
            costs.append(1 - 2 * during[0] / (before[0] + after[0]))
            cpu.append(2 * during[1] / (before[1] + after[1]) - 1)
            rates = f"alone {before[0]:6.1f} and {after[0]:6.1f}, {VIEWERS} viewers {during[0]:6.1f} a second"
            print(f"{rates}; {1000 * before[1]:.0f}, {1000 * after[1]:.0f}, {1000 * during[1]:.0f} ms CPU each; {seen}")  # noqa: T201
        daemon.shut_down()
        parts.pipeline.finish(60)
    found = f"{100 * median(costs):.1f} % of inspections a second, {100 * median(cpu):.1f} % more CPU for each"
    print(f"{VIEWERS} viewers cost {found} (at most {100 * MOST_COST:.0f} %)")  # noqa: T201


if __name__ == "__main__":
    if sys.argv[1:2] == ["--watch"]:
        asyncio.run(_watch(int(sys.argv[2]), float(sys.argv[3])))
    else:
        with tempfile.TemporaryDirectory() as name:
            main(
                Path(name),
                float(sys.argv[1]) if len(sys.argv) > 1 else 10,
                int(sys.argv[2]) if len(sys.argv) > 2 else 3,
            )
