"""Pictures for pretraining: generated once into memory-mapped files, then cropped and varied for every step.

A batch depends on the seed and the step number alone, so a resumed run sees what an uninterrupted one would.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from calibrate.synthesis import GENERATOR_VERSION, generate
from calibrate.synthesis.noise import Array
from fbclip.config import CLIP_MEAN, CLIP_STD

PATCH_FLOOR = 0.02
"""Share of a patch that a defect must cover to make it a positive; less, but not nothing, is left out."""


@dataclass(frozen=True, eq=False)
class Bank:
    """`images` uint8 (N,S,S,3), `masks` bool (N,S,S), and per picture its caption with and without a defect."""

    images: Array
    masks: Array
    captions: tuple[tuple[str, str], ...]
    families: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Batch:
    """`images` float32 normalised (B,3,s,s), `cover` float32 (B,g,g) share of each patch, captions as shown."""

    images: Tensor
    cover: Tensor
    captions: tuple[str, ...]


def both_captions(caption: str, defective: bool) -> tuple[str, str]:
    """(without, with) forms of one caption; a crop may show none of the defect that the whole picture has."""
    if not defective:
        return caption, caption.replace("without defect", "with defect")
    words = caption.replace("with defect", "without defect").split(" ")
    # "a photo of a <word> <family...>": the word that names the damage is the fifth.
    return " ".join(words[:4] + words[5:]), caption


def bank_paths(folder: Path, name: str) -> tuple[Path, Path, Path]:
    """Files of a bank: images, masks, and the index that is written last."""
    return folder / f"{name}.images.npy", folder / f"{name}.masks.npy", folder / f"{name}.json"


def make_bank(folder: Path, name: str, count: int, size: int, seed0: int, families: Sequence[str]) -> Bank:
    """Open the bank `name`, generating it first unless one with the same recipe is there."""
    folder.mkdir(parents=True, exist_ok=True)
    image_path, mask_path, index_path = bank_paths(folder, name)
    recipe = {
        "count": count,
        "size": size,
        "seed0": seed0,
        "families": list(families),
        "generator_version": GENERATOR_VERSION,
    }
    index = json.loads(index_path.read_text(encoding="utf-8")) if index_path.is_file() else {}
    if index.get("recipe") != recipe:
        images = np.lib.format.open_memmap(image_path, "w+", np.uint8, (count, size, size, 3))
        masks = np.lib.format.open_memmap(mask_path, "w+", np.bool_, (count, size, size))
        captions, shown = [], []
        for i in range(count):
            scene = generate(seed0 + i, size, families)
            images[i], masks[i] = scene.image, scene.mask
            captions.append(both_captions(scene.caption, bool(scene.label)))
            shown.append(scene.family)
        images.flush()
        masks.flush()
        index = {"recipe": recipe, "captions": captions, "families": shown}
        index_path.write_text(json.dumps(index), encoding="utf-8")
    return Bank(
        np.load(image_path, mmap_mode="r"),
        np.load(mask_path, mmap_mode="r"),
        tuple((str(a), str(b)) for a, b in index["captions"]),
        tuple(index["families"]),
    )


def crop_box(mask: Array, side: int, rng: np.random.Generator) -> tuple[int, int]:
    """Upper left corner (y, x) of a crop of `side` px; two crops of three of a bad picture hold some defect."""
    room = mask.shape[0] - side
    if room <= 0:
        return 0, 0
    flat = np.flatnonzero(mask) if rng.random() < 0.67 else np.empty(0, np.int64)
    if not len(flat):
        return int(rng.integers(0, room + 1)), int(rng.integers(0, room + 1))
    y, x = divmod(int(flat[rng.integers(0, len(flat))]), mask.shape[1])
    return tuple(int(np.clip(at - rng.integers(0, side), 0, room)) for at in (y, x))  # type: ignore[return-value]


def draw_batch(bank: Bank, batch: int, side: int, patch: int, seed: int, step: int) -> Batch:
    """The training batch of one step: crops of `side` px, turned, mirrored and recoloured."""
    rng = np.random.default_rng((seed, step))
    full = bank.images.shape[1]
    images = np.empty((batch, side, side, 3), np.uint8)
    cover = np.empty((batch, side // patch, side // patch), np.float32)
    captions = []
    for k, index in enumerate(rng.integers(0, len(bank.images), batch)):
        mask = bank.masks[index]
        window = side if rng.random() < 0.4 else int(rng.integers(min(side, full * 3 // 4), full + 1))
        y, x = crop_box(mask, window, rng)
        image = bank.images[index, y : y + window, x : x + window]
        part = mask[y : y + window, x : x + window].astype(np.float32)
        if window != side:
            image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        turns, mirrored = int(rng.integers(0, 4)), rng.random() < 0.5
        image, part = np.rot90(image, turns), np.rot90(part, turns)
        images[k] = image[:, ::-1] if mirrored else image
        part = part[:, ::-1] if mirrored else part
        grid = (cover.shape[2], cover.shape[1])
        cover[k] = cv2.resize(np.ascontiguousarray(part), grid, interpolation=cv2.INTER_AREA)
        captions.append(bank.captions[index][int(cover[k].max() > PATCH_FLOOR)])
    return Batch(recolour(to_float(images), rng), torch.from_numpy(cover), tuple(captions))


def to_float(images: Array) -> Tensor:
    """uint8 (B,s,s,3) -> float32 (B,3,s,s) in 0..1."""
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 255


def normalised(images: Tensor) -> Tensor:
    """0..1 -> CLIP's mean and standard deviation."""
    mean, std = torch.tensor(CLIP_MEAN).view(1, 3, 1, 1), torch.tensor(CLIP_STD).view(1, 3, 1, 1)
    return ((images - mean) / std).contiguous()


def recolour(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Random gains, contrast, channel order, grey and negative of (B,3,s,s) in 0..1, then normalised."""
    count = len(images)

    def draw(values: Array) -> Tensor:
        return torch.from_numpy(values.astype(np.float32))

    images = images[:, torch.from_numpy(rng.permutation(3))] if rng.random() < 0.5 else images
    grey = draw(rng.random((count, 1, 1, 1)) < 0.15)
    images = grey * images.mean(dim=1, keepdim=True) + (1 - grey) * images
    negative = draw(rng.random((count, 1, 1, 1)) < 0.1)
    images = negative * (1 - images) + (1 - negative) * images
    gain = draw(rng.uniform(0.7, 1.2, (count, 1, 1, 1)) * rng.uniform(0.93, 1.07, (count, 3, 1, 1)))
    offset = draw(rng.uniform(-0.08, 0.08, (count, 1, 1, 1)))
    return normalised((images * gain + offset).clamp(0, 1))
