"""Fused evidence is the formula, whatever shares the batch; profiles carry it and old ones keep their id."""

import hashlib
from datetime import UTC, datetime

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from fbclip.artefacts.profile import Calibration, Profile, load_profile, mismatches, save_profile
from fbclip.decision import Statistic, Verdict
from fbclip.detector import Detector, Job, open_detector
from fbclip.errors import ProfileError
from fbclip.files import canonical_json
from fbclip.images.geometry import Placement
from fbclip.images.tiling import Tiling, stitch
from fbclip.memory.bank import Memory, memory_features, save_memory
from fbclip.memory.fusion import Fusion, Terms, TermScale, fuse, fused_prediction
from fbclip.memory.index import nearest_distance
from fbclip.method.maps import smooth_map
from tests.conftest import tiny_adapter, tiny_backbone
from tests.fbclip.test_memory import CPU, tiny_memory


def a_fusion(use: str = "fused", share: float = 0.3) -> Fusion:
    return Fusion(
        use=use,
        image_share=1 if use == "memory" else share,
        map_share=1 if use == "memory" else share / 2,
        zero_shot_image=TermScale(centre=0.5, spread=2),
        memory_image=TermScale(centre=0.7, spread=0.05),
        zero_shot_map=TermScale(centre=-0.2, spread=1.5),
        memory_map=TermScale(centre=0.6, spread=0.1),
    )


@pytest.fixture
def memories() -> list[Memory]:
    return [tiny_memory(4), tiny_memory(5, layers=(2,), reach=1), tiny_memory(6, layers=(0,), metric="mahalanobis")]


@pytest.fixture
def detector(memories) -> Detector:
    backbone, digest = tiny_backbone()
    return Detector(backbone, digest, [tiny_adapter(2), tiny_adapter(3)], CPU, memories=memories)


def close(one, two):
    assert one.margin == pytest.approx(two.margin, rel=1e-5, abs=1e-5)
    assert one.score == pytest.approx(two.score, abs=1e-5)
    assert np.abs(one.map - two.map).max() <= 1e-5 * max(1, np.abs(two.map).max())


def test_terms_are_the_definitions(detector, memories):
    torch.manual_seed(1)
    image = torch.randn(1, 3, 32, 32)
    for memory in memories:
        config = memory.manifest.config
        (terms,) = detector.infer_terms([Job(image, detector.adapters[0], 1.5, memory=memory.id)])
        (bare,) = detector.infer([Job(image, detector.adapters[0], 1.5)])
        assert terms.margin == bare.margin
        assert np.array_equal(terms.map, bare.map)
        with torch.inference_mode():
            layers = dict(zip(config.layers, detector.backbone(image, config.layers), strict=True))
        features, known = memory_features(layers, config), torch.nn.functional.normalize(memory.tokens.float(), dim=1)
        if memory.whitening is not None:
            features, known = memory.whitening(features), memory.tokens.float()
        grid = nearest_distance(features, known, memory.positions, config.reach).view(1, 4, 4)
        assert terms.distance_image == pytest.approx(grid.max().item(), abs=1e-5)
        assert np.abs(terms.distance_map - smooth_map(grid, 32, 1.5, 4.0)[0].numpy()).max() < 1e-5


@pytest.mark.parametrize("fusion", [a_fusion(), a_fusion("memory"), a_fusion(share=0)])
def test_fused_evidence_is_the_formula(detector, fusion):
    torch.manual_seed(2)
    job = Job(torch.randn(1, 3, 32, 32), detector.adapters[1], 1.0, memory=detector.memories[0], fusion=fusion)
    (terms,), (found,) = detector.infer_terms([job]), detector.infer([job])
    s, p = fusion.image_share, fusion.map_share
    margin = (1 - s) * (terms.margin - 0.5) / 2 + s * (terms.distance_image - 0.7) / 0.05
    values = (1 - p) * (terms.map.astype(float) + 0.2) / 1.5 + p * (terms.distance_map.astype(float) - 0.6) / 0.1
    assert found.margin == pytest.approx(margin, rel=1e-6)
    assert found.score == pytest.approx(1 / (1 + np.exp(-margin)), abs=1e-6)
    assert np.abs(found.map - values).max() < 1e-5
    assert found.map.dtype == np.float32


