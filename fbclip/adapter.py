"""An adapter: tuned FB-CLIP parameters with their prototypes, as a directory of two files.

`adapter.safetensors` holds the tensors, `adapter.json` what they were made for. The id is the sha256 of the
tensors and of the canonical JSON of backbone and method, so a copy under another name is the same adapter.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from fbclip.backbone import load_strictly
from fbclip.config import BackboneConfig, FBCLIPConfig, Frozen
from fbclip.errors import AdapterError, WeightsError
from fbclip.files import canonical_json, tensors_sha256, write_atomically
from fbclip.model import Head

SCHEMA = "fbclip.adapter/1"
MAX_JSON_BYTES = 1 << 20
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
        digest = hashlib.sha256(canonical_json(bound))
        digest.update(tensors_sha256({**self.tensors, "prototypes": self.prototypes}).encode())
        object.__setattr__(self, "id", digest.hexdigest())

    def head(self) -> Head:
        """A frozen head with these parameters; raises AdapterError when they do not fit the manifest."""
        head = Head(self.manifest.backbone.width, self.manifest.method)
        own = {k.removeprefix("head."): v for k, v in self.tensors.items() if k.startswith("head.")}
        try:
            load_strictly(head, own, "adapter")
        except WeightsError as error:
            raise AdapterError(str(error)) from None
        return head.requires_grad_(False).eval()


def save_adapter(adapter: Adapter, folder: Path) -> None:
    """Write both files atomically; the manifest last, since a folder without it is no adapter."""
    tensors = {k: v.detach().contiguous() for k, v in adapter.tensors.items()}
    write_atomically(folder / "adapter.safetensors", save({**tensors, "prototypes": adapter.prototypes.contiguous()}))
    manifest = adapter.manifest.model_dump(mode="json")
    manifest["schema"] = manifest.pop("schema_")
    manifest["id"] = adapter.id
    write_atomically(folder / "adapter.json", (json.dumps(manifest, indent=2) + "\n").encode())


def stored_id(folder: Path) -> str:
    """The id that an adapter directory states; `load_adapter` is what checks it. Raises AdapterError."""
    _, stored = _read_manifest(folder / "adapter.json")
    return str(stored.get("id"))


def _read_manifest(path: Path) -> tuple[AdapterManifest, dict[str, Any]]:
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise AdapterError(f"{path}: larger than {MAX_JSON_BYTES} bytes")
        raw = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(raw, dict) or raw.get("schema") != SCHEMA:
            raise AdapterError(f"{path}: not an adapter of schema {SCHEMA}")
        return AdapterManifest.model_validate({k: v for k, v in raw.items() if k not in {"schema", "id"}}), raw
    except FileNotFoundError:
        raise AdapterError(f"{path.parent}: no adapter here, {path.name} is missing") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise AdapterError(f"{path.parent}: cannot be read: {str(error).splitlines()[0]}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise AdapterError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def load_adapter(folder: Path) -> Adapter:
    """Read and check an adapter directory; raises AdapterError naming the file and what is wrong with it."""
    manifest, raw = _read_manifest(folder / "adapter.json")
    tensors_path = folder / "adapter.safetensors"
    try:
        tensors = {k: v.float() for k, v in load_file(tensors_path).items()}
    except FileNotFoundError:
        raise AdapterError(f"{folder}: no adapter here, {tensors_path.name} is missing") from None
    except (OSError, SafetensorError) as error:
        raise AdapterError(f"{folder}: cannot be read: {str(error).splitlines()[0]}") from None
    prototypes = tensors.pop("prototypes", None)
    if prototypes is None or tuple(prototypes.shape) != (2, manifest.backbone.embed_dim):
        raise AdapterError(f"{tensors_path}: prototypes of shape (2,{manifest.backbone.embed_dim}) are missing")
    if not torch.isfinite(prototypes).all():
        raise AdapterError(f"{tensors_path}: prototypes hold a non-finite number")
    adapter = Adapter(manifest, tensors, prototypes, {name: raw[name] for name in BOUND_FIELDS})
    if adapter.id != raw.get("id"):
        raise AdapterError(f"{folder}: the contents do not match the stored id; the adapter was changed or damaged")
    return adapter
