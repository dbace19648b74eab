"""The shipped samples with the shipped model and profiles: every obvious defect is found, normal parts stay quiet."""

import json
import time
from datetime import UTC, datetime

import pytest

from agent.config.line import LineSection
from agent.pipeline.judge import Judge
from agent.pipeline.lines import Line
from agent.records import Frame
from calibrate.embedded.samples.files import read_video
from fbclip.artefacts.compatibility import mismatches
from fbclip.artefacts.profile_file import load_profile
from fbclip.decision import Verdict
from fbclip.detector import open_detector
from fbclip.images.decode import read_image
from tests.e2e.running_agent import SAMPLES


@pytest.fixture(scope="module")
def detector():
    return open_detector("embedded", memories=[SAMPLES / "memories" / name for name in ("belt", "inbox")])


def verdicts(detector, name, images) -> list[Verdict]:
    adapter = next(iter(detector.smoothing))
    loaded = load_profile(SAMPLES / "profiles" / f"{name}.yaml")
    assert mismatches(loaded.profile, detector.running(adapter, loaded.profile.memory)) == []
    assert loaded.profile.memory in {None, *detector.memories}
    assert loaded.profile.calibration.guarantee is not None
    section = LineSection(name=name, source={"type": "folder", "path": "x"}, profile="p.yaml")
    judge = Judge(detector, {name: Line(section, adapter, loaded)}, "run")
    frames = [Frame(name, n, datetime.now(UTC), time.monotonic(), image) for n, image in enumerate(images)]
    return [
        j.inspection.decision.verdict
        for start in range(0, len(frames), 8)
        for j in judge.judge(frames[start : start + 8])
    ]


def test_belt(detector):
    about = json.loads((SAMPLES / "belt.json").read_text(encoding="utf-8"))
    found = verdicts(detector, "belt", read_video(SAMPLES / "belt.mp4"))
    assert len(found) == about["parts"] * about["frames_a_part"]
    anomalous = {d["part"] for d in about["defective"]}
    alarmed = {n // about["frames_a_part"] for n, verdict in enumerate(found) if verdict is Verdict.ANOMALY}
    assert alarmed >= anomalous
    # Of 34 normal parts, each bounded by 1 %, one may alarm by chance.
    assert len(alarmed - anomalous) <= 1


def test_inbox(detector):
    paths = sorted((SAMPLES / "inbox").glob("*.png"))
    found = dict(zip(paths, verdicts(detector, "inbox", [read_image(p).image for p in paths]), strict=True))
    assert {p.name for p, v in found.items() if v is Verdict.ANOMALY} == {p.name for p in paths if "good" not in p.name}
