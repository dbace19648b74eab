"""A DICOM receiver with a real sender: what is answered with success lies on the disk, what is refused does not."""

import socket
import threading

import numpy as np
import pytest
from pydantic import ValidationError
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage, Verification

from agent.config.source import DicomSource
from agent.errors import SourceError
from agent.sources.dicom_receiver import MISMATCH, NO_RESOURCES, NOT_UNDERSTOOD, DicomReceiver
from agent.sources.folder import Folder
from agent.sources.ledger import OnceLedger
from tests.factories.agent import KeepingSink
from tests.factories.brokers import accepts, free_port, wait_until


class Site:
    def __init__(self, folder, free=lambda _: 1 << 40, **section):
        values = {"type": "dicom", "path": folder / "in", "port": free_port(), "rescan_s": 0.2, **section}
        self.section = DicomSource(**values)
        self.sink, self.stop = KeepingSink(), threading.Event()
        inner = Folder("ct", self.section, self.sink, OnceLedger())
        self.receiver = DicomReceiver("ct", self.section, inner, free)
        self.thread = threading.Thread(target=self.receiver.run, args=(self.stop,))
        self.thread.start()
        wait_until(lambda: accepts(self.section.port))

    def connect(self, title="SENDER", called="FBCLIP"):
        sender = AE(ae_title=title)
        sender.add_requested_context(CTImageStorage, "1.2.840.10008.1.2.1")
        sender.add_requested_context(Verification)
        return sender.associate("127.0.0.1", self.section.port, ae_title=called)

    def send(self, *scans):
        link = self.connect()
        assert link.is_established
        statuses = []
        for scan in scans:
            status = link.send_c_store(scan).get("Status")
            statuses.append(status)
        link.release()
        return statuses

    def files(self):
        return sorted(path.name for path in self.section.path.iterdir())


@pytest.fixture
def site(tmp_path):
    made = []

    def make(**section):
        made.append(Site(tmp_path, **section))
        return made[-1]

    yield make
    for one in made:
        one.stop.set()
        one.thread.join(10)
        assert not one.thread.is_alive() and not accepts(one.section.port)


def a_scan(number=0):
    scan = dcmread(get_testdata_file("CT_small.dcm"))
    scan.SOPInstanceUID = scan.file_meta.MediaStorageSOPInstanceUID = f"{scan.SOPInstanceUID}.{number}"
    return scan


def test_what_is_answered_with_success_is_on_the_disk_and_judged_as_it_was_sent(site):
    one = site()
    link = one.connect()
    assert link.send_c_echo().Status == 0
    sent = a_scan()
    assert link.send_c_store(sent).Status == 0
    (name,) = one.files()
    kept = one.section.path / name
    assert kept.stat().st_mode & 0o777 == 0o600 and str(sent.SOPInstanceUID) not in name
    assert np.array_equal(dcmread(kept).pixel_array, sent.pixel_array)
    link.release()
    wait_until(lambda: one.sink.frames)
    assert one.sink.frames[0].image is not None and one.sink.frames[0].path == str(kept)


def test_an_object_sent_again_is_one_file_also_after_its_verdict(site):
    one = site()
    changed = a_scan()
    changed.PatientComments = "other bytes under the same identifier are another object"
    assert one.send(a_scan(), a_scan(), changed) == [0, 0, 0]
    assert len(one.files()) == 2
    one.section.done_dir.mkdir()
    for name in one.files():
        (one.section.path / name).rename(one.section.done_dir / name)
    assert one.send(a_scan()) == [0] and one.files() == []
    assert "2 received, 2 again" in one.receiver.health


def test_what_cannot_be_kept_is_refused_and_the_receiver_goes_on(site, monkeypatch):
    room = [1 << 40]
    one = site(free=lambda _: room[0])
    other = a_scan(1)
    link = one.connect()
    # The sender names another instance than the object does; and one that holds no DICOM at all.
    import pynetdicom.association as sending

    encode = sending.encode
    monkeypatch.setattr(sending, "encode", lambda *_, **__: encode(a_scan(2), False, True))
    assert link.send_c_store(other).Status == MISMATCH
    monkeypatch.setattr(sending, "encode", lambda *_, **__: b"Quibbleworth" * 40)
    assert link.send_c_store(other).Status == NOT_UNDERSTOOD
    monkeypatch.setattr(sending, "encode", encode)
    room[0] = 1000
    assert link.send_c_store(other).Status == NO_RESOURCES
    assert one.files() == []
    room[0] = 1 << 40
    assert link.send_c_store(other).Status == 0 and len(one.files()) == 1
    link.release()
    assert "3 refused" in one.receiver.health


def test_an_object_that_is_too_large_ends_its_connection(site):
    one = site(object_mb=0.5)
    large = a_scan()
    large.Rows = large.Columns = 2048
    large.PixelData = bytes(2 * 2048 * 2048)
    assert one.send(large) == [None]
    assert one.send(a_scan(3)) == [0] and len(one.files()) == 1


def test_titles_and_numbers_of_senders_are_limited(site):
    one = site(allow=("SENDER",), associations=1)
    assert not one.connect(title="STRANGER").is_established and not one.connect(called="OTHER").is_established
    first, second = one.connect(), one.connect()
    assert first.send_c_store(a_scan()).Status == 0
    assert not second.is_established or "Status" not in second.send_c_store(a_scan(1))
    # Those that were turned away or hung up keep nobody out, and those that say nothing are only so many.
    assert first.send_c_store(a_scan(2)).Status == 0 and len(one.files()) == 2
    silent = [socket.create_connection(("127.0.0.1", one.section.port), timeout=10) for _ in range(12)]
    assert silent[-1].recv(10) == b""
    for connection in silent:
        connection.close()
    first.release()


def test_a_port_that_is_taken_is_a_fault_of_the_source(site, tmp_path):
    one = site()
    second = DicomReceiver("mr", one.section, Folder("mr", one.section, KeepingSink(), OnceLedger()))
    with pytest.raises(SourceError, match="cannot be received at"):
        second.run(threading.Event())


@pytest.mark.parametrize(
    "section",
    [{"listen": "0.0.0.0"}, {"allow": ["A" * 17]}, {"ae_title": "two words"}, {"recursive": True}, {"port": 0}],
)
def test_a_receiver_is_open_to_others_only_if_they_are_named(tmp_path, section):
    with pytest.raises(ValidationError):
        DicomSource(type="dicom", path=tmp_path / "in", **section)
