"""One training image from one seed: what is seen, what is wrong with it, where, and a caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibrate.defects.kinds import KINDS, draw_kind, paint
from calibrate.embedded.objects import arrange
from calibrate.embedded.photometry import photograph
from calibrate.surfaces.families import ALL_FAMILIES, WHOLE_FRAME_FAMILIES, surface
from calibrate.surfaces.noise import Array, to_uint8

GENERATOR_VERSION = "2"
"""Raised whenever the same seed would give another image; stored with the weights."""
DEFECT_KINDS: tuple[str, ...] = tuple(KINDS)
_TEXTURE_SHARE = 0.4
_DEFECT_SHARE = 0.55
_MORE_DEFECTS = (0.72, 0.2, 0.08)
"""Shares of anomalous images with one, two and three defects."""
_DARK = 24
"""Grey level up to which the surround of a scan is nothing."""
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
    anomalous: bool | None = None,
) -> Scene:
    """The square scene of `seed`; equal arguments give equal pixels.

    `anomalous` fixes the label; None draws it. Some defective scenes carry further defects of other kinds.
    """
    rng = np.random.default_rng(seed)
    family = str(rng.choice(list(families)))
    shape_size = (size, size)
    if family in WHOLE_FRAME_FAMILIES or rng.random() < _TEXTURE_SHARE:
        image, thing = to_uint8(surface(family, shape_size, rng)), str(rng.choice(_TEXTURE_WORDS))
        region = shown(image) if family in WHOLE_FRAME_FAMILIES else np.ones(shape_size, bool)
    else:
        arrangement = arrange(family, shape_size, rng)
        image, region, thing = to_uint8(arrangement.image), arrangement.region, arrangement.shape
    wanted = rng.random() < _DEFECT_SHARE
    mask = np.zeros(shape_size, bool)
    kind: str | None = None
    word: str | None = None
    if wanted if anomalous is None else anomalous:
        kind = draw_kind(rng)
        word = str(rng.choice(KINDS[kind].words))
        image, mask = paint(kind, image, region, rng)
        for _ in range(int(rng.choice(len(_MORE_DEFECTS), p=_MORE_DEFECTS))):
            image, further = paint(draw_kind(rng), image, region, rng)
            mask = mask | further
    return Scene(photograph(image, rng), mask, int(mask.any()), family, kind, describe(family, thing, word))


def shown(image: Array) -> Array:
    """Where uint8 (H,W,3) shows anything, bool (H,W): in the dark surround of a scan nothing can be wrong."""
    grey = image.max(axis=2)
    border = np.concatenate((grey[0], grey[-1], grey[:, 0], grey[:, -1]))
    region = grey > _DARK
    if (border <= _DARK).mean() < 0.5 or region.mean() < 0.05:
        return np.ones(grey.shape, bool)
    return np.asarray(region)
