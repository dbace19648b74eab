"""Generated images in memory-mapped files: made once, by several processes, read by every run alike."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from calibrate.embedded.scene import GENERATOR_VERSION, generate
from calibrate.surfaces.noise import Array

_CHUNK = 100
"""Images a process makes before it asks for more."""


@dataclass(frozen=True, eq=False)
class Bank:
    """`images` uint8 (N,S,S,3), `masks` bool (N,S,S), and per image its caption with and without a defect."""

    images: Array
    masks: Array
    captions: tuple[tuple[str, str], ...]
    families: tuple[str, ...]


def both_captions(caption: str, anomalous: bool) -> tuple[str, str]:
    """(without, with) forms of one caption; a crop may show none of the defect that the whole image has."""
    if not anomalous:
        return caption, caption.replace("without defect", "with defect")
    words = caption.replace("with defect", "without defect").split(" ")
    # "a photo of a <word> <family...>": the word that names the damage is the fifth.
    return " ".join(words[:4] + words[5:]), caption


def make_bank(
    folder: Path, name: str, count: int, size: int, seed0: int, families: Sequence[str], processes: int = 1
) -> Bank:
    """Open the bank `name`, generating it first unless one with the same recipe is there.

    Image i has the seed `seed0` + i, so the number of processes does not matter.
    """
    folder.mkdir(parents=True, exist_ok=True)
    image_path, mask_path, index_path = (folder / f"{name}.{end}" for end in ("images.npy", "masks.npy", "json"))
    recipe = {
        "count": count,
        "size": size,
        "seed0": seed0,
        "families": list(families),
        "generator_version": GENERATOR_VERSION,
    }
    index = json.loads(index_path.read_text(encoding="utf-8")) if index_path.is_file() else {}
    if index.get("recipe") != recipe:
        index_path.unlink(missing_ok=True)
        np.lib.format.open_memmap(image_path, "w+", np.uint8, (count, size, size, 3)).flush()
        np.lib.format.open_memmap(mask_path, "w+", np.bool_, (count, size, size)).flush()
        fill = partial(_fill, image_path, mask_path, seed0, size, tuple(families))
        chunks = [range(first, min(first + _CHUNK, count)) for first in range(0, count, _CHUNK)]
        described: list[tuple[str, str, str]] = []
        if processes == 1:
            for chunk in chunks:
                described += fill(chunk)
        else:
            # Forked children could inherit a lock that a thread of torch holds at that moment.
            with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
                for part in pool.map(fill, chunks):
                    described += part
        index = {
            "recipe": recipe,
            "captions": [[normal, anomalous] for normal, anomalous, _ in described],
            "families": [family for _, _, family in described],
        }
        index_path.write_text(json.dumps(index), encoding="utf-8")
    return Bank(
        np.load(image_path, mmap_mode="r"),
        np.load(mask_path, mmap_mode="r"),
        tuple((str(a), str(b)) for a, b in index["captions"]),
        tuple(index["families"]),
    )


def _fill(
    image_path: Path, mask_path: Path, seed0: int, size: int, families: tuple[str, ...], chunk: range
) -> list[tuple[str, str, str]]:
    """Generate the images of `chunk` into the files; (normal caption, anomalous caption, family) of each."""
    cv2.setNumThreads(1)
    images, masks = np.load(image_path, mmap_mode="r+"), np.load(mask_path, mmap_mode="r+")
    described = []
    for i in chunk:
        scene = generate(seed0 + i, size, families)
        images[i], masks[i] = scene.image, scene.mask
        described.append((*both_captions(scene.caption, bool(scene.label)), scene.family))
    images.flush()
    masks.flush()
    return described
