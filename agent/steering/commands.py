"""What may be said to a running agent: one model a verb, and its answer. Pure: bytes in, a command or a refusal out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NoReturn

from pydantic import Field, JsonValue, ValidationError, field_validator, model_validator

from agent.config.base import Name
from agent.config.source import MOST_FRAMES
from agent.errors import AgentError
from fbclip.frozen import Frozen

MAX_PAYLOAD_BYTES = 8192
MAX_PART_BYTES = 512
ANSWER_SCHEMA = "fbclip.answer/1"
Word = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]*$")]


OTHER_WORDS = {"ok": "normal", "anomaly": "anomalous"}


class CommandError(AgentError):
    """A command that cannot be followed; its text is for whoever gave it."""


class Command(Frozen):
    """`correlation_id` comes back with the answer; `by` is who says it, as they say."""

    correlation_id: Word | None = None
    by: Word | None = None


class ReloadCommand(Command):
    """Read the configuration again."""


class EnableCommand(Command):
    line: Name


class DisableCommand(Command):
    line: Name


class ProfileCommand(Command):
    """Either a file, relative to the folder of the configuration and inside it, or `rollback` to the one before."""

    line: Name
    profile: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\x00-\x1f\x7f]+$")] | None = None
    rollback: bool = False

    @model_validator(mode="after")
    def _one(self) -> ProfileCommand:
        if (self.profile is None) == (not self.rollback):
            raise ValueError("needs either profile or rollback")
        return self


class ThresholdCommand(Command):
    """Instead of the profile's; null goes back to it."""

    line: Name
    threshold: Annotated[float, Field(allow_inf_nan=False)] | None


class AckCommand(Command):
    """Somebody has seen to an event."""

    event_id: Word


class FeedbackCommand(Command):
    """What an inspected unit really was; `ok` and `anomaly` are other words for the labels."""

    inspection_id: Annotated[int, Field(ge=1, lt=2**63)]
    label: Literal["normal", "anomalous"]
    note: Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00-\x09\x0b-\x1f\x7f]*$")] | None = None

    @field_validator("label", mode="before")
    @classmethod
    def _other_words(cls, value: Any) -> Any:
        return OTHER_WORDS.get(value, value) if isinstance(value, str) else value


class RequeueCommand(Command):
    """Judge files again: the one of this absolute path, or `all` in `failed`, of a line or of every line."""

    file: Annotated[str, Field(min_length=1, max_length=6000, pattern=r"^[^\x00]+$")] | None = None
    all: bool = False
    line: Name | None = None

    @model_validator(mode="after")
    def _one(self) -> RequeueCommand:
        if (self.file is None) == (not self.all):
            raise ValueError("needs either file or all")
        return self


class TriggerCommand(Command):
    """Judge what the camera sees from now on. `part` is any small JSON value, which comes back with the verdict.

    `frames`: how many images, instead of the line's own number.
    """

    line: Name
    part: JsonValue = None
    frames: Annotated[int, Field(ge=1, le=MOST_FRAMES)] | None = None

    @field_validator("part", mode="before")
    @classmethod
    def _small(cls, value: Any) -> Any:
        try:
            # A number too large and half a character pair pass as JSON, and could not be sent back.
            text = json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise ValueError("must be a JSON value that can be sent back") from error
        if len(text) > MAX_PART_BYTES:
            raise ValueError(f"larger than {MAX_PART_BYTES} bytes")
        return value

    @property
    def context(self) -> dict[str, Any]:
        """What comes back with all that is made of it."""
        whole = {"trigger": "mqtt", "part": self.part, "correlation_id": self.correlation_id}
        return {key: value for key, value in whole.items() if key == "part" or value is not None}


VERBS: dict[str, type[Command]] = {
    "reload": ReloadCommand,
    "enable": EnableCommand,
    "disable": DisableCommand,
    "profile": ProfileCommand,
    "threshold": ThresholdCommand,
    "ack": AckCommand,
    "feedback": FeedbackCommand,
    "requeue": RequeueCommand,
    "trigger": TriggerCommand,
}


@dataclass(frozen=True)
class CommandAnswer:
    """What was made of a command; `text` is one line. `context`: what a trigger brought."""

    verb: str
    ok: bool
    text: str
    correlation_id: str | None = None
    context: Mapping[str, Any] | None = None

    def body(self, agent: str) -> dict[str, Any]:
        """For MQTT and HTTP."""
        context = {} if self.context is None else {"context": dict(self.context)}
        return {
            "schema": ANSWER_SCHEMA,
            "agent": agent,
            "verb": self.verb,
            "correlation_id": self.correlation_id,
            "ok": self.ok,
            "text": self.text,
        } | context


def parse(verb: str, payload: bytes) -> Command:
    """JSON of a command, nothing standing for an empty mapping; raises CommandError naming the field."""
    model = VERBS.get(verb)
    if model is None:
        raise CommandError(f"no such command; there are {', '.join(VERBS)}")
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise CommandError(f"larger than {MAX_PAYLOAD_BYTES} bytes")
    try:
        data = json.loads(payload or b"{}", parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise CommandError("not valid JSON") from error
    if not isinstance(data, dict):
        raise CommandError("must be a JSON object")
    try:
        return model.model_validate(data, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part)[:64] for part in first["loc"][:4]) or verb
        message = "unknown field" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
        raise CommandError(f"{field}: {message}") from error


def correlation_of(payload: bytes) -> str | None:
    """The correlation id of a command that is wrong otherwise, so that its refusal finds whoever waits for it."""
    try:
        data = json.loads(payload[:MAX_PAYLOAD_BYTES] or b"{}")
    except (ValueError, RecursionError):
        return None
    found = data.get("correlation_id") if isinstance(data, dict) else None
    return found if isinstance(found, str) and 0 < len(found) <= 128 and found.isprintable() else None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
