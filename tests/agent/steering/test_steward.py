"""Commands are followed one by one, answered, kept for the next start, and entered in the audit."""

import threading

import pytest

from agent.errors import StoreError
from agent.line_states import LineState
from agent.records import StepType
from agent.steering.steward import MOST_WAITING, Request
from agent.store.views import Views
from fbclip.decision import Verdict
from tests.factories.agent import a_step, an_inspection, row_count
from tests.factories.brokers import wait_until
from tests.factories.lineups import write_profile_of
from tests.factories.steering import steered, write_config


@pytest.fixture
def path(tmp_path, detector):
    write_profile_of(detector, tmp_path, "belt", threshold=4.0)
    write_profile_of(detector, tmp_path, "dock")
    return write_config(tmp_path, {"name": "belt"}, {"name": "dock"})


@pytest.fixture
def agent(detector, path):
    with steered(detector, path) as agent:
        yield agent


def threshold_of(agent, line="belt"):
    return agent.lineup.lines[line].loaded.profile.threshold


def states(agent):
    return {line.name: line.state for line in agent.lineup.healths()}


def test_a_threshold_is_set_answered_audited_and_kept_for_the_next_start(agent, detector, path):
    answer = agent.tell("threshold", line="belt", threshold=2.5, by="ann", correlation_id="7")
    assert (answer.ok, answer.text, answer.correlation_id) == (
        True,
        "line belt: profile (guarantee: none (by hand))",
        "7",
    )
    assert threshold_of(agent) == 2.5
    (entry,) = agent.audit.entries()
    assert (entry.origin, entry.verb, entry.by, entry.line, entry.ok) == ("ctl", "threshold", "ann", "belt", True)
    assert entry.detail["asked"] == {"line": "belt", "threshold": 2.5}
    assert entry.detail["before"]["choice"]["threshold"] is None
    assert entry.detail["after"]["choice"]["threshold"]["value"] == 2.5
    agent.end()
    with steered(detector, path) as next_start:
        assert threshold_of(next_start) == 2.5
        assert next_start.tell("threshold", line="belt", threshold=None).ok
        assert threshold_of(next_start) == 4.0


def test_a_line_is_switched_off_and_stays_off_after_a_restart(agent, detector, path):
    assert agent.tell("disable", line="dock").text == "line dock: disabled"
    agent.end()
    with steered(detector, path) as next_start:
        assert states(next_start) == {"belt": LineState.RUNNING, "dock": LineState.DISABLED}
        assert next_start.tell("enable", line="dock").ok
        assert states(next_start)["dock"] is LineState.RUNNING


def test_a_profile_is_switched_and_rolled_back_while_the_source_runs_on(agent, detector, tmp_path):
    sources = agent.lineup.supervisors
    write_profile_of(detector, tmp_path, "belt", "new.yaml", threshold=6.0)
    assert agent.tell("profile", line="belt", profile="new.yaml").ok
    assert threshold_of(agent) == 6.0
    assert agent.tell("profile", line="belt", rollback=True).ok
    assert threshold_of(agent) == 4.0
    assert agent.lineup.supervisors == sources


def test_a_profile_that_does_not_fit_is_refused_and_nothing_changes(agent, detector, tmp_path):
    write_profile_of(detector, tmp_path, "dock", "foreign.yaml")
    answer = agent.tell("profile", line="belt", profile="foreign.yaml", correlation_id="c")
    assert not answer.ok
    assert "the profile is for dock, this line is belt" in answer.text
    assert threshold_of(agent) == 4.0
    assert not agent.audit.entries()[0].ok
    assert "before" not in agent.audit.entries()[0].detail


