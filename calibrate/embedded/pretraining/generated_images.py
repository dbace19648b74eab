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

from calibrate.defects.kinds import GENERATOR_VERSION
from calibrate.embedded.generator.scene import generate
from calibrate.surfaces.fields import Array

_CHUNK = 100
"""Images a process makes before it asks for more."""
_Captions = tuple[str, str]


@dataclass(frozen=True)
class ImageRecipe:
    """`count` scenes of `size` px; image i has the seed `first_seed` + i, so who makes it does not matter."""

    count: int
    size: int
    first_seed: int
    families: Sequence[str]

    def stored(self) -> dict[str, object]:
        """What the index file keeps of it; files with another recipe are made anew."""
        return {
            "count": self.count,
            "size": self.size,
            "seed0": self.first_seed,
            "families": list(self.families),
            "generator_version": GENERATOR_VERSION,
        }


@dataclass(frozen=True, eq=False)
class GeneratedImages:
    """`images` uint8 (N,S,S,3), `masks` bool (N,S,S), and per image its caption without and with a defect."""

    images: Array
    masks: Array
    captions: tuple[_Captions, ...]


@dataclass(frozen=True)
class _Files:
    images: Path
    masks: Path
    index: Path


def load_or_generate(folder: Path, name: str, recipe: ImageRecipe, processes: int = 1) -> GeneratedImages:
    """The images `name` in `folder`, generated first unless they are there with the same recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    files = _Files(*(folder / f"{name}.{end}" for end in ("images.npy", "masks.npy", "json")))
    index = json.loads(files.index.read_text(encoding="utf-8")) if files.index.is_file() else {}
    if index.get("recipe") != recipe.stored():
        files.index.unlink(missing_ok=True)
        index = {"recipe": recipe.stored(), "captions": _generate_all(files, recipe, processes)}
        files.index.write_text(json.dumps(index), encoding="utf-8")
    return GeneratedImages(
        np.load(files.images, mmap_mode="r"),
        np.load(files.masks, mmap_mode="r"),
        tuple((str(normal), str(anomalous)) for normal, anomalous in index["captions"]),
    )


def caption_forms(caption: str, anomalous: bool) -> _Captions:
    """(without, with) forms of one caption; a crop may show none of the defect that the whole image has."""
    if not anomalous:
        return caption, caption.replace("without defect", "with defect")
    words = caption.replace("with defect", "without defect").split(" ")
    # "a photo of a <word> <family...>": the word that names the damage is the fifth.
    return " ".join(words[:4] + words[5:]), caption


def _generate_all(files: _Files, recipe: ImageRecipe, processes: int) -> list[_Captions]:
    """Fill the files; the captions of all images."""
    shape = (recipe.count, recipe.size, recipe.size)
    np.lib.format.open_memmap(files.images, "w+", np.uint8, (*shape, 3)).flush()
    np.lib.format.open_memmap(files.masks, "w+", np.bool_, shape).flush()
    fill = partial(_fill, files, recipe)
    chunks = [range(first, min(first + _CHUNK, recipe.count)) for first in range(0, recipe.count, _CHUNK)]
    if processes == 1:
        return [captions for chunk in chunks for captions in fill(chunk)]
    # Forked children could inherit a lock that a thread of torch holds at that moment.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        return [captions for part in pool.map(fill, chunks) for captions in part]


def _fill(files: _Files, recipe: ImageRecipe, chunk: range) -> list[_Captions]:
    """Generate the images of `chunk` into the files; both captions of each."""
    cv2.setNumThreads(1)
    images, masks = np.load(files.images, mmap_mode="r+"), np.load(files.masks, mmap_mode="r+")
    captions = []
    for i in chunk:
        scene = generate(recipe.first_seed + i, recipe.size, recipe.families)
        images[i], masks[i] = scene.image, scene.mask
        captions.append(caption_forms(scene.caption, bool(scene.label)))
    images.flush()
    masks.flush()
    return captions
