"""What systemd is told: a datagram to the socket that it names, and nothing where it names none.

Protocol: sd_notify(3). With `Type=notify` and `WatchdogSec=` in the unit, a run that makes no progress is killed and
started anew even if nothing inside it can notice.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

log = logging.getLogger(__name__)


class ServiceNotifier:
    """Never raises and never waits: who listens is not part of the work."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the NUL of Linux's abstract names.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._failed = False

    def ready(self) -> None:
        self._send("READY=1")

    def alive(self, status: str) -> None:
        """Every part makes progress; `status` is one line for `systemctl status`."""
        self._send(f"WATCHDOG=1\nSTATUS={_one_line(status)}")

    def status(self, text: str) -> None:
        """Without a sign of life."""
        self._send(f"STATUS={_one_line(text)}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            ) as sender:
                sender.sendto(text.encode(), self._address)
        except (OSError, ValueError) as error:
            if not self._failed:
                log.warning("the service manager cannot be told anything: %s", error)
            self._failed = True


def _one_line(text: str) -> str:
    return " ".join(text.split())
