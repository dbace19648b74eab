"""`agent ctl VERB`: a command to the agent that runs, over its page's address; the same as by MQTT."""

from __future__ import annotations

import getpass
import json
import urllib.error
import urllib.request
from typing import Any

import typer

from agent.commands.options import CtlRequest
from agent.config.loader import load_config
from agent.config.sections import Config
from agent.errors import AgentError
from agent.steering.commands import CommandError, parse
from agent.web.guard import page_token

TIMEOUT_S = 30.0
MAX_ANSWER_BYTES = 1 << 20


def ctl_command(request: CtlRequest) -> int:
    """Print the answer; returns 1 for a refusal. Raises ConfigError, or AgentError where no agent answers."""
    config = load_config(request.config)
    payload = payload_of(request)
    try:
        # What is wrong by itself need not trouble the agent.
        parse(request.verb, payload)
    except CommandError as error:
        raise AgentError(f"{request.verb}: {error}") from error
    answer = send(config, request.verb, payload)
    if request.as_json:
        typer.echo(json.dumps(answer))
    else:
        typer.echo(f"{'done  ' if answer['ok'] else 'FAILED'} {answer['text']}")
    return 0 if answer["ok"] else 1


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
    }
    body = {key: value for key, value in body.items() if value is not None}
    if request.verb == "threshold":
        body["threshold"] = request.threshold
    elif request.threshold is not None:
        raise AgentError(f"{request.verb}: --threshold belongs to `agent ctl threshold`")
    return json.dumps(body).encode()


def send(config: Config, verb: str, payload: bytes) -> dict[str, Any]:
    """The agent's answer; raises AgentError where there is none."""
    headers = {"content-type": "application/json"}
    token = page_token(config.web)
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    # Never through a proxy: the token stays on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    host = "127.0.0.1" if config.web.host in {"0.0.0.0", ""} else config.web.host  # noqa: S104
    where = f"[{host}]:{config.web.port}" if ":" in host else f"{host}:{config.web.port}"
    request = urllib.request.Request(f"http://{where}/api/ctl/{verb}", payload, headers, method="POST")
    try:
        with opener.open(request, timeout=TIMEOUT_S) as found:
            text = found.read(MAX_ANSWER_BYTES)
    except urllib.error.HTTPError as error:
        text = error.read(MAX_ANSWER_BYTES)
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise AgentError(f"{where}: no agent answers ({reason}); is it running?") from error
    try:
        answer = json.loads(text)
    except ValueError as error:
        raise AgentError(f"{where}: {text[:200].decode(errors='replace').strip()}") from error
    if not isinstance(answer, dict) or not {"ok", "text"} <= set(answer):
        raise AgentError(f"{where}: this is not the agent's page")
    return answer
