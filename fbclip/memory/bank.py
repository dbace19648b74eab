"""A memory: backbone tokens of normal images of one line, as a directory of two files.

After PatchCore (Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022): patch tokens of
the stem or of middle blocks, averaged with their neighbours; what lies far from all that normal images showed is
abnormal.

`memory.safetensors` holds the tokens, `memory.json` what they were made with. The id is the sha256 of the tensors and
of the canonical JSON of backbone, input size and config, so a copy under another name is the same memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, field_validator, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor
from torch.nn import functional as F

from fbclip.backbone.config import STEM, BackboneConfig
from fbclip.backbone.tower import layer_width
from fbclip.errors import MemoryBankError
from fbclip.files import write_atomically
from fbclip.frozen import Frozen
from fbclip.manifest import bound_id, read_manifest, write_manifest
from fbclip.memory.whitening import Whitening

SCHEMA = "fbclip.memory/1"
BOUND_FIELDS = ("backbone", "backbone_sha256", "image_size", "config")
MAX_SIDE = 31
POSITION_DTYPES = (torch.uint8, torch.int16)
LENGTH_TOLERANCE = 2e-3
"""How far float16 rounding may take the length of a row from 1."""


class MemoryConfig(Frozen):
    """What a token of the memory is and how it is compared; `neighbourhood` and `reach` in patches.

    `cosine` compares directions, each layer with the same say; `mahalanobis` compares tokens whitened by normal ones.

    `reach` is for cameras that see every part at the same place: a token is compared only with tokens of the memory
    at most so many rows and columns away, of a tiled image within its tile. Without it the place does not matter.
    """

    layers: tuple[int, ...] = Field(min_length=1, description="block outputs, counted from 1; 0 is the stem")
    neighbourhood: tuple[int, ...] = Field(
        (3,), min_length=1, description="sides, odd, of the squares around a patch whose means make its token"
    )
    reach: int | None = Field(None, ge=0)
    metric: Literal["cosine", "mahalanobis"] = "cosine"

    @field_validator("neighbourhood", mode="before")
    @classmethod
    def _one_side(cls, value: object) -> object:
        """A memory that knows a single neighbourhood states it as a number."""
        return (value,) if isinstance(value, int) else value

    @model_validator(mode="after")
    def _sane(self) -> MemoryConfig:
        if list(self.layers) != sorted(set(self.layers)) or self.layers[0] < STEM:
            raise ValueError(f"layers {self.layers} must rise and start at {STEM}, the stem, or later")
        sides = self.neighbourhood
        if list(sides) != sorted(set(sides)) or any(side % 2 == 0 or not 1 <= side <= MAX_SIDE for side in sides):
            raise ValueError(f"neighbourhood {sides} must be odd, rise and stay within 1 to {MAX_SIDE}")
        return self


def default_config(backbone: BackboneConfig) -> MemoryConfig:
    """The whitened cells of a convolutional stem, alone and with their surroundings; of a plain ViT the directions of
    one block, two thirds up.

    On lines generated from materials that the embedded backbone was not trained on, its stem with 16 images had a
    mean image AUROC of 0.93 and pixel AUROC of 0.97, the best block 0.85 and 0.88. The surroundings made no difference
    there, but did on families whose images vary much. Of blocks, whitening improved the image's number and spoilt
    the map.
    """
    if backbone.stem == "conv":
        return MemoryConfig(layers=(STEM,), neighbourhood=(1, 5), metric="mahalanobis")
    return MemoryConfig(layers=(max(1, round(2 * backbone.layers / 3)),))


class MemoryManifest(Frozen):
    """memory.json: `backbone_sha256` names the image tower's tensors; `image_size` is the side S in pixels."""

    schema_: str = SCHEMA
    backbone: str
    backbone_sha256: str
    image_size: int = Field(gt=0)
    config: MemoryConfig
    provenance: Mapping[str, Any] = {}


@dataclass(frozen=True, eq=False)
class Memory:
    """tokens (M,F) float16; places (M,2) uint8 or int16: row and column of the patch it was.

    For the cosine, rows have length 1; for the Mahalanobis distance they are whitened by `whitening`.
    `bound` is what the id covers, as it is stored, so that a field of a later version does not change it.
    """

    manifest: MemoryManifest
    tokens: Tensor
    positions: Tensor
    whitening: Whitening | None = None
    bound: Mapping[str, Any] | None = None
    id: str = field(init=False)

    def __post_init__(self) -> None:
        bound = self.bound
        if bound is None:
            bound = self.manifest.model_dump(mode="json", include=set(BOUND_FIELDS))
        object.__setattr__(self, "id", bound_id(bound, self.tensors()))

    def tensors(self) -> dict[str, Tensor]:
        """What memory.safetensors holds, by name."""
        held = {"tokens": self.tokens, "places": self.positions}
        if self.whitening is not None:
            held |= {"centre": self.whitening.centre, "whitening": self.whitening.matrix}
        return {name: tensor.contiguous() for name, tensor in held.items()}


