"""The batch of a step: generated images, enlarged, turned and recoloured anew each time.

It depends on the seed, the step and the rank alone, so a resumed run gets what an uninterrupted one would.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from calibrate.embedded.pretraining.generated_images import GeneratedImages
from calibrate.embedded.pretraining.inclusions import add_inclusions
from calibrate.surfaces.fields import Array
from fbclip.images.preprocess import CLIP_MEAN, CLIP_STD

PATCH_FLOOR = 0.05
"""Share of a patch that a defect must cover to make it a positive; less, but not nothing, is left out."""


@dataclass(frozen=True, eq=False)
class PretrainingBatch:
    """`images` float32 normalised (B,3,s,s); `cover` float32 (B,g,g), the covered share of each patch; captions of
    what the window holds.
    """

    images: Tensor
    cover: Tensor
    captions: tuple[str, ...]


def window_corner(mask: Array, side: int, rng: np.random.Generator) -> tuple[int, int]:
    """Upper left corner (y, x) of a window of `side` px; two of three in an anomalous image hold some defect."""
    room = mask.shape[0] - side
    if room <= 0:
        return 0, 0
    flat = np.flatnonzero(mask) if rng.random() < 0.67 else np.empty(0, np.int64)
    if not len(flat):
        return int(rng.integers(0, room + 1)), int(rng.integers(0, room + 1))
    y, x = divmod(int(flat[rng.integers(0, len(flat))]), mask.shape[1])
    return tuple(int(np.clip(at - rng.integers(0, side), 0, room)) for at in (y, x))  # type: ignore[return-value]


def draw_batch(
    data: GeneratedImages, batch: int, side: int, patch: int, seed: int, step: int, rank: int = 0, strewn: float = 0.0
) -> PretrainingBatch:
    """The training batch of one step and process, at `side` px.

    Of four images in ten a window alone is used, which enlarges what is in it; a share `strewn` gets inclusions.
    """
    rng = np.random.default_rng((seed, step, rank))
    whole = data.images.shape[1]
    images = np.empty((batch, side, side, 3), np.uint8)
    grid = side // patch
    cover = np.empty((batch, grid, grid), np.float32)
    captions = []
    for k, index in enumerate(rng.integers(0, len(data.images), batch)):
        mask = data.masks[index]
        window = whole if rng.random() < 0.6 else int(rng.integers(whole * 3 // 4, whole + 1))
        y, x = window_corner(mask, window, rng)
        image = data.images[index, y : y + window, x : x + window]
        if rng.random() < strewn:
            image = add_inclusions(image, mask[y : y + window, x : x + window], rng)
        part = mask[y : y + window, x : x + window].astype(np.float32)
        if window != side:
            image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        turns, mirrored = int(rng.integers(0, 4)), rng.random() < 0.5
        image, part = np.rot90(image, turns), np.rot90(part, turns)
        images[k] = image[:, ::-1] if mirrored else image
        part = part[:, ::-1] if mirrored else part
        cover[k] = cv2.resize(np.ascontiguousarray(part), (grid, grid), interpolation=cv2.INTER_AREA)
        captions.append(data.captions[index][int(cover[k].max() > PATCH_FLOOR)])
    return PretrainingBatch(recolour(to_float(images), rng), torch.from_numpy(cover), tuple(captions))


def to_float(images: Array) -> Tensor:
    """uint8 (B,s,s,3) -> float32 (B,3,s,s) in 0..1."""
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 255


def normalise(images: Tensor) -> Tensor:
    """0..1 -> CLIP's mean and standard deviation."""
    mean, std = torch.tensor(CLIP_MEAN).view(1, 3, 1, 1), torch.tensor(CLIP_STD).view(1, 3, 1, 1)
    return ((images - mean) / std).contiguous()


def recolour(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Random gains, contrast, channel order, grey and negative of (B,3,s,s) in 0..1, then normalised."""
    count = len(images)

    def draw(values: Array) -> Tensor:
        return torch.from_numpy(values.astype(np.float32))

    images = images[:, torch.from_numpy(rng.permutation(3))] if rng.random() < 0.5 else images
    grey = draw(rng.random((count, 1, 1, 1)) < 0.25)
    images = grey * images.mean(dim=1, keepdim=True) + (1 - grey) * images
    negative = draw(rng.random((count, 1, 1, 1)) < 0.1)
    images = negative * (1 - images) + (1 - negative) * images
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    images = middle + draw(rng.uniform(0.5, 1.3, (count, 1, 1, 1))) * (images - middle)
    gain = draw(rng.uniform(0.7, 1.2, (count, 1, 1, 1)) * rng.uniform(0.93, 1.07, (count, 3, 1, 1)))
    offset = draw(rng.uniform(-0.08, 0.08, (count, 1, 1, 1)))
    return normalise((images * gain + offset).clamp(0, 1))
