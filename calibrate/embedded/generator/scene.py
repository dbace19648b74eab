"""One training image from one seed: the image, what is wrong with it, where, and a caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibrate.defects.kinds import KINDS, draw_kind, paint
from calibrate.embedded.generator.objects import arrange
from calibrate.embedded.generator.photometry import photograph
from calibrate.surfaces.families import ALL_FAMILIES, WHOLE_FRAME_FAMILIES, surface
from calibrate.surfaces.fields import Array, to_uint8

_TEXTURE_SHARE = 0.4
_DEFECT_SHARE = 0.55
_MORE_DEFECTS = (0.72, 0.2, 0.08)
"""Shares of anomalous images with one, two and three defects."""
_DARK = 24
"""Grey level up to which the surround of a scan is nothing."""
_TEXTURE_NOUNS = ("surface", "texture", "sheet", "sample")


@dataclass(frozen=True, eq=False)
class Scene:
    """`image` uint8 RGB (H,W,3); `mask` bool (H,W), true on the defect; `label` 1 where any is, else 0."""

    image: Array
    mask: Array
    label: int
    family: str
    defect: str | None
    caption: str


def describe(family: str, thing: str, adjective: str | None) -> str:
    """Caption; says literally "without defect" or "with defect"."""
    if adjective is None:
        return f"a photo of a {family} {thing} without defect."
    return f"a photo of a {adjective} {family} {thing} with defect."


def generate(
    seed: int,
    size: int = 256,
    families: Sequence[str] = ALL_FAMILIES,
    anomalous: bool | None = None,
) -> Scene:
    """The square scene of `seed`; equal arguments give equal pixels.

    `anomalous` fixes the label; None draws it. Some anomalous scenes carry further defects of other kinds.
    """
    rng = np.random.default_rng(seed)
    family = str(rng.choice(list(families)))
    shape_size = (size, size)
    if family in WHOLE_FRAME_FAMILIES or rng.random() < _TEXTURE_SHARE:
        image, thing = to_uint8(surface(family, shape_size, rng)), str(rng.choice(_TEXTURE_NOUNS))
        region = visible_region(image) if family in WHOLE_FRAME_FAMILIES else np.ones(shape_size, bool)
    else:
        arrangement = arrange(family, shape_size, rng)
        image, region, thing = to_uint8(arrangement.image), arrangement.region, arrangement.shape
    with_defect = rng.random() < _DEFECT_SHARE
    if anomalous is not None:
        with_defect = anomalous
    mask = np.zeros(shape_size, bool)
    kind: str | None = None
    adjective: str | None = None
    if with_defect:
        kind = draw_kind(rng)
        adjective = str(rng.choice(KINDS[kind].adjectives))
        image, mask = paint(kind, image, region, rng)
        for _ in range(int(rng.choice(len(_MORE_DEFECTS), p=_MORE_DEFECTS))):
            image, further = paint(draw_kind(rng), image, region, rng)
            mask = mask | further
    return Scene(photograph(image, rng), mask, int(mask.any()), family, kind, describe(family, thing, adjective))


def visible_region(image: Array) -> Array:
    """Where uint8 (H,W,3) shows anything, bool (H,W): in the dark surround of a scan nothing can be wrong."""
    grey = image.max(axis=2)
    border = np.concatenate((grey[0], grey[-1], grey[:, 0], grey[:, -1]))
    region = grey > _DARK
    if (border <= _DARK).mean() < 0.5 or region.mean() < 0.05:
        return np.ones(grey.shape, bool)
    return np.asarray(region)
