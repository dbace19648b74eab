"""Files of one series: one verdict, one row, one result; each file once, whatever comes late, twice, broken or not."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage
from sqlalchemy import delete

from agent.errors import StoreError
from agent.pipeline.dicom_writer import DicomWriter
from agent.sources.base import SystemClock
from agent.sources.dicom_receiver import DicomReceiver
from agent.store.schema import files
from fbclip.decision import Verdict
from fbclip.images.decode_process import DecodeProcess
from fbclip.images.scans.series_header import slice_header
from tests.factories.brokers import accepts, free_port, wait_until
from tests.factories.scans import NAME, a_dicom, a_series, blob, dicom_bytes
from tests.factories.wards import QUIET_S, Ward

OK, ANOMALY, REJECTED = Verdict.OK, Verdict.ANOMALY, Verdict.REJECTED


@pytest.fixture(scope="module")
def decoder():
    with DecodeProcess() as process:
        yield process


@pytest.fixture
def ward(tmp_path, detector, decoder):
    made = []

    def make(**changes):
        for one in made:
            one.close()
        made[:] = [Ward(tmp_path, detector, decoder, **changes)]
        return made[0]

    yield make
    made[0].close()


def slices(count=4, **tags):
    return [dicom_bytes(one) for one in a_series(blob(count), **tags)]


def judged(ward):
    """The series that lies there, once it is quiet."""
    ward.settle()
    assert ward.look(QUIET_S) == 1
    return ward.judge()


def test_a_series_has_one_verdict_one_row_and_one_result_and_every_file_leaves(ward):
    one = ward()
    data = slices(5)
    one.put(*data[:3])
    one.settle()
    assert one.look(QUIET_S - 1) == 0 and one.source.health == "watching, 3 slices wait for their series"
    # Two more, and the time begins anew.
    one.put(*data[3:])
    one.look(0), one.look(1)
    assert one.look(QUIET_S - 1) == 0
    assert one.look(1) == 1
    (inspection,) = one.judge()
    assert inspection.decision.verdict is OK
    (row,) = one.inspections()
    assert (row.verdict, row.context["files"], row.context["slices"], row.context["judged"]) == ("ok", 5, 5, 5)
    rows = one.files()
    assert {(r.state, r.inspection_id, r.disposition, r.reason) for r in rows} == {("done", row.id, "finished", None)}
    assert len({r.series for r in rows}) == 1 and one.lying(one.hot) == [] and len(one.lying(one.done)) == 5
    (message,) = one.messages()
    assert message.topic.endswith("/result") and one.events() == []
    counters = one.tally.snapshot()
    assert (counters.grabbed, counters.inspected, counters.in_flight) == (1, 1, 0)
    assert one.look(100) == 0 and len(one.files()) == 5


def test_the_worst_slice_is_named_by_place_number_and_file(ward, detector):
    """As the slice of one multi-frame file of the same pixels, through the same window."""
    one = ward(profile={"threshold": -1e9})
    paths = one.put(*slices(6))
    (inspection,) = judged(one)
    one.put(a_dicom(blob(6)))
    one.look(0), one.look(1)
    (whole,) = one.judge()
    assert "files" not in whole.context
    assert inspection.decision.verdict is whole.decision.verdict is ANOMALY
    assert abs(inspection.decision.z - whole.decision.z) < 1e-5
    number = inspection.frame_number
    assert number == whole.frame_number == inspection.context["slice"]
    assert inspection.path == str(paths[number - 1])
    assert inspection.context["position"] == 2.5 * (number - 1) - 40
    assert inspection.context["instance_number"] == 6 - (number - 1)
    assert inspection.context["window"] == whole.context["window"]
    assert one.inspections()[0].image_ref is not None
    topics = Counter(message.topic.rsplit("/", 1)[1] for message in one.messages())
    assert topics == {"event": 4, "result": 2} and len(one.events()) == 2


def test_two_series_and_files_of_none_are_kept_apart(ward):
    one = ward()
    first, second = slices(3), [dicom_bytes(d) for d in a_series(blob(2, seed=5))]
    one.put(first[0], second[0], first[1], second[1], first[2], a_dicom(blob(3)), b"text")
    one.look(0)
    # A volume by itself and what is no scan wait for nobody.
    assert one.look(1) == 2
    assert sorted(i.decision.verdict for i in one.judge()) == [OK, REJECTED]
    assert one.look(QUIET_S) == 1 and one.look(0) == 1
    assert sorted(i.context["files"] for i in one.judge()) == [2, 3]
    assert {r.state for r in one.files()} == {"done", "failed"} and len(one.inspections()) == 4


def test_the_same_slice_again_is_skipped_and_another_under_its_identifier_is_a_conflict(ward):
    one = ward()
    datasets = a_series(blob(4))
    data = [dicom_bytes(d) for d in datasets]
    datasets[1].PixelData = bytes(len(datasets[1].PixelData))
    one.put(*data, data[2], dicom_bytes(datasets[1]))
    (inspection,) = judged(one)
    # What the other version would have shown is not known, so the volume is not ok.
    assert (inspection.decision.verdict, inspection.decision.reason) == (REJECTED, "uid_conflict")
    assert inspection.context["faults"] == {"uid_conflict": 1}
    assert one.source.health.endswith("skipped: 1 duplicate")
    states = [(r.state, r.reason) for r in one.files()]
    assert states == [("failed", "uid_conflict")] * 4 + [("skipped", "duplicate"), ("failed", "uid_conflict")]
    one.move_again()
    assert one.lying(one.hot) == [] and {r.disposition for r in one.files()} == {"finished"}


def a_conflict(one, count=4):
    """A series that is rejected because one of its slices is there in two versions; the bytes of both."""
    datasets = a_series(blob(count))
    data = [dicom_bytes(d) for d in datasets]
    datasets[1].PixelData = bytes(len(datasets[1].PixelData))
    other = dicom_bytes(datasets[1])
    one.put(*data, other)
    assert judged(one)[0].decision.reason == "uid_conflict"
    return data[1], other


def put_back(one, *datas):
    """As `agent requeue` does it."""
    for path in [path for path in one.failed.iterdir() if path.suffix != ".json" and path.read_bytes() in datas]:
        path.rename(one.hot / path.name)
    one.ledger.look_anew()


def again(one):
    one.look(0)
    assert one.look(1) == 0 and one.look(QUIET_S) == 1
    return one.judge()[0]


def test_of_two_versions_the_one_that_is_brought_back_counts_and_the_other_is_out(ward):
    one = ward()
    right, other = a_conflict(one)
    put_back(one, right)
    inspection = again(one)
    assert inspection.decision.verdict is OK and inspection.context["faults"] == {"superseded": 1}
    assert [(r.state, r.reason) for r in one.files()][4:] == [("failed", "superseded"), ("done", None)]
    # It comes in nobody's way later, also when it is sent once more.
    one.put(other, names=["once more"])
    one.look(0), one.look(1)
    assert one.look(QUIET_S) == 0 and one.files()[-1].reason == "duplicate"
    # Who brings it back has another conflict to decide.
    put_back(one, other)
    assert again(one).decision.reason == "uid_conflict"
    put_back(one, other)
    # Now it is the one without contrast that counts.
    assert again(one).decision.reason == "flat"


def test_all_that_is_left_of_a_conflict_is_judged_when_it_is_brought_back(ward):
    one = ward()
    _, other = a_conflict(one)
    put_back(one, *(path.read_bytes() for path in one.failed.iterdir() if path.suffix != ".json"))
    # Nobody has decided anything.
    assert again(one).decision.reason == "uid_conflict"
    put_away = next(path for path in one.failed.iterdir() if path.read_bytes() == other)
    put_away.unlink()
    put_back(one, *(path.read_bytes() for path in one.failed.iterdir() if path.suffix != ".json"))
    assert again(one).decision.verdict is OK
    assert Counter(r.state for r in one.files() if r.inspection_id == 3) == {"done": 4, "failed": 1}


def test_a_slice_that_is_gone_is_missed_unless_all_that_is_left_comes_back(ward):
    one = ward()
    right, other = a_conflict(one)
    for path in one.failed.iterdir():
        if path.suffix != ".json" and path.read_bytes() == other:
            path.unlink()
    put_back(one, right)
    assert again(one).decision.reason == "earlier_slice_gone"


def test_a_duplicate_alone_costs_nothing_and_leaves_the_folder(ward):
    one = ward()
    data = slices(3)
    one.put(*data, data[0])
    assert judged(one)[0].decision.verdict is OK
    one.put(data[1], names=["again"])
    one.look(0), one.look(1)
    assert one.look(QUIET_S) == 0 and len(one.inspections()) == 1
    one.move_again()
    assert [r.state for r in one.files()] == ["done"] * 3 + ["skipped"] * 2 and one.lying(one.hot) == []


def test_with_a_slice_that_cannot_be_read_a_volume_is_never_ok(ward):
    one = ward()
    data = slices(4)
    data[2] = data[2][:-50]
    one.put(*data)
    one.look(0)
    # The cut one may still be on its way.
    assert [one.look(s) for s in (1, 2, 1)] == [0, 0, 0]
    assert one.look(QUIET_S) == 1
    (inspection,) = one.judge()
    assert (inspection.decision.verdict, inspection.decision.reason) == (REJECTED, "truncated")
    assert inspection.path.endswith("IM0002") and inspection.context["faults"] == {"truncated": 1}
    assert len([n for n in one.lying(one.failed) if not n.endswith(".reason.json")]) == 4


def test_an_anomaly_beside_a_slice_that_cannot_be_read_is_an_anomaly(ward):
    one = ward(profile={"threshold": -1e9})
    data = slices(4)
    data[2] = data[2][:-50]
    one.put(*data)
    one.look(0), one.look(1), one.look(3)
    assert one.look(QUIET_S) == 1
    (inspection,) = one.judge()
    assert inspection.decision.verdict is ANOMALY
    assert Counter((r.state, r.reason) for r in one.files()) == {("done", None): 3, ("failed", "truncated"): 1}
    assert one.lying(one.failed) == ["IM0002", "IM0002.reason.json"] and len(one.lying(one.done)) == 3


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (lambda uid: a_series(blob(1, height=20), **uid), "mixed_size"),
        (lambda uid: a_series(blob(1), ImageOrientationPatient=[1, 0, 0, 0, 0, -1], **uid), "mixed_orientation"),
    ],
)
def test_what_is_no_volume_is_rejected_as_a_whole(ward, other, reason):
    one = ward()
    series = a_series(blob(3))
    uid = {name: getattr(series[0], name) for name in ("StudyInstanceUID", "SeriesInstanceUID")}
    one.put(*map(dicom_bytes, [*series, *other(uid)]))
    (inspection,) = judged(one)
    assert (inspection.decision.verdict, inspection.decision.reason) == (REJECTED, reason)
    assert {(r.state, r.reason) for r in one.files()} == {("failed", reason)} and one.lying(one.hot) == []


def test_too_many_slices_are_rejected_by_name(ward, monkeypatch):
    monkeypatch.setattr("fbclip.images.decode_process.MAX_SERIES_BYTES", 2000)
    one = ward()
    one.put(*slices(3))
    (inspection,) = judged(one)
    assert (inspection.decision.verdict, inspection.decision.reason) == (REJECTED, "too_large")


def test_a_late_slice_brings_the_whole_series_back(ward):
    one = ward()
    data = slices(5)
    one.put(*data[:4])
    (first,) = judged(one)
    one.put(data[4], names=["late"])
    (second,) = judged(one)
    rows = one.inspections()
    assert [r.context["files"] for r in rows] == [4, 5] and [r.context["slices"] for r in rows] == [4, 5]
    assert rows[1].context["judged_before"] == rows[0].id and "judged_before" not in rows[0].context
    assert second.decision.verdict is OK and first.decision.verdict is OK
    assert {(r.state, r.disposition, r.inspection_id) for r in one.files()} == {("done", "finished", rows[1].id)}
    assert len(one.lying(one.done)) == 5 and one.lying(one.hot) == []
    assert sum(m.topic.endswith("/result") for m in one.messages()) == 2


def test_a_late_slice_whose_series_is_gone_has_no_ok(ward):
    one = ward()
    data = slices(3)
    one.put(*data[:2])
    judged(one)
    shutil.rmtree(one.done)
    one.put(data[2], names=["late"])
    (second,) = judged(one)
    assert (second.decision.verdict, second.decision.reason) == (REJECTED, "earlier_slice_gone")
    assert second.context["faults"] == {"earlier_slice_gone": 2} and second.context["judged_before"] == 1
    assert [r.state for r in one.files()] == ["done", "done", "failed"]
    assert one.lying(one.failed) == ["late", "late.reason.json"]


def test_a_rejected_series_that_is_put_back_is_judged_anew(ward):
    one = ward()
    data = slices(3)
    one.put(*data[:2], data[2][:-10])
    one.look(0), one.look(1), one.look(4)
    one.look(QUIET_S)
    assert one.judge()[0].decision.verdict is REJECTED
    for place in one.failed.iterdir():
        if place.suffix != ".json" and place.name != "IM0002":
            place.rename(one.hot / place.name)
    (one.failed / "IM0002").unlink()
    one.put(data[2], names=["IM0002"])
    (again,) = judged(one)
    assert again.decision.verdict is OK and again.context["files"] == 3 and again.context["judged_before"] == 1


def test_what_waited_is_gathered_again_after_a_restart_and_finishes_once(ward):
    one = ward()
    data = slices(4)
    one.put(*data[:2])
    one.settle()
    assert {(r.state, r.sha256 != "", r.series is not None) for r in one.files()} == {("pending", True, True)}
    # No clean end: nothing is written.
    two = ward(run="run-2")
    two.put(*data[2:], names=["c", "d"])
    (inspection,) = judged(two)
    assert inspection.context["files"] == 4 and len(two.files()) == 4
    assert {(r.state, r.disposition) for r in two.files()} == {("done", "finished")}


def test_killed_while_it_is_judged_the_series_is_judged_at_the_next_start(ward):
    one = ward()
    one.put(*slices(3))
    one.settle()
    assert one.look(QUIET_S) == 1
    assert {r.state for r in one.files()} == {"claimed"}
    two = ward(run="run-2")
    judged(two)
    assert len(two.inspections()) == 1 and {r.state for r in two.files()} == {"done"} and len(two.files()) == 3


def test_killed_between_the_row_and_the_moves_the_files_are_moved_at_the_next_start(ward, monkeypatch):
    one = ward()
    data = slices(4)
    data[3] = data[3][:-50]
    one.put(*data)
    one.look(0), one.look(1), one.look(4)
    assert one.look(QUIET_S) == 1
    monkeypatch.setattr("agent.pipeline.recorder.move_files", lambda *_: None)
    one.judge()
    assert len(one.lying(one.hot)) == 4
    two = ward(run="run-2")
    assert len(two.unmoved) == 4
    two.move_again()
    assert two.lying(two.hot) == [] and len([n for n in two.lying(two.failed) if not n.endswith(".json")]) == 4
    assert two.look(QUIET_S) == 0 and len(two.inspections()) == 1
    # What had a verdict is known: a late slice finds it.
    two.put(a_late(data), names=["late"])
    judged(two)
    assert two.inspections()[1].context["judged_before"] == 1


def a_late(data):
    """Another slice of the series of `data`."""
    found = dcmread(BytesIO(data[0]))
    found.SOPInstanceUID = found.file_meta.MediaStorageSOPInstanceUID = found.SOPInstanceUID + ".9"
    found.ImagePositionPatient = [-100, -80, 60]
    return dicom_bytes(found)


def test_a_slice_that_changes_or_goes_while_it_waits_is_not_passed_over(ward):
    one = ward()
    data = slices(4)
    paths = one.put(*data[:3], data[3][:-50])
    one.settle()
    one.look(3)
    # The last one grows to its end, and the first is taken away.
    paths[3].write_bytes(data[3])
    paths[0].unlink()
    assert one.look(QUIET_S - 4) == 0
    assert one.look(1) == 0
    assert one.look(QUIET_S) == 1
    (inspection,) = one.judge()
    assert (inspection.decision.verdict, inspection.decision.reason) == (REJECTED, "gone")
    assert inspection.context["faults"] == {"gone": 1} and inspection.context["files"] == 4
    one.move_again()
    assert Counter(r.state for r in one.files()) == {"failed": 4, "skipped": 1}
    assert {r.disposition for r in one.files()} == {"finished"}


def test_of_a_private_line_no_name_and_no_identifier_gets_out(ward):
    one = ward(profile={"threshold": -1e9}, privacy="phi")
    datasets = a_series(blob(3))
    one.put(*map(dicom_bytes, datasets), names=[f"{NAME}-{i}.dcm" for i in range(3)])
    (inspection,) = judged(one)
    assert inspection.decision.verdict is ANOMALY and inspection.private
    words = [NAME, "Miller", "4711", *(str(d.SOPInstanceUID) for d in datasets)]
    words += [str(datasets[0].SeriesInstanceUID), str(datasets[0].StudyInstanceUID)]
    said = repr(inspection) + repr(one.inspections()) + repr([m.body for m in one.messages()]) + one.source.health
    said += repr([(r.series, r.reason) for r in one.files()])
    assert not [word for word in words if word in said]
    # The digest is keyed: who knows the identifiers cannot make it.
    assert {r.series for r in one.files()} == {one.references.of_series("ct", one_digest(datasets))}
    assert one_digest(datasets) not in said


def one_digest(datasets):
    return slice_header(dicom_bytes(datasets[0])).series


def test_private_notes_name_nobody(ward):
    one = ward(privacy="phi")
    data = slices(2)
    one.put(data[0], data[1][:-40], names=["Miller-1.dcm", "Miller-2.dcm"])
    one.look(0), one.look(1), one.look(4)
    assert one.look(QUIET_S) == 1
    one.judge()
    notes = [place for place in one.failed.iterdir() if place.suffix == ".json"]
    assert len(notes) == 2 and not any("Miller" in place.name + place.read_text() for place in notes)


def test_without_series_s_every_file_is_judged_by_itself(ward):
    one = ward(source={"series_s": None})
    one.put(*slices(3))
    one.look(0)
    assert one.look(1) == 3
    assert len(one.judge()) == 3 and len(one.inspections()) == 3


def test_a_store_that_fails_when_it_is_due_loses_nothing(ward, monkeypatch):
    one = ward()
    one.put(*slices(3))
    one.settle()

    def refuse(*_):
        monkeypatch.undo()
        raise StoreError("locked")

    monkeypatch.setattr(one.source._intake._series._memory, "earlier", refuse)
    with pytest.raises(StoreError):
        one.look(QUIET_S)
    assert one.look(0) == 1
    assert one.judge()[0].context["files"] == 3
    assert {r.state for r in one.files()} == {"done"}


def test_dicom_outputs_of_a_series_refer_to_all_of_it_wherever_it_lies(ward, tmp_path):
    """Also of a series that came back with a late slice: the others lie in `done` by then."""
    one = ward(profile={"threshold": -1e9}, dicom_outputs=tmp_path / "outputs")
    one.recorder._observers = (DicomWriter({"ct": one.line}, one.run),)
    datasets = a_series(blob(4))
    names = sorted(str(d.SOPInstanceUID) for d in datasets)
    one.put(*map(dicom_bytes, datasets[:3]))
    judged(one)
    one.put(dicom_bytes(datasets[3]), names=["late"])
    (second,) = judged(one)
    first, last = sorted((tmp_path / "outputs").glob("*-overlay.dcm"))
    made = dcmread(last)
    (source,) = made.SourceImageSequence
    assert source.ReferencedSOPInstanceUID == datasets[second.frame_number - 1].SOPInstanceUID
    others = [str(o.ReferencedSOPInstanceUID) for o in made.ReferencedImageSequence]
    assert sorted([*others, str(source.ReferencedSOPInstanceUID)]) == names
    assert len(dcmread(first).ReferencedImageSequence) == 2
    found = dcmread(tmp_path / "outputs" / last.name.replace("overlay", "segmentation"))
    instances = found.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert sorted(str(i.ReferencedSOPInstanceUID) for i in instances) == names


def test_an_association_that_sends_thirty_slices_has_one_verdict(ward):
    """pynetdicom's own sender, real time; the objects come in no order."""
    port = free_port()
    one = ward(clock=SystemClock(), source={"type": "dicom", "port": port, "settle_s": 0, "series_s": 1.0})
    receiver = DicomReceiver("ct", one.line.section.source, one.source)
    thread = threading.Thread(target=receiver.run, args=(one.stop,))
    thread.start()
    try:
        wait_until(lambda: accepts(port))
        sender = AE()
        sender.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        link = sender.associate("127.0.0.1", port, ae_title="FBCLIP")
        datasets = a_series(blob(30))
        statuses = [link.send_c_store(datasets[(7 * i) % 30]).Status for i in range(30)]
        link.release()
        wait_until(lambda: one.sink.frames)
    finally:
        one.stop.set()
        thread.join(20)
    one.stop.clear()
    assert set(statuses) == {0}
    (inspection,) = one.judge()
    assert inspection.decision.verdict is OK and inspection.context["files"] == 30
    assert len(one.inspections()) == 1 and {r.state for r in one.files()} == {"done"} and len(one.files()) == 30
    assert one.lying(one.hot) == [] and len(one.lying(one.done)) == 30


def test_a_series_that_is_taken_away_as_a_whole_before_its_verdict_is_no_news(ward):
    one = ward()
    paths = one.put(*slices(3))
    one.settle()
    for path in paths:
        path.unlink()
    assert one.look(QUIET_S) == 0 and one.look(QUIET_S) == 0
    assert one.inspections() == [] and {(r.state, r.reason) for r in one.files()} == {("skipped", "gone")}
    one.move_again()
    assert {r.disposition for r in one.files()} == {"finished"}


def test_a_slice_that_is_gone_with_its_row_is_missed_all_the_same(ward):
    """Whoever tidies the ledger up takes rows of files away that are not there any more."""
    one = ward()
    paths = one.put(*slices(3))
    one.settle()
    paths[1].unlink()
    with one.database.transaction() as connection:
        connection.execute(delete(files).where(files.c.path == str(paths[1])))
    assert one.look(QUIET_S) == 1
    (inspection,) = one.judge()
    assert (inspection.decision.verdict, inspection.decision.reason) == (REJECTED, "gone")
    assert [r.state for r in one.files()] == ["failed", "failed"] and one.look(QUIET_S) == 0
