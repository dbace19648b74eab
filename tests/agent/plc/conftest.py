"""A board, and a recorder with a real store that tells it of what it has committed."""

import threading
import time

import pytest

from agent.config.line import LineSection
from agent.mqtt.payloads import Topics
from agent.pipeline.evidence import EvidenceWriter
from agent.pipeline.lines import Line
from agent.pipeline.messages import Messages
from agent.pipeline.recorder import Recorder
from agent.plc.board import PlcBoard
from agent.records import LineMode
from agent.sources.sinks import Tally
from agent.store.access import open_writer
from agent.store.writer import Writer
from tests.factories.agent import a_judged, an_inspection


class Committing:
    """Commits verdicts of the line belt; `committed`: when the newest of them was, as the first observer saw it."""

    def __init__(self, folder, board):
        section = LineSection(
            name="belt", source={"type": "camera", "url": "rtsp://127.0.0.1/x"}, profile="p", mode="live"
        )
        self.database = open_writer(f"sqlite:///{folder}/agent.db")
        messages = Messages(Topics("fbclip", "a"), {"belt": LineMode.LIVE})
        Writer(self.database).start_run("run-1", messages.of_end)
        self.committed, self._seq, self._board = 0.0, 0, board
        self._recorder = Recorder(
            lines={"belt": Line(section, "adapter")},
            tallies={"belt": Tally()},
            writer=Writer(self.database),
            evidence=EvidenceWriter(folder, "run-1"),
            messages=messages,
            observers=[self, board],
            ok_every=0,
        )

    def inspected(self, _judged):
        self.committed = time.monotonic()

    def commit(self, verdict):
        self._seq += 1
        self._board.look({"belt": True, "inbox": False}, healthy=True)
        assert self._recorder.record(a_judged(an_inspection(verdict, self._seq)), threading.Event())


@pytest.fixture
def board():
    board = PlcBoard(hold_s=0.0)
    board.look({"belt": True, "inbox": False}, healthy=True)
    return board


@pytest.fixture
def line(tmp_path, board):
    line = Committing(tmp_path, board)
    yield line
    line.database.close()
