"""Commands over HTTP, of the page and of `agent ctl`: the same as by MQTT, answered in the same words."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agent.web.access import Caller, role_for, same
from agent.web.guard import from_browser, from_here

log = logging.getLogger(__name__)
ANSWER_S = 25.0
MAX_BODY_BYTES = 8192
Reply = Callable[[Mapping[str, Any]], None]


class Submit(Protocol):
    """Verb, JSON, whether `page` or `ctl` says it, and where the answer goes; false when too many commands wait."""

    def __call__(self, verb: str, payload: bytes, origin: str, reply: Reply, /) -> bool: ...


def control(submit: Submit) -> Callable[[Request], Awaitable[Response]]:
    """The route of one command."""

    async def answer(request: Request) -> Response:
        verb, identity = request.path_params["verb"], request.state.identity
        if (refusal := _refusal(request, verb, identity)) is not None:
            return refusal
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_BODY_BYTES:
                return _refused(f"larger than {MAX_BODY_BYTES} bytes", 413)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Mapping[str, Any]] = loop.create_future()

        def reply(found: Mapping[str, Any]) -> None:
            loop.call_soon_threadsafe(lambda: None if future.done() else future.set_result(found))

        origin = "page" if from_browser(request) else "ctl"
        if not submit(verb, _signed(bytes(body), identity), origin, reply):
            return _refused("too many commands wait; try again", 503)
        try:
            found = await asyncio.wait_for(future, ANSWER_S)
        except TimeoutError:
            return _refused("still being done; see the agent's log", 504)
        return JSONResponse(dict(found), status_code=200 if found["ok"] else 422)

    return answer


def _refusal(request: Request, verb: str, identity: Caller) -> Response | None:
    # A browser asks before it sends JSON to a foreign site, and is not answered; so no web site can steer.
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return _refused("content-type: must be application/json", 415)
    if not from_here(request):
        return _refused("origin: another site", 403)
    # What a browser adds by itself, a cookie or its place on loopback, is no proof that its user wants this.
    wants_proof = identity.via in ("cookie", "proxy") or (identity.via == "open" and from_browser(request))
    if wants_proof and not same(request.headers.get("x-csrf-token", ""), request.state.csrf):
        return _refused("the page is out of date: load it again", 403)
    needed = role_for(verb)
    if identity.role < needed:
        log.warning("%s by %s: refused, that takes the role %s", verb[:64], identity.name or "unknown", needed.word)
        return _refused(f"that takes the role {needed.word}, yours is {identity.role.word}", 403)
    return None


def _signed(body: bytes, identity: Caller) -> bytes:
    """`by` is who signed in, whatever the sender calls itself; what is no JSON object is refused elsewhere."""
    if identity.name is None:
        return body
    try:
        found = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return body
    return json.dumps(found | {"by": identity.name}).encode() if isinstance(found, dict) else body


def _refused(text: str, code: int) -> Response:
    return JSONResponse({"ok": False, "text": text}, status_code=code)
