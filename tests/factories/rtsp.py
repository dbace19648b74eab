"""A camera that speaks RTSP: packets of H.264 from ffmpeg, handed on inside the RTSP connection, and over TCP only."""

from __future__ import annotations

import base64
import socket
import socketserver
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

from tests.factories.brokers import free_port, wait_until
from tests.factories.streams import FFMPEG, moving_picture

USER, PASSWORD = "operator", "S3cret"


class RtspCamera:
    """`lose` so many of its packets; with `mute` set it accepts, and then says nothing."""

    def __init__(self, folder: Path) -> None:
        self.lose = 0
        self.mute = threading.Event()
        self.asked: list[str] = []
        self._viewers: list[socket.socket] = []
        self._packets = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._packets.bind(("127.0.0.1", 0))
        port = self._packets.getsockname()[1]
        description = folder / "camera.sdp"
        codec = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "10", "-bsf:v", "dump_extra"]
        # Each frame is several slices and so several packets.
        codec += ["-x264-params", "slices=4"]
        target = ["-f", "rtp", "-sdp_file", str(description), f"rtp://127.0.0.1:{port}?pkt_size=1200"]
        command = [str(FFMPEG), "-loglevel", "quiet", "-nostdin", "-re", *moving_picture(600), *codec, *target]
        self._process = subprocess.Popen(command)
        wait_until(lambda: description.is_file() and "m=video" in description.read_text(encoding="utf-8"))
        lines = description.read_text(encoding="utf-8").splitlines()
        self.description = "\r\n".join(
            [*(line for line in lines if not line.startswith("SDP:")), "a=control:track0", ""]
        )
        camera = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):
                    while camera.answer(self):
                        pass

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address, daemon_threads = True, True

        self._server = Server(("127.0.0.1", free_port()), Handler)
        self.url = f"rtsp://{USER}:{PASSWORD}@127.0.0.1:{self._server.server_address[1]}/belt"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        threading.Thread(target=self._hand_on, daemon=True).start()

    def answer(self, connection: socketserver.StreamRequestHandler) -> bool:
        """One request of a viewer; false at its end."""
        request = connection.rfile.readline().decode().split()
        if not request:
            return False
        headers = {}
        while line := connection.rfile.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        self.asked.append(request[0])
        if self.mute.is_set():
            return True
        status, extra, body = "200 OK", ["Session: 1"], ""
        wanted = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if headers.get("authorization") != f"Basic {wanted}" and request[0] != "OPTIONS":
            status, extra = "401 Unauthorized", ['WWW-Authenticate: Basic realm="camera"']
        elif request[0] == "DESCRIBE":
            body = self.description
            extra += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
        elif request[0] == "SETUP":
            if "TCP" not in headers["transport"]:
                status = "461 Unsupported transport"
            extra.append("Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
        head = [f"RTSP/1.0 {status}", f"CSeq: {headers['cseq']}", *extra, "", body]
        connection.wfile.write("\r\n".join(head).encode())
        if request[0] == "PLAY":
            self._viewers.append(connection.connection)
        return True

    def close(self) -> None:
        self._process.kill()
        self._process.wait(10)
        self._packets.close()
        self._server.shutdown()
        self._server.server_close()

    def _hand_on(self) -> None:
        with suppress(OSError):
            while packet := self._packets.recv(1 << 16):
                if self.lose or self.mute.is_set():
                    self.lose = max(0, self.lose - 1)
                    continue
                for viewer in self._viewers:
                    with suppress(OSError):
                        viewer.sendall(b"$\x00" + len(packet).to_bytes(2, "big") + packet)
