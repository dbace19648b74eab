"""A broker that does what a test says: refuses by any reason code, never answers, or hangs up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

SILENT = -1
HANG_UP = -2
CONNECT, PUBLISH, SUBSCRIBE, PINGREQ = 1, 3, 8, 12


@dataclass
class ScriptedBroker:
    """MQTT at the level of bytes. `answer(topic, payload)` is the code of a PUBACK, SILENT or HANG_UP.

    `greeting(version)` is that of the CONNACK, `granted` that of a SUBACK; `properties` are those
    of a version 5 CONNACK.
    """

    answer: Callable[[str, bytes], int] = lambda _topic, _payload: 0
    greeting: Callable[[int], int] = lambda _version: 0
    properties: bytes = b""
    granted: int = 1
    heard: list[tuple[str, bytes]] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for one in self._open:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        version = 0
        stream = connection.makefile("rb")
        try:
            while head := stream.read(1):
                body = stream.read(_length(stream))
                kind = head[0] >> 4
                if kind == CONNECT:
                    version = body[6]
                    self.versions.append(version)
                    code = self.greeting(version)
                    if code == HANG_UP:
                        break
                    if code != SILENT:
                        rest = bytes([0, code]) + (_sized(self.properties) if version == 5 else b"")
                        connection.sendall(b"\x20" + _sized(rest))
                elif kind == PUBLISH:
                    if not self._publish(connection, version, body):
                        break
                elif kind == SUBSCRIBE:
                    connection.sendall(
                        b"\x90" + _sized(body[:2] + (b"\0" if version == 5 else b"") + bytes([self.granted]))
                    )
                elif kind == PINGREQ:
                    connection.sendall(b"\xd0\x00")
        except OSError:
            pass
        finally:
            stream.close()
            connection.close()

    def _publish(self, connection: socket.socket, version: int, body: bytes) -> bool:
        size = int.from_bytes(body[:2], "big")
        topic, mid, rest = body[2 : 2 + size].decode(), body[2 + size : 4 + size], body[4 + size :]
        payload = rest[1:] if version == 5 else rest
        code = self.answer(topic, payload)
        if code == HANG_UP:
            return False
        if code == 0:
            self.heard.append((topic, payload))
        if code != SILENT:
            connection.sendall(b"\x40" + _sized(mid + (bytes([code]) if version == 5 else b"")))
        return True


def _sized(rest: bytes) -> bytes:
    assert len(rest) < 128
    return bytes([len(rest)]) + rest


def _length(stream) -> int:  # type: ignore[no-untyped-def]
    value = shift = 0
    while True:
        byte = stream.read(1)[0]
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value
