"""Frames of a batch -> what the detector takes, or why they cannot be judged: before any of it is inferred.

Decoded pictures wait here for nothing but the processor, so a small pool prepares a batch, in order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from structlog.contextvars import bound_contextvars

from agent.pipeline.lines import Line
from agent.records import Frame
from fbclip.decision import Decision, reject
from fbclip.detector import Detector, Job
from fbclip.engines.processor import cores
from fbclip.errors import ImageError
from fbclip.images.framing import Framing
from fbclip.images.geometry import BoolMap, Placement, RgbImage
from fbclip.images.quality import QualitySettings, image_fault
from fbclip.picture_health.advice import advice_for
from fbclip.picture_health.measures import PictureMeasures
from fbclip.picture_health.repeats import is_repeat

# Resizing is what costs, and more threads than these only wait for each other.
MOST_THREADS = 4


@dataclass(frozen=True, eq=False)
class Ready:
    """A picture that can be judged. `measures`: where the profile has limits for them."""

    job: Job
    placement: Placement
    ignore: BoolMap | None
    measures: PictureMeasures | None


@dataclass(frozen=True, eq=False)
class Unfit:
    """A picture that cannot be judged. `at_once`: for a reason that comes before all others."""

    decision: Decision
    measures: PictureMeasures | None = None
    at_once: bool = False


class Preparation:
    """Owned by one thread: it remembers the last picture of each live line."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(min(MOST_THREADS, cores()), thread_name_prefix="prepare")
        self._previous: dict[str, RgbImage] = {}

    def of(self, detector: Detector, frames: Sequence[Frame], lines: Mapping[str, Line]) -> list[Ready | Unfit]:
        """One a frame, in order. Never raises for a frame's sake."""

        def one(frame: Frame) -> Ready | Unfit:
            with bound_contextvars(inspection=frame.id):
                return _prepare(detector, frame, lines[frame.line])

        # A single frame needs no other thread.
        found = map(one, frames) if len(frames) == 1 else self._pool.map(one, frames)
        pairs = zip(found, frames, strict=True)
        return [self._unless_frozen(given, frame, lines[frame.line]) for given, frame in pairs]

    def _unless_frozen(self, found: Ready | Unfit, frame: Frame, line: Line) -> Ready | Unfit:
        """`frozen` where a live source gives the same picture again: what was said of it is not said anew.

        Files may be equal for good reasons, and each of them is judged.
        """
        if frame.image is None or (isinstance(found, Unfit) and found.at_once) or not line.section.is_camera:
            return found
        previous = self._previous.get(frame.line)
        self._previous[frame.line] = frame.image
        if not is_repeat(frame.image, previous):
            return found
        return Unfit(reject("frozen", _threshold(line), advice_for("frozen")))


def _prepare(detector: Detector, frame: Frame, line: Line) -> Ready | Unfit:
    threshold = _threshold(line)
    if frame.image is None:
        return Unfit(reject(frame.reason or "no_picture", threshold), at_once=True)
    if frame.window != line.window:
        # The profile was replaced while the file waited; its threshold is for other pixels.
        return Unfit(reject("wrong_window", threshold), at_once=True)
    fault = image_fault(frame.image, QualitySettings())
    if fault is not None:
        return Unfit(reject(fault, threshold, advice_for(fault)), at_once=True)
    profile = None if line.loaded is None else line.loaded.profile
    try:
        framed = detector.frame(frame.image, Framing() if line.loaded is None else line.loaded.framing)
    except ImageError as error:
        return Unfit(reject(error.reason, threshold))
    check = None if line.loaded is None else line.loaded.picture_check
    examined = None if check is None else check.examine(frame.image)
    measures = None if examined is None else examined.measures
    if examined is not None and examined.fault is not None:
        unlike = examined.fault
        return Unfit(reject(unlike.reason, threshold, unlike.advice), measures)
    if profile is None:
        job = Job(framed.tiles, line.adapter, detector.smoothing[line.adapter])
    else:
        # Only the profile knows how distances and margins are put together, so it names the memory as well.
        memory, fusion = profile.memory, profile.fusion
        job = Job(framed.tiles, line.adapter, profile.smoothing, profile.tiling, memory, fusion)
    return Ready(job, framed.placement, framed.ignore, measures)


def _threshold(line: Line) -> float | None:
    return None if line.loaded is None else line.loaded.profile.threshold