def test_what_cannot_be_kept_for_the_next_start_is_not_done(agent, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("agent.steering.steward.save_overrides", full)
    answer = agent.tell("threshold", line="belt", threshold=2.5)
    assert not answer.ok
    assert "nothing was changed" in answer.text
    assert threshold_of(agent) == 4.0


def test_reload_changes_what_differs_and_names_what_needs_a_start(agent, detector, tmp_path):
    belt = agent.lineup.supervisors[0]
    write_profile_of(detector, tmp_path, "belt", threshold=5.0)
    write_config(tmp_path, {"name": "belt", "mode": "live"}, {"name": "dock"}, web={"listen": "127.0.0.1:1"})
    answer = agent.tell("reload")
    assert answer.text == "line belt: mode, profile (guarantee: none); web: takes effect at the next start"
    assert threshold_of(agent) == 5.0
    assert agent.lineup.supervisors[0] is belt
    # Reported until it has taken effect.
    assert agent.tell("reload").text == "web: takes effect at the next start"


@pytest.mark.parametrize("text", ["lines: [", "lines: []", "lines: [{name: belt, source: {type: moon}}]"])
def test_a_configuration_that_is_wrong_is_refused_and_the_old_one_kept(agent, path, text):
    plans, sources = dict(agent.lineup.plans), agent.lineup.supervisors
    path.write_text(text)
    answer = agent.tell("reload")
    assert not answer.ok
    assert answer.text.startswith("the old configuration is kept: ")
    assert str(path) in answer.text
    assert dict(agent.lineup.plans) == plans
    assert agent.lineup.supervisors == sources


def test_a_reload_whose_profile_is_wrong_is_refused_too(agent, tmp_path):
    (tmp_path / "belt.yaml").write_text("nothing")
    answer = agent.tell("reload")
    assert not answer.ok
    assert "line belt: " in answer.text and "belt.yaml" in answer.text
    assert threshold_of(agent) == 4.0
    assert states(agent)["belt"] is LineState.RUNNING


def test_sighup_means_reload(agent, tmp_path):
    write_config(tmp_path, {"name": "belt"})
    agent.hangup.set()
    agent.steward.step(0)
    assert states(agent) == {"belt": LineState.RUNNING}
    assert (agent.audit.entries()[0].origin, agent.audit.entries()[0].text) == ("signal", "line dock: removed")


def test_events_are_acknowledged_and_inspections_commented(agent):
    agent.writer.record(an_inspection(Verdict.ANOMALY), [a_step(StepType.NEW, "e1")], [])
    assert agent.tell("ack", event_id="e1", by="ann").text == "line belt: event e1 is acknowledged"
    assert agent.audit.entries()[0].line == "belt"
    assert agent.tell("feedback", inspection_id=1, label="normal").text == "line belt: inspection 1 was normal"
    assert row_count(agent.database, "feedback") == 1
    note = {"note": "only dust", "by": "ann"}
    assert agent.tell("feedback", inspection_id=1, label="anomaly", **note).text.endswith("was anomalous")
    (latest, first) = Views(agent.database).feedback_on(1)
    assert (latest.label, latest.note, latest.by, latest.origin) == ("anomalous", "only dust", "ann", "ctl")
    assert (first.label, first.note) == ("normal", None)
    assert agent.audit.entries()[0].detail["asked"]["note"] == "only dust"
    assert not agent.tell("ack", event_id="e2").ok
    assert not agent.tell("feedback", inspection_id=2, label="normal").ok
    assert row_count(agent.database, "feedback") == 2


def test_what_is_no_command_is_answered_and_not_entered(agent):
    answer = agent.tell("fly", correlation_id="9")
    assert (answer.ok, answer.correlation_id) == (False, "9")
    assert agent.tell("enable", line="moon").text == "line moon: there is no such line"
    assert [entry.verb for entry in agent.audit.entries()] == ["enable"]


def test_a_flood_is_refused_instead_of_growing(agent):
    requests = [Request("reload", b"", "mqtt", agent.answers.append)] * (MOST_WAITING + 5)
    assert [agent.steward.submit(request) for request in requests].count(False) == 5


def test_an_audit_that_cannot_be_written_is_said_in_the_log_and_the_command_answered(agent, monkeypatch, caplog):
    def broken(_):
        raise StoreError("disk full")

    monkeypatch.setattr(agent.audit, "note", broken)
    assert agent.tell("disable", line="dock").ok
    assert "could not be entered in the audit: disk full" in caplog.text


def test_a_reply_that_fails_takes_nobodys_ears_away(agent):
    heard = threading.Event()

    def fails(_):
        raise RuntimeError("gone")

    agent.steward.start()
    agent.steward.submit(Request("reload", b"", "ctl", fails))
    agent.steward.submit(Request("reload", b"", "ctl", lambda _: heard.set()))
    assert heard.wait(10)
    agent.steward.stop(5)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_steward_that_died_is_started_again_and_follows_what_waited(agent):
    heard = threading.Event()

    def ends(_):
        raise SystemExit

    agent.steward.start()
    agent.steward.submit(Request("reload", b"", "ctl", ends))
    wait_until(lambda: not agent.steward.alive)
    agent.steward.submit(Request("reload", b"", "ctl", lambda _: heard.set()))
    agent.steward.start()
    assert heard.wait(10) and agent.steward.alive
    agent.steward.stop(5)