def test_lines_with_and_without_a_memory_share_a_batch(detector):
    torch.manual_seed(3)
    tiling = Tiling(columns=2, rows=2, overlap=0.25)
    one, two, third = detector.memories
    first, second = detector.adapters
    jobs = [
        Job(torch.randn(1, 3, 32, 32), first, 1.0, memory=one, fusion=a_fusion()),
        Job(torch.randn(1, 3, 32, 32), first, 1.0),
        Job(torch.randn(4, 3, 32, 32), second, 2.0, tiling, two, a_fusion("memory")),
        Job(torch.randn(1, 3, 32, 32), second, 1.0, memory=one, fusion=a_fusion(share=0.9)),
        Job(torch.randn(1, 3, 32, 32), first, 2.0, memory=two),
        Job(torch.randn(1, 3, 32, 32), first, 1.0, memory=third, fusion=a_fusion()),
    ]
    for job, together in zip(jobs, detector.infer(jobs), strict=True):
        close(detector.infer([job])[0], together)
    plain = Job(jobs[4].tiles, first, 2.0)
    close(detector.infer([plain])[0], detector.infer(jobs)[4])


def test_a_tiled_image_has_the_distance_of_its_farthest_tile(detector):
    torch.manual_seed(4)
    tiling = Tiling(columns=3, rows=1, overlap=0.25)
    tiles = torch.randn(3, 3, 32, 32)
    adapter, memory = detector.adapters[0], detector.memories[1]
    (whole,) = detector.infer_terms([Job(tiles, adapter, 1.0, tiling, memory)])
    parts = detector.infer_terms([Job(tile[None], adapter, 1.0, memory=memory) for tile in tiles])
    assert whole.distance_image == pytest.approx(max(p.distance_image for p in parts), rel=1e-5)
    stitched = stitch(torch.stack([torch.from_numpy(p.distance_map) for p in parts]), tiling).numpy()
    assert np.abs(whole.distance_map - stitched).max() < 1e-5


def test_a_image_of_the_memory_is_near_it():
    """A memory of an image's own tokens: its distance is rounding, that of another image is not."""
    torch.manual_seed(5)
    seen, other = torch.randn(2, 1, 3, 32, 32)
    backbone, digest = tiny_backbone()
    base = tiny_memory()
    with torch.inference_mode():
        layers = dict(enumerate(backbone(seen, (1, 2)), 1))
    tokens = memory_features(layers, base.manifest.config)[0].half()
    memory = Memory(base.manifest, tokens, base.positions[:16])
    detector = Detector(backbone, digest, [tiny_adapter(2)], CPU, memories=[memory])
    near, far = detector.infer_terms([Job(x, detector.adapters[0], 1.0, memory=memory.id) for x in (seen, other)])
    assert near.distance_image < 2e-3
    assert far.distance_image > 0.05


def test_what_is_not_finite_stays_so():
    zero, one = np.zeros((4, 4), np.float32), np.ones((4, 4), np.float32)
    margin, values = fuse(float("nan"), zero, 1.0, one, a_fusion("memory"))
    assert np.isnan(margin)
    assert np.isfinite(values).all()
    holed = one.copy()
    holed[1, 2] = np.nan
    assert np.isnan(fuse(0.0, zero, 1.0, holed, a_fusion(share=0))[1]).sum() == 1
    with pytest.raises(ValueError, match="distances"):
        fused_prediction(Terms(0.0, zero), a_fusion())


def test_jobs_and_fusions_that_make_no_sense_are_refused(detector):
    with pytest.raises(ValueError, match="needs a memory"):
        Job(torch.zeros(1, 3, 32, 32), detector.adapters[0], 1.0, fusion=a_fusion())
    values = a_fusion().model_dump()
    for anomalous in (
        {"use": "memory"},
        {"image_share": 1.5},
        {"map_share": -0.1},
        {"memory_map": {"centre": 0, "spread": 0}},
        {"use": "zero-shot"},
    ):
        with pytest.raises(ValidationError):
            Fusion(**(values | anomalous))


