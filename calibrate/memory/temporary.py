"""A temporary memory: made for one evaluation of a folder of normal images, and not kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from calibrate.datasets.provenance import seen_by
from calibrate.datasets.sample import Sample
from calibrate.datasets.splits import split_units
from calibrate.errors import DataError
from calibrate.inference import Skips, View
from calibrate.memory.build import MemoryRequest, build_memory, default_tokens
from calibrate.memory.fusion_choice import fused, normal_samples, plain_distances, term_scales
from fbclip.detector import Detector
from fbclip.images.framing import Framing
from fbclip.memory.bank import Memory
from fbclip.memory.features import default_config
from fbclip.memory.fusion import Fusion

SCALE_UNITS = (8, 20)
"""Normal units that set the scales of the fusion: a fifth, within these; the memory takes the rest."""
MIN_UNITS = 2 * SCALE_UNITS[0]


@dataclass(frozen=True, eq=False)
class TemporaryMemory:
    """What evaluates with a memory: the memory, how it counts, and sha256 of the images that it was made with."""

    memory: Memory
    fusion: Fusion
    seen: frozenset[str]


def split_scale_units(normal: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """(samples that set the scales, samples that the memory is made of), disjoint by unit."""
    least, most = SCALE_UNITS
    return split_units(normal, min(most, max(least, len({sample.unit for sample in normal}) // 5)))


def make_temporary(
    detector: Detector,
    normal: Sequence[Sample],
    framing: Framing,
    with_memory: Callable[[Memory], Detector],
    skips: Skips,
) -> TemporaryMemory:
    """A memory of normal images, fused on scales from units of its own; with fewer than MIN_UNITS units alone.

    `with_memory` gives a detector that has the memory. Raises DataError without normal images.
    """
    if not normal:
        raise DataError("--memory: no normal images there")
    enough = len({sample.unit for sample in normal}) >= MIN_UNITS
    scale, pool = split_scale_units(normal) if enough else ([], normal)
    model = detector.backbone.config
    request = MemoryRequest(default_config(model), default_tokens(model), framing)
    memory = build_memory(detector, pool, request, skips).memory
    seen = seen_by(memory) | {sample.sha256 for sample in scale}
    if not enough:
        return TemporaryMemory(memory, plain_distances(), seen)
    view = View(with_memory(memory), detector.adapters[0], framing, memory.id)
    scales = term_scales(normal_samples(view, scale), max(1, model.patch_size**2 // 4))
    return TemporaryMemory(memory, fused(scales), seen)
