"""The state to many viewers: one look for all, the newest for the slow, a bound on how many."""

import itertools
import json
import re
import socket
import threading

import pytest
from starlette.testclient import TestClient

from agent.web.app import create_app
from agent.web.server import WebServer
from agent.web.stream import StateStream
from tests.factories.brokers import wait_until
from tests.factories.page import example_page


@pytest.fixture
def serve():
    running = []

    def start(look, **options):
        stream = StateStream(look, **({"every_s": 0.02, "stream_s": 10.0} | options))
        server = WebServer(create_app(example_page(), stream=stream), "127.0.0.1", 0)
        server.start()
        running.append(server)
        return stream, server.port

    yield start
    for server in running:
        server.stop()


def watch(port):
    viewer = socket.create_connection(("127.0.0.1", port), timeout=10)
    viewer.sendall(b"GET /api/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    return viewer


def read_until(viewer, wanted: bytes) -> bytes:
    found = b""
    while wanted not in found:
        piece = viewer.recv(65536)
        assert piece, found[-500:]
        found += piece
    return found


def test_one_look_serves_all_and_nobody_looks_when_nobody_watches(serve):
    looks = []
    stream, port = serve(lambda _: looks.append(0) or f'{{"n":{len(looks)}}}'.encode())
    viewers = [watch(port) for _ in range(5)]
    for viewer in viewers:
        head = read_until(viewer, b"data: ")
        assert b"text/event-stream" in head and b"retry: " in head
    wait_until(lambda: len(looks) >= 10)
    at = len(looks)
    for viewer in viewers:
        # Each is at most the one that is on its way behind.
        read_until(viewer, f'{{"n":{at}}}'.encode())
        viewer.close()
    wait_until(lambda: stream.viewers == 0)
    seen = len(looks)
    threading.Event().wait(0.2)
    assert len(looks) <= seen + 1


def test_who_comes_back_is_not_shown_what_was(serve):
    now = ["first"]
    stream, port = serve(lambda _: f'{{"n":"{now[0]}"}}'.encode())
    with watch(port) as viewer:
        read_until(viewer, b"first")
    wait_until(stream._room.looking.done)
    now[0] = "second"
    with watch(port) as viewer:
        assert b"first" not in read_until(viewer, b"second")


def test_the_api_gives_what_viewers_have_and_looks_itself_where_nobody_watches(serve):
    looks = []
    _, port = serve(lambda viewers: looks.append(viewers) or b'{"n":%d}' % viewers, every_s=0.2)

    def ask():
        with socket.create_connection(("127.0.0.1", port), timeout=10) as one:
            one.sendall(b"GET /api/state HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            return read_until(one, b"}")

    assert b'{"n":0}' in ask() and looks == [0]
    with watch(port) as viewer:
        read_until(viewer, b'{"n":1}')
        for _ in range(10):
            assert b'{"n":1}' in ask()
    assert looks.count(0) == 1


def test_a_viewer_that_does_not_read_holds_nobody_up_and_gets_the_newest(serve):
    looks = []
    large = b"x" * (1 << 20)
    _, port = serve(lambda _: looks.append(0) or b"{%d}%s" % (len(looks), large), stream_s=60.0)
    slow, quick = watch(port), watch(port)
    read_until(slow, b"data: ")
    # A viewer that reads hears of the newest again and again, while the other one's buffers are full.
    for _n in range(30):
        read_until(quick, b"data: {")
    at, told, tail = len(looks), [], b""
    while not told or told[-1] < at:
        piece = slow.recv(1 << 20)
        assert piece
        told += [int(found) for found in re.findall(rb"data: \{(\d+)\}", tail + piece)]
        tail = piece[-20:] if not piece[-20:].endswith(b"}") else b""
    # It was told nothing of many of them: what it reads jumps ahead.
    assert max(later - earlier for earlier, later in itertools.pairwise(told)) > 3, told
    slow.close()
    quick.close()


def test_no_more_viewers_than_are_allowed_and_a_place_that_is_free_is_taken(serve):
    stream, port = serve(lambda _: b"{}", most=2)
    first, second = watch(port), watch(port)
    for viewer in (first, second):
        read_until(viewer, b"data: ")
    third = watch(port)
    assert b" 503 " in read_until(third, b"watch already")
    first.close()
    wait_until(lambda: stream.viewers == 1)
    fourth = watch(port)
    read_until(fourth, b"data: ")
    for viewer in (second, third, fourth):
        viewer.close()


def test_a_stream_ends_so_that_its_viewer_is_asked_again_who_it_is(serve):
    _, port = serve(lambda _: b"{}", stream_s=0.1)
    with watch(port) as viewer:
        # The last chunk of an answer that is complete.
        read_until(viewer, b"\r\n0\r\n\r\n")
        viewer.sendall(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b" 200 " in read_until(viewer, b"ready")


def test_a_look_that_fails_is_in_the_log_and_the_next_one_comes(serve, caplog):
    looks = []

    def look(_):
        looks.append(0)
        if len(looks) < 3:
            raise RuntimeError("the store is away")
        return b'{"n":3}'

    _, port = serve(look)
    with watch(port) as viewer:
        read_until(viewer, b'data: {"n":3}')
    assert "cannot be looked at" in caplog.text


def test_the_state_as_viewers_get_it_is_that_of_the_api():
    sources = example_page()
    page = TestClient(create_app(sources), base_url="http://127.0.0.1:8088")
    asked, sent = page.get("/api/state").json(), json.loads(sources.snapshot_json())
    assert asked.keys() == sent.keys() and asked["lines"][0].keys() == sent["lines"][0].keys()
    assert asked["lines"][0]["alarm"]["inspection_id"] == 1 and asked["lines"][1]["alarm"] is None
    assert asked["newest_event"] == 2
