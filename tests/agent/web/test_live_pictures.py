"""One picture a line for all viewers: renewed in turns, an alarm at once, encoded once for each."""

import asyncio
import threading
from dataclasses import replace

import pytest

from agent.web import live_pictures
from agent.web.images import _Askers
from agent.web.live_pictures import LastInspection, LivePictures, renewed_every_s
from tests.factories.page import PageTime, all_well, build_page, found_something


@pytest.fixture
def time():
    return PageTime()


@pytest.fixture
def pictures(time):
    return LivePictures(time)


def well(number):
    return LastInspection(number, 0.0, all_well())


def test_a_picture_stands_until_its_turn(pictures, time):
    assert pictures.turn("belt", well(1), 2.0).number == 1
    time.now += 1.9
    assert pictures.turn("belt", well(9), 2.0).number == 1
    time.now += 0.1
    assert pictures.turn("belt", well(10), 2.0).number == 10


def test_the_first_picture_of_an_alarm_waits_for_nothing_and_those_after_it_do(pictures, time):
    pictures.turn("belt", well(1), 60.0)
    time.now += 0.5
    assert pictures.turn("belt", LastInspection(2, 0.0, found_something()), 60.0).number == 2
    time.now += 50.0
    assert pictures.turn("belt", LastInspection(3, 0.0, found_something()), 60.0).number == 2
    assert pictures.turn("belt", well(4), 60.0).number == 2


def test_viewers_of_any_number_fetch_about_as_much():
    assert renewed_every_s(1, 2) == renewed_every_s(0, 0) == live_pictures.LEAST_S
    for viewers, lines in ((20, 2), (60, 8)):
        assert viewers * lines / renewed_every_s(viewers, lines) == live_pictures.ANSWERS_A_SECOND


def test_all_who_ask_for_a_picture_get_what_was_encoded_once(pictures, monkeypatch):
    made = []
    encode = live_pictures.encode_jpeg
    monkeypatch.setattr(live_pictures, "encode_jpeg", lambda *args: made.append(1) or encode(*args))
    pictures.turn("belt", well(1))
    assert pictures.ready("belt", "overlay", 1) is None
    first = pictures.jpeg("belt", "overlay")
    assert first.startswith(b"\xff\xd8") and pictures.jpeg("belt", "overlay") is first
    assert pictures.ready("belt", "overlay", 1) is first and pictures.ready("belt", "overlay", 2) is None
    assert pictures.jpeg("belt", "frame") != first and len(made) == 2
    pictures.keep_lines([])
    assert pictures.jpeg("belt", "frame") is None


def test_who_asks_at_the_same_time_waits_for_one_who_works():
    calls, release = [], threading.Event()

    def make():
        calls.append(1)
        release.wait(10)
        return b"jpeg"

    async def ask():
        askers = _Askers()
        tasks = [asyncio.create_task(askers.ask("belt", make)) for _ in range(20)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        release.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        return found[1:], await askers.ask("belt", make)

    together, later = asyncio.run(ask())
    assert together == [b"jpeg"] * 19 and later == b"jpeg" and len(calls) == 2


def test_the_state_names_the_picture_and_the_inspection_it_is_of(time):
    page = build_page(time)
    (belt, inbox) = page.state.snapshot(20)["lines"]
    assert (belt["picture"], belt["picture_inspection"], belt["picture_verdict"]) == (1, 1, "anomaly")
    assert (inbox["has_frame"], inbox["has_map"]) == (False, False)
    shown = page.state.picture("belt", "frame", 1)
    page.happens(replace(all_well(), row=None))
    time.now += 1.0
    (belt, _) = page.state.snapshot(20)["lines"]
    # The verdict is the newest; the picture keeps its turn, and its link to what it shows.
    assert (belt["verdict"], belt["picture"], belt["picture_inspection"]) == ("ok", 1, 1)
    assert page.state.picture("belt", "frame", 1) is shown
    time.now += 1.0
    (belt, _) = page.state.snapshot(20)["lines"]
    assert (belt["picture"], belt["picture_verdict"]) == (2, "ok")
    assert page.state.picture_ready("belt", "frame", 2) is None
    assert page.state.picture("belt", "frame", 2) is page.state.picture_ready("belt", "frame", 2)
    with pytest.raises(KeyError):
        page.state.picture("moon", "frame", 2)
