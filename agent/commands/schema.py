"""`agent schema`: the schemas of what the agent reads and says, as files."""

from __future__ import annotations

import json

import typer
import yaml

from agent.commands.options import SchemaRequest
from agent.schemas.asyncapi import ASYNCAPI_FILE, asyncapi_document
from agent.schemas.documents import schema_documents
from fbclip.files import write_atomically


def schema_command(request: SchemaRequest) -> None:
    """Write them below the folder; files of the same names are replaced."""
    files = schema_files()
    for name, text in files.items():
        path = request.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())
    typer.echo(f"{len(files)} schemas in {request.out}")


def schema_files() -> dict[str, str]:
    """File below the folder -> its text."""
    files = {name: json_text(schema) for name, schema in schema_documents().items()}
    files[ASYNCAPI_FILE] = yaml.safe_dump(asyncapi_document(), sort_keys=False, allow_unicode=True, width=110)
    return files


def json_text(schema: object) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
