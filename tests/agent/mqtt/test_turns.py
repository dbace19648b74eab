"""A line with something new overtakes the backlog of the others; within a line, order stays."""

from datetime import UTC, datetime

from agent.mqtt.turns import QUIET_S, READ, Turns
from agent.records import Message

COMMITTED = datetime(2026, 1, 2, tzinfo=UTC)


class Backlog:
    """Rows by number and line, lines in turn as the outbox gives them."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, str]] = []

    def pending(self, limit, exclude_ids=()):
        waiting = [row for row in self.rows if row[0] not in exclude_ids]
        nth = {row: sum(other[1] == row[1] for other in waiting[:at]) for at, row in enumerate(waiting)}
        found = sorted(waiting, key=lambda row: (nth[row], row[1]))[:limit]
        return tuple(Message(i, f"m{i}", f"p/a/{line}/event", {}, COMMITTED, "run-1") for i, line in found)


def sent(turns: Turns, backlog: Backlog, count: int) -> list[int]:
    out = []
    for _ in range(count):
        message = turns.next(out, now=0.0)
        turns.sent()
        out.append(message.id)
        backlog.rows = [row for row in backlog.rows if row[0] != message.id]
    return out


def test_a_fresh_line_goes_first_and_its_own_backlog_stays_in_order():
    backlog = Backlog()
    backlog.rows = [(number, "belt") for number in range(100)]
    turns = Turns(backlog)
    assert sent(turns, backlog, 3) == [0, 1, 2]
    backlog.rows += [(200, "dock"), (201, "dock"), (202, "belt")]
    turns.look_again()
    assert sent(turns, backlog, 3) == [200, 3, 4], "only its oldest goes first: the others take turns"
    out = sent(turns, backlog, len(backlog.rows))
    assert [number for number in out if number not in (201,)] == [*range(5, 100), 202] and 201 in out[: READ + 1]


def test_nothing_new_reads_nothing():
    backlog = Backlog()
    backlog.rows = [(number, "belt") for number in range(5)]
    turns = Turns(backlog)
    assert turns.next((), now=0.0).id == 0 and turns.more and turns.ids == set(range(5))
    backlog.rows.append((9, "dock"))
    assert turns.next((), now=0.0).id == 0
    turns.forget()
    assert not turns.more


def test_an_empty_store_is_asked_again_at_word_of_something_new_or_after_a_while():
    backlog = Backlog()
    turns = Turns(backlog)
    assert turns.next((), now=10.0) is None
    backlog.rows.append((1, "belt"))
    assert turns.next((), now=10.0 + QUIET_S / 2) is None, "each PUBACK asks for the next row"
    assert turns.next((), now=10.0 + QUIET_S).id == 1, "also where nobody gave word, as after a start"
    turns.sent()
    backlog.rows = []
    assert turns.next((), now=20.0) is None
    backlog.rows.append((2, "belt"))
    turns.look_again()
    assert turns.next((), now=20.0).id == 2
    turns.forget()
    assert turns.next((), now=20.0).id == 2, "what was lost is read at once"
