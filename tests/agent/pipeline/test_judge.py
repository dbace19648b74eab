"""From frames to inspections: nothing that cannot be judged passes as ok, and neighbours do not suffer."""

from dataclasses import replace

import numpy as np
import pytest

from agent.pipeline.judge import Judge
from agent.records import LineMode
from fbclip.decision import Verdict
from fbclip.errors import DeviceLostError
from fbclip.images.picture import Picture, ScanFacts, SliceFacts
from tests.factories.accelerators import FaultyAccelerator, tiny_detector_on
from tests.factories.agent import a_frame
from tests.factories.lines import a_line, a_profile

RNG = np.random.default_rng(3)


def image(height=48, width=64):
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def judge_of(detector, line) -> Judge:
    return Judge(detector, {"belt": line}, "run", monotonic=lambda: 6.0)


def test_a_batch_keeps_its_order_and_rejects_what_it_must(detector):
    judge = judge_of(detector, a_line(detector, a_profile(detector)))
    frames = [
        a_frame(1, image=image()),
        a_frame(2, reason="camera_lost"),
        a_frame(3, image=np.zeros((48, 64, 3), np.uint8)),
        a_frame(4, image=image()),
    ]
    out = [j.inspection for j in judge.judge(frames)]
    assert [i.frame_seq for i in out] == [1, 2, 3, 4]
    assert [i.decision.verdict for i in out] == [Verdict.OK, Verdict.REJECTED, Verdict.REJECTED, Verdict.OK]
    assert [i.decision.reason for i in out] == [None, "camera_lost", "black", None]
    assert out[0].latency.total == 1000.0


def test_the_profile_decides(detector):
    one = image()
    for threshold, verdict in ((-1e9, Verdict.ANOMALY), (1e9, Verdict.OK)):
        judge = judge_of(detector, a_line(detector, a_profile(detector, threshold=threshold)))
        assert judge.judge([a_frame(1, image=one)])[0].inspection.decision.verdict is verdict


def test_without_a_profile_nothing_is_ok(detector):
    judge = judge_of(detector, a_line(detector, mode=LineMode.LEARNING))
    decision = judge.judge([a_frame(1, image=image())])[0].inspection.decision
    assert (decision.verdict, decision.reason, decision.threshold) == (Verdict.UNCERTAIN, "no_profile", None)
    assert decision.margin is not None


def test_a_failing_batch_is_tried_one_by_one(detector, monkeypatch):
    judge = judge_of(detector, a_line(detector, a_profile(detector)))
    whole = detector.infer_terms
    calls = []

    def failing(jobs):
        calls.append(len(jobs))
        if len(jobs) > 1 or len(calls) == 3:
            raise RuntimeError("CUDA out of memory")
        return whole(jobs)

    monkeypatch.setattr(detector, "infer_terms", failing)
    out = [j.inspection.decision for j in judge.judge([a_frame(n, image=image()) for n in (1, 2, 3)])]
    assert calls == [3, 1, 1, 1]
    assert [d.reason for d in out] == [None, "detector_error", None]
    assert out[1].verdict is Verdict.REJECTED


def test_a_lost_device_gives_rejected_verdicts_and_is_not_asked_again():
    device = FaultyAccelerator()
    detector = tiny_detector_on(device)
    judge = judge_of(detector, a_line(detector, a_profile(detector)))
    frames = [a_frame(n, image=image()) for n in (1, 2)]
    assert judge.judge(frames)[1].inspection.decision.verdict is Verdict.OK
    judge.check_device()
    device.failing, device.alive = RuntimeError("CUDA error: the device was lost"), False
    for _ in range(2):
        out = [j.inspection.decision for j in judge.judge([a_frame(n, image=image()) for n in (3, 4)])]
        assert [(d.verdict, d.reason) for d in out] == [(Verdict.REJECTED, "detector_error")] * 2
        device.failing = None
    with pytest.raises(DeviceLostError, match="does not answer any more"):
        judge.check_device()


def test_a_batch_that_does_not_fit_is_halved_every_frame_has_its_verdict_and_a_note_says_so():
    detector = tiny_detector_on(FaultyAccelerator(holds=2))
    judge = judge_of(detector, a_line(detector, a_profile(detector)))
    out = judge.judge([a_frame(n, image=image()) for n in range(1, 6)])
    assert [j.inspection.decision.verdict for j in out] == [Verdict.OK] * 5
    assert [note for note in judge.notes() if "no more than 2 images at once" in note]


