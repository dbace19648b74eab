"""The table of recent events, as the page shows it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agent.errors import StoreError
from agent.records import timestamp
from agent.store.reader import Reader

log = logging.getLogger(__name__)
RECENT_EVENTS = 20


@dataclass(frozen=True)
class RecentEvent:
    """One row of the table. `ended` is None while the event is open."""

    started: datetime
    ended: datetime | None
    line: str
    kind: str
    reason: str | None
    z: float | None
    threshold: float | None

    def as_json(self) -> dict[str, Any]:
        return {
            "started": timestamp(self.started),
            "ended": None if self.ended is None else timestamp(self.ended),
            "line": self.line,
            "kind": self.kind,
            "reason": self.reason,
            "z": self.z,
            "threshold": self.threshold,
        }


def recent_events(reader: Reader, limit: int = RECENT_EVENTS) -> Sequence[RecentEvent]:
    """Newest first, each with the values of the inspection that opened it; none if the store cannot be read."""
    try:
        rows = []
        events = reader.recent_events(limit=limit)
        # All at once: the page asks each second.
        found = reader.inspections([event.inspection_id for event in events if event.inspection_id is not None])
        for event in events:
            first = None if event.inspection_id is None else found.get(event.inspection_id)
            z, threshold = (None, None) if first is None else (first.z, first.threshold)
            reason = event.end_reason if first is None or first.reason is None else first.reason
            rows.append(RecentEvent(event.opened, event.ended, event.line, event.kind.value, reason, z, threshold))
        return rows
    except StoreError as error:
        log.warning("the recent events cannot be read: %s", error)
        return ()
