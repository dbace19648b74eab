"""The page over a real socket, and what a browser makes of it."""

import shutil
import socket
import subprocess
import urllib.error
import urllib.request

import pytest

from agent.errors import AgentError
from agent.web.app import create_app
from agent.web.server import WebServer
from tests.factories.page import example_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


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
        with pytest.raises(AgentError, match=f"{port}: Address already in use"):
            WebServer(create_app(example_page()), "127.0.0.1", port).start()


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_a_browser_shows_the_verdicts(tmp_path):
    server = WebServer(create_app(example_page()), "127.0.0.1", 0)
    server.start()
    try:
        done = subprocess.run(
            [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}",
             "--virtual-time-budget=3000", "--dump-dom", f"http://127.0.0.1:{server.port}/"],
            check=False, capture_output=True, text=True, timeout=50,
        )  # fmt: skip
    finally:
        server.stop()
    dom = done.stdout
    assert 'data-verdict="anomaly"' in dom and ">ANOMALY<" in dom and ">NO VERDICT<" in dom
    assert "3.20" in dom and "&lt;b&gt;truncated&lt;/b&gt;" in dom and "<b>truncated" not in dom
    assert "/lines/belt/overlay.jpg?n=1" in dom
