"""A memory for one run: an existing one, or a temporary one made of a folder of normal images."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from calibrate.datasets.leakage import seen_by
from calibrate.datasets.reader import read_data
from calibrate.datasets.sample import Sample
from calibrate.datasets.units import split_units
from calibrate.errors import DataError
from calibrate.inference import Skips, View
from calibrate.memory.build import MemoryRequest, build_memory, default_tokens
from calibrate.memory.fusion_choice import fused, normal_samples, plain_distances, term_scales
from calibrate.memory.provenance import check_framing
from fbclip.artefacts.profile_file import LoadedProfile
from fbclip.decision import default_min_area
from fbclip.detector import Detector
from fbclip.errors import ConfigError
from fbclip.images.framing import Framing
from fbclip.memory.bank import Memory, load_memory, save_memory
from fbclip.memory.features import default_config
from fbclip.memory.fusion import Fusion

SCALE_UNITS = (8, 20)
"""Normal units that set the scales of the fusion: a fifth, within these; the memory takes the rest."""
MIN_UNITS = 2 * SCALE_UNITS[0]

OpenDetector = Callable[[Sequence[Path]], Detector]
"""The model, with the memories in these folders."""


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
    model = detector.backbone_config
    request = MemoryRequest(default_config(model), default_tokens(model), framing)
    memory = build_memory(detector, pool, request, skips).memory
    seen = seen_by(memory) | {sample.sha256 for sample in scale}
    if not enough:
        return TemporaryMemory(memory, plain_distances(), seen)
    view = View(with_memory(memory), detector.adapters[0], framing, memory.id)
    scales = term_scales(normal_samples(view, scale), default_min_area(model.patch_size))
    return TemporaryMemory(memory, fused(scales), seen)


def open_with_memory(
    open_detector: OpenDetector, folder: Path, framing: Framing, profile: LoadedProfile | None, skips: Skips
) -> tuple[Detector, TemporaryMemory]:
    """A detector that has the memory in `folder`, or one made of the normal images in it.

    Raises ConfigError for a memory that looks at images in another way, and for a folder of images with a profile.
    """
    if (folder / "memory.json").is_file():
        memory = load_memory(folder)
        check_framing(memory, framing if profile is None else profile.framing)
        # Only a profile knows how distances and margins are put together; without one the distances rank by themselves.
        fusion = None if profile is None else profile.profile.fusion
        return open_detector((folder,)), TemporaryMemory(memory, fusion or plain_distances(), seen_by(memory))
    if profile is not None:
        raise ConfigError(f"--memory {folder}: is no memory; a profile names one that `calibrate memory` made")
    with tempfile.TemporaryDirectory() as made:

        def open_with(memory: Memory) -> Detector:
            save_memory(memory, Path(made))
            return open_detector((Path(made),))

        temporary = make_temporary(open_detector(()), read_data(folder).normal(), framing, open_with, skips)
        return open_with(temporary.memory), temporary
