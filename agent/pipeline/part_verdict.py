"""Several images of one part -> its verdict. Pure.

Any anomaly makes the part anomalous; else one image without a verdict leaves the part without one; else any uncertain
makes it uncertain; only if every image is ok is the part ok.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent.pipeline.judged import Judged
from agent.records import TriggeredPart
from fbclip.decision import Verdict

_BAD_FIRST = (Verdict.ANOMALY, Verdict.REJECTED, Verdict.UNCERTAIN, Verdict.OK)


@dataclass(frozen=True, eq=False)
class PartSoFar:
    """Of the images that are recorded: the worst, the id of its row, and how many were judged."""

    worst: Judged
    worst_id: int | None
    judged: int


def with_image(so_far: PartSoFar | None, judged: Judged, unseen: bool = False) -> PartSoFar:
    """One image more, whose row has no id yet. `unseen`: it stands for images that never came."""
    count = (0 if so_far is None else so_far.judged) + (not unseen)
    if so_far is not None and _badness(so_far.worst) <= _badness(judged):
        return replace(so_far, judged=count)
    return PartSoFar(judged, None, count)


def part_verdict(so_far: PartSoFar, part: TriggeredPart) -> Judged:
    """The worst image with the context of the part instead of its own."""
    context = {**part.context, "frames": part.frames, "judged": so_far.judged}
    return replace(so_far.worst, inspection=replace(so_far.worst.inspection, context=context))


def _badness(judged: Judged) -> tuple[int, float]:
    """The smaller the worse: by verdict, then by z."""
    decision = judged.inspection.decision
    return _BAD_FIRST.index(decision.verdict), -float("-inf" if decision.z is None else decision.z)
