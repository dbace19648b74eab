"""A real agent, killed while slices of a private series wait: one verdict over all of them, and no name gets out."""

import json
import signal
import sqlite3

import pytest

from tests.e2e.running_agent import RunningAgent, Subscriber
from tests.factories.scans import NAME, a_series, blob, dicom_bytes


@pytest.fixture
def agent(tmp_path):
    def change(config):
        line = next(one for one in config["lines"] if one["name"] == "inbox")
        line["source"] |= {"path": str(tmp_path / "scans"), "series_s": 2, "rescan_s": 1}
        config["lines"] = [line | {"privacy": "phi"}]

    (tmp_path / "scans").mkdir()
    made = RunningAgent(tmp_path / "agent", change)
    made.inbox = tmp_path / "scans"
    yield made
    made.close()


def put(agent, datasets, first=0):
    for index, one in enumerate(datasets, first):
        hidden = agent.inbox / f".{index}"
        hidden.write_bytes(dicom_bytes(one))
        hidden.rename(agent.inbox / f"{NAME} {index}.dcm")


def rows(agent, query):
    with sqlite3.connect(f"file:{agent.folder / 'var' / 'agent.db'}?mode=ro", uri=True) as store:
        return store.execute(query).fetchall()


def test_a_series_over_a_kill_and_with_a_late_slice(agent):
    datasets = a_series(blob(7, 64, 64))
    agent.start()
    put(agent, datasets[:4])
    waiting = "select id from files where state = 'pending' and series is not null"
    agent.until(lambda: len(rows(agent, waiting)) == 4, "four slices that wait")
    agent.stop(signal.SIGKILL)
    put(agent, datasets[4:6], 4)
    agent.start()
    subscriber = Subscriber(agent.mqtt_port)
    agent.until(lambda: subscriber.subscribed, "the listener")
    finished = "select inspection_id, state, disposition from files where disposition = 'finished'"
    agent.until(lambda: len(rows(agent, finished)) == 6, "six slices that have left")
    ((first, context),) = rows(agent, "select id, context from inspections")
    assert json.loads(context)["files"] == 6
    put(agent, datasets[6:], 6)
    agent.until(lambda: len(rows(agent, finished)) == 7, "the late slice that has left")
    contexts = [json.loads(text) for (text,) in rows(agent, "select context from inspections order by id")]
    assert [one["files"] for one in contexts] == [6, 7] and contexts[1]["judged_before"] == first
    assert len({inspection for inspection, _, _ in rows(agent, finished)}) == 1
    subscriber.wait(
        lambda topic, body: topic.endswith("/result") and body["context"]["files"] == 7, "the second result"
    )
    assert [one["context"]["files"] for one in subscriber.messages("result")] == [6, 7]
    said = json.dumps([body for _, body in subscriber.heard])
    subscriber.close()
    agent.stop()
    assert list(agent.inbox.iterdir()) == []
    said += agent.log.read_text(encoding="utf-8")
    said += repr(rows(agent, "select * from inspections")) + repr(rows(agent, "select series, reason from files"))
    uids = {
        str(one[key].value) for one in datasets for key in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
    }
    assert not [word for word in ("Miller", "4711", *uids) if word in said]
