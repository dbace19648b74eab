"""What flows through the daemon, frozen: Frame -> Inspection -> EventStep -> Message.

Wall-clock times are timezone-aware UTC; durations come from the monotonic clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from fbclip.decision import Decision
from fbclip.images.geometry import RgbImage
from fbclip.images.picture import Picture
from fbclip.images.window import DEFAULT_WINDOW, Window


class EventKind(StrEnum):
    """What an episode is about."""

    ANOMALY = "anomaly"
    UNCERTAIN = "uncertain"
    NO_VERDICT = "no_verdict"


class StepType(StrEnum):
    """A step in the life of an episode."""

    NEW = "new"
    UPDATE = "update"
    END = "end"


class LineMode(StrEnum):
    """learning: score only. shadow: judge and log too. live: alert as well.

    What the retained topics say of a line's health names its mode; events, results and last verdicts are of live
    lines only.
    """

    LEARNING = "learning"
    SHADOW = "shadow"
    LIVE = "live"


class ResultChoice(StrEnum):
    """Which frames of a continuous camera are answered with a result. changes: whose verdict is not the last one's."""

    EVERY = "every"
    CHANGES = "changes"
    NONE = "none"


class FileState(StrEnum):
    """How far a file of a hot folder has come."""

    PENDING = "pending"
    CLAIMED = "claimed"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


class Disposition(StrEnum):
    """Whether a judged file has been moved out of its hot folder, or is left there as configured."""

    PENDING = "pending"
    FINISHED = "finished"
    LEFT = "left"


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, as 2026-01-02T03:04:05.678Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, eq=False)
class TriggeredPart:
    """What one trigger asks a verdict of: `frames` images taken after `not_before`, answered by `due` (monotonic s).

    `number` tells the parts of a run apart. `context` is what the trigger brought, and comes back with the answer.
    """

    number: int
    line: str
    ts: datetime
    asked: float
    not_before: float
    due: float
    frames: int
    context: Mapping[str, Any]


# Of a file of a series in whose place another of the same identifier was chosen.
SUPERSEDED = "superseded"


@dataclass(frozen=True)
class SeriesFile:
    """A file of a series that is judged as one volume. `path` as the ledger writes it; `place`: where it lies now.

    reason: why it is none of the slices. was_judged: it had a verdict before, and has left the hot folder. chosen:
    somebody has brought it back, so it counts before others of its identifier.
    """

    id: int
    path: str
    place: str
    sha256: str
    reason: str | None = None
    was_judged: bool = False
    chosen: bool = False


@dataclass(frozen=True)
class EarlierFile:
    """A file of a series that has a verdict: its row, where it lay in the hot folder, the inspection it came to, and
    the reason if it had one."""

    id: int
    path: str
    size: int
    sha256: str
    inspection_id: int
    reason: str | None = None


@dataclass(frozen=True)
class FileVerdict:
    """What a verdict on a series makes of one of its files, which `reference` stands for where the line is private."""

    file_id: int
    state: FileState
    reason: str | None
    was_judged: bool = False
    reference: str | None = None


@dataclass(frozen=True, eq=False)
class Frame:
    """One image with its provenance. `image` (H,W,3) uint8 RGB, or None with the `reason` it could not be had.

    `discrete` frames (files, triggers, frames of a non-realtime video) are units of their own: each is
    answered with a result and makes an event of its own. Others are live frames, counted N of M. After `expires`
    (monotonic s) it is too old to be judged.

    volume: the slices of a scan, which get one verdict; then `image` is None. window: what the pixels were decoded by.
    series: the files of a volume that is no single file; its slices name them by their places here.
    """

    line: str
    seq: int
    ts: datetime
    monotonic: float
    image: RgbImage | None
    reason: str | None = None
    path: str | None = None
    frame_number: int | None = None
    sha256: str | None = None
    discrete: bool = False
    file_id: int | None = None
    context: Mapping[str, Any] | None = None
    expires: float | None = None
    volume: Picture | None = None
    window: Window = DEFAULT_WINDOW
    part: TriggeredPart | None = None
    series: tuple[SeriesFile, ...] = ()

    @property
    def id(self) -> str:
        """One frame of a run, as the log names it."""
        return f"{self.line}-{self.seq}"


def with_picture(frame: Frame, picture: Picture) -> Frame:
    """The frame with what its file holds: one image, or the slices of a volume."""
    if len(picture) > 1:
        return replace(frame, volume=picture)
    return replace(frame, image=picture.image(0), context=picture.about(0))


@dataclass(frozen=True)
class Latency:
    """Milliseconds: waiting for the detector, in the detector, grab to decision."""

    queue: float
    infer: float
    total: float


@dataclass(frozen=True, eq=False)
class Inspection:
    """One judged frame, as it is stored. `image_ref` and `overlay_ref` are relative to the data directory.

    private: of a line with `privacy: phi`; then `path` is a reference that stands for it. files: all those of a series.
    """

    run: str
    line: str
    frame_seq: int
    ts: datetime
    mode: LineMode
    decision: Decision
    width: int | None
    height: int | None
    sha256: str | None
    path: str | None
    frame_number: int | None
    file_id: int | None
    profile_id: str | None
    model_id: str | None
    latency: Latency
    discrete: bool
    image_ref: str | None = None
    overlay_ref: str | None = None
    context: Mapping[str, Any] | None = None
    private: bool = False
    files: tuple[FileVerdict, ...] = ()


@dataclass(frozen=True)
class EventStep:
    """One step in the life of an episode.

    `reason` is set on `end`: cleared, unit, max_open, restart, shutdown, line_off.
    """

    event_id: str
    kind: EventKind
    type: StepType
    line: str
    ts: datetime
    reason: str | None = None


@dataclass(frozen=True)
class Message:
    """One row of the outbox as the sender reads it. `body` lacks only `ts_publish` and `historical`."""

    id: int
    message_id: str
    topic: str
    body: Mapping[str, Any]
    committed: datetime
    run: str
    attempts: int = 0


@dataclass(frozen=True)
class TriggerCounts:
    """Since the start: received = answered + lost + those that wait. `busy` and `timeout` are answers, too.

    `late`: images judged after their part was answered. `lost`: triggers that came faster than they could be refused.
    """

    received: int = 0
    answered: int = 0
    busy: int = 0
    timeout: int = 0
    late: int = 0
    lost: int = 0


@dataclass
class LineCounters:
    """grabbed = inspected + rejected + sum(dropped) + in_flight, at all times."""

    grabbed: int = 0
    inspected: int = 0
    rejected: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def in_flight(self) -> int:
        return self.grabbed - self.inspected - self.rejected - sum(self.dropped.values())
