"""The normal images that look most anomalous and the anomalous ones that look most normal, drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from calibrate.evaluation.evaluate import Evaluation
from calibrate.evaluation.heat_image import fixed_limits, side_by_side
from calibrate.evaluation.rows import EvaluatedImage
from calibrate.inference import Skips, View
from fbclip.detector import Detector
from fbclip.images.decode import read_image

Kind = Literal["false_alarm", "miss"]


@dataclass(frozen=True)
class WorstImage:
    """file: name in the run's folder; path: of the image in the data set; score: its z, without a profile margin."""

    file: str
    path: str
    kind: Kind
    score: float
    jpeg: bytes


def pick_worst(evaluation: Evaluation, count: int) -> list[tuple[Kind, EvaluatedImage, float]]:
    """(kind, row, z or margin) of at most `count` of each kind, the worst first.

    With a profile only real false alarms and misses; without one there is no threshold, so the ends of the ranking.
    """
    ranked = sorted(
        ((row, row.rank) for row in evaluation.rows if row.rank is not None), key=lambda pair: (pair[1], pair[0].path)
    )
    alarms = [(row, rank) for row, rank in reversed(ranked) if not row.label and row.verdict in {None, "anomaly"}]
    misses = [(row, rank) for row, rank in ranked if row.label and row.verdict != "anomaly"]
    return [
        *(("false_alarm", row, rank) for row, rank in alarms[:count]),
        *(("miss", row, rank) for row, rank in misses[:count]),
    ]


def heat_limits(evaluation: Evaluation, given: tuple[float, float] | None) -> tuple[float, float] | None:
    """The profile's scale, else one scale for the whole run; None when nothing was judged."""
    if given is not None:
        return given
    peaks = [(row.label, row.peak) for row in evaluation.rows if row.peak is not None]
    normal = [peak for label, peak in peaks if not label]
    return fixed_limits(normal or [peak for _, peak in peaks]) if peaks else None


def draw_worst(
    detector: Detector, adapter: str, evaluation: Evaluation, count: int, limits: tuple[float, float] | None
) -> Iterator[WorstImage]:
    """Judge the worst images once more, since their maps were not kept, and draw them on one scale."""
    chosen = pick_worst(evaluation, count)
    if limits is None or not chosen:
        return
    samples = [evaluation.samples[row.path] for _, row, _ in chosen]
    memory = evaluation.running.memory
    view = View(detector, adapter, evaluation.framing, memory, evaluation.fusion)
    looks = Skips().rest(view.score(samples))
    for number, ((kind, row, rank), look) in enumerate(zip(chosen, looks, strict=True), 1):
        image = read_image(look.sample.path).image
        jpeg = side_by_side(image, look.prediction.map, look.placement, limits)
        yield WorstImage(f"worst/{number:02d}_{kind}.jpg", row.path, kind, rank, jpeg)
