"""The topics of an agent as an AsyncAPI 3 document, which refers to the schemas of the messages."""

from __future__ import annotations

from typing import Any

from agent.mqtt.contract import CHANNELS
from agent.mqtt.home_assistant import image_topic
from agent.mqtt.payloads import Topics
from agent.schemas.documents import DRAFT, command_file, message_file
from agent.steering.commands import VERBS

ASYNCAPI_FILE = "asyncapi.yaml"
_PARAMETERS = {
    "prefix": "mqtt.prefix of agent.yaml, fbclip unless told otherwise; it may hold slashes",
    "agent": "agent.name of agent.yaml",
    "line": "the name of a line; answers are numbered under `answer`",
}
_ABOUT = (
    "What an agent publishes and which commands it hears. Everything is QoS 1 and JSON in UTF-8; times are RFC 3339 in "
    "UTC. Events, results, notices of eviction and answers come at least once, each with its own message_id; retained "
    "topics hold the newest state. Later versions may add fields: ignore those that you do not know. Lines in learning "
    "or shadow publish no event, no result and no state."
)


def asyncapi_document() -> dict[str, Any]:
    """Sent by the agent: one channel a topic. Heard by it: one a verb."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    for channel in CHANNELS:
        about = " ".join((channel.message.__doc__ or "").split())
        channels[channel.name] = _channel(channel.name, channel.address, about)
        operations[f"send-{channel.name}"] = _operation("send", channel.name, channel.retained)
        messages[channel.name] = _message(message_file(channel.name))
    topics = Topics("{prefix}", "{agent}")
    about = "The last picture of a live line as a JPEG, with mqtt.home_assistant only."
    channels["line-image"] = _channel("line-image", image_topic(topics, "{line}"), about)
    operations["send-line-image"] = _operation("send", "line-image", retained=True)
    messages["line-image"] = {"contentType": "image/jpeg"}
    for verb, command in VERBS.items():
        name = f"cmd-{verb}"
        about = " ".join((command.__doc__ or f"{verb} a line").split())
        channels[name] = _channel(name, topics.commands.removesuffix("+") + verb, about)
        operations[f"hear-{verb}"] = _operation("receive", name, retained=False)
        messages[name] = _message(command_file(verb))
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "fbclip-inspect over MQTT", "version": "1", "description": _ABOUT},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }


def _channel(name: str, address: str, about: str) -> dict[str, Any]:
    parameters = {word: {"description": text} for word, text in _PARAMETERS.items() if f"{{{word}}}" in address}
    return {
        "address": address,
        "description": about,
        "parameters": parameters,
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
    }


def _operation(action: str, channel: str, retained: bool) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{channel}"}],
        "bindings": {"mqtt": {"qos": 1, "retain": retained, "bindingVersion": "0.2.0"}},
    }


def _message(file: str) -> dict[str, Any]:
    form = f"application/schema+json;version={DRAFT.removeprefix('https://json-schema.org/').removesuffix('/schema')}"
    return {"payload": {"schemaFormat": form, "schema": {"$ref": f"./{file}"}}}
