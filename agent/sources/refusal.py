"""A triggered part that gets no verdict, and what stands for the image it never got."""

from __future__ import annotations

from dataclasses import dataclass

from agent.records import Frame, TriggeredPart

BUSY = "busy"
TIMEOUT = "timeout"
LOST = "lost"


@dataclass(frozen=True)
class Refusal:
    """A part without a verdict: busy, timeout, line_off, line_unavailable, shutdown."""

    part: TriggeredPart
    reason: str

    def frame(self, seq: int) -> Frame:
        """In place of its image, numbered as a frame."""
        part = self.part
        return Frame(
            line=part.line,
            seq=seq,
            ts=part.ts,
            monotonic=part.asked,
            image=None,
            reason=self.reason,
            discrete=True,
            context={**part.context, "frames": part.frames},
            part=part,
        )
