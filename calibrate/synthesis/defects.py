"""Defects: `paint(kind, picture, region, rng)` changes a finished picture and says exactly where.

A defect is an alpha shape and what to show there. Nothing outside the mask changes, and inside it the change
has a floor that rises with the texture around it, so that a label never stands for something nobody can see.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from calibrate.synthesis import fills, shapes
from calibrate.synthesis.noise import Array

FLOOR = 26.0
"""Least mean change of the strongest channel inside the mask, in grey levels of 255."""
TEXTURE_SHARE = 0.9
"""The floor in parts of the picture's local standard deviation, where that is more."""
EDGE = 0.2
"""Alpha from which a pixel belongs to the mask."""

Shape = Callable[[Array, np.random.Generator], Array]
Fill = Callable[[Array, Array, Array, np.random.Generator], Array]


@dataclass(frozen=True)
class Kind:
    """How one defect is made: its outline, what it shows, and the words a caption may use."""

    shape: Shape
    fill: Fill
    words: tuple[str, ...]


KINDS: dict[str, Kind] = {
    "scratch": Kind(shapes.scratch, fills.streak, ("scratched", "scored")),
    "crack": Kind(shapes.crack, fills.dark, ("cracked", "fractured")),
    "stain": Kind(shapes.soft_blob, fills.stain, ("stained", "discoloured")),
    "dent": Kind(shapes.bowl, fills.dent, ("dented", "bent")),
    "cut_paste": Kind(shapes.piece, fills.elsewhere, ("damaged", "misplaced")),
    "missing": Kind(shapes.bite, fills.background, ("broken", "chipped")),
    "blob": Kind(shapes.hard_blob, fills.flat, ("contaminated", "blotched")),
    "texture_swap": Kind(shapes.hard_blob, fills.other_surface, ("worn", "patched")),
    "hole": Kind(shapes.disc, fills.hole, ("punctured", "holed")),
    "contamination": Kind(shapes.crumbs, fills.flat, ("dirty", "contaminated")),
    "thread": Kind(shapes.thread, fills.flat, ("dirty", "contaminated")),
    "distortion": Kind(shapes.piece_round, fills.swirl, ("distorted", "deformed")),
    "lesion": Kind(shapes.soft_blob, fills.glow, ("diseased", "damaged")),
}


def paint(kind: str, picture: Array, region: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Defect of `kind` on uint8 RGB (H,W,3) inside `region` bool (H,W) -> (picture, mask).

    The mask is never empty and lies inside `region`; pixels outside it are those of the input. Raises
    ValueError for an unknown kind or a region of fewer than 64 pixels.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown defect kind {kind!r}; known: {', '.join(KINDS)}")
    if int(region.sum()) < 64:
        raise ValueError("the region is too small for a defect")
    recipe = KINDS[kind]
    alpha = drawn(recipe.shape, region, rng)
    mask = alpha >= EDGE
    shown = recipe.fill(picture, alpha, region, rng).astype(np.float32)
    original = picture.astype(np.float32)
    changed = original + alpha[..., None] * (shown - original)
    changed = visible(original, changed, alpha, mask, rng)
    out = picture.copy()
    out[mask] = np.clip(changed[mask] + 0.5, 0, 255).astype(np.uint8)
    return out, mask


def drawn(shape: Shape, region: Array, rng: np.random.Generator) -> Array:
    """Alpha (H,W) float32 of a shape that keeps enough of itself inside the region; a disc if none does."""
    for _ in range(6):
        alpha = shape(region, rng) * region
        if int((alpha >= EDGE).sum()) >= max(12, region.size // 4000):
            return np.asarray(alpha, np.float32)
    return np.asarray(shapes.deep_disc(region) * region, np.float32)


def visible(original: Array, changed: Array, alpha: Array, mask: Array, rng: np.random.Generator) -> Array:
    """Replace a change that is too faint by one to the brighter or darker side that reaches the floor."""
    ys, xs = np.nonzero(mask)
    top, left = max(0, int(ys.min()) - 12), max(0, int(xs.min()) - 12)
    around = original[top : int(ys.max()) + 13, left : int(xs.max()) + 13]
    floor = min(max(FLOOR, TEXTURE_SHARE * float(around.std(axis=(0, 1)).mean())), 70.0)
    strength = float(np.abs(changed - original)[mask].max(axis=1).mean())
    if strength >= floor:
        return changed
    level = float(original[mask].mean())
    direction = -1.0 if level > 150 else 1.0 if level < 90 else float(rng.choice([-1.0, 1.0]))
    # Most of the faint change is dropped: it may point the other way and would cancel the push.
    return np.asarray(original + 0.3 * (changed - original) + direction * 1.3 * floor * alpha[..., None])
