"""Judged files leave their folder whatever they are called, and one that is gone is looked for once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from agent.config.line import FolderSource, LineSection
from agent.pipeline.lines import Line
from agent.pipeline.moves import move_again, move_judged
from agent.records import Disposition, LineMode
from agent.sources.disposition import judged_sha256
from agent.sources.path_text import to_text
from agent.store.access import open_writer
from agent.store.ledger import Ledger
from agent.store.writer import Writer
from fbclip.decision import Verdict
from tests.factories.agent import an_inspection


class Yard:
    def __init__(self, tmp_path: Path) -> None:
        self.hot = tmp_path / "in"
        self.hot.mkdir()
        self.database = open_writer(f"sqlite:///{tmp_path / 'agent.db'}")
        self.ledger, self.writer = Ledger(self.database), Writer(self.database)
        self.writer.start_run("run", lambda step: None)
        source = FolderSource(type="folder", path=self.hot)
        self.line = Line(LineSection(name="inbox", source=source, mode=LineMode.LEARNING), "adapter")

    def judged(self, name: bytes, verdict: Verdict):
        path = Path(os.fsdecode(os.fsencode(self.hot) + b"/" + name))
        path.write_bytes(b"bytes of " + name)
        info, sha = path.stat(), judged_sha256(path)
        file_id = self.ledger.add_claimed("inbox", to_text(path), info.st_size, info.st_mtime_ns)
        self.ledger.opened(file_id, sha)
        inspection = an_inspection(
            verdict, file_id, line="inbox", path=to_text(path), file_id=file_id, sha256=sha, discrete=True
        )
        self.writer.record(inspection, (), ())
        return path, inspection


@pytest.fixture
def yard(tmp_path):
    made = Yard(tmp_path)
    yield made
    made.database.close()


@pytest.mark.parametrize("again", [False, True])
def test_names_that_are_not_utf8_are_moved_and_noted(yard, again):
    for name, verdict in ((b"pr\xfcfteil.png", Verdict.OK), (b"\xff\xfe.png", Verdict.REJECTED)):
        path, inspection = yard.judged(name, verdict)
        if again:
            move_again(yard.writer, yard.ledger.unmoved(), {"inbox": yard.line})
        else:
            move_judged(yard.writer, yard.line, inspection)
        assert not path.exists()
    assert yard.ledger.unmoved() == ()
    assert [os.fsencode(path.name) for path in yard.hot.with_name("in.done").iterdir()] == [b"pr\xfcfteil.png"]
    note = Path(os.fsdecode(os.fsencode(yard.hot) + b".failed/\xff\xfe.png.reason.json"))
    assert json.loads(note.read_text())["original_name"] == "\\udcff\\udcfe.png"


def test_a_file_taken_away_is_finished_and_said_once(yard, caplog):
    path, inspection = yard.judged(b"a.png", Verdict.OK)
    path.unlink()
    move_judged(yard.writer, yard.line, inspection)
    assert "taken away" in caplog.text and "a.png" not in caplog.text
    assert yard.ledger.unmoved() == ()
    caplog.clear()
    move_again(yard.writer, yard.ledger.unmoved(), {"inbox": yard.line})
    assert caplog.text == ""


def test_files_of_a_folder_that_is_not_there_wait_for_it(yard):
    path, inspection = yard.judged(b"a.png", Verdict.OK)
    away = yard.hot.with_name("away")
    yard.hot.rename(away)
    move_judged(yard.writer, yard.line, inspection)
    (row,) = yard.ledger.unmoved()
    assert row.disposition is Disposition.PENDING
    away.rename(yard.hot)
    move_again(yard.writer, yard.ledger.unmoved(), {"inbox": yard.line})
    assert yard.ledger.unmoved() == () and not path.exists()
