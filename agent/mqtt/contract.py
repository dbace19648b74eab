"""What stands on each topic: one model a message, and one table of all topics.

The builders in `agent/mqtt/payloads.py` and `agent/health.py` write these bodies; tests hold what a running agent says
against the models here, and the published schemas are made from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from agent.mqtt.payloads import Topics
from agent.records import EventKind, LineMode, StepType
from fbclip.decision import Verdict
from fbclip.frozen import Frozen

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]


class RegionBody(Frozen):
    """A defect region in pixels of the original image; the box is half-open: x1, y1, x2, y2."""

    box: tuple[int, int, int, int]
    area_px: Count
    margin_max: float | None


class ImageBody(Frozen):
    """What was judged. Of a private line sha256 and ref are null, and `reference` stands for the file."""

    width: int | None
    height: int | None
    sha256: str | None
    ref: str | None = Field(description="the saved picture, relative to the agent's data directory")
    reference: str | None = None


class IdBody(Frozen):
    """Which adapter or which profile."""

    id: str | None


class LatencyBody(Frozen):
    """Milliseconds: waiting for the detector, in it, and from the camera to the decision."""

    queue: float | None
    infer: float | None
    total: float | None


class NumberedMessage(Frozen):
    """At least once: told apart by message_id, in the order of message_seq, which has no gaps within a line.

    historical: late by more than ten seconds, or of an earlier run.
    """

    message_id: str
    stream_id: str
    message_seq: Annotated[int, Field(ge=1)]
    ts_publish: datetime
    historical: bool
    agent: str


class InspectedMessage(NumberedMessage):
    """What an inspection found; alarm means z strictly above the threshold."""

    line: str
    ts_capture: datetime
    reason: str | None = Field(description="why there is no verdict")
    advice: str | None
    margin: float | None
    score: float | None
    threshold: float | None
    z: float | None
    regions: tuple[RegionBody, ...]
    context: dict[str, JsonValue] | None = Field(description="what a trigger or a file brought along, such as its part")


class EventMessage(InspectedMessage):
    """One step of an episode. The end that a start or a stop causes shows no image."""

    schema_: Literal["fbclip.event/1"] = Field(alias="schema")
    event_id: str
    kind: EventKind
    type: StepType
    end_reason: str | None = Field(description="cleared, unit, max_open, restart, shutdown, line_off; of an end only")
    verdict: Verdict | None
    image: ImageBody | None
    model: IdBody | None
    profile: IdBody | None
    latency_ms: LatencyBody | None


class ResultMessage(InspectedMessage):
    """The answer to one file, one trigger, or one image of a camera with `results`."""

    schema_: Literal["fbclip.result/1"] = Field(alias="schema")
    verdict: Verdict
    image: ImageBody
    model: IdBody
    profile: IdBody
    latency_ms: LatencyBody


class EvictedMessage(NumberedMessage):
    """Results and refreshes that were given up: a gap at these numbers is no loss on the way."""

    schema_: Literal["fbclip.evicted/1"] = Field(alias="schema")
    line: str
    count: Count
    message_seqs: tuple[tuple[int, int], ...] = Field(description="first and last of each run of numbers")


class AnswerMessage(NumberedMessage):
    """What was made of a command."""

    schema_: Literal["fbclip.answer/1"] = Field(alias="schema")
    verb: str
    correlation_id: str | None
    ok: bool
    text: str
    context: dict[str, JsonValue] | None = None


class AgentStatusMessage(Frozen):
    """Is the agent there. `lwt` is what the broker says when the agent was lost."""

    state: Literal["online", "offline"]
    reason: Literal["shutdown", "lwt"] | None = None


class LineInfoBody(Frozen):
    name: str
    mode: LineMode
    profile: str | None
    model: str | None


class InfoMessage(Frozen):
    """What runs."""

    agent: str
    version: str
    run: str
    stream_id: str
    backbone: str
    lines: tuple[LineInfoBody, ...]


class TriggerCountsBody(Frozen):
    """received = answered + lost + those that wait."""

    received: Count
    answered: Count
    busy: Count
    timeout: Count
    late: Count
    lost: Count


class CountersBody(Frozen):
    """grabbed = inspected + rejected + dropped + in_flight."""

    grabbed: Count
    inspected: Count
    rejected: Count
    dropped: dict[str, Count]
    in_flight: int
    triggers: TriggerCountsBody | None = None


class HealthMessage(Frozen):
    """Why the agent is not healthy, one line each; `notes` are worth knowing of a healthy one."""

    healthy: bool
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    oldest_unacknowledged_s: Seconds
    messages_waiting: Count
    lines: dict[str, CountersBody]


class DriftFindingBody(Frozen):
    """`beyond` of the `units` since about `since` lie beyond `limit`, where at most the share `expected` should."""

    statistic: str
    text: str
    since: datetime
    found: datetime
    units: Count
    beyond: Count
    expected: float
    limit: float
    anomalies: Count
    rate: float


class DriftBody(Frozen):
    """Has the line changed since its calibration; `not_watched` says why nobody looks."""

    recalibrate: bool
    advice: str | None
    not_watched: str | None
    units: Count
    false_alarm: float | None
    findings: tuple[DriftFindingBody, ...]


class LineStatusMessage(Frozen):
    """What a line is. One that was taken out of the configuration says `removed`, and nothing else."""

    state: Literal["running", "failing", "unavailable", "disabled", "removed"]
    health: str | None = None
    mode: LineMode | None = None
    guarantee: str | None = None
    drift: DriftBody | None = None


class LineStateMessage(Frozen):
    """The last verdict of a live line."""

    agent: str
    line: str
    ts_capture: datetime
    mode: LineMode
    verdict: Verdict
    reason: str | None
    advice: str | None
    margin: float | None
    score: float | None
    threshold: float | None
    z: float | None


@dataclass(frozen=True)
class Channel:
    """One topic of an agent; `address` has {prefix}, {agent} and {line} where names stand."""

    name: str
    address: str
    message: type[Frozen]
    retained: bool


_TOPICS = Topics("{prefix}", "{agent}")
CHANNELS = (
    Channel("event", _TOPICS.event("{line}"), EventMessage, False),
    Channel("result", _TOPICS.result("{line}"), ResultMessage, False),
    Channel("evicted", _TOPICS.evicted("{line}"), EvictedMessage, False),
    Channel("answer", _TOPICS.answer, AnswerMessage, False),
    Channel("agent-status", _TOPICS.status, AgentStatusMessage, True),
    Channel("info", _TOPICS.info, InfoMessage, True),
    Channel("health", _TOPICS.health, HealthMessage, True),
    Channel("line-status", _TOPICS.line_status("{line}"), LineStatusMessage, True),
    Channel("line-state", _TOPICS.line_state("{line}"), LineStateMessage, True),
)


def channel_of(topic: str, prefix: str) -> Channel | None:
    """Which topic of an agent this is; None for what agents do not publish."""
    words = topic.removeprefix(f"{prefix}/").split("/")
    of_line = len(words) == 3
    for channel in CHANNELS:
        pattern = channel.address.removeprefix("{prefix}/").split("/")
        if len(pattern) == len(words) and pattern[-1] == words[-1] and of_line == ("{line}" in pattern):
            return channel
    return None


def read_message(channel: Channel, body: Mapping[str, Any]) -> Frozen:
    """The body as its model; raises pydantic's ValidationError where it is not what the contract says."""
    return channel.message.model_validate(body)
