"""A profile keeps limits for drift that a fifth of its units lie beyond, measured as the agent measures a frame."""

import cv2
import numpy as np

from agent.config.line import LineSection
from agent.drift.line_drift import reference_of
from agent.pipeline.judge import Judge
from agent.pipeline.lines import Line
from agent.records import Frame, with_picture
from calibrate.datasets.line_data import select
from calibrate.datasets.reader import read_data
from calibrate.datasets.slices import with_slices
from calibrate.inference import Skips
from calibrate.threshold.profile import make_profile
from calibrate.threshold.request import ThresholdRequest, ThresholdTarget
from fbclip.artefacts.profile_file import LoadedProfile, load_profile, save_profile
from fbclip.images.decode import decode_picture
from tests.factories.agent import COMMITTED
from tests.factories.lines import unit_of_the_line
from tests.factories.models import tiny_detector
from tests.factories.scans import a_dicom, blob

UNITS = 60


def test_the_agent_sees_a_fifth_of_the_same_units_beyond_each_limit(tmp_path):
    (tmp_path / "good").mkdir()
    images = [unit_of_the_line(seed) for seed in range(UNITS)]
    for number, image in enumerate(images):
        cv2.imwrite(str(tmp_path / "good" / f"{number}.png"), image[..., ::-1])
    detector = tiny_detector()
    data = select(read_data(tmp_path), None, with_anomalous=False)
    request = ThresholdRequest("belt", data, ThresholdTarget(0.3, 0.8, 0.5))
    result = make_profile(detector, detector.adapters[0], request, lambda _: None, Skips())
    save_profile(result.profile, tmp_path / "p.yaml")
    if result.picture is not None and result.picture.png is not None:
        (tmp_path / result.profile.picture.moved.file).write_bytes(result.picture.png)
    loaded = load_profile(tmp_path / "p.yaml")
    reference = reference_of(loaded.profile)
    assert reference == result.profile.drift
    assert {"z_low", "z_high", "sharpness_low", "light_high"} <= set(reference.tails)
    assert 20 <= reference.units <= UNITS

    section = LineSection(name="belt", source={"type": "folder", "path": "/in"}, profile="p")
    line = Line(section, loaded.profile.adapter, LoadedProfile(loaded.profile, None, loaded.reference))
    judge = Judge(detector, {"belt": line}, "r")
    seen = [judge.judge([Frame("belt", i, COMMITTED, 0.0, image)])[0] for i, image in enumerate(images)]
    light = np.float32([one.measures.light for one in seen])
    z = np.float32([one.inspection.decision.z for one in seen if one.inspection.decision.z is not None])
    # The units that only set the scale are no part of the reference, so the share is not exactly a fifth.
    for values, tails in ((light, reference.light), (z, reference.z)):
        assert 0.05 < (values > np.float32(tails.high)).mean() < 0.4
        assert 0.05 < (values < np.float32(tails.low)).mean() < 0.4


def test_of_volumes_it_is_the_worst_slice_as_the_agent_has_it(tmp_path):
    (tmp_path / "good").mkdir()
    scans = [a_dicom(blob(3, 40, 40, seed=seed)) for seed in range(50)]
    for number, data in enumerate(scans):
        (tmp_path / "good" / f"{number}.dcm").write_bytes(data)
    detector = tiny_detector()
    data = select(with_slices(read_data(tmp_path)), None, with_anomalous=False)
    request = ThresholdRequest("belt", data, ThresholdTarget(0.3, 0.8, 0.5))
    profile = make_profile(detector, detector.adapters[0], request, lambda _: None, Skips()).profile
    reference = profile.drift
    assert reference.of_volumes and set(reference.tails) == {"z_low", "z_high"}
    section = LineSection(name="belt", source={"type": "folder", "path": "/in"}, profile="p")
    # Without limits of single slices, by which a volume has no verdict.
    loaded = LoadedProfile(profile.model_copy(update={"picture": None}))
    judge = Judge(detector, {"belt": Line(section, profile.adapter, loaded)}, "r")
    frames = [
        with_picture(Frame("belt", i, COMMITTED, 0.0, None, discrete=True), decode_picture(one))
        for i, one in enumerate(scans)
    ]
    seen = [judge.judge([frame])[0] for frame in frames]
    assert all(one.of_volume for one in seen)
    z = np.float32([one.inspection.decision.z for one in seen])
    assert 0.05 < (z > np.float32(reference.z.high)).mean() < 0.4
    assert 0.05 < (z < np.float32(reference.z.low)).mean() < 0.4
