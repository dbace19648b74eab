"""A stand-in for the addresses that publish weights: real HTTP on loopback, with the faults of the real ones."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(eq=False)
class WeightsServer:
    """`files`: path -> bytes. `cut`: path -> bytes after which the first answer ends. `stated`: path -> X-Linked-Etag,
    in an answer that leads to /cdn, as the hub's does. `moved`: path -> address. `asked`: (method, path, Range)."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    stated: dict[str, str | None] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    deaf_to_range: bool = False
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def put_on_hub(self, path: str, data: bytes) -> None:
        self.stated[path] = hashlib.sha256(data).hexdigest()
        self.files[f"/cdn{path}"] = data


@contextmanager
def weights_server() -> Iterator[WeightsServer]:
    state = WeightsServer()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            state.asked.append((self.command, self.path, self.headers.get("Range")))
            if self.path in state.silent:
                state.released.wait(20)
                return
            if self.path in state.moved or self.path in state.stated:
                self.send_response(302)
                self.send_header("Location", state.moved.get(self.path, f"/cdn{self.path}"))
                if state.stated.get(self.path):
                    self.send_header("X-Linked-Etag", f'"{state.stated[self.path]}"')
                self.end_headers()
                return
            data = state.files.get(self.path)
            if data is None:
                self.send_error(404)
                return
            start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
            start = 0 if state.deaf_to_range else start
            if start and start >= len(data):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            if body:
                self.wfile.write(data[start : state.cut.pop(self.path, len(data))])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        state.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
