"""What adapters and memories have in common: a folder with a manifest beside tensors, and an id that covers both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from fbclip.errors import FbclipError
from fbclip.files import canonical_json, tensors_sha256, write_atomically
from fbclip.frozen import Frozen, shown_field

MAX_BYTES = 1 << 20


class Manifest(Frozen):
    """What the tensors were made for; `bound_fields` names the fields that the id covers.

    `bound_if_set`: further ones, which early files do not have, and which the id covers where they are not None.
    """

    bound_fields: ClassVar[tuple[str, ...]]
    bound_if_set: ClassVar[tuple[str, ...]] = ()
    schema_: str

    def identity(self, tensors: Mapping[str, Tensor], stored: Mapping[str, Any] | None) -> str:
        """Hex sha256 of the bound fields and of the tensors.

        `stored` are the bound fields as a file states them: a field that a later version adds, with a default that
        changes nothing, does not make an old artefact another one.
        """
        bound = stored
        if bound is None:
            values = self.model_dump(mode="json", include={*self.bound_fields, *self.bound_if_set})
            bound = {k: v for k, v in values.items() if k not in self.bound_if_set or v is not None}
        digest = hashlib.sha256(canonical_json(bound))
        digest.update(tensors_sha256(tensors).encode())
        return digest.hexdigest()


M = TypeVar("M", bound=Manifest)


@dataclass(frozen=True, eq=False)
class StoredManifest(Generic[M]):
    """A manifest as it was read: its checked values, its bound fields as they are stored, and the id it states."""

    manifest: M
    bound: Mapping[str, Any]
    id: str


@dataclass(frozen=True)
class ArtefactKind(Generic[M]):
    """How one kind is stored: `<name>.json` and `<name>.safetensors`; every fault is an `error` with a way out."""

    name: str
    schema: str
    manifest: type[M]
    error: type[FbclipError]
    hint: str = ""

    def read_manifest(self, folder: Path) -> StoredManifest[M]:
        """Read and check the manifest alone; raises `error` naming the file and the fault."""
        path = folder / f"{self.name}.json"
        try:
            if path.stat().st_size > MAX_BYTES:
                raise self.error(f"{path}: larger than {MAX_BYTES} bytes")
            raw = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(raw, dict) or raw.get("schema") != self.schema:
                raise self.error(f"{path}: the schema is not {self.schema}")
            manifest = self.manifest.model_validate({k: v for k, v in raw.items() if k not in {"schema", "id"}})
        except FileNotFoundError as fault:
            raise self.error(f"{folder}: no {self.name} here, {path.name} is missing{self.hint}") from fault
        except ValidationError as fault:
            first = fault.errors()[0]
            raise self.error(f"{path}: {shown_field(first['loc'])}: {first['msg']}") from fault
        except (OSError, ValueError, RecursionError) as fault:
            raise self.error(f"{folder}: cannot be read: {str(fault).splitlines()[0]}") from fault
        further = [name for name in manifest.bound_if_set if raw.get(name) is not None]
        bound = {name: raw[name] for name in (*manifest.bound_fields, *further)}
        try:
            canonical_json(bound)
        except ValueError as fault:
            raise self.error(f"{path}: holds a number that is not finite") from fault
        return StoredManifest(manifest, bound, str(raw.get("id")))

    def read_tensors(self, folder: Path) -> dict[str, Tensor]:
        """Every tensor; raises `error`."""
        path = folder / f"{self.name}.safetensors"
        try:
            return load_file(path)
        except FileNotFoundError as fault:
            raise self.error(f"{folder}: no {self.name} here, {path.name} is missing") from fault
        except (OSError, SafetensorError) as fault:
            raise self.error(f"{folder}: cannot be read: {str(fault).splitlines()[0]}") from fault

    def check_id(self, folder: Path, stored: StoredManifest[M], actual: str) -> None:
        """Raises `error` where the contents have another id than the manifest states."""
        if actual != stored.id:
            raise self.error(
                f"{folder}: the contents do not match the stored id; the {self.name} was changed or damaged"
            )

    def write(self, folder: Path, manifest: M, tensors: Mapping[str, Tensor], identity: str) -> None:
        """Both files atomically, the manifest last, since a folder without it is no artefact. Raises OSError."""
        held = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
        write_atomically(folder / f"{self.name}.safetensors", save(held))
        values = manifest.model_dump(mode="json")
        values["schema"] = values.pop("schema_")
        values["id"] = identity
        write_atomically(folder / f"{self.name}.json", (json.dumps(values, indent=2) + "\n").encode())
