"""What messages say and where they go: pure builders. Times are RFC 3339 UTC with milliseconds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agent.records import EventStep, Inspection, StepType, timestamp

EVENT_SCHEMA = "fbclip.event/1"
RESULT_SCHEMA = "fbclip.result/1"
EVICTED_SCHEMA = "fbclip.evicted/1"
HISTORICAL_AFTER_S = 10.0


@dataclass(frozen=True)
class Topics:
    """The topics of one agent below its prefix."""

    prefix: str
    agent: str

    @property
    def root(self) -> str:
        return f"{self.prefix}/{self.agent}"

    @property
    def status(self) -> str:
        return f"{self.root}/status"

    @property
    def info(self) -> str:
        return f"{self.root}/info"

    @property
    def health(self) -> str:
        return f"{self.root}/health"

    @property
    def commands(self) -> str:
        """A filter: the last word is the verb."""
        return f"{self.root}/cmd/+"

    @property
    def answer(self) -> str:
        return f"{self.root}/answer"

    def line_status(self, line: str) -> str:
        return f"{self.root}/{line}/status"

    def line_state(self, line: str) -> str:
        return f"{self.root}/{line}/state"

    def event(self, line: str) -> str:
        return f"{self.root}/{line}/event"

    def result(self, line: str) -> str:
        return f"{self.root}/{line}/result"

    def evicted(self, line: str) -> str:
        return f"{self.root}/{line}/evicted"


def event_body(agent: str, step: EventStep, inspection: Inspection) -> dict[str, Any]:
    """An event step with the inspection that caused it; lacks its identity, ts_publish and historical."""
    return {"schema": EVENT_SCHEMA, **_episode(step), **_inspected(agent, inspection)}


def end_body(agent: str, step: EventStep) -> dict[str, Any]:
    """The end of an event that no inspection caused (restart, shutdown): the fields of an image are null."""
    return {
        "schema": EVENT_SCHEMA,
        **_episode(step),
        "agent": agent,
        "line": step.line,
        "ts_capture": timestamp(step.ts),
        "verdict": None,
        "reason": None,
        "advice": None,
        "margin": None,
        "score": None,
        "threshold": None,
        "z": None,
        "regions": [],
        "image": None,
        "model": None,
        "profile": None,
        "latency_ms": None,
        "context": None,
    }


def result_body(agent: str, inspection: Inspection) -> dict[str, Any]:
    """The answer to one file, trigger or volume; lacks its identity, ts_publish and historical."""
    return {"schema": RESULT_SCHEMA, **_inspected(agent, inspection)}


def evicted_body(agent: str, line: str, count: int, ranges: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """That messages of the line were given up, and under which numbers: a gap there is no loss on the way."""
    numbers = [list(pair) for pair in ranges]
    return {"schema": EVICTED_SCHEMA, "agent": agent, "line": line, "count": count, "message_seqs": numbers}


def state_body(agent: str, inspection: Inspection) -> dict[str, Any]:
    """The last verdict of a line, for its retained state topic."""
    decision = inspection.decision
    return {
        "agent": agent,
        "line": inspection.line,
        "ts_capture": timestamp(inspection.ts),
        "mode": inspection.mode.value,
        "verdict": decision.verdict.value,
        "reason": decision.reason,
        "advice": decision.advice,
        "margin": decision.margin,
        "score": decision.score,
        "threshold": decision.threshold,
        "z": decision.z,
    }


def stamp(body: Mapping[str, Any], now: datetime, committed: datetime, run: str, current_run: str) -> dict[str, Any]:
    """The body of an outbox row made ready to publish at `now` (UTC)."""
    late = (now - committed).total_seconds() > HISTORICAL_AFTER_S
    return {**body, "ts_publish": timestamp(now), "historical": late or run != current_run}


def encode(body: Mapping[str, Any]) -> bytes:
    """Compact JSON in UTF-8; NaN and infinities, which JSON does not know, become null."""
    return json.dumps(_finite(body), separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _episode(step: EventStep) -> dict[str, Any]:
    end_reason = step.reason if step.type is StepType.END else None
    return {
        "event_id": step.event_id,
        "kind": step.kind.value,
        "type": step.type.value,
        "end_reason": end_reason,
    }


def _inspected(agent: str, i: Inspection) -> dict[str, Any]:
    d = i.decision
    regions = [{"box": list(r.box), "area_px": r.area_px, "margin_max": r.margin_max} for r in d.regions]
    return {
        "agent": agent,
        "line": i.line,
        "ts_capture": timestamp(i.ts),
        "verdict": d.verdict.value,
        "reason": d.reason,
        "advice": d.advice,
        "margin": d.margin,
        "score": d.score,
        "threshold": d.threshold,
        "z": d.z,
        "regions": regions,
        "image": _image(i),
        "model": {"id": i.model_id},
        "profile": {"id": i.profile_id},
        "latency_ms": {"queue": i.latency.queue, "infer": i.latency.infer, "total": i.latency.total},
        "context": None if i.context is None else dict(i.context),
    }


def _image(i: Inspection) -> dict[str, Any]:
    """Of a private line its reference, and nothing that leads to the file: neither its digest, which whoever has the
    file can make as well, nor where its picture is kept."""
    size = {"width": i.width, "height": i.height}
    if i.private:
        return {**size, "sha256": None, "ref": None, "reference": i.path}
    return {**size, "sha256": i.sha256, "ref": i.image_ref}