def memory_features(layers: Mapping[int, Tensor], config: MemoryConfig) -> Tensor:
    """Layer -> raw tokens, of a block (B,N,C), CLS first, of the stem (B,L,C) -> (B,L,F) float32.

    Each layer of `config.layers` in turn: the patches' means over each neighbourhood, at the border over the patches
    that are there. For the cosine each then has the same length, and a row of all of them length 1.
    """
    parts = []
    for layer in config.layers:
        patches = (layers[layer] if layer == STEM else layers[layer][:, 1:]).float()
        batch, count, width = patches.shape
        side = math.isqrt(count)
        grid = patches.reshape(batch, side, side, width).permute(0, 3, 1, 2)
        for around in config.neighbourhood:
            mean = F.avg_pool2d(grid, around, stride=1, padding=around // 2, count_include_pad=False)
            parts.append(mean.permute(0, 2, 3, 1).reshape(batch, count, width))
    if config.metric == "mahalanobis":
        return torch.cat(parts, dim=-1)
    return torch.cat([F.normalize(part, dim=-1) for part in parts], dim=-1) / math.sqrt(len(parts))


def feature_width(config: MemoryConfig, backbone: BackboneConfig) -> int:
    """Numbers F that a row of `memory_features` has."""
    return len(config.neighbourhood) * sum(layer_width(backbone, layer) for layer in config.layers)


def save_memory(memory: Memory, folder: Path) -> None:
    """Write both files atomically, the manifest last. Raises MemoryBankError for what `load_memory` would refuse."""
    tensors = memory.tensors()
    _check_tensors(tensors, memory.manifest.config, folder)
    write_atomically(folder / "memory.safetensors", save(tensors))
    write_manifest(folder / "memory.json", memory.manifest, memory.id)


def load_memory(folder: Path) -> Memory:
    """Read and check a memory directory; raises MemoryBankError naming the file and what is wrong with it."""
    manifest, raw = _manifest(folder)
    path = folder / "memory.safetensors"
    try:
        tensors = load_file(path)
    except FileNotFoundError as error:
        raise MemoryBankError(f"{folder}: no memory here, {path.name} is missing") from error
    except (OSError, SafetensorError) as error:
        raise MemoryBankError(f"{folder}: cannot be read: {str(error).splitlines()[0]}") from error
    _check_tensors(tensors, manifest.config, path)
    whitening = Whitening(tensors["centre"], tensors["whitening"]) if "whitening" in tensors else None
    bound = {name: raw[name] for name in BOUND_FIELDS}
    memory = Memory(manifest, tensors["tokens"], tensors["places"], whitening, bound)
    if memory.id != raw.get("id"):
        raise MemoryBankError(f"{folder}: the contents do not match the stored id; the memory was changed or damaged")
    return memory


def stored_memory_id(folder: Path) -> str:
    """The id that a memory directory states; `load_memory` is what checks it. Raises MemoryBankError."""
    return str(_manifest(folder)[1].get("id"))


def _manifest(folder: Path) -> tuple[MemoryManifest, dict[str, Any]]:
    hint = "; make one with `calibrate memory`"
    return read_manifest(folder / "memory.json", SCHEMA, MemoryManifest, "a memory", MemoryBankError, hint)


def _check_tensors(tensors: Mapping[str, Tensor], config: MemoryConfig, where: Path) -> None:
    whitened = config.metric == "mahalanobis"
    needed = ("tokens", "places", *(("centre", "whitening") if whitened else ()))
    if set(tensors) != set(needed):
        raise MemoryBankError(f"{where}: holds {', '.join(sorted(tensors)[:5])}, needs {', '.join(needed)}")
    tokens, positions = tensors["tokens"], tensors["places"]
    if tokens.ndim != 2 or tokens.dtype != torch.float16 or not tokens.numel():
        raise MemoryBankError(f"{where}: tokens are {_shown(tokens)}, need (M,F) float16")
    if tuple(positions.shape) != (len(tokens), 2) or positions.dtype not in POSITION_DTYPES:
        raise MemoryBankError(f"{where}: places are {_shown(positions)}, need ({len(tokens)},2) uint8 or int16")
    if positions.amin() < 0:
        raise MemoryBankError(f"{where}: places hold a negative number")
    if whitened:
        width = tokens.shape[1]
        for name, shape in (("centre", (width,)), ("whitening", (width, width))):
            if tuple(tensors[name].shape) != shape or tensors[name].dtype != torch.float32:
                raise MemoryBankError(f"{where}: {name} is {_shown(tensors[name])}, needs {shape} float32")
    for name in needed:
        if not torch.isfinite(tensors[name]).all():
            raise MemoryBankError(f"{where}: {name} holds a non-finite number")
    off = (torch.linalg.vector_norm(tokens.float(), dim=1) - 1).abs().amax().item()
    if not whitened and off > LENGTH_TOLERANCE:
        raise MemoryBankError(f"{where}: tokens need rows of length 1, one is off by {off:.3g}")


def _shown(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
