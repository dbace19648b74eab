"""JSON files that one command writes and another reads, as pydantic models; a wrong one is a one-line error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from calibrate.errors import DataError
from fbclip.frozen import shown_field

Document = TypeVar("Document", bound=BaseModel)


def read_document(path: Path, kind: type[Document], schema: str, limit: int, maker: str) -> Document:
    """At most `limit` bytes of JSON whose `schema` is the one given; `maker` is the command that writes such files.

    Raises DataError, one line that names the file and the field.
    """
    try:
        if path.stat().st_size > limit:
            raise DataError(f"{path}: larger than {limit} bytes")
        # NaN is not JSON, yet Python writes it; here it means the same as null.
        data = json.loads(path.read_bytes(), parse_constant=lambda _: None)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; `{maker}` makes it") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read: {first_line(error)}") from error
    if not isinstance(data, dict) or data.get("schema") != schema:
        raise DataError(f"{path}: schema: not {schema}; `{maker}` makes it")
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = shown_field(first["loc"])
        raise DataError(f"{path}: {field}: {first['msg'].removeprefix('Value error, ')}") from error


def without_unknown(kind: type[BaseModel]) -> Callable[[Any], Any]:
    """A validator that drops the keys a later version has added to a part that otherwise refuses them."""

    def drop(value: Any) -> Any:
        return {k: v for k, v in value.items() if k in kind.model_fields} if isinstance(value, dict) else value

    return drop


def first_line(error: Exception) -> str:
    """What an error says, for a message that must be one line."""
    return (str(error) or type(error).__name__).splitlines()[0]
