"""An asyncio server in a thread of its own: started until it answers, ended, and named when it has ended by itself."""

from __future__ import annotations

import asyncio
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Any

from agent.errors import AgentError
from agent.ports import check_free

log = logging.getLogger(__name__)
START_S = 20.0
STOP_S = 3.0


class PlcServer(ABC):
    """`key`: that of agent.yaml, for messages."""

    key: str

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._up = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None
        self._failure: str | None = None
        self._thread: threading.Thread | None = None

    @abstractmethod
    async def serve(self, ending: asyncio.Event) -> None:
        """Listen, call `is_up`, and close when `ending` is set."""

    @property
    def port(self) -> int:
        """The one that is listened on; the wanted one before."""
        return self._port

    def is_up(self, port: int) -> None:
        self._port = port
        self._up.set()

    def check(self) -> None:
        """Raises AgentError where its address cannot be listened on now."""
        try:
            check_free(self._host, self._port)
        except OSError as error:
            why = error.strerror or str(error)
            raise AgentError(f"{self.key}: {self._host}:{self._port} cannot be listened on: {why}") from error

    def start(self) -> None:
        """Returns when it answers; raises AgentError."""
        self.check()
        self._thread = threading.Thread(target=self._run, name=self.key.replace(".", "-"), daemon=True)
        self._thread.start()
        if not self._up.wait(START_S) or self._failure is not None:
            self.stop()
            raise AgentError(f"{self.key}: {self._host}:{self._port}: {self._failure or 'it did not start'}")

    def stop(self) -> None:
        """May be called twice."""
        loop, ending = self._loop, self._ending
        if loop is not None and ending is not None and not loop.is_closed():
            loop.call_soon_threadsafe(ending.set)
        if self._thread is not None:
            self._thread.join(STOP_S)

    @property
    def problem(self) -> str | None:
        """Why no PLC is answered, one line."""
        return None if self._failure is None else f"{self.key}: {self._failure}"

    def soon(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run it on the server's loop; from any thread, without waiting. Dropped where the server has ended."""
        loop = self._loop
        if loop is None or loop.is_closed() or self._failure is not None:
            coroutine.close()
            return
        asyncio.run_coroutine_threadsafe(coroutine, loop)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except Exception as error:
            # The agent goes on: whoever reads by this way meets a closed connection, and health names it.
            log.exception("%s ended", self.key)
            self._failure = " ".join(str(error).split()) or type(error).__name__
        finally:
            self._up.set()

    async def _main(self) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        await self.serve(self._ending)
