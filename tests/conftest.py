"""Tiny real models for tests: random weights, real code paths."""

from __future__ import annotations

import pytest
import torch

from fbclip.artefacts.adapter import Adapter, AdapterManifest
from fbclip.backbone.config import BackboneConfig
from fbclip.backbone.tower import Backbone
from fbclip.detector import Detector
from fbclip.files import tensors_sha256
from fbclip.method.config import AttentionConfig, FBCLIPConfig
from fbclip.method.model import Head

# Threads that wait for each other on busy cores cost these tiny models more than they bring.
torch.set_num_threads(1)

TINY = BackboneConfig(
    name="embedded", image_size=32, patch_size=8, layers=3, width=16, heads=2, embed_dim=12, text_width=8, text_heads=1
)
TINY_METHOD = FBCLIPConfig(image_size=32, feature_layers=(1, 3), attention=AttentionConfig(heads=2, head_width=4))


def tiny_backbone() -> tuple[Backbone, str]:
    """Random frozen backbone of the TINY shape and its digest."""
    torch.manual_seed(1)
    backbone = Backbone(TINY, TINY_METHOD.image_size).requires_grad_(False).eval()
    named = {f"visual.{k}": v for k, v in backbone.visual.state_dict().items()}
    return backbone, tensors_sha256(named)


def tiny_adapter(seed: int) -> Adapter:
    """Random adapter for the tiny backbone."""
    _, digest = tiny_backbone()
    torch.manual_seed(seed)
    head = Head(TINY.width, TINY_METHOD)
    tensors = {f"head.{k}": torch.randn_like(v) * 0.3 for k, v in head.state_dict().items()}
    prototypes = torch.nn.functional.normalize(torch.randn(2, TINY.embed_dim), dim=-1)
    manifest = AdapterManifest(backbone=TINY, backbone_sha256=digest, method=TINY_METHOD)
    return Adapter(manifest, tensors, prototypes)


@pytest.fixture
def adapters() -> list[Adapter]:
    return [tiny_adapter(2), tiny_adapter(3)]


@pytest.fixture
def detector(adapters: list[Adapter]) -> Detector:
    backbone, digest = tiny_backbone()
    return Detector(backbone, digest, adapters, torch.device("cpu"))
