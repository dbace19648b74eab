"""The normal images that look most anomalous and the anomalous ones that look most normal, beside their heat maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from calibrate.evaluation.document import Mistake, WorstMistake
from calibrate.evaluation.evaluate import Evaluation
from calibrate.evaluation.evaluated_images import EvaluatedImage
from calibrate.inference import Skips, read_sample
from fbclip.images.geometry import FloatMap, Placement, RgbImage
from fbclip.images.heat_map import blend_heat_map

MAX_WIDTH = 640
MAX_HEIGHT = 640
QUALITY = 88
MIN_SPAN = 0.5
"""Margins; a scale narrower than this would paint noise hot."""


@dataclass(frozen=True)
class WorstImage:
    """What the document says of it, and the image beside its heat map."""

    about: WorstMistake
    jpeg: bytes


def pick_worst(evaluation: Evaluation, count: int) -> list[tuple[Mistake, EvaluatedImage, float]]:
    """(kind, image, z or margin) of at most `count` of each kind, the worst first.

    With a profile only real false alarms and misses; without one there is no threshold, so the ends of the ranking.
    """
    ranked = sorted(
        ((image, image.rank) for image in evaluation.images if image.rank is not None),
        key=lambda pair: (pair[1], pair[0].path),
    )
    alarms = [(i, rank) for i, rank in reversed(ranked) if not i.anomalous and i.verdict in {None, "anomaly"}]
    misses = [(i, rank) for i, rank in ranked if i.anomalous and i.verdict != "anomaly"]
    return [
        *(("false_alarm", image, rank) for image, rank in alarms[:count]),
        *(("miss", image, rank) for image, rank in misses[:count]),
    ]


def heat_limits(evaluation: Evaluation) -> tuple[float, float] | None:
    """The profile's scale, else one scale for the whole run; None when nothing was judged."""
    if evaluation.document.profile is not None:
        return evaluation.document.profile.map_limits
    peaks = [(image.anomalous, image.peak) for image in evaluation.images if image.peak is not None]
    normal = [peak for anomalous, peak in peaks if not anomalous]
    return fixed_limits(normal or [peak for _, peak in peaks]) if peaks else None


def fixed_limits(normal_peaks: Sequence[float]) -> tuple[float, float]:
    """One scale for a whole run, from the maps' largest margins of its normal images, at least one of them.

    Cold is what normal images typically reach, hot is as far above what nearly none reaches as that lies above cold.
    """
    cold, rare = (float(v) for v in np.quantile(np.array(normal_peaks), (0.5, 0.995)))
    return cold, cold + max(2 * (rare - cold), MIN_SPAN)


def draw_worst(evaluation: Evaluation, count: int, limits: tuple[float, float] | None) -> Iterator[WorstImage]:
    """Score the worst images once more, since their maps were not kept, and draw them on one scale."""
    chosen = pick_worst(evaluation, count)
    if limits is None or not chosen:
        return
    again = Skips().rest(evaluation.score_again([evaluation.samples[image.path] for _, image, _ in chosen]))
    for number, ((kind, image, rank), scored) in enumerate(zip(chosen, again, strict=True), 1):
        about = WorstMistake(file=f"worst/{number:02d}_{kind}.jpg", path=image.path, kind=kind, score=rank)
        original = read_sample(scored.sample, evaluation.view.framing.window)
        yield WorstImage(about, side_by_side(original, scored.prediction.map, scored.placement, limits))


def side_by_side(image: RgbImage, margins: FloatMap, placement: Placement, limits: tuple[float, float]) -> bytes:
    """As `pair_of`, a JPEG."""
    both = cv2.cvtColor(pair_of(image, margins, placement, limits), cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", both, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes())


def pair_of(image: RgbImage, margins: FloatMap, placement: Placement, limits: tuple[float, float]) -> RgbImage:
    """RGB (H,W,3) uint8 and its map (h,w) at `placement` -> the image left, the same with heat right, RGB uint8.

    `limits` are the margins of no heat and of full heat; they never come from the image itself.
    """
    height, width = image.shape[:2]
    scale = min(1.0, MAX_WIDTH / 2 / width, MAX_HEIGHT / height)
    size = max(1, int(width * scale)), max(1, int(height * scale))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    left, right = (round(x * size[0] / width) for x in (placement.x, placement.x + placement.width))
    top, bottom = (round(y * size[1] / height) for y in (placement.y, placement.y + placement.height))
    with_heat = small.copy()
    inside = with_heat[top:bottom, left:right]
    if inside.size:
        inside[:] = blend_heat_map(inside, margins, limits)
    return np.hstack((small, with_heat))
