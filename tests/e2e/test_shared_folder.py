"""Two agents on one share and one PostgreSQL server: one is killed midway, or stands still and comes back too late."""

import json
import signal
from collections import Counter
from pathlib import Path

import pytest
import yaml

from agent.commands.options import ReconcileRequest
from agent.commands.reconcile import reconcile_command
from tests.factories.postgres import name_of, postgres
from tests.faults.injections import Fault
from tests.faults.invariants import check_messages
from tests.faults.site import Site

__all__ = ["postgres"]
SHORT_LEASE = Fault(lease_s=2.0)


class Share:
    """A folder that the agents `left` and `right` empty together; each has a broker and a page of its own."""

    def __init__(self, folder: Path, postgres) -> None:
        self._postgres, self.url = postgres, postgres.new_database()
        self.folder = folder / "share" / "in"
        self.folder.mkdir(parents=True)
        self.left, self.right = (self._site(folder / name, name) for name in ("left", "right"))

    def _site(self, folder: Path, name: str) -> Site:
        site = Site(folder, name=name, server=self.url)
        site.inbox = self.folder
        source = {"type": "folder", "path": str(self.folder), "settle_s": 0, "shared": True}
        site.document["lines"][0]["source"] = source
        site.write_config()
        return site

    def start(self) -> None:
        for site in (self.left, self.right):
            site.start(SHORT_LEASE)

    def close(self) -> None:
        for site in (self.left, self.right):
            site.close()

    def ask(self, query: str) -> list[tuple[object, ...]]:
        """Of the rows of both."""
        return self._postgres.execute(name_of(self.url), query)

    def forget_who_stands_still(self) -> None:
        """As the server does it by itself after half a minute, where somebody stopped in a transaction."""
        who = "datname = current_database() AND xact_start < now() - interval '2 s' AND pid <> pg_backend_pid()"
        self.ask(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {who}")

    def prove(self, capsys) -> None:
        """Each file has one inspection, lies in `done` or `failed` and is accounted for; each agent has sent its own
        messages and no others, and none is left."""
        digests = Counter(digest for (digest,) in self.ask("SELECT sha256 FROM inspections"))
        assert digests == Counter(self.left.accepted.values())
        assert self.ask("SELECT DISTINCT state, disposition FROM files") == [("done", "finished")]
        count = len(self.left.accepted)
        assert self.ask("SELECT count(*) FROM files") == [(count,)]
        assert self.ask("SELECT count(*) FROM outbox WHERE sent IS NULL AND agent = 'right'") == [(0,)]
        assert len(list(self.folder.with_name("in.done").iterdir())) == count
        for site in (self.left, self.right):
            heard = {body["message_id"] for body in list(site.ear.heard)}
            others = self.ask(f"SELECT message_id FROM outbox WHERE agent <> '{site.name}'")
            assert heard and not heard & {message_id for (message_id,) in others}
            assert {body["topic"].split("/")[1] for body in list(site.ear.heard)} == {site.name}
        assert reconcile_command(ReconcileRequest(self.right.config, as_json=True)) == 0
        (line,) = json.loads(capsys.readouterr().out)["lines"]
        assert (line["arrived"], line["states"]["done"], line["agents"]) == (count, count, ["left", "right"])
        assert (line["waiting"], line["in_done"], line["taken_away"], line["misfits"]) == (0, count, 0, [])


@pytest.fixture
def share(tmp_path, postgres):
    made = Share(tmp_path, postgres)
    yield made
    made.close()


def test_one_of_two_agents_is_killed_midway_and_each_file_is_judged_once(share, capsys):
    share.start()
    share.left.drop(110)
    share.left.until(lambda: share.left.judged() >= 10 and share.right.judged() >= 10, "both to be at work")
    share.left.kill()
    had = share.ask("SELECT count(*) FROM files WHERE agent = 'left' AND state = 'claimed'")
    assert had[0][0] and share.right.waiting(), "it was killed too late"
    share.right.until(lambda: share.right.waiting() == 0, "the rest to be judged")
    share.right.until(share.right.drained, "every message to be acknowledged")
    assert share.right.stop() == 0
    assert "was agent left's, which is gone or hangs" in share.right.log.read_text(encoding="utf-8")
    # What the killed one had not sent yet it sends when it is back, and it finds nothing to judge.
    before = share.left.judged()
    share.left.start(SHORT_LEASE)
    share.left.until(share.left.drained, "the messages of the killed one to be acknowledged")
    assert share.left.stop() == 0
    assert share.left.judged() == before and before + share.right.judged() == 110
    share.prove(capsys)
    for site in (share.left, share.right):
        check_messages(site)


def test_an_agent_that_stood_still_records_no_second_verdict(share, capsys):
    share.start()
    share.left.drop(50)
    share.left.until(lambda: share.left.judged() >= 3 and share.right.judged() >= 3, "both to be at work")
    share.left.signal(signal.SIGSTOP)

    def all_judged() -> bool:
        share.forget_who_stands_still()
        return share.right.waiting() == 0

    share.right.until(all_judged, "the rest to be judged", 90)
    share.left.signal(signal.SIGCONT)
    lost = lambda: share.left.state()["lines"][0]["dropped"]  # noqa: E731
    share.left.until(
        lambda: lost() or "taken over" in share.left.tail(), "the verdicts that came too late to be dropped"
    )
    for site in (share.left, share.right):
        site.until(site.drained, "every message to be acknowledged")
        assert site.stop() == 0
    share.prove(capsys)


def test_without_a_server_it_says_what_to_do(share):
    del share.left.document["store"]
    share.left.config.write_text(yaml.safe_dump(share.left.document), encoding="utf-8")
    share.left.start(wait=False)
    assert share.left.ended(30) == 2
    assert "line files: source.shared needs a PostgreSQL server" in share.left.log.read_text(encoding="utf-8")
