"""What the page shows: the state that others write, and questions asked anew at each request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from agent.pipeline.judged import Judged
from agent.pipeline.shadow_tally import ShadowCounts
from agent.store.reader import Reader
from agent.store.views import Views
from agent.web.cards import Card
from agent.web.control import Submit
from agent.web.events import last_alarm, recent_events
from agent.web.metrics import MetricsText
from agent.web.state import PageState
from agent.web.system import SystemView

SHOWN_EVENTS = 8


class Plant(Protocol):
    """What the page asks of the running agent; every answer is quick, and any thread may ask."""

    def problems(self) -> Sequence[str]:
        """Why the agent is not healthy; empty if it is."""

    def ready(self) -> bool:
        """Whether frames are judged and recorded."""

    def card(self, line: str) -> Card | None:
        """What a line runs by; None where there is no such line."""

    def system(self) -> SystemView:
        """The agent at a glance."""

    def shadow(self, line: str) -> ShadowCounts | None:
        """What a line's shadow profile would have said; None without one."""

    def shows_pictures(self, line: str) -> bool:
        """Whether pictures of a line may be shown: it is in the configuration, and not private."""

    def frame(self, inspection_id: int) -> Judged | None:
        """An inspection whose picture is in memory only; None for any other."""


@dataclass(frozen=True)
class PageSources:
    """`submit` hands a command on. `data_dir` holds the saved pictures. `metrics` answers a scrape, None without."""

    state: PageState
    plant: Plant
    reader: Reader
    views: Views
    submit: Submit
    data_dir: Path
    metrics: MetricsText | None = None

    def snapshot(self, viewers: int = 0) -> dict[str, Any]:
        """The answer of /api/state, as JSON values, for so many who watch."""
        found = self.state.snapshot(viewers)
        events = recent_events(self.views)
        for line in found["lines"]:
            counts = self.plant.shadow(line["name"])
            line["shadow"] = None if counts is None else counts.body()
            line["alarm"] = last_alarm(events, line["name"])
        return {
            **found,
            "problems": list(self.plant.problems()),
            "newest_event": events[0]["id"] if events else 0,
            "events": events[:SHOWN_EVENTS],
        }

    def snapshot_json(self, viewers: int = 0) -> bytes:
        """The same, once for all of them."""
        return json.dumps(self.snapshot(viewers), separators=(",", ":")).encode()
