"""Lines come, go and change one by one: a bad one is unavailable and tried again, and no other notices."""

import itertools
import shutil
from dataclasses import replace

import pytest

from agent.line_states import LinePlan, LineState
from agent.lineup import FIRST_RETRY_S, LONGEST_RETRY_S
from agent.pipeline.lines import ManualThreshold
from agent.records import LineMode
from agent.steering.trigger_door import TriggerDoor
from fbclip.errors import ConfigError
from tests.factories.brokers import wait_until
from tests.factories.lines import remember
from tests.factories.lineups import a_lineup, folder_line, write_profile_of


@pytest.fixture
def lineup(detector):
    made = a_lineup(detector)
    yield made
    made.stop()
    for supervisor in made.supervisors:
        supervisor.join(5)


def states(lineup) -> dict[str, LineState]:
    return {line.name: line.state for line in lineup.healths()}


def supervisor_of(lineup, name):
    return next((one for one in lineup.supervisors if one.line == name), None)


@pytest.fixture
def two(lineup, detector, tmp_path):
    """`belt`, which can run, and `dock`, whose profile is not there yet."""
    write_profile_of(detector, tmp_path, "belt")
    plans = [LinePlan(folder_line(tmp_path, "belt")), LinePlan(folder_line(tmp_path, "dock"))]
    lineup.set_up(plans, 0.0)
    lineup.start()
    return plans


@pytest.mark.parametrize("bad", ["profile", "adapter", "memory", "foreign"])
def test_a_line_that_cannot_run_is_unavailable_and_the_others_run(lineup, detector, tmp_path, bad):
    write_profile_of(detector, tmp_path, "belt")
    write_profile_of(detector, tmp_path, "dock", size=64 if bad == "foreign" else 32)
    if bad == "memory":
        remember(tmp_path / "m", range(2))
    changes = {
        "profile": {"profile": tmp_path / "none.yaml"},
        "adapter": {"adapter": tmp_path / "none"},
        "memory": {"memory": tmp_path / "m"},
        "foreign": {},
    }[bad]
    lineup.set_up([LinePlan(folder_line(tmp_path, "dock", **changes)), LinePlan(folder_line(tmp_path, "belt"))], 0.0)
    lineup.start()
    assert states(lineup) == {"dock": LineState.UNAVAILABLE, "belt": LineState.RUNNING}
    dock = lineup.healths()[0]
    assert dock.problem == dock.health
    assert dock.problem.startswith("line dock: ")
    assert "\n" not in dock.problem
    assert [one.line for one in lineup.supervisors] == ["belt"]


def test_an_unavailable_line_is_tried_again_later_each_time_and_starts_by_itself(two, lineup, detector, tmp_path):
    tried = []
    for second in range(1000):
        before = lineup._places["dock"].retry_at
        lineup.retry(float(second))
        if lineup._places["dock"].retry_at != before:
            tried.append(second)
    gaps = [b - a for a, b in itertools.pairwise([0, *tried])]
    assert gaps[:4] == [FIRST_RETRY_S, 2 * FIRST_RETRY_S, 4 * FIRST_RETRY_S, 8 * FIRST_RETRY_S]
    assert max(gaps) == LONGEST_RETRY_S
    belt = supervisor_of(lineup, "belt")
    write_profile_of(detector, tmp_path, "dock")
    lineup.retry(1e6)
    assert states(lineup) == {"belt": LineState.RUNNING, "dock": LineState.RUNNING}
    assert supervisor_of(lineup, "dock").alive
    assert supervisor_of(lineup, "belt") is belt


