"""Profiles carry a fusion, keep their ids and decide."""

import hashlib

import pytest
import torch

from fbclip.artefacts.profile_file import load_profile, save_profile
from fbclip.decision import Verdict
from fbclip.detector import Job
from fbclip.errors import ProfileError
from fbclip.files import canonical_json
from fbclip.images.geometry import Placement
from tests.factories.models import tiny_detector, tiny_fusion, tiny_memory, tiny_profile


def test_a_profile_without_a_memory_keeps_the_id_it_had():
    """The id of this profile as it was before profiles knew of fusion."""
    profile = tiny_profile()
    before = profile.model_dump(mode="json", exclude_defaults=True, exclude={"memory", "fusion"})
    assert profile.id == hashlib.sha256(canonical_json(before)).hexdigest()
    assert profile.id == "58683b363078a770bf8d1ea51a95f6c5ca735f406300fffa465a10578b27ffde"


def test_a_profile_with_a_memory_survives_the_disk(tmp_path):
    profile = tiny_profile(memory="m" * 64, fusion=tiny_fusion())
    save_profile(profile, tmp_path / "p.yaml")
    assert load_profile(tmp_path / "p.yaml").profile == profile
    assert tiny_profile(window="dicom").id == tiny_profile().id != tiny_profile(window=(0.0, 4095.0)).id
    ids = {tiny_profile().id, profile.id, tiny_profile(memory="m" * 64, fusion=tiny_fusion("memory")).id}
    assert len(ids | {tiny_profile(memory="n" * 64, fusion=tiny_fusion()).id}) == 4
    text = (tmp_path / "p.yaml").read_text().replace("memory: " + "m" * 64, "memory: null")
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(ProfileError, match="belong together"):
        load_profile(tmp_path / "p.yaml")


def test_the_profile_decides_on_the_fused_prediction():
    detector = tiny_detector([tiny_memory(4)])
    torch.manual_seed(6)
    fusion = tiny_fusion("memory")
    job = Job(torch.randn(1, 3, 32, 32), detector.adapters[0], 1.0, memory=detector.memories[0], fusion=fusion)
    (found,) = detector.infer([job])
    top = max(found.margin, float(found.map.max()))
    whole = Placement(0, 0, 64, 64)
    for threshold, verdict in ((top + 1, Verdict.OK), (top - 1, Verdict.ANOMALY)):
        profile = tiny_profile(memory=detector.memories[0], fusion=fusion, threshold=threshold, min_area_px=1)
        assert profile.decide(found, whole).verdict is verdict
