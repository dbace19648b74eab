"""The web server in a thread of its own, which can be replaced when it hangs."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading

import uvicorn
from starlette.types import ASGIApp

from agent.errors import AgentError
from agent.heartbeat import Heartbeat
from agent.ports import why_no_page
from agent.web.connections import BoundedConnection

SLOW_S = 10.0
DEAD_S = 30.0
_START_S = 10.0
_STOP_S = 2.0
# So many connections are taken at once, before any of them can be refused.
_BACKLOG = 128


class _Server(uvicorn.Server):
    """Says when it is up, instead of being asked again and again, and marks each turn of its loop."""

    def __init__(self, config: uvicorn.Config, heartbeat: Heartbeat) -> None:
        super().__init__(config)
        self.up = threading.Event()
        self._heartbeat = heartbeat

    async def on_tick(self, counter: int) -> bool:
        self._heartbeat.beat()
        return await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


def new_page_heartbeat() -> Heartbeat:
    """Of the thread that answers."""
    return Heartbeat("the page", SLOW_S, DEAD_S)


class WebServer:
    """Serve `app` on host:port; port 0 takes a free one, `port` tells which."""

    def __init__(self, app: ASGIApp, host: str, port: int, heartbeat: Heartbeat | None = None) -> None:
        self._app = app
        self._host = host
        self._wanted = port
        self.heartbeat = heartbeat or new_page_heartbeat()
        self._socket: socket.socket | None = None
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port that is listened on; the wanted one before `start`."""
        return self._wanted if self._socket is None else int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Returns when connections are answered; raises AgentError when the address cannot be had."""
        # Anybody can make it warn with each byte sent.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        self._socket = self._bind()
        server = self._serve(self._socket)
        if not server.up.wait(_START_S):
            self.stop()
            raise AgentError(f"web.listen: the server on {self._host}:{self._wanted} did not start")

    @property
    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def revive(self) -> None:
        """Another thread answers on the same socket; one that hangs ends when it wakes."""
        if self._server is not None:
            self._server.should_exit = True
        if self._socket is not None:
            self._serve(self._socket)

    def stop(self) -> None:
        """Finish the answers under way, then close; may be called twice."""
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(_STOP_S)
        if self._socket is not None:
            self._socket.close()
        self._server = self._thread = self._socket = None

    def _serve(self, listening: socket.socket) -> _Server:
        # No access log: it would hold the token of the first visit.
        config = uvicorn.Config(
            self._app,
            http=BoundedConnection,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            backlog=_BACKLOG,
            timeout_graceful_shutdown=1,
        )
        self.heartbeat.beat()
        server = self._server = _Server(config, self.heartbeat)
        # The server closes the socket that it is given.
        arguments = (server, listening.dup())
        self._thread = threading.Thread(target=self._run, args=arguments, name="web", daemon=True)
        self._thread.start()
        return server

    @staticmethod
    def _run(server: _Server, listening: socket.socket) -> None:
        asyncio.run(server.serve(sockets=[listening]))

    def _bind(self) -> socket.socket:
        try:
            family, kind, _, _, address = socket.getaddrinfo(self._host, self._wanted, type=socket.SOCK_STREAM)[0]
            listening = socket.socket(family, kind)
        except OSError as error:
            raise AgentError(why_no_page(self._host, self._wanted, error)) from error
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(_BACKLOG)
        except OSError as error:
            listening.close()
            raise AgentError(why_no_page(self._host, self._wanted, error)) from error
        return listening
