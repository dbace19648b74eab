"""A detector with a memory for one run: an existing memory, or one made on the spot of a folder of normal images."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from calibrate.datasets.provenance import seen_by
from calibrate.datasets.reader import read_data
from calibrate.inference import Skips
from calibrate.memory.fusion_choice import plain_distances
from calibrate.memory.provenance import check_framing
from calibrate.memory.temporary import TemporaryMemory, make_temporary
from fbclip.artefacts.profile_file import LoadedProfile
from fbclip.detector import Detector
from fbclip.errors import ConfigError
from fbclip.images.framing import Framing
from fbclip.memory.bank import Memory, load_memory, save_memory

OpenDetector = Callable[[Sequence[Path]], Detector]
"""The model, with the memories in these folders."""


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
