"""Defects: `paint(kind, image, region, rng)` changes a finished image and says exactly where.

A defect is an alpha shape and what it shows there. Nothing outside the mask changes, and inside it the change
has a floor that rises with the texture around it, so that a label never stands for something nobody can see.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from calibrate.defects import fills, local_fills, marks, shapes
from calibrate.defects.sites import EVERY_SIZE, Extent, Site, choose_site
from calibrate.surfaces.fields import Array, log_uniform

GENERATOR_VERSION = "2"
"""Raised whenever the same seed would give another surface, defect or scene; stored with weights and adapters."""
FLOOR = 18.0
"""Least mean change of the strongest channel inside the mask, in grey levels of 255."""
TEXTURE_SHARE = 1.1
"""The floor in parts of the local texture's standard deviation, where that is more."""
EDGE = 0.15
"""Alpha from which a pixel may belong to the mask."""
_LOUDEST = 140.0
_FADED_SHARE = 0.65
_TRIES = 4
_LEAST_PIXELS = 12

Shape = Callable[[Site, np.random.Generator], Array]
Fill = Callable[[Site, Array, np.random.Generator], Array]
Make = Callable[[Site, np.random.Generator], tuple[Array, Array]]


@dataclass(frozen=True)
class Kind:
    """How one defect is made (alpha and what it shows), the adjectives for it, its relative frequency and its sizes.

    A `faded` one gets a contrast of its own, log-uniform from the floor up; others are as they are made.
    `floor` is the kind's own share of the floor: less for outlines that the eye finds easily.
    """

    make: Make
    adjectives: tuple[str, ...]
    weight: float = 1.0
    extent: Extent = EVERY_SIZE
    faded: bool = True
    floor: float = 1.0


def _of(shape: Shape, fill: Fill) -> Make:
    """Both made one after the other."""

    def make(site: Site, rng: np.random.Generator) -> tuple[Array, Array]:
        alpha = np.asarray(shape(site, rng), np.float32)
        return alpha, fill(site, alpha, rng)

    return make


_THIN = Extent(0.001, 0.12, 3.2)
_SMALL = Extent(0.001, 0.06)
_BUSY = Extent(0.002, 0.2, at="busy")

KINDS: dict[str, Kind] = {
    "scratch": Kind(_of(shapes.scratch, fills.streak), ("scratched", "scored"), 1.5, _THIN, floor=0.8),
    "crack": Kind(_of(shapes.crack, fills.dark), ("cracked",), 1.3, _THIN, floor=0.8),
    "stain": Kind(_of(shapes.soft_blob, fills.stain), ("stained", "dirty"), 1.0, Extent(0.001, 0.15)),
    "dent": Kind(_of(shapes.soft_blob, fills.dent), ("dented", "bent"), floor=0.8),
    "cut_paste": Kind(_of(shapes.piece, local_fills.elsewhere), ("damaged", "misplaced")),
    "missing": Kind(
        _of(shapes.bite, fills.background), ("broken", "chipped"), 1.0, Extent(0.002, 0.33, at="rim"), faded=False
    ),
    "blob": Kind(_of(shapes.any_blob, fills.flat), ("contaminated", "blotched")),
    "texture_swap": Kind(_of(shapes.any_blob, fills.other_surface), ("worn", "patched")),
    "hole": Kind(_of(shapes.disc, fills.hole), ("punctured", "holed"), 1.0, Extent(0.001, 0.06), faded=False),
    "contamination": Kind(_of(shapes.specks, fills.flat), ("dirty", "contaminated"), 1.0, _SMALL),
    "thread": Kind(_of(shapes.thread, fills.flat), ("dirty", "hairy"), 0.8, Extent(0.001, 0.06, 4.0), floor=0.8),
    "distortion": Kind(_of(shapes.soft_blob, local_fills.swirl), ("distorted", "bent"), 1.0, _BUSY, False),
    "lesion": Kind(_of(shapes.soft_blob, fills.glow), ("diseased", "damaged")),
    "fracture": Kind(
        _of(shapes.rift, fills.broken), ("broken", "fractured", "torn"), 1.2, Extent(0.005, 0.25, 3.0), faded=False
    ),
    "broken_off": Kind(
        _of(shapes.wedge, fills.broken), ("broken", "cut"), 1.0, Extent(0.01, 0.3, 1.9, "rim"), faded=False
    ),
    "line_fault": Kind(
        marks.line_fault, ("misprinted", "interrupted"), 1.3, Extent(0.0006, 0.01, 4.0, "busy"), False, 0.8
    ),
    "colour": Kind(_of(shapes.segment, fills.tint), ("discoloured", "faded"), 1.2, Extent(0.004, 0.25, 3.5)),
    "rough": Kind(_of(shapes.any_blob, local_fills.rough), ("worn", "rough"), 1.0, Extent(0.004, 0.25), False),
    "scuff": Kind(_of(shapes.scuff, fills.streak), ("worn", "scuffed"), 1.0, Extent(0.004, 0.2)),
    "fold": Kind(marks.fold, ("folded", "bent"), 1.0, Extent(0.004, 0.2, 3.0), floor=0.8),
    "smear": Kind(_of(shapes.any_blob, local_fills.smear), ("smeared", "misprinted"), 0.8, _BUSY, False),
    "missing_part": Kind(_of(shapes.any_blob, local_fills.fill_in), ("missing",), 1.3, _BUSY, False, 0.8),
    "extra_part": Kind(_of(shapes.disc, local_fills.duplicate), ("misplaced", "extra"), 1.0, _BUSY, False),
    "turned_part": Kind(_of(shapes.disc, local_fills.turn_in_place), ("misplaced", "flipped"), 1.0, _BUSY, False, 0.8),
    "mass": Kind(_of(shapes.soft_blob, fills.mass), ("diseased", "swollen")),
    "ring": Kind(marks.glow_ring, ("diseased", "damaged"), 0.6),
    "spots": Kind(_of(shapes.specks, fills.streak), ("spotted", "mouldy", "corroded"), 1.0, Extent(0.002, 0.2)),
    "burn": Kind(_of(shapes.soft_blob, fills.burn), ("burnt", "melted"), 0.8),
    "liquid": Kind(_of(shapes.disc, fills.liquid), ("wet", "dirty"), 0.7, Extent(0.001, 0.1)),
    "noise_swap": Kind(_of(shapes.perlin, fills.other_surface), ("damaged", "defective"), 2.5),
    "noise_paste": Kind(_of(shapes.perlin, local_fills.elsewhere), ("damaged", "defective"), 2.5),
    "noise_tint": Kind(_of(shapes.perlin, fills.tint), ("discoloured", "dirty"), 1.0),
}
_NAMES = tuple(KINDS)
_CUMULATED = np.cumsum([k.weight for k in KINDS.values()]) / sum(k.weight for k in KINDS.values())