@pytest.mark.parametrize("source", [None, {"type": "video", "path": "x", "realtime": True}])
def test_a_live_source_that_repeats_its_frame_gets_no_new_verdict(detector, source):
    judge = judge_of(detector, a_line(detector, a_profile(detector), source))
    still, other = image(), image()
    reasons = []
    for n, shown in enumerate([still, still, None, still, other, still], start=1):
        frame = a_frame(n, reason="camera_lost") if shown is None else a_frame(n, image=shown.copy())
        reasons.append(judge.judge([frame])[0].inspection.decision.reason)
    # A camera that comes back with its last frame has nothing new to show.
    assert reasons == [None, "frozen", "camera_lost", "frozen", None, None]


def test_repeats_within_one_batch_are_frozen_and_say_what_to_do(detector):
    judge = judge_of(detector, a_line(detector, a_profile(detector)))
    still = image()
    first, second = (j.inspection.decision for j in judge.judge([a_frame(n, image=still) for n in (1, 2)]))
    assert (first.verdict, second.verdict, second.reason) == (Verdict.OK, Verdict.REJECTED, "frozen")
    assert "restart the camera" in second.advice


def test_one_grey_level_in_one_pixel_is_another_frame(detector):
    judge = judge_of(detector, a_line(detector, a_profile(detector)))
    still = image()
    nearly = still.copy()
    nearly[47, 63, 2] ^= 1
    assert [j.inspection.decision.reason for j in judge.judge([a_frame(1, image=still), a_frame(2, image=nearly)])] == [
        None,
        None,
    ]


@pytest.mark.parametrize("source", [{"type": "folder", "path": "x"}, {"type": "video", "path": "x"}])
def test_equal_files_and_equal_frames_of_a_file_are_all_judged(detector, source):
    judge, still = judge_of(detector, a_line(detector, a_profile(detector), source)), image()
    assert all(judge.judge([a_frame(n, image=still)])[0].inspection.decision.reason is None for n in range(1, 5))


def volume_of(*slices) -> Picture:
    facts = tuple(
        SliceFacts(order=2 * n - 1, number=2 * n, window=(0, 80), origin="file") for n in range(1, len(slices) + 1)
    )
    return Picture(np.stack(slices), ScanFacts(format="dicom", total=50, slices=facts, plane="axial"))


def test_a_volume_has_the_verdict_of_its_worst_slice_which_is_named(detector):
    slices = [image() for _ in range(19)]
    flat = judge_of(detector, a_line(detector, a_profile(detector, threshold=1e9)))
    z = [j.inspection.decision.z for j in flat.judge([a_frame(n, image=one) for n, one in enumerate(slices)])]
    first, second = sorted(z)[-1:-3:-1]
    judge = judge_of(detector, a_line(detector, a_profile(detector, threshold=(first + second) / 2)))
    beats = []
    frames = [a_frame(1, image=slices[0]), replace(a_frame(2), volume=volume_of(*slices)), a_frame(3, image=slices[1])]
    one, whole, other = judge.judge(frames, lambda: beats.append(1))
    worst = z.index(first)
    assert [one.inspection.frame_seq, other.inspection.frame_seq] == [1, 3]
    inspection = whole.inspection
    assert inspection.decision.verdict is Verdict.ANOMALY and inspection.decision.z == pytest.approx(first, abs=1e-4)
    assert (inspection.frame_number, inspection.frame_seq, len(beats)) == (2 * worst + 2, 2, 3)
    assert inspection.context == {
        "format": "dicom", "slice": 2 * worst + 2, "slices": 50, "judged": 19, "volume": None, "plane": "axial",
        "window": [0.0, 80.0], "window_from": "file",
    }  # fmt: skip
    # Evidence shows the worst slice, and the others are let go.
    assert whole.frame.volume is None and np.array_equal(whole.frame.image, slices[worst])


def test_a_volume_with_a_slice_that_cannot_be_judged_is_not_ok(detector):
    slices = [image(), np.full((48, 64, 3), 128, np.uint8), image()]
    for threshold, verdict, reason in ((1e9, Verdict.REJECTED, "flat"), (-1e9, Verdict.ANOMALY, None)):
        judge = judge_of(detector, a_line(detector, a_profile(detector, threshold=threshold)))
        decision = judge.judge([replace(a_frame(1), volume=volume_of(*slices))])[0].inspection.decision
        assert (decision.verdict, decision.reason) == (verdict, reason)


def test_pixels_of_another_window_than_the_profiles_are_not_judged(detector):
    judge = judge_of(detector, a_line(detector, a_profile(detector, window=(0.0, 4095.0))))
    frame = a_frame(1, image=image())
    assert judge.judge([frame])[0].inspection.decision.reason == "wrong_window"
    assert judge.judge([replace(frame, window=(0.0, 4095.0))])[0].inspection.decision.reason is None
