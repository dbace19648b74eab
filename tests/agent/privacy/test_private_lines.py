"""A private line: what agent.yaml may not combine with it, and what its inspections, messages, page and notes hold."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from agent.config.line import LineSection
from agent.config.sections import Config
from agent.config.source import FolderSource
from agent.mqtt.payloads import result_body
from agent.pipeline.judge import Judge
from agent.pipeline.lines import Line
from agent.pipeline.moves import move_again, move_judged
from agent.privacy.references import open_references
from agent.records import LineMode
from agent.sources.disposition import judged_sha256
from agent.store.access import open_writer
from agent.store.ledger import Ledger
from agent.store.reader import Reader
from agent.store.writer import Writer
from agent.web.state import PageState
from tests.factories.agent import a_frame
from tests.factories.page import image as a_picture

NAME = "Quibbleworth"


def config(source=None, line=None, **sections):
    source = source or {"type": "folder", "path": "/scans/in"}
    entry = {"name": "scans", "source": source, "mode": "learning", "privacy": "phi", **(line or {})}
    return Config.model_validate({"agent": {"data_dir": "/var/lib/agent"}, "lines": [entry], **sections})


def test_a_private_line_takes_folders_receivers_and_cameras():
    assert config().lines[0].is_private
    received = config({"type": "dicom"}).lines[0].source
    assert str(received.path) == "/var/lib/agent/received/scans/in"
    assert config({"type": "camera", "device": 0, "trigger": "interval", "interval_s": 1}).lines[0].is_private


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"store": {"url": "postgresql://db/agent"}}, "take store.url away"),
        ({"source": {"type": "folder", "path": "/var/lib/agent/in"}}, "lies in agent.data_dir"),
        ({"source": {"type": "video", "path": "/v.mp4"}}, "not for a video"),
        ({"source": {"type": "camera", "device": 0, "trigger": "mqtt"}}, "not with trigger: mqtt"),
        ({"line": {"dicom_outputs": "/scans/in/out"}}, "lies inside a watched folder"),
    ],
)
def test_what_contradicts_privacy_is_refused(changes, text):
    with pytest.raises(ValidationError, match=text):
        config(**changes)


class Yard:
    """A private line with a real store, and one file of it."""

    def __init__(self, tmp_path, detector):
        self.hot = tmp_path / "in"
        self.hot.mkdir()
        self.database = open_writer(f"sqlite:///{tmp_path / 'agent.db'}")
        self.ledger, self.writer = Ledger(self.database), Writer(self.database)
        self.writer.start_run("run", lambda step: None)
        self.references = open_references(tmp_path)
        source = FolderSource(type="folder", path=self.hot)
        section = LineSection(name="scans", source=source, mode=LineMode.LEARNING, privacy="phi")
        self.line = Line(section, detector.adapters[0])
        self.judge = Judge(detector, {"scans": self.line}, "run", references=self.references)

    def judged(self, image, reason=None):
        path = self.hot / f"{NAME}.dcm"
        path.write_bytes(b"bytes")
        info, sha = path.stat(), judged_sha256(path)
        file_id = self.ledger.add_claimed("scans", str(path), info.st_size, info.st_mtime_ns)
        self.ledger.opened(file_id, sha)
        frame = replace(a_frame(1, "scans", image, reason), path=str(path), sha256=sha, file_id=file_id, discrete=True)
        (judged,) = self.judge.judge([frame])
        self.writer.record(judged.inspection, (), ())
        return judged


@pytest.fixture
def yard(tmp_path, detector):
    made = Yard(tmp_path, detector)
    yield made
    made.database.close()


def test_an_inspection_holds_the_reference_and_messages_and_page_no_more(yard):
    judged = yard.judged(a_picture())
    inspection = judged.inspection
    assert inspection.private and len(inspection.path) == 32 and judged.frame.image is not None
    body = result_body("agent", inspection)
    assert (
        body["image"]["reference"] == inspection.path and (body["image"]["sha256"], body["image"]["ref"]) == (None,) * 2
    )
    page = PageState("agent")
    page.add_line("scans", "learning", live=False)
    page.inspected(judged)
    shown = page.snapshot()["lines"][0]
    assert shown["reference"] == inspection.path and not shown["has_frame"] and not shown["has_map"]
    assert page.picture("scans", "frame") is None and page.picture("scans", "overlay") is None
    assert NAME not in repr(inspection) + json.dumps([body, page.snapshot()])
    # The ledger alone knows the path, which resolves.
    (known,) = Reader(yard.database).judged_files()
    assert Path(known[1]).stem == NAME and yard.references.of(*known) == inspection.path


def test_without_a_key_nothing_stands_for_a_file(yard, detector):
    bare = Judge(detector, {"scans": yard.line}, "run")
    (judged,) = bare.judge([replace(a_frame(1, "scans", a_picture()), path=f"/in/{NAME}", sha256="ab")])
    assert judged.inspection.path is None


@pytest.mark.parametrize("again", [False, True])
def test_the_note_beside_a_failed_file_is_named_by_its_reference(yard, again):
    judged = yard.judged(None, "truncated")
    if again:
        move_again(yard.writer, yard.ledger.unmoved(), {"scans": yard.line}, yard.references)
    else:
        move_judged(yard.writer, yard.line, judged.inspection, judged.frame.path)
    failed = yard.line.section.source.failed_dir
    assert (failed / f"{NAME}.dcm").read_bytes() == b"bytes" and not list(yard.hot.iterdir())
    (note,) = failed.glob("*.json")
    assert note.name == f"{judged.inspection.path}.reason.json"
    found = json.loads(note.read_text(encoding="utf-8"))
    assert found["reason"] == "truncated" and found["reference"] == judged.inspection.path
    assert sorted(found) == ["line", "reason", "reference", "ts", "verdict"]
    assert not yard.ledger.unmoved()
