"""Every file of a hot folder exactly once, and none that ended the agent twice a third time."""

from agent.records import Disposition, FileState
from agent.store.ledger import Ledger
from agent.store.writer import Writer
from fbclip.decision import Verdict
from tests.factories.agent import an_inspection
from tests.factories.postgres import on_both_engines


@on_both_engines
def test_the_life_of_a_file(database, writer):
    ledger = Ledger(database)
    first = ledger.add_claimed("inbox", "a.png", 10, 1)
    assert ledger.find("inbox", "a.png", 10, 1).id == first and not ledger.claim(first)
    ledger.opened(first, "aa")
    second = ledger.add_claimed("inbox", "a.png", 10, 2)
    assert second != first and ledger.find("inbox", "a.png", 11, 2) is None
    writer.record(an_inspection(file_id=first), (), ())
    assert [(row.id, row.sha256) for row in ledger.recover()] == [(first, "aa")]
    assert ledger.find("inbox", "a.png", 10, 2).state is FileState.PENDING
    writer.finish_disposition(first)
    assert ledger.recover() == ledger.unmoved() == ()
    assert ledger.find("inbox", "a.png", 10, 1).disposition is Disposition.FINISHED
    assert ledger.claim(second) and not ledger.claim(second)
    ledger.opened(second, "bb")
    writer.record(an_inspection(Verdict.REJECTED, 2, file_id=second), (), ())
    failed = ledger.unmoved()[0]
    assert (failed.state, failed.reason, failed.disposition) == (FileState.FAILED, "black", Disposition.PENDING)


@on_both_engines
def test_a_file_that_cannot_be_judged_yet_leaves_no_row(database, writer):
    ledger = Ledger(database)
    ledger.release(ledger.add_claimed("inbox", "growing.png", 10, 1))
    assert ledger.find("inbox", "growing.png", 10, 1) is None
    known = ledger.add_claimed("inbox", "b.png", 10, 1)
    ledger.opened(known, "bb")
    ledger.release(known)
    assert ledger.find("inbox", "b.png", 10, 1).state is FileState.PENDING


@on_both_engines
def test_a_file_that_holds_nothing_to_judge_is_skipped_and_moved(database, writer):
    ledger = Ledger(database)
    report = ledger.add_claimed("inbox", "report.dcm", 10, 1)
    ledger.skip(report, "aa", "no_image_object")
    (row,) = ledger.unmoved()
    assert (row.state, row.reason, row.sha256) == (FileState.SKIPPED, "no_image_object", "aa")
    writer.finish_disposition(report)
    assert ledger.recover() == () and ledger.find("inbox", "report.dcm", 10, 1).state is FileState.SKIPPED


@on_both_engines
def test_a_file_taken_away_after_its_verdict_is_finished_as_gone(database, writer):
    ledger = Ledger(database)
    for number, verdict in ((1, Verdict.OK), (2, Verdict.REJECTED)):
        file_id = ledger.add_claimed("inbox", f"{number}.png", 10, 1)
        ledger.opened(file_id, "aa")
        writer.record(an_inspection(verdict, number, file_id=file_id), (), ())
        writer.finish_disposition(file_id, gone=True)
    assert ledger.unmoved() == ()
    assert [ledger.find("inbox", f"{n}.png", 10, 1).reason for n in (1, 2)] == ["gone", "black"]


class Runs:
    """One database, run after run."""

    def __init__(self, database):
        self.ledger, self.number = Ledger(database), 0
        self.database = database
        self.writer = None

    def start(self):
        self.number += 1
        self.writer = Writer(self.database)
        self.writer.start_run(f"run-{self.number}", lambda step: None)
        self.ledger.recover()

    def quarantined(self, name):
        return self.ledger.find("inbox", name, 10, 1).quarantined


@on_both_engines
def test_a_file_that_was_being_opened_when_the_agent_died_twice_is_quarantined(database):
    runs = Runs(database)
    runs.start()
    file_id = runs.ledger.add_claimed("inbox", "killer.png", 10, 1)
    for _ in range(2):
        assert not runs.quarantined("killer.png")
        runs.start()
        assert runs.ledger.claim(file_id)
    assert runs.quarantined("killer.png")
    runs.ledger.release(file_id)
    assert runs.quarantined("killer.png")


@on_both_engines
def test_a_clean_stop_suspects_nobody(database):
    runs = Runs(database)
    runs.start()
    file_id = runs.ledger.add_claimed("inbox", "a.png", 10, 1)
    for _ in range(9):
        runs.writer.end_run(clean=True)
        runs.start()
        assert runs.ledger.claim(file_id)
    assert not runs.quarantined("a.png")


@on_both_engines
def test_a_bystander_that_waits_for_its_verdict_is_suspected_less(database):
    """A power cut takes a whole queue along; only a file that is there again and again is set aside."""
    runs = Runs(database)
    runs.start()
    file_id = runs.ledger.add_claimed("inbox", "a.png", 10, 1)
    deaths = 0
    while not runs.quarantined("a.png"):
        runs.ledger.opened(file_id, "aa")
        runs.start()
        assert runs.ledger.claim(file_id)
        deaths += 1
    assert deaths == 6
