"""A question to the agent that runs, over the address of its page."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Literal

import typer

from agent.config.sections import Config
from agent.errors import AgentError
from agent.web.access import page_access

TIMEOUT_S = 30.0
MAX_ANSWER_BYTES = 1 << 22


def ask(config: Config, method: Literal["GET", "POST"], path: str, payload: bytes | None) -> dict[str, Any]:
    """The JSON object that is answered; raises AgentError where there is none, and ConfigError for a bad token."""
    headers = {"content-type": "application/json"}
    token = page_access(config.web).strongest
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    # Never through a proxy: the token stays on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    host = "127.0.0.1" if config.web.host in {"0.0.0.0", ""} else config.web.host  # noqa: S104
    where = f"[{host}]:{config.web.port}" if ":" in host else f"{host}:{config.web.port}"
    request = urllib.request.Request(f"http://{where}{path}", payload, headers, method=method)
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
    if not isinstance(answer, dict):
        raise AgentError(f"{where}: this is not the agent's page")
    return answer


def tell(config: Config, verb: str, payload: bytes) -> tuple[bool, dict[str, Any]]:
    """A command to it -> whether it was done, and the answer. Raises as `ask`."""
    answer = ask(config, "POST", f"/api/ctl/{verb}", payload)
    if not {"ok", "text"} <= set(answer):
        raise AgentError(f"{config.web.listen}: this is not the agent's page")
    return answer["ok"] is True, answer


def print_answer(ok: bool, answer: Mapping[str, Any], as_json: bool) -> int:
    """For the terminal or a machine; returns the exit code."""
    typer.echo(json.dumps(dict(answer)) if as_json else f"{'done  ' if ok else 'FAILED'} {answer['text']}")
    return 0 if ok else 1
