"""Several lines on one backbone: each with its own adapter and framing, none with a foreign profile."""

from datetime import UTC, datetime

import cv2
import numpy as np
import pytest
import torch

from agent.config.line import LineSection
from agent.config.sections import ModelSection
from agent.config.source import FolderSource
from agent.pipeline.detector_loading import load_detector
from agent.pipeline.judge import Judge
from agent.pipeline.line_loading import check_profile, load_line
from agent.records import Frame
from fbclip.artefacts.adapter import Adapter, load_adapter, save_adapter
from fbclip.artefacts.profile import IgnoreMask
from fbclip.artefacts.profile_file import LoadedProfile, save_profile
from fbclip.artefacts.sees import FoundShare, Sees
from fbclip.backbone.weights import EMBEDDED_DIR
from fbclip.decision import Statistic, Verdict
from fbclip.errors import AdapterError, ConfigError
from fbclip.files import file_sha256
from fbclip.images.tiling import Tiling
from tests.factories.lines import ENDLESS, a_profile, load_lines


def retuned(folder, factor: float) -> Adapter:
    """The embedded adapter with other layer weights, as if it had been tuned for a line."""
    base = load_adapter(EMBEDDED_DIR / "adapter")
    weights = base.tensors["head.scale_weights"]
    tensors = {**base.tensors, "head.scale_weights": weights * torch.linspace(1, factor, len(weights))}
    changed = Adapter(base.manifest, tensors, base.prototypes)
    save_adapter(changed, folder)
    return changed


def test_each_line_is_judged_with_its_own_adapter(tmp_path):
    own = retuned(tmp_path / "own", 2.5)
    sections = [
        LineSection(name="one", source=ENDLESS, mode="learning"),
        LineSection(name="two", source=ENDLESS, mode="learning", adapter=tmp_path / "own"),
    ]
    detector = load_detector(ModelSection(device="cpu"), sections)
    lines = load_lines(detector, sections)
    assert lines["two"].adapter == own.id != lines["one"].adapter
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    frames = [Frame(name, 1, datetime.now(UTC), 0.0, image) for name in ("one", "two")]
    one, two = Judge(detector, lines, "run").judge(frames)
    assert one.inspection.model_id != two.inspection.model_id
    assert one.inspection.decision.margin != two.inspection.decision.margin


def test_a_profile_of_another_lines_adapter_is_refused(tmp_path):
    own = retuned(tmp_path / "own", 2.5)
    section = LineSection(name="belt", source=ENDLESS, profile=tmp_path / "p.yaml", mode="shadow")
    detector = load_detector(ModelSection(device="cpu"), [section])
    save_profile(a_profile(detector, size=256, adapter=own.id), tmp_path / "p.yaml")
    with pytest.raises(ConfigError, match="adapter: the profile was measured with"):
        load_lines(detector, [section])
    with pytest.raises(AdapterError, match="no adapter here"):
        load_detector(ModelSection(device="cpu"), [section.model_copy(update={"adapter": tmp_path / "none"})])


def test_a_tiled_line_points_at_a_small_mark_and_ignores_what_the_mask_covers(tmp_path):
    texture = np.random.default_rng(1).normal(150, 6, (1024, 1024, 1)).clip(0, 255).astype(np.uint8)
    normal = np.repeat(cv2.GaussianBlur(texture, (0, 0), 1.5)[..., None], 3, axis=2)
    anomalous = normal.copy()
    cv2.circle(anomalous, (300, 700), 8, (15, 15, 15), -1)
    mask = np.zeros((1024, 1024), np.uint8)
    mask[620:780, 220:380] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    tiling = Tiling(columns=4, rows=4, overlap=0.25)

    def judged(name: str, **changes):
        section = LineSection(name=name, source=ENDLESS, profile=tmp_path / f"{name}.yaml", mode="shadow")
        detector = load_detector(ModelSection(device="cpu"), [section])
        # By the map alone: what is asked is where the mark is.
        statistic = Statistic(a=0, b=1, a2=0, b2=1, use="pixel")
        values = {"line": name, "size": 256, "smoothing": 2.0, "tiling": tiling, "statistic": statistic, **changes}
        save_profile(a_profile(detector, **values), tmp_path / f"{name}.yaml")
        judge = Judge(detector, load_lines(detector, [section]), "run")
        frames = [Frame(name, n, datetime.now(UTC), 0.0, image) for n, image in enumerate((normal, anomalous), start=1)]
        return [j.inspection.decision for j in judge.judge(frames)]

    low, high = (d.z for d in judged("open"))
    fine, marked = judged("tiled", threshold=(low + high) / 2)
    assert (fine.verdict, marked.verdict) == (Verdict.OK, Verdict.ANOMALY)
    x1, y1, x2, y2 = marked.regions[0].box
    assert x1 <= 300 < x2
    assert y1 <= 700 < y2
    assert (x2 - x1) * (y2 - y1) < 150 * 150

    ignored = IgnoreMask(file="mask.png", sha256=file_sha256(tmp_path / "mask.png"))
    found = judged("masked", threshold=(low + high) / 2, ignore_mask=ignored)
    assert all(not (x1 <= 300 < x2 and y1 <= 700 < y2) for d in found for x1, y1, x2, y2 in (r.box for r in d.regions))
    assert found[1].z < high


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


BLIND = Sees(confidence=0.95, sizes=(FoundShare(what="large", found=1, total=5, low=0.005, high=0.72),), kinds=())


@pytest.mark.parametrize(
    ("mode", "accept", "runs"), [("live", False, False), ("live", True, True), ("shadow", False, True)]
)
def test_a_blind_profile_has_to_be_wanted_on_a_live_line(detector, tmp_path, mode, accept, runs):
    section = LineSection(name="belt", source=ENDLESS, profile=tmp_path / "p.yaml", mode=mode, accept_blind=accept)
    save_profile(a_profile(detector, sees=BLIND), tmp_path / "p.yaml")
    if runs:
        assert load_line(detector, section).loaded.profile.sees.blind
        return
    with pytest.raises(ConfigError, match=r"finds 1 of 5 large painted defects.* accept_blind: true"):
        load_line(detector, section)


def test_a_profile_with_a_window_is_for_files(tmp_path):
    detector = load_detector(ModelSection(device="cpu"))
    save_profile(a_profile(detector, size=256, smoothing=2.0, window=(0.0, 4095.0)), tmp_path / "p.yaml")
    camera = LineSection(name="belt", source=ENDLESS, profile=tmp_path / "p.yaml", mode="shadow")
    with pytest.raises(ConfigError, match="only files are seen through a window"):
        load_lines(detector, [camera])
    folder = camera.model_copy(update={"source": FolderSource(type="folder", path=tmp_path / "in")})
    assert load_lines(detector, [folder])["belt"].window == (0.0, 4095.0)