def test_warm_up_asks_every_memory_and_a_folder_opens_as_one(detector, tmp_path):
    detector.warm_up()
    assert len(detector.memories) == 3
    embedded = open_detector("embedded", device="cpu")
    memory = tiny_memory(backbone_sha256=embedded.backbone_sha256, image_size=256)
    torch.manual_seed(0)
    tokens = torch.nn.functional.normalize(torch.randn(40, 384), dim=1).half()
    save_memory(Memory(memory.manifest, tokens, memory.positions), tmp_path)
    opened = open_detector("embedded", device="cpu", memories=[tmp_path, tmp_path])
    assert opened.memories == (Memory(memory.manifest, tokens, memory.positions).id,)


def a_profile(**changes) -> Profile:
    calibration = Calibration(
        method="order-statistic", unit="file", n_good=1, n_constants=1, target=0.1, confidence=0.9,
        guarantee=None, quantiles={}, data_sha256="0" * 64,
    )  # fmt: skip
    values = {
        "line": "belt", "created": datetime(2026, 1, 1, tzinfo=UTC), "adapter": "a", "backbone": "embedded",
        "backbone_sha256": "b", "device": "cpu", "size": 32, "smoothing": 1.0, "min_area_px": 4,
        "statistic": Statistic(a=0, b=1, a2=0, b2=1), "threshold": 0.0, "uncertain_above": None,
        "map_limits": (-1.0, 1.0), "calibration": calibration,
    }  # fmt: skip
    return Profile(**(values | changes))


def test_a_profile_without_a_memory_keeps_the_id_it_had():
    """The id of this profile as it was before profiles knew of fusion."""
    profile = a_profile()
    before = profile.model_dump(mode="json", exclude_defaults=True, exclude={"memory", "fusion"})
    assert profile.id == hashlib.sha256(canonical_json(before)).hexdigest()
    assert profile.id == "58683b363078a770bf8d1ea51a95f6c5ca735f406300fffa465a10578b27ffde"


def test_a_profile_with_a_memory_survives_the_disk(tmp_path):
    profile = a_profile(memory="m" * 64, fusion=a_fusion())
    save_profile(profile, tmp_path / "p.yaml")
    assert load_profile(tmp_path / "p.yaml").profile == profile
    ids = {a_profile().id, profile.id, a_profile(memory="m" * 64, fusion=a_fusion("memory")).id}
    assert len(ids | {a_profile(memory="n" * 64, fusion=a_fusion()).id}) == 4
    text = (tmp_path / "p.yaml").read_text().replace("memory: " + "m" * 64, "memory: null")
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(ProfileError, match="belong together"):
        load_profile(tmp_path / "p.yaml")


def test_a_memory_that_a_profile_does_not_name_is_a_mismatch(detector):
    running = detector.running("a", detector.memories[0])
    assert "memory: the profile was measured with none, running is " + detector.memories[0] in mismatches(
        a_profile(), running
    )
    fits = a_profile(memory=detector.memories[0], fusion=a_fusion())
    assert not any(line.startswith("memory") for line in mismatches(fits, running))
    assert any("running is none" in line for line in mismatches(fits, detector.running("a")))


def test_the_profile_decides_on_fused_evidence(detector):
    torch.manual_seed(6)
    fusion = a_fusion("memory")
    job = Job(torch.randn(1, 3, 32, 32), detector.adapters[0], 1.0, memory=detector.memories[0], fusion=fusion)
    (found,) = detector.infer([job])
    top = max(found.margin, float(found.map.max()))
    whole = Placement(0, 0, 64, 64)
    for threshold, verdict in ((top + 1, Verdict.OK), (top - 1, Verdict.ANOMALY)):
        profile = a_profile(memory=detector.memories[0], fusion=fusion, threshold=threshold, min_area_px=1)
        assert profile.decide(found, whole).verdict is verdict
