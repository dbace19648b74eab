"""One training picture from one seed: what is seen, what is wrong with it, where, and a caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibrate.synthesis.defects import KINDS, paint
from calibrate.synthesis.noise import Array, to_uint8
from calibrate.synthesis.objects import arrange
from calibrate.synthesis.photometry import photograph
from calibrate.synthesis.surfaces import ALL_FAMILIES, surface

GENERATOR_VERSION = "1"
"""Raised whenever the same seed would give another picture; stored with the weights."""
DEFECT_KINDS: tuple[str, ...] = tuple(KINDS)
_TEXTURE_SHARE = 0.4
_DEFECT_SHARE = 0.55
_TEXTURE_WORDS = ("surface", "texture", "sheet", "sample")


@dataclass(frozen=True, eq=False)
class Scene:
    """`image` uint8 RGB (H,W,3); `mask` bool (H,W), true on the defect; `label` 1 where any is, else 0."""

    image: Array
    mask: Array
    label: int
    family: str
    defect: str | None
    caption: str


def describe(family: str, thing: str, word: str | None) -> str:
    """Caption; says literally "without defect" or "with defect"."""
    if word is None:
        return f"a photo of a {family} {thing} without defect."
    return f"a photo of a {word} {family} {thing} with defect."


def generate(
    seed: int,
    size: int = 256,
    families: Sequence[str] = ALL_FAMILIES,
    defective: bool | None = None,
) -> Scene:
    """The square scene of `seed`; equal arguments give equal pixels.

    `defective` fixes the label; None draws it. Some defective scenes carry a second defect of another kind.
    """
    rng = np.random.default_rng(seed)
    family = str(rng.choice(list(families)))
    shape_size = (size, size)
    if rng.random() < _TEXTURE_SHARE or family == "scanned":
        picture, thing = to_uint8(surface(family, shape_size, rng)), str(rng.choice(_TEXTURE_WORDS))
        # A scan's dark surround is no tissue: nothing can be wrong there.
        region = picture.max(axis=2) > 40 if family == "scanned" else np.ones(shape_size, bool)
    else:
        arrangement = arrange(family, shape_size, rng)
        picture, region, thing = to_uint8(arrangement.picture), arrangement.region, arrangement.shape
    wanted = rng.random() < _DEFECT_SHARE
    mask = np.zeros(shape_size, bool)
    kind: str | None = None
    word: str | None = None
    if wanted if defective is None else defective:
        kind = str(rng.choice(DEFECT_KINDS))
        word = str(rng.choice(KINDS[kind].words))
        picture, mask = paint(kind, picture, region, rng)
        if rng.random() < 0.2:
            picture, second = paint(str(rng.choice(DEFECT_KINDS)), picture, region, rng)
            mask = mask | second
    return Scene(photograph(picture, rng), mask, int(mask.any()), family, kind, describe(family, thing, word))
