"""`--unit`: what the user says of a line's units -> how its frames are grouped."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Protocol

from agent.collecting.grouping import ChangeGrouping, GapGrouping, TriggerGrouping, small_picture
from agent.config.line import LineSection
from agent.config.source import FolderSource, VideoSource
from agent.errors import SourceError
from agent.records import Frame
from agent.sources.path_text import to_path
from agent.sources.sequence import find_sequence
from fbclip.errors import ConfigError

PART = "part"
"""The field of a trigger's data that names the part."""
MAX_GAP_S = 86_400.0
_GAP = re.compile(r"gap:(\d{1,9}(?:\.\d{1,3})?)(ms|s|m)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}


class UnitRule(Protocol):
    """Names the unit of one usable frame after the other."""

    def unit_of(self, frame: Frame) -> int | None: ...


@dataclass
class EachFrame:
    """Every frame is a part of its own, as the files of most hot folders are."""

    count: int = 0

    def unit_of(self, frame: Frame) -> int | None:  # noqa: ARG002 (no matter what it shows)
        self.count += 1
        return self.count


@dataclass(frozen=True)
class ByGap:
    grouping: GapGrouping

    def unit_of(self, frame: Frame) -> int | None:
        return self.grouping.unit_of(capture_seconds(frame))


@dataclass(frozen=True)
class ByTrigger:
    grouping: TriggerGrouping = field(default_factory=TriggerGrouping)

    def unit_of(self, frame: Frame) -> int | None:
        part = None if frame.context is None else frame.context.get(PART)
        if part is None:
            raise SourceError(
                f"line {frame.line}: frame {frame.seq} came without the id of its part; "
                "collect with --unit change or --unit gap:2s"
            )
        return self.grouping.unit_of(str(part))


@dataclass(frozen=True)
class ByChange:
    grouping: ChangeGrouping = field(default_factory=ChangeGrouping)

    def unit_of(self, frame: Frame) -> int | None:
        assert frame.image is not None
        return self.grouping.unit_of(small_picture(frame.image))


def unit_rule(text: str | None, section: LineSection, every: int = 1) -> UnitRule:
    """`gap:2s`, `trigger` or `change`; None: change for cameras and videos, else each frame is a unit.

    With `every` above 1 the user has counted already. Raises ConfigError for another word, and for a way that the
    line's source cannot go.
    """
    source = section.source
    film = isinstance(source, VideoSource) and find_sequence(source.path) is None
    if text is None:
        still = isinstance(source, FolderSource | VideoSource) and not film
        return EachFrame() if still or every > 1 else ByChange()
    if text == "change":
        return ByChange()
    if text == "trigger":
        return ByTrigger()
    match = _GAP.fullmatch(text)
    seconds = float(match[1]) * _SECONDS[match[2]] if match else math.inf
    if not 0 < seconds <= MAX_GAP_S:
        raise ConfigError(f"--unit {text!r} must be gap:SECONDS such as gap:2s, trigger or change")
    if isinstance(source, VideoSource):
        raise ConfigError(f"--unit {text}: line {section.name} is a video, which has no pauses; use --unit change")
    return ByGap(GapGrouping(seconds))


def capture_seconds(frame: Frame) -> float:
    """When the frame came to be: of a file when it was written, since it may have lain there for long."""
    try:
        return frame.ts.timestamp() if frame.path is None else to_path(frame.path).stat().st_mtime
    except (OSError, ValueError):
        return frame.ts.timestamp()
