"""From frames to inspections: nothing that cannot be judged passes as ok, and neighbours do not suffer."""

from datetime import UTC, datetime

import numpy as np
import pytest

from agent.config.sections import LineSection
from agent.pipeline.intake import Intake
from agent.pipeline.judge import Judge, Line
from agent.pipeline.loading import check_profile
from agent.records import Frame, LineMode
from agent.sources.base import BlockingQueue, NewestSlot, Tally
from fbclip.artefacts.profile import Calibration, Profile
from fbclip.artefacts.profile_file import LoadedProfile
from fbclip.decision import Statistic, Verdict
from fbclip.errors import ConfigError

RNG = np.random.default_rng(3)


def a_profile(detector, **changes) -> Profile:
    adapter = next(iter(detector.smoothing))
    calibration = Calibration(
        method="order-statistic", unit="file", n_good=1, n_constants=1, target=0.1, confidence=0.9,
        guarantee=None, quantiles={}, data_sha256="0" * 64,
    )  # fmt: skip
    values = {
        "line": "belt", "created": datetime(2026, 1, 1, tzinfo=UTC), "adapter": adapter, "backbone": "embedded",
        "backbone_sha256": detector.backbone_sha256, "device": "cpu", "size": 32, "smoothing": 1.0, "min_area_px": 4,
        "statistic": Statistic(a=0, b=1, a2=0, b2=1), "threshold": 1e9, "uncertain_above": None,
        "map_limits": (-1.0, 1.0), "calibration": calibration,
    }  # fmt: skip
    return Profile(**(values | changes))


def a_line(detector, profile=None, source=None, mode=LineMode.LIVE) -> Line:
    section = LineSection(name="belt", source=source or {"type": "camera", "device": 0}, profile="p.yaml", mode=mode)
    return Line(section, next(iter(detector.smoothing)), None if profile is None else LoadedProfile(profile))


def frame(image=None, seq=1, reason=None) -> Frame:
    return Frame("belt", seq, datetime(2026, 1, 1, tzinfo=UTC), 5.0, image, reason)


def image(height=48, width=64):
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def judge_of(detector, line) -> Judge:
    return Judge(detector, {"belt": line}, "run", monotonic=lambda: 6.0)


def test_a_batch_keeps_its_order_and_rejects_what_it_must(detector):
    judge = judge_of(detector, a_line(detector, a_profile(detector)))
    frames = [
        frame(image(), 1),
        frame(None, 2, "camera_lost"),
        frame(np.zeros((48, 64, 3), np.uint8), 3),
        frame(image(), 4),
    ]
    out = [j.inspection for j in judge.judge(frames)]
    assert [i.frame_seq for i in out] == [1, 2, 3, 4]
    assert [i.decision.verdict for i in out] == [Verdict.OK, Verdict.REJECTED, Verdict.REJECTED, Verdict.OK]
    assert [i.decision.reason for i in out] == [None, "camera_lost", "black", None]
    assert out[0].latency.total == 1000.0


def test_the_profile_decides(detector):
    seen = image()
    for threshold, verdict in ((-1e9, Verdict.ANOMALY), (1e9, Verdict.OK)):
        judge = judge_of(detector, a_line(detector, a_profile(detector, threshold=threshold)))
        assert judge.judge([frame(seen)])[0].inspection.decision.verdict is verdict


def test_without_a_profile_nothing_is_ok(detector):
    judge = judge_of(detector, a_line(detector, mode=LineMode.LEARNING))
    decision = judge.judge([frame(image())])[0].inspection.decision
    assert (decision.verdict, decision.reason, decision.threshold) == (Verdict.UNCERTAIN, "no_profile", None)
    assert decision.margin is not None


def test_a_failing_batch_is_tried_one_by_one(detector, monkeypatch):
    judge = judge_of(detector, a_line(detector, a_profile(detector)))
    whole = detector.infer
    calls = []

    def failing(jobs):
        calls.append(len(jobs))
        if len(jobs) > 1 or len(calls) == 3:
            raise RuntimeError("CUDA out of memory")
        return whole(jobs)

    monkeypatch.setattr(detector, "infer", failing)
    out = [j.inspection.decision for j in judge.judge([frame(image(), n) for n in (1, 2, 3)])]
    assert calls == [3, 1, 1, 1]
    assert [d.reason for d in out] == [None, "detector_error", None]
    assert out[1].verdict is Verdict.REJECTED


def test_a_frozen_camera_is_no_verdict_and_a_still_file_is_fine(detector):
    still = image()
    camera = judge_of(detector, a_line(detector, a_profile(detector)))
    last = [camera.judge([frame(still, n)])[0].inspection.decision.reason for n in range(1, 62)]
    assert last[0] is None
    assert last[-1] == "frozen"
    folder = judge_of(detector, a_line(detector, a_profile(detector), {"type": "folder", "path": "x"}))
    assert all(folder.judge([frame(still, n)])[0].inspection.decision.reason is None for n in range(1, 62))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"adapter": "other"}, "adapter"),
        ({"backbone": "ViT-L-14-336"}, "backbone"),
        ({"backbone_sha256": "other"}, "backbone_sha256"),
        ({"size": 518}, "size"),
        ({"line": "other"}, "line"),
    ],
)
def test_a_foreign_profile_is_refused_by_field(detector, tmp_path, changes, field):
    loaded = LoadedProfile(a_profile(detector, **changes))
    with pytest.raises(ConfigError, match=f" {field}: the profile"):
        check_profile(detector, detector.adapters[0], "belt", tmp_path / "p.yaml", loaded)


def test_lines_take_turns_in_a_batch():
    import threading

    intake = Intake(3)
    stop = threading.Event()
    queue = BlockingQueue(Tally(), 8, intake.notify)
    slot = NewestSlot(Tally(), intake.notify)
    intake.add(queue)
    intake.add(slot)
    assert intake.next_batch(0) == []
    for n in range(5):
        queue.put(frame(None, n), stop)
    slot.put(frame(None, 100), stop)
    slot.put(frame(None, 101), stop)
    taken = [[f.seq for f in intake.next_batch(0)] for _ in range(3)]
    assert taken == [[0, 101, 1], [2, 3, 4], []]
    assert slot.tally.snapshot().dropped == {"replaced": 1}
