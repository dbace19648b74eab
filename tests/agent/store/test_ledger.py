"""Every file of a hot folder exactly once."""

from agent.records import Disposition, FileState
from agent.store.ledger import Ledger
from fbclip.decision import Verdict
from tests.factories.agent import an_inspection


def test_the_life_of_a_file(database, writer):
    ledger = Ledger(database)
    first = ledger.add_pending("inbox", "a.png", 10, 1, "aa")
    assert ledger.find("inbox", "a.png", 10, 1).id == first
    second = ledger.add_pending("inbox", "a.png", 10, 2, "bb")
    assert second != first and ledger.find("inbox", "a.png", 11, 2) is None
    assert ledger.claim(first) and not ledger.claim(first) and ledger.claim(second)
    writer.record(an_inspection(file_id=first), (), ())
    assert [row.id for row in ledger.recover()] == [first]
    assert ledger.find("inbox", "a.png", 10, 2).state is FileState.PENDING
    writer.finish_disposition(first)
    assert ledger.recover() == ledger.unmoved() == ()
    assert ledger.find("inbox", "a.png", 10, 1).disposition is Disposition.FINISHED
    ledger.claim(second)
    writer.record(an_inspection(Verdict.REJECTED, 2, file_id=second), (), ())
    failed = ledger.unmoved()[0]
    assert (failed.state, failed.reason, failed.disposition) == (FileState.FAILED, "black", Disposition.PENDING)
