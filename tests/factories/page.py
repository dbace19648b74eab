"""The page of an agent with two lines."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from agent.pipeline.judge import Judged
from agent.records import Latency, LineCounters
from agent.web.app import PageSources
from agent.web.events import RecentEvent
from agent.web.state import PageState
from fbclip.decision import Decision, Prediction, Region, Verdict, reject
from fbclip.images.geometry import Placement
from tests.factories.agent import a_frame, an_inspection

NOW = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)


class PageTime:
    """Monotonic seconds that stand still until they are moved."""

    def __init__(self):
        self.now = 50.0

    def __call__(self):
        return self.now


def judged(line, decision, image=None, prediction=None, placement=None, limits=None):
    inspection = an_inspection(line=line, frame_seq=7, decision=decision, ts=NOW, latency=Latency(1, 20, 42))
    return Judged(inspection, a_frame(7, line, image), prediction, placement, limits)


def image():
    ramp = np.linspace(60, 170, 320).astype(np.uint8)
    return np.repeat(np.repeat(ramp[None, :, None], 240, axis=0), 3, axis=2)


def nobody_follows(_verb, _payload, _reply):
    """Takes no command."""
    return False


def example_page(time=None, problems=(), submit=nobody_follows):
    """Two lines: one has found something, the other is a folder that could not read a file."""
    events = [
        RecentEvent(NOW, None, "belt", "anomaly", None, 3.2, 1.5),
        RecentEvent(NOW, NOW, "inbox", "no_verdict", "<b>truncated</b>", None, 1.1),
    ]
    state = PageState("demo", time or PageTime())
    state.add_line("belt", "live", live=True)
    state.add_line("inbox", "shadow", live=False)
    state.set_mqtt("connected")
    state.set_line("belt", "playing", LineCounters(1290, 1200, 3, {"replaced": 86}))
    state.set_line("inbox", "watching", LineCounters(12, 11, 1))
    margins = np.zeros((32, 32), np.float32)
    margins[8:14, 12:20] = 5
    found = Decision(Verdict.ANOMALY, None, 3.2, 1.9, 0.87, 1.5, (Region((120, 60, 200, 105), 3600, 5.0),))
    state.inspected(
        judged("belt", found, image(), Prediction(1.9, 0.87, margins), Placement(0, 0, 320, 240), (0.0, 5.0))
    )
    state.inspected(judged("inbox", reject("truncated", 1.1)))
    return PageSources(state, lambda: problems, lambda: events, lambda: not problems, submit)
