"""The page over a real socket."""

import socket
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from agent.errors import AgentError
from agent.web.app import create_app
from agent.web.connections import BoundedConnection
from agent.web.server import WebServer
from tests.factories.brokers import wait_until
from tests.factories.page import example_page


def test_the_server_starts_answers_and_stops():
    server = WebServer(create_app(example_page()), "127.0.0.1", 0)
    server.start()
    url = f"http://127.0.0.1:{server.port}/healthz"
    with urllib.request.urlopen(url, timeout=5) as answer:
        assert answer.status == 200
    server.stop()
    server.stop()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=2)


def test_a_port_in_use_is_one_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(AgentError, match=f"{port} is taken by another program; choose another port"):
            WebServer(create_app(example_page()), "127.0.0.1", port).start()


def serve(app=None):
    """A running server."""
    server = WebServer(app or create_app(example_page()), "127.0.0.1", 0)
    server.start()
    return server


def gone(connection: socket.socket) -> bool:
    """Closed by the server, without an answer."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def ask(port: int, path: str = "/healthz", timeout: float = 10) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=timeout) as answer:
        return answer.status


def test_idle_connections_shut_nobody_out_and_cost_few_descriptors(monkeypatch):
    monkeypatch.setattr(BoundedConnection, "most", 20)
    server = serve()
    before = descriptors()
    idle = []
    try:
        for _ in range(200):
            idle.append(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            # Half a question each.
            idle[-1].sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        # The server's side of them, beside the 200 of this test.
        wait_until(lambda: descriptors() - before - len(idle) <= 20)
        assert ask(server.port) == 200
        # Who has asked nothing for longest is gone, and who came last is still there.
        assert gone(idle[0])
        idle[-1].sendall(b"\r\n")
        assert idle[-1].recv(12).startswith(b"HTTP/1.1 200")
    finally:
        for one in idle:
            one.close()
        server.stop()


def test_a_question_that_never_ends_is_cut_off(monkeypatch):
    monkeypatch.setattr(BoundedConnection, "header_s", 0.2)
    server = serve()
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as slow:
            # Also on a connection that has asked a whole question before.
            slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /healthz HTTP/1.1\r\nX-")
            received = b""
            while piece := slow.recv(4096):
                received += piece
        assert received.count(b"HTTP/1.1 200") == 1
        assert ask(server.port) == 200
    finally:
        server.stop()


def test_a_body_that_never_ends_is_cut_off(monkeypatch):
    monkeypatch.setattr(BoundedConnection, "answer_s", 0.2)
    monkeypatch.setattr(BoundedConnection, "header_s", 0.4)
    server = serve()
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as slow:
            slow.sendall(
                b"POST /api/ctl/reload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                b"Content-Length: 100\r\n\r\n{"
            )
            assert gone(slow)
    finally:
        server.stop()


def test_a_page_that_hangs_is_replaced_on_the_same_port(monkeypatch):
    entered, release = threading.Event(), threading.Event()
    whole = create_app(example_page())

    async def sometimes(scope, receive, send):
        if scope["path"] == "/hang" and not entered.is_set():
            entered.set()
            # On the loop itself: nothing else is answered.
            release.wait(20)
        await whole(scope, receive, send)

    server = serve(sometimes)
    port = server.port
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as stuck:
            stuck.sendall(b"GET /hang HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert entered.wait(10)
            wait_until(lambda: server.heartbeat.age() > 0.3)
            server.revive()
            assert ask(port) == 200
            assert server.alive
    finally:
        release.set()
        server.stop()
