"""The pictures that int8 is calibrated on: a folder of the line's normal images, and which of them only measure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from fbclip.errors import ConfigError, ImageError
from fbclip.files import canonical_json
from fbclip.images.decode import read_image
from fbclip.images.framing import Framing, frame_image
from fbclip.images.side_files import IMAGE_SUFFIXES, is_side_file

LEAST, MOST = 8, 80
MEASURE_EVERY = 4
"""Every fourth picture calibrates nothing, so that what int8 does is measured on pictures that it has not seen."""


@dataclass(frozen=True, eq=False)
class CalibrationImages:
    """Network inputs (1,3,S,S) each; data_sha256 of the pictures' digests."""

    calibrate: Sequence[Tensor]
    measure: Sequence[Tensor]
    data_sha256: str


def read_calibration(folder: Path, size: int, patch_size: int) -> CalibrationImages:
    """At most MOST pictures of the folder and its folders, evenly spread by name.

    Raises ConfigError for fewer than LEAST, or for one that cannot be read.
    """
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES and not is_side_file(path.name)
    )
    if len(files) < LEAST:
        raise ConfigError(f"--calibration {folder}: {len(files)} images there, int8 needs {LEAST} normal ones at least")
    images, digests = [], []
    for path in files[:: -(-len(files) // MOST)]:
        try:
            read = read_image(path)
            images.append(frame_image(read.image, Framing(), size, patch_size).network_input)
        except (OSError, ImageError) as error:
            raise ConfigError(f"--calibration {path}: {error}; take it out of the folder") from error
        digests.append(read.sha256)
    return CalibrationImages(
        calibrate=[image for place, image in enumerate(images) if place % MEASURE_EVERY],
        measure=images[::MEASURE_EVERY],
        data_sha256=hashlib.sha256(canonical_json(sorted(digests))).hexdigest(),
    )
