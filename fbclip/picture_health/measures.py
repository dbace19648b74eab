"""What picture health measures of one picture, as numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PictureMeasures:
    """sharpness: see `sharpness`; light: mean grey level; displacement: a share of the longer side, None where a line
    has no reference picture."""

    sharpness: float
    light: float
    displacement: float | None
