"""Frames of several lines -> inspections: quality, detector, decision. No threads, no files.

Nothing passes as ok by accident: whatever cannot be judged comes back as `rejected` with its reason.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from agent.config.line import CameraSource, LineSection
from agent.pipeline.lines import Line
from agent.records import Frame, Inspection, Latency
from fbclip.decision import NON_FINITE, Decision, Prediction, Verdict, reject
from fbclip.detector import Detector, Job
from fbclip.errors import ImageError
from fbclip.images.framing import Framing
from fbclip.images.geometry import BoolMap, FloatMap, Placement
from fbclip.images.quality import Fingerprint, QualitySettings, quality

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Judged:
    """An inspection with what its images are made from.

    `prediction` is None for a rejected frame; `limits` are the profile's margins between which a heat map is coloured,
    None on a line without a profile.
    """

    inspection: Inspection
    frame: Frame
    prediction: Prediction | None
    placement: Placement | None
    limits: tuple[float, float] | None

    @property
    def margins(self) -> FloatMap | None:
        """The map (S,S) float32; None for a rejected frame."""
        return None if self.prediction is None else self.prediction.map


@dataclass(frozen=True, eq=False)
class _Ready:
    index: int
    job: Job
    placement: Placement
    ignore: BoolMap | None


class Judge:
    """Owned by one thread, like the detector it holds."""

    def __init__(
        self,
        detector: Detector,
        lines: Mapping[str, Line],
        run: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._detector = self._next = detector
        self._lines = lines
        self._run = run
        self._monotonic = monotonic
        self._fingerprints: dict[str, Fingerprint | None] = {}

    def use(self, detector: Detector) -> None:
        """From the next batch on; from any thread. It has what every line needs that is judged."""
        self._next = detector

    def judge(self, frames: Sequence[Frame]) -> list[Judged]:
        """One batch, any mix of lines -> one result a frame, in order. Never raises for a frame's sake."""
        # The lines of one batch stay as they are, however they are changed meanwhile. The lines are read first: the
        # detector that is read after them has what they need.
        lines = {frame.line: self._lines[frame.line] for frame in frames}
        self._detector = self._next
        started = self._monotonic()
        prepared = [self._prepare(index, frame, lines[frame.line]) for index, frame in enumerate(frames)]
        predictions = self._infer([one for one in prepared if isinstance(one, _Ready)])
        judged = []
        for index, (frame, one) in enumerate(zip(frames, prepared, strict=True)):
            prediction = predictions.get(index)
            decision = one if isinstance(one, Decision) else self._decide(lines[frame.line], prediction, one)
            placement = one.placement if isinstance(one, _Ready) else None
            judged.append(self._judged(frame, lines[frame.line], decision, prediction, placement, started))
        return judged

    def _prepare(self, index: int, frame: Frame, line: Line) -> Decision | _Ready:
        threshold = None if line.loaded is None else line.loaded.profile.threshold
        if frame.image is None:
            return reject(frame.reason or "no_picture", threshold)
        camera = isinstance(line.section.source, CameraSource)
        settings = QualitySettings() if camera else QualitySettings(frozen_after=None)
        checked = quality(frame.image, self._fingerprints.get(frame.line), settings)
        self._fingerprints[frame.line] = checked.fingerprint
        if checked.reason is not None:
            return reject(checked.reason, threshold)
        profile = None if line.loaded is None else line.loaded.profile
        try:
            framed = self._detector.frame(frame.image, Framing() if line.loaded is None else line.loaded.framing)
        except ImageError as error:
            return reject(error.reason, threshold)
        if profile is None:
            job = Job(framed.tiles, line.adapter, self._detector.smoothing[line.adapter])
        else:
            # Only the profile knows how distances and margins are put together, so it names the memory as well.
            memory, fusion = profile.memory, profile.fusion
            job = Job(framed.tiles, line.adapter, profile.smoothing, profile.tiling, memory, fusion)
        return _Ready(index, job, framed.placement, framed.ignore)

    def _infer(self, ready: Sequence[_Ready]) -> dict[int, Prediction]:
        """Predictions by frame index. A batch that fails is tried again one by one, so that one image, or a
        GPU that ran out of memory, does not take its neighbours along."""
        if not ready:
            return {}
        try:
            return dict(zip((r.index for r in ready), self._detector.infer([r.job for r in ready]), strict=True))
        except RuntimeError:
            log.exception("a batch of %d frames failed; trying them one by one", len(ready))
        found = {}
        for one in ready:
            try:
                found[one.index] = self._detector.infer([one.job])[0]
            except RuntimeError:
                log.exception("a frame failed in the detector")
        return found

    @staticmethod
    def _decide(line: Line, prediction: Prediction | None, ready: _Ready) -> Decision:
        loaded = line.loaded
        if prediction is None:
            return reject("detector_error", None if loaded is None else loaded.profile.threshold)
        if loaded is None and not prediction.finite:
            return reject(NON_FINITE, None)
        if loaded is None:
            return Decision(Verdict.UNCERTAIN, "no_profile", None, prediction.margin, prediction.score, None)
        return loaded.profile.decide(prediction, ready.placement, ready.ignore)

    def _judged(
        self,
        frame: Frame,
        line: Line,
        decision: Decision,
        prediction: Prediction | None,
        placement: Placement | None,
        started: float,
    ) -> Judged:
        inspection = _inspection(self._run, frame, line.section, line, decision, started, self._monotonic())
        limits = None if line.loaded is None else line.loaded.profile.map_limits
        kept = None if decision.verdict is Verdict.REJECTED else prediction
        return Judged(inspection, frame, kept, placement, limits)


def unjudged(run: str, frame: Frame, section: LineSection, line: Line | None, now: float) -> Judged:
    """What stands for an image that never came, `rejected` with the frame's reason at `now` (monotonic s).

    `line` is None where the line could not be loaded.
    """
    threshold = None if line is None or line.loaded is None else line.loaded.profile.threshold
    decision = reject(frame.reason or "no_picture", threshold)
    return Judged(_inspection(run, frame, section, line, decision, now, now), frame, None, None, None)


def _inspection(
    run: str, frame: Frame, section: LineSection, line: Line | None, decision: Decision, started: float, now: float
) -> Inspection:
    return Inspection(
        run=run,
        line=frame.line,
        frame_seq=frame.seq,
        ts=frame.ts,
        mode=section.mode,
        decision=decision,
        width=None if frame.image is None else frame.image.shape[1],
        height=None if frame.image is None else frame.image.shape[0],
        sha256=frame.sha256,
        path=frame.path,
        frame_number=frame.frame_number,
        file_id=frame.file_id,
        profile_id=None if line is None else line.profile_id,
        model_id=None if line is None else line.adapter,
        latency=Latency(
            queue=(started - frame.monotonic) * 1e3,
            infer=(now - started) * 1e3,
            total=(now - frame.monotonic) * 1e3,
        ),
        discrete=frame.discrete,
        context=frame.context,
    )
