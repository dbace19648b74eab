"""A memory for an evaluation: an existing one, or one made on the spot of a folder of normal images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from calibrate.datasets.sample import Sample
from calibrate.datasets.splits import split_units
from calibrate.errors import DataError
from calibrate.inference import Skips, View
from calibrate.memory.build import MemoryRequest, build_memory, default_tokens
from calibrate.memory.fusion_samples import fit_fusion
from calibrate.memory.provenance import seen_by
from fbclip.detector import Detector
from fbclip.images.framing import Framing
from fbclip.memory.bank import Memory
from fbclip.memory.features import default_config
from fbclip.memory.fusion import Fusion, TermScale

SCALE_UNITS = (8, 20)
"""Normal units that set the scales and choose the fusion: a fifth, within these; the memory takes the rest."""
MIN_UNITS = 2 * SCALE_UNITS[0]


@dataclass(frozen=True, eq=False)
class TemporaryMemory:
    """What evaluates with a memory: the memory, how it counts, and sha256 of the images that it was made with."""

    memory: Memory
    fusion: Fusion
    seen: frozenset[str]


def distances_alone() -> Fusion:
    """The memory's plain distances: they rank images without any scale."""
    unit = TermScale(centre=0, spread=1)
    return Fusion(
        use="memory",
        image_share=1,
        map_share=1,
        zero_shot_image=unit,
        memory_image=unit,
        zero_shot_map=unit,
        memory_map=unit,
    )


def of_images(
    detector: Detector,
    normal: Sequence[Sample],
    framing: Framing,
    with_memory: Callable[[Memory], Detector],
    skips: Skips,
) -> TemporaryMemory:
    """A memory of normal images; with MIN_UNITS units some of them choose how it counts, as for a line's threshold.

    `with_memory` gives a detector that has the memory. Raises DataError without normal images.
    """
    if not normal:
        raise DataError("--memory: no normal images there")
    units = len({sample.unit for sample in normal})
    least, most = SCALE_UNITS
    scale, pool = split_units(normal, min(most, max(least, units // 5)) if units >= MIN_UNITS else 0)
    model = detector.backbone.config
    plan = MemoryRequest(default_config(model), default_tokens(model))
    memory = build_memory(detector, pool, framing, plan, skips).memory
    seen = seen_by(memory) | {sample.sha256 for sample in scale}
    if not scale:
        return TemporaryMemory(memory, distances_alone(), seen)
    view = View(with_memory(memory), detector.adapters[0], framing, memory.id)
    min_area = max(1, model.patch_size**2 // 4)
    fusion = fit_fusion(view, scale, "fused", min_area, framing.mask is not None).fusion
    assert fusion is not None
    return TemporaryMemory(memory, fusion, seen)
