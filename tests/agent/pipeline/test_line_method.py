"""A line that another method than FB-CLIP judges, and what happens where it is the wrong one."""

from datetime import UTC, datetime

import numpy as np
import pytest

from agent.config.line import LineSection
from agent.config.sections import ModelSection
from agent.pipeline.detector_loading import load_detector
from agent.pipeline.judge import Judge
from agent.records import Frame
from fbclip.artefacts.adapter import save_adapter
from fbclip.artefacts.peers import fixed_adapter
from fbclip.artefacts.profile_file import save_profile
from fbclip.decision import Verdict
from fbclip.errors import ConfigError
from tests.factories.lines import ENDLESS, a_profile, load_lines
from tests.factories.peers import NAME, tiny_clip


@pytest.fixture
def winclip(tmp_path):
    weights = tiny_clip(tmp_path / "clip")
    save_adapter(fixed_adapter(weights, "winclip", "screw"), tmp_path / "adapter")
    return ModelSection(backbone=NAME, weights=weights.path, adapter=tmp_path / "adapter", device="cpu")


def profile(detector, **changes):
    values = {"size": detector.size, "backbone": NAME, "method": "winclip", "smoothing": 0.0}
    return a_profile(detector, **(values | changes))


def line(tmp_path, **changes):
    values = {"name": "belt", "source": ENDLESS, "profile": tmp_path / "p.yaml", "mode": "shadow"}
    return LineSection(**(values | changes))


def test_a_line_is_judged_by_the_method_of_its_adapter(tmp_path, winclip):
    detector = load_detector(winclip)
    save_profile(profile(detector, threshold=-1e6), tmp_path / "p.yaml")
    lines = load_lines(detector, [line(tmp_path, method="winclip")])
    image = np.random.default_rng(0).integers(0, 255, (120, 120, 3), np.uint8)
    (judged,) = Judge(detector, lines, "run").judge([Frame("belt", 1, datetime.now(UTC), 0.0, image)])
    assert judged.inspection.decision.verdict is Verdict.ANOMALY
    assert judged.inspection.decision.margin != 0


def test_a_profile_or_an_adapter_of_another_method_is_refused(tmp_path, winclip):
    detector = load_detector(winclip)
    save_profile(profile(detector, method="fb-clip"), tmp_path / "p.yaml")
    with pytest.raises(ConfigError, match="method: the profile was measured with fb-clip, running is winclip"):
        load_lines(detector, [line(tmp_path)])
    save_profile(profile(detector), tmp_path / "p.yaml")
    with pytest.raises(ConfigError, match="line belt: method: is to be clipad, its adapter is of method winclip"):
        load_lines(detector, [line(tmp_path, method="clipad")])
