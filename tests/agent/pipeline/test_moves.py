"""Judged files leave their folder whatever they are called, and one that is gone is looked for once."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.config.line import LineSection
from agent.config.source import FolderSource
from agent.mqtt.payloads import encode, result_body
from agent.pipeline.judged import Judged
from agent.pipeline.lines import Line
from agent.pipeline.moves import let_go, move_again, move_judged
from agent.records import Disposition, LineMode
from agent.sources.disposition import judged_sha256
from agent.sources.path_text import to_text
from agent.store.access import open_writer
from agent.store.ledger import Ledger
from agent.store.reader import Reader
from agent.store.writer import Writer
from fbclip.decision import Prediction, Verdict
from fbclip.images.geometry import Placement
from tests.factories.agent import a_frame, a_judged, an_inspection


class Yard:
    def __init__(self, tmp_path: Path, private: bool = False, **settings) -> None:
        self.hot = tmp_path / "in"
        self.hot.mkdir()
        self.database = open_writer(f"sqlite:///{tmp_path / 'agent.db'}")
        self.ledger, self.writer = Ledger(self.database), Writer(self.database)
        self.writer.start_run("run", lambda step: None)
        source = FolderSource(type="folder", path=self.hot, **settings)
        privacy = "phi" if private else "none"
        section = LineSection(name="inbox", source=source, mode=LineMode.LEARNING, privacy=privacy)
        self.line = Line(section, "adapter")

    def judged(self, name: bytes, verdict: Verdict):
        path = Path(os.fsdecode(os.fsencode(self.hot) + b"/" + name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"bytes of " + name)
        info, sha = path.stat(), judged_sha256(path)
        file_id = self.ledger.add_claimed("inbox", to_text(path), info.st_size, info.st_mtime_ns)
        self.ledger.opened(file_id, sha)
        inspection = an_inspection(
            verdict,
            file_id,
            line="inbox",
            path="reference" if self.line.section.is_private else to_text(path),
            file_id=file_id,
            sha256=sha,
            discrete=True,
            private=self.line.section.is_private,
        )
        self.writer.record(inspection, (), ())
        return path, inspection

    def redo(self) -> None:
        reader = Reader(self.database)
        move_again(self.writer, self.ledger.unmoved(), {"inbox": self.line}, None, reader.result_of_file)


@pytest.fixture
def make(tmp_path):
    made = []

    def make(**settings):
        made.append(Yard(tmp_path, **settings))
        return made[-1]

    yield make
    for yard in made:
        yard.database.close()


@pytest.fixture
def yard(make):
    return make()


def below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


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


def test_subfolders_keep_their_structure(make):
    yard = make(recursive=True)
    for name, verdict in (
        (b"lot1/a/x.png", Verdict.OK),
        (b"lot2/x.png", Verdict.OK),
        (b"lot2/y.png", Verdict.REJECTED),
    ):
        path, inspection = yard.judged(name, verdict)
        move_judged(yard.writer, yard.line, inspection)
        assert not path.exists()
    assert below(yard.hot.with_name("in.done")) == ["lot1/a/x.png", "lot2/x.png"]
    assert below(yard.hot.with_name("in.failed")) == ["lot2/y.png", "lot2/y.png.reason.json"]


@pytest.mark.parametrize("after", ["copy", "leave"])
def test_a_file_that_stays_is_known_until_it_is_taken_away(make, after):
    yard = make(after=after)
    path, inspection = yard.judged(b"a.png", Verdict.OK)
    for _ in range(2):
        move_judged(yard.writer, yard.line, inspection)
    done = yard.hot.with_name("in.done")
    assert path.exists() and (below(done) if done.exists() else []) == (["a.png"] if after == "copy" else [])
    info = path.stat()
    if after == "copy":
        assert (done / "a.png").stat().st_ino != info.st_ino
    known = yard.ledger.find("inbox", str(path), info.st_size, info.st_mtime_ns)
    assert (known.disposition, yard.ledger.unmoved()) == (Disposition.LEFT, ())
    assert let_go(yard.ledger, {"inbox": yard.line}) == 0
    path.unlink()
    assert let_go(yard.ledger, {"inbox": yard.line}) == 1 and yard.ledger.staying() == ()


def test_a_folder_that_is_not_there_has_lost_no_file(make):
    yard = make(after="leave")
    _, inspection = yard.judged(b"a.png", Verdict.OK)
    move_judged(yard.writer, yard.line, inspection)
    yard.hot.rename(yard.hot.with_name("away"))
    assert let_go(yard.ledger, {"inbox": yard.line}) == 0


def test_a_pending_file_that_is_gone_is_skipped(make):
    yard = make()
    file_id = yard.ledger.add_claimed("inbox", str(yard.hot / "gone.png"), 3, 4)
    yard.ledger.recover()
    assert let_go(yard.ledger, {"inbox": yard.line}) == 1
    (row,) = Reader(yard.database).file_rows("inbox")
    assert (row.id, row.state, row.reason, row.disposition) == (file_id, "skipped", "gone", "finished")


@pytest.mark.parametrize("again", [False, True])
def test_the_result_lies_beside_the_file_and_says_what_the_message_says(make, again):
    yard = make(sidecar=True)
    path, inspection = yard.judged(b"a.png", Verdict.ANOMALY)
    image = np.full((20, 30, 3), 90, np.uint8)
    frame = replace(a_frame(1, "inbox", image), path=str(path))
    prediction = Prediction(1.0, 0.5, np.zeros((8, 8), np.float32))
    judged = Judged(inspection, frame, prediction, Placement(0, 0, 30, 20), (0.0, 1.0))
    if again:
        yard.redo()
    else:
        move_judged(yard.writer, yard.line, inspection, judged=judged)
    done = yard.hot.with_name("in.done")
    overlay = [] if again else ["a.png.overlay.png"]
    assert below(done) == ["a.png", *overlay, "a.png.result.json"]
    found = json.loads((done / "a.png.result.json").read_text())
    assert (found["file"], found["overlay"]) == ("a.png", None if again else "a.png.overlay.png")
    wanted = json.loads(encode(result_body(yard.writer.agent, inspection)))
    assert {key: found[key] for key in wanted} == wanted
    if not again:
        assert cv2.imread(str(done / "a.png.overlay.png")).shape == (20, 30, 3)


def test_sidecars_of_files_that_stay_never_lie_in_the_watched_folder(make):
    yard = make(sidecar=True, after="leave", recursive=True)
    _, inspection = yard.judged(b"lot/a.png", Verdict.OK)
    move_judged(yard.writer, yard.line, inspection)
    assert below(yard.hot) == ["lot/a.png"]
    assert below(yard.hot.with_name("in.done")) == ["lot/a.png.result.json"]


@pytest.mark.parametrize("again", [False, True])
def test_a_sidecar_of_a_private_line_names_nobody_and_shows_nothing(make, again):
    yard = make(sidecar=True, private=True)
    path, inspection = yard.judged(b"DOE^JANE.png", Verdict.OK)
    if again:
        yard.redo()
    else:
        move_judged(yard.writer, yard.line, inspection, str(path), a_judged(inspection))
    done = yard.hot.with_name("in.done")
    assert below(done) == ["DOE^JANE.png", "reference.result.json"]
    text = (done / "reference.result.json").read_text()
    assert "DOE" not in text and inspection.sha256 not in text and json.loads(text)["image"]["reference"] == "reference"
