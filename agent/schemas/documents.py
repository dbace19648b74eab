"""JSON Schemas of agent.yaml, of a profile's file and of every MQTT message, as pure functions of the models."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from agent.config.sections import Config
from agent.mqtt.contract import CHANNELS
from agent.steering.commands import VERBS
from fbclip.artefacts.profile import SCHEMA, Profile
from fbclip.artefacts.seal import ProfileChange

DRAFT = "https://json-schema.org/draft/2020-12/schema"
CONFIG_FILE = "agent.schema.json"
PROFILE_FILE = "profile.schema.json"


class _ProfileFile(Profile):
    """A profile as it stands in its file."""

    changed: ProfileChange | None = None
    seal: str | None = None


def message_file(name: str) -> str:
    """Where the schema of a message lies, below the folder of schemas."""
    return f"mqtt/{name}.schema.json"


def command_file(verb: str) -> str:
    return f"mqtt/cmd-{verb}.schema.json"


def schema_documents() -> dict[str, dict[str, Any]]:
    """File below the folder of schemas -> its JSON Schema."""
    found = {CONFIG_FILE: config_schema(), PROFILE_FILE: profile_schema()}
    for channel in CHANNELS:
        # A later version may add fields to a message: whoever reads it must not refuse them. Commands are refused.
        found[message_file(channel.name)] = _document(_open(_of(channel.message)), channel.name)
    for verb, command in VERBS.items():
        found[command_file(verb)] = _document(_of(command), f"command {verb}")
    return found


def config_schema() -> dict[str, Any]:
    return _document(_of(Config), "agent.yaml")


def profile_schema() -> dict[str, Any]:
    schema = _of(_ProfileFile)
    # Python has no attribute of that name to give.
    properties = {"schema": {"const": SCHEMA, "type": "string"}, **schema["properties"]}
    del properties["schema_"]
    return _document({**schema, "properties": properties, "required": ["schema", *schema["required"]]}, "profile")


def _of(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(by_alias=True)


def _document(schema: dict[str, Any], title: str) -> dict[str, Any]:
    return {"$schema": DRAFT, **schema, "title": title}


def _open(schema: Any) -> Any:
    """Without `additionalProperties: false` at any depth."""
    if isinstance(schema, list):
        return [_open(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {k: _open(v) for k, v in schema.items() if not (k == "additionalProperties" and v is False)}
