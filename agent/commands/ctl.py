"""`agent ctl VERB`: a command to the agent that runs, over its page's address; the same as by MQTT."""

from __future__ import annotations

import getpass
import json
from typing import Any

from agent.commands.options import CtlRequest
from agent.commands.talk import print_answer, tell
from agent.config.loader import load_config
from agent.errors import AgentError
from agent.steering.commands import CommandError, parse
from fbclip.errors import ConfigError


def ctl_command(request: CtlRequest) -> int:
    """Print the answer; returns 1 for a refusal. Raises ConfigError, or AgentError where no agent answers."""
    config = load_config(request.config)
    payload = payload_of(request)
    try:
        # What is wrong by itself need not trouble the agent.
        parse(request.verb, payload)
    except CommandError as error:
        raise AgentError(f"{request.verb}: {error}") from error
    return print_answer(*tell(config, request.verb, payload), request.as_json)


def payload_of(request: CtlRequest) -> bytes:
    """What was given, as the command's JSON."""
    body: dict[str, Any] = {
        "by": getpass.getuser(),
        "line": request.line,
        "profile": request.profile,
        "rollback": request.rollback or None,
        "event_id": request.event,
        "inspection_id": request.inspection,
        "label": request.label,
        "part": request.part,
    }
    body = {key: value for key, value in body.items() if value is not None}
    if request.threshold is not None:
        body["threshold"] = _number(request.threshold)
    return json.dumps(body).encode()


def _number(text: str) -> float | None:
    """None, which stands for the profile's own, has to be said: an option that was forgotten must change nothing."""
    if text == "profile":
        return None
    try:
        return float(text)
    except ValueError as error:
        raise ConfigError(f"--threshold {text}: must be a number, or profile") from error
