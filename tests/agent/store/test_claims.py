"""Claims of two agents on one real server: who has a file, for how long, and what a late holder may still do."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import DateTime, literal, select

from agent.errors import ClaimLost
from agent.records import Disposition, FileState
from agent.store.access import open_writer
from agent.store.claims import LEASE_S, STALE_LISTING_S, Claims, FileKey
from agent.store.ledger import Ledger
from agent.store.schema import claims, files
from agent.store.shared_ledger import ASK_AGAIN_S, SharedLedger
from agent.store.writer import Writer
from tests.factories.agent import an_inspection, row_count

ROOT = "/share/in"
FILE = ("inbox", "/share/in/a.png", 10, 1_500_000_000)


class Clock:
    """The server's time, and that of the boxes."""

    def __init__(self):
        self.wall, self.box = datetime(2026, 1, 1, tzinfo=UTC), 100.0

    def now(self):
        return literal(self.wall, DateTime(timezone=True))

    def monotonic(self):
        return self.box

    def pass_by(self, seconds):
        self.wall += timedelta(seconds=seconds)
        self.box += seconds


class Agent:
    """One agent with a run of its own; its box sees the share at `root`."""

    def __init__(self, url, name, clock, root=ROOT, run=None):
        self.run = run or f"run-{name}"
        self.database = open_writer(url, name)
        self.writer = Writer(self.database)
        self.writer.start_run(self.run, lambda step: None)
        self.ledger = Ledger(self.database)
        self.claims = Claims(self.database, self.run, clock.now, clock.monotonic)
        self.shared = SharedLedger(self.ledger, self.claims, root, clock.monotonic)

    def record(self, file_id, seq=1):
        return self.writer.record(an_inspection(run=self.run, seq=seq, line="inbox", file_id=file_id), (), ())

    def row(self, file_id):
        with self.database.transaction() as connection:
            return connection.execute(select(files).where(files.c.id == file_id)).first()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def url(postgres):
    return postgres.new_database()


@pytest.fixture
def make(url, clock):
    made = []

    def build(name, **more):
        made.append(Agent(url, name, clock, **more))
        return made[-1]

    yield build
    for agent in made:
        agent.database.close()


@pytest.fixture
def two(make):
    return make("left"), make("right")


def test_of_two_that_see_a_file_one_has_it_until_it_has_left_the_folder(two, clock):
    left, right = two
    file_id = left.shared.add_claimed(*FILE)
    assert file_id is not None and right.shared.add_claimed(*FILE) is None
    assert row_count(right.database, "files") == 1, "whoever does not have the file enters nothing"
    left.shared.opened(file_id, "aa")
    left.record(file_id)
    clock.pass_by(ASK_AGAIN_S)
    assert right.shared.add_claimed(*FILE) is None, "judged, and still to be moved"
    left.writer.finish_disposition(file_id)
    clock.pass_by(ASK_AGAIN_S)
    left.claims.turn()
    assert right.shared.add_claimed(*FILE) is None, "a stale listing shows it a while longer"


def test_a_file_that_comes_again_is_judged_again_once_no_listing_can_be_stale(two, clock):
    left, right = two
    file_id = left.shared.add_claimed(*FILE)
    left.record(file_id)
    left.writer.finish_disposition(file_id)
    clock.pass_by(LEASE_S + STALE_LISTING_S - 1)
    right.claims.turn()
    assert right.shared.add_claimed(*FILE) is None
    clock.pass_by(5)
    right.claims.turn()
    again = right.shared.add_claimed(*FILE)
    assert again not in (None, file_id) and right.row(again).agent == "right"


def test_two_connections_in_the_same_moment_give_every_file_to_one(two):
    names = [f"/share/in/{number:03d}.png" for number in range(60)]
    ready, taken = threading.Barrier(2), {}

    def run(agent):
        ready.wait(20)
        taken[agent.database.agent] = {
            name: found for name in names if (found := agent.shared.add_claimed("inbox", name, 10, 1)) is not None
        }

    threads = [threading.Thread(target=run, args=(agent,)) for agent in two]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    left, right = taken["left"], taken["right"]
    assert not left.keys() & right.keys() and left.keys() | right.keys() == set(names)
    assert row_count(two[0].database, "files") == row_count(two[0].database, "claims") == len(names)