def test_a_new_threshold_or_profile_restarts_no_source(two, lineup, detector, tmp_path):
    belt, before = supervisor_of(lineup, "belt"), lineup.lines["belt"]
    manual = ManualThreshold(value=7.5, profile_id=before.profile_id)
    changes = lineup.apply([replace(two[0], threshold=manual), two[1]], 1.0)
    assert changes == ["line belt: profile (guarantee: none (by hand))"]
    assert lineup.healths()[0].guarantee == "none (by hand)"
    profile = lineup.lines["belt"].loaded.profile
    assert (profile.threshold, profile.calibration.method, profile.calibration.guarantee) == (7.5, "manual", None)
    assert lineup.lines["belt"].profile_id != before.profile_id
    assert lineup.lines["belt"].measured_id == before.profile_id
    # The file itself was replaced by a new calibration: the threshold by hand was not for that one.
    write_profile_of(detector, tmp_path, "belt", threshold=3.25)
    assert lineup.apply([replace(two[0], threshold=manual), two[1]], 2.0) == ["line belt: profile (guarantee: none)"]
    assert lineup.lines["belt"].loaded.profile.threshold == 3.25
    assert supervisor_of(lineup, "belt") is belt
    assert belt.alive


def test_only_the_source_that_differs_is_started_anew_and_goes_on_counting(two, lineup, tmp_path):
    belt = supervisor_of(lineup, "belt")
    numbers = lineup._places["belt"].numbers
    other = folder_line(tmp_path, "belt").source.model_copy(update={"rescan_s": 7})
    changed = LinePlan(folder_line(tmp_path, "belt", source=other, mode="live"))
    assert lineup.apply([changed, two[1]], 1.0) == ["line belt: source, mode"]
    assert supervisor_of(lineup, "belt") is not belt
    assert supervisor_of(lineup, "belt").alive
    belt.join(5)
    assert not belt.alive
    assert lineup._places["belt"].numbers is numbers
    assert lineup.modes["belt"] is LineMode.LIVE


def test_a_change_that_cannot_run_changes_nothing_at_all(two, lineup, detector, tmp_path):
    plans, belt = dict(lineup.plans), supervisor_of(lineup, "belt")
    write_profile_of(detector, tmp_path, "belt", "third.yaml")
    good = LinePlan(folder_line(tmp_path, "belt", mode="live"))
    bad = LinePlan(folder_line(tmp_path, "third"))
    with pytest.raises(ConfigError, match=r"line third: profile .* is for belt, this line is third"):
        lineup.apply([good, two[1], bad], 1.0)
    assert lineup.plans == plans
    assert supervisor_of(lineup, "belt") is belt
    assert lineup.modes["belt"] is LineMode.SHADOW


def test_who_ends_events_hears_of_lines_that_go(two, lineup):
    ended = []
    lineup.line_ended = ended.append
    lineup.apply([replace(two[0], enabled=False), two[1]], 1.0)
    lineup.apply([two[1]], 2.0)
    lineup.apply([replace(two[1], enabled=False)], 3.0)
    assert ended == ["belt", "dock"]


def test_lines_are_added_and_removed(two, lineup, detector, tmp_path):
    write_profile_of(detector, tmp_path, "third")
    belt = supervisor_of(lineup, "belt")
    changes = lineup.apply([two[1], LinePlan(folder_line(tmp_path, "third"))], 1.0)
    assert changes == ["line belt: removed", "line third: added"]
    assert states(lineup) == {"dock": LineState.UNAVAILABLE, "third": LineState.RUNNING}
    belt.join(5)
    assert not belt.alive


def test_a_line_is_switched_off_and_on(two, lineup):
    assert lineup.apply([replace(two[0], enabled=False), two[1]], 1.0) == ["line belt: disabled"]
    off = lineup.healths()[0]
    assert (off.state, off.problem, off.health) == (LineState.DISABLED, None, "switched off")
    assert lineup.apply(two, 2.0) == ["line belt: enabled"]
    assert states(lineup)["belt"] is LineState.RUNNING


def test_after_stop_nothing_is_started(two, lineup, detector, tmp_path):
    lineup.stop()
    write_profile_of(detector, tmp_path, "dock")
    lineup.retry(1e6)
    assert not supervisor_of(lineup, "dock").alive


def test_a_missing_variable_makes_its_line_unavailable(lineup, tmp_path, detector, monkeypatch):
    monkeypatch.delenv("NOT_SET", raising=False)
    write_profile_of(detector, tmp_path, "belt")
    source = {"type": "camera", "url_env": "NOT_SET"}
    lineup.set_up([LinePlan(folder_line(tmp_path, "belt", source=source))], 0.0)
    # One turn of the source, without its thread.
    supervisor_of(lineup, "belt")._running.step()
    belt = lineup.healths()[0]
    assert belt.state is LineState.UNAVAILABLE
    assert belt.problem == "line belt: the environment variable NOT_SET holds no address"


