"""A memory: tokens of normal images of one line, as a directory of two files. What lies far from all is abnormal.

`memory.safetensors` holds the tokens, `memory.json` what they were made with. The id is the sha256 of the tensors and
of the canonical JSON of backbone, input size and config, so a copy under another name is the same memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from fbclip.errors import MemoryBankError
from fbclip.manifest import ArtefactKind, Manifest
from fbclip.memory.features import MemoryConfig
from fbclip.memory.whitening import Whitening

SCHEMA = "fbclip.memory/1"
POSITION_DTYPES = (torch.uint8, torch.int16)
LENGTH_TOLERANCE = 2e-3
"""How far float16 rounding may take the length of a row from 1."""


class MemoryManifest(Manifest):
    """memory.json: `backbone` names the network that the tokens come from, `backbone_sha256` its weights; `image_size`
    is the side S in pixels."""

    bound_fields: ClassVar[tuple[str, ...]] = ("backbone", "backbone_sha256", "image_size", "config")
    schema_: str = SCHEMA
    backbone: str
    backbone_sha256: str
    image_size: int = Field(gt=0)
    config: MemoryConfig
    provenance: Mapping[str, Any] = {}


_KIND = ArtefactKind("memory", SCHEMA, MemoryManifest, MemoryBankError, "; make one with `calibrate memory`")


@dataclass(frozen=True, eq=False)
class Memory:
    """tokens (M,F) float16; positions (M,2) uint8 or int16: row and column of the patch that each was.

    For the cosine, rows have length 1; for the Mahalanobis distance they are whitened by `whitening`.
    `bound` is what the id covers, as it is stored; None for a memory that was just made.
    """

    manifest: MemoryManifest
    tokens: Tensor
    positions: Tensor
    whitening: Whitening | None = None
    bound: Mapping[str, Any] | None = None

    @cached_property
    def id(self) -> str:
        """Hex sha256 of what the memory was made for and of its tensors."""
        return self.manifest.identity(self.tensors(), self.bound)

    def tensors(self) -> dict[str, Tensor]:
        """What memory.safetensors holds, by name."""
        held = {"tokens": self.tokens, "places": self.positions}
        if self.whitening is not None:
            held |= {"centre": self.whitening.centre, "whitening": self.whitening.matrix}
        return {name: tensor.contiguous() for name, tensor in held.items()}


def save_memory(memory: Memory, folder: Path) -> None:
    """Write both files atomically, the manifest last. Raises MemoryBankError for what `load_memory` would refuse."""
    tensors = memory.tensors()
    _check_tensors(tensors, memory.manifest.config, folder)
    _KIND.write(folder, memory.manifest, tensors, memory.id)


def load_memory(folder: Path) -> Memory:
    """Read and check a memory directory; raises MemoryBankError naming the file and what is wrong with it."""
    stored = _KIND.read_manifest(folder)
    tensors = _KIND.read_tensors(folder)
    _check_tensors(tensors, stored.manifest.config, folder / "memory.safetensors")
    whitening = Whitening(tensors["centre"], tensors["whitening"]) if "whitening" in tensors else None
    memory = Memory(stored.manifest, tensors["tokens"], tensors["places"], whitening, stored.bound)
    _KIND.check_id(folder, stored, memory.id)
    return memory


def stored_memory_id(folder: Path) -> str:
    """The id that a memory directory states; `load_memory` is what checks it. Raises MemoryBankError."""
    return _KIND.read_manifest(folder).id


def stored_network(folder: Path) -> str:
    """The sha256 of the network that it states to be made with. Raises MemoryBankError."""
    return _KIND.read_manifest(folder).manifest.backbone_sha256


def _check_tensors(tensors: Mapping[str, Tensor], config: MemoryConfig, where: Path) -> None:
    whitened = config.metric == "mahalanobis"
    needed = ("tokens", "places", *(("centre", "whitening") if whitened else ()))
    if set(tensors) != set(needed):
        raise MemoryBankError(f"{where}: holds {', '.join(sorted(tensors)[:5])}, needs {', '.join(needed)}")
    tokens, positions = tensors["tokens"], tensors["places"]
    if tokens.ndim != 2 or tokens.dtype != torch.float16 or not tokens.numel():
        raise MemoryBankError(f"{where}: tokens are {_described(tokens)}, need (M,F) float16")
    if tuple(positions.shape) != (len(tokens), 2) or positions.dtype not in POSITION_DTYPES:
        raise MemoryBankError(f"{where}: places are {_described(positions)}, need ({len(tokens)},2) uint8 or int16")
    if positions.amin() < 0:
        raise MemoryBankError(f"{where}: places hold a negative number")
    if whitened:
        width = tokens.shape[1]
        for name, shape in (("centre", (width,)), ("whitening", (width, width))):
            if tuple(tensors[name].shape) != shape or tensors[name].dtype != torch.float32:
                raise MemoryBankError(f"{where}: {name} is {_described(tensors[name])}, needs {shape} float32")
    for name in needed:
        if not torch.isfinite(tensors[name]).all():
            raise MemoryBankError(f"{where}: {name} holds a non-finite number")
    off = (torch.linalg.vector_norm(tokens.float(), dim=1) - 1).abs().amax().item()
    if not whitened and off > LENGTH_TOLERANCE:
        raise MemoryBankError(f"{where}: tokens need rows of length 1, one is off by {off:.3g}")


def _described(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
