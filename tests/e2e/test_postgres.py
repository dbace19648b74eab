"""Agents on a real PostgreSQL server: fresh, killed midway, side by side, of one name, and with a server that goes."""

import copy
from collections import Counter

import pytest
import yaml

from tests.e2e.running_agent import SAMPLES, RunningAgent, Subscriber
from tests.factories.postgres import PASSWORD, name_of, postgres
from tests.faults.agent_process import spawn
from tests.faults.invariants import check
from tests.faults.site import Site

__all__ = ["postgres"]
TILES = sorted((SAMPLES / "inbox").glob("tile_*.png"))


@pytest.fixture
def url(postgres):
    return postgres.new_database()


@pytest.fixture
def make(tmp_path, url):
    """Sites of agents with these names, all on one database."""
    made = []

    def build(*names):
        made.extend(Site(tmp_path / name, name=name, server=url) for name in names)
        return made

    yield build
    for site in made:
        site.close()


def test_a_fresh_database_is_checked_used_and_resumed_after_a_kill(tmp_path, mosquitto, postgres, monkeypatch):
    """As shipped, with the password in the environment."""
    monkeypatch.setenv("STORE_PASSWORD", PASSWORD)
    broker, bare = mosquitto(), postgres.new_database(password=None)

    def change(config):
        config["mqtt"]["url"] = f"mqtt://127.0.0.1:{broker.port}"
        config["store"] = {"url": bare, "password_env": "STORE_PASSWORD"}
        config["lines"] = [line for line in config["lines"] if line["name"] == "inbox"]

    agent, subscriber = RunningAgent(tmp_path / "agent", change), Subscriber(broker.port)
    inbox, done = agent.inbox, agent.inbox.with_name("inbox.done")
    moved = lambda: len(list(done.glob("*.png"))) if done.is_dir() else 0  # noqa: E731
    ask = lambda query: postgres.execute(name_of(bare), query)  # noqa: E731
    try:
        checked = agent.command("check", "-c", str(agent.config))
        assert checked.returncode == 0, checked.stdout + checked.stderr
        agent.start()
        for number, tile in enumerate(TILES):
            agent.drop(tile, f"{number:03d}.png")
        agent.until(lambda: moved() >= 3, "some files to be judged")
        assert agent.process is not None
        agent.process.kill()
        agent.process.wait(10)
        assert any(inbox.glob("*.png")), "it was killed too late"
        agent.start()
        agent.until(lambda: moved() == len(TILES), "the rest to be judged")
        agent.until(lambda: ask("SELECT count(*) FROM outbox WHERE sent IS NULL") == [(0,)], "all to be acknowledged")
        assert ask("SELECT count(*), count(DISTINCT path), count(DISTINCT run) FROM inspections") == [
            (len(TILES), len(TILES), 2)
        ]
        wanted = {str(row[0]) for row in ask("SELECT message_id FROM outbox")}
        heard = {}
        while not wanted <= heard.keys():
            body = subscriber.wait(
                lambda _, b: b.get("message_id") in wanted - heard.keys(), f"{len(wanted) - len(heard)} messages"
            )
            heard[body["message_id"]] = body
        assert sorted(heard[name]["message_seq"] for name in wanted) == list(range(1, len(wanted) + 1))
        anomalies = ask("SELECT event_id FROM events WHERE kind = 'anomaly' AND ended IS NOT NULL")
        new = Counter(body["event_id"] for body in heard.values() if body.get("type") == "new")
        assert len(anomalies) >= 3 and all(new[str(event_id)] == 1 for (event_id,) in anomalies)
        assert agent.stop() == 0
        assert PASSWORD not in agent.log.read_text(encoding="utf-8")
    finally:
        subscriber.close()
        agent.close()


def test_two_agents_share_a_database_and_one_is_killed_midway(make, tmp_path):
    left, right = make("left", "right")
    for site in (left, right):
        site.start()
        site.drop(30)
    left.until(lambda: 3 <= left.judged() < 30, "the left agent to be midway")
    left.kill()
    claimed = left.number("SELECT count(*) FROM files WHERE state = 'claimed'")
    right.settle()
    assert left.number("SELECT count(*) FROM files WHERE state = 'claimed'") == claimed, "the neighbour took its claims"
    left.start()
    left.settle()
    for site in (left, right):
        assert site.stop() == 0
        counts = check(site)
        assert (counts.inspections, counts.alerts, counts.heard) == (30, 30, 90)
    topics = {body["topic"].split("/")[1] for body in left.ear.heard}
    assert topics == {"left"}, "an agent publishes its own messages only"


def test_the_same_name_is_refused_in_one_line(make, tmp_path):
    (first,) = make("press")
    first.start()
    document = copy.deepcopy(first.document)
    document["agent"]["data_dir"] = str(tmp_path / "other")
    document["web"]["listen"] = "127.0.0.1:0"
    (tmp_path / "inbox-other").mkdir()
    document["lines"][0]["source"]["path"] = str(tmp_path / "inbox-other")
    config, log = first.folder / "other.yaml", tmp_path / "other.log"
    config.write_text(yaml.safe_dump(document), encoding="utf-8")
    second = spawn(config, log)
    second.join(30)
    said = [line for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("error: ")]
    assert second.exitcode == 1 and len(said) == 1, log.read_text(encoding="utf-8")
    assert "another agent named press uses this database" in said[0] and PASSWORD not in said[0]
    assert "Traceback" not in log.read_text(encoding="utf-8")
    first.drop(5)
    first.settle()
    assert first.stop() == 0
    assert check(first).inspections == 5


def test_a_server_that_stops_under_a_running_agent_is_named_and_taken_up_again(make, postgres):
    (site,) = make("press")
    site.start()
    site.drop(20)
    site.until(lambda: site.judged() >= 3, "files to be judged")
    postgres.stop()
    try:
        site.drop(5)
        site.until(lambda: "server is away" in site.problems(), "the lost server to be named", 30)
        assert PASSWORD not in site.problems()
    finally:
        postgres.start()
    site.settle()
    site.until(lambda: site.problems() == "", "health to be well again", 30)
    assert site.stop() == 0
    assert (check(site).inspections, site.starts) == (25, 1)
    assert site.number("SELECT count(*) FROM runs WHERE clean") == 1
    assert PASSWORD not in site.tail()
