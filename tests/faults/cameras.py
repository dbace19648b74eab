"""A camera's process is killed or stands still; and more triggers than a line can answer while the broker comes and
goes."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from fbclip.artefacts.profile_file import save_profile
from tests.factories.lines import a_profile
from tests.factories.models import tiny_detector
from tests.factories.streams import JpegCamera, capture_processes, jpeg
from tests.faults.invariants import check, check_counters
from tests.faults.site import Site, a_site

# A process that gives nothing for half of `stall_s` is killed, and the next must open the stream.
STALL_S = 2.0
BACK_S = 30.0
BLOCKS = 4


def capture(folder: Path, rounds: int) -> str:
    """The process that reads a live HTTP camera is killed, and stopped in its tracks, `rounds` times each."""
    slowest: Counter[str] = Counter()
    with closing(JpegCamera(jpeg, pause_s=0.05)) as camera, a_site(folder) as site:
        add_line(site, {"type": "camera", "url": camera.url, "stall_s": STALL_S})
        site.start()
        site.until(lambda: judged(site) > 5, "the camera to be judged")
        for _ in range(rounds):
            for name, number in (("kill", signal.SIGKILL), ("hang", signal.SIGSTOP)):
                (process,) = capture_processes(site.pid)
                began, known = time.monotonic(), judged(site)
                os.kill(process, number)
                site.drop(2)
                site.until(lambda old=process: capture_processes(site.pid) - {old}, "another process", BACK_S)
                site.until(lambda few=known: judged(site) > few + 5, "images again", BACK_S)
                slowest[name] = max(slowest[name], round(time.monotonic() - began))
        check_counters(site)
        site.settle()
        started = capture_processes(site.pid)
        assert site.stop() == 0
        assert not any(Path(f"/proc/{process}").exists() for process in started), "the camera's process goes on"
        back = f"images again after {slowest['kill']} s at most when killed, {slowest['hang']} s when it hung"
        return f"{rounds} times each, {back}; {check(site)}"


def storm(folder: Path, triggers: int) -> str:
    """Four times `triggers` as fast as they can be published, the broker being stopped and started in between."""
    with closing(JpegCamera(jpeg, pause_s=0.02)) as camera, a_site(folder) as site:
        add_line(site, {"type": "camera", "url": camera.url, "trigger": "mqtt", "queue": 8, "answer_s": 20})
        site.start()
        site.until(lambda: capture_processes(site.pid) and camera.sent > 20, "the camera to run")
        for block in range(BLOCKS):
            numbers = range(block * triggers, (block + 1) * triggers)
            site.ear.say("fbclip/demo/cmd/trigger", [{"line": "belt", "part": number} for number in numbers])
            if block < BLOCKS - 1:
                site.broker.stop()
                site.drop(2)
                site.broker.start()
                site.until(lambda: "connect" not in site.problems(), "the agent to be connected again")
        last = BLOCKS * triggers - 1
        site.until(lambda: last in _parts(site, "answer"), "the last trigger to be heard", 60)
        site.until(lambda: set(_parts(site, "answer")) == set(_parts(site, "belt/result")), "all to be answered", 90)
        site.settle(90)
        assert site.stop() == 0
        told = check(site)
        heard = {body["message_id"]: body for body in site.ear.heard if body["topic"] == "fbclip/demo/belt/result"}
        parts = Counter(body["context"]["part"] for body in heard.values())
        assert set(parts.values()) == {1}, "a trigger was answered under two message_ids"
        verdicts = dict(Counter(body["reason"] or body["verdict"] for body in heard.values()))
        return f"{BLOCKS * triggers} triggers, {len(parts)} heard, each answered once: {verdicts}; {told}"


def add_line(site: Site, source: dict[str, Any]) -> None:
    """A line `belt` with this source."""
    line = site.line("belt", source)
    save_profile(a_profile(tiny_detector(), line="belt", threshold=-1e9), site.folder / line["profile"])
    site.document["lines"].append(line)
    site.write_config()


def judged(site: Site) -> int:
    return site.number("SELECT count(*) FROM inspections WHERE line = 'belt'")


def _parts(site: Site, topic: str) -> list[Any]:
    """Of what was heard on it."""
    return [body["context"]["part"] for body in list(site.ear.heard) if body["topic"] == f"fbclip/demo/{topic}"]
