"""What dies or hangs is replaced a few times; what cannot be replaced ends the run, with its name."""

import threading
from dataclasses import dataclass, field

import pytest

from agent.heartbeat import Heartbeat
from agent.mending import Mending
from agent.mqtt.sender import Sender
from tests.factories.agent import FakeMqttClient, FakeRows
from tests.factories.brokers import wait_until


@dataclass
class Supervisor:
    """A source that is given up or not."""

    line: str = "belt"
    given_up: bool = False
    looks: int = 0

    @property
    def problem(self):
        return f"line {self.line}: the source hangs" if self.given_up else None

    def look(self):
        self.looks += 1


@dataclass
class PartsOfARun:
    supervisors: tuple[Supervisor, ...] = ()
    failure: str | None = None
    alive: bool = True
    revived: int = 0
    now: float = 0.0
    heartbeat: Heartbeat = field(init=False)

    def __post_init__(self):
        self.heartbeat = Heartbeat("the part", 10, 30, lambda: self.now)

    def revive(self):
        self.revived += 1

    start = revive


@pytest.fixture
def parts():
    return {name: PartsOfARun() for name in ("lineup", "pipeline", "sender", "web", "steward")}


@pytest.fixture
def mending(parts):
    return Mending(**parts)


def test_nothing_to_mend(parts, mending):
    parts["lineup"].supervisors = (Supervisor(),)
    assert mending.look(1.0) is None
    assert parts["lineup"].supervisors[0].looks == 1
    assert not any(part.revived for part in parts.values())


def test_a_worker_that_failed_hangs_or_ended_ends_the_run(parts, mending):
    parts["pipeline"].failure = "the detector hangs: no progress for 130 s"
    assert mending.look(1.0) == "the detector hangs: no progress for 130 s"
    parts["pipeline"].failure, parts["pipeline"].alive = None, False
    assert mending.look(2.0) == "a worker of the pipeline ended"


def test_a_sender_that_hangs_ends_the_run(parts, mending):
    parts["sender"].now = 30.0
    assert mending.look(1.0) is None
    parts["sender"].now = 31.0
    assert mending.look(2.0) == "the part hangs: no progress for 31 s"


def test_a_sender_that_dies_again_and_again_ends_the_run(parts, mending):
    parts["sender"].alive = False
    assert [mending.look(float(now)) for now in range(3)] == [None, None, None]
    assert parts["sender"].revived == 3
    assert mending.look(4.0) == "the sender thread ends again and again"
    # Ten minutes later it may try again.
    assert mending.look(700.0) is None


@pytest.mark.parametrize("fault", ["dead", "hung"])
def test_a_page_is_replaced_but_ends_no_run(parts, mending, fault):
    parts["web"].alive, parts["web"].now = fault != "dead", 31.0
    assert [mending.look(float(now)) for now in range(6)] == [None] * 6
    assert parts["web"].revived == 3


def test_a_steward_that_died_is_replaced_one_that_hangs_is_not_and_neither_ends_a_run(parts, mending):
    parts["steward"].now = 601.0
    assert mending.look(1.0) is None and not parts["steward"].revived
    parts["steward"].alive = False
    assert [mending.look(float(now)) for now in range(2, 8)] == [None] * 6
    assert parts["steward"].revived == 3
    assert mending.look(700.0) is None and parts["steward"].revived == 4


def test_one_line_that_cannot_be_mended_stops_no_other(parts, mending):
    parts["lineup"].supervisors = (Supervisor("belt", given_up=True), Supervisor("dock"))
    assert mending.look(1.0) is None
    parts["lineup"].supervisors[1].given_up = True
    assert mending.look(2.0) == "line belt: the source hangs"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_real_sender_that_died_of_an_error_sends_again():
    class Dying(FakeMqttClient):
        def service(self, idle: bool) -> None:
            if not died.is_set():
                died.set()
                raise ValueError("nobody foresaw this")

    died = threading.Event()
    client, rows = Dying(answering=True), FakeRows(3)
    sender = Sender(client, rows, "run-1", "p/a/status")
    sender.start()
    wait_until(lambda: died.is_set() and not sender.alive)
    assert rows.waiting == [1, 2, 3]
    mending = Mending(PartsOfARun(), PartsOfARun(), sender, PartsOfARun(), PartsOfARun())
    assert mending.look(1.0) is None
    wait_until(lambda: rows.waiting == [])
    assert sender.alive
    sender.stop(1)
