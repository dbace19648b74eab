"""Every file at rest is judged once; nothing half-written, nothing hidden, nothing outside the folder."""

import errno
import hashlib
import os
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom.data import get_testdata_file

import agent.sources.folder
from agent.config.source import FolderSource
from agent.errors import SourceError, StoreError
from agent.records import Disposition, FileState
from agent.sources.disposition import dispose
from agent.sources.folder import Folder
from agent.sources.folder_lock import FolderLocks
from agent.sources.path_text import to_path
from agent.sources.settling import list_folder
from agent.sources.sinks import BlockingQueue, Tally
from fbclip.errors import ImageError
from fbclip.images.decode import decode_picture
from fbclip.images.decode_process import DecodeProcess, DecodingCancelled
from tests.factories.agent import FakeClock, KeepingSink
from tests.factories.brokers import wait_until
from tests.factories.scans import a_dicom, a_nifti, blob

PNG = cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))[1].tobytes()


@dataclass
class Row:
    id: int
    path: str
    size: int
    mtime_ns: int
    state: FileState = FileState.PENDING
    disposition: Disposition | None = None
    quarantined: bool = False
    sha256: str = ""
    reason: str | None = None


class MemoryLedger:
    revision = 0

    def __init__(self):
        self.rows = []

    def has_content(self, line, sha256, but):
        known = (FileState.DONE, FileState.CLAIMED)
        return any(r.sha256 == sha256 and r.id != but and r.state in known for r in self.rows)

    def find(self, line, path, size, mtime_ns):
        same = [r for r in self.rows if (r.path, r.size, r.mtime_ns) == (path, size, mtime_ns)]
        return same[-1] if same else None

    def add_claimed(self, line, path, size, mtime_ns):
        self.rows.append(Row(len(self.rows) + 1, path, size, mtime_ns, FileState.CLAIMED))
        return len(self.rows)

    def claim(self, file_id):
        row = self.rows[file_id - 1]
        fresh, row.state = row.state is FileState.PENDING, FileState.CLAIMED
        return fresh

    def opened(self, file_id, sha256):
        self.rows[file_id - 1].sha256 = sha256

    def skip(self, file_id, sha256, reason):
        row = self.rows[file_id - 1]
        row.sha256, row.state, row.reason = sha256, FileState.SKIPPED, reason

    def release(self, file_id):
        self.rows[file_id - 1].state = FileState.PENDING


@pytest.fixture(scope="module")
def decoder():
    with DecodeProcess() as process:
        yield process


