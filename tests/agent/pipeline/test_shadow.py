"""A shadow profile judges the same tokens beside the line's own: counted, heard by nobody, never in the line's way."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from agent.config.line import LineSection
from agent.config.sections import ModelSection
from agent.pipeline.detector_loading import load_detector
from agent.pipeline.judge import Judge
from agent.pipeline.line_loading import load_line
from agent.pipeline.shadow_tally import MOST_DIFFERENCES, ShadowTally
from fbclip.decision import Verdict
from fbclip.images.geometry import Roi
from tests.factories.agent import a_frame
from tests.factories.lines import FUSION, remember, section, unit_of_the_line, write_profile
from tests.factories.lineups import write_profile_of

RNG = np.random.default_rng(3)
SINCE = datetime(2026, 1, 2, tzinfo=UTC)


def image():
    return RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.fixture
def line(detector, tmp_path):
    """The line's own profile calls everything ok, its shadow an anomaly."""
    write_profile_of(detector, tmp_path, "belt")
    write_profile_of(detector, tmp_path, "belt", "shadow.yaml", threshold=-1e9)
    return load_line(detector, belt(tmp_path))


def belt(tmp_path, shadow="shadow.yaml"):
    source = {"type": "camera", "device": 0}
    return LineSection(name="belt", source=source, profile=tmp_path / "belt.yaml", shadow_profile=tmp_path / shadow)


def test_the_verdict_is_the_lines_own_and_the_other_stands_beside_it(detector, line):
    calls = []
    whole = detector.infer_terms
    detector.infer_terms = lambda jobs: calls.append(len(jobs)) or whole(jobs)
    judge = Judge(detector, {"belt": line}, "run")
    frames = [a_frame(1, image=image()), a_frame(2, image=image()), a_frame(3, reason="camera_lost")]
    first, second, lost = judge.judge(frames)
    assert [one.inspection.decision.verdict for one in (first, second)] == [Verdict.OK, Verdict.OK]
    assert [one.shadow.verdict for one in (first, second)] == [Verdict.ANOMALY, Verdict.ANOMALY]
    # By one look at the pictures.
    assert calls == [2] and lost.shadow is None
    assert first.shadow.z == first.inspection.decision.z


def test_the_memorys_distances_are_put_together_by_either_profile(tmp_path):
    memory = remember(tmp_path / "memory", range(2))
    half = FUSION.model_copy(update={"use": "fused", "image_share": 0.5, "map_share": 0.5})
    write_profile(tmp_path, memory=memory.id, fusion=FUSION)
    write_profile(tmp_path, "half.yaml", memory=memory.id, fusion=half)
    both = section(tmp_path, memory=tmp_path / "memory", shadow_profile=tmp_path / "half.yaml")
    alone = section(tmp_path, memory=tmp_path / "memory", profile=tmp_path / "half.yaml")
    detector = load_detector(ModelSection(device="cpu"), [both])
    frame = a_frame(1, image=unit_of_the_line(5))
    (one,) = Judge(detector, {"belt": load_line(detector, both)}, "run").judge([frame])
    (two,) = Judge(detector, {"belt": load_line(detector, alone)}, "run").judge([frame])
    # The same as if that profile were the line's own.
    assert one.shadow.margin == two.inspection.decision.margin != one.inspection.decision.margin


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"roi": Roi(x1=0, y1=0, x2=0.5, y2=0.5)}, "roi differ"),
        ({"smoothing": 2.0}, "smoothing differ"),
        ({"line": "dock"}, "the profile is for dock"),
        ({"memory": "0" * 64, "fusion": FUSION}, "name the folder of memory"),
        (None, "no such"),
    ],
)
def test_one_that_cannot_run_is_named_and_the_line_runs_without_it(detector, tmp_path, changes, says, caplog):
    write_profile_of(detector, tmp_path, "belt")
    if changes is not None:
        write_profile_of(detector, tmp_path, file="shadow.yaml", **({"line": "belt"} | changes))
    line = load_line(detector, belt(tmp_path))
    assert line.loaded is not None and line.shadow is None
    assert says in line.no_shadow.lower() and "runs without its shadow profile" in caplog.text
    (one,) = Judge(detector, {"belt": line}, "run").judge([a_frame(1, image=image())])
    assert one.shadow is None and one.inspection.decision.verdict is Verdict.OK


def test_a_shadow_needs_something_beside_which_it_runs():
    source = {"type": "camera", "device": 0}
    with pytest.raises(ValueError, match="shadow_profile: needs a profile"):
        LineSection(name="belt", source=source, mode="learning", shadow_profile="s.yaml")


def test_they_are_counted_side_by_side(detector, line):
    tally = ShadowTally({"belt": line}, lambda: SINCE)
    assert tally.of("belt") is None
    judge = Judge(detector, {"belt": line}, "run")
    (one,) = judge.judge([a_frame(1, image=image())])
    for number in range(MOST_DIFFERENCES + 5):
        tally.inspected(replace(one, row=number + 1))
    counts = tally.of("belt")
    assert (counts.judged, counts.agree, counts.since) == (25, 0, SINCE)
    assert (counts.of_live(Verdict.OK), counts.of_shadow(Verdict.ANOMALY)) == (25, 25)
    assert counts.body()["only_shadow_alarms"] == 25 and counts.body()["only_live_alarms"] == 0
    # The latest first, and not all of them.
    assert [one.inspection_id for one in counts.differences][:2] == [25, 24]
    assert len(counts.differences) == MOST_DIFFERENCES


def test_another_profile_begins_anew(detector, line, tmp_path):
    lines = {"belt": line}
    tally = ShadowTally(lines, lambda: SINCE)
    (one,) = Judge(detector, lines, "run").judge([a_frame(1, image=image())])
    tally.inspected(replace(one, row=1))
    write_profile_of(detector, tmp_path, "belt", "shadow.yaml", threshold=1e8)
    lines["belt"] = load_line(detector, belt(tmp_path))
    (two,) = Judge(detector, lines, "run").judge([a_frame(2, image=image())])
    tally.inspected(replace(two, row=2))
    assert tally.of("belt").pairs == {(Verdict.OK, Verdict.OK): 1}
