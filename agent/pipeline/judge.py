"""Frames of several lines -> inspections: picture health, detector, decision. No threads, no files.

Nothing passes as ok by accident: whatever cannot be judged comes back as `rejected` with its reason.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from structlog.contextvars import bound_contextvars

from agent.config.line import CameraSource, LineSection, SourceSection, VideoSource
from agent.pipeline.lines import Line
from agent.privacy.references import References
from agent.records import SUPERSEDED, FileState, FileVerdict, Frame, Inspection, Latency, SeriesFile
from fbclip.artefacts.profile import Profile
from fbclip.decision import GRAVITY, NON_FINITE, Decision, Prediction, Verdict, reject
from fbclip.detector import Detector, Job
from fbclip.errors import ImageError
from fbclip.images.framing import Framing
from fbclip.images.geometry import BoolMap, FloatMap, Placement, RgbImage
from fbclip.images.picture import Picture
from fbclip.images.quality import QualitySettings, image_fault
from fbclip.memory.fusion import Terms, fused_prediction
from fbclip.picture_health.advice import advice_for
from fbclip.picture_health.measures import PictureMeasures
from fbclip.picture_health.repeats import is_repeat

log = logging.getLogger(__name__)
SLICES_AT_ONCE = 8


@dataclass(frozen=True, eq=False)
class Judged:
    """An inspection with what its images are made from.

    `prediction` is None for a rejected frame; `limits` are the profile's margins between which a heat map is coloured,
    None on a line without a profile; `level` is the margin above which its regions lie.
    measures: of the picture, where the profile has limits for them. of_volume: it is the worst slice of several.
    `shadow`: what the profile that runs beside the line's own would have said. `row`: the inspection's id, once stored.
    """

    inspection: Inspection
    frame: Frame
    prediction: Prediction | None
    placement: Placement | None
    limits: tuple[float, float] | None
    measures: PictureMeasures | None = None
    of_volume: bool = False
    level: float | None = None
    shadow: Decision | None = None
    row: int | None = None

    @property
    def margins(self) -> FloatMap | None:
        """The map (S,S) float32; None for a rejected frame."""
        return None if self.prediction is None else self.prediction.map


def worst(results: Iterable[Judged]) -> Judged:
    """The one that stands for all, of at least one: anomaly, rejected, uncertain, ok, and of those the largest z."""

    def gravity(one: Judged) -> tuple[int, float]:
        decision = one.inspection.decision
        size = decision.z if decision.z is not None else decision.margin
        return GRAVITY[decision.verdict], float("-inf") if size is None else size

    return max(results, key=gravity)


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


@dataclass(frozen=True, eq=False)
class _Ready:
    index: int
    job: Job
    placement: Placement
    ignore: BoolMap | None
    measures: PictureMeasures | None


@dataclass(frozen=True, eq=False)
class _Unlike:
    """A picture that the line's limits reject."""

    decision: Decision
    measures: PictureMeasures


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
        self._previous: dict[str, RgbImage] = {}

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
        prepared = []
        for index, frame in enumerate(frames):
            with bound_contextvars(inspection=frame.id):
                prepared.append(self._prepare(index, frame, lines[frame.line]))
        found = self._infer([one for one in prepared if isinstance(one, _Ready)], frames)
        judged = []
        for index, (frame, one) in enumerate(zip(frames, prepared, strict=True)):
            line = lines[frame.line]
            if not isinstance(one, _Ready):
                result = self._judged(frame, line, _rejected(one), None, None, started)
                judged.append(result if isinstance(one, Decision) else replace(result, measures=one.measures))
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

    def _prepare(self, index: int, frame: Frame, line: Line) -> Decision | _Unlike | _Ready:
        threshold = None if line.loaded is None else line.loaded.profile.threshold
        if frame.image is None:
            return reject(frame.reason or "no_picture", threshold)
        if frame.window != line.window:
            # The profile was replaced while the file waited; its threshold is for other pixels.
            return reject("wrong_window", threshold)
        fault = image_fault(frame.image, QualitySettings()) or self._frozen(frame.line, frame.image, line)
        if fault is not None:
            return reject(fault, threshold, advice_for(fault))
        profile = None if line.loaded is None else line.loaded.profile
        try:
            framed = self._detector.frame(frame.image, Framing() if line.loaded is None else line.loaded.framing)
        except ImageError as error:
            return reject(error.reason, threshold)
        check = None if line.loaded is None else line.loaded.picture_check
        examined = None if check is None else check.examine(frame.image)
        if examined is not None and examined.fault is not None:
            unlike = examined.fault
            return _Unlike(reject(unlike.reason, threshold, unlike.advice), examined.measures)
        if profile is None:
            job = Job(framed.tiles, line.adapter, self._detector.smoothing[line.adapter])
        else:
            # Only the profile knows how distances and margins are put together, so it names the memory as well.
            memory, fusion = profile.memory, profile.fusion
            job = Job(framed.tiles, line.adapter, profile.smoothing, profile.tiling, memory, fusion)
        measures = None if examined is None else examined.measures
        return _Ready(index, job, framed.placement, framed.ignore, measures)

    def _frozen(self, name: str, image: RgbImage, line: Line) -> str | None:
        """`frozen` where a live source gives the same picture again: what was said of it is not said anew.

        Files may be equal for good reasons, and each of them is judged.
        """
        if not _is_live(line.section.source):
            return None
        previous = self._previous.get(name)
        self._previous[name] = image
        return "frozen" if is_repeat(image, previous) else None

    def _infer(self, ready: Sequence[_Ready], frames: Sequence[Frame]) -> dict[int, Terms]:
        """What predictions are made of, by frame index. A batch that fails is tried again one by one, so that one
        image, or a GPU that ran out of memory, does not take its neighbours along."""
        if not ready:
            return {}
        try:
            return dict(zip((r.index for r in ready), self._detector.infer_terms([r.job for r in ready]), strict=True))
        except RuntimeError:
            log.exception("a batch of %d frames failed; trying them one by one", len(ready))
        found = {}
        for one in ready:
            try:
                found[one.index] = self._detector.infer_terms([one.job])[0]
            except RuntimeError:
                with bound_contextvars(inspection=frames[one.index].id):
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
        if inspection.private and frame.path is not None and frame.sha256 is not None:
            inspection = replace(inspection, path=self._reference(frame.line, frame.path, frame.sha256))
        profile = None if line.loaded is None else line.loaded.profile
        kept = None if decision.verdict is Verdict.REJECTED else prediction
        limits = None if profile is None else profile.map_limits
        return Judged(inspection, frame, kept, placement, limits, level=_level(profile, decision.verdict))


def _level(profile: Profile | None, verdict: Verdict) -> float | None:
    """The margin above which the regions of this verdict lie."""
    if profile is None:
        return None
    below = profile.uncertain_above
    z = profile.threshold if verdict is not Verdict.UNCERTAIN or below is None else below
    return profile.statistic.a2 + profile.statistic.b2 * z


def _rejected(one: Decision | _Unlike) -> Decision:
    return one if isinstance(one, Decision) else one.decision


def _is_live(source: SourceSection) -> bool:
    """Whether its pictures are taken one after the other, so that no two are the same to the bit."""
    return isinstance(source, CameraSource) or (isinstance(source, VideoSource) and source.realtime)


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
        path=None if section.is_private else frame.path,
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
        private=section.is_private,
    )
