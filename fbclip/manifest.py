"""What adapters and memories have in common: a manifest beside the tensors, and an id that covers both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from torch import Tensor

from fbclip.errors import FbclipError
from fbclip.files import canonical_json, tensors_sha256, write_atomically

M = TypeVar("M", bound=BaseModel)
MAX_BYTES = 1 << 20


def bound_id(bound: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Hex sha256 of what the tensors were made for and of the tensors."""
    digest = hashlib.sha256(canonical_json(bound))
    digest.update(tensors_sha256(tensors).encode())
    return digest.hexdigest()


def read_manifest(
    path: Path, schema: str, model: type[M], what: str, error: type[FbclipError], hint: str = ""
) -> tuple[M, dict[str, Any]]:
    """(checked values, as they are stored) of the manifest of `what`; raises `error` naming the file and the fault."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise error(f"{path}: larger than {MAX_BYTES} bytes")
        raw = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(raw, dict) or raw.get("schema") != schema:
            raise error(f"{path}: not {what} of schema {schema}")
        return model.model_validate({k: v for k, v in raw.items() if k not in {"schema", "id"}}), raw
    except FileNotFoundError as fault:
        raise error(f"{path.parent}: no {path.stem} here, {path.name} is missing{hint}") from fault
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as fault:
        raise error(f"{path.parent}: cannot be read: {str(fault).splitlines()[0]}") from fault
    except ValidationError as fault:
        first = fault.errors()[0]
        raise error(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from fault


def write_manifest(path: Path, manifest: BaseModel, identity: str) -> None:
    """Write it atomically; raises OSError."""
    values = manifest.model_dump(mode="json")
    values["schema"] = values.pop("schema_")
    values["id"] = identity
    write_atomically(path, (json.dumps(values, indent=2) + "\n").encode())
