"""Generated inspection lines: units of one product look alike, as at a station, and some are anomalous.

Every line is a recipe that its units share (a sheet of material, an outline, a ground); units differ in where the
sheet was cut, in pose, light and noise. The materials are those that the embedded model was not trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from calibrate.defects.kinds import draw_kind, paint
from calibrate.embedded.generator.objects import SHAPES, backdrop, outline, place
from calibrate.embedded.generator.solids import height_field, illuminate
from calibrate.embedded.samples.files import write_png
from calibrate.embedded.samples.products import SAMPLE_DEFECTS, belt_part, inbox_part
from calibrate.surfaces.families import TEST_FAMILIES, WHOLE_FRAME_FAMILIES, surface
from calibrate.surfaces.fields import Array, Size, polygon, to_uint8, white

SIDE = 256
_SHEET = 3 * SIDE
"""Side of the sheet that units are cut from: two cuts may overlap but hardly ever coincide."""

_FAMILIES = tuple(family for family in TEST_FAMILIES if family not in WHOLE_FRAME_FAMILIES)


@dataclass(frozen=True)
class GeneratedLine:
    """kind: `sheet` fills the frame, `part` is an object on a ground; belt and inbox are the demo's products."""

    kind: Literal["sheet", "part", "belt", "inbox"]
    family: str = ""
    seed: int = 0

    @property
    def name(self) -> str:
        return f"{self.kind}_{self.family}" if self.family else self.kind


LINES: tuple[GeneratedLine, ...] = (
    *(GeneratedLine("sheet", family, 50 + k) for k, family in enumerate(_FAMILIES)),
    *(GeneratedLine("part", family, 70 + k) for k, family in enumerate(_FAMILIES)),
    GeneratedLine("belt"),
    GeneratedLine("inbox"),
)


class LineUnits:
    """Units of one line; the recipe is the same for all."""

    def __init__(self, line: GeneratedLine) -> None:
        self.line = line
        if line.family:
            rng = np.random.default_rng((line.seed, 3))
            self._sheet = surface(line.family, (_SHEET, _SHEET), rng)
            self._shape = str(rng.choice(SHAPES))
            self._outline = outline(self._shape, rng)
            self._ground = backdrop((SIDE, SIDE), False, rng)
            self._radius = SIDE * float(rng.uniform(0.32, 0.42))
            self._light_seed = int(rng.integers(1 << 30))

    def unit(self, seed: int, anomalous: bool) -> tuple[Array, Array]:
        """Unit number `seed`, the same every time: image uint8 RGB (H,W,3) and the defect's mask bool (H,W).

        256 x 256, the belt's 240 x 320.
        """
        rng = np.random.default_rng((self.line.seed, seed, 4))
        if self.line.kind in {"belt", "inbox"}:
            make = belt_part if self.line.kind == "belt" else inbox_part
            scene = make(seed, str(rng.choice(SAMPLE_DEFECTS)) if anomalous else None)
            return scene.image, scene.mask
        image, region = self._image(rng)
        image, mask = to_uint8(image), np.zeros((SIDE, SIDE), bool)
        if anomalous:
            image, mask = paint(draw_kind(rng), image, region, rng)
        return _photograph(image, rng), mask

    def _image(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """float32 (S,S,3) in 0..1 and where the product is, bool (S,S)."""
        top, left = rng.integers(0, _SHEET - SIDE, 2)
        material = self._sheet[top : top + SIDE, left : left + SIDE]
        if self.line.kind == "sheet":
            return material, np.ones((SIDE, SIDE), bool)
        centre = SIDE / 2 + rng.normal(0, 0.01 * SIDE, 2)
        turn = float(rng.normal(0, 0.04))
        points = place(self._outline, (float(centre[0]), float(centre[1])), self._radius, turn)
        alpha = polygon((SIDE, SIDE), points)
        if self._shape == "ring":
            inner = place(self._outline, (float(centre[0]), float(centre[1])), 0.55 * self._radius, turn)
            alpha = alpha * (1 - polygon((SIDE, SIDE), inner))
        lamp = np.random.default_rng(self._light_seed)
        brightness, _ = illuminate(height_field(alpha, lamp), lamp)
        body = np.clip(material * brightness[..., None], 0, 1)
        return np.clip(self._ground + alpha[..., None] * (body - self._ground), 0, 1), alpha > 0.5


def _photograph(image: Array, rng: np.random.Generator) -> Array:
    """The station's light and noise, which vary a little; uint8 (H,W,3) -> uint8."""
    size: Size = (image.shape[0], image.shape[1])
    ramp = np.linspace(-1, 1, size[1], dtype=np.float32)[None, :, None]
    gain = 1 + np.float32(rng.normal(0, 0.02)) + np.float32(0.02 * rng.normal()) * ramp
    grain = np.float32(0.008) * white(size, rng)[..., None]
    return to_uint8(np.asarray(image.astype(np.float32) / 255 * gain + grain, np.float32))


def write_line(line: GeneratedLine, out: Path, train: int, normal: int, anomalous: int, seed0: int = 0) -> Path:
    """`train`, `normal` and `anomalous` units below `out`/NAME in MVTec's layout, with masks; returns that folder."""
    units, root = LineUnits(line), out / line.name
    number = seed0
    for folder, count, with_defect in (
        ("train/good", train, False),
        ("test/good", normal, False),
        ("test/bad", anomalous, True),
    ):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for k in range(count):
            number += 1
            image, mask = units.unit(number, with_defect)
            write_png(root / folder / f"{k:03d}.png", image)
            if with_defect:
                masks = root / "ground_truth" / "bad"
                masks.mkdir(parents=True, exist_ok=True)
                write_png(masks / f"{k:03d}_mask.png", np.repeat(mask[..., None] * np.uint8(255), 3, axis=2))
    return root
