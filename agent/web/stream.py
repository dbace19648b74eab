"""The state to many viewers: looked at once for all of them, and each one sent the newest there is.

A viewer that is slow misses states in between and nobody waits for it. A stream ends after `STREAM_S`, when the browser
asks again by itself, so that the bounds on connections and the check of who it is hold for viewers, too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

log = logging.getLogger(__name__)
MOST_VIEWERS = 60
EVERY_S = 1.0
# Less than a connection may take for one answer.
STREAM_S = 20.0
_FIRST = b"retry: 500\n\n"


@dataclass(eq=False)
class _Room:
    """The viewers of one event loop."""

    loop: asyncio.AbstractEventLoop
    viewers: int = 0
    number: int = 0
    newest: bytes = b""
    at: float = 0.0
    news: asyncio.Event = field(default_factory=asyncio.Event)
    looking: asyncio.Task[None] | None = None


class StateStream:
    """`look` gives the state as JSON to so many viewers; it is called in a thread, while anybody watches."""

    def __init__(
        self,
        look: Callable[[int], bytes],
        every_s: float = EVERY_S,
        stream_s: float = STREAM_S,
        most: int = MOST_VIEWERS,
    ) -> None:
        self._look = look
        self._every_s = every_s
        self._stream_s = stream_s
        self._most = most
        self._room: _Room | None = None

    @property
    def viewers(self) -> int:
        """How many watch now."""
        return 0 if self._room is None else self._room.viewers

    async def answer(self, _: Request) -> Response:
        """The route."""
        room = self._here()
        if room.viewers >= self._most:
            text = f"{self._most} viewers watch already\n"
            return PlainTextResponse(text, status_code=503, headers={"retry-after": "5"})
        return StreamingResponse(self._states(room), media_type="text/event-stream")

    async def latest(self) -> bytes:
        """The state as JSON for one who asks once: what viewers have, or a look of its own where nobody watches."""
        room = self._here()
        if room.newest and room.loop.time() - room.at < 2 * self._every_s:
            return room.newest
        return await run_in_threadpool(self._look, 0)

    def _here(self) -> _Room:
        # A page that hung was given another thread, and a loop of its own.
        loop = asyncio.get_running_loop()
        if self._room is None or self._room.loop is not loop:
            self._room = _Room(loop)
        return self._room

    async def _states(self, room: _Room) -> AsyncIterator[bytes]:
        room.viewers += 1
        if room.looking is None or room.looking.done():
            room.looking = asyncio.create_task(self._keep_looking(room))
        end, seen = room.loop.time() + self._stream_s, 0
        try:
            yield _FIRST
            while (left := end - room.loop.time()) > 0:
                if (room.number == seen or not room.newest) and not await _within(room.news.wait(), left):
                    break
                # Sending waits for a viewer that is slow; what is newest then is what it gets.
                seen = room.number
                yield b"data: " + room.newest + b"\n\n"
        finally:
            room.viewers -= 1

    async def _keep_looking(self, room: _Room) -> None:
        try:
            while room.viewers:
                try:
                    room.newest = await run_in_threadpool(self._look, room.viewers)
                except Exception:
                    # Viewers see by the silence that what they have is old.
                    log.exception("the state of the page cannot be looked at")
                    room.newest = b""
                else:
                    room.number, room.at = room.number + 1, room.loop.time()
                    news, room.news = room.news, asyncio.Event()
                    news.set()
                await asyncio.sleep(self._every_s)
        finally:
            # Who comes later waits for a new look, and is not shown what was.
            room.newest, room.number = b"", 0


async def _within(wanted: Awaitable[object], seconds: float) -> bool:
    try:
        await asyncio.wait_for(wanted, seconds)
    except TimeoutError:
        return False
    return True
