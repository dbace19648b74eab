"""Files are moved once, whole, never over another, and the move can be done again."""

import errno
import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.sources.disposition import FailureNote, FileGone, dispose, judged_sha256

DATA = b"image"
SHA = hashlib.sha256(DATA).hexdigest()
NOTE = FailureNote("truncated", "rejected", datetime(2026, 1, 1, tzinfo=UTC), "inbox", SHA, "a.png")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def source(tmp_path):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "a.png"
    path.write_bytes(DATA)
    return path


@pytest.fixture(params=["same device", "other device", "no hard links"])
def device(request, monkeypatch):
    """Three kinds of file system, by the error that a hard link between or on them gives."""
    real = os.link

    def link(src, dst, **options):
        if request.param == "no hard links":
            raise OSError(errno.EPERM, "no links")
        if request.param == "other device" and Path(src).parent != Path(dst).parent:
            raise OSError(errno.EXDEV, "other device")
        real(src, dst, **options)

    monkeypatch.setattr(os, "link", link)


def test_a_file_moves_and_nothing_else_is_left(source, tmp_path, device):
    target = dispose(source, tmp_path / "done", SHA)
    assert target == tmp_path / "done" / "a.png" and target.read_bytes() == DATA
    assert not source.exists() and names(tmp_path / "done") == ["a.png"]


def test_nothing_is_overwritten(source, tmp_path, device):
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "a.png").write_bytes(b"older")
    (tmp_path / "done" / "a-1.png").write_bytes(b"old")
    assert dispose(source, tmp_path / "done", SHA).name == "a-2.png"
    assert (tmp_path / "done" / "a.png").read_bytes() == b"older"


def test_equal_files_are_both_kept(source, tmp_path):
    dispose(source, tmp_path / "done", SHA)
    source.write_bytes(DATA)
    assert dispose(source, tmp_path / "done", SHA).name == "a-1.png"
    assert len(names(tmp_path / "done")) == 2


def test_a_failed_file_has_its_reason_beside_it(source, tmp_path):
    target = dispose(source, tmp_path / "failed", SHA, NOTE)
    note = json.loads(target.with_name("a.png.reason.json").read_text())
    assert note == {
        "reason": "truncated",
        "verdict": "rejected",
        "ts": "2026-01-01T00:00:00.000+00:00",
        "line": "inbox",
        "sha256": SHA,
        "original_name": "a.png",
    }


def test_redone_after_a_crash(source, tmp_path):
    """After the move but before the note; then after everything."""
    target = dispose(source, tmp_path / "failed", SHA)
    for _ in range(2):
        assert dispose(source, tmp_path / "failed", SHA, NOTE) == target
    assert names(tmp_path / "failed") == ["a.png", "a.png.reason.json"]


def test_redone_after_a_crash_between_link_and_unlink(source, tmp_path):
    (tmp_path / "done").mkdir()
    os.link(source, tmp_path / "done" / "a.png")
    assert dispose(source, tmp_path / "done", SHA).name == "a.png"
    assert not source.exists() and names(tmp_path / "done") == ["a.png"]


def test_other_bytes_under_the_name_stay(source, tmp_path):
    source.write_bytes(b"a new file that was not judged")
    assert dispose(source, tmp_path / "done", SHA) is None
    assert source.exists()


def test_a_file_that_is_nowhere_is_reported_without_its_name(source, tmp_path):
    source.unlink()
    with pytest.raises(FileGone) as caught:
        dispose(source, tmp_path / "done", SHA)
    assert "a.png" not in str(caught.value)


def test_a_file_whose_folder_is_not_there_is_not_gone(source, tmp_path):
    """A share that is not mounted."""
    source.parent.rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError):
        dispose(source, tmp_path / "done", SHA)


@pytest.mark.parametrize("name", ["n" * 251 + ".png", "ä" * 125 + ".png", "a." + "x" * 250])
def test_the_longest_names_are_moved_numbered_and_noted(tmp_path, name):
    (tmp_path / "in").mkdir()
    targets = []
    for _ in range(3):
        (tmp_path / "in" / name).write_bytes(DATA)
        targets.append(dispose(tmp_path / "in" / name, tmp_path / "failed", SHA, NOTE))
    assert targets[0].name == name and len(set(targets)) == 3
    notes = [path for path in (tmp_path / "failed").iterdir() if path.name.endswith(".reason.json")]
    assert len(notes) == 3 and all(json.loads(note.read_text())["reason"] == "truncated" for note in notes)
    assert len(names(tmp_path / "failed")) == 6


def test_of_a_file_too_large_only_the_beginning_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("agent.sources.disposition.MAX_BYTES", 9)
    (tmp_path / "a").write_bytes(b"0123456789")
    (tmp_path / "b").write_bytes(b"0123456789 and more")
    assert judged_sha256(tmp_path / "a") == judged_sha256(tmp_path / "b") == hashlib.sha256(b"0123456789").hexdigest()
