"""A detector with memories: terms are the definitions, and rows do not depend on their neighbours."""

import numpy as np
import pytest
import torch

from fbclip.detector import Detector, Job, open_detector
from fbclip.engines.torch_engine import TorchEngine
from fbclip.features.imagenet import open_imagenet
from fbclip.images.tiling import Tiling, stitch
from fbclip.memory.bank import Memory, MemoryManifest, save_memory
from fbclip.memory.features import MemoryConfig, memory_features
from fbclip.memory.index import nearest_distance
from fbclip.memory.network import imagenet_network
from fbclip.method.maps import smooth_map
from tests.factories.models import tiny_adapter, tiny_backbone, tiny_detector, tiny_fusion, tiny_memory, unit_rows


@pytest.fixture
def memories() -> list[Memory]:
    return [tiny_memory(4), tiny_memory(5, layers=(2,), reach=1), tiny_memory(6, layers=(0,), metric="mahalanobis")]


@pytest.fixture
def detector(memories) -> Detector:
    return tiny_detector(memories)


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
            layers = dict(zip(config.layers, tiny_backbone()[0](image, config.layers), strict=True))
        features, known = memory_features(layers, config), torch.nn.functional.normalize(memory.tokens.float(), dim=1)
        if memory.whitening is not None:
            features, known = memory.whitening(features), memory.tokens.float()
        grid = nearest_distance(features, known, memory.positions, config.reach).view(1, 4, 4)
        assert terms.distance_image == pytest.approx(grid.max().item(), abs=1e-5)
        assert np.abs(terms.distance_map - smooth_map(grid, 32, 1.5, 4.0)[0].numpy()).max() < 1e-5


def test_a_memory_of_imagenet_features_shares_a_batch_with_others(memories):
    network = imagenet_network(32)
    config = MemoryConfig(features="imagenet", layers=(8, 16), reach=1)
    manifest = MemoryManifest(backbone=network.name, backbone_sha256=network.sha256, image_size=32, config=config)
    side = torch.arange(network.grid, dtype=torch.uint8)
    known = Memory(manifest, unit_rows(network.grid**2, 168).half(), torch.cartesian_prod(side, side))
    detector = tiny_detector([memories[0], known])
    torch.manual_seed(6)
    jobs = [
        Job(torch.randn(1, 3, 32, 32), detector.adapters[0], 1.5, memory=memory.id) for memory in (known, memories[0])
    ]
    (terms, other) = detector.infer_terms(jobs)
    with torch.inference_mode():
        features = memory_features(open_imagenet()(jobs[0].tiles), config)
    rows = torch.nn.functional.normalize(known.tokens.float(), dim=1)
    grid = nearest_distance(features, rows, known.positions, 1).view(1, network.grid, network.grid)
    assert terms.distance_image == pytest.approx(grid.max().item(), abs=1e-5)
    assert np.abs(terms.distance_map - smooth_map(grid, 32, 1.5, 4.0)[0].numpy()).max() < 1e-5
    (bare,) = detector.infer_terms([Job(jobs[0].tiles, detector.adapters[0], 1.5)])
    assert terms.margin == pytest.approx(bare.margin, abs=1e-5)
    assert other.distance_image == pytest.approx(detector.infer_terms(jobs[1:])[0].distance_image, abs=1e-5)


@pytest.mark.parametrize("fusion", [tiny_fusion(), tiny_fusion("memory"), tiny_fusion(share=0)])
def test_a_fused_prediction_is_the_formula(detector, fusion):
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
        Job(torch.randn(1, 3, 32, 32), first, 1.0, memory=one, fusion=tiny_fusion()),
        Job(torch.randn(1, 3, 32, 32), first, 1.0),
        Job(torch.randn(4, 3, 32, 32), second, 2.0, tiling, two, tiny_fusion("memory")),
        Job(torch.randn(1, 3, 32, 32), second, 1.0, memory=one, fusion=tiny_fusion(share=0.9)),
        Job(torch.randn(1, 3, 32, 32), first, 2.0, memory=two),
        Job(torch.randn(1, 3, 32, 32), first, 1.0, memory=third, fusion=tiny_fusion()),
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


def test_an_image_of_the_memory_is_near_it():
    """A memory of an image's own tokens: its distance is rounding, that of another image is not."""
    torch.manual_seed(5)
    known, other = torch.randn(2, 1, 3, 32, 32)
    backbone, digest = tiny_backbone()
    base = tiny_memory()
    with torch.inference_mode():
        layers = dict(enumerate(backbone(known, (1, 2)), 1))
    tokens = memory_features(layers, base.manifest.config)[0].half()
    memory = Memory(base.manifest, tokens, base.positions[:16])
    detector = Detector(TorchEngine(backbone, digest, [tiny_adapter(2)], torch.device("cpu")), [memory])
    near, far = detector.infer_terms([Job(x, detector.adapters[0], 1.0, memory=memory.id) for x in (known, other)])
    assert near.distance_image < 2e-3
    assert far.distance_image > 0.05


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


def test_an_extended_detector_predicts_as_one_that_had_everything_from_the_start(memories):
    torch.manual_seed(2)
    image = torch.randn(1, 3, 32, 32)
    small, whole = tiny_detector(), tiny_detector(memories)
    other = tiny_adapter(9)
    grown = small.extended([other], memories[:1]).extended(memories=memories[1:])
    assert grown._engine.backbone is small._engine.backbone
    assert set(grown.adapters) == {*whole.adapters, other.id}
    assert grown.adapters[0] == small.adapters[0]
    assert grown.memories == whole.memories
    for adapter in whole.adapters:
        for memory in whole.memories:
            job = Job(image, adapter, 1.5, memory=memory, fusion=tiny_fusion())
            close(grown.infer([job])[0], whole.infer([job])[0])
    # The one that was extended knows nothing of it.
    assert small.memories == ()
    assert other.id not in small.adapters
