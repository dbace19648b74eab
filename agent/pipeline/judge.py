"""Frames of several lines -> inspections: picture health, detector, decision. No threads, no files.

Nothing passes as ok by accident: whatever cannot be judged comes back as `rejected` with its reason.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from structlog.contextvars import bound_contextvars

from agent.pipeline.judged import Judged, inspection_of, level_of, worst
from agent.pipeline.lines import Line
from agent.pipeline.preparation import Preparation, Ready
from agent.privacy.references import References
from agent.records import SUPERSEDED, FileState, FileVerdict, Frame, SeriesFile
from fbclip.decision import NON_FINITE, Decision, Prediction, Verdict, reject
from fbclip.detector import Detector
from fbclip.errors import DeviceLostError
from fbclip.images.geometry import Placement
from fbclip.images.picture import Picture
from fbclip.memory.fusion import Terms, fused_prediction

log = logging.getLogger(__name__)
SLICES_AT_ONCE = 8


def slice_frame(frame: Frame, volume: Picture, index: int) -> Frame:
    """One slice of a volume as a frame of its own, which names it, and its file where the slices are files."""
    facts = None if volume.scan is None else volume.scan.slices[index]
    number = None if facts is None else facts.number
    about = volume.about(index)
    context = about if frame.context is None else {**frame.context, **(about or {})}
    one = replace(frame, image=volume.image(index), volume=None, frame_number=number, context=context)
    if not frame.series or facts is None or facts.file is None:
        return one
    return _of_file(one, frame.series[facts.file])


def _of_file(frame: Frame, file: SeriesFile) -> Frame:
    return replace(frame, path=file.path, sha256=file.sha256, file_id=file.id)


class Judge:
    """Owned by one thread, like the detector it holds."""

    def __init__(
        self,
        detector: Detector,
        lines: Mapping[str, Line],
        run: str,
        monotonic: Callable[[], float] = time.monotonic,
        references: References | None = None,
    ) -> None:
        """`references`: what stands for the files of private lines; without it nothing does."""
        self._references = references
        self._detector = self._next = detector
        self._lines = lines
        self._run = run
        self._monotonic = monotonic
        self._preparation = Preparation()
        self._lost: DeviceLostError | None = None

    def check_device(self) -> None:
        """Raises DeviceLostError once the detector's device has vanished: no frame will ever be judged in this run."""
        if self._lost is not None:
            raise self._lost

    def notes(self) -> tuple[str, ...]:
        """What to know of how the detector runs; from any thread."""
        note = self._detector.note
        return () if note is None else (note,)

    def use(self, detector: Detector) -> None:
        """From the next batch on; from any thread. It has what every line needs that is judged."""
        self._next = detector

    def judge(self, frames: Sequence[Frame], alive: Callable[[], object] = lambda: None) -> list[Judged]:
        """One batch, any mix of lines -> one result a frame, in order. Never raises for a frame's sake.

        A volume is judged slice by slice, and its result is that of the worst; `alive` is called between its batches.
        """
        # The lines of one batch stay as they are, however they are changed meanwhile. The lines are read first: the
        # detector that is read after them has what they need.
        lines = {frame.line: self._lines[frame.line] for frame in frames}
        self._detector = self._next
        started = self._monotonic()
        images = iter(self._judge_images([f for f in frames if f.volume is None], lines, started))
        found = [
            next(images) if frame.volume is None else self._judge_volume(frame, frame.volume, lines, started, alive)
            for frame in frames
        ]
        return [self._with_files(one, frame) if frame.series else one for one, frame in zip(found, frames, strict=True)]

    def _judge_volume(
        self,
        frame: Frame,
        volume: Picture,
        lines: Mapping[str, Line],
        started: float,
        alive: Callable[[], object],
    ) -> Judged:
        # A file of a series that is none of the slices leaves it open what it would have shown.
        faults = [one for one in frame.series if one.reason not in {None, SUPERSEDED}]
        lost = [replace(_of_file(frame, one), volume=None, reason=one.reason) for one in faults]
        found = worst(self._judge_images(lost, lines, started)) if lost else None
        for start in range(0, len(volume), SLICES_AT_ONCE):
            alive()
            part = [slice_frame(frame, volume, i) for i in range(start, min(start + SLICES_AT_ONCE, len(volume)))]
            found = worst(filter(None, [found, *self._judge_images(part, lines, started)]))
        assert found is not None
        now = self._monotonic()
        inspection = found.inspection
        latency = replace(inspection.latency, infer=(now - started) * 1e3, total=(now - frame.monotonic) * 1e3)
        return replace(found, inspection=replace(inspection, latency=latency), of_volume=True)

    def _with_files(self, judged: Judged, frame: Frame) -> Judged:
        """What the verdict on a series makes of each of its files."""
        inspection = judged.inspection
        decision = inspection.decision
        files = []
        for one in frame.series:
            rejected = one.reason is not None or decision.verdict is Verdict.REJECTED
            state, reason = FileState.FAILED if rejected else FileState.DONE, one.reason or decision.reason
            reference = self._reference(frame.line, one.path, one.sha256) if inspection.private else None
            files.append(FileVerdict(one.id, state, reason, one.was_judged, reference))
        return replace(judged, inspection=replace(inspection, files=tuple(files)))

    def _reference(self, line: str, path: str, sha256: str) -> str | None:
        return None if self._references is None else self._references.of(line, path, sha256)

    def _judge_images(self, frames: Sequence[Frame], lines: Mapping[str, Line], started: float) -> list[Judged]:
        prepared = self._preparation.of(self._detector, frames, lines)
        found = self._infer({i: one for i, one in enumerate(prepared) if isinstance(one, Ready)}, frames)
        judged = []
        for index, (frame, one) in enumerate(zip(frames, prepared, strict=True)):
            line = lines[frame.line]
            if not isinstance(one, Ready):
                result = self._judged(frame, line, one.decision, None, None, started)
                judged.append(replace(result, measures=one.measures))
                continue
            terms = found.get(index)
            prediction = None if terms is None else fused_prediction(terms, one.job.fusion)
            result = self._judged(frame, line, self._decide(line, prediction, one), prediction, one.placement, started)
            if terms is not None and line.shadow is not None:
                # The same tokens: only margins, distances and thresholds are put together by another profile.
                other = line.shadow.profile
                would = other.decide(fused_prediction(terms, other.fusion), one.placement, one.ignore)
                result = replace(result, shadow=would)
            judged.append(replace(result, measures=one.measures))
        return judged

    def _infer(self, ready: Mapping[int, Ready], frames: Sequence[Frame]) -> dict[int, Terms]:
        """What predictions are made of, by frame index. A batch that fails is tried again one by one, so that one
        image, or a GPU that ran out of memory, does not take its neighbours along."""
        if not ready or self._lost is not None:
            return {}
        try:
            return dict(zip(ready, self._detector.infer_terms([one.job for one in ready.values()]), strict=True))
        except DeviceLostError as error:
            # Whatever else is asked of it would fail as well.
            log.exception("the detector's device is lost; %d frames get no verdict", len(ready))
            self._lost = error
            return {}
        except RuntimeError:
            log.exception("a batch of %d frames failed; trying them one by one", len(ready))
        found = {}
        for index, one in ready.items():
            try:
                found[index] = self._detector.infer_terms([one.job])[0]
            except DeviceLostError as error:
                log.exception("the detector's device is lost; frames get no verdict")
                self._lost = error
                break
            except RuntimeError:
                with bound_contextvars(inspection=frames[index].id):
                    log.exception("a frame failed in the detector")
        return found

    @staticmethod
    def _decide(line: Line, prediction: Prediction | None, ready: Ready) -> Decision:
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
        inspection = inspection_of(self._run, frame, line.section, line, decision, started, self._monotonic())
        if inspection.private and frame.path is not None and frame.sha256 is not None:
            inspection = replace(inspection, path=self._reference(frame.line, frame.path, frame.sha256))
        profile = None if line.loaded is None else line.loaded.profile
        kept = None if decision.verdict is Verdict.REJECTED else prediction
        limits = None if profile is None else profile.map_limits
        return Judged(inspection, frame, kept, placement, limits, level=level_of(profile, decision.verdict))
