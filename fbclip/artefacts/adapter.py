"""An adapter: tuned FB-CLIP parameters with their prototypes, as a directory of two files.

`adapter.safetensors` holds the tensors, `adapter.json` what they were made for. The id is the sha256 of the
tensors and of the canonical JSON of backbone and method, so a copy under another name is the same adapter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from fbclip.backbone.config import BackboneConfig
from fbclip.backbone.tower import load_strictly
from fbclip.errors import AdapterError, WeightsError
from fbclip.files import write_atomically
from fbclip.frozen import Frozen
from fbclip.manifest import bound_id, read_manifest, write_manifest
from fbclip.method.config import FBCLIPConfig
from fbclip.method.model import Head

SCHEMA = "fbclip.adapter/1"
BOUND_FIELDS = ("backbone", "backbone_sha256", "method")


class AdapterManifest(Frozen):
    """adapter.json: `backbone_sha256` names the image tower's tensors that the parameters were tuned on."""

    schema_: str = SCHEMA
    backbone: BackboneConfig
    backbone_sha256: str
    method: FBCLIPConfig
    provenance: Mapping[str, Any] = {}


@dataclass(frozen=True, eq=False)
class Adapter:
    """Parameters of head and prompts by our names (`head.*`, `prompts.*`), and prototypes (2,D) float32.

    `bound` is what the id covers, as it is stored: a field that a later version adds, with a default that changes
    nothing, does not make an old adapter another one.
    """

    manifest: AdapterManifest
    tensors: Mapping[str, Tensor]
    prototypes: Tensor
    bound: Mapping[str, Any] | None = None
    id: str = field(init=False)

    def __post_init__(self) -> None:
        bound = self.bound
        if bound is None:
            bound = self.manifest.model_dump(mode="json", include=set(BOUND_FIELDS))
        object.__setattr__(self, "id", bound_id(bound, {**self.tensors, "prototypes": self.prototypes}))

    def head(self) -> Head:
        """A frozen head with these parameters; raises AdapterError when they do not fit the manifest."""
        head = Head(self.manifest.backbone.width, self.manifest.method)
        own = {k.removeprefix("head."): v for k, v in self.tensors.items() if k.startswith("head.")}
        try:
            load_strictly(head, own, "adapter")
        except WeightsError as error:
            raise AdapterError(str(error)) from error
        return head.requires_grad_(False).eval()


def save_adapter(adapter: Adapter, folder: Path) -> None:
    """Write both files atomically; the manifest last, since a folder without it is no adapter."""
    tensors = {k: v.detach().contiguous() for k, v in adapter.tensors.items()}
    write_atomically(folder / "adapter.safetensors", save({**tensors, "prototypes": adapter.prototypes.contiguous()}))
    write_manifest(folder / "adapter.json", adapter.manifest, adapter.id)


def stored_id(folder: Path) -> str:
    """The id that an adapter directory states; `load_adapter` is what checks it. Raises AdapterError."""
    return str(_manifest(folder)[1].get("id"))


def _manifest(folder: Path) -> tuple[AdapterManifest, dict[str, Any]]:
    return read_manifest(folder / "adapter.json", SCHEMA, AdapterManifest, "an adapter", AdapterError)


def load_adapter(folder: Path) -> Adapter:
    """Read and check an adapter directory; raises AdapterError naming the file and what is wrong with it."""
    manifest, raw = _manifest(folder)
    tensors_path = folder / "adapter.safetensors"
    try:
        tensors = {k: v.float() for k, v in load_file(tensors_path).items()}
    except FileNotFoundError as error:
        raise AdapterError(f"{folder}: no adapter here, {tensors_path.name} is missing") from error
    except (OSError, SafetensorError) as error:
        raise AdapterError(f"{folder}: cannot be read: {str(error).splitlines()[0]}") from error
    prototypes = tensors.pop("prototypes", None)
    if prototypes is None or tuple(prototypes.shape) != (2, manifest.backbone.embed_dim):
        raise AdapterError(f"{tensors_path}: prototypes of shape (2,{manifest.backbone.embed_dim}) are missing")
    if not torch.isfinite(prototypes).all():
        raise AdapterError(f"{tensors_path}: prototypes hold a non-finite number")
    adapter = Adapter(manifest, tensors, prototypes, {name: raw[name] for name in BOUND_FIELDS})
    if adapter.id != raw.get("id"):
        raise AdapterError(f"{folder}: the contents do not match the stored id; the adapter was changed or damaged")
    return adapter