@pytest.fixture
def hot(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


class WatchedFolder:
    """A folder source whose time only moves by `after`."""

    def __init__(self, hot, decoder, ledger=None, window=lambda: "dicom", **settings):
        self.clock, self.sink, self.stop = FakeClock(), KeepingSink(), threading.Event()
        self.ledger = ledger or MemoryLedger()
        section = FolderSource(type="folder", path=hot, **({"settle_s": 1.0, "network": False} | settings))
        self.source = Folder("inbox", section, self.sink, self.ledger, self.clock, decoder, window)

    def after(self, seconds):
        self.clock.time += seconds
        before = len(self.sink.frames)
        self.source.look(self.stop)
        return self.sink.frames[before:]


@pytest.fixture
def watched(hot, decoder):
    made = WatchedFolder(hot, decoder)
    yield made
    made.source._watch.stop()


def test_a_file_is_handed_over_when_it_stands_still_and_only_once(hot, watched):
    (hot / "a.png").write_bytes(PNG)
    assert watched.after(0) == []
    with (hot / "a.png").open("ab") as stream:
        stream.write(b"more")
    assert watched.after(0.9) == []
    assert watched.after(0.9) == []
    (frame,) = watched.after(0.2)
    assert frame.sha256 == hashlib.sha256(PNG + b"more").hexdigest()
    assert frame.discrete and frame.file_id == 1 and frame.image.shape == (20, 30, 3)
    assert frame.path == str(hot / "a.png")
    assert watched.after(5) == []


def test_a_changed_file_is_a_new_one(hot, watched):
    (hot / "a.png").write_bytes(PNG)
    watched.after(0)
    assert len(watched.after(1)) == 1
    (hot / "a.png").write_bytes(PNG + b"x")
    watched.after(0)
    assert [f.file_id for f in watched.after(1)] == [2]


def test_a_cut_image_is_given_time_and_then_rejected(hot, watched):
    (hot / "a.png").write_bytes(PNG[:200])
    assert [watched.after(s) for s in (0, 1, 1, 1.9)] == [[], [], [], []]
    (frame,) = watched.after(0.1)
    assert frame.image is None and frame.reason == "truncated" and frame.sha256


def test_a_cut_image_that_is_completed_is_judged(hot, watched):
    (hot / "a.png").write_bytes(PNG[:200])
    watched.after(0), watched.after(2)
    (hot / "a.png").write_bytes(PNG)
    watched.after(0)
    (frame,) = watched.after(1)
    assert frame.image is not None


def test_what_is_no_image_is_answered_with_a_reason(hot, watched):
    (hot / "note.txt").write_text("hello")
    (hot / "scan.dcm").write_bytes(b"x")
    watched.after(0)
    assert sorted(f.reason for f in watched.after(1)) == ["not_an_image", "not_an_image"]


def test_a_file_too_large_is_not_read(hot, watched, monkeypatch):
    monkeypatch.setattr("agent.sources.file_reader.MAX_BYTES", 10)
    (hot / "a.png").write_bytes(PNG)
    watched.after(0)
    (frame,) = watched.after(1)
    assert frame.reason == "too_large" and frame.sha256 == hashlib.sha256(PNG).hexdigest()


def test_hidden_unfinished_links_and_folders_are_passed_over(hot, watched, tmp_path):
    unfinished = (".a.png", "b.png.tmp", "c.part", "d.PARTIAL", "e.png.filepart", "f.png.crdownload", "g.png~")
    for name in (*unfinished, "~$h.png", "#i.png#"):
        (hot / name).write_bytes(PNG)
    (tmp_path / "secret.png").write_bytes(PNG)
    (hot / "link.png").symlink_to(tmp_path / "secret.png")
    (hot / "linked").symlink_to(tmp_path)
    (hot / "sub").mkdir()
    (hot / "sub" / "f.png").write_bytes(PNG)
    os.mkfifo(hot / "pipe.png")
    watched.after(0)
    assert watched.after(10) == []
    assert watched.source.health == "watching"


def test_side_files_are_ignored_and_counted(hot, decoder):
    watched = WatchedFolder(hot, decoder, recursive=True)
    names = ("Thumbs.db", "desktop.ini", "a.png:Zone.Identifier", "part17.json", "lot.TRG", "e.png.reason.json")
    for name in names:
        (hot / name).write_bytes(PNG)
    for folder in ("@eaDir", "$RECYCLE.BIN"):
        (hot / folder).mkdir()
        (hot / folder / "x.png").write_bytes(PNG)
    (hot / "a.png").write_bytes(PNG)
    watched.after(0)
    assert [Path(frame.path).name for frame in watched.after(10)] == ["a.png"]
    assert watched.source.health == "watching, 8 side files ignored"
    watched.source._watch.stop()


def test_recursive_takes_files_of_subfolders(hot, decoder):
    watched = WatchedFolder(hot, decoder, recursive=True)
    (hot / "sub" / "deep").mkdir(parents=True)
    (hot / "sub" / "deep" / "f.png").write_bytes(PNG)
    watched.after(0)
    assert len(watched.after(1)) == 1
    watched.source._watch.stop()


def test_after_a_restart_pending_files_come_again_and_judged_ones_do_not(hot, watched, decoder):
    (hot / "a.png").write_bytes(PNG)
    watched.after(0), watched.after(1)
    again = WatchedFolder(hot, decoder, watched.ledger)
    again.after(0)
    assert again.after(1) == []
    again.source._watch.stop()
    watched.ledger.rows[0].state = FileState.PENDING
    third = WatchedFolder(hot, decoder, watched.ledger)
    third.after(0)
    assert [f.file_id for f in third.after(1)] == [1]
    third.source._watch.stop()


def test_a_copy_that_kept_its_time_is_judged_again_once_the_first_has_left(hot, watched):
    (hot / "a.png").write_bytes(PNG)
    watched.after(0), watched.after(1)
    stamp = (hot / "a.png").stat()
    (hot / "a.png").unlink()
    watched.ledger.rows[0].state = FileState.DONE
    watched.ledger.rows[0].disposition = Disposition.FINISHED
    watched.after(0)
    (hot / "a.png").write_bytes(PNG)
    os.utime(hot / "a.png", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    watched.after(0)
    assert [f.file_id for f in watched.after(1)] == [2]


def test_a_name_that_is_not_utf8_is_judged_and_what_comes_after_it_too(hot, watched):
    name = os.fsencode(hot) + b"/pr\xfcfteil.png"
    Path(os.fsdecode(name)).write_bytes(PNG)
    (hot / "zzz.png").write_bytes(PNG)
    watched.after(0)
    frames = watched.after(1)
    assert [Path(frame.path).name for frame in frames] == ["pr\\udcfcfteil.png", "zzz.png"]
    assert all(frame.image is not None and frame.path.encode() for frame in frames)
    assert os.fsencode(to_path(frames[0].path)) == name
    assert watched.after(5) == []


def test_a_file_is_in_the_ledger_before_it_is_opened(hot, watched, decoder, monkeypatch):
    seen = []
    monkeypatch.setattr(
        decoder, "decode", lambda data, *_: seen.append(watched.ledger.rows[0].state) or decode_picture(data)
    )
    (hot / "a.png").write_bytes(PNG)
    watched.after(0)
    (frame,) = watched.after(1)
    assert seen == [FileState.CLAIMED] and watched.ledger.rows[0].sha256 == frame.sha256


def test_no_file_is_entered_before_the_decoder_is_ready(hot, watched, decoder, monkeypatch):
    """The start takes longer than any file; an agent killed meanwhile would suspect the file."""
    start, seen = decoder.make_ready, []
    monkeypatch.setattr(
        decoder, "make_ready", lambda cancelled: (seen.append(len(watched.ledger.rows)), start(cancelled))
    )
    (hot / "a.png").write_bytes(PNG)
    watched.after(0)
    (frame,) = watched.after(1)
    assert seen == [0] and frame.image is not None


@pytest.mark.parametrize("fault", [OSError(errno.EAGAIN, "the process does not start"), DecodingCancelled()])
def test_a_decoder_that_does_not_start_leaves_every_file_as_it_is(hot, watched, decoder, monkeypatch, fault):
    def fail(cancelled):
        raise fault

    monkeypatch.setattr(decoder, "make_ready", fail)
    (hot / "a.png").write_bytes(PNG)
    watched.after(0)
    assert watched.after(1) == [] and watched.ledger.rows == []
    named = "no file can be read: the process does not start"
    assert watched.source.problem == (named if isinstance(fault, OSError) else None)
    monkeypatch.undo()
    (frame,) = watched.after(1)
    assert frame.image is not None and watched.source.problem is None


def test_a_quarantined_file_is_answered_and_never_decoded(hot, watched, decoder, monkeypatch):
    (hot / "a.png").write_bytes(PNG)
    info = (hot / "a.png").stat()
    watched.ledger.rows.append(Row(1, str(hot / "a.png"), info.st_size, info.st_mtime_ns, quarantined=True))
    monkeypatch.setattr(decoder, "decode", None)
    watched.after(0)
    (frame,) = watched.after(1)
    assert (frame.image, frame.reason, frame.file_id) == (None, "quarantined", 1)
    assert frame.sha256 == hashlib.sha256(PNG).hexdigest()


@pytest.mark.parametrize("fault", [ImageError("decode_timeout"), RuntimeError("a fault of ours")])
def test_a_file_that_no_reader_survives_is_answered_and_the_next_is_judged(hot, watched, decoder, monkeypatch, fault):
    def fail(data, *_):
        monkeypatch.undo()
        raise fault

    monkeypatch.setattr(decoder, "decode", fail)
    (hot / "a.png").write_bytes(PNG)
    (hot / "b.png").write_bytes(PNG)
    watched.after(0)
    first, second = watched.after(1)
    assert first.image is None and first.reason in {"decode_timeout", "reader_error"}
    assert second.image is not None


def test_a_file_is_let_go_when_the_agent_stops_while_it_is_decoded(hot, watched, decoder, monkeypatch):
    def stop(data, cancelled, _):
        watched.stop.set()
        assert cancelled()
        raise DecodingCancelled

    monkeypatch.setattr(decoder, "decode", stop)
    (hot / "a.png").write_bytes(PNG)
    watched.after(0)
    assert watched.after(1) == [] and watched.ledger.rows[0].state is FileState.PENDING


def test_a_file_waits_for_whoever_goes_on_when_the_line_ends_before_the_sink_has_room(hot, watched, monkeypatch):
    monkeypatch.setattr(watched.sink, "put", lambda frame, stop: False)
    (hot / "a.png").write_bytes(PNG)
    watched.after(0)
    watched.after(1)
    assert watched.ledger.rows[0].state is FileState.PENDING
    monkeypatch.undo()
    (frame,) = watched.after(1)
    assert frame.file_id == 1


def test_a_file_that_another_agent_has_is_asked_for_again_and_stops_no_other(hot, watched, monkeypatch):
    add = watched.ledger.add_claimed
    monkeypatch.setattr(
        watched.ledger, "add_claimed", lambda line, path, *a: add(line, path, *a) if "b." in path else None
    )
    (hot / "a.png").write_bytes(PNG)
    (hot / "b.png").write_bytes(PNG)
    watched.after(0)
    (frame,) = watched.after(1)
    assert frame.path == str(hot / "b.png")
    monkeypatch.undo()
    (frame,) = watched.after(1)
    assert frame.path == str(hot / "a.png")


def test_a_file_is_not_lost_when_the_store_fails_after_the_claim(hot, watched, monkeypatch):
    def refuse(file_id, sha256):
        monkeypatch.undo()
        raise StoreError("locked")

    monkeypatch.setattr(watched.ledger, "opened", refuse)
    (hot / "a.png").write_bytes(PNG)
    watched.after(0)
    with pytest.raises(StoreError):
        watched.after(1)
    (frame,) = watched.after(1)
    assert frame.file_id == 1 and frame.image is not None


def test_a_file_that_grows_behind_its_verdict_is_judged_again(hot, watched, caplog):
    """The writer paused, the file was judged and moved, and the writer goes on in the file that it holds."""
    done = hot.with_name("in.done")
    with (hot / "a.png").open("wb") as writer:
        writer.write(PNG)
        writer.flush()
        watched.after(0)
        (frame,) = watched.after(1)
        moved = dispose(hot / "a.png", done, frame.sha256)
        assert watched.after(5) == [] and moved.exists()
        writer.write(b"more")
    watched.after(5)
    assert not moved.exists() and "written to within a minute" in caplog.text and "a.png" not in caplog.text
    (again,) = watched.after(1)
    assert again.path == frame.path and again.sha256 == hashlib.sha256(PNG + b"more").hexdigest()
    assert again.file_id != frame.file_id


def test_growth_after_a_minute_is_no_longer_watched_and_a_taken_name_is_left_alone(hot, watched):
    done = hot.with_name("in.done")
    (hot / "a.png").write_bytes(PNG)
    watched.after(0)
    (frame,) = watched.after(1)
    moved = dispose(hot / "a.png", done, frame.sha256)
    (hot / "a.png").write_bytes(PNG + b"another part")
    with moved.open("ab") as writer:
        writer.write(b"more")
    watched.after(5)
    assert moved.read_bytes() == PNG + b"more" and (hot / "a.png").read_bytes() == PNG + b"another part"
    watched.after(100)
    (hot / "a.png").unlink()
    watched.after(5)
    assert moved.exists() and not (hot / "a.png").exists()


def test_a_missing_folder_is_refused_at_check_and_waited_for_at_run(hot, watched):
    shutil.rmtree(hot)
    with pytest.raises(SourceError, match="No such file"):
        watched.source.check()
    watched.after(0)
    assert "No such file" in watched.source.health
    hot.mkdir()
    watched.source.check()
    (hot / "a.png").write_bytes(PNG)
    watched.after(0)
    assert len(watched.after(1)) == 1 and watched.source.health == "watching"


def test_a_recreated_folder_is_watched_anew(hot, watched, tmp_path):
    watched.after(0)
    first = watched.source._watch._observer
    hot.rename(tmp_path / "old")
    hot.mkdir()
    watched.after(1)
    assert watched.source._watch._observer is not first and not first.is_alive()


@pytest.mark.parametrize("network", [False, True])
def test_the_real_thing_with_real_time(hot, network):
    """A long rescan: what comes after the start is only found in time by the hint of the file system."""
    section = FolderSource(type="folder", path=hot, settle_s=0.05, rescan_s=2 if network else 50, network=network)
    queue, stop = BlockingQueue(Tally(), capacity=2), threading.Event()
    source = Folder("inbox", section, queue, MemoryLedger())
    (hot / "before.png").write_bytes(PNG)
    thread = threading.Thread(target=source.run, args=(stop,))
    thread.start()
    try:
        assert queue.get(10).path.endswith("before.png")
        (hot / "late.png.part").write_bytes(PNG)
        (hot / "late.png.part").rename(hot / "late.png")
        for n in range(8):
            (hot / f"{n}.png").write_bytes(PNG)
        names = {Path(queue.get(10).path).name for _ in range(9)}
    finally:
        stop.set()
        thread.join(10)
    assert names == {"late.png", *(f"{n}.png" for n in range(8))}
    assert not thread.is_alive() and queue.tally.snapshot().grabbed == 10


def test_scans_are_known_by_their_content_and_what_is_none_of_them_is_skipped(hot, watched):
    (hot / "IM000001").write_bytes(a_dicom(blob(3)))
    (hot / "1.2.840.4711").write_bytes(a_dicom(blob(1)[0]))
    (hot / "brain.nii.gz").write_bytes(a_nifti(blob(9, 20, 24), packed=True))
    report = Path(get_testdata_file("test-SR.dcm")).read_bytes()
    (hot / "report.dcm").write_bytes(report)
    watched.after(0)
    frames = {Path(f.path).name: f for f in watched.after(1)}
    assert sorted(frames) == ["1.2.840.4711", "IM000001", "brain.nii.gz"]
    assert (len(frames["IM000001"].volume), frames["IM000001"].image) == (3, None)
    assert frames["1.2.840.4711"].image.shape == (24, 32, 3) and frames["1.2.840.4711"].context["slices"] == 1
    assert len(frames["brain.nii.gz"].volume) == 24
    (row,) = (r for r in watched.ledger.rows if r.path.endswith("report.dcm"))
    assert (row.state, row.reason) == (FileState.SKIPPED, "no_image_object")
    assert row.sha256 == hashlib.sha256(report).hexdigest()
    assert watched.source.health == "watching, skipped: 1 no_image_object"
    assert watched.after(1) == [] and watched.source.health.endswith("skipped: 1 no_image_object")


def test_files_are_decoded_through_the_window_of_the_line(hot, decoder):
    watched = WatchedFolder(hot, decoder, window=lambda: (0.0, 4095.0))
    cv2.imwrite(str(hot / "a.png"), np.full((20, 20), 2048, np.uint16))
    watched.after(0)
    (frame,) = watched.after(1)
    assert frame.window == (0.0, 4095.0) and set(frame.image.ravel()) == {128}


def test_a_line_says_once_that_its_images_are_seen_too_dark(hot, watched, caplog):
    for k in range(20):
        deep = np.random.default_rng(k).integers(0, 4096, (20, 20)).astype(np.uint16)
        cv2.imwrite(str(hot / f"{k}.png"), deep)
    watched.after(0)
    assert len(watched.after(1)) == 20
    assert caplog.text.count("use 12 of their 16 bits, so they are seen 16 times too dark") == 1


def test_patterns_choose_files_and_the_rest_is_counted(hot, decoder):
    watched = WatchedFolder(hot, decoder, include=("*.png",), ignore=("*_thumb.png",))
    for name in ("a.PNG", "a_thumb.png", "b.jpg"):
        (hot / name).write_bytes(PNG)
    watched.after(0)
    assert [Path(frame.path).name for frame in watched.after(1)] == ["a.PNG"]
    assert watched.source.health == "watching, 2 side files ignored"
    watched.source._watch.stop()


def test_bytes_that_have_a_verdict_get_no_second_one_where_content_is_judged(hot, decoder):
    watched = WatchedFolder(hot, decoder, judge="content")
    (hot / "a.png").write_bytes(PNG)
    watched.after(0)
    assert len(watched.after(1)) == 1
    (hot / "b.png").write_bytes(PNG)
    (hot / "c.png").write_bytes(PNG + b"other")
    watched.after(0)
    assert [Path(frame.path).name for frame in watched.after(1)] == ["c.png"]
    assert [(r.state, r.reason) for r in watched.ledger.rows if r.path.endswith("b.png")] == [
        (FileState.SKIPPED, "same_content")
    ]
    watched.source._watch.stop()


def test_what_an_operator_wants_judged_again_is_looked_at_anew(hot, watched):
    (hot / "a.png").write_bytes(PNG)
    watched.after(0), watched.after(1)
    watched.ledger.rows[0].disposition = Disposition.FINISHED
    assert watched.after(5) == []
    watched.ledger.revision += 1
    watched.after(0)
    assert [frame.file_id for frame in watched.after(1)] == [2]


def test_a_file_that_cannot_be_read_for_long_is_told_of_and_does_not_stop_the_others(hot, watched, monkeypatch):
    real = os.open

    def refuse(path, *arguments, **options):
        if str(path).endswith("locked.png"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    (hot / "locked.png").write_bytes(PNG)
    (hot / "zzz.png").write_bytes(PNG)
    watched.after(0)
    assert len(watched.after(1)) == 1 and watched.source.problem is None
    watched.after(60)
    assert watched.source.problem == "1 files cannot be read: Permission denied"
    monkeypatch.undo()
    assert len(watched.after(1)) == 1 and watched.source.problem is None


def test_a_scan_is_broken_off_when_the_next_one_is_due(hot, decoder):
    """Of very many files at once: what arrives or goes meanwhile is still seen."""
    watched = WatchedFolder(hot, decoder, rescan_s=2, settle_s=0)
    put = watched.sink.put
    watched.sink.put = lambda frame, stop: (setattr(watched.clock, "time", watched.clock.time + 1), put(frame, stop))[1]
    for number in range(5):
        (hot / f"{number}.png").write_bytes(PNG)
    counts = [len(watched.after(0)) for _ in range(4)]
    assert counts == [2, 2, 1, 0]
    watched.source._watch.stop()


def test_a_folder_that_takes_long_to_list_is_not_listed_all_the_time(hot, decoder, monkeypatch):
    """Ten thousands of files on a slow share: else nothing but the listing would be done."""
    watched = WatchedFolder(hot, decoder, rescan_s=2, settle_s=0)
    put, listed, alive = watched.sink.put, agent.sources.folder.list_folder, []

    def listing(root, recursive, ask):
        watched.clock.time += 1
        alive.append(ask())
        return listed(root, recursive, ask)

    monkeypatch.setattr(agent.sources.folder, "list_folder", listing)
    watched.sink.put = lambda frame, stop: (setattr(watched.clock, "time", watched.clock.time + 1), put(frame, stop))[1]
    for number in range(15):
        (hot / f"{number:02d}.png").write_bytes(PNG)
    counts = [len(watched.after(0)) for _ in range(3)]
    assert counts == [10, 5, 0]
    assert alive == [False] * 3
    watched.source._watch.stop()


def test_who_lists_thousands_of_files_shows_that_it_lives(hot):
    asked = []
    for number in range(2500):
        (hot / f"{number}.png").touch()
    assert len(list_folder(hot, False, lambda: asked.append(1)).files) == 2500
    assert len(asked) == 3


def test_a_folder_that_goes_is_named_within_seconds_however_rarely_it_is_scanned(hot):
    section = FolderSource(type="folder", path=hot, settle_s=0, rescan_s=60)
    queue, stop = BlockingQueue(Tally()), threading.Event()
    source = Folder("inbox", section, queue, MemoryLedger(), locks=FolderLocks())
    thread = threading.Thread(target=source.run, args=(stop,))
    thread.start()
    try:
        wait_until(lambda: source.health == "watching")
        shutil.rmtree(hot)
        wait_until(lambda: source.problem is not None)
        assert source.problem == "folder cannot be read: No such file or directory"
        hot.mkdir()
        (hot / "a.png").write_bytes(PNG)
        assert queue.get(30).path == str(hot / "a.png") and source.problem is None
    finally:
        stop.set()
        thread.join(10)


def test_a_folder_of_another_line_is_not_emptied_until_it_is_free(hot, decoder):
    locks = FolderLocks()
    hold = locks.take("dock", hot)
    section = FolderSource(type="folder", path=hot, settle_s=0)
    sink, stop = KeepingSink(), threading.Event()
    source = Folder("inbox", section, sink, MemoryLedger(), FakeClock(), decoder, locks=locks)
    (hot / "a.png").write_bytes(PNG)
    source.look(stop)
    assert sink.frames == [] and source.problem == "line dock empties this hot folder already"
    hold.release()
    source.look(stop)
    assert len(sink.frames) == 1 and source.problem is None
    source._watch.stop()
    source._root.leave()
