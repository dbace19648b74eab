"""An export: a folder of graphs with `export.json`, which says what they were made of; its id covers all of it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from fbclip.backbone.config import BackboneConfig, ExportFormat, Precision, RuntimeName
from fbclip.engines.graph_names import Part
from fbclip.errors import ExportError
from fbclip.files import canonical_json, file_sha256, write_atomically
from fbclip.frozen import Frozen, shown, shown_field
from fbclip.method.config import FBCLIPConfig

SCHEMA = "fbclip.export/1"
"""What the graphs compute, and how they are cut: a version of the product that changes either counts it up."""
FILE = "export.json"
MAX_BYTES = 1 << 20
FileName = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,80}\.(onnx|xml|bin)$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
RUNTIMES: dict[ExportFormat, RuntimeName] = {"onnx": "onnxruntime", "openvino": "openvino"}


class ExportedAdapter(Frozen):
    """An adapter as graphs: its id, what it was tuned with, and its graphs' files."""

    id: Digest
    method: FBCLIPConfig
    graphs: dict[Part, FileName]


class Quantised(Frozen):
    """How int8 was calibrated. data_sha256: of the images' digests; kept_float: parts that int8 hurt too much.

    rest: what computes that is not in int8. error: root mean square of how far maps moved, in parts of their own
    spread, over images that calibrated nothing.
    """

    images: int = Field(gt=0)
    data_sha256: Digest
    kept_float: tuple[str, ...] = ()
    rest: Literal["float32", "bfloat16"]
    error: float = Field(ge=0, allow_inf_nan=False)


class ExportManifest(Frozen):
    """export.json. version: of the product that made it; layers: what the backbone's graph gives."""

    schema_: str = SCHEMA
    version: str
    format: ExportFormat
    precision: Precision
    backbone: BackboneConfig
    backbone_sha256: Digest
    image_size: int = Field(gt=0)
    layers: tuple[int, ...] = Field(min_length=1)
    strides: bool
    graph: FileName
    adapters: tuple[ExportedAdapter, ...] = Field(min_length=1)
    quantised: Quantised | None = None
    files: dict[FileName, Digest]

    @model_validator(mode="after")
    def _whole(self) -> ExportManifest:
        named = {self.graph, *(file for one in self.adapters for file in one.graphs.values())}
        if not named <= self.files.keys():
            raise ValueError(f"files lacks {sorted(named - self.files.keys())[0]}")
        if (self.precision == "int8") != (self.quantised is not None):
            raise ValueError("quantised belongs to precision int8")
        return self

    @property
    def id(self) -> str:
        """Hex sha256 of everything in it, and so of every file."""
        return hashlib.sha256(canonical_json(self.model_dump(mode="json"))).hexdigest()

    @property
    def float_precision(self) -> Precision:
        """What the matrix products compute in where they are not in int8."""
        return self.precision if self.quantised is None else self.quantised.rest

    @property
    def runtime(self) -> RuntimeName:
        """What runs it."""
        return RUNTIMES[self.format]


def write_export_manifest(manifest: ExportManifest, folder: Path) -> None:
    """Last of all files, since a folder without it is no export. Raises OSError."""
    values = manifest.model_dump(mode="json")
    values = {"schema": values.pop("schema_"), "id": manifest.id, **values}
    write_atomically(folder / FILE, (json.dumps(values, indent=2) + "\n").encode())


def read_export(folder: Path) -> ExportManifest:
    """Read export.json and check it with every file beside it; raises ExportError naming file, fault and way out."""
    manifest = _read(folder)
    for name, digest in manifest.files.items():
        try:
            found = file_sha256(folder / name)
        except OSError as error:
            raise ExportError(f"{folder / name}: {error.strerror}; run `fbclip export` again") from error
        if found != digest:
            raise ExportError(f"{folder / name}: is not the file that was exported; run `fbclip export` again")
    return manifest


def _read(folder: Path) -> ExportManifest:
    path = folder / FILE
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ExportError(f"{path}: larger than {MAX_BYTES} bytes")
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ExportError(f"{folder}: no export here, {FILE} is missing; `fbclip export` makes one") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ExportError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(raw, dict) or raw.get("schema") != SCHEMA:
        maker = shown(raw.get("version", "unknown")) if isinstance(raw, dict) else "unknown"
        raise ExportError(
            f"{path}: made by another version of the product ({maker}), whose graphs differ; run `fbclip export` again"
        )
    try:
        manifest = ExportManifest.model_validate({k: v for k, v in raw.items() if k not in {"schema", "id"}})
    except ValidationError as error:
        first = error.errors()[0]
        raise ExportError(f"{path}: {shown_field(first['loc']) or 'export'}: {first['msg']}") from error
    if manifest.id != raw.get("id"):
        raise ExportError(f"{path}: does not match its id; it was changed or damaged, run `fbclip export` again")
    return manifest
