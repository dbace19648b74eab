"""Why an address cannot be listened on, in words that say the way out."""

from __future__ import annotations

import errno
import socket


def check_free(host: str, port: int) -> None:
    """Raises OSError where nobody can listen on the address now."""
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def why_no_broker(host: str, port: int, error: OSError) -> str:
    """Of the embedded broker."""
    if error.errno != errno.EADDRINUSE:
        return f"mqtt.url: {host}:{port} cannot be listened on: {error.strerror or error}"
    return (
        f"mqtt.url: {host}:{port} is taken. If a broker runs there, say url: mqtt://{host}:{port} to use it; "
        f"else another port for the embedded one, as url: embedded://{host}:{port + 1}"
    )


def why_no_page(host: str, port: int, error: OSError) -> str:
    """Of the page."""
    if error.errno != errno.EADDRINUSE:
        return f"web.listen: {host}:{port} cannot be listened on: {error.strerror or error}"
    return f"web.listen: {host}:{port} is taken by another program; choose another port, as listen: {host}:{port + 1}"
