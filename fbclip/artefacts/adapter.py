"""An adapter: tuned parameters of a method with their prototypes, as a directory of two files.

`adapter.safetensors` holds the tensors, `adapter.json` what they were made for. The id is the sha256 of the
tensors and of the canonical JSON of backbone and method, so a copy under another name is the same adapter. The
method is FB-CLIP, or one of those it is compared with (`peer`), which `artefacts/peers.py` opens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import model_validator
from torch import Tensor

from fbclip.backbone.config import BackboneConfig
from fbclip.backbone.tower import load_strictly
from fbclip.errors import AdapterError, WeightsError
from fbclip.manifest import ArtefactKind, Manifest
from fbclip.method.config import FBCLIPConfig
from fbclip.method.model import Head
from fbclip.peers.config import FBCLIP, PeerConfig

SCHEMA = "fbclip.adapter/1"


class AdapterManifest(Manifest):
    """adapter.json: `backbone_sha256` names the image tower's tensors that the parameters were tuned on.

    Either `method` is set, FB-CLIP's own numbers, or `peer`, those of another method.
    weights_trusted: nobody stated the digest of that file of weights; whoever made the adapter vouched for it.
    """

    bound_fields: ClassVar[tuple[str, ...]] = ("backbone", "backbone_sha256")
    bound_if_set: ClassVar[tuple[str, ...]] = ("method", "peer", "weights_trusted")
    schema_: str = SCHEMA
    backbone: BackboneConfig
    backbone_sha256: str
    method: FBCLIPConfig | None = None
    peer: PeerConfig | None = None
    weights_trusted: Literal[True] | None = None
    provenance: Mapping[str, Any] = {}

    @model_validator(mode="after")
    def _one_method(self) -> AdapterManifest:
        if (self.method is None) == (self.peer is None):
            raise ValueError("an adapter has either method or peer")
        return self

    @property
    def method_name(self) -> str:
        """`fb-clip`, or the name of the method that it is compared with."""
        return FBCLIP if self.peer is None else self.peer.name

    @property
    def fbclip(self) -> FBCLIPConfig:
        """FB-CLIP's numbers; raises AdapterError for an adapter of another method."""
        if self.method is None:
            raise AdapterError(f"the adapter is of method {self.method_name}, this takes one of {FBCLIP}")
        return self.method

    @property
    def image_size(self) -> int:
        """Side of the input in pixels."""
        return self.fbclip.image_size if self.peer is None else self.peer.image_size

    @property
    def smoothing_sigma(self) -> float:
        """Gaussian over its maps, in map pixels."""
        return self.fbclip.score.smoothing_sigma if self.peer is None else self.peer.smoothing_sigma


_KIND = ArtefactKind("adapter", SCHEMA, AdapterManifest, AdapterError)


@dataclass(frozen=True, eq=False)
class Adapter:
    """Parameters of head and prompts by our names (`head.*`, `prompts.*`), and prototypes (2,D) float32.

    `bound` is what the id covers, as it is stored; None for an adapter that was just made.
    """

    manifest: AdapterManifest
    tensors: Mapping[str, Tensor]
    prototypes: Tensor
    bound: Mapping[str, Any] | None = None

    @cached_property
    def id(self) -> str:
        """Hex sha256 of what the adapter was made for and of all tensors."""
        return self.manifest.identity(self.all_tensors(), self.bound)

    def head(self) -> Head:
        """A frozen head with these parameters; raises AdapterError when they do not match the manifest."""
        head = Head(self.manifest.backbone.width, self.manifest.fbclip)
        own = {k.removeprefix("head."): v for k, v in self.tensors.items() if k.startswith("head.")}
        try:
            load_strictly(head, own, "adapter")
        except WeightsError as error:
            raise AdapterError(str(error)) from error
        return head.requires_grad_(False).eval()

    def all_tensors(self) -> dict[str, Tensor]:
        """What adapter.safetensors holds, by name."""
        return {**self.tensors, "prototypes": self.prototypes}


def save_adapter(adapter: Adapter, folder: Path) -> None:
    """Write both files atomically; raises OSError."""
    _KIND.write(folder, adapter.manifest, adapter.all_tensors(), adapter.id)


def stored_id(folder: Path) -> str:
    """The id that an adapter directory states; `load_adapter` is what checks it. Raises AdapterError."""
    return _KIND.read_manifest(folder).id


def stored_backbone(folder: Path) -> str:
    """The sha256 of the backbone that it states to be tuned on. Raises AdapterError."""
    return _KIND.read_manifest(folder).manifest.backbone_sha256


def load_adapter(folder: Path) -> Adapter:
    """Read and check an adapter directory; raises AdapterError naming the file and what is wrong with it."""
    stored = _KIND.read_manifest(folder)
    manifest = stored.manifest
    tensors = {k: v.float() for k, v in _KIND.read_tensors(folder).items()}
    prototypes = tensors.pop("prototypes", None)
    where = folder / "adapter.safetensors"
    if prototypes is None or tuple(prototypes.shape) != (2, manifest.backbone.embed_dim):
        raise AdapterError(f"{where}: prototypes of shape (2,{manifest.backbone.embed_dim}) are missing")
    if not torch.isfinite(prototypes).all():
        raise AdapterError(f"{where}: prototypes hold a non-finite number")
    adapter = Adapter(manifest, tensors, prototypes, stored.bound)
    _KIND.check_id(folder, stored, adapter.id)
    return adapter
