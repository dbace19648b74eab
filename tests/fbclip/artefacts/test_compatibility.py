"""What was made for another model is refused with both values."""

import pytest
import torch

from fbclip.artefacts.compatibility import mismatches
from fbclip.detector import Detector
from fbclip.engines.torch_engine import TorchEngine
from fbclip.errors import AdapterError, MemoryBankError
from fbclip.features.catalog import IMAGENET
from fbclip.memory.bank import Memory, MemoryManifest
from fbclip.memory.features import MemoryConfig
from tests.factories.models import (
    tiny_adapter,
    tiny_backbone,
    tiny_detector,
    tiny_fusion,
    tiny_memory,
    tiny_profile,
    unit_rows,
)

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("memory", "problem"),
    [
        (lambda: tiny_memory(backbone_sha256="f" * 64), "f{12}.*loaded are embedded weights [0-9a-f]{12}"),
        (lambda: tiny_memory(image_size=64), "64 px, the backbone runs at 32 px"),
        (lambda: tiny_memory(layers=(1, 4)), "asks for layer 4, .* has 0 to 3"),
        (lambda: tiny_memory(count=3, reach=0), "reach 0 of 13 patches"),
    ],
)
def test_a_memory_for_another_model_is_refused_with_both_values(memory, problem):
    backbone, digest = tiny_backbone()
    with pytest.raises(MemoryBankError, match=problem):
        Detector(TorchEngine(backbone, digest, [tiny_adapter(2)], CPU), [memory()])


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"backbone_sha256": "f" * 64}, "loaded are tf_efficientnet_lite2 weights 9656183eaeaf"),
        ({"image_size": 320}, "320 px, the backbone runs at 32 px"),
        ({}, "tokens of 6 numbers, its layers give 168"),
    ],
)
def test_a_memory_of_other_imagenet_features_is_refused(changes, problem):
    named = {"backbone": IMAGENET.architecture, "backbone_sha256": IMAGENET.sha256, "image_size": 32} | changes
    manifest = MemoryManifest(config=MemoryConfig(features="imagenet", layers=(8, 16)), **named)
    memory = Memory(manifest, unit_rows(4, 6).half(), torch.zeros(4, 2, dtype=torch.uint8))
    backbone, digest = tiny_backbone()
    with pytest.raises(MemoryBankError, match=problem):
        Detector(TorchEngine(backbone, digest, [tiny_adapter(2)], CPU), [memory])


def test_tokens_of_another_width_are_refused():
    normal = tiny_memory()
    torch.manual_seed(0)
    backbone, digest = tiny_backbone()
    wrong = Memory(normal.manifest, unit_rows(40, 16).half(), normal.positions)
    with pytest.raises(MemoryBankError, match="16 numbers, its layers give 32"):
        Detector(TorchEngine(backbone, digest, [tiny_adapter(2)], CPU), [wrong])


def test_a_memory_that_a_profile_does_not_name_is_a_mismatch():
    detector = tiny_detector([tiny_memory(4)])
    running = detector.running("a", detector.memories[0])
    assert "memory: the profile was measured with none, running is " + detector.memories[0] in mismatches(
        tiny_profile(), running
    )
    matching = tiny_profile(memory=detector.memories[0], fusion=tiny_fusion())
    assert not any(line.startswith("memory") for line in mismatches(matching, running))
    assert any("running is none" in line for line in mismatches(matching, detector.running("a")))


def test_an_adapter_for_other_weights_is_refused():
    backbone, _ = tiny_backbone()
    with pytest.raises(AdapterError, match="other weights"):
        TorchEngine(backbone, "0" * 64, [tiny_adapter(2)], torch.device("cpu"))
