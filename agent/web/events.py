"""Recent events for the overview, each with its cause and what was said of it, as JSON values."""

from __future__ import annotations

import logging
from typing import Any

from agent.errors import StoreError
from agent.records import EventKind, timestamp
from agent.store.views import EventQuery, EventView, Views

log = logging.getLogger(__name__)
RECENT_EVENTS = 30
_ALARMS = (EventKind.ANOMALY.value, EventKind.UNCERTAIN.value)


def event_json(event: EventView) -> dict[str, Any]:
    """`reason` is the cause, such as black or camera_lost; None where z lies above the threshold, however it ended."""
    return {
        "id": event.id,
        "started": timestamp(event.opened),
        "ended": None if event.ended is None else timestamp(event.ended),
        "end_reason": event.end_reason,
        "line": event.line,
        "kind": event.kind,
        "mode": event.mode,
        "reason": event.cause,
        "z": event.z,
        "threshold": event.threshold,
        "inspection_id": event.inspection_id,
        "said": None if event.said is None else event.said.label,
    }


def recent_events(views: Views, limit: int = RECENT_EVENTS) -> list[dict[str, Any]]:
    """Newest first; none if the store cannot be read."""
    try:
        return [event_json(event) for event in views.events(EventQuery(limit=limit))]
    except StoreError as error:
        log.warning("the recent events cannot be read: %s", error)
        return []


def last_alarm(events: list[dict[str, Any]], line: str) -> dict[str, Any] | None:
    """The newest anomaly or uncertain event of a line among them."""
    return next((one for one in events if one["line"] == line and one["kind"] in _ALARMS), None)
