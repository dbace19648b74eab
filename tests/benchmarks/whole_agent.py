"""A whole agent for a benchmark: the embedded model and broker, a page, and no picture kept of what is ok."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from agent.app import WATCH_S, Daemon
from agent.config.loader import load_config
from agent.parts import Parts, Setting, build_parts
from agent.steering.overrides import Overrides
from fbclip.artefacts.profile_file import save_profile
from fbclip.detector import Detector
from tests.factories.brokers import free_port
from tests.factories.lines import a_profile
from tests.faults.images import video

BATCH = 8
FRAMES = 200


def looping_lines(folder: Path, count: int) -> list[dict[str, Any]]:
    """Live lines of which each judges every frame of one looping video."""
    clip = video(folder / "clip.mp4", FRAMES)
    source = {"type": "video", "path": str(clip), "loop": True}
    return [{"name": f"line-{number}", "source": source, "mode": "live"} for number in range(count)]


def start_agent(
    folder: Path, detector: Detector, lines: Sequence[dict[str, Any]], stack: ExitStack
) -> tuple[Parts, Daemon]:
    """It runs until `stack` is closed; each line has a profile by which all is ok."""
    named = [{**line, "profile": f"{line['name']}.yaml"} for line in lines]
    for line in named:
        save_profile(a_profile(detector, line=line["name"], size=detector.size), folder / line["profile"])
    document = {
        "agent": {"name": "demo"},
        "model": {"batch": BATCH},
        "mqtt": {"url": f"embedded://127.0.0.1:{free_port()}"},
        "web": {"listen": "127.0.0.1:0"},
        "store": {"retention": {"ok_every": 0}},
        "lines": named,
    }
    path = folder / "agent.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    parts = build_parts(Setting(path, load_config(path), Overrides()), detector, stack)
    daemon = Daemon(parts)
    daemon.start(stack)
    return parts, daemon


def judged(parts: Parts) -> int:
    """Inspections of all lines so far."""
    counters = [line.counters for line in parts.probe.snapshot().lines]
    return sum(one.inspected + one.rejected for one in counters)


def watch_until(daemon: Daemon, done: Callable[[], bool]) -> None:
    """Its main thread's steps, as often as the real one takes them."""
    due = time.monotonic()
    while not done():
        if time.monotonic() >= due:
            due += WATCH_S
            daemon.step(time.monotonic())
        time.sleep(0.05)


class ThreadTime:
    """Processor seconds of the threads whose names `counts`, summed over threads that come and go."""

    def __init__(self, counts: Callable[[str], bool]) -> None:
        self._counts = counts
        self._seen: dict[int, float] = {}

    def more(self) -> float:
        """Since the last call."""
        more = 0.0
        for thread in threading.enumerate():
            if thread.ident is None or not self._counts(thread.name):
                continue
            ran = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
            more += ran - self._seen.get(thread.ident, 0.0)
            self._seen[thread.ident] = ran
        return more
