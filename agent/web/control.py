"""Commands over HTTP, for `agent ctl`: the same as by MQTT, answered in the same words."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

ANSWER_S = 25.0
MAX_BODY_BYTES = 8192
Reply = Callable[[Mapping[str, Any]], None]
Submit = Callable[[str, bytes, Reply], bool]
"""Verb, JSON, and where the answer goes; false when too many commands wait already."""


def control(submit: Submit) -> Callable[[Request], Awaitable[Response]]:
    """The route of one command."""

    async def answer(request: Request) -> Response:
        # A browser asks before it sends JSON to a foreign site, and is not answered; so no web site can steer.
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return _refused("content-type: must be application/json", 415)
        origin = request.headers.get("origin")
        if origin is not None and re.sub("^https?://", "", origin) != request.headers.get("host"):
            return _refused("origin: another site", 403)
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_BODY_BYTES:
                return _refused(f"larger than {MAX_BODY_BYTES} bytes", 413)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Mapping[str, Any]] = loop.create_future()

        def reply(found: Mapping[str, Any]) -> None:
            loop.call_soon_threadsafe(lambda: None if future.done() else future.set_result(found))

        if not submit(request.path_params["verb"], bytes(body), reply):
            return _refused("too many commands wait; try again", 503)
        try:
            found = await asyncio.wait_for(future, ANSWER_S)
        except TimeoutError:
            return _refused("still being done; see the agent's log", 504)
        return JSONResponse(dict(found), status_code=200 if found["ok"] else 422)

    return answer


def _refused(text: str, code: int) -> Response:
    return JSONResponse({"ok": False, "text": text}, status_code=code)