def test_the_first_to_commit_has_the_file_when_both_have_seen_it_free(two, monkeypatch):
    """The other has looked before, and finds out as it writes: nothing of it stays."""
    left, right = two
    monkeypatch.setattr(right.claims, "is_known", lambda connection, key: False)
    file_id = left.shared.add_claimed(*FILE)
    assert right.shared.add_claimed(*FILE) is None
    assert (row_count(left.database, "files"), left.row(file_id).agent) == (1, "left")


def test_what_is_renewed_stays_and_what_is_not_is_taken_over_with_its_row(make, clock):
    left, right = make("left"), make("right", root="/mnt/other/in")
    seen = ("inbox", "/mnt/other/in/a.png", 10, 1_500_000_300)
    file_id = left.shared.add_claimed(*FILE)
    for _ in range(4):
        clock.pass_by(LEASE_S - 1)
        left.claims.turn()
        assert right.shared.add_claimed(*seen) is None and right.shared.find(*seen) is None
    clock.pass_by(LEASE_S + 1)
    assert right.shared.add_claimed(*seen) is None
    known = right.shared.find(*seen)
    assert (known.id, known.state, known.path) == (file_id, FileState.PENDING, seen[1])
    assert left.shared.find(*FILE) is None and not left.shared.claim(file_id)
    assert right.shared.claim(file_id) and not right.shared.claim(file_id)
    assert row_count(left.database, "files") == 1, "it has arrived once"


def test_a_holder_that_was_paused_records_no_second_verdict_and_spoils_nothing(two, clock):
    left, right = two
    file_id = left.shared.add_claimed(*FILE)
    left.shared.opened(file_id, "aa")
    clock.pass_by(LEASE_S + 1)
    right.shared.add_claimed(*FILE)
    assert right.shared.claim(file_id)
    left.claims.turn()
    left.shared.opened(file_id, "zz")
    left.shared.release(file_id)
    left.shared.skip(file_id, "zz", "no_image_object")
    assert (right.row(file_id).state, right.row(file_id).sha256) == (FileState.CLAIMED, "")
    with pytest.raises(ClaimLost, match=r"line inbox: file \d+ is another agent's by now: right"):
        left.record(file_id)
    assert row_count(left.database, "inspections") == 0
    right.record(file_id)
    with pytest.raises(ClaimLost):
        left.record(file_id, seq=2)
    left.writer.finish_disposition(file_id, gone=True)
    row = right.row(file_id)
    assert (row.state, row.disposition, row.reason) == (FileState.DONE, Disposition.PENDING, None)
    assert row_count(left.database, "inspections") == 1


def test_a_lease_that_is_over_does_no_harm_where_nobody_took_the_file(two, clock):
    left, _ = two
    file_id = left.shared.add_claimed(*FILE)
    clock.pass_by(10 * LEASE_S)
    left.record(file_id)
    assert left.row(file_id).state is not None and row_count(left.database, "inspections") == 1


def test_an_earlier_run_of_the_same_name_is_fenced_off_too(url, make, clock):
    """Its box lost the server, another with its name was started, and it comes back."""
    first = make("left")
    file_id = first.shared.add_claimed(*FILE)
    first.database.name_lock.release()
    second = make("left", run="run-again")
    second.ledger.recover()
    assert second.shared.claim(file_id)
    with pytest.raises(ClaimLost):
        first.record(file_id)
    second.record(file_id)


def test_after_a_restart_an_agent_goes_on_with_its_own_files_at_once(make, clock):
    first = make("left")
    file_id = first.shared.add_claimed(*FILE)
    first.database.close()
    again = make("left", run="run-again")
    again.ledger.recover()
    known = again.shared.find(*FILE)
    assert known.id == file_id and again.shared.claim(file_id)
    again.record(file_id)


def test_a_file_that_waits_from_before_the_folder_was_shared_gets_its_claim(two):
    left, right = two
    file_id = left.ledger.add_claimed(*FILE)
    left.ledger.recover()
    assert left.shared.claim(file_id)
    assert right.shared.add_claimed(*FILE) is None


