"""One connection to the page, bounded: how many there may be, and how long one may take to ask or to listen."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 100
# From the connection, or the last answer, to the end of the next question's header.
HEADER_S = 10.0
# A question with its body and its answer.
ANSWER_S = 30.0


class BoundedConnection(H11Protocol):
    """Too many connections cost the one that has asked nothing for longest, so that idle ones shut nobody out."""

    most = MOST_CONNECTIONS
    header_s = HEADER_S
    answer_s = ANSWER_S

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._since = self.loop.time()
        self._was_busy = False
        self._timer: asyncio.TimerHandle | None = None
        if len(self.connections) > self.most:
            victim = self._longest_idle()
            # Its end comes in the loop's next turn, and several may have come in this one.
            self.connections.discard(victim)
            victim.transport.abort()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._since = self.loop.time()
        super().on_response_complete()

    @property
    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _longest_idle(self) -> BoundedConnection:
        idle = [one for one in self.connections if isinstance(one, BoundedConnection) and not one._busy]
        return min(idle, key=lambda one: one._since, default=self)

    def _look(self) -> None:
        if self._busy != self._was_busy:
            self._was_busy = self._busy
            self._since = self.loop.time() if self._busy else self._since
        if self.loop.time() - self._since > (self.answer_s if self._busy else self.header_s):
            self.transport.abort()
            return
        self._timer = self.loop.call_later(min(1.0, self.header_s / 2), self._look)