def camera_line(tmp_path, **changes):
    source = {"type": "camera", "url": "http://127.0.0.1:9/x", "trigger": "mqtt"} | changes
    return folder_line(tmp_path, source=source)


def test_a_triggered_line_hears_triggers_while_it_runs_and_answers_them_always(lineup, detector, tmp_path):
    lineup.set_up([LinePlan(camera_line(tmp_path))], 0.0)
    lineup.start()
    gate, door = lineup.gates.get("belt"), TriggerDoor(lineup)
    trigger = b'{"line": "belt", "part": 1, "correlation_id": "c"}'

    def texts():
        return door.take(trigger).text, [refusal.reason for refusal in gate.due()]

    off = "; in mode shadow no result is published"
    assert texts() == (f"line belt: the line is unavailable{off}", ["line_unavailable"])
    write_profile_of(detector, tmp_path, "belt")
    lineup.retry(1000.0)
    assert texts() == (f"line belt: accepted{off}", [])
    assert lineup.healths()[0].triggers.received == 2
    assert not lineup.healths()[0].live
    # Other settings, another camera: the trigger that waits goes on waiting.
    lineup.apply([LinePlan(camera_line(tmp_path, queue=1))], 0.0)
    assert texts() == (f"line belt: busy: as many triggers wait for their answer as may{off}", ["busy"])
    lineup.apply([LinePlan(camera_line(tmp_path, queue=1), enabled=False)], 0.0)
    assert texts() == (f"line belt: the line is switched off{off}", ["line_off", "line_off"])
    lineup.apply([LinePlan(folder_line(tmp_path))], 0.0)
    answer = door.take(trigger)
    assert (answer.ok, answer.correlation_id) == (False, "c")
    assert answer.text == "line belt: hears no triggers; that takes trigger: mqtt in its source"
    lineup.apply([], 0.0)
    assert door.take(trigger).text == "line belt: there is no such line"
    # Back again, it goes on counting its frames and its triggers.
    lineup.apply([LinePlan(camera_line(tmp_path))], 0.0)
    assert lineup.gates.get("belt") is gate
    lineup.stop()
    assert texts()[1] == ["shutdown"]


def test_a_line_that_was_taken_away_and_is_back_repeats_no_number(two, lineup):
    lineup.apply(two[1:], 0.0)
    before = lineup._numbers["belt"]
    lineup.apply(two, 0.0)
    assert lineup._places["belt"].numbers is before


def test_a_line_whose_folder_is_not_there_is_unavailable_and_runs_when_it_is_back(two, lineup):
    hot = lineup.plans["belt"].section.source.path
    wait_until(lambda: lineup.healths()[0].health == "watching")
    shutil.rmtree(hot)
    wait_until(lambda: states(lineup)["belt"] is LineState.UNAVAILABLE)
    problem = "line belt: folder cannot be read: No such file or directory"
    assert (lineup.healths()[0].problem, lineup.healths()[0].health) == (problem, problem)
    hot.mkdir()
    wait_until(lambda: states(lineup)["belt"] is LineState.RUNNING)


def test_a_line_whose_files_cannot_leave_their_folder_is_unavailable_and_judges_on(two, lineup, monkeypatch):
    wait_until(lambda: lineup.healths()[0].health == "watching")
    monkeypatch.setattr("agent.sources.folder_root._refusal", lambda _: "Read-only file system")
    hot = lineup.plans["belt"].section.source.path
    (hot / "a.txt").write_bytes(b"a hint to look")
    wait_until(lambda: states(lineup)["belt"] is LineState.UNAVAILABLE)
    assert lineup.healths()[0].problem.endswith("judged files cannot leave the folder: Read-only file system")
    assert supervisor_of(lineup, "belt").alive
    monkeypatch.undo()
    (hot / "b.txt").write_bytes(b"another hint")
    wait_until(lambda: states(lineup)["belt"] is LineState.RUNNING)