def test_a_file_written_anew_within_its_second_is_not_forgotten(two):
    """For the claims it is the same file, and its first version waits for nothing any more."""
    left, _ = two
    file_id = left.shared.add_claimed(*FILE)
    left.shared.opened(file_id, "aa")
    left.shared.release(file_id)
    anew = (*FILE[:3], FILE[3] + 5)
    assert left.shared.add_claimed(*anew) is None
    known = left.shared.find(*anew)
    assert (known.id, known.state) == (file_id, FileState.PENDING) and left.shared.claim(file_id)


def test_a_judged_file_whose_holder_died_is_moved_by_who_takes_it_over_and_not_judged(two, clock):
    left, right = two
    file_id = left.shared.add_claimed(*FILE)
    left.shared.opened(file_id, "aa")
    left.record(file_id)
    clock.pass_by(LEASE_S + 1)
    assert right.shared.add_claimed(*FILE) is None
    (row,) = right.ledger.unmoved()
    assert (row.id, row.state) == (file_id, FileState.DONE)
    assert right.shared.find(*FILE).state is FileState.DONE and not right.shared.claim(file_id)


def test_a_file_that_ends_one_agent_after_another_is_quarantined(make, clock):
    names = ("left", "right", "third")
    agents = [make(name) for name in names]
    file_id = agents[0].shared.add_claimed(*FILE)
    for agent in agents[1:]:
        clock.pass_by(LEASE_S + 1)
        assert not agent.shared.add_claimed(*FILE)
        assert agent.shared.claim(file_id)
    assert agents[2].shared.find(*FILE).quarantined


def test_an_agent_that_was_stopped_leaves_no_suspicion(two, clock):
    left, right = two
    left.shared.add_claimed(*FILE)
    left.writer.end_run(clean=True)
    clock.pass_by(LEASE_S + 1)
    right.shared.add_claimed(*FILE)
    assert row_count(right.database, "suspects") == 0


def test_a_file_that_cannot_be_judged_yet_is_free_again(two, clock):
    left, right = two
    left.shared.release(left.shared.add_claimed(*FILE))
    assert row_count(left.database, "claims") == row_count(left.database, "files") == 0
    assert right.shared.add_claimed(*FILE) is not None


def test_what_waits_longer_is_not_kept_from_others_by_renewing(two, clock):
    """Its line may be switched off here, and on there."""
    left, right = two
    file_id = left.shared.add_claimed(*FILE)
    left.shared.opened(file_id, "aa")
    left.shared.release(file_id)
    clock.pass_by(LEASE_S + 1)
    left.claims.turn()
    right.shared.add_claimed(*FILE)
    assert right.shared.claim(file_id)


def test_others_are_not_asked_for_a_file_several_times_a_second(two, clock, monkeypatch):
    left, right = two
    left.shared.add_claimed(*FILE)
    asked, looked = [], []
    known, find = right.claims.is_known, right.ledger.find
    monkeypatch.setattr(right.claims, "is_known", lambda *a: asked.append(a) or known(*a))
    monkeypatch.setattr(right.ledger, "find", lambda *a: looked.append(a) or find(*a))
    for _ in range(8):
        assert right.shared.find(*FILE) is None and right.shared.add_claimed(*FILE) is None
        clock.pass_by(ASK_AGAIN_S / 4)
    assert len(asked) == len(looked) == 2


def test_a_key_names_nobody_and_is_the_same_on_every_box():
    one = FileKey.of("inbox", "ward 3/Müller.png", 10, 1_999_999_999)
    other = FileKey.of("inbox", "ward 3/Müller.png", 10, 1_100_000_000)
    assert one == other and "ller" not in one.file and len(one.file) == 64
    assert FileKey.of("inbox", "ward 4/Müller.png", 10, 1_999_999_999) != one


def test_old_claims_go_with_their_files(two):
    left, _ = two
    file_id = left.shared.add_claimed(*FILE)
    with left.database.transaction() as connection:
        connection.execute(files.delete().where(files.c.id == file_id))
        assert connection.execute(select(claims)).all() == []
