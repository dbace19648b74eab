"""What images and maps are made of, and where a map lies in its image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from fbclip.frozen import Frozen

RgbImage = NDArray[np.uint8]
"""(H,W,3) uint8, RGB."""
FloatMap = NDArray[np.float32]
BoolMap = NDArray[np.bool_]
Box = tuple[int, int, int, int]
"""Half-open (x1,y1,x2,y2) in pixels."""
Fraction = Annotated[float, Field(ge=0, le=1)]


class Roi(Frozen):
    """Region of interest as fractions of the frame, half-open: x1 <= x < x2."""

    x1: Fraction
    y1: Fraction
    x2: Fraction
    y2: Fraction

    @model_validator(mode="after")
    def _order(self) -> Roi:
        if self.x1 >= self.x2 or self.y1 >= self.y2:
            raise ValueError("roi must have x1 < x2 and y1 < y2")
        return self


@dataclass(frozen=True)
class Placement:
    """Where the map lies in the original image: ROI corner and size in original pixels."""

    x: int
    y: int
    width: int
    height: int

    def to_original(self, box: Box, shape: tuple[int, int]) -> Box:
        """Half-open box on a map of `shape` (H,W) -> half-open box in original pixels, rounded outwards."""
        x1, y1, x2, y2 = box
        rows, columns = shape
        return (
            self.x + x1 * self.width // columns,
            self.y + y1 * self.height // rows,
            self.x + -(-x2 * self.width // columns),
            self.y + -(-y2 * self.height // rows),
        )
