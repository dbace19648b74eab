"""Zero-shot, memory or both: chosen on defects painted on normal images that no memory and no threshold has seen.

The scales of a fusion come from the normal images that set the statistic; the choice is made by the z that the
verdict will be made of. Real anomalous images are not used: they set or measure the threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from calibrate.errors import RefusedError
from calibrate.memory.fusion_selection import FusionSample, FusionScores, judge
from calibrate.statistics.scale import fit_statistic
from fbclip.artefacts.profile import FusionChoice
from fbclip.decision import highest_region
from fbclip.memory.fusion import Fusion, TermScale

Use = Literal["auto", "zero-shot", "memory", "fused"]
SHARE = 0.9
"""The memory's weight where both are used, for the image's number and for the map.

On lines generated from materials that the embedded model was not trained on, with 16 images, the mean image AUROC
was 0.938 (half 0.922, memory alone 0.937, zero-shot 0.771), that of the map 0.966 (half 0.955, memory 0.967, zero-shot
0.918); on families whose images vary much 0.690 (0.682, 0.690, 0.615) and 0.896 (0.870, 0.892, 0.847).
"""


@dataclass(frozen=True)
class Chosen:
    """fusion: None for zero-shot alone; judged: the numbers it was chosen by, None where there was no choice."""

    fusion: Fusion | None
    judged: FusionScores | None = None

    @property
    def use(self) -> Literal["zero-shot", "memory", "fused"]:
        return "zero-shot" if self.fusion is None else self.fusion.use


def choose_fusion(
    scales: Fusion, shown: Callable[[], Iterable[FusionSample]], use: Use, min_area: int, pixel_only: bool
) -> Chosen:
    """`use`, and where that leaves several, the best on the images by AUROC; a simpler one in doubt.

    Raises RefusedError where there is a choice and no painted image to make it by.
    """
    if use == "zero-shot":
        return Chosen(None)
    if use == "memory":
        return Chosen(scales)
    if use == "fused":
        return Chosen(fused(scales))
    fusions: dict[str, Fusion | None] = {"zero-shot": None, "memory": scales, "fused": fused(scales)}
    judged = judge(fusions, shown(), min_area, pixel_only)
    return Chosen(fusions[judged.best], judged)


def term_scales(normal: Iterable[FusionSample], min_area: int) -> Fusion:
    """Scales of both opinions on normal images, as a fusion by the memory alone.

    The scale of a map is that of the highest level at which a region of `min_area` map pixels survives, since that is
    what a map alarms by. Raises RefusedError for no images, or a mask that leaves no such region.
    """
    rows = []
    for shown in normal:
        terms = shown.terms
        if terms.distance_image is None or terms.distance_map is None:
            raise ValueError("the scales of a fusion need the distances of a memory")
        levels = [highest_region(drawn, min_area, shown.ignore) for drawn in (terms.map, terms.distance_map)]
        rows.append((terms.margin, terms.distance_image, *levels))
    if not rows:
        raise RefusedError("no normal units are left for the scales of the fusion")
    found = np.array(rows, np.float64)
    if not np.isfinite(found).all():
        raise RefusedError("the ignore mask leaves no region of the smallest area to be judged; mask less")
    zero_shot = fit_statistic(found[:, 0], found[:, 2], pixel_only=False)
    memory = fit_statistic(found[:, 1], found[:, 3], pixel_only=False)
    return Fusion(
        use="memory",
        image_share=1,
        map_share=1,
        zero_shot_image=TermScale(centre=zero_shot.a, spread=zero_shot.b),
        memory_image=TermScale(centre=memory.a, spread=memory.b),
        zero_shot_map=TermScale(centre=zero_shot.a2, spread=zero_shot.b2),
        memory_map=TermScale(centre=memory.a2, spread=memory.b2),
    )


def fused(scales: Fusion) -> Fusion:
    """Both opinions on the same scales."""
    return scales.model_copy(update={"use": "fused", "image_share": SHARE, "map_share": SHARE})


def choice_record(chosen: Chosen) -> FusionChoice | None:
    """The same numbers for the profile; None where there was no choice."""
    judged = chosen.judged
    if judged is None:
        return None
    return FusionChoice(
        chosen=chosen.use,
        n_good=judged.n_good,
        n_painted=judged.n_painted,
        auroc=judged.auroc,
        error=judged.error,
    )


def chosen_words(chosen: Chosen) -> str:
    """One line: what was chosen, and the numbers that it was chosen by."""
    judged = chosen.judged
    if judged is None:
        return f"evidence: {chosen.use}, as asked for"
    numbers = ", ".join(f"{use} {value:.3f}" for use, value in judged.auroc.items())
    return (
        f"evidence: {chosen.use}, chosen on {judged.n_painted} defects painted on {judged.n_good} normal images; "
        f"synthetic AUROC: {numbers}"
    )
