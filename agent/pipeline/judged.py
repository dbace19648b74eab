"""What was found of a frame: its inspection, with what its images are made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent.config.line import LineSection
from agent.pipeline.lines import Line
from agent.records import Frame, Inspection, Latency
from fbclip.artefacts.profile import Profile
from fbclip.decision import GRAVITY, Decision, Prediction, Verdict, reject
from fbclip.images.geometry import FloatMap, Placement
from fbclip.picture_health.measures import PictureMeasures


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


def level_of(profile: Profile | None, verdict: Verdict) -> float | None:
    """The margin above which the regions of this verdict lie."""
    if profile is None:
        return None
    below = profile.uncertain_above
    z = profile.threshold if verdict is not Verdict.UNCERTAIN or below is None else below
    return profile.statistic.a2 + profile.statistic.b2 * z


def unjudged(run: str, frame: Frame, section: LineSection, line: Line | None, now: float) -> Judged:
    """What stands for an image that never came, `rejected` with the frame's reason at `now` (monotonic s).

    `line` is None where the line could not be loaded.
    """
    threshold = None if line is None or line.loaded is None else line.loaded.profile.threshold
    decision = reject(frame.reason or "no_picture", threshold)
    return Judged(inspection_of(run, frame, section, line, decision, now, now), frame, None, None, None)


def inspection_of(
    run: str, frame: Frame, section: LineSection, line: Line | None, decision: Decision, started: float, now: float
) -> Inspection:
    """What is stored of a frame that was judged from `started` to `now` (monotonic s)."""
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
