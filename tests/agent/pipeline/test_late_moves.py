"""What could not leave its hot folder is moved later, in small steps, and only what was tried in vain is stuck."""

import threading
from pathlib import Path

import pytest

from agent.config.line import LineSection
from agent.config.source import FolderSource
from agent.pipeline.late_moves import MOST_FAILURES, LateMoves
from agent.pipeline.lines import Line
from agent.records import LineMode
from agent.sources import disposition
from agent.sources.disposition import FileGone, dispose, judged_sha256
from agent.sources.path_text import to_text
from agent.store.access import open_writer
from agent.store.ledger import Ledger
from agent.store.writer import Writer
from fbclip.decision import Verdict
from tests.factories.agent import an_inspection


class Plant:
    """Two lines with judged files that still lie in their folders."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.database = open_writer(f"sqlite:///{root / 'agent.db'}")
        self.ledger, self.writer = Ledger(self.database), Writer(self.database)
        self.writer.start_run("run", lambda step: None)
        self.lines = {}
        for name in ("one", "two"):
            (root / name).mkdir()
            source = FolderSource(type="folder", path=root / name)
            self.lines[name] = Line(LineSection(name=name, source=source, mode=LineMode.LEARNING), "adapter")
        self.now = 0.0
        self.late = LateMoves(self.writer, self.ledger, self.lines, monotonic=self.clock)
        self.seq = 0

    def clock(self) -> float:
        self.now += 0.1
        return self.now

    def judged(self, line: str, count: int) -> None:
        for _ in range(count):
            self.seq += 1
            path = self.root / line / f"{self.seq:03d}.png"
            path.write_bytes(str(self.seq).encode())
            info, sha = path.stat(), judged_sha256(path)
            file_id = self.ledger.add_claimed(line, to_text(path), info.st_size, info.st_mtime_ns)
            self.ledger.opened(file_id, sha)
            facts = {"line": line, "path": to_text(path), "file_id": file_id, "sha256": sha, "discrete": True}
            self.writer.record(an_inspection(Verdict.OK, self.seq, **facts), (), ())

    def waiting(self, line: str) -> int:
        return len(list((self.root / line).iterdir()))

    def round(self) -> None:
        self.late.look()
        for _ in range(100):
            self.late.go_on(100)


@pytest.fixture
def plant(tmp_path):
    plant = Plant(tmp_path)
    yield plant
    plant.database.close()


def test_moves_take_no_longer_than_they_may_and_lines_take_turns(plant):
    plant.judged("one", 12)
    plant.judged("two", 2)
    plant.late.look()
    # Two readings of the clock are 0.1 s apart: one turn a step, of one file a line.
    plant.late.go_on(0.05)
    assert (plant.waiting("one"), plant.waiting("two")) == (11, 1)
    for _ in range(20):
        plant.late.go_on(0.05)
    assert (plant.waiting("one"), plant.waiting("two")) == (0, 0)
    assert (plant.late.stuck, plant.ledger.unmoved()) == ({}, ())


def test_a_file_that_is_moved_just_now_is_not_stuck(plant):
    plant.judged("one", 1)
    plant.late.look()
    assert plant.late.stuck == {}
    plant.late.go_on(1)
    assert plant.late.stuck == {}


def test_a_folder_that_refuses_is_left_for_the_next_round_and_counted_whole(plant, caplog):
    plant.judged("one", MOST_FAILURES + 30)
    plant.judged("two", 3)
    (plant.root / "one.done").write_bytes(b"a file where a folder should be")
    plant.round()
    assert plant.late.stuck == {"one": MOST_FAILURES + 30}
    assert caplog.text.count("could not be moved") == MOST_FAILURES
    assert plant.waiting("two") == 0
    (plant.root / "one.done").unlink()
    plant.round()
    assert (plant.late.stuck, plant.waiting("one")) == ({}, 0)


def test_files_that_fail_by_themselves_do_not_keep_the_others(plant, monkeypatch):
    plant.judged("one", 2 * MOST_FAILURES)
    move = disposition.move_into

    def refused(source, folder, durable=True):
        if int(source.stem) <= MOST_FAILURES:
            raise PermissionError(13, "Permission denied")
        return move(source, folder, durable)

    monkeypatch.setattr(disposition, "move_into", refused)
    plant.round()
    assert plant.late.stuck == {"one": 2 * MOST_FAILURES}
    plant.round()
    assert plant.waiting("one") == MOST_FAILURES


@pytest.mark.parametrize("step", ["judged_sha256", "_link", "_sync"])
def test_another_thread_that_moves_the_same_file_at_any_step_is_no_failure(tmp_path, monkeypatch, step):
    hot, done = tmp_path / "in", tmp_path / "done"
    hot.mkdir()
    (hot / "a.png").write_bytes(b"bytes")
    sha = judged_sha256(hot / "a.png")
    real, inside = getattr(disposition, step), threading.local()

    def interrupted(*arguments):
        if not getattr(inside, "busy", False):
            inside.busy = True
            # The whole move of the other one comes in between.
            dispose(hot / "a.png", done, sha)
        return real(*arguments)

    monkeypatch.setattr(disposition, step, interrupted)
    assert dispose(hot / "a.png", done, sha) == done / "a.png"
    assert [path.name for path in done.iterdir()] == ["a.png"] and not (hot / "a.png").exists()


def test_a_file_that_is_taken_away_in_the_middle_of_its_move_is_gone(tmp_path, monkeypatch):
    hot = tmp_path / "in"
    hot.mkdir()
    (hot / "a.png").write_bytes(b"bytes")
    sha = judged_sha256(hot / "a.png")

    def taken(source, target):
        source.unlink()
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(disposition, "_link", taken)
    with pytest.raises(FileGone):
        dispose(hot / "a.png", tmp_path / "done", sha)
