"""The web server in a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import threading

import uvicorn
from starlette.types import ASGIApp

from agent.errors import AgentError

_START_S = 10.0
_STOP_S = 5.0


class _Server(uvicorn.Server):
    """Says when it is up, instead of being asked again and again."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


class WebServer:
    """Serve `app` on host:port; port 0 takes a free one, `port` tells which."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        self._app = app
        self._host = host
        self._wanted = port
        self._socket: socket.socket | None = None
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port that is listened on; the wanted one before `start`."""
        return self._wanted if self._socket is None else int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Returns when connections are answered; raises AgentError when the address cannot be had."""
        self._socket = self._bind()
        # No access log: it would hold the token of the first visit.
        config = uvicorn.Config(
            self._app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=2,
        )
        self._server = _Server(config)
        self._thread = threading.Thread(target=self._run, args=(self._server, self._socket), name="web", daemon=True)
        self._thread.start()
        if not self._server.up.wait(_START_S):
            self.stop()
            raise AgentError(f"web.listen: the server on {self._host}:{self._wanted} did not start")

    def stop(self) -> None:
        """Finish the answers under way, then close; may be called twice."""
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(_STOP_S)
        if self._socket is not None:
            self._socket.close()
        self._server = self._thread = self._socket = None

    @staticmethod
    def _run(server: _Server, listening: socket.socket) -> None:
        asyncio.run(server.serve(sockets=[listening]))

    def _bind(self) -> socket.socket:
        try:
            family, kind, _, _, address = socket.getaddrinfo(self._host, self._wanted, type=socket.SOCK_STREAM)[0]
            listening = socket.socket(family, kind)
        except OSError as error:
            raise AgentError(f"web.listen: {self._host}:{self._wanted}: {error.strerror}") from error
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(128)
        except OSError as error:
            listening.close()
            raise AgentError(f"web.listen: {self._host}:{self._wanted}: {error.strerror}") from error
        return listening