def draw_kind(rng: np.random.Generator) -> str:
    """A kind by its weight."""
    return _NAMES[min(int(np.searchsorted(_CUMULATED, rng.random(), "right")), len(_NAMES) - 1)]


def paint(kind: str, image: Array, region: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Defect of `kind` on uint8 RGB (H,W,3) inside `region` bool (H,W) -> (image, mask).

    The mask is never empty and lies inside `region`; pixels outside it are those of the input. Raises
    ValueError for an unknown kind or a region of fewer than 64 pixels.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown defect kind {kind!r}; known: {', '.join(KINDS)}")
    if int(region.sum()) < 64:
        raise ValueError("the region is too small for a defect")
    recipe = KINDS[kind]
    for attempt in range(_TRIES + 1):
        site, window = choose_site(image, region, recipe.extent, rng)
        alpha, content = recipe.make(site, rng)
        if attempt == _TRIES:
            # Nothing of the shape fell inside: a plain disc does in every region.
            alpha = _disc(site)
        alpha = np.where(site.region & (alpha >= EDGE), alpha, 0).astype(np.float32)
        inside = alpha > 0
        if not inside.any() or (attempt < _TRIES and int(inside.sum()) < _LEAST_PIXELS):
            continue
        floor = recipe.floor * _floor(site, inside)
        # A kind that needs structure is tried elsewhere before its change is replaced by a plain one.
        changed = _with_contrast(site, alpha, content, floor, recipe.faded, attempt >= 2, rng)
        if changed is None:
            continue
        mask = _visible(site, changed, inside, floor)
        if int(mask.sum()) < (1 if attempt == _TRIES else _LEAST_PIXELS):
            continue
        out, everywhere = image.copy(), np.zeros(region.shape, bool)
        out[window][mask] = changed[mask]
        everywhere[window] = mask
        return out, everywhere
    raise AssertionError("the last try always shows")


def _disc(site: Site) -> Array:
    """A disc of the site's size, float32 (h,w)."""
    dx, dy = site.grid()
    return np.asarray(np.hypot(dx, dy) <= max(4.0, site.radius), np.float32)


def _floor(site: Site, inside: Array) -> float:
    """Least change in grey levels that shows against the texture under and around the defect."""
    ys, xs = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    around = site.image[max(0, ys[0] - 8) : ys[-1] + 9, max(0, xs[0] - 8) : xs[-1] + 9, 1]
    texture = float((around - cv2.blur(around, (9, 9))).std())
    return min(max(FLOOR, TEXTURE_SHARE * texture), 60.0)


def _with_contrast(
    site: Site, alpha: Array, content: Array, floor: float, faded: bool, push: bool, rng: np.random.Generator
) -> Array | None:
    """The window uint8 (h,w,3) with the change at a contrast of its own; None if it is too faint and not pushed."""
    inside = alpha > 0
    shift = (np.clip(content[inside], 0, 255) - site.image[inside]) * alpha[inside][:, None]
    strength = float(np.abs(shift).max(axis=1).mean())
    if strength < floor:
        if not push:
            return None
        # Most of the faint change is dropped: it may point the other way and would cancel the push.
        level = float(site.image[inside].mean())
        direction = -1.0 if level > 150 else 1.0 if level < 90 else float(rng.choice([-1.0, 1.0]))
        mean = max(float(alpha[inside].mean()), 0.1)
        ink = rng.uniform(0.2, 1, 3)
        push_by = direction * 1.2 * floor / mean * ink / ink.max()
        shift = 0.3 * shift + push_by.astype(np.float32) * alpha[inside][:, None]
    elif faded and strength > 1.2 * floor and rng.random() < _FADED_SHARE:
        target = log_uniform(rng, 1.2 * floor, max(_LOUDEST, 1.3 * floor))
        shift = shift * min(1.0, target / strength)
    out = site.image.copy()
    out[inside] += shift
    return np.clip(out + 0.5, 0, 255).astype(np.uint8)


def _visible(site: Site, changed: Array, inside: Array, floor: float) -> Array:
    """Mask bool (h,w): where the change shows; lone coincidences within it are filled."""
    change = np.abs(changed.astype(np.float32) - site.image).max(axis=2)
    near = cv2.blur(change, (5, 5)) if float(inside.sum()) > 400 else change
    shows = (np.maximum(change, near) >= 0.4 * floor) & (change > 0)
    closed = cv2.morphologyEx(shows.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    mask = (closed > 0) & inside
    # Clipping at black or white can leave many pixels as they were; then nothing is filled.
    return np.asarray(mask if int((mask & (change > 0)).sum()) > 0.9 * int(mask.sum()) else shows & inside)
