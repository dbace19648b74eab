"""What the service manager hears, over a real socket."""

import socket

import pytest

from agent.notify import ServiceNotifier


def listener(address: str) -> socket.socket:
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(address)
    heard.settimeout(5)
    return heard


@pytest.mark.parametrize("abstract", [False, True])
def test_every_word_arrives(tmp_path, abstract):
    name = "fbclip-notify-test" if abstract else str(tmp_path / "notify")
    with listener("\0" + name if abstract else name) as heard:
        notifier = ServiceNotifier({"NOTIFY_SOCKET": ("@" if abstract else "") + name})
        notifier.ready()
        notifier.alive("judging 2 lines\nREADY=0")
        notifier.status("disk full")
        notifier.stopping()
        assert [heard.recv(1000).decode() for _ in range(4)] == [
            "READY=1",
            "WATCHDOG=1\nSTATUS=judging 2 lines READY=0",
            "STATUS=disk full",
            "STOPPING=1",
        ]


def test_nobody_listens(tmp_path, caplog):
    notifier = ServiceNotifier({"NOTIFY_SOCKET": str(tmp_path / "none")})
    notifier.ready()
    notifier.alive("x")
    assert len(caplog.records) == 1
    ServiceNotifier({}).ready()
    assert len(caplog.records) == 1


def test_a_manager_that_does_not_read_is_not_waited_for(tmp_path):
    with listener(str(tmp_path / "notify")):
        notifier = ServiceNotifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        for _ in range(5000):
            notifier.alive("x" * 200)
